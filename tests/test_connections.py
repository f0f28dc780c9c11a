"""A request leaves at its turn: what takes time comes before, and nothing gets lost on the way.

Against a real server that the tests close connections of.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
from contextlib import contextmanager, nullcontext
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest
import requests

from tap_zoom_cc.inputs import settings_from
from tap_zoom_cc.run.report import Report
from tap_zoom_cc.run.stopping import Stop, StoppedError
from tap_zoom_cc.zoom import connections
from tap_zoom_cc.zoom.client import Client
from tap_zoom_cc.zoom.connections import session_for
from tap_zoom_cc.zoom.pacing import NEAR_SECONDS, Pacer
from tests.harness.clock import SleepingClock
from tests.harness.constants import SHORT_WAITS
from tests.harness.raw_server import (
    EMPTY_OBJECT,
    PATIENCE_SECONDS,
    WAYS,
    answer_all,
    certificate,
    needs_openssl,
    raw_server,
    read_head,
    server_by,
    without_proxies,
)
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from simulator.process import SimulatorProcess


class Server:
    """Knows its connections and the heads of its requests, and can close all connections."""

    def __init__(self, *, by_tunnel: bool) -> None:
        self.by_tunnel = by_tunnel
        self.connections: list[socket.socket] = []
        self.connected = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)
        self.tunnel_closed = threading.Semaphore(0)
        self.requests: list[bytes] = []

    def serve(self, connection: socket.socket) -> None:
        """Answer until the other side is done, or this one."""
        self.connections.append(connection)
        self.connected.release()
        try:
            while head := read_head(connection):
                self.requests.append(head)
                connection.sendall(EMPTY_OBJECT)
        finally:
            connection.close()
            self.closed.release()

    def close_connections(self) -> None:
        """Close every connection, as servers do with those that are idle for long."""
        for connection in self.connections:
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for _ in self.connections:
            assert self.closed.acquire(timeout=PATIENCE_SECONDS)
            if self.by_tunnel:
                assert self.tunnel_closed.acquire(timeout=PATIENCE_SECONDS)
        self.connections.clear()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Give each way in which a server is reached."""
    name: str = request.param
    return name


@pytest.fixture
def server(way: str) -> Server:
    """Give what is known of the server."""
    return Server(by_tunnel=way == "tunnel")


@pytest.fixture
def url(way: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the address of the server, which runs."""
    with server_by(way, server.serve, monkeypatch, server.tunnel_closed.release) as url:
        yield url


@pytest.fixture
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    without_proxies(monkeypatch)


def get(session: requests.Session, url: str) -> requests.Response:
    return session.send(
        session.prepare_request(requests.Request("GET", url)), timeout=PATIENCE_SECONDS
    )


def test_the_connection_is_open_before_the_turn_and_the_request_leaves_within_it(
    server: Server, url: str
) -> None:
    turns = []

    @contextmanager
    def turn() -> Iterator[None]:
        assert server.connected.acquire(timeout=PATIENCE_SECONDS), "not connected before its turn"
        server.connected.release()
        before = len(server.requests)
        yield
        turns.append(before)

    session = session_for(url, turn)
    for _ in range(3):
        assert get(session, url).ok
    assert turns == [0, 1, 2]
    assert len(server.connections) == 1


def test_the_connection_is_not_open_before_the_turn_is_near(server: Server, url: str) -> None:
    steps: list[tuple[str, int, int]] = []
    turns: list[None] = []

    @contextmanager
    def approach() -> Iterator[None]:
        steps.append(("far", len(server.connections), len(server.requests)))
        yield
        steps.append(("sent", len(server.connections), len(turns)))

    @contextmanager
    def turn() -> Iterator[None]:
        assert server.connected.acquire(timeout=PATIENCE_SECONDS)
        yield
        turns.append(None)

    assert get(session_for(url, turn, approach), url).ok
    assert steps == [("far", 0, 0), ("sent", 1, 1)]


@pytest.mark.usefixtures("_no_proxies")
def test_the_place_is_given_back_when_the_request_was_sent_and_not_when_it_is_answered() -> None:
    """Else, where an answer takes long, others would open their connections after their turn."""
    given_back = threading.Event()

    @contextmanager
    def approach() -> Iterator[None]:
        yield
        given_back.set()

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        if given_back.wait(PATIENCE_SECONDS):
            connection.sendall(EMPTY_OBJECT)

    with raw_server(serve) as url:
        session = session_for(url, approach=approach)
        request = session.prepare_request(requests.Request("GET", url))
        assert session.send(request, timeout=2 * PATIENCE_SECONDS).ok


def test_nothing_is_connected_or_sent_for_a_request_whose_turn_never_comes(
    server: Server, url: str
) -> None:
    def never() -> AbstractContextManager[None]:
        raise StoppedError("closed")

    with pytest.raises(StoppedError):
        get(session_for(url, approach=never), url)
    assert not server.connections
    with pytest.raises(StoppedError):
        get(session_for(url, turn=never), url)
    assert not server.requests


@pytest.mark.parametrize("used", [0, 1], ids=["unused", "used"])
def test_a_connection_that_was_closed_while_it_waited_is_opened_again(
    server: Server, url: str, used: int
) -> None:
    waits = 0

    @contextmanager
    def turn() -> Iterator[None]:
        nonlocal waits
        waits += 1
        if waits > used:
            assert server.connected.acquire(timeout=PATIENCE_SECONDS)
            server.close_connections()
        yield

    session = session_for(url, turn)
    for _ in range(3):
        assert get(session, url).ok
    assert (waits, len(server.requests)) == (3, 3), "no request took two turns"


def test_a_connection_that_was_idle_for_long_is_opened_again(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LONGEST_IDLE_SECONDS", -1.0)
    session = session_for(url)
    for _ in range(3):
        assert get(session, url).ok
    assert len(server.requests) == 3
    assert len(server.connections) > 1


def test_a_session_that_nobody_uses_any_more_closes_its_connections(
    server: Server, url: str
) -> None:
    assert get(session_for(url), url).ok
    assert server.closed.acquire(timeout=PATIENCE_SECONDS), "the connection is still open"


@pytest.mark.usefixtures("_no_proxies")
def test_requests_differ_in_nothing_by_which_a_server_could_know_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cookie is sent back, and no credentials of a netrc file are sent."""

    def serve(connection: socket.socket) -> None:
        while head := read_head(connection):
            heads.append(head)
            cookie = f"c{len(heads)}=x; Path=/".encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: " + cookie + b"\r\n")
            connection.sendall(b"Content-Length: 2\r\n\r\n{}")

    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    heads: list[bytes] = []
    with raw_server(serve) as url:
        session = session_for(url, nullcontext)
        for _ in range(3):
            assert get(session, url).ok
    (head,) = set(heads)
    assert b"authorization" not in head.lower()


@pytest.mark.usefixtures("_no_proxies")
def test_what_a_server_announces_before_its_answer_is_not_taken_for_it() -> None:
    def serve(connection: socket.socket) -> None:
        while head := read_head(connection):
            for status in ("100 Continue", "102 Processing", "103 Early Hints") * 2:
                connection.sendall(f"HTTP/1.1 {status}\r\nLink: </style>\r\n\r\n".encode())
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            connection.sendall(head.split()[1][-2:])

    with raw_server(serve) as url:
        session = session_for(url)
        assert [get(session, f"{url}{name}").text for name in ("aa", "bb")] == ["aa", "bb"]


@pytest.mark.parametrize("way", WAYS[:2])
def test_of_many_threads_few_connect_before_their_turn_and_no_request_is_lost(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        connected.append(connection)
        answer_all(connection)

    @contextmanager
    def turn() -> Iterator[None]:
        with pacer.turn():
            # Besides those that have sent something there are as many as have their turn soon.
            assert len(connected) <= len(sent) + 10 * NEAR_SECONDS
            sent.append(None)
            yield

    def ask() -> None:
        session = session_for(url, turn, pacer.approach)
        for _ in range(2):
            answers.append(get(session, url).text)

    clock = SleepingClock()
    pacer = Pacer(10, clock, clock)
    connected, sent, answers = list[socket.socket](), list[None](), list[str]()
    with server_by(way, serve, monkeypatch) as url:
        threads = [threading.Thread(target=ask) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == ["{}"] * 100


@pytest.mark.parametrize("way", ["proxy"], indirect=True)
def test_a_host_that_needs_no_proxy_is_asked_without(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get(session_for(url, nullcontext), url).ok
    monkeypatch.setenv("no_proxy", "zoom.invalid")
    with pytest.raises(requests.ConnectionError):
        get(session_for(url, nullcontext), url)
    assert len(server.requests) == 1


@needs_openssl
@pytest.mark.parametrize("setting", ["api_url", "token_url"])
def test_a_certificate_that_nobody_vouches_for_gets_no_credentials(
    simulator: SimulatorProcess, setting: str
) -> None:
    _, context = certificate()
    server = Server(by_tunnel=False)
    config = {**simulator.tap_config(), "sub_account_ids": ["one"]}
    with raw_server(server.serve, context) as url:
        run = run_tap({**config, setting: f"{url}x"}, constants=SHORT_WAITS).check(1)
    assert re.search(r"\(SSLError: .*certificate verify failed", run.logged("ERROR")[-1])
    assert server.requests == []


@pytest.mark.parametrize("way", ["plain"], indirect=True)
def test_connections_end_with_the_thread_that_used_them(
    server: Server, url: str, simulator: SimulatorProcess
) -> None:
    config = {**simulator.tap_config(), "api_url": url.rstrip("/")}
    client = Client(
        settings_from(config, now=datetime.now(timezone.utc)),
        Stop(),
        Report(logging.getLogger("test"), 1000),
    )
    thread = threading.Thread(target=lambda: get(client.session, url))
    thread.start()
    assert server.closed.acquire(timeout=PATIENCE_SECONDS), "the connection is still open"

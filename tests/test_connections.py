"""A request leaves at its turn: what takes time comes before, and nothing gets lost on the way.

Against a real server that the tests close connections of.
"""

from __future__ import annotations

import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests

from tap_zoom_cc.zoom.connections import session_for
from tap_zoom_cc.zoom.pacing import NEAR_SECONDS, Pacer
from tests.harness.clock import SteadyClock
from tests.harness.constants import SHORT_WAITS
from tests.harness.raw_server import (
    EMPTY_OBJECT,
    PATIENCE_SECONDS,
    WAYS,
    certificate,
    needs_openssl,
    raw_server,
    read_head,
    server_by,
)
from tests.harness.tap import run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from simulator.process import SimulatorProcess


class Server:
    """Knows its connections and the heads of its requests, and can close all connections."""

    def __init__(self, *, by_tunnel: bool) -> None:
        self.by_tunnel = by_tunnel
        self.url = ""
        self.connections: list[socket.socket] = []
        self.connected = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)
        self.tunnel_closed = threading.Semaphore(0)
        self.requests: list[bytes] = []
        self.asked = threading.Semaphore(0)
        self.answer: Callable[[bytes], bytes] = lambda _: EMPTY_OBJECT

    def serve(self, connection: socket.socket) -> None:
        """Answer until the other side is done, or this one."""
        self.connections.append(connection)
        self.connected.release()
        try:
            while head := read_head(connection):
                self.requests.append(head)
                self.asked.release()
                connection.sendall(self.answer(head))
        finally:
            connection.close()
            self.closed.release()

    def close_connections(self) -> None:
        """Close every connection, as servers do with those that are idle for long."""
        for connection in self.connections:
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for _ in self.connections:
            wait_for(self.closed)
            if self.by_tunnel:
                wait_for(self.tunnel_closed)
        self.connections.clear()


@pytest.fixture(params=WAYS)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Give a server that runs, and is reached in each way."""
    server = Server(by_tunnel=request.param == "tunnel")
    by_way = server_by(request.param, server.serve, monkeypatch, server.tunnel_closed.release)
    with by_way as server.url:
        yield server


without_a_proxy = pytest.mark.parametrize("server", ["plain"], indirect=True)


def wait_for(event: threading.Semaphore) -> None:
    assert event.acquire(timeout=PATIENCE_SECONDS), "it does not come"


def ask(session: requests.Session, url: str) -> str:
    response = session.get(url, timeout=2 * PATIENCE_SECONDS)
    assert response.ok
    return response.text


def test_a_request_connects_near_its_turn_leaves_within_it_and_then_gives_its_place_back(
    server: Server,
) -> None:
    """Not when it is answered: others would open their connections after their turn."""
    steps: list[tuple[str, int, int]] = []
    given_back = threading.Semaphore(0)

    def note(step: str) -> None:
        steps.append((step, len(server.connections), len(server.requests)))

    @contextmanager
    def approach() -> Iterator[None]:
        note("far")
        yield
        note("given back")
        given_back.release()

    @contextmanager
    def turn() -> Iterator[None]:
        wait_for(server.connected)
        server.connected.release()
        note("turn")
        yield
        wait_for(server.asked)
        note("sent")

    def answer(_: bytes) -> bytes:
        wait_for(given_back)
        return EMPTY_OBJECT

    server.answer = answer
    session = session_for(server.url, turn, approach)
    for number in range(3):
        ask(session, server.url)
        assert steps == [
            ("far", min(1, number), number),
            ("turn", 1, number),
            ("sent", 1, number + 1),
            ("given back", 1, number + 1),
        ]
        steps.clear()
    del session
    wait_for(server.closed)


@pytest.mark.parametrize("used", [0, 1], ids=["unused", "used"])
def test_a_connection_that_was_closed_while_it_waited_is_opened_again(
    server: Server, used: int
) -> None:
    waits = 0

    @contextmanager
    def turn() -> Iterator[None]:
        nonlocal waits
        waits += 1
        if waits > used:
            wait_for(server.connected)
            server.close_connections()
        yield

    session = session_for(server.url, turn)
    for _ in range(3):
        ask(session, server.url)
    assert (waits, len(server.requests)) == (3, 3), "no request took two turns"


@without_a_proxy
def test_requests_differ_in_nothing_by_which_a_server_could_know_its_caller(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cookie is sent back, and no credentials of a netrc file are sent."""

    def answer(_: bytes) -> bytes:
        cookie = b"Set-Cookie: c%d=x; Path=/" % len(server.requests)
        return b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 2\r\n\r\n{}" % cookie

    server.answer = answer
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    session = session_for(server.url)
    for _ in range(3):
        ask(session, server.url)
    (head,) = set(server.requests)
    assert b"authorization" not in head.lower()


@without_a_proxy
def test_what_a_server_announces_before_its_answer_is_not_taken_for_it(server: Server) -> None:
    def answer(head: bytes) -> bytes:
        interim = b"".join(
            b"HTTP/1.1 %b\r\nLink: </style>\r\n\r\n" % status
            for status in (b"100 Continue", b"102 Processing", b"103 Early Hints") * 2
        )
        return interim + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + head.split()[1][-2:]

    server.answer = answer
    session = session_for(server.url)
    assert [ask(session, f"{server.url}{name}") for name in ("aa", "bb")] == ["aa", "bb"]


@without_a_proxy
def test_of_many_threads_few_connect_before_their_turn_and_no_request_is_lost(
    server: Server,
) -> None:
    @contextmanager
    def turn() -> Iterator[None]:
        with pacer.turn():
            # Besides those that have sent something there are as many as have their turn soon.
            for _ in range(0 if sent else near):
                wait_for(server.connected)
            assert len(server.connections) <= len(sent) + near
            sent.append(None)
            yield

    def ask_twice(_: int) -> list[str]:
        session = session_for(server.url, turn, pacer.approach)
        return [ask(session, server.url) for _ in range(2)]

    clock = SteadyClock()
    pacer, near = Pacer(10, clock, clock), int(10 * NEAR_SECONDS)
    sent = list[None]()
    with ThreadPoolExecutor(50) as threads:
        assert list(threads.map(ask_twice, range(50))) == [["{}", "{}"]] * 50


@pytest.mark.parametrize("server", ["proxy"], indirect=True)
def test_a_host_that_needs_no_proxy_is_asked_without(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(session_for(server.url), server.url)
    monkeypatch.setenv("no_proxy", "zoom.invalid")
    with pytest.raises(requests.ConnectionError):
        ask(session_for(server.url), server.url)
    assert len(server.requests) == 1


@needs_openssl
@pytest.mark.parametrize("setting", ["api_url", "token_url"])
def test_a_certificate_that_nobody_vouches_for_gets_no_credentials(
    simulator: SimulatorProcess, setting: str
) -> None:
    server = Server(by_tunnel=False)
    with raw_server(server.serve, certificate()[1]) as url:
        config = {**settings_for(simulator, sub_account_ids=["one"]), setting: f"{url}x"}
        run = run_tap(config, constants=SHORT_WAITS).check(1)
    assert re.search(r"\(SSLError: .*certificate verify failed", run.logged("ERROR")[-1])
    assert server.requests == []

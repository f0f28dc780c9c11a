"""A request leaves at its turn: what takes time comes before, and nothing gets lost on the way.

Against a real server that the tests close connections of.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests
from typing_extensions import override

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
    PATIENCE_SECONDS,
    make_certificate,
    needs_openssl,
    raw_server,
    read_head,
    serving,
    tunnel,
    without_proxies,
)
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from simulator.process import SimulatorProcess


class Server(ThreadingHTTPServer):
    """Counts its connections and requests, and can close all connections."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.connections: list[socket.socket] = []
        self.connected = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)
        self.tunnel_closed: threading.Semaphore | None = None
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.context: ssl.SSLContext | None = None
        self.url = f"http://127.0.0.1:{self.server_port}/"

    @override
    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with suppress(OSError), self.context.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)

    def close_connections(self) -> None:
        """Close every connection, as servers do with those that are idle for long."""
        for connection in self.connections:
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for _ in self.connections:
            assert self.closed.acquire(timeout=PATIENCE_SECONDS)
            if self.tunnel_closed is not None:
                assert self.tunnel_closed.acquire(timeout=PATIENCE_SECONDS)
        self.connections.clear()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    @override
    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.connection)
        self.server.connected.release()

    @override
    def finish(self) -> None:
        super().finish()
        self.server.closed.release()

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    @override
    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Give a running server, and an environment without proxies."""
    without_proxies(monkeypatch)
    with Server() as server, serving(server):
        yield server


def get(session: requests.Session, url: str) -> requests.Response:
    return session.send(
        session.prepare_request(requests.Request("GET", url)), timeout=PATIENCE_SECONDS
    )


@pytest.fixture(
    params=["plain", pytest.param("tls", marks=needs_openssl), "proxy", "tunnel"],
)
def url(
    request: pytest.FixtureRequest,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """Give the address of the server: plain or with TLS, directly or through a proxy."""
    if request.param == "proxy":
        monkeypatch.setenv("http_proxy", server.url)
        yield "http://zoom.invalid/"
        return
    if request.param == "plain":
        yield server.url
        return
    certificate, context = make_certificate(tmp_path)
    server.context = context
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    if request.param == "tls":
        yield f"https://localhost:{server.server_port}/"
        return
    closed = server.tunnel_closed = threading.Semaphore(0)
    with raw_server(lambda connection: tunnel(connection, closed.release)) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        yield f"https://localhost:{server.server_port}/"


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


def test_the_place_is_given_back_when_the_request_was_sent_and_not_when_it_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else, where an answer takes long, others would open their connections after their turn."""
    given_back = threading.Event()

    @contextmanager
    def approach() -> Iterator[None]:
        yield
        given_back.set()

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        if given_back.wait(PATIENCE_SECONDS):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    without_proxies(monkeypatch)
    with raw_server(serve) as url:
        session = session_for(url, approach=approach)
        request = session.prepare_request(requests.Request("GET", url))
        assert session.send(request, timeout=2 * PATIENCE_SECONDS).ok


def test_nothing_is_connected_for_a_request_whose_turn_never_comes_near(
    server: Server, url: str
) -> None:
    def approach() -> AbstractContextManager[None]:
        raise StoppedError("closed")

    with pytest.raises(StoppedError):
        get(session_for(url, approach=approach), url)
    assert not server.connections


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


def test_cookies_are_not_sent_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(connection: socket.socket) -> None:
        while head := read_head(connection):
            heads.append(head)
            cookie = f"c{len(heads)}=x; Path=/".encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: " + cookie + b"\r\n")
            connection.sendall(b"Content-Length: 2\r\n\r\n{}")

    heads: list[bytes] = []
    without_proxies(monkeypatch)
    with raw_server(serve) as url:
        session = session_for(url)
        for _ in range(3):
            assert get(session, url).ok
    assert len(set(heads)) == 1, "the requests differ"


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_what_a_server_announces_before_its_answer_is_not_taken_for_it(
    status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        while head := read_head(connection):
            for _ in range(2):
                connection.sendall(f"HTTP/1.1 {status}\r\nLink: </style>\r\n\r\n".encode())
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            connection.sendall(head.split()[1][-2:])

    without_proxies(monkeypatch)
    with raw_server(serve) as url:
        session = session_for(url)
        assert [get(session, f"{url}{name}").text for name in ("aa", "bb")] == ["aa", "bb"]


@pytest.mark.parametrize("scheme", ["http", pytest.param("https", marks=needs_openssl)])
def test_of_many_threads_few_connect_before_their_turn_and_no_request_is_lost(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        connected.append(connection)
        while read_head(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

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

    without_proxies(monkeypatch)
    context = None
    if scheme == "https":
        certificate, context = make_certificate(tmp_path)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    clock = SleepingClock()
    pacer = Pacer(10, clock, clock)
    connected, sent, answers = list[socket.socket](), list[None](), list[str]()
    with raw_server(serve, context) as url:
        threads = [threading.Thread(target=ask) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == ["{}"] * 100


def test_a_request_whose_turn_never_comes_is_not_sent(server: Server) -> None:
    def turn() -> AbstractContextManager[None]:
        raise StoppedError("closed")

    with pytest.raises(StoppedError):
        get(session_for(server.url, turn), server.url)
    assert not server.requests


def test_requests_go_through_the_proxy_of_the_environment_at_their_turn(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0

    @contextmanager
    def turn() -> Iterator[None]:
        nonlocal turns
        turns += 1
        yield

    monkeypatch.setenv("http_proxy", server.url)
    elsewhere = "http://zoom.invalid/v2/accounts"
    assert get(session_for(elsewhere, turn), elsewhere).ok
    assert server.requests == [elsewhere]
    assert turns == 1
    monkeypatch.setenv("no_proxy", "zoom.invalid")
    with pytest.raises(requests.ConnectionError):
        get(session_for(elsewhere, turn), elsewhere)


def test_certificates_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def turn() -> Iterator[None]:
        yield

    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    assert session_for("https://zoom.invalid", turn).verify is True
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/company/certificates.pem")
    assert session_for("https://zoom.invalid", turn).verify == "/company/certificates.pem"


def test_credentials_of_netrc_are_not_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def turn() -> Iterator[None]:
        yield

    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    get(session_for(server.url, turn), server.url)
    assert "authorization" not in server.headers[0]


@needs_openssl
@pytest.mark.parametrize("setting", ["api_url", "token_url"])
def test_a_certificate_that_nobody_vouches_for_gets_no_credentials(
    simulator: SimulatorProcess, tmp_path: Path, setting: str
) -> None:
    _, context = make_certificate(tmp_path)
    with Server() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        config = {
            **simulator.tap_config(),
            "sub_account_ids": ["one"],
            setting: f"https://localhost:{server.server_port}/x",
        }
        with serving(server):
            run = run_tap(config, constants=SHORT_WAITS)
    assert run.exit_code == 1
    assert re.search(r"\(SSLError: .*certificate verify failed", run.logged("ERROR")[-1])
    assert server.requests == []


def test_a_session_that_nobody_uses_any_more_closes_its_connections(
    server: Server, url: str
) -> None:
    assert get(session_for(url), url).ok
    assert server.closed.acquire(timeout=PATIENCE_SECONDS), "the connection is still open"


def test_connections_end_with_the_thread_that_used_them(
    server: Server, simulator: SimulatorProcess
) -> None:
    config = {**simulator.tap_config(), "api_url": server.url.rstrip("/")}
    client = Client(
        settings_from(config, now=datetime.now(timezone.utc)),
        Stop(),
        Report(logging.getLogger("test"), 1000),
    )
    thread = threading.Thread(target=lambda: get(client.session, server.url))
    thread.start()
    assert server.closed.acquire(timeout=PATIENCE_SECONDS), "the connection is still open"

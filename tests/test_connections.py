"""A request leaves at its turn: what takes time comes before, and nothing gets lost on the way.

Against a real server that the tests close connections of.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import requests
from typing_extensions import override

from tap_zoom_cc.run.stopping import StoppedError
from tap_zoom_cc.zoom.connections import paced_session
from tests.harness.constants import SHORT_WAITS
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from simulator.process import SimulatorProcess

PATIENCE_SECONDS = 30


class Server(ThreadingHTTPServer):
    """Counts its connections and requests, and can close all connections."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.connections: list[socket.socket] = []
        self.connected = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def close_connections(self) -> None:
        """Close every connection, as servers do with those that are idle for long."""
        for connection in self.connections:
            connection.shutdown(2)
        for _ in self.connections:
            assert self.closed.acquire(timeout=PATIENCE_SECONDS)
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
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def get(session: requests.Session, url: str) -> requests.Response:
    return session.send(session.prepare_request(requests.Request("GET", url)), timeout=10)


def test_the_connection_is_open_before_the_turn_and_the_request_leaves_within_it(
    server: Server,
) -> None:
    turns = []

    @contextmanager
    def turn() -> Iterator[None]:
        assert server.connected.acquire(timeout=PATIENCE_SECONDS), "not connected before its turn"
        server.connected.release()
        before = len(server.requests)
        yield
        turns.append(before)

    session = paced_session(server.url, turn)
    for _ in range(3):
        assert get(session, server.url).ok
    assert turns == [0, 1, 2]
    assert len(server.connections) == 1


def test_a_connection_that_was_closed_while_it_waited_is_opened_again(server: Server) -> None:
    waits = 0

    @contextmanager
    def turn() -> Iterator[None]:
        nonlocal waits
        waits += 1
        if waits > 1:
            server.close_connections()
        yield

    session = paced_session(server.url, turn)
    for _ in range(3):
        assert get(session, server.url).ok
    assert (waits, len(server.requests)) == (3, 3), "no request took two turns"


def test_a_request_whose_turn_never_comes_is_not_sent(server: Server) -> None:
    def turn() -> AbstractContextManager[None]:
        raise StoppedError

    with pytest.raises(StoppedError):
        get(paced_session(server.url, turn), server.url)
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
    assert get(paced_session(elsewhere, turn), elsewhere).ok
    assert server.requests == [elsewhere]
    assert turns == 1
    monkeypatch.setenv("no_proxy", "zoom.invalid")
    with pytest.raises(requests.ConnectionError):
        get(paced_session(elsewhere, turn), elsewhere)


def test_certificates_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def turn() -> Iterator[None]:
        yield

    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    assert paced_session("https://zoom.invalid", turn).verify is True
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/company/certificates.pem")
    assert paced_session("https://zoom.invalid", turn).verify == "/company/certificates.pem"


def test_credentials_of_netrc_are_not_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def turn() -> Iterator[None]:
        yield

    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    get(paced_session(server.url, turn), server.url)
    assert "authorization" not in server.headers[0]


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate with")
@pytest.mark.parametrize("setting", ["api_url", "token_url"])
def test_a_certificate_that_nobody_vouches_for_gets_no_credentials(
    simulator: SimulatorProcess, tmp_path: Path, setting: str
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Server() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            **simulator.tap_config(),
            "sub_account_ids": ["one"],
            setting: f"https://localhost:{server.server_port}/x",
        }
        run = run_tap(config, constants=SHORT_WAITS)
        server.shutdown()
    assert run.exit_code == 1
    assert any("SSLError" in line for line in run.logged("ERROR"))
    assert server.requests == []

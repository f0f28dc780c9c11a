"""A request is given up after its deadline, wherever it hangs; the wait for a turn does not count.

Each server here ends well after some seconds, so that without a deadline it would be waited for.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests

from tap_zoom_cc.zoom import connections
from tap_zoom_cc.zoom.connections import DeadlineError, session_for
from tests.harness.raw_server import (
    make_certificate,
    needs_openssl,
    raw_server,
    read_head,
    without_proxies,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEADLINE_SECONDS = 0.5
DRIPS = 60
SECONDS_BETWEEN_DRIPS = 0.05


@pytest.fixture(autouse=True)
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the deadline, and take proxies out of the environment."""
    without_proxies(monkeypatch)
    monkeypatch.setattr(connections, "DEADLINE_SECONDS", DEADLINE_SECONDS)


def _drip(connection: socket.socket, data: bytes) -> None:
    for _ in range(DRIPS):
        connection.sendall(data)
        time.sleep(SECONDS_BETWEEN_DRIPS)


def headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _drip(connection, b"x")
    connection.sendall(b"\r\nContent-Length: 0\r\n\r\n")


def body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % DRIPS)
    _drip(connection, b"x")


def body_that_ends_with_the_connection(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    _drip(connection, b"x")


def chunks(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    _drip(connection, b"1\r\nx\r\n")
    connection.sendall(b"0\r\n\r\n")


def error(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n" % DRIPS)
    _drip(connection, b"x")


def continues(connection: socket.socket) -> None:
    _drip(connection, b"HTTP/1.1 100 Continue\r\n\r\n")
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def nothing(connection: socket.socket) -> None:
    time.sleep(DRIPS * SECONDS_BETWEEN_DRIPS)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


SLOW_ANSWERS = (
    headers,
    body,
    body_that_ends_with_the_connection,
    chunks,
    error,
    continues,
    nothing,
)


def get(session: requests.Session, url: str, connect_timeout: float = 30) -> requests.Response:
    request = session.prepare_request(requests.Request("GET", url))
    return session.send(request, timeout=(connect_timeout, 30))


@pytest.mark.parametrize("answer", SLOW_ANSWERS)
def test_an_answer_that_takes_too_long_is_given_up(answer: Callable[[socket.socket], None]) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        answer(connection)

    with raw_server(serve) as url, pytest.raises(DeadlineError):
        get(session_for(url), url)


@needs_openssl
@pytest.mark.parametrize("answer", SLOW_ANSWERS)
def test_an_answer_that_takes_too_long_is_given_up_over_tls_too(
    answer: Callable[[socket.socket], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        answer(connection)

    certificate, context = make_certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with raw_server(serve, context) as url, pytest.raises(DeadlineError):
        get(session_for(url), url)


def test_a_proxy_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        _drip(connection, b"x")

    with raw_server(serve) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        url = "https://zoom.invalid/"
        with pytest.raises(DeadlineError):
            get(session_for(url), url)


def test_a_handshake_is_given_up_after_the_time_to_connect_as_a_whole() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"\x16\x03\x03\x40\x00")
        _drip(connection, b"x")
        connection.sendall(bytes(1 << 14))

    with raw_server(serve) as url:
        secure = url.replace("http", "https")
        began = time.monotonic()
        with pytest.raises((requests.ConnectionError, requests.Timeout)):
            get(session_for(secure), secure, connect_timeout=0.2)
        assert time.monotonic() - began < DRIPS * SECONDS_BETWEEN_DRIPS


def test_a_deadline_is_a_time_out_in_one_line_that_names_it() -> None:
    assert issubclass(DeadlineError, requests.Timeout)
    assert str(DeadlineError()) == "the answer was not complete after 0.5 s"


def test_the_wait_for_a_turn_does_not_count() -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    @contextmanager
    def turn() -> Iterator[None]:
        time.sleep(DEADLINE_SECONDS * 1.5)
        yield

    with raw_server(serve) as url:
        assert get(session_for(url, turn, turn), url).content == b"{}"


def test_a_connection_is_good_for_the_next_request_after_a_deadline_would_have_passed() -> None:
    connections = []

    def serve(connection: socket.socket) -> None:
        connections.append(connection)
        while read_head(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with raw_server(serve) as url:
        session = session_for(url)
        for _ in range(2):
            assert get(session, url).ok
            time.sleep(DEADLINE_SECONDS * 1.5)
        assert len(connections) == 1


def test_each_of_many_requests_has_a_deadline_of_its_own() -> None:
    def serve(connection: socket.socket) -> None:
        while head := read_head(connection):
            if b"/slow" in head:
                body(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    outcomes: list[str] = []

    def ask(url: str) -> None:
        try:
            outcomes.append(get(session_for(url), url).text)
        except DeadlineError:
            outcomes.append("late")

    with raw_server(serve) as url:
        threads = [
            threading.Thread(target=ask, args=(f"{url}{kind}",)) for kind in ["slow", "fast"] * 5
        ]
        for thread in threads:
            thread.start()
            time.sleep(SECONDS_BETWEEN_DRIPS)
        for thread in threads:
            thread.join()
    assert sorted(outcomes) == ["late"] * 5 + ["{}"] * 5


def test_a_deadline_takes_no_thread_of_its_own() -> None:
    seen: list[set[threading.Thread]] = []

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        seen.append(set(threading.enumerate()))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with raw_server(serve) as url:
        assert get(session_for(url), url).ok
    assert seen
    assert not [thread for thread in seen[0] if "deadline" in thread.name]

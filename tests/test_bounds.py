"""No server holds a run up or fills its memory: requests end by a deadline, bodies have a bound.

The wait for a turn does not count. Time is a clock that the test moves, and each server waits for
the other side to give up.
"""

from __future__ import annotations

import gzip
import tracemalloc
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import requests

from tap_zoom_cc.zoom import connections
from tap_zoom_cc.zoom.answers import Answer
from tap_zoom_cc.zoom.connections import (
    LARGEST_BODY_BYTES,
    LARGEST_ERROR_BYTES,
    LONGEST_IDLE_SECONDS,
    BodyTooLargeError,
    DeadlineError,
    session_for,
)
from tap_zoom_cc.zoom.errors import no_answer
from tests.harness.clock import SteadyClock
from tests.harness.constants import SHORT_WAITS
from tests.harness.raw_server import (
    EMPTY_OBJECT,
    PATIENCE_SECONDS,
    WAYS,
    raw_server,
    read_head,
    server_by,
    without_proxies,
)
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from tests.harness.constants import Constants

    Serve: TypeAlias = Callable[[socket.socket], object]

DEADLINE_SECONDS = 10.0
"""In this many seconds no connection is idle for long."""

SHORT_SECONDS = 0.1
"""What a test has to wait for, where nothing but the time that passes ends a wait."""

CONFIG = dict.fromkeys(("account_id", "client_id", "client_secret"), "simulated")


@pytest.fixture(autouse=True)
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the deadline, and take proxies out of the environment."""
    without_proxies(monkeypatch)
    monkeypatch.setattr(connections, "DEADLINE_SECONDS", DEADLINE_SECONDS)


@pytest.fixture
def clock() -> SteadyClock:
    return SteadyClock()


def pass_time(clock: SteadyClock) -> None:
    """Let the deadline pass of whatever has begun."""
    clock.now += DEADLINE_SECONDS * 1.5


def get(
    session: requests.Session, url: str, between_bytes: float | None = PATIENCE_SECONDS
) -> requests.Response:
    return session.get(url, timeout=(PATIENCE_SECONDS, between_bytes), allow_redirects=False)


# Time


def be_late(
    connection: socket.socket, answer: tuple[bytes, bytes], meanwhile: Callable[[], object]
) -> None:
    """Begin an answer, send more of it before and after the deadline, and wait without an end."""
    begin, more = answer
    connection.sendall(begin + more)
    meanwhile()
    connection.sendall(more)
    while connection.recv(1 << 16):
        pass


SLOW_ANSWERS = {
    "headers": (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"x"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "continues": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}
"""How each begins, and what comes of it from time to time."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", SLOW_ANSWERS.values(), ids=SLOW_ANSWERS)
def test_an_answer_that_takes_too_long_is_given_up(
    answer: tuple[bytes, bytes], way: str, clock: SteadyClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        be_late(connection, answer, lambda: pass_time(clock))

    with server_by(way, serve, monkeypatch) as url, pytest.raises(DeadlineError):
        get(session_for(url, clock=clock), url)


def stay_silent(connection: socket.socket) -> None:
    """Answer nothing for as long as a test can wait."""
    read_head(connection)
    connection.settimeout(PATIENCE_SECONDS)
    try:
        connection.recv(1)
    except TimeoutError:
        connection.sendall(EMPTY_OBJECT)


@pytest.mark.parametrize(
    ("deadline", "between_bytes"),
    [(SHORT_SECONDS, 60.0), (SHORT_SECONDS, None), (60.0, SHORT_SECONDS)],
)
def test_an_answer_that_never_comes_is_given_up_at_the_deadline_or_for_want_of_a_byte(
    deadline: float, between_bytes: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "DEADLINE_SECONDS", deadline)
    with raw_server(stay_silent) as url, pytest.raises(requests.Timeout) as given_up:
        get(session_for(url), url, between_bytes)
    is_late = str(given_up.value) == "the answer was not complete after 0.1 s"
    assert is_late is (deadline == SHORT_SECONDS)


def test_neither_the_wait_for_a_turn_nor_time_between_requests_counts(clock: SteadyClock) -> None:
    """But a connection that was idle for long is opened again."""
    connections = []

    def serve(connection: socket.socket) -> None:
        connections.append(connection)
        answer("200 OK\r\nContent-Length: 2", b"{}")(connection)

    @contextmanager
    def turn() -> Iterator[None]:
        pass_time(clock)
        yield

    with raw_server(serve) as url:
        assert get(session_for(url, turn, turn, clock), url).content == b"{}"
        session = session_for(url, clock=clock)
        for _ in range(4):  # It is old then, but was used a short while ago.
            assert get(session, url).ok
            pass_time(clock)
        assert len(connections) == 2, "the second request of a session uses its connection again"
        clock.now += LONGEST_IDLE_SECONDS
        assert get(session, url).ok
    assert len(connections) == 3


# Proxies


def _run_through_a_proxy(serve: Serve, constants: Constants = SHORT_WAITS) -> tuple[int, str]:
    """Let the tap ask what serves as its proxy; return how often it connected, and the error."""
    connections = []

    def count(connection: socket.socket) -> None:
        connections.append(connection)
        serve(connection)

    with raw_server(count) as url:
        environment = {"https_proxy": url, "HTTPS_PROXY": url, "no_proxy": "localhost"}
        host = "https://zoom.invalid/"
        config = {**CONFIG, "api_url": f"{host}v2", "token_url": f"{host}oauth/token"}
        run = run_tap(config, environment=environment, constants=constants).check(1)
    (error,) = run.logged("ERROR")
    return len(connections), error


def test_a_token_that_takes_too_long_is_asked_for_three_times() -> None:
    impatient = replace(SHORT_WAITS, deadline_seconds=SHORT_SECONDS)
    tries, error = _run_through_a_proxy(stay_silent, impatient)
    assert tries == 3
    assert "token_url" in error
    assert "no answer (DeadlineError" in error


@pytest.mark.parametrize(
    ("said", "most_tries"), [("407 Authenticate", 1), ("403 Forbidden", 1), ("503 Busy", 8)]
)
def test_a_proxy_is_asked_again_after_a_passing_fault_only(said: str, most_tries: int) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(f"HTTP/1.1 {said}\r\nContent-Length: 0\r\n\r\n".encode())

    tries, error = _run_through_a_proxy(serve)
    assert tries == most_tries
    refuses = f"the proxy answers {said}" in error and "check https_proxy" in error
    assert refuses is (most_tries == 1)


@pytest.mark.parametrize("kind", ["socks5", "quic"])
def test_a_proxy_of_an_unknown_kind_is_named_at_once_and_its_password_is_not(kind: str) -> None:
    proxy = f"{kind}://user:sEcReT@127.0.0.1:9"
    environment = {"https_proxy": proxy, "HTTPS_PROXY": proxy, "no_proxy": ""}
    run = run_tap(CONFIG, environment=environment, constants=SHORT_WAITS).check(1)
    (error,) = run.logged("ERROR")
    assert "a proxy of a kind that is not supported" in error
    assert "sEcReT" not in run.stderr
    assert "trying again" not in run.stderr


# Bodies

BLOCK = bytes(1 << 16)
BOMB = gzip.compress(bytes(64 << 20), 9)
"""64 kB that stand for 64 MiB."""


def answer(head: str, body: bytes, *, for_ever: bool = False) -> Serve:
    """Return what a server does: answer with a body, perhaps with the same again for ever."""

    def serve(connection: socket.socket) -> None:
        while read_head(connection):
            connection.sendall(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)
            while for_ever:
                connection.sendall(body)

    return serve


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = "200 OK\r\nTransfer-Encoding: chunked"
ENDLESS = {
    "until the connection ends": answer("200 OK", BLOCK, for_ever=True),
    "tiny chunks": answer(CHUNKED, chunk(b"xy") * 1000, for_ever=True),
    "gzip": answer("200 OK\r\nContent-Encoding: gzip", BOMB, for_ever=True),
    "gzip in chunks": answer(f"{CHUNKED}\r\nContent-Encoding: gzip", chunk(BOMB), for_ever=True),
}


@pytest.mark.parametrize("serve", ENDLESS.values(), ids=ENDLESS)
def test_a_body_without_an_end_is_refused_and_never_held(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an answer of another kind than was asked for, and not none."""
    monkeypatch.setattr(connections, "LARGEST_BODY_BYTES", 1 << 18)
    refused = pytest.raises(BodyTooLargeError, match=r"^the answer is larger than 262,144 b")
    with raw_server(serve) as url, refused as caught:
        tracemalloc.start()
        try:
            get(session_for(url, clock=SteadyClock()), url)
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    assert peak < LARGEST_BODY_BYTES, "as much as the largest body, to read a small one"
    assert no_answer(caught.value) == (Answer(200, message=str(caught.value)), set())


def test_a_body_as_large_as_the_bound_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(answer("200 OK\r\nContent-Length: 1000", bytes(1000))) as url:
        monkeypatch.setattr(connections, "LARGEST_BODY_BYTES", 1000)
        assert len(get(session_for(url, clock=SteadyClock()), url).content) == 1000
        monkeypatch.setattr(connections, "LARGEST_BODY_BYTES", 999)
        with pytest.raises(BodyTooLargeError):
            get(session_for(url, clock=SteadyClock()), url)


@pytest.mark.parametrize("head", ["503 Busy", "503 Busy\r\nContent-Encoding: gzip", "302 Found"])
def test_of_an_endless_error_or_redirect_the_beginning_is_read(head: str) -> None:
    body = BOMB if "gzip" in head else BLOCK
    with raw_server(answer(f"{head}\r\nLocation: /", body, for_ever=True)) as url:
        session = session_for(url, clock=SteadyClock())
        for _ in range(2):
            response = get(session, url)
            assert response.status_code == int(head[:3])
            assert response.content == bytes(LARGEST_ERROR_BYTES)


def test_a_body_is_whole_and_its_connection_is_used_again() -> None:
    connections = []

    def serve(connection: socket.socket) -> None:
        connections.append(connection)
        body = chunk(gzip.compress(b"{}x")) + b"0\r\n\r\n"
        answer(f"{CHUNKED}\r\nContent-Encoding: gzip", body)(connection)

    with raw_server(serve) as url:
        session = session_for(url, clock=SteadyClock())
        assert [get(session, url).content for _ in range(3)] == [b"{}x"] * 3
    assert len(connections) == 1

"""A request is given up after its deadline, wherever it hangs; the wait for a turn does not count.

Time is a clock that the test moves. Each server here waits for the other side to give up.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import requests

from tap_zoom_cc.zoom import connections
from tap_zoom_cc.zoom.connections import DeadlineError, session_for
from tests.harness.clock import SteadyClock
from tests.harness.constants import SHORT_WAITS
from tests.harness.raw_server import (
    EMPTY_OBJECT,
    PATIENCE_SECONDS,
    WAYS,
    answer_all,
    raw_server,
    read_head,
    server_by,
    without_proxies,
)
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from tests.harness.constants import Constants

DEADLINE_SECONDS = 10.0
"""In this many seconds no connection is idle for long."""

SHORT_SECONDS = 0.1
"""What a test has to wait for, where nothing but the time that passes ends a wait."""

CONFIG = {
    "account_id": "mAsTeRaCcOuNt000000000",
    "client_id": "simulated_client_id",
    "client_secret": "simulated_client_secret",
}


@pytest.fixture(autouse=True)
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the deadline, and take proxies out of the environment."""
    without_proxies(monkeypatch)
    monkeypatch.setattr(connections, "DEADLINE_SECONDS", DEADLINE_SECONDS)


@pytest.fixture
def clock() -> SteadyClock:
    return SteadyClock()


def be_late(
    connection: socket.socket, begin: bytes, more: bytes, pass_time: Callable[[], object]
) -> None:
    """Begin an answer, send more of it before and after the deadline, and wait without an end."""
    for data in (begin, more):
        connection.sendall(data)
    pass_time()
    connection.sendall(more)
    while connection.recv(1 << 16):
        pass


SLOW_ANSWERS = {
    "headers": (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"x"),
    "body that ends with the connection": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "error": (b"HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\n", b"x"),
    "continues": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}
"""How each begins, and what comes of it from time to time."""


def pass_time(clock: SteadyClock) -> None:
    """Let the deadline pass of whatever has begun."""
    clock.now += DEADLINE_SECONDS * 1.5


def get(
    session: requests.Session,
    url: str,
    connect_timeout: float = 30,
    between_bytes: float | None = 30,
) -> requests.Response:
    request = session.prepare_request(requests.Request("GET", url))
    return session.send(request, timeout=(connect_timeout, between_bytes))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", SLOW_ANSWERS.values(), ids=SLOW_ANSWERS)
def test_an_answer_that_takes_too_long_is_given_up(
    answer: tuple[bytes, bytes], way: str, clock: SteadyClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        be_late(connection, *answer, partial(pass_time, clock))

    with server_by(way, serve, monkeypatch) as url, pytest.raises(DeadlineError):
        get(session_for(url, clock=clock), url)


@pytest.mark.parametrize("between_bytes", [2 * PATIENCE_SECONDS, None])
def test_an_answer_that_never_comes_is_given_up(
    between_bytes: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the deadline, however long the next byte might be waited for."""

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.settimeout(PATIENCE_SECONDS)
        try:
            connection.recv(1)
        except TimeoutError:
            connection.sendall(EMPTY_OBJECT)

    monkeypatch.setattr(connections, "DEADLINE_SECONDS", SHORT_SECONDS)
    said = r"^the answer was not complete after 0\.1 s$"
    with raw_server(serve) as url, pytest.raises(DeadlineError, match=said):
        get(session_for(url), url, between_bytes=between_bytes)


def test_an_answer_is_given_up_before_its_deadline_when_no_byte_comes() -> None:
    with raw_server(read_to_the_end) as url:
        with pytest.raises(requests.Timeout) as given_up:
            get(session_for(url), url, between_bytes=SHORT_SECONDS)
        assert not isinstance(given_up.value, DeadlineError)


def read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def test_a_proxy_that_takes_too_long_is_given_up(
    clock: SteadyClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        be_late(connection, b"", b"x", partial(pass_time, clock))

    with raw_server(serve) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        url = "https://zoom.invalid/"
        with pytest.raises(DeadlineError):
            get(session_for(url, clock=clock), url)


def _connections_of_a_run(
    serve: Callable[[socket.socket], object],
    *,
    through_a_proxy: bool,
    constants: Constants = SHORT_WAITS,
) -> tuple[int, list[str]]:
    """Run the tap against what answers as its proxy, or as its token endpoint.

    Returns:
        How often it connected, and the errors that it logged.
    """
    connections = []

    def count(connection: socket.socket) -> None:
        connections.append(connection)
        serve(connection)

    with raw_server(count) as url:
        host = "https://zoom.invalid/" if through_a_proxy else url
        config = {**CONFIG, "api_url": f"{host}v2", "token_url": f"{host}oauth/token"}
        environment = {"https_proxy": url, "HTTPS_PROXY": url, "no_proxy": "localhost"}
        run = run_tap(config, environment=environment, constants=constants).check(1)
    return len(connections), run.logged("ERROR")


@pytest.mark.parametrize("through_a_proxy", [True, False], ids=["proxy", "token endpoint"])
def test_a_token_that_takes_too_long_is_asked_for_three_times(*, through_a_proxy: bool) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        read_to_the_end(connection)

    impatient = replace(SHORT_WAITS, deadline_seconds=SHORT_SECONDS)
    tries, errors = _connections_of_a_run(
        serve, through_a_proxy=through_a_proxy, constants=impatient
    )
    assert tries == 3
    (error,) = errors
    assert "token_url" in error
    assert "the answer takes too long" in error


@pytest.mark.parametrize(
    ("said", "most_tries"),
    [
        ("407 Proxy Authentication Required", 1),
        ("403 Forbidden", 1),
        ("405 Method Not Allowed", 1),
        ("503 Busy", 8),
    ],
)
def test_a_proxy_is_asked_again_after_a_passing_fault_only(said: str, most_tries: int) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(f"HTTP/1.1 {said}\r\nContent-Length: 0\r\n\r\n".encode())

    tries, (error,) = _connections_of_a_run(serve, through_a_proxy=True)
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


def test_a_handshake_is_given_up_after_the_time_to_connect_as_a_whole() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"\x16\x03\x03\x40\x00")
        # It goes on like this until the other side has closed the connection.
        while True:
            connection.sendall(b"x")
            time.sleep(SHORT_SECONDS / 4)

    with raw_server(serve) as url:
        secure = url.replace("http", "https")
        with pytest.raises((requests.ConnectionError, requests.Timeout)):
            get(session_for(secure), secure, connect_timeout=SHORT_SECONDS)


def test_neither_the_wait_for_a_turn_nor_time_between_requests_counts(clock: SteadyClock) -> None:
    connections = []

    def serve(connection: socket.socket) -> None:
        connections.append(connection)
        answer_all(connection)

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


def test_each_of_many_requests_has_a_deadline_of_its_own(clock: SteadyClock) -> None:
    asked, go_on = threading.Semaphore(0), threading.Event()

    def serve(connection: socket.socket) -> None:
        while head := read_head(connection):
            if b"/slow" in head:
                asked.release()
                be_late(connection, *SLOW_ANSWERS["body"], go_on.wait)
            connection.sendall(EMPTY_OBJECT)

    outcomes: list[str] = []

    def ask(url: str) -> None:
        try:
            outcomes.append(get(session_for(url, clock=clock), url).text)
        except DeadlineError:
            outcomes.append("late")

    with raw_server(serve) as url, ThreadPoolExecutor(10) as threads:
        for _ in range(5):
            threads.submit(ask, f"{url}slow")
        for _ in range(5):
            asked.acquire()
        pass_time(clock)
        fast = [threads.submit(ask, f"{url}fast") for _ in range(5)]
        wait(fast)
        go_on.set()
    assert sorted(outcomes) == ["late"] * 5 + ["{}"] * 5

"""A request is given up after its deadline, wherever it hangs; the wait for a turn does not count.

Time is a clock that the test moves. Each server here waits for the other side to give up.
"""

from __future__ import annotations

import threading
import time
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
    PATIENCE_SECONDS,
    make_certificate,
    needs_openssl,
    raw_server,
    read_head,
    tunnel,
    without_proxies,
)
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

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


def _be_late(connection: socket.socket, data: bytes, pass_time: Callable[[], object]) -> None:
    """Send something, something more after the deadline, and no end: others would wait for it."""
    connection.sendall(data)
    pass_time()
    connection.sendall(data)
    while connection.recv(1 << 16):
        pass


def headers(connection: socket.socket, pass_time: Callable[[], object]) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _be_late(connection, b"x", pass_time)


def body(connection: socket.socket, pass_time: Callable[[], object]) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    _be_late(connection, b"x", pass_time)


def body_that_ends_with_the_connection(
    connection: socket.socket, pass_time: Callable[[], object]
) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    _be_late(connection, b"x", pass_time)


def chunks(connection: socket.socket, pass_time: Callable[[], object]) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    _be_late(connection, b"1\r\nx\r\n", pass_time)


def error(connection: socket.socket, pass_time: Callable[[], object]) -> None:
    connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\n")
    _be_late(connection, b"x", pass_time)


def continues(connection: socket.socket, pass_time: Callable[[], object]) -> None:
    _be_late(connection, b"HTTP/1.1 100 Continue\r\n\r\n", pass_time)


SLOW_ANSWERS = (
    headers,
    body,
    body_that_ends_with_the_connection,
    chunks,
    error,
    continues,
)


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


@pytest.mark.parametrize("answer", SLOW_ANSWERS)
def test_an_answer_that_takes_too_long_is_given_up(
    answer: Callable[..., None], clock: SteadyClock
) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        answer(connection, partial(pass_time, clock))

    with raw_server(serve) as url, pytest.raises(DeadlineError):
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
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    monkeypatch.setattr(connections, "DEADLINE_SECONDS", SHORT_SECONDS)
    with raw_server(serve) as url, pytest.raises(DeadlineError):
        get(session_for(url), url, between_bytes=between_bytes)


def test_an_answer_is_given_up_before_its_deadline_when_no_byte_comes() -> None:
    with raw_server(read_to_the_end) as url:
        with pytest.raises(requests.Timeout) as given_up:
            get(session_for(url), url, between_bytes=SHORT_SECONDS)
        assert not isinstance(given_up.value, DeadlineError)


def read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


@needs_openssl
@pytest.mark.parametrize("answer", SLOW_ANSWERS)
def test_an_answer_that_takes_too_long_is_given_up_over_tls_too(
    answer: Callable[..., None], clock: SteadyClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        answer(connection, partial(pass_time, clock))

    certificate, context = make_certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with raw_server(serve, context) as url, pytest.raises(DeadlineError):
        get(session_for(url, clock=clock), url)


@needs_openssl
@pytest.mark.parametrize("answer", SLOW_ANSWERS)
def test_an_answer_that_takes_too_long_is_given_up_through_a_proxy_with_tls_too(
    answer: Callable[..., None], clock: SteadyClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        answer(connection, partial(pass_time, clock))

    certificate, context = make_certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with raw_server(tunnel, context) as proxy, raw_server(serve, context) as url:
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(DeadlineError):
            get(session_for(url, clock=clock), url)


def test_a_proxy_that_takes_too_long_is_given_up(
    clock: SteadyClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        _be_late(connection, b"x", partial(pass_time, clock))

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
    "said", ["407 Proxy Authentication Required", "403 Forbidden", "405 Method Not Allowed"]
)
def test_a_proxy_that_refuses_is_named_at_once(said: str) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(f"HTTP/1.1 {said}\r\nContent-Length: 0\r\n\r\n".encode())

    tries, errors = _connections_of_a_run(serve, through_a_proxy=True)
    assert tries == 1
    (error,) = errors
    assert f"the proxy answers {said}" in error
    assert "check https_proxy" in error


def test_a_proxy_with_a_passing_fault_is_asked_again() -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    tries, _ = _connections_of_a_run(serve, through_a_proxy=True)
    assert tries == 8


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


def test_a_deadline_is_a_time_out_in_one_line_that_names_it() -> None:
    assert issubclass(DeadlineError, requests.Timeout)
    assert str(DeadlineError()) == "the answer was not complete after 10 s"


def test_the_wait_for_a_turn_does_not_count(clock: SteadyClock) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    @contextmanager
    def turn() -> Iterator[None]:
        pass_time(clock)
        yield

    with raw_server(serve) as url:
        assert get(session_for(url, turn, turn, clock), url).content == b"{}"


def test_a_connection_is_good_for_the_next_request_after_a_deadline_would_have_passed(
    clock: SteadyClock,
) -> None:
    connections = []

    def serve(connection: socket.socket) -> None:
        connections.append(connection)
        while read_head(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with raw_server(serve) as url:
        session = session_for(url, clock=clock)
        for _ in range(4):  # It is old then, but was used a short while ago.
            assert get(session, url).ok
            pass_time(clock)
        assert len(connections) == 1


def started(ask: Callable[[str], None], url: str) -> list[threading.Thread]:
    threads = [threading.Thread(target=ask, args=(url,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def test_each_of_many_requests_has_a_deadline_of_its_own(clock: SteadyClock) -> None:
    asked, go_on = threading.Semaphore(0), threading.Event()

    def serve(connection: socket.socket) -> None:
        while head := read_head(connection):
            if b"/slow" in head:
                asked.release()
                body(connection, go_on.wait)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    outcomes: list[str] = []

    def ask(url: str) -> None:
        try:
            outcomes.append(get(session_for(url, clock=clock), url).text)
        except DeadlineError:
            outcomes.append("late")

    with raw_server(serve) as url:
        slow = started(ask, f"{url}slow")
        for _ in slow:
            asked.acquire()
        pass_time(clock)
        join(started(ask, f"{url}fast"))
        go_on.set()
        join(slow)
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

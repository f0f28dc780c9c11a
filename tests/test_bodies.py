"""A body is read whole up to a bound, and no more of it than that is ever held.

Against a server that sends without an end, or little that stands for much.
"""

from __future__ import annotations

import gc
import gzip
import tracemalloc
import weakref
import zlib
from typing import TYPE_CHECKING

import pytest
import requests

from tap_zoom_cc.run.stopping import Stop
from tap_zoom_cc.zoom.answers import Answer
from tap_zoom_cc.zoom.connections import (
    LARGEST_BODY_BYTES,
    LARGEST_ERROR_BYTES,
    BodyTooLargeError,
    read_body,
    session_for,
)
from tap_zoom_cc.zoom.errors import AnswerError, no_answer
from tap_zoom_cc.zoom.pacing import with_retries
from tap_zoom_cc.zoom.rules import TRIES, decide
from tests.harness.raw_server import raw_server, read_head, without_proxies

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

LIMIT = 1 << 18
BLOCK = bytes(1 << 16)
BOMB = gzip.compress(bytes(64 << 20), 9)
"""64 kB that stand for 64 MiB."""


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take proxies out of the environment."""
    without_proxies(monkeypatch)


def answer(head: str, *parts: bytes, for_ever: bool = False) -> Callable[[socket.socket], None]:
    """Return what a server does: answer with these parts, and repeat the last one for ever."""

    def serve(connection: socket.socket) -> None:
        while read_head(connection):
            connection.sendall(f"HTTP/1.1 {head}\r\n\r\n".encode())
            for part in parts:
                connection.sendall(part)
            while for_ever:
                connection.sendall(parts[-1])
            if ("Content-Length" not in head and "chunked" not in head) or "close" in head:
                return

    return serve


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


ENDLESS = {
    "until the connection ends": answer("200 OK", BLOCK, for_ever=True),
    "chunks": answer("200 OK\r\nTransfer-Encoding: chunked", chunk(BLOCK), for_ever=True),
    "tiny chunks": answer(
        "200 OK\r\nTransfer-Encoding: chunked", chunk(b"xy") * 1000, for_ever=True
    ),
    "one endless chunk": answer(
        "200 OK\r\nTransfer-Encoding: chunked", b"ffffffffffff\r\n", BLOCK, for_ever=True
    ),
    "announced": answer(f"200 OK\r\nContent-Length: {1 << 40}", BLOCK, for_ever=True),
    "gzip": answer("200 OK\r\nContent-Encoding: gzip", BOMB, for_ever=True),
    "gzip in chunks": answer(
        "200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked", chunk(BOMB), for_ever=True
    ),
    "gzip in gzip": answer(
        "200 OK\r\nContent-Encoding: gzip, gzip", gzip.compress(BOMB), for_ever=True
    ),
    "deflate": answer(
        "200 OK\r\nContent-Encoding: deflate", zlib.compress(bytes(256 << 20), 9), for_ever=True
    ),
}


@pytest.mark.parametrize("serve", ENDLESS.values(), ids=ENDLESS)
def test_a_body_without_an_end_is_refused_and_never_held(
    serve: Callable[[socket.socket], None],
) -> None:
    with raw_server(serve) as url, requests.get(url, stream=True, timeout=30) as response:
        tracemalloc.start()
        try:
            with pytest.raises(BodyTooLargeError, match=r"^the answer is larger than 262,144 b"):
                read_body(response, LIMIT, is_whole=True)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < LARGEST_BODY_BYTES, "as much as the largest body, to read a small one"


def test_a_body_without_an_end_is_an_answer_of_another_kind_and_not_none() -> None:
    error = BodyTooLargeError("the answer is larger than 9 bytes")
    assert no_answer(error, at="there") == (Answer(200, message=str(error)), set())


def test_a_body_as_large_as_the_bound_is_read() -> None:
    with raw_server(answer("200 OK\r\nContent-Length: 1000", bytes(1000))) as url:
        with requests.get(url, stream=True, timeout=30) as response:
            assert len(read_body(response, 1000, is_whole=True)) == 1000
        with requests.get(url, stream=True, timeout=30) as response:
            with pytest.raises(BodyTooLargeError) as caught:
                read_body(response, 999, is_whole=True)
            assert caught.value.response is response


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: 3", b"{}x"),
        ("Transfer-Encoding: chunked", chunk(b"{") + chunk(b"}x") + b"0\r\n\r\n"),
        (f"Content-Length: {len(gzip.compress(b'{}x'))}\r\nContent-Encoding: gzip", None),
    ],
    ids=["plain", "chunked", "gzip"],
)
def test_a_body_is_whole_and_its_connection_is_used_again(head: str, body: bytes | None) -> None:
    connections = []

    def serve(connection: socket.socket) -> None:
        connections.append(connection)
        answer(f"200 OK\r\n{head}", gzip.compress(b"{}x") if body is None else body)(connection)

    with raw_server(serve) as url:
        session = session_for(url)
        for _ in range(3):
            assert session.get(url, timeout=30).content == b"{}x"
    assert len(connections) == 1


BROKEN = {
    "cut off": answer("200 OK\r\nConnection: close\r\nContent-Length: 9", b"{}"),
    "chunks cut off": answer(
        "200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked", chunk(b"{}"), b"x"
    ),
    "no gzip": answer("200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip", b"{}"),
}


@pytest.mark.parametrize("serve", BROKEN.values(), ids=BROKEN)
def test_a_body_that_breaks_off_is_no_body(serve: Callable[[socket.socket], None]) -> None:
    with raw_server(serve) as url, pytest.raises(requests.exceptions.ChunkedEncodingError):
        session_for(url).get(url, timeout=30)


def test_an_endless_answer_of_a_session_is_refused() -> None:
    bound = pytest.raises(BodyTooLargeError, match=f"{LARGEST_BODY_BYTES:,} bytes")
    with raw_server(ENDLESS["gzip"]) as url, bound:
        session_for(url).get(url, timeout=30)


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_of_an_endless_error_the_beginning_is_read(coding: str) -> None:
    endless = answer(
        f"503 Busy\r\nContent-Encoding: {coding}",
        BOMB if coding == "gzip" else BLOCK,
        for_ever=True,
    )
    with raw_server(endless) as url:
        session = session_for(url)
        for _ in range(2):
            response = session.get(url, timeout=30)
            assert response.status_code == 503
            assert response.content == bytes(LARGEST_ERROR_BYTES)


def test_of_a_redirect_that_is_not_followed_the_beginning_is_read() -> None:
    head = f"302 Found\r\nLocation: /\r\nContent-Encoding: gzip\r\nContent-Length: {len(BOMB)}"
    with raw_server(answer(head, BOMB)) as url:
        response = session_for(url).get(url, timeout=30, allow_redirects=False)
    assert (response.status_code, len(response.content)) == (302, LARGEST_ERROR_BYTES)


def test_no_body_of_a_failed_try_is_held_until_garbage_is_collected() -> None:
    class Body:
        """Something that can be looked for."""

    held: list[weakref.ref[Body]] = []

    def send() -> None:
        body = Body()
        held.append(weakref.ref(body))
        try:
            raise_of(body)
        except ValueError as error:
            # An error that its own traceback refers to.
            refusal = AnswerError(decide(answer), answer)
            raise refusal from error

    def raise_of(body: Body) -> None:
        message = f"{body} is no page"
        raise ValueError(message)

    def none_is_held(_: object, __: float) -> None:
        assert not [body for body in held if body()]

    answer = Answer(200, wait=0.0)
    gc.disable()
    try:
        with pytest.raises(AnswerError):
            with_retries(send, stop=Stop(), on_retry=none_is_held)
    finally:
        gc.enable()
    assert len(held) == TRIES

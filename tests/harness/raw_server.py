"""Servers that do with a connection whatever a test writes down, and a proxy in front of them."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 30
EMPTY_OBJECT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

needs_openssl = pytest.mark.skipif(
    not shutil.which("openssl"), reason="no openssl to make a certificate with"
)


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on, now or soon.

    It is none of those that the system gives out, which another program may get at any time, also
    for a connection of its own. Each process begins to look at another place.
    """
    for port in range(10_000 + os.getpid() * 7 % 20_000, 32_000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no port is free")


@contextmanager
def raw_server(
    serve: Callable[[socket.socket], object], context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Accept connections and call a function with each, in threads; give the server's address.

    A connection is closed when the function returns, or when the other side goes away. With a
    context, which has a certificate, the server speaks TLS.
    """

    def handle(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if context is None:
                serve(connection)
            else:
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    serve(wrapped)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        scheme = "https" if context else "http"
        try:
            yield f"{scheme}://localhost:{listener.getsockname()[1]}/"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def read_head(connection: socket.socket) -> bytes:
    """Read a request up to its empty line; nothing when the other side is done."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return b""
        head += byte
    return head


@dataclass(frozen=True)
class Reply:
    """What is sent: everything after the status, headers and body as they are."""

    body: bytes
    status: int = 200
    reason: str = "OK"
    headers: tuple[tuple[str, str], ...] = ()


@contextmanager
def answering(answer: Callable[[str], Reply]) -> Iterator[str]:
    """Answer each request with what a function of its path returns; give the server's address."""

    def serve(connection: socket.socket) -> None:
        # An answer that is none ends with the connection alone, and what follows a head is read.
        while head := read_head(connection):
            reply = answer(head.split()[1].decode())
            lines = [f"HTTP/1.1 {reply.status} {reply.reason}"]
            lines += [f"{name}: {value}" for name, value in reply.headers]
            lines += [f"Content-Length: {len(reply.body)}", "Connection: close", "", ""]
            connection.sendall("\r\n".join(lines).encode("utf-8", "replace") + reply.body)
            connection.shutdown(socket.SHUT_WR)

    with raw_server(serve) as url:
        yield url.rstrip("/")


def tunnel(connection: socket.socket, closed: Callable[[], object] = lambda: None) -> None:
    """Serve a connection as a proxy does that is asked for a tunnel.

    ``closed`` is called when the target has closed the tunnel, and the one who asked can see it.
    """
    host, _, port = read_head(connection).split()[1].decode().partition(":")
    with socket.create_connection((host, int(port))) as target:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=_pass_on, args=(connection, target), daemon=True).start()
        _pass_on(target, connection)
        closed()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@cache
def certificate() -> tuple[Path, ssl.SSLContext]:
    """Return the file of a certificate for localhost, and the context for a server."""
    folder = tempfile.TemporaryDirectory(prefix="tap-zoom-cc-test-")
    atexit.register(folder.cleanup)
    key, file = (Path(folder.name) / name for name in ("key.pem", "certificate.pem"))
    kind = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        ["openssl", "req", *kind.split(), *names, "-keyout", key, "-out", file],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    return file, context


WAYS = ["plain", "proxy", *(pytest.param(way, marks=needs_openssl) for way in ("tls", "tunnel"))]


@contextmanager
def server_by(
    way: str,
    serve: Callable[[socket.socket], object],
    monkeypatch: pytest.MonkeyPatch,
    tunnel_closed: Callable[[], object] = lambda: None,
) -> Iterator[str]:
    """Serve as `raw_server` does; give the address by which the server is reached in one of `WAYS`.

    A proxy is one of the environment; it calls ``tunnel_closed`` as `tunnel` does.
    """
    without_proxies(monkeypatch)
    context = None
    with ExitStack() as stack:
        if way in {"tls", "tunnel"}:
            file, context = certificate()
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
        url = stack.enter_context(raw_server(serve, context))
        if way == "proxy":
            monkeypatch.setenv("http_proxy", url)
            url = "http://zoom.invalid/"
        elif way == "tunnel":
            proxy = raw_server(lambda connection: tunnel(connection, tunnel_closed))
            monkeypatch.setenv("https_proxy", stack.enter_context(proxy))
        yield url


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take proxies and certificates out of the environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

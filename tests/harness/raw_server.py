"""Servers that do with a connection whatever a test writes down, and a proxy in front of them.

`serving` is for a server of `http.server`, `raw_server` for what no such server does.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from socketserver import BaseServer

PATIENCE_SECONDS = 30

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
    message = "no port is free"
    raise RuntimeError(message)


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    """Serve in a thread until the end."""
    # It looks for its end as often as this says; the default is twice a second.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def raw_server(
    serve: Callable[[socket.socket], object], context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Accept connections and call a function with each, in threads; give the server's address.

    A connection is closed when the function returns, or when the other side goes away.

    Args:
        serve: what is done with a connection.
        context: the certificate, for a server that speaks TLS.
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


def tunnel(connection: socket.socket, closed: Callable[[], object] = lambda: None) -> None:
    """Serve a connection as a proxy does that is asked for a tunnel.

    Args:
        connection: of the one who asks.
        closed: called when the target has closed the tunnel, and the one who asked can see it.
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


def make_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for localhost; return its file, and the context for a server."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
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
    return certificate, context


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take proxies and certificates out of the environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

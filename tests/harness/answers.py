"""A server that answers as a test writes it down, byte for byte, whatever that is."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from typing_extensions import override

from tests.harness.raw_server import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Reply:
    """What is sent: everything after the status, headers and body as they are."""

    body: bytes
    status: int = 200
    reason: str = "OK"
    headers: tuple[tuple[str, str], ...] = ()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    @override
    def handle_error(self, *_: object) -> None:
        """Keep the tests' own output clean: the tap may hang up."""


@contextmanager
def answering(answer: Callable[[str], Reply]) -> Iterator[str]:
    """Answer each request with what a function of its path returns; give the server's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = answer(self.path)
            head = [f"HTTP/1.1 {reply.status} {reply.reason}"]
            head += [f"{name}: {value}" for name, value in reply.headers]
            head += [f"Content-Length: {len(reply.body)}", "Connection: close", "", ""]
            self.wfile.write("\r\n".join(head).encode("utf-8", "replace") + reply.body)

        def do_POST(self) -> None:
            self.do_GET()

        @override
        def log_message(self, *_: object) -> None:
            """Keep the tests' own output clean."""

    with _Server(("127.0.0.1", 0), Handler) as server, serving(server):
        yield f"http://127.0.0.1:{server.server_port}"

"""Sessions whose requests leave at their turn, end by a deadline, and bring bodies of bounded size.

A socket's timeout begins anew with each byte, so a server that sends one byte now and then is never
too slow for it. Here the timeout before each read is what is left of the whole request's time.

A connection is opened shortly before the turn. To connect takes a multiple of the time that a
request travels: done after the turn it would delay this request and not the next one, and too many
would then arrive within a second, although they were let through evenly. Opened long before the
turn, it would be closed again by the server.

A body that never ends must not fill the memory. The bound is on the decoded bytes, since a few
kilobytes of gzip can stand for gigabytes. urllib3 decodes no more at a time than it is asked for
(since version 2.6).
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from http import client as http_client
from http.cookiejar import DefaultCookiePolicy
from io import BufferedReader, BytesIO, RawIOBase
from math import inf
from typing import TYPE_CHECKING, Any, cast

from requests import ReadTimeout, RequestException, Session, Timeout, codes
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, InvalidProxyURL, InvalidSchema, ProxyError
from typing_extensions import override
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, ProxySchemeUnknown, ReadTimeoutError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from requests import PreparedRequest, Response
    from urllib3 import HTTPConnectionPool

    Wait: TypeAlias = Callable[[], AbstractContextManager[None]]
    Clock: TypeAlias = Callable[[], float]

LONGEST_IDLE_SECONDS = 30.0
"""A connection that was idle for longer is opened anew (own choice).

A firewall in between may have forgotten it without a word; servers keep most for longer.
"""

DEADLINE_SECONDS = 60.0
"""How long a request may take, from being sent to the last byte of the answer (own choice).

To connect may take as long. A page comes within a few seconds, a slow one within some twenty.
"""

LARGEST_BODY_BYTES = 32 << 20
"""Bytes of an answer that is read whole (own choice).

A page of 100 rows has some 350 kB. That leaves room for rows a hundred times as large, such as long
conversations, and ten threads that all read the largest body still fit a small machine.
"""

LARGEST_ERROR_BYTES = 256 << 10
"""Bytes of an error's answer that are read; what follows is left out (own choice).

Zoom's errors have a few hundred, and only a line of them is shown.
"""

READ_BYTES = 384 << 10
"""Bytes that are read at once: most pages in one piece.

With fewer, threads wake up for each small part of a page. With more, what the libraries hold while
they put very small chunks together would be larger than the largest body.
"""

NEEDS_PASSWORD = 407

PROXY_REFUSALS = (401, 403, 405, NEEDS_PASSWORD)
"""Answers of a proxy that it will give again (own choice); others may pass."""

_PROXY_SAYS = re.compile(r"Tunnel connection failed: ((\d+).*)")


class ProxyRefusedError(ProxyError):
    """A proxy refuses to pass requests on, or is of a kind that is not supported."""


class BodyTooLargeError(RequestException):
    """An answer's body is larger than any that is expected, or does not end."""


class DeadlineError(Timeout):
    """A request was given up because its deadline had passed."""

    def __init__(self) -> None:
        """Name the deadline."""
        super().__init__(f"the answer was not complete after {DEADLINE_SECONDS:g} s")


def session_for(
    url: str,
    turn: Wait = nullcontext,
    approach: Wait = nullcontext,
    clock: Clock = time.monotonic,
) -> Session:
    """Return a session for requests to one server. One thread may use it at a time.

    Its answers are complete when they are returned, and bounded: of an error's body only the
    beginning is there. Proxies and certificates are those that the environment names for the
    server. They are looked up once: requests would search the environment, and .netrc, again for
    each request.

    A request raises, besides what requests does:
        DeadlineError: if its deadline has passed.
        ProxyRefusedError: if the proxy will not pass it on, however often it is asked.
        BodyTooLargeError: if the answer is too large.

    Args:
        url: an address of the server.
        turn: entered right before a request is sent, left right after; what it raises ends the
            request.
        approach: entered before the connection is opened, left when the request was sent: the turn
            is near then.
        clock: gives seconds that only grow.
    """
    logging.getLogger("urllib3.connection").addFilter(_has_no_traceback)
    session = Session()
    environment = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies = environment["proxies"]
    session.verify = environment["verify"]
    session.cert = environment["cert"]
    session.trust_env = False
    # Nothing here rests on cookies; each new one would make all later requests longer.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter()
    adapter.sending = _Sending(turn, approach, clock)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _has_no_traceback(record: logging.LogRecord) -> bool:
    """Let a log record pass; urllib3 quotes headers that it cannot read, with a traceback."""
    return not record.exc_info


@dataclass
class _Sending:
    """What a session's connections have to know of the request that is being sent.

    They do not know the session itself: it and its pool of connections would keep each other alive,
    and the sockets would never be closed.
    """

    turn: Wait
    approach: Wait
    clock: Clock
    waiting: ExitStack = field(default_factory=ExitStack)
    """Keeps the request's place among those that are near their turn."""
    ends_at: float = inf
    """When the request is given up, or the connection that is opened for it, by the clock.

    It is set anew when the request leaves: the wait for a turn does not count.
    """


def _refusal_in(error: BaseException | None) -> str:
    """Return what a proxy answers that will refuse again; only the innermost error holds it."""
    while error:
        said = _PROXY_SAYS.fullmatch(str(error))
        if said and int(said[2]) in PROXY_REFUSALS:
            return said[1]
        error = error.__cause__ or error.__context__
    return ""


class _Adapter(HTTPAdapter):
    sending: _Sending

    @override
    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        sending = self.sending
        sending.ends_at = inf
        try:
            with ExitStack() as sending.waiting:
                sending.waiting.enter_context(sending.approach())
                with super().send(request, *args, **kwargs) as response:
                    is_whole = response.status_code == codes.ok
                    limit = LARGEST_BODY_BYTES if is_whole else LARGEST_ERROR_BYTES
                    body = read_body(response, limit, is_whole=is_whole)
        except RequestException as error:
            if sending.clock() >= sending.ends_at:
                raise DeadlineError from error
            if refusal := _refusal_in(error):
                raise ProxyRefusedError(f"the proxy answers {refusal}") from error
            raise
        if response.status_code == NEEDS_PASSWORD:
            raise ProxyRefusedError(f"the proxy answers {NEEDS_PASSWORD}")
        response.raw = BytesIO(body)
        return response

    @override
    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        try:
            found = super().get_connection_with_tls_context(request, verify, proxies, cert)
        except (InvalidProxyURL, InvalidSchema, ProxySchemeUnknown) as error:
            # The error may quote the proxy's password.
            raise ProxyRefusedError("a proxy of a kind that is not supported") from error
        pool = cast("HTTPConnectionPool", found)
        # Plain, TLS or through a proxy: only the pool knows which class that takes.
        connection_class = cast("type[HTTPConnection]", pool.ConnectionCls)
        if not issubclass(connection_class, _Connection):
            names: dict[str, object] = {"sending": self.sending}
            names["response_class"] = type("Answer", (_Answer,), dict(names))
            pool.ConnectionCls = type("Connection", (_Connection, connection_class), names)
        return pool


def read_body(response: Response, limit: int, *, is_whole: bool) -> bytes:
    """Return the body of a streamed response, decoded; no more than ``limit`` bytes are kept.

    Of a larger body the beginning is returned, unless it is to be whole.

    Raises:
        BodyTooLargeError: if the body is larger, and is to be had whole.
        requests.ReadTimeout: if nothing more came for too long.
        requests.exceptions.ChunkedEncodingError: if it broke off, or cannot be decoded.
    """
    # Not streamed chunk by chunk: a body of very small chunks would be a very long list.
    pieces: list[bytes] = []
    missing = limit + 1 if is_whole else limit
    try:
        while missing and (
            piece := response.raw.read(min(missing, READ_BYTES), decode_content=True)
        ):
            pieces.append(piece)
            missing -= len(piece)
    except ReadTimeoutError as error:
        raise ReadTimeout(error, response=response) from error
    except HTTPError as error:
        raise ChunkedEncodingError(error, response=response) from error
    if is_whole and not missing:
        message = f"the answer is larger than {limit:,} bytes, the most that is read of one"
        raise BodyTooLargeError(message, response=response)
    return b"".join(pieces)


class _TimedReader(RawIOBase):
    """Reads from a socket until a request's deadline, and waits no longer than the timeout."""

    def __init__(self, sending: _Sending, connected: socket.socket) -> None:
        self._sending = sending
        self._socket = connected
        self._timeout = connected.gettimeout() or inf
        # A socket stays open as long as a file of it is: a connection may let go of it earlier.
        self._file = connected.makefile("rb", buffering=0)

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int | None:
        left = self._sending.ends_at - self._sending.clock()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, self._timeout))
        return self._file.readinto(buffer)

    @override
    def close(self) -> None:
        self._file.close()
        super().close()


class _Answer(http_client.HTTPResponse):
    """The final answer to a request, whatever a server announces before it.

    Python passes over 100 alone. Any other interim answer, such as 103, would be taken for the
    final one, and this for the answer to the next request, perhaps about another account.
    """

    sending: _Sending

    @override
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = BufferedReader(_TimedReader(self.sending, sock))

    @override
    def begin(self) -> None:
        super().begin()
        while self.status < codes.ok:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _Connection(HTTPConnection):
    sending: _Sending
    _active_at = 0.0

    @override
    def connect(self) -> None:
        self.sending.ends_at = self.sending.clock() + DEADLINE_SECONDS
        super().connect()
        self._active_at = self.sending.clock()

    @property
    @override
    def is_connected(self) -> bool:
        """Whether the connection can still be used.

        To read nothing is the only way to know: a TLS server sends something after the handshake,
        which looks like an answer, and behind which the end of the connection would not be seen.
        """
        if self.sock is None or self.sending.clock() > self._active_at + LONGEST_IDLE_SECONDS:
            return False
        self.sock.settimeout(0.0)
        try:
            self.sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    @override
    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.is_closed:
            self.connect()
        with self.sending.turn():
            if not self.is_connected:
                # urllib3's own way to close would forget the tunnel through a proxy.
                http_client.HTTPConnection.close(self)
                self.connect()
            self.sending.ends_at = self.sending.clock() + DEADLINE_SECONDS
            super().request(*args, **kwargs)
            self._active_at = self.sending.clock()
        self.sending.waiting.close()

"""Sessions whose requests leave at their turn, end by a deadline, and bring bodies of bounded size.

A socket's timeout begins anew with each byte, so a server that sends one byte now and then is never
too slow for it. Here the timeout before each read is what is left of the whole request's time.

A connection is opened shortly before the turn. To connect takes a multiple of the time that a
request travels: done after the turn it would delay this request and not the next one, and too many
would then arrive within a second, although they were let through evenly. Opened long before the
turn, it would be closed again by the server.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from contextlib import ExitStack, nullcontext
from functools import partial
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from io import BufferedReader, BytesIO, RawIOBase
from math import inf
from typing import TYPE_CHECKING, Any, cast

from requests import RequestException, Session, Timeout, codes
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL, InvalidSchema, ProxyError
from typing_extensions import override
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ProxySchemeUnknown

from tap_zoom_cc.zoom.bodies import read_beginning, read_body

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


NEEDS_PASSWORD = 407

PROXY_REFUSALS = (401, 403, 405, NEEDS_PASSWORD)
"""Answers of a proxy that it will give again (own choice); others may pass."""

_PROXY_SAYS = re.compile(r"Tunnel connection failed: ((\d+).*)")


class ProxyRefusedError(ProxyError):
    """A proxy refuses to pass requests on, or is of a kind that is not supported."""


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
    sending = _Sending(turn, approach, clock)
    session = _Session(sending)
    environment = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies = environment["proxies"]
    session.verify = environment["verify"]
    session.cert = environment["cert"]
    session.trust_env = False
    # Nothing here rests on cookies; each new one would make all later requests longer.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(sending)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _has_no_traceback(record: logging.LogRecord) -> bool:
    """Let a log record pass; urllib3 quotes headers that it cannot read, with a traceback."""
    return not record.exc_info


class _Sending:
    """What a session's connections have to know of the request that is being sent.

    They do not know the session itself: it and its pool of connections would keep each other alive,
    and the sockets would never be closed.
    """

    def __init__(self, turn: Wait, approach: Wait, clock: Clock) -> None:
        self.turn = turn
        self.approach = approach
        self.clock = clock
        self.waiting = ExitStack()
        self.ends_at = inf
        """When the request is given up, by the steady clock; never while it waits for its turn."""

    def start(self) -> None:
        """Let the time begin, in place of one that began before."""
        self.ends_at = self.clock() + DEADLINE_SECONDS

    def pause(self) -> None:
        """Let no time pass."""
        self.ends_at = inf

    @property
    def is_late(self) -> bool:
        return self.clock() >= self.ends_at


class _Session(Session):
    def __init__(self, sending: _Sending) -> None:
        super().__init__()
        self._sending = sending

    @override
    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        self._sending.ends_at = inf
        try:
            with ExitStack() as self._sending.waiting:
                self._sending.waiting.enter_context(self._sending.approach())
                with super().send(request, **{**kwargs, "stream": True}) as response:
                    read = read_body if response.status_code == codes.ok else read_beginning
                    body = read(response)
        except RequestException as error:
            if self._sending.is_late:
                raise DeadlineError from error
            _raise_if_refused(error)
            raise
        if response.status_code == NEEDS_PASSWORD:
            message = f"the proxy answers {response.status_code}"
            raise ProxyRefusedError(message)
        response.raw = BytesIO(body)
        return response


def _raise_if_refused(error: BaseException) -> None:
    """Do nothing, unless an error comes from a proxy that will refuse again.

    Raises:
        ProxyRefusedError: with the proxy's answer, which only the innermost error holds, in words.
    """
    inner: BaseException | None = error
    while inner:
        said = _PROXY_SAYS.fullmatch(str(inner))
        if said and int(said[2]) in PROXY_REFUSALS:
            message = f"the proxy answers {said[1]}"
            raise ProxyRefusedError(message) from error
        inner = inner.__cause__ or inner.__context__


class _Adapter(HTTPAdapter):
    def __init__(self, sending: _Sending) -> None:
        super().__init__()
        self._sending = sending

    @override
    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        try:
            pool = cast(
                "HTTPConnectionPool",
                super().get_connection_with_tls_context(request, verify, proxies, cert),
            )
        except (InvalidProxyURL, InvalidSchema, ProxySchemeUnknown) as error:
            # The error may quote the proxy's password.
            message = "a proxy of a kind that is not supported"
            raise ProxyRefusedError(message) from error
        connection_class = cast("type[HTTPConnection]", pool.ConnectionCls)
        if not issubclass(connection_class, _Connection):
            # Plain, TLS or through a proxy: only the pool knows which class that takes.
            # Python 3.14 makes a method of a bare `partial`.
            answer = staticmethod(partial(_Answer, self._sending))
            parts = {"sending": self._sending, "response_class": answer}
            pool.ConnectionCls = type("Connection", (_Connection, connection_class), parts)
        return pool


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
        timeout = min(left, self._timeout)
        self._socket.settimeout(None if timeout == inf else timeout)
        return self._file.readinto(buffer)

    @override
    def close(self) -> None:
        self._file.close()
        super().close()


class _Answer(HTTPResponse):
    """The final answer to a request, whatever a server announces before it.

    Python passes over 100 alone. Any other interim answer, such as 103, would be taken for the
    final one, and this for the answer to the next request, perhaps about another account.
    """

    @override
    def __init__(self, sending: _Sending, sock: socket.socket, **kwargs: Any) -> None:
        super().__init__(sock, **kwargs)
        self.fp.close()
        self.fp = BufferedReader(_TimedReader(sending, sock))

    @override
    def begin(self) -> None:
        super().begin()
        while self.status < codes.ok:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _Connection(HTTPConnection):
    sending: _Sending
    _tunnel_arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    _active_at = 0.0

    @override
    def set_tunnel(self, *args: Any, **kwargs: Any) -> None:
        super().set_tunnel(*args, **kwargs)
        self._tunnel_arguments = args, kwargs

    @override
    def connect(self) -> None:
        self.sending.start()
        super().connect()
        self.sending.pause()
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
                self._reconnect()
            self.sending.start()
            super().request(*args, **kwargs)
            self._active_at = self.sending.clock()
        self.sending.waiting.close()

    def _reconnect(self) -> None:
        self.close()
        # Closing forgets the tunnel through a proxy.
        if self._tunnel_arguments:
            args, kwargs = self._tunnel_arguments
            self.set_tunnel(*args, **kwargs)
        self.connect()

"""Sessions whose requests leave at their turn, end by a deadline, and bring bodies of bounded size.

A connection is opened shortly before the turn. To connect takes a multiple of the time that a
request travels: done after the turn it would delay this request and not the next one, and too many
would then arrive within a second, although they were let through evenly. Opened long before the
turn, it would be closed again by the server.
"""

from __future__ import annotations

import logging
import ssl
import time
from contextlib import ExitStack, nullcontext
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from requests import Session, codes
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3.connection import HTTPConnection

from tap_zoom_cc.zoom.bodies import read_beginning, read_body
from tap_zoom_cc.zoom.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from requests import PreparedRequest, Response
    from urllib3 import HTTPConnectionPool

    Wait: TypeAlias = Callable[[], AbstractContextManager[None]]

LONGEST_IDLE_SECONDS = 30.0
"""A connection that was idle for longer is opened anew (own choice).

A firewall in between may have forgotten it without a word; servers keep most for longer.
"""


def session_for(url: str, turn: Wait = nullcontext, approach: Wait = nullcontext) -> Session:
    """Return a session for requests to one server. One thread may use it at a time.

    Its answers are complete when they are returned, and bounded: of an error's body only the
    beginning is there. Proxies and certificates are those that the environment names for the
    server. They are looked up once: requests would search the environment, and .netrc, again for
    each request.

    A request raises, besides what requests does:
        DeadlineError: if its deadline has passed.
        BodyTooLargeError: if the answer is too large.

    Args:
        url: an address of the server.
        turn: entered right before a request is sent, left right after; what it raises ends the
            request.
        approach: entered before the connection is opened, left when the request was sent: the turn
            is near then.
    """
    logging.getLogger("urllib3.connection").addFilter(_has_no_traceback)
    session = _Session(turn, approach)
    environment = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies = environment["proxies"]
    session.verify = environment["verify"]
    session.cert = environment["cert"]
    session.trust_env = False
    # Nothing here rests on cookies; each new one would make all later requests longer.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(session)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _has_no_traceback(record: logging.LogRecord) -> bool:
    """Let a log record pass; urllib3 quotes headers that it cannot read, with a traceback."""
    return not record.exc_info


class _Session(Session):
    def __init__(self, turn: Wait, approach: Wait) -> None:
        super().__init__()
        self.turn = turn
        self.deadline = Deadline()
        self.waiting = ExitStack()
        self._approach = approach

    @override
    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        with ExitStack() as self.waiting, Deadline() as self.deadline:
            self.waiting.enter_context(self._approach())
            with super().send(request, **{**kwargs, "stream": True}) as response:
                read = read_body if response.status_code == codes.ok else read_beginning
                body = read(response)
        response.raw = BytesIO(body)
        return response


class _Adapter(HTTPAdapter):
    def __init__(self, session: _Session) -> None:
        super().__init__()
        self._session = session

    @override
    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        pool = cast(
            "HTTPConnectionPool",
            super().get_connection_with_tls_context(request, verify, proxies, cert),
        )
        connection_class = cast("type[HTTPConnection]", pool.ConnectionCls)
        if not issubclass(connection_class, _Connection):
            # Plain, TLS or through a proxy: only the pool knows which class that takes.
            pool.ConnectionCls = type(
                "Connection", (_Connection, connection_class), {"session": self._session}
            )
        return pool


class _Answer(HTTPResponse):
    """The final answer to a request, whatever a server announces before it.

    Python passes over 100 alone. Any other interim answer, such as 103, would be taken for the
    final one, and this for the answer to the next request, perhaps about another account.
    """

    @override
    def begin(self) -> None:
        super().begin()
        while self.status < codes.ok:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _Connection(HTTPConnection):
    session: _Session
    response_class = _Answer
    _tunnel_arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    _active_at = 0.0

    @override
    def set_tunnel(self, *args: Any, **kwargs: Any) -> None:
        super().set_tunnel(*args, **kwargs)
        self._tunnel_arguments = args, kwargs

    @override
    def connect(self) -> None:
        with self.session.deadline.running(lambda: self.sock):
            super().connect()
        self._active_at = time.monotonic()

    @property
    @override
    def is_connected(self) -> bool:
        """Whether the connection can still be used.

        To read nothing is the only way to know: a TLS server sends something after the handshake,
        which looks like an answer, and behind which the end of the connection would not be seen.
        """
        if self.sock is None or time.monotonic() > self._active_at + LONGEST_IDLE_SECONDS:
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
        with self.session.turn():
            if not self.is_connected:
                self._reconnect()
            # The connection lets go of its socket before the answer is read when no other request
            # can follow.
            sent_through = self.sock
            self.session.deadline.start(lambda: sent_through)
            super().request(*args, **kwargs)
            self._active_at = time.monotonic()
        self.session.waiting.close()

    def _reconnect(self) -> None:
        self.close()
        # Closing forgets the tunnel through a proxy.
        if self._tunnel_arguments:
            args, kwargs = self._tunnel_arguments
            self.set_tunnel(*args, **kwargs)
        self.connect()

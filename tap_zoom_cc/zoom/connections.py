"""Connections that are open before a request's turn comes, so that it leaves at that very moment.

To connect takes a multiple of the time that a request travels. Done after the turn it would delay
this request and not the next one: too many would then arrive within a second, although they were
let through evenly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from requests import Session
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3.connection import HTTPConnection

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from requests import PreparedRequest
    from urllib3 import HTTPConnectionPool

    Turn: TypeAlias = Callable[[], AbstractContextManager[None]]


def paced_session(url: str, turn: Turn) -> Session:
    """Return a session for requests to one server, each sent at its turn.

    Proxies and certificates are those that the environment names for the server. They are looked up
    once: requests would search the environment, and .netrc, again for each request.

    Args:
        url: an address of the server.
        turn: entered right before a request is sent, left right after; what it raises ends the
            request.
    """
    session = Session()
    environment = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies = environment["proxies"]
    session.verify = environment["verify"]
    session.cert = environment["cert"]
    session.trust_env = False
    adapter = _PacedAdapter(turn)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _PacedAdapter(HTTPAdapter):
    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self._turn = turn

    @override
    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        pool = cast(
            "HTTPConnectionPool",
            super().get_connection_with_tls_context(request, verify, proxies, cert),
        )
        connection_class = cast("type[HTTPConnection]", pool.ConnectionCls)
        if not issubclass(connection_class, _PacedConnection):
            # Plain, TLS or through a proxy: only the pool knows which class that takes.
            pool.ConnectionCls = type(
                "PacedConnection",
                (_PacedConnection, connection_class),
                {"turn": staticmethod(self._turn)},
            )
        return pool


class _PacedConnection(HTTPConnection):
    turn: Turn
    _is_new = True

    @override
    def connect(self) -> None:
        super().connect()
        self._is_new = True

    @override
    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.is_closed:
            self.connect()
        with self.turn():
            # The server may have closed it during a long wait. Unused ones are not asked: what a
            # TLS server sends after the handshake looks like a closed connection. Nor are those
            # through a proxy: closing one forgets the tunnel.
            if not self._is_new and self.proxy is None and not self.is_connected:
                self.close()
                self.connect()
            super().request(*args, **kwargs)
            self._is_new = False

"""The answers that Starlette does not know: errors of Zoom's, and answers that break off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from starlette.responses import HTMLResponse, Response
from typing_extensions import override

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from simulator.errors import ApiError

JSON_TYPE = "application/json"


class Server(Protocol):
    """What a fault needs of the server: to cut a caller's connection."""

    def abort_connection(self, client: tuple[str, int]) -> None:
        """Close the connection from that address and port at once, unanswered."""


def error_response(error: ApiError) -> Response:
    """Give the answer that an error stands for."""
    return Response(error.body, error.status, error.headers, JSON_TYPE)


def html_response(status: int, page: str) -> Response:
    """Give a page as a gateway in front of Zoom would."""
    return HTMLResponse(page, status)


class CutResponse(Response):
    """An answer that announces its full length and breaks off in the middle.

    Returning before the body is complete makes the server close the connection.
    """

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head and half of the body."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


class NoResponse(Response):
    """No answer at all: the connection is reset. It stands in the log as status 0."""

    def __init__(self) -> None:
        super().__init__(status_code=0)

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut the connection, and wait until the server has noticed."""
        server = cast("Server", scope["app"].state.server)
        server.abort_connection(tuple(scope["client"]))
        while (await receive())["type"] != "http.disconnect":
            pass

"""The ASGI application: Zoom's endpoints, and the simulator's own under ``/_simulator``."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from simulator import errors, faults
from simulator.answers import JSON_TYPE, error_response
from simulator.control import control_routes
from simulator.faults import Exchange
from simulator.statistics import HEAVY

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from simulator.control import Stage
    from simulator.pages import Page
    from simulator.scenario import Endpoint, Stream
    from simulator.statistics import Entry
    from simulator.world import World

_BEARER = "Bearer "

_SCOPES: dict[tuple[Endpoint, bool], str] = {
    ("accounts", True): "account:read:list_sub_accounts:master",
    ("sms", True): "contact_center:read:sms_log:master",
    ("voice_calls", True): "contact_center:read:voice_call_log:master",
    ("sms", False): "contact_center:read:sms_log:admin",
    ("voice_calls", False): "contact_center:read:voice_call_log:admin",
}
"""By endpoint, and whether it is the master one: the scope that is needed."""


def build_app(stage: Stage) -> Starlette:
    """Put the application together.

    Whoever serves it sets ``app.state.server`` to a `simulator.answers.Server`, which cuts
    connections for the faults that need it.

    Args:
        stage: holds the world that is served, and is told of a new one.
    """
    endpoints = _Endpoints(stage)
    return Starlette(
        routes=[
            Route("/oauth/token", endpoints.token, methods=["POST"]),
            Route("/v2/accounts", endpoints.accounts, methods=["GET"]),
            *(
                Route(path, endpoint, methods=["GET"])
                for stream in ("sms", "voice_calls")
                for path, endpoint in (
                    (
                        f"/v2/accounts/{{account_id}}/contact_center/{stream}",
                        endpoints.master(stream),
                    ),
                    (f"/v2/contact_center/{stream}", endpoints.ordinary(stream)),
                )
            ),
            *control_routes(stage),
        ],
        exception_handlers={HTTPException: _not_routed},
    )


class _Endpoints:
    """Zoom's endpoints. Each makes its answer; `_exchange` is what all have in common."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def token(self, request: Request) -> Response:
        """Answer a request for an access token."""
        world = self._stage.world
        body = await request.body()

        def answer() -> bytes:
            _check_credentials(world, request, body)
            world.recorder.tokens_issued += 1
            return msgspec.json.encode(
                {
                    "access_token": world.access_tokens.issue(),
                    "token_type": "bearer",
                    "expires_in": world.scenario.limits.access_token_seconds,
                    "scope": " ".join(world.scenario.scopes),
                    "api_url": str(request.base_url).rstrip("/"),
                }
            )

        return await self._exchange(world, request, "token", None, answer)

    async def accounts(self, request: Request) -> Response:
        """Answer a request for the list of sub accounts."""
        world = self._stage.world

        def answer() -> Page:
            _authorize(world, request, "accounts", master=True)
            return world.accounts_page(request.query_params.multi_items())

        return await self._exchange(world, request, "accounts", None, answer)

    def master(self, stream: Stream) -> Callable[[Request], object]:
        """Give the endpoint for a sub account's engagements."""

        async def endpoint(request: Request) -> Response:
            world = self._stage.world
            account_id: str = request.path_params["account_id"]

            def answer() -> Page:
                _authorize(world, request, stream, master=True)
                if not world.is_sub_account(account_id):
                    raise errors.unknown_account(account_id)
                return world.engagement_page(stream, account_id, request.query_params.multi_items())

            return await self._exchange(world, request, stream, account_id, answer)

        return endpoint

    def ordinary(self, stream: Stream) -> Callable[[Request], object]:
        """Give the endpoint for the engagements of the app's own account."""

        async def endpoint(request: Request) -> Response:
            world = self._stage.world
            account_id = world.scenario.account_id

            def answer() -> Page:
                _authorize(world, request, stream, master=False)
                return world.engagement_page(stream, account_id, request.query_params.multi_items())

            return await self._exchange(world, request, stream, account_id, answer)

        return endpoint

    async def _exchange(
        self,
        world: World,
        request: Request,
        endpoint: Endpoint,
        account_id: str | None,
        answer: Callable[[], Page | bytes],
    ) -> Response:
        """Answer a request, with all that happens to any: counting, limits, delay and faults."""
        exchange = Exchange(
            endpoint=endpoint,
            account_id=account_id,
            bearer=_bearer(request),
            page_token=request.query_params.get("next_page_token", ""),
            now=world.now(),
        )
        recorder = world.recorder
        entry = recorder.arrive(
            endpoint, account_id, request.url.path, request.url.query, exchange.bearer
        )
        status = 0
        try:
            too_many, headers = (
                world.limiter.admit(exchange.now) if endpoint in HEAVY else (None, {})
            )
            await _delay(world, exchange, entry)
            response = _answer_instead(world, exchange, entry)
            if response is None:
                try:
                    if too_many is not None:
                        raise too_many
                    response = _good_answer(world, exchange, entry, answer())
                    response.headers.update(headers)
                except errors.ApiError as error:
                    response = error_response(error)
            status = response.status_code
            response.headers["Date"] = world.date()
            return response
        finally:
            recorder.leave(entry, status)


async def _delay(world: World, exchange: Exchange, entry: Entry) -> None:
    seconds = world.scenario.limits.latency_seconds
    for strike in world.faults.strikes(faults.DELAY, exchange):
        entry.faults.append(strike.fault.kind)
        seconds += strike.fault.seconds
    if seconds:
        await asyncio.sleep(seconds)


def _answer_instead(world: World, exchange: Exchange, entry: Entry) -> Response | None:
    strike = next(world.faults.strikes(faults.INSTEAD, exchange), None)
    if strike is None:
        return None
    entry.faults.append(strike.fault.kind)
    if strike.fault.kind == "access_token_expired":
        world.access_tokens.revoke(exchange.bearer)
    return faults.INSTEAD[strike.fault.kind](strike, exchange)


def _good_answer(world: World, exchange: Exchange, entry: Entry, answer: Page | bytes) -> Response:
    if isinstance(answer, bytes):
        body = answer
    else:
        page = answer
        for strike in world.faults.strikes(faults.ON_PAGE, exchange, page):
            entry.faults.append(strike.fault.kind)
            faults.ON_PAGE[strike.fault.kind].spoil(page, strike)
        entry.rows = len(page.rows)
        body = page.encode(lambda offset: world.page_tokens.issue(page.owner, page.listing, offset))
    spoiling = next(world.faults.strikes(faults.ON_BODY, exchange), None)
    if spoiling is None:
        return Response(body, media_type=JSON_TYPE)
    entry.faults.append(spoiling.fault.kind)
    return faults.ON_BODY[spoiling.fault.kind](body)


def _bearer(request: Request) -> str:
    given = request.headers.get("authorization", "")
    return given[len(_BEARER) :] if given.startswith(_BEARER) else ""


def _authorize(world: World, request: Request, endpoint: Endpoint, *, master: bool) -> None:
    """Refuse a request without a living access token, or whose token lacks the scope."""
    world.access_tokens.check(_bearer(request))
    needed = _SCOPES[endpoint, master]
    if needed not in world.scenario.scopes:
        raise errors.missing_scopes(needed)


def _check_credentials(world: World, request: Request, body: bytes) -> None:
    """Refuse a request for a token that has not the app's credentials, or another form."""
    scenario = world.scenario
    known = base64.b64encode(f"{scenario.client_id}:{scenario.client_secret}".encode()).decode()
    if request.headers.get("authorization") != f"Basic {known}":
        raise errors.ApiError(
            400, {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}
        )
    form = parse_qs(body.decode(errors="replace"))
    if form.get("grant_type") != ["account_credentials"]:
        raise errors.ApiError(
            400, {"reason": "Unsupported grant type", "error": "unsupported_grant_type"}
        )
    if form.get("account_id") != [scenario.account_id]:
        raise errors.ApiError(400, {"reason": "Bad Request", "error": "invalid_request"})


async def _not_routed(_: Request, __: Exception) -> Response:
    """Answer a path that is no endpoint, or a method that an endpoint does not have."""
    return error_response(errors.unknown_endpoint())

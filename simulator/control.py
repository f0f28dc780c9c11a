"""The simulator's own endpoints, under ``/_simulator``: truth, counts, clock, scenario."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from simulator.answers import JSON_TYPE
from simulator.scenario import STREAMS, Clock, load
from simulator.statistics import Recorder
from simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.requests import Request

    from simulator.scenario import Scenario

_LINES_AT_ONCE = 500


class Stage:
    """Where a world is played; the one place that knows which world that is."""

    def __init__(self, scenario: Scenario) -> None:
        self.world = World(scenario)

    def replace(self, scenario: Scenario) -> None:
        """Serve another scenario from the next request on."""
        self.world = World(scenario, previous=self.world)


def control_routes(stage: Stage) -> list[Route]:
    """Give the routes of the control endpoints. None asks for authorization."""
    endpoints = _Endpoints(stage)
    return [
        Route("/_simulator/truth", endpoints.truth, methods=["GET"]),
        Route("/_simulator/counts", endpoints.counts, methods=["GET"]),
        Route("/_simulator/stats", endpoints.stats, methods=["GET"]),
        Route("/_simulator/reset-stats", endpoints.reset_stats, methods=["POST"]),
        Route("/_simulator/warm-up", endpoints.warm_up, methods=["POST"]),
        Route("/_simulator/scenario", endpoints.replace_scenario, methods=["PUT"]),
        Route("/_simulator/clock", endpoints.set_clock, methods=["PATCH"]),
    ]


class _Endpoints:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def truth(self, request: Request) -> Response:
        """Give the engagements of ``stream``, of ``account_id`` if given, as JSON lines."""
        stream = request.query_params.get("stream")
        if stream not in STREAMS:
            return _refused(f"stream must be one of {', '.join(STREAMS)}")
        lines = self._stage.world.truth(stream, request.query_params.get("account_id"))
        return StreamingResponse(_blocks(lines), media_type="application/x-ndjson")

    async def counts(self, _: Request) -> Response:
        """Give rows, first and last start time by stream and account."""
        return _json(self._stage.world.counts())

    async def stats(self, _: Request) -> Response:
        """Give what was seen since the last reset."""
        return _json(self._stage.world.recorder.statistics())

    async def reset_stats(self, _: Request) -> Response:
        """Forget what was seen."""
        self._stage.world.recorder = Recorder()
        return Response(status_code=204)

    async def warm_up(self, _: Request) -> Response:
        """Make up all engagements before anybody asks for them."""
        self._stage.world.warm_up()
        # Looking through all that for garbage would stop the server for a moment, again and again.
        gc.freeze()
        return Response(status_code=204)

    async def replace_scenario(self, request: Request) -> Response:
        """Serve the scenario in the body instead."""
        try:
            self._stage.replace(load(await request.body()))
        except ValueError as error:
            return _refused(str(error))
        return Response(status_code=204)

    async def set_clock(self, request: Request) -> Response:
        """Set the simulated now: ``{"now": …}``."""
        try:
            self._stage.world.set_clock(msgspec.json.decode(await request.body(), type=Clock))
        except ValueError as error:
            return _refused(str(error))
        return Response(status_code=204)


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join lines into blocks: a server handles a few large ones faster than many small ones."""
    block: list[bytes] = []
    for line in lines:
        block.append(line)
        if len(block) == _LINES_AT_ONCE:
            yield b"".join(block)
            block.clear()
    yield b"".join(block)


def _json(value: Any) -> Response:  # noqa: ANN401 - whatever msgspec can encode
    return Response(msgspec.json.encode(value), media_type=JSON_TYPE)


def _refused(message: str) -> Response:
    return Response(message, 400, media_type="text/plain")

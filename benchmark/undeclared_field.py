"""A field that no schema declares, in every row: what decoding costs beside rows that fit."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec

from benchmark.job import Job
from benchmark.table import Row
from simulator.process import SimulatorProcess
from simulator.scenario import STREAMS
from tap_zoom_cc.rows.decoder import RowDecoder
from tap_zoom_cc.zoom.filters import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simulator.scenario import Stream

MOST_TIMES_FITTING = 2.0


def measure(*, quick: bool) -> Iterator[Row]:
    """Measure both streams, with the new field in the row itself and in what it lists."""
    with SimulatorProcess(Job(rows=1_000 if quick else 10_000).scenario()) as simulator:
        for stream in STREAMS:
            rows = [_as_answered(row) for row in simulator.truth(stream)]
            yield from _compare(stream, rows, rounds=3 if quick else 9)


def _as_answered(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "account_id"}


def _compare(stream: Stream, rows: Sequence[dict[str, Any]], *, rounds: int) -> Iterator[Row]:
    """Decode three kinds of rows in turn, so that a busy moment of the machine meets them all."""
    added = {"new_field": {"since": "today"}}
    listed = [{**row, "agents": [{**agent, **added} for agent in _agents(row)]} for row in rows]
    kinds: Mapping[str, list[msgspec.Raw]] = {
        "as declared": _as_json(rows),
        "a new field in each row": _as_json([{**row, **added} for row in rows]),
        "a new field in each agent": _as_json(listed),
    }
    decoders = {
        kind: RowDecoder(SCHEMAS.get_schema(stream), lambda *_: None, added=("account_id",))
        for kind in kinds
    }
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, encoded in kinds.items():
            decode = decoders[kind].decode
            begin = time.process_time()
            for row in encoded:
                decode(row)
            taken[kind].append((time.process_time() - begin) / len(encoded) * 1e6)
    fitting = taken.pop("as declared")
    for kind, seconds in taken.items():
        yield Row(
            f"Decoding {stream} with {kind} ÷ without",
            median(new / old for new, old in zip(seconds, fitting, strict=True)),
            MOST_TIMES_FITTING,
            detail=f"{median(seconds):.1f} against {median(fitting):.1f} µs a row",
        )


def _agents(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [agent for agent in row.get("agents") or [] if agent is not None]


def _as_json(rows: Sequence[Mapping[str, Any]]) -> list[msgspec.Raw]:
    return [msgspec.Raw(msgspec.json.encode(row)) for row in rows]

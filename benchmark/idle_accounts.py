"""Many accounts in which nothing happens: the second sync of most days and most accounts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from benchmark.job import Job
from benchmark.programs import run_tap
from benchmark.table import Row
from simulator.process import SimulatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.measure import Measured
    from simulator.statistics import Statistics

LIMIT = 10
LATENCY_SECONDS = 0.3
STREAMS = 2

SPAN = timedelta(days=7)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Second:
    """A second sync, beside one of a single account, which is what starting the tap takes."""

    accounts: int
    measured: Measured
    start: Measured
    statistics: Statistics

    @property
    def bytes_per_account(self) -> float:
        return (self.measured.output_bytes - self.start.output_bytes) / (self.accounts - 1)

    @property
    def milliseconds_per_account(self) -> float:
        seconds = self.measured.processor_seconds - self.start.processor_seconds
        return seconds / (self.accounts - 1) * 1000


def measure(*, quick: bool) -> Iterator[Row]:
    """Measure some accounts, and five times as many."""
    few, many = (20, 100) if quick else (200, 1_000)
    start, _ = _sync_twice(1)
    results = []
    for count in (few, many):
        measured, statistics = _sync_twice(count)
        results.append(_Second(count, measured, start, statistics))
    for result in results:
        statistics = result.statistics
        requests = sum(statistics.statuses.values()) - statistics.tokens_issued
        fewest = result.accounts * STREAMS
        floor = fewest / LIMIT
        yield Row(
            f"Requests ÷ fewest: second sync of {result.accounts:,} idle accounts, 10 requests/s",
            requests / fewest,
            1.0,
            3,
            detail=f"{requests:,}, and {statistics.tokens_issued} for a token",
        )
        yield Row(
            "— wall time ÷ floor",
            result.measured.wall_seconds / floor,
            1.10,
            detail=f"{result.measured.wall_seconds:.1f} s, floor {floor:.1f} s",
        )
    small, large = results
    yield Row(
        f"Output per account, {many:,} accounts ÷ {few}",
        large.bytes_per_account / small.bytes_per_account,
        1.10,
        detail=f"{large.bytes_per_account:,.0f} against {small.bytes_per_account:,.0f} bytes",
    )
    yield Row(
        f"Processor time per account, {many:,} accounts ÷ {few}",
        large.milliseconds_per_account / small.milliseconds_per_account,
        1.10,
        detail=f"{large.milliseconds_per_account:.1f} against "
        f"{small.milliseconds_per_account:.1f} ms, start-up not counted",
    )


def _sync_twice(count: int) -> tuple[Measured, Statistics]:
    """Sync up to yesterday, then up to now.

    Returns:
        What the second sync took, and what the simulator saw of it.
    """
    first = Job(rows=0, shares=(0.0,) * count, span=SPAN)
    second = replace(first, latency=LATENCY_SECONDS, limit=LIMIT)
    with SimulatorProcess(first.scenario()) as simulator:
        yesterday = (first.end - DAY).isoformat()
        state = msgspec.json.decode(run_tap(first, simulator, end_date=yesterday).last_line)
        simulator.replace(second.scenario())
        measured = run_tap(second, simulator, state=msgspec.json.encode(state["value"]))
        return measured, simulator.stats()

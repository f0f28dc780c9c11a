"""Many accounts in which nothing happens: the second sync of most days and most accounts.

Zoom's limit is what a thousand of them wait for. In the same time, five thousand must take for each
account what a thousand do: of the processor, of memory, of state and of output. Also where all of
them rest, so that to plan the sync is all that is done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import msgspec

from benchmark.job import Job
from benchmark.measure import ProgramFailedError
from benchmark.programs import run_tap
from benchmark.table import Row
from simulator.process import SimulatorProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmark.measure import Measured
    from simulator.statistics import Statistics

LIMIT = 10
LATENCY_SECONDS = 0.3
STREAMS = 2

SECONDS = 100
"""How long a sync of few or of many accounts takes where they are compared: a thousand of them at
Zoom's limit would take twice as long. STATE is written by time, too."""

HOURS_OF_REST = 168
RUNS_AT_REST = 5

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
    yield from _in_the_same_time(*((50, 250) if quick else (1_000, 5_000)))


def _in_the_same_time(few: int, many: int) -> Iterator[Row]:
    """Compare many accounts with few, all listed, in syncs that ask all and that ask none."""
    start, small, large = (_sync_listed(count) for count in (1, few, many))
    compared = f"per account, {many:,} accounts ÷ {few:,}"
    for what, unit, figure in _FIGURES:
        per_account = [
            (figure(figures) - figure(start)) / (count - 1)
            for figures, count in ((large, many), (small, few))
        ]
        yield Row(
            f"{what}: {compared}",
            per_account[0] / per_account[1],
            1.10,
            detail=f"{per_account[0]:,.1f} against {per_account[1]:,.1f} {unit}",
        )


@dataclass(frozen=True, slots=True)
class _Listed:
    """A second sync of accounts that are listed, one after it in which all rest, and the state."""

    asked: Measured
    at_rest: Measured
    state_bytes: int


_FIGURES: tuple[tuple[str, str, Callable[[_Listed], float]], ...] = (
    ("Processor time", "ms", lambda each: each.asked.processor_seconds * 1e3),
    ("— the same, all at rest", "ms", lambda each: each.at_rest.processor_seconds * 1e3),
    ("Peak memory", "kB", lambda each: each.asked.peak_bytes / 1e3),
    ("— the same, all at rest", "kB", lambda each: each.at_rest.peak_bytes / 1e3),
    ("State", "bytes", lambda each: each.state_bytes),
    ("Output, most of it STATE messages", "bytes", lambda each: each.asked.output_bytes),
)


def _sync_listed(count: int) -> _Listed:
    """Sync up to yesterday, then up to now, then once more while all rest."""
    job = Job(rows=0, shares=(0.0,) * count, span=SPAN)
    with SimulatorProcess(job.scenario()) as simulator:
        yesterday = (job.end - DAY).isoformat()
        first = run_tap(job, simulator, sub_account_ids=None, end_date=yesterday)
        asked = run_tap(
            job,
            simulator,
            sub_account_ids=None,
            state=_state_of(first),
            requests_per_second=max(1, count * STREAMS // SECONDS),
        )
        # The silence began with the history, years before the present of this machine's clock.
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        rested = _state_of(asked).replace(job.end.isoformat().encode(), now.encode())
        simulator.reset_stats()
        # Of so short a run, starting Python is the most; the least of some is the steadiest.
        at_rest = min(
            (
                run_tap(
                    job,
                    simulator,
                    sub_account_ids=None,
                    end_date=None,
                    state=rested,
                    quiet_accounts_hours=HOURS_OF_REST,
                )
                for _ in range(RUNS_AT_REST)
            ),
            key=lambda measured: measured.processor_seconds,
        )
        if any(simulator.stats().requests.get(stream) for stream in job.streams):
            raise ProgramFailedError("an account was asked though all were meant to rest")
    return _Listed(asked, at_rest, len(_state_of(asked)))


def _state_of(measured: Measured) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(measured.last_line)["value"])


def _sync_twice(count: int) -> tuple[Measured, Statistics]:
    """Sync up to yesterday, then up to now.

    Returns:
        What the second sync took, and what the simulator saw of it.
    """
    first = Job(rows=0, shares=(0.0,) * count, span=SPAN)
    second = replace(first, latency=LATENCY_SECONDS, limit=LIMIT)
    with SimulatorProcess(first.scenario()) as simulator:
        yesterday = (first.end - DAY).isoformat()
        state = _state_of(run_tap(first, simulator, end_date=yesterday))
        simulator.replace(second.scenario())
        measured = run_tap(second, simulator, state=state)
        return measured, simulator.stats()

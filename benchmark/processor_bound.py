"""Where nothing but the processor limits: the tap against a loop that does the bare minimum."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmark.job import Job
from benchmark.programs import run_bare_loop, run_tap
from benchmark.table import Row
from simulator.process import SimulatorProcess
from simulator.scenario import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.scenario import Stream

MOST_TIMES_BARE = 2.5


def measure(*, quick: bool) -> Iterator[Row]:
    """Measure each stream by itself, and both together."""
    selections: Sequence[Sequence[Stream]] = [*((stream,) for stream in STREAMS), STREAMS]
    for streams in selections:
        yield from _compare(streams, rows=10_000 if quick else 100_000, rounds=1 if quick else 3)


def _compare(streams: Sequence[Stream], *, rows: int, rounds: int) -> Iterator[Row]:
    """Run both programs in turn, so that a busy moment of the machine meets both."""
    job = Job(rows=rows, streams=streams)
    with SimulatorProcess(job.scenario()) as simulator:
        pairs = [(run_tap(job, simulator), run_bare_loop(job, simulator)) for _ in range(rounds)]
    count = job.expected_rows()
    name = " and ".join(streams)
    yield Row(
        f"Processor time ÷ bare loop: {name}, {rows:,} rows each",
        median(tap.processor_seconds / bare.processor_seconds for tap, bare in pairs),
        MOST_TIMES_BARE,
        detail=f"{_per_row([tap.processor_seconds for tap, _ in pairs], count)} against "
        f"{_per_row([bare.processor_seconds for _, bare in pairs], count)} µs a row",
    )
    yield Row(
        "— rows a second of processor time",
        count / median(tap.processor_seconds for tap, _ in pairs),
        digits=0,
        detail=f"{count / median(tap.wall_seconds for tap, _ in pairs):,.0f} a second of wall "
        "time, the simulator on the same machine",
    )


def _per_row(seconds: Sequence[float], rows: int) -> str:
    return f"{median(seconds) / rows * 1e6:.0f}"

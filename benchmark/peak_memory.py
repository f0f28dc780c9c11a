"""What the tap takes in memory: it may not depend on how much there is to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.job import HALF_A_YEAR, Job
from benchmark.programs import run_tap
from benchmark.table import Row
from simulator.process import SimulatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_MEGABYTES = 200
MOST_GROWTH = 1.33
TIMES = 10


def measure(*, quick: bool) -> Iterator[Row]:
    """Measure N rows, ten times as many in the same time, and ten times the history."""
    rows = 3_000 if quick else 15_000
    small = _megabytes(Job(rows=rows))
    yield Row(f"Peak memory: {rows * 2:,} rows, half a year", small, MOST_MEGABYTES, 0, " MB")
    larger = {
        "in half a year": Job(rows=rows * TIMES),
        "in five years": Job(rows=rows * TIMES, span=HALF_A_YEAR * TIMES),
    }
    for name, job in larger.items():
        large = _megabytes(job)
        yield Row(f"— {rows * 2 * TIMES:,} rows {name}", large, MOST_MEGABYTES, 0, " MB")
        yield Row("— — growth", large / small, MOST_GROWTH)


def _megabytes(job: Job) -> float:
    with SimulatorProcess(job.scenario()) as simulator:
        return run_tap(job, simulator).peak_bytes / 1e6

"""Where Zoom's rate limit is what people wait for: nothing may come on top of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.job import YEAR, Job
from benchmark.programs import run_tap
from benchmark.table import Row
from simulator.process import SimulatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 10
LATENCY_SECONDS = 0.3

SHARES = (0.46, 0.25, 0.14, 0.08, 0.05, 0.0195, 0.0005)
"""Of the accounts: one is nearly half of all, one nearly idle."""


def measure(*, quick: bool) -> Iterator[Row]:
    """Measure a backfill of half a year at Zoom's limit, and a year's without any."""
    job = Job(rows=6_000 if quick else 58_000, shares=SHARES, latency=LATENCY_SECONDS, limit=LIMIT)
    fewest = job.fewest_requests()
    with SimulatorProcess(job.scenario()) as simulator:
        # While it makes up engagements it takes no request, and those that wait arrive in a bunch.
        simulator.warm_up()
        measured = run_tap(job, simulator)
        statistics = simulator.stats()
    requests = sum(statistics.statuses.values()) - statistics.tokens_issued
    name = f"half a year, {len(SHARES)} accounts, {measured.records:,} rows, 10 requests/s, 0.3 s"
    floor = fewest / LIMIT
    yield Row(
        f"Wall time ÷ floor: {name}",
        measured.wall_seconds / floor,
        1.10,
        detail=f"{measured.wall_seconds:.1f} s, floor {floor:.1f} s",
    )
    yield Row(
        "— requests ÷ fewest",
        requests / fewest,
        1.05,
        3,
        detail=f"{requests:,} of {fewest:,}, and {statistics.tokens_issued} for a token",
    )
    yield Row("— refused for the rate (429)", statistics.rate_limited, 0, 0)
    yield Row("— most requests in any one second", statistics.most_requests_in_one_second, LIMIT, 0)
    yield _year(quick=quick)


def _year(*, quick: bool) -> Row:
    job = Job(rows=20_000 if quick else 120_000, shares=SHARES, span=YEAR)
    fewest = job.fewest_requests()
    with SimulatorProcess(job.scenario()) as simulator:
        measured = run_tap(job, simulator)
        statistics = simulator.stats()
    requests = sum(statistics.statuses.values()) - statistics.tokens_issued
    return Row(
        f"Requests ÷ fewest: a year, {len(SHARES)} accounts, {measured.records:,} rows",
        requests / fewest,
        1.05,
        3,
        detail=f"{requests:,} of {fewest:,}",
    )

"""A history of fifty days and two runs over it, with which most tests of a sync begin."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from simulator.scenario import STREAMS, Clock, Scenario

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import Account, Stream
    from tests.harness.singer import Record

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
FIRST_RUN = datetime(2024, 2, 20, 15, 30, tzinfo=timezone.utc)
SECOND_RUN = FIRST_RUN + DAY


def scenario(*accounts: Account, **options: Any) -> Scenario:  # noqa: ANN401 (Scenario's)
    """Return a Zoom with these accounts, as it is in the first run."""
    return Scenario(
        accounts=accounts,
        history_begin=BEGIN,
        history_end=SECOND_RUN,
        **{"clock": Clock(now=FIRST_RUN), **options},
    )


def engagement(name: str, start: datetime, end: datetime, **fields: object) -> Record:
    """Return an engagement that a scenario names one by one, as the API gives it."""
    times = {"start_time": start.isoformat(), "end_time": end.isoformat()}
    return {"engagement_id": f"{name}-0000000000", **times, **fields}


def requests_to(simulator: SimulatorProcess, stream: Stream) -> list[dict[str, list[str]]]:
    """Return the query parameters of all requests to an endpoint, in order."""
    return [parse_qs(entry.query) for entry in simulator.stats().log if entry.endpoint == stream]


def requests_sent(simulator: SimulatorProcess) -> int:
    """Return how many requests came for engagements: those that ``max_requests_per_run`` counts."""
    return sum(len(requests_to(simulator, stream)) for stream in STREAMS)


def accounts_asked(simulator: SimulatorProcess, stream: Stream) -> list[str | None]:
    """Return the accounts asked for, in order."""
    return [entry.account_id for entry in simulator.stats().log if entry.endpoint == stream]

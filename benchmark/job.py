"""What is to be read: the simulated accounts, the range of time, and the fewest requests for it.

A job says the same to every program: to the tap as a configuration, to the bare loop and the peers
as a JSON document. The random histories are the simulator's and always the same.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from simulator.engagements import History
from simulator.scenario import STREAMS, Account, Clock, Limits, Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream

WINDOW = timedelta(days=28)
PAGE_SIZE = 100

BEGIN = datetime(2016, 1, 1, tzinfo=timezone.utc)
HALF_A_YEAR = timedelta(days=182)
YEAR = timedelta(days=365)

QUIET_END = timedelta(days=4)
"""Nothing starts in the last days, so that every engagement is over when it is read."""

NO_LIMIT = 1000
"""The most requests a second that the tap can be set to."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Rows of several accounts over a range of time.

    ``shares`` are the accounts' parts of the rows; ``rows`` is how many there are in each stream.
    ``span`` is the range read, without a bookmark. Latency is in seconds, ``limit`` in requests a
    second: what the server allows and the tap is set to; None is no limit.
    """

    rows: int
    shares: Sequence[float] = (0.25, 0.25, 0.25, 0.25)
    span: timedelta = HALF_A_YEAR
    streams: Sequence[Stream] = STREAMS
    latency: float = 0.0
    limit: int | None = None

    @property
    def account_ids(self) -> list[str]:
        """The sub accounts, largest share first."""
        return [f"bEnChMaRk{number:013d}" for number in range(len(self.shares))]

    @property
    def end(self) -> datetime:
        """The end of the range, at which the simulated clock stands."""
        return BEGIN + self.span

    def scenario(self) -> Scenario:
        """Return what the simulator is to serve."""
        return Scenario(
            accounts=tuple(
                Account(
                    id=account_id,
                    sms=round(self.rows * share),
                    voice_calls=round(self.rows * share),
                )
                for account_id, share in zip(self.account_ids, self.shares, strict=True)
            ),
            history_begin=BEGIN,
            history_end=self.end - QUIET_END,
            clock=Clock(now=self.end),
            limits=Limits(requests_per_second=self.limit, latency_seconds=self.latency),
        )

    def windows(self) -> list[tuple[datetime, datetime]]:
        """Cut the range into windows of 28 days."""
        cuts = [BEGIN]
        while cuts[-1] < self.end:
            cuts.append(min(cuts[-1] + WINDOW, self.end))
        return list(pairwise(cuts))

    def expected_rows(self) -> int:
        """Return the rows of all accounts and of the streams that are read."""
        accounts = self.scenario().accounts
        return sum(account.generated(stream) for account in accounts for stream in self.streams)

    def fewest_requests(self) -> int:
        """Return how many pages all windows have: an empty window is one request."""
        scenario = self.scenario()
        fewest = 0
        for account in scenario.accounts:
            for stream in self.streams:
                starts = History(scenario, account, stream).starts
                for begin, end in self.windows():
                    rows = bisect_left(starts, end.timestamp()) - bisect_left(
                        starts, begin.timestamp()
                    )
                    fewest += max(1, -(-rows // PAGE_SIZE))
        return fewest

    def tap_config(self, simulator: SimulatorProcess) -> dict[str, object]:
        """Return the tap's settings for this job."""
        return {
            **simulator.tap_config(),
            "sub_account_ids": self.account_ids,
            "start_date": BEGIN.isoformat(),
            "end_date": self.end.isoformat(),
            "requests_per_second": self.limit or NO_LIMIT,
        }

    def document(self, simulator: SimulatorProcess) -> bytes:
        """Return the job as JSON, for the bare loop and the peers."""
        return msgspec.json.encode(
            {
                **simulator.tap_config(),
                "sub_account_ids": self.account_ids,
                "streams": self.streams,
                "begin": BEGIN.isoformat(),
                "end": self.end.isoformat(),
                "windows": [(begin.isoformat(), end.isoformat()) for begin, end in self.windows()],
                "requests_per_second": self.limit,
            }
        )

"""What regular syncs cost, long after the first: how often a row is read again, and for how much.

Nothing is requested here: the tap's own functions say from when each sync reads, how that is cut
into windows and which of them are split, and the simulator's histories say how many engagements are
listed there by then. A sync without mishaps is nothing else, and so a week can be had for each of
many phases: how often the deepest read comes into that week depends on the account's phase.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from benchmark.job import BEGIN
from benchmark.rate_bound import SHARES
from benchmark.table import Row
from simulator.engagements import History
from simulator.scenario import STREAMS, Account, Scenario
from tap_zoom_cc.sync.check import pages_for
from tap_zoom_cc.sync.lookback import Progress, begin_of_reread
from tap_zoom_cc.sync.windows import Cut, Parent, Window, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from simulator.scenario import Stream

    Begin = Callable[["datetime", "datetime"], "datetime"]

A_DAY: dict[Stream, int] = {"sms": 2_000, "voice_calls": 5_000}
"""Engagements of all accounts."""

LOOKBACKS = {"sms": timedelta(days=14), "voice_calls": timedelta(days=2)}
"""The defaults."""

LISTING_SECONDS = 60
"""How long after its end an engagement is listed."""

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PHASES = [number * timedelta(hours=9, minutes=7) for number in range(64)]
"""They are spread over the longest steps, 512 hours at 14 days and 64 at two, and over an hour."""

EARLIER = timedelta(days=42)
"""What lies before the first sync that is counted: more than the deepest read."""


@dataclass(slots=True)
class Cost:
    """What some syncs took."""

    requests: int = 0
    rows: int = 0

    def add(self, listed: Listed, begin: datetime, end: datetime, *, split: bool) -> None:
        """Add a sync of an account's stream from ``begin`` to ``end``, which is the present."""
        for window in Cut(begin, end):
            self.requests += _requests(listed, window, None) if split else _pages(listed, window)
        self.rows += listed.count(Window(begin, end))


@dataclass(slots=True)
class Listed:
    """The engagements of an account and stream, and which are listed at ``present``."""

    history: History
    _ends: list[int] = field(init=False)
    _unlisted: list[int] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Sort the ends: they say how many become visible from one instant to another."""
        self._ends = sorted(self.history.ends)

    def look_at(self, present: datetime) -> None:
        """Let it be that instant: what ended less than a minute before is not listed yet."""
        newest = present.timestamp() - LISTING_SECONDS
        first = bisect_left(self.history.starts, newest - self.history.longest)
        self._unlisted = [
            start
            for start, end in zip(
                self.history.starts[first:], self.history.ends[first:], strict=True
            )
            if end > newest
        ]

    def count(self, window: Window) -> int:
        """Return how many engagements that start in a window are listed."""
        begin, end = window.begin.timestamp(), window.end.timestamp()
        return sum(
            sign * (bisect_right(starts, end) - bisect_left(starts, begin))
            for sign, starts in ((1, self.history.starts), (-1, self._unlisted))
        )

    def new(self, since: datetime, until: datetime) -> int:
        """Return how many became visible in that time."""
        first, last = (time.timestamp() - LISTING_SECONDS for time in (since, until))
        return bisect_right(self._ends, last) - bisect_right(self._ends, first)

    def newest_start(self, present: datetime) -> datetime:
        """Return the newest start of what a sync at that instant has seen."""
        end = bisect_right(self.history.starts, present.timestamp())
        unlisted = set(self._unlisted)
        starts = self.history.starts
        newest = next(n for n in range(end - 1, -1, -1) if starts[n] not in unlisted)
        return present - timedelta(seconds=present.timestamp() - starts[newest])


def _pages(listed: Listed, window: Window) -> int:
    return pages_for(listed.count(window))


def _requests(listed: Listed, window: Window, parent: Parent | None) -> int:
    """Return the requests for a window: its pages, or its first page and then its parts."""
    rows = listed.count(window)
    parts = parts_of(window, rows=rows, size=0, parent=parent)
    if not parts:
        return pages_for(rows)
    return 1 + sum(_requests(listed, part, Parent(window, rows)) for part in parts)


def measure(*, quick: bool) -> Iterator[Row]:
    """Count a week of hourly syncs and a month of daily ones, of one account and of several."""
    phases = PHASES[::8] if quick else PHASES
    for name, every, syncs in (("a week of hourly", HOUR, 7 * 24), ("a month of daily", DAY, 30)):
        for shares in ((1.0,), SHARES):
            accounts = "one account" if len(shares) == 1 else f"{len(shares)} accounts"
            aimed = every == HOUR
            ruler, fixed, peers, fewest = _syncs(shares, every, syncs, phases)
            yield Row(
                f"Requests ÷ fewest: {name} syncs, {accounts}, {sum(A_DAY.values()):,} rows a day",
                ruler.requests / fewest.requests,
                8.0 if aimed and len(shares) == 1 else None,
                1,
                detail=f"{ruler.requests * DAY / (syncs * every):,.0f} a day; the whole lookback "
                f"each time: {fixed.requests / fewest.requests:,.1f}, "
                f"in dlt or Airbyte: {peers.requests / fewest.requests:,.1f}",
            )
            yield Row(
                "— rows sent ÷ new rows",
                ruler.rows / fewest.rows,
                11.0 if aimed else None,
                1,
                detail=f"the whole lookback each time: {fixed.rows / fewest.rows:,.1f}, "
                f"in dlt or Airbyte: {peers.rows / fewest.rows:,.1f}",
            )


def _syncs(
    shares: Sequence[float], every: timedelta, syncs: int, phases: Sequence[timedelta]
) -> tuple[Cost, Cost, Cost, Cost]:
    """Count regular syncs of both streams.

    Returns:
        What they take on average over the phases, what they would take with a fixed lookback and
        in dlt or Airbyte, and the least of all.
    """
    costs = ruler, fixed, peers, fewest = Cost(), Cost(), Cost(), Cost()
    for stream in STREAMS:
        lookback = LOOKBACKS[stream]
        for listed in _accounts(stream, shares, EARLIER + every * syncs):
            for number in range(syncs):
                bookmark = BEGIN + EARLIER + every * number
                end = bookmark + every
                listed.look_at(bookmark)
                newest_start = listed.newest_start(bookmark)
                listed.look_at(end)
                new = listed.new(bookmark, end)
                fewest.requests += pages_for(new)
                fewest.rows += new
                fixed.add(listed, bookmark - lookback, end, split=True)
                peers.add(listed, newest_start - lookback, end, split=False)
                for phase in phases:
                    begin = begin_of_reread(
                        Progress(bookmark), end=end, lookback=lookback, phase=phase, start_date=None
                    )
                    ruler.add(listed, begin, end, split=True)
    ruler.requests = round(ruler.requests / len(phases))
    ruler.rows = round(ruler.rows / len(phases))
    return costs


def _accounts(stream: Stream, shares: Sequence[float], span: timedelta) -> Iterator[Listed]:
    """Yield the histories of accounts, together so many engagements a day."""
    sms, voice_calls = (A_DAY[name] * (span / DAY) for name in ("sms", "voice_calls"))
    accounts = tuple(
        Account(
            id=f"bEnChMaRk{number:013d}",
            sms=round(sms * share),
            voice_calls=round(voice_calls * share),
        )
        for number, share in enumerate(shares)
    )
    scenario = Scenario(accounts=accounts, history_begin=BEGIN, history_end=BEGIN + span)
    for account in accounts:
        yield Listed(History(scenario, account, stream))

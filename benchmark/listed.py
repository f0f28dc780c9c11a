"""What a sync takes, without one: what is listed in a range by an instant, and in how many pages.

The tap's own functions say how a range is cut into windows and which of them are split, and the
simulator's histories how many engagements are listed there by then. `tests/test_steady.py` holds
these counts against the command line.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from tap_zoom_cc.sync.window_rows import pages_for
from tap_zoom_cc.sync.windows import (
    Cut,
    Parent,
    Window,
    parts_of,
    samples_of,
    would_come_twice,
)

if TYPE_CHECKING:
    from datetime import datetime

    from simulator.engagements import History

LISTING_SECONDS = 60
"""How long after its end an engagement is listed."""


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
    """Return the requests for a window: its pages, or its first page, samples, and its parts."""
    rows = listed.count(window)
    parts = parts_of(window, rows=rows, size=0, parent=parent)
    if not parts:
        return pages_for(rows)
    samples: list[int] = []
    twice: bool | None = None
    for sample in samples_of(window, rows=rows, parts=len(parts), parent=parent):
        samples.append(listed.count(sample))
        twice = would_come_twice(rows, parts=len(parts), samples=samples)
        if twice is not None:
            break
    if twice:
        return pages_for(rows) + len(samples)
    of_parts = sum(_requests(listed, part, Parent(window, rows)) for part in parts)
    return 1 + len(samples) + of_parts

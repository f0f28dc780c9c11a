"""Within a run each version of an engagement leaves once, however many windows it comes in."""

from __future__ import annotations

import gc
import random
import tracemalloc
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_zoom_cc.rows.decoder import RowKey
from tap_zoom_cc.sync.window_rows import RETURN_PERIOD, Emitted, WindowRows
from tap_zoom_cc.sync.windows import SECOND, Window

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
BEGIN = datetime(2024, 2, 29, tzinfo=timezone.utc)
EARLIER = Window(BEGIN, BEGIN + DAY)
LATER = Window(EARLIER.end, EARLIER.end + DAY)
KEY = RowKey("one", EARLIER.end, EARLIER.end)
"""An engagement at the boundary: both windows have it."""


@dataclass
class Target:
    """What is emitted, of rows that come one by one, each later than the one before."""

    emitted: Emitted = field(default_factory=Emitted)
    clock: count[int] = field(default_factory=count)

    def gets(
        self, window: Window, key: RowKey = KEY, text: str = "", came_at: float | None = None
    ) -> bool:
        """Say whether a row is emitted."""
        rows = WindowRows(window)
        row = msgspec.Raw(f'{{"x": "{text}"}}'.encode())
        moment = next(self.clock) if came_at is None else came_at
        rows.rows[key.row_id] = (key, row, moment)
        return list(self.emitted.news(rows)) == [(key, row)]


def test_what_stayed_the_same_is_no_news() -> None:
    target = Target()
    assert [target.gets(window) for window in (EARLIER, LATER)] == [True, False]
    assert target.gets(LATER, RowKey("two", EARLIER.end))


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab")), min_size=1, max_size=9))
def test_the_version_that_came_last_is_the_last_that_is_emitted(
    rows: list[tuple[int, str]],
) -> None:
    target = Target()
    kept = [text for moment, text in rows if target.gets(LATER, text=text, came_at=moment)]
    latest = max(moment for moment, _ in rows)
    assert kept[-1] == [text for moment, text in rows if moment == latest][-1]
    assert all(kept[n] != kept[n + 1] for n in range(len(kept) - 1))


@given(st.integers(0, 100), st.integers(0, 200))
def test_an_engagement_is_remembered_for_48_hours_after_its_end(
    lasts_hours: int, later_hours: int
) -> None:
    end = EARLIER.end + lasts_hours * HOUR
    key = RowKey("one", EARLIER.begin, end)
    target = Target()
    assert target.gets(EARLIER, key)
    begin = end + later_hours * HOUR
    assert target.gets(Window(begin, begin + DAY), key) == (later_hours > 48)


@pytest.mark.parametrize("hours", [(0, 100), (100, 0)], ids=["longer", "an older version"])
def test_an_engagement_is_remembered_from_the_latest_end_that_it_came_with(
    hours: tuple[int, int],
) -> None:
    target = Target()
    for moment, lasts in zip((2, 0) if hours[0] else (0, 2), hours, strict=True):
        target.gets(EARLIER, RowKey("one", BEGIN, EARLIER.end + lasts * HOUR), came_at=moment)
    end = EARLIER.end + 100 * HOUR
    later = Window(end + RETURN_PERIOD, end + RETURN_PERIOD + DAY)
    assert not target.gets(later, RowKey("one", BEGIN, end), came_at=3)


def test_what_cannot_come_again_takes_no_memory() -> None:
    window = Window(EARLIER.begin, EARLIER.begin + 28 * DAY)
    emitted = Emitted()
    row = msgspec.Raw(random.randbytes(3_500))
    ended = window.end - RETURN_PERIOD - SECOND
    names = [f"engagement{number}" for number in range(20_000)]
    old, new = WindowRows(window), WindowRows(window)
    old.rows = {name: (RowKey(name, BEGIN, ended), row, 0.0) for name in names[:10_000]}
    new.rows = {name: (RowKey(name, BEGIN, window.end), row, 0.0) for name in names[10_000:]}
    tracemalloc.start()
    assert sum(1 for _ in emitted.news(old)) == 10_000
    gc.collect()  # Python keeps some of the tuples that it has sorted by.
    assert tracemalloc.get_traced_memory()[0] < 10_000
    assert sum(1 for _ in emitted.news(new)) == 10_000
    per_engagement = tracemalloc.get_traced_memory()[0] / 10_000
    tracemalloc.stop()
    assert per_engagement < 200, "rows are kept, or more than a hash of them"


def test_an_engagement_without_an_end_is_remembered_from_its_window() -> None:
    key = RowKey("one", EARLIER.begin)
    begin = EARLIER.end + RETURN_PERIOD
    for delay, is_news in ((timedelta(0), False), (SECOND, True)):
        target = Target()
        assert target.gets(EARLIER, key)
        assert target.gets(Window(begin + delay, begin + 9 * DAY), key) == is_news


def test_an_engagement_that_ends_before_it_starts_is_remembered_from_its_window() -> None:
    key = RowKey("one", EARLIER.end, datetime(1970, 1, 1, tzinfo=timezone.utc))
    target = Target()
    assert [target.gets(window, key) for window in (EARLIER, LATER)] == [True, False]


def test_an_engagement_that_stays_open_is_remembered_from_where_it_came_last() -> None:
    key = RowKey("one", BEGIN)
    target = Target()
    days = [Window(BEGIN + day * DAY, BEGIN + (day + 1) * DAY) for day in range(9)]
    assert [target.gets(window, key) for window in days] == [True] + [False] * 8

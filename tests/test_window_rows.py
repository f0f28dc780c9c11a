"""A window's rows: whether they are all, on a list that lives, and which of them leave, once."""

from __future__ import annotations

import gc
import random
import tracemalloc
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_zoom_cc.rows.decoder import RowKey
from tap_zoom_cc.sync.window_rows import RETURN_PERIOD, Emitted, Pass, WindowRows
from tap_zoom_cc.sync.windows import (
    AIMED_BYTES,
    LONGEST_WINDOW,
    MOST_BYTES,
    SECOND,
    Answered,
    Window,
    answered,
    asked_and_named,
    parts_of,
)
from tests.harness.history import BEGIN, DAY, HOUR

WINDOW = Window(BEGIN, BEGIN + LONGEST_WINDOW)
NOW = WINDOW.end


@dataclass
class Page:
    """A page of an answer, with as much of it as the check reads."""

    rows: list[msgspec.Raw] | None
    total_records: int | None = None
    next_page_token: str | None = None
    begin: object = None
    end: object = None


def row(name: str, text: str = "") -> msgspec.Raw:
    """Return a row; one with a capital letter for a name ended after the start of the run."""
    content = f'{{"engagement_id": "{name}", "start_time": "2024-01-02T00:00:00Z", "x": "{text}"'
    ended = f', "end_time": "{(NOW + SECOND).isoformat()}"' if name.isupper() else ""
    return msgspec.Raw(f"{content}{ended}}}".encode())


# Whether they are all

Pages: TypeAlias = "list[tuple[str, int | None]]"
"""The letters that name the rows of each page, and its total."""


def add_pass(rows: WindowRows, pages: Pages, *, is_cut: bool = False) -> None:
    rows.this_pass = Pass()
    for position, (names, total) in enumerate(pages, 1):
        token = "more" if is_cut or position < len(pages) else ""
        rows.add(Page([row(name) for name in names], total, token))


# Whole after which pass, 0 being never.
PASSES: dict[str, tuple[int, list[Pages]]] = {
    "as many rows as announced": (1, [[("ab", 3), ("c", 3)]]),
    # Newest first, by offset: the new row x pushes b onto the second page once more.
    "what is added meanwhile": (1, [[("ab", 3), ("bc", 4)]]),
    # One of the first two rows goes away, so that c moves to the page that was read already.
    "a total that shrinks once": (2, [[("ab", 4), ("d", 3)], [("bc", 3), ("d", 3)]]),
    "one is added, one goes away": (2, [[("ab", 4), ("bc", 4)], [("xa", 4), ("bc", 4)]]),
    "rows of two passes, but of none": (0, [[("ab", 3)], [("bc", 4)]]),
    "rows that never come": (0, [[("ab", 3)]] * 3),
    "totals that always shrink, no news": (2, [[("ab", 4), ("cd", 3)]] * 2),
    "totals that flicker, no news": (
        2,
        [[("ab", 4), ("c", 3), ("d", 5)], [("ab", 5), ("c", 4), ("d", 5)]],
    ),
    "totals that are all too high, no news": (0, [[("ab", 5), ("c", 4)]] * 2),
    "totals that shrink, always news": (
        0,
        [[("ab", 4), ("c", 3)], [("ab", 4), ("d", 3)], [("ab", 4), ("e", 3)]],
    ),
    "what ended after the start is no news": (2, [[("ab", 4), ("c", 3)], [("ab", 4), ("cD", 3)]]),
    "too few for a total on the second page": (0, [[("ab", None), ("c", 4)]]),
    "enough for a total on the second page": (1, [[("ab", None), ("c", 3)]]),
    "no total at all, and an end": (1, [[("ab", None), ("c", None)]]),
    "an empty page that takes back": (0, [[("a", 3), ("", 0)]]),
    "an empty page that announces": (0, [[("", 5)]]),
    "one that announces, one that takes back": (0, [[("", 5), ("", 0)]]),
}


@pytest.mark.parametrize("name", PASSES)
def test_a_range_is_whole_after_a_pass_that_is_whole_or_that_brings_nothing_new(name: str) -> None:
    whole_after, passes = PASSES[name]
    rows = WindowRows(WINDOW, now=NOW)
    for number, pages in enumerate(passes, 1):
        add_pass(rows, pages)
        rows.end_pass(number)
        assert rows.is_whole == (number == whole_after), f"after pass {number}"
    assert rows.rows.keys() == {each for pages in passes for names, _ in pages for each in names}


def test_without_any_total_a_pass_that_does_not_end_in_order_is_not_whole() -> None:
    rows = WindowRows(WINDOW, now=NOW)
    add_pass(rows, [("a", None)], is_cut=True)
    rows.end_pass(1)
    assert not rows.is_whole


def test_of_two_rows_with_one_id_the_later_counts() -> None:
    rows, single = WindowRows(WINDOW, now=NOW), WindowRows(WINDOW, now=NOW)
    rows.add(Page([row("a", text="earlier")], 1))
    for each in (rows, single):
        each.add(Page([row("a", text="later")], 1))
    assert b"later" in bytes(memoryview(rows.rows["a"][1]))
    assert rows.size == single.size


def test_a_window_with_large_rows_is_split_by_their_bytes() -> None:
    rows = WindowRows(WINDOW, now=NOW)
    rows.add(Page([row(str(number), text="x" * 20_000) for number in range(100)], 2_400, "more"))
    expected = rows.expected_size
    parts = parts_of(WINDOW, rows=rows.expected_rows, size=expected, parent=None)
    assert len(parts) == -(-expected // AIMED_BYTES)
    assert (parts[0].begin, parts[-1].end) == (WINDOW.begin, WINDOW.end)
    assert expected == rows.size * 24 > MOST_BYTES


# Which range was answered

DAYS = Window(BEGIN, BEGIN + 28 * DAY)
HOURS = Window(BEGIN + 9 * HOUR, BEGIN + 12 * HOUR)
ASKED, LESS, NOTHING, ANOTHER = Answered


@pytest.mark.parametrize(
    ("request_", "begin", "end", "expected"),
    [
        (DAYS, None, None, ASKED),
        (DAYS, "2024-01-01T00:00:00Z", "2024-01-29T00:00:00Z", ASKED),
        (DAYS, "2024-01-01", "2024-01-28", ASKED),
        (DAYS, "2024-01-01T14:00:00", "2024-01-29T14:00:00", ASKED),
        (DAYS, "2023-12-31T10:00:00Z", "2024-01-28T10:00:00Z", ASKED),
        (DAYS, "2024-01-01T14:00:00+14:00", "2024-01-28T12:00:00-12:00", ASKED),
        (DAYS, "2023-12-01", "9999-12-31", ASKED),
        (DAYS, "nonsense", "2024-01-29", ASKED),
        (DAYS, 1_700_000_000, "2024-01-29", ASKED),
        (DAYS, "2024-01-01T00:00:59+00:00", "2024-01-29T00:00:00+00:00", ASKED),
        (DAYS, "2024-01-01T00:00+00:00", "2024-01-28T23:59+00:00", ASKED),
        (DAYS, "2024-01-01T00:01:00+00:00", "2024-01-29T00:00:00+00:00", LESS),
        (DAYS, "2024-01-01T00:00:00+00:00", "2024-01-28T23:58:59+00:00", LESS),
        (DAYS, "2024-01-01T15:00:00Z", "2024-01-30T15:00:00Z", LESS),
        (DAYS, "2024-01-01", "2024-01-27", LESS),
        (DAYS, "2023-12-01", "2023-12-31T23:00:00", LESS),
        (DAYS, "2024-01-29T14:00:00", "2024-02-28", LESS),
        (DAYS, "2024-01-29T14:00:01", "2024-02-28", ANOTHER),
        (DAYS, "2024-01-29T06:00:00Z", "2024-01-29T06:00:00Z", NOTHING),
        (DAYS, "2024-02-20", "2024-01-29T00:00:00Z", NOTHING),
        (DAYS, "2023-11-01", "2023-12-29", ANOTHER),
        (DAYS, "2023-12-01T00:00:00+00:00", "2023-12-31T23:00:00+00:00", ANOTHER),
        (HOURS, "2024-01-01", "2024-01-01", ASKED),
        (HOURS, "2024-01-01T09:00:00Z", "2024-01-01T10:00:00Z", LESS),
        (HOURS, "2024-01-01T10:00:00+00:00", "2024-01-01T13:00:00+00:00", LESS),
        (HOURS, "2023-12-31T16:00:00Z", "2023-12-31T18:59:59Z", LESS),
        (HOURS, "2023-12-31T16:00:00Z", "2023-12-31T18:59:58Z", ANOTHER),
    ],
)
def test_the_range_that_an_answer_names_is_compared_with_the_one_asked_for(
    request_: Window, begin: object, end: str | None, expected: Answered
) -> None:
    assert answered(request_, Page([], begin=begin, end=end)) is expected


@pytest.mark.parametrize(
    "end", ["eyJhbGciOiJIUzUxMiJ9.secret", None, f"2024-01-01T00:00:00.{'1' * 99}Z"]
)
def test_an_error_tells_no_more_of_a_named_range_than_its_times(end: object) -> None:
    told = asked_and_named(WINDOW, Page([], begin="2024-01-02", end=end))
    assert told == f"asked for {WINDOW}, Zoom answered for 2024-01-02 to (no time)"


# Which rows leave: each version of an engagement once, however many windows it comes in

MIDNIGHT = datetime(2024, 2, 29, tzinfo=timezone.utc)
EARLIER = Window(MIDNIGHT, MIDNIGHT + DAY)
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


@pytest.mark.parametrize("end", [None, datetime(1970, 1, 1, tzinfo=timezone.utc)])
def test_an_engagement_without_an_end_or_with_an_impossible_one_is_remembered_from_its_window(
    end: datetime | None,
) -> None:
    begin = EARLIER.end + RETURN_PERIOD
    for delay, is_news in ((timedelta(0), False), (SECOND, True)):
        target = Target()
        key = RowKey("one", EARLIER.begin, end)
        assert target.gets(EARLIER, key)
        assert target.gets(Window(begin + delay, begin + 9 * DAY), key) == is_news
    # One that starts at the window's end, or after it.
    target = Target()
    key = RowKey("one", EARLIER.end + HOUR, end)
    assert [target.gets(window, key) for window in (EARLIER, LATER)] == [True, False]


@pytest.mark.parametrize("hours", [(0, 100), (100, 0)], ids=["longer", "an older version"])
def test_an_engagement_is_remembered_from_the_latest_end_that_it_came_with(
    hours: tuple[int, int],
) -> None:
    target = Target()
    for moment, lasts in zip((2, 0) if hours[0] else (0, 2), hours, strict=True):
        target.gets(EARLIER, RowKey("one", MIDNIGHT, EARLIER.end + lasts * HOUR), came_at=moment)
    end = EARLIER.end + 100 * HOUR
    later = Window(end + RETURN_PERIOD, end + RETURN_PERIOD + DAY)
    assert not target.gets(later, RowKey("one", MIDNIGHT, end), came_at=3)


def test_what_comes_when_another_is_forgotten_is_remembered() -> None:
    begin = EARLIER.end + RETURN_PERIOD + SECOND
    later, target = Window(begin, begin + DAY), Target()
    new = RowKey("new", begin, later.end)
    assert target.gets(EARLIER, RowKey("old", EARLIER.begin, EARLIER.end))
    assert target.gets(later, new)
    assert not target.gets(later, new)


def test_what_cannot_come_again_takes_no_memory() -> None:
    window = Window(EARLIER.begin, EARLIER.begin + 28 * DAY)
    emitted = Emitted()
    row = msgspec.Raw(random.randbytes(3_500))
    ended = window.end - RETURN_PERIOD - SECOND
    names = [f"engagement{number}" for number in range(20_000)]
    old, new = WindowRows(window), WindowRows(window)
    old.rows = {name: (RowKey(name, MIDNIGHT, ended), row, 0.0) for name in names[:10_000]}
    new.rows = {name: (RowKey(name, MIDNIGHT, window.end), row, 0.0) for name in names[10_000:]}
    tracemalloc.start()
    assert sum(1 for _ in emitted.news(old)) == 10_000
    gc.collect()  # Python keeps some of the tuples that it has sorted by.
    assert tracemalloc.get_traced_memory()[0] < 10_000
    assert sum(1 for _ in emitted.news(new)) == 10_000
    per_engagement = tracemalloc.get_traced_memory()[0] / 10_000
    tracemalloc.stop()
    assert per_engagement < 200, "rows are kept, or more than a hash of them"

"""A range is whole when one pass through its pages is whole by itself, on a list that lives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_zoom_cc.sync.window_rows import Pass, WindowRows
from tap_zoom_cc.sync.windows import (
    AIMED_BYTES,
    LONGEST_WINDOW,
    MOST_BYTES,
    Answered,
    Window,
    answered,
    asked_and_named,
    parts_of,
)

BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
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


def row(name: str, end: datetime | None = None, text: str = "") -> msgspec.Raw:
    ended = f', "end_time": "{end.isoformat()}"' if end else ""
    content = f'{{"engagement_id": "{name}", "start_time": "2024-01-02T00:00:00Z", "x": "{text}"'
    return msgspec.Raw(f"{content}{ended}}}".encode())


def read(*passes: list[tuple[str, int | None]], whole_after: int) -> WindowRows:
    """Read passes of pages, each the letters that name its rows and its total.

    Asserts that the range is whole after so many passes and not before; 0 stands for never.
    """
    rows = WindowRows(WINDOW, now=NOW)
    for number, pages in enumerate(passes, 1):
        rows.this_pass = Pass()
        for position, (names, total) in enumerate(pages, 1):
            token = "more" if position < len(pages) else ""
            rows.add(Page([row(name) for name in names], total, token))
        rows.end_pass(number)
        assert rows.is_whole == (number == whole_after), f"after pass {number}"
    return rows


Passes: TypeAlias = "list[list[tuple[str, int | None]]]"

WHOLE_AFTER: dict[str, tuple[int, Passes]] = {
    "as many rows as announced": (1, [[("ab", 3), ("c", 3)]]),
    # Newest first, by offset: the new row x pushes b onto the second page once more.
    "what is added meanwhile": (1, [[("ab", 3), ("bc", 4)]]),
    # One of the first two rows goes away, so that c moves to the page that was read already.
    "a total that shrinks once": (2, [[("ab", 4), ("d", 3)], [("bc", 3), ("d", 3)]]),
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
    "too few for a total on the second page": (0, [[("ab", None), ("c", 4)]]),
    "enough for a total on the second page": (1, [[("ab", None), ("c", 3)]]),
    "no total at all, and an end": (1, [[("ab", None), ("c", None)]]),
    "an empty page that takes back": (0, [[("a", 3), ("", 0)]]),
    "an empty page that announces": (0, [[("", 5)]]),
}


@pytest.mark.parametrize("name", WHOLE_AFTER)
def test_a_range_is_whole_after_a_pass_that_is_whole_or_that_brings_nothing_new(name: str) -> None:
    whole_after, passes = WHOLE_AFTER[name]
    rows = read(*passes, whole_after=whole_after)
    assert rows.rows.keys() == {each for pages in passes for names, _ in pages for each in names}


def test_an_engagement_that_ended_after_the_start_of_the_run_is_no_news() -> None:
    rows = WindowRows(WINDOW, now=NOW)
    for number, late in ((1, []), (2, [row("late", NOW + timedelta(seconds=1))])):
        rows.this_pass = Pass()
        rows.add(Page([row("a"), row("b")], 4, "more"))
        rows.add(Page([row("c"), *late], 3))
        rows.end_pass(number)
    assert rows.is_whole


def test_a_pass_cut_by_an_expired_token_counts_for_nothing() -> None:
    rows = WindowRows(WINDOW, now=NOW)
    rows.this_pass = Pass()
    rows.add(Page([row("a")], 2, "more"))
    rows.this_pass = Pass()
    rows.add(Page([row("b")], 2))
    rows.end_pass(1)
    assert rows.rows.keys() == {"a", "b"}
    assert not rows.is_whole


def test_without_any_total_a_pass_that_does_not_end_in_order_is_not_whole() -> None:
    rows = WindowRows(WINDOW, now=NOW)
    rows.this_pass = Pass()
    rows.add(Page([row("a")], None, "more"))
    rows.end_pass(1)
    assert not rows.is_whole


def test_of_two_rows_with_one_id_the_later_counts() -> None:
    rows = WindowRows(WINDOW, now=NOW)
    for text in ("earlier", "later"):
        rows.this_pass = Pass()
        rows.add(Page([row("a", text=text)], 1))
    assert b"later" in bytes(memoryview(rows.rows["a"][1]))
    single = WindowRows(WINDOW, now=NOW)
    single.add(Page([row("a", text="later")], 1))
    assert rows.size == single.size


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=1, max_size=8))
def test_a_pass_is_never_whole_with_fewer_rows_than_its_first_page_announced(
    pages: list[tuple[int, int]],
) -> None:
    rows, delivered = WindowRows(WINDOW, now=NOW), 0
    for count, total in pages:
        rows.add(Page([row(str(delivered + number)) for number in range(count)], total))
        delivered += count
    rows.end_pass(1)
    assert not rows.is_whole or delivered >= (rows.this_pass.first_total or 0)


@pytest.mark.parametrize(
    "end", ["eyJhbGciOiJIUzUxMiJ9.secret", None, f"2024-01-01T00:00:00.{'1' * 99}Z"]
)
def test_an_error_tells_no_more_of_a_named_range_than_its_times(end: object) -> None:
    told = asked_and_named(WINDOW, Page([], begin="2024-01-02", end=end))
    assert told == f"asked for {WINDOW}, Zoom answered for 2024-01-02 to (no time)"


def test_a_window_with_large_rows_is_split_by_their_bytes() -> None:
    rows = WindowRows(WINDOW, now=NOW)
    rows.add(Page([row(str(number), text="x" * 20_000) for number in range(100)], 2_400, "more"))
    expected = rows.expected_size
    parts = parts_of(WINDOW, rows=rows.expected_rows, size=expected, parent=None)
    assert len(parts) == -(-expected // AIMED_BYTES)
    assert (parts[0].begin, parts[-1].end) == (WINDOW.begin, WINDOW.end)
    assert expected == rows.size * 24 > MOST_BYTES


DAYS = Window(BEGIN, BEGIN + timedelta(days=28))
HOURS = Window(BEGIN + timedelta(hours=9), BEGIN + timedelta(hours=12))
ASKED, LESS, NOTHING, ANOTHER = Answered


@pytest.mark.parametrize(
    ("request_", "begin", "end", "expected"),
    [
        (DAYS, None, None, ASKED),
        (DAYS, "2024-01-01T00:00:00Z", "2024-01-29T00:00:00Z", ASKED),
        (DAYS, "2024-01-01", "2024-01-28", ASKED),
        (DAYS, "2023-12-31", "2024-01-28", ASKED),
        (DAYS, "2024-01-01T14:00:00", "2024-01-29T14:00:00", ASKED),
        (DAYS, "2023-12-31T10:00:00Z", "2024-01-28T10:00:00Z", ASKED),
        (DAYS, "2024-01-01T14:00:00+14:00", "2024-01-28T12:00:00-12:00", ASKED),
        (DAYS, "2023-12-01", "2024-02-01", ASKED),
        (DAYS, "2024-01-01", "9999-12-31", ASKED),
        (DAYS, "nonsense", "2024-01-29", ASKED),
        (DAYS, 1_700_000_000, "2024-01-29", ASKED),
        (DAYS, "2024-01-01T00:00:59+00:00", "2024-01-29T00:00:00+00:00", ASKED),
        (DAYS, "2024-01-01T00:00+00:00", "2024-01-28T23:59+00:00", ASKED),
        (DAYS, "2024-01-01T00:02:00+00:00", "2024-01-29T00:00:00+00:00", LESS),
        (DAYS, "2024-01-01T00:00:00+00:00", "2024-01-28T23:58:00+00:00", LESS),
        (DAYS, "2024-01-01T15:00:00Z", "2024-01-30T15:00:00Z", LESS),
        (DAYS, "2024-01-02", "2024-01-29", LESS),
        (DAYS, "2024-01-01", "2024-01-27", LESS),
        (DAYS, "2023-12-01", "2023-12-31T23:00:00", LESS),
        (DAYS, "2024-01-29", "2024-02-28", LESS),
        (DAYS, "2024-01-29T06:00:00Z", "2024-01-29T06:00:00Z", NOTHING),
        (DAYS, "2024-02-20", "2024-01-29T00:00:00Z", NOTHING),
        (DAYS, "2023-11-01", "2023-12-29", ANOTHER),
        (DAYS, "2024-02-01", "2024-02-28", ANOTHER),
        (DAYS, "2023-12-01T00:00:00+00:00", "2023-12-31T23:00:00+00:00", ANOTHER),
        (HOURS, "2024-01-01", "2024-01-01", ASKED),
        (HOURS, "2024-01-01T09:00:00+00:00", "2024-01-01T12:00:00+00:00", ASKED),
        (HOURS, "2024-01-01T19:00:00", "2024-01-01T22:00:00", ASKED),
        (HOURS, "2024-01-01T09:00:00Z", "2024-01-01T10:00:00Z", LESS),
        (HOURS, "2024-01-01T10:00:00+00:00", "2024-01-01T13:00:00+00:00", LESS),
        (HOURS, "2023-12-31T10:00:00+00:00", "2023-12-31T13:00:00+00:00", ANOTHER),
        (HOURS, "2023-12-31T18:00:00Z", "2023-12-31T21:00:00Z", LESS),
        (HOURS, "2023-12-31T03:00:00Z", "2023-12-31T06:00:00Z", ANOTHER),
    ],
)
def test_the_range_that_an_answer_names_is_compared_with_the_one_asked_for(
    request_: Window, begin: object, end: str | None, expected: Answered
) -> None:
    assert answered(request_, Page([], begin=begin, end=end)) is expected

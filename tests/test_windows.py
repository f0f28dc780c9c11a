"""Windows cover the time that is asked for exactly: no gap, nothing outside, whole seconds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tap_zoom_cc.sync.windows import (
    BURST,
    DAY,
    HOUR,
    LONGEST_REQUEST,
    LONGEST_WINDOW,
    MINUTE,
    MOST_OF_PARENT,
    MOST_PARTS,
    MOST_ROWS,
    SECOND,
    Cut,
    Parent,
    Window,
    end_of_sync,
    ends_of_days,
    first_begin,
    halves,
    parts_of,
    request_range,
    samples_of,
    split,
    whole_second,
    would_come_twice,
)
from tap_zoom_cc.zoom.instants import format_instant, parse_instant

UTC = timezone.utc
LEAP_DAY = datetime(2024, 2, 29, tzinfo=UTC)
MONTH = Window(LEAP_DAY - 20 * DAY, LEAP_DAY + 8 * DAY)
A_DAY = Window(LEAP_DAY, LEAP_DAY + DAY)

instants = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 (hypothesis adds the zone)
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
seconds = instants.map(whole_second)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@st.composite
def windows(draw: st.DrawFn) -> Window:
    begin = draw(seconds)
    length = draw(st.integers(1, LONGEST_WINDOW // SECOND))
    return Window(begin, begin + length * SECOND)


def assert_covers(parts: list[Window], begin: datetime, end: datetime) -> None:
    assert parts[0].begin == begin
    assert parts[-1].end == end
    for one, other in pairwise(parts):
        assert one.end == other.begin
    for part in parts:
        assert part.begin < part.end
        assert part.begin == whole_second(part.begin)
        assert part.end == whole_second(part.end)


# Plan


@given(seconds, st.integers(1, 5 * 365 * 86_400))
@example(LEAP_DAY - 28 * DAY, 28 * 86_400)
@example(LEAP_DAY - 28 * DAY, 28 * 86_400 + 1)
def test_a_plan_covers_its_range_and_no_instant_lies_on_an_edge_of_its_requests(
    begin: datetime, length: int
) -> None:
    sync = Window(begin, begin + length * SECOND)
    parts = list(Cut(sync.begin, sync.end))
    assert_covers(parts, sync.begin, sync.end)
    assert all(part.begin.second == 0 for part in parts[1:])
    assert len(parts) == len(Cut(sync.begin, sync.end))
    assert len(parts) <= -(-(length + 59) // (28 * 86_400 - 60)), "no more windows than needed"
    requests = [request_range(part, sync) for part in parts]
    assert all(request.end - request.begin <= LONGEST_REQUEST for request in requests)
    assert requests[0].begin == sync.begin - SECOND
    assert requests[-1].end == sync.end
    for one, other in pairwise(requests):
        assert one.end - SECOND == other.begin


def test_a_range_that_is_empty_or_backwards_has_no_windows() -> None:
    begin = LEAP_DAY + 30 * SECOND
    for back in (0 * SECOND, SECOND, 365 * DAY):
        cut = Cut(begin, begin - back)
        assert len(cut) == len(list(cut)) == 0


# Split


@given(windows())
def test_halves_cover_their_window_and_meet_at_a_whole_hour(window: Window) -> None:
    found = halves(window)
    if found:
        assert_covers(found, window.begin, window.end)
        assert found[1].begin.minute == found[1].begin.second == 0
        middle = window.begin + (window.end - window.begin) / 2
        assert abs(found[1].begin - middle) <= timedelta(minutes=30)
    else:
        assert window.end - window.begin < timedelta(hours=2)


@given(windows(), st.integers(2, 500))
@example(Window(LEAP_DAY, LEAP_DAY + SECOND), 2)
@example(Window(LEAP_DAY, LEAP_DAY + 2 * SECOND), 500)
@example(Window(LEAP_DAY - 28 * DAY, LEAP_DAY), 17)
def test_a_split_covers_its_window_and_cuts_at_ends_of_days_alone_if_there_are_any(
    window: Window, parts: int
) -> None:
    """So no two requests for parts of one day, except neighbours, touch a day in common."""
    found = split(window, parts)
    assert_covers(found, window.begin, window.end)
    assert len(found) <= parts
    assert (len(found) > 1) == (window.end - window.begin > SECOND)
    cuts = [part.begin for part in found[1:]]
    if ends := ends_of_days(window):
        assert set(cuts) <= set(ends)
        assert len(cuts) == min(parts - 1, len(ends)) or len(cuts) >= len(ends) // 2


@given(windows())
@example(Window(LEAP_DAY - DAY, LEAP_DAY))
@example(Window(LEAP_DAY - HOUR, LEAP_DAY + HOUR))
def test_ends_of_days_are_the_last_whole_minutes_that_lie_well_inside(window: Window) -> None:
    ends = ends_of_days(window)
    inside = window.end - window.begin - 2 * HOUR
    assert inside // DAY <= len(ends) <= inside // DAY + 1
    for end in ends:
        assert (end + MINUTE).time() == datetime.min.time()
        assert window.begin + HOUR <= end <= window.end - HOUR
    assert ends == sorted(set(ends))


def parts(window: Window, rows: int, parent: Parent | None = None) -> list[Window]:
    return parts_of(window, rows=rows, size=0, parent=parent)


@given(windows(), st.integers(0, 10**6))
@example(MONTH, MOST_ROWS)
@example(MONTH, MOST_ROWS + 1)
def test_a_window_with_too_many_rows_is_replaced_by_parts_of_it(window: Window, total: int) -> None:
    found = parts(window, total)
    if total > MOST_ROWS and window.end - window.begin > SECOND:
        assert_covers(found, window.begin, window.end)
        assert len(found) > 1
    else:
        assert found == []


@given(windows(), st.integers(MOST_ROWS + 1, 10**6), st.data())
def test_a_part_of_an_hour_with_most_of_its_rows_is_not_cut_again(
    window: Window, total: int, data: st.DataObject
) -> None:
    assume(window.end - window.begin > SECOND)
    length = data.draw(st.integers(2, 7_200)) * SECOND
    parent = Parent(
        Window(window.begin, window.begin + length), data.draw(st.integers(1, 2 * total))
    )
    is_kept_whole = total > parent.total * MOST_OF_PARENT and length <= BURST
    assert bool(parts(window, total, parent)) == (not is_kept_whole)


def test_a_count_of_something_else_costs_no_thousands_of_requests() -> None:
    assert len(parts(MONTH, 5_000_000)) == 28
    assert len(parts(A_DAY, 5_000_000)) == MOST_PARTS


# Samples


@pytest.mark.parametrize(
    ("window", "rows", "parent", "number"),
    [
        (MONTH, 9_000, None, 0),
        # Days of a month, and days with all of it.
        (Window(LEAP_DAY, LEAP_DAY + 2 * DAY), 4_000, Parent(MONTH, 9_000), 0),
        (Window(LEAP_DAY, LEAP_DAY + 2 * DAY), 9_000, Parent(MONTH, 9_000), 3),
        (A_DAY, 9_000, None, 3),
        (A_DAY, 3_000, Parent(MONTH, 9_000), 3),
        # Hours of a day, and hours with all of it.
        (Window(LEAP_DAY, LEAP_DAY + 3 * HOUR), 3_000, Parent(A_DAY, 9_000), 0),
        (Window(LEAP_DAY, LEAP_DAY + 3 * HOUR), 9_000, Parent(A_DAY, 9_000), 3),
    ],
)
def test_a_day_is_sampled_before_it_is_cut_and_its_parts_where_they_are_no_smaller(
    window: Window, rows: int, parent: Parent | None, number: int
) -> None:
    for parts in (2, 5, MOST_PARTS):
        samples = samples_of(window, rows=rows, parts=parts, parent=parent)
        assert len(samples) == number
        for one, other in pairwise(samples):
            assert window.begin < one.begin
            assert one.end < other.begin
            assert other.end < window.end
            part = (window.end - window.begin) / parts
            assert part / 4 - SECOND < one.end - one.begin <= part / 4


@pytest.mark.parametrize(
    ("samples", "twice"),
    [
        ([3_000, 3_000], True),
        # The day changes within the window.
        ([1_000, 2_000, 2_000], True),
        # A burst; rows that are spread; many that were open.
        ([0, 3_000, 0], False),
        ([1_500, 1_500], False),
        ([3_000, 0], None),
    ],
)
def test_rows_that_each_range_of_a_window_has_would_come_with_each_part(
    samples: list[int], *, twice: bool | None
) -> None:
    assert would_come_twice(3_000, parts=3, samples=samples) is twice


# Begin and end


@given(st.one_of(st.none(), instants), instants)
def test_a_sync_begins_at_its_start_or_28_days_ago_and_ends_at_its_end_or_now(
    date: datetime | None, now: datetime
) -> None:
    begin = first_begin(start_date=date, now=now)
    if date is not None:
        assert begin == whole_second(date)
    else:
        assert abs(now - begin - 28 * DAY) <= 2 * MINUTE
        assert len(Cut(begin, whole_second(now))) == 1
    assert end_of_sync(end_date=date, now=now) == whole_second(min(date or now, now))


# Instants


@given(instants, zones)
@example(LEAP_DAY, timezone(timedelta(hours=13, minutes=45)))
def test_an_instant_is_the_same_in_every_offset_and_written_in_utc(
    instant: datetime, zone: timezone
) -> None:
    text = format_instant(instant.astimezone(zone))
    assert text == format_instant(instant)
    assert text.endswith("+00:00")
    assert parse_instant(text) == parse_instant(instant.astimezone(zone).isoformat()) == instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-02-29", LEAP_DAY),
        ("2024-02-29T00:00:00", LEAP_DAY),
        ("2024-02-29T00:00:00Z", LEAP_DAY),
        ("2024-02-29 00:00:00Z", LEAP_DAY),
        ("2024-02-29T05:30:00+05:30", LEAP_DAY),
        ("2024-02-29T00:00:00.25Z", LEAP_DAY + timedelta(milliseconds=250)),
    ],
)
def test_every_form_of_an_instant_is_read(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant
    assert parse_instant(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-29",
        "01/01/2024",
        "1704067200",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "\uff12\uff10\uff12\uff14-01-01",
        "long" * 50,
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a date|out of range") as caught:
        parse_instant(text)
    assert len(str(caught.value)) < 120

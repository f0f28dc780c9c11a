"""The simulator plays each reading of what Zoom's documents leave open, to the second.

That each one is played, and can be told from the others, is seen by `tests/test_observe.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import Clock, Readings
from tests.simulator.caller import MANY, Client, at, engagement, ids_of, with_engagements

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import Scenario, Told
    from tests.simulator.caller import Row, Span

BEFORE = engagement("ends at from", "08:00:00", "10:00:00")
ACROSS = engagement("across all", "08:30:00", "13:00:00")
FIRST = engagement("starts at from", "10:00:00", "10:20:00")
INSIDE = engagement("inside", "10:30:00", "11:00:00")
OVER = engagement("over to", "11:00:00", "12:30:00")
AFTER = engagement("starts at to", "12:00:00", "12:30:00")
LAST = engagement("ends at to", "11:30:00", "12:00:00")
ROWS = (BEFORE, ACROSS, FIRST, INSIDE, OVER, AFTER, LAST)
SPAN: Span = ("2024-01-10T10:00:00+00:00", "2024-01-10T12:00:00+00:00")
DAY: Span = ("2024-01-10T00:00:00+00:00", "2024-01-11T00:00:00+00:00")
NO_EDGE: dict[str, Any] = {"from_inclusive": False, "to_inclusive": False}


@pytest.mark.parametrize(
    ("readings", "selected"),
    [
        (Readings(selects_on="start"), (FIRST, INSIDE, OVER, LAST, AFTER)),
        (Readings(selects_on="start", to_inclusive=False), (FIRST, INSIDE, OVER, LAST)),
        (Readings(selects_on="start", from_inclusive=False), (INSIDE, OVER, LAST, AFTER)),
        (Readings(selects_on="end"), (BEFORE, FIRST, INSIDE, LAST)),
        (Readings(selects_on="end", to_inclusive=False), (BEFORE, FIRST, INSIDE)),
        (Readings(selects_on="end", from_inclusive=False), (FIRST, INSIDE, LAST)),
        (Readings(selects_on="overlap"), ROWS),
        (Readings(selects_on="overlap", **NO_EDGE), (ACROSS, FIRST, INSIDE, OVER, LAST)),
        (
            Readings(selects_on="overlap", to_inclusive=False),
            (BEFORE, ACROSS, FIRST, INSIDE, OVER, LAST),
        ),
    ],
)
def test_a_range_selects_as_the_reading_says(
    simulator: SimulatorProcess, readings: Readings, selected: tuple[Row, ...]
) -> None:
    ids = Client(simulator, with_engagements(*ROWS, readings=readings)).ids(SPAN)
    assert sorted(ids) == sorted(ids_of(list(selected)))


@pytest.mark.parametrize(
    ("month", "begin", "longest"),
    [
        (28, "2024-01-31", "2024-02-28"),
        (30, "2024-01-31", "2024-03-01"),
        ("calendar", "2024-01-31", "2024-02-29"),
        ("calendar", "2024-12-15", "2025-01-15"),
    ],
)
def test_the_month_is_as_long_as_the_reading_says(
    simulator: SimulatorProcess,
    month: Any,  # noqa: ANN401 (a number or a word)
    begin: str,
    longest: str,
) -> None:
    client = Client(simulator, replace(MANY, readings=Readings(month=month)))
    too_long = (at(longest) + timedelta(seconds=1)).isoformat()
    assert client.engagements("sms", (begin, longest)).status_code == 200
    begin, longest = f"{begin}T00:00:00+00:00", f"{longest}T00:00:00+00:00"
    assert client.engagements("sms", (begin, longest)).status_code == 200
    refused = client.engagements("sms", (begin, too_long))
    assert (refused.status_code, refused.json()["code"]) == (400, 300)
    assert "1-month limit" in refused.json()["message"]


def test_days_only_gives_whole_days_whatever_the_time(simulator: SimulatorProcess) -> None:
    early = engagement("early", "00:00:00", "00:10:00")
    late = engagement("late", "23:59:59", "2024-01-11T00:30:00Z")
    next_day = engagement("next day", "2024-01-11T00:00:00Z", "2024-01-11T00:10:00Z")
    readings = Readings(days_only=True, **NO_EDGE)
    client = Client(simulator, with_engagements(early, late, next_day, readings=readings))
    page = client.page(SPAN)
    assert set(ids_of(page["sms"])) == {"early", "late"}
    assert (page["from"], page["to"]) == (DAY[0], "2024-01-10T23:59:59+00:00")


@pytest.mark.parametrize("suffix", ["Z", "+00:00", "-08:00"])
def test_where_offsets_are_ignored_the_account_s_own_clock_selects(
    simulator: SimulatorProcess, suffix: str
) -> None:
    # 10:00 on a clock at +05:30 is 04:30 UTC.
    rows = (
        engagement("before", "04:29:59", "04:30:00"),
        engagement("first", "04:30:00", "04:31:00"),
        engagement("later", "10:00:00", "10:01:00"),
    )
    scenario = with_engagements(
        *rows,
        account={"utc_offset_hours": 5.5},
        readings=Readings(offset_ignored=True, sms_times="offset"),
    )
    span = (f"2024-01-10T10:00:00{suffix}", f"2024-01-10T12:00:00{suffix}")
    page = Client(simulator, scenario).page(span)
    assert ids_of(page["sms"]) == ["first"]
    assert (page["from"], page["to"]) == span
    start = page["sms"][0]["start_time"]
    assert datetime.fromisoformat(start) == at("2024-01-10T04:30:00")
    assert start.endswith(suffix.replace("Z", "+00:00"))


@pytest.mark.parametrize(
    ("told", "begin", "end"),
    [
        ("instants", "2024-01-10T10:00:00+05:30", "2024-01-10T12:00:00+05:30"),
        ("instants_z", "2024-01-10T04:30:00Z", "2024-01-10T06:30:00Z"),
        ("instants_of_account", "2024-01-09T23:00:00-05:30", "2024-01-10T01:00:00-05:30"),
        ("clock_of_account_z", "2024-01-09T23:00:00Z", "2024-01-10T01:00:00Z"),
        ("clock_of_account", "2024-01-09T23:00:00", "2024-01-10T01:00:00"),
        ("days", "2024-01-10", "2024-01-10"),
        ("days_of_account", "2024-01-09", "2024-01-10"),
    ],
)
def test_an_answer_tells_its_range_as_the_reading_says(
    simulator: SimulatorProcess, told: Told, begin: str, end: str
) -> None:
    scenario = with_engagements(
        account={"utc_offset_hours": -5.5}, readings=Readings(range_told=told)
    )
    page = Client(simulator, scenario).page(
        ("2024-01-10T10:00:00+05:30", "2024-01-10T12:00:00+05:30")
    )
    assert (page["from"], page["to"]) == (begin, end)


@pytest.mark.parametrize(
    ("readings", "account", "answered"),
    [
        ({}, {"hours_shifted": -1}, ("10T09:00:00", "10T11:00:00")),
        ({}, {"hours_answered": 1}, ("10T10:00:00", "10T11:00:00")),
        ({}, {"ignores_range": True}, ("10T00:00:00", "11T00:00:00")),
        ({"history_days_kept": 7}, {}, ("04T00:00:00", "10T12:00:00")),
        ({"days_answered": 2}, {}, ("08T12:00:00", "10T12:00:00")),
    ],
    ids=["shifted", "shortened", "last 24 hours", "history that is kept", "last days"],
)
def test_another_range_than_the_one_asked_for_is_answered_and_told(
    simulator: SimulatorProcess,
    readings: dict[str, Any],
    account: dict[str, Any],
    answered: tuple[str, str],
) -> None:
    old = engagement("old", "2024-01-03T11:00:00Z", "2024-01-03T12:00:00Z")
    scenario = with_engagements(
        old,
        *ROWS,
        account=account,
        readings=Readings(selects_on="end", **readings),
        clock=Clock(now=at("2024-01-11T00:00:00")),
    )
    asked = ("2024-01-02T00:00:00+00:00", SPAN[1]) if readings else SPAN
    page = Client(simulator, scenario).page(asked)
    begin, end = (f"2024-01-{edge}" for edge in answered)
    assert (page["from"], page["to"]) == (f"{begin}+00:00", f"{end}+00:00")
    ended = [row for row in ROWS if f"{begin}Z" <= row["end_time"] <= f"{end}Z"]
    assert sorted(ids_of(page["sms"])) == sorted(ids_of(ended))
    kept = "history_days_kept" in readings
    assert ("old" in ids_of(simulator.truth("sms"))) is not kept


# Lists that live while they are read

EDGE = at("2024-01-10T12:00:00")


def living(order: Any = "start_descending", seconds: int | None = 30) -> Scenario:  # noqa: ANN401 (one of four words)
    """Give ten engagements that begin hourly; the last of them is listed after the first page."""
    rows = [engagement(f"{n}", f"{n:02}:00:00", f"{n:02}:00:00") for n in range(9)]
    rows.append(engagement("9", "09:00:00", "11:59:30"))
    readings = Readings(order=order, seconds_between_pages=seconds)
    return with_engagements(*rows, readings=readings, clock=Clock(now=EDGE))


@pytest.mark.parametrize(
    ("scenario", "pages"),
    [
        (living(), [("8765", 9), ("5432", 10), ("10", 10)]),
        (living("start_ascending"), [("0123", 9), ("4567", 10), ("89", 10)]),
        (living(seconds=None), [("8765", 9), ("4321", 9), ("0", 9)]),
    ],
    ids=["new rows first", "new rows last", "still"],
)
def test_a_page_is_cut_out_of_the_list_as_it_is_at_that_moment(
    simulator: SimulatorProcess, scenario: Scenario, pages: list[tuple[str, int]]
) -> None:
    found = Client(simulator, scenario).pages(DAY, page_size=4)
    assert [("".join(ids_of(page["sms"])), page["total_records"]) for page in found] == pages

"""The simulator plays the readings of Zoom's documents and the faults that a scenario names.

Here is what the tap's tests would not notice. `tests/test_observe.py` sees that each reading is
played, and can be told from the others; `tests/test_faults.py` sees the faults that end a run.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import Clock, Fault, Readings
from tests.simulator.caller import JANUARY, MANY, Client, at, engagement, ids_of, with_engagements

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import FaultKind
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
DAY = "2024-01-10T00:00:00+00:00"
NO_EDGE: dict[str, Any] = {"from_inclusive": False, "to_inclusive": False}


@pytest.mark.parametrize(
    ("readings", "selected"),
    [
        (Readings(selects_on="start"), (FIRST, INSIDE, OVER, LAST, AFTER)),
        (Readings(selects_on="start", from_inclusive=False), (INSIDE, OVER, LAST, AFTER)),
        (Readings(selects_on="end"), (BEFORE, FIRST, INSIDE, LAST)),
        (Readings(selects_on="end", to_inclusive=False), (BEFORE, FIRST, INSIDE)),
        (Readings(selects_on="overlap"), ROWS),
        (Readings(selects_on="overlap", **NO_EDGE), (ACROSS, FIRST, INSIDE, OVER, LAST)),
    ],
)
def test_a_range_selects_as_the_reading_says(
    simulator: SimulatorProcess, readings: Readings, selected: tuple[Row, ...]
) -> None:
    ids = Client(simulator, with_engagements(*ROWS, readings=readings)).ids(SPAN)
    assert sorted(ids) == sorted(ids_of(list(selected)))


def test_a_page_is_cut_out_of_the_list_as_it_is_at_that_moment(simulator: SimulatorProcess) -> None:
    rows = [engagement(f"{n}", f"{n:02}:00:00", f"{n:02}:00:00") for n in range(9)]
    # It is listed a minute later, after the first page.
    rows.append(engagement("9", "09:00:00", "11:59:30"))
    clock = Clock(now=at("2024-01-10T12:00:00"))
    scenario = with_engagements(*rows, readings=Readings(seconds_between_pages=30), clock=clock)
    pages = Client(simulator, scenario).pages((DAY, SPAN[1]), page_size=4)
    assert [("".join(ids_of(page["sms"])), page["total_records"]) for page in pages] == [
        ("8765", 9),
        ("5432", 10),
        ("10", 10),
    ]


# Faults after which a run may be as it is without them


def pages_with(
    simulator: SimulatorProcess,
    kind: FaultKind,
    span: Span = JANUARY,
    /,
    **options: Any,  # noqa: ANN401 (the fault's)
) -> list[dict[str, Any]]:
    """Give the pages of text messages with a fault."""
    fault = Fault(kind=kind, endpoint="sms", **options)
    return Client(simulator, replace(MANY, faults=(fault,))).pages(span, page_size=10)


def test_what_an_answer_says_of_its_pages_can_be_wrong(simulator: SimulatorProcess) -> None:
    morning: Span = ("2024-01-08T00:00:00+00:00", "2024-01-08T12:00:00+00:00")
    (right,) = Client(simulator, MANY).pages(morning, page_size=10)
    (page,) = pages_with(simulator, "missing_total_records", morning)
    assert page == {name: value for name, value in right.items() if name != "total_records"}
    (page,) = pages_with(simulator, "total_too_low", morning, by=1)
    assert page == {**right, "total_records": len(right["sms"]) - 1}
    page, empty = pages_with(simulator, "token_after_last_page", morning, requests=(1,))
    assert page == {**right, "next_page_token": page["next_page_token"]}
    assert not empty["sms"]
    fault = Fault(kind="missing_next_page_token")
    page = Client(simulator, replace(MANY, faults=(fault,))).page(morning, page_size=10)
    assert page == {name: value for name, value in right.items() if name != "next_page_token"}


def test_rows_can_come_twice_in_a_page_and_on_the_next(simulator: SimulatorProcess) -> None:
    right = {
        name for page in Client(simulator, MANY).pages(JANUARY) for name in ids_of(page["sms"])
    }
    names = [ids_of(page["sms"]) for page in pages_with(simulator, "duplicate_rows")]
    assert {name for page in names for name in page} == right
    assert any(len(set(page)) < len(page) for page in names)
    assert any(set(one) & set(two) for one, two in pairwise(names))


def test_a_row_that_moves_is_missed_once_and_there_when_read_again(
    simulator: SimulatorProcess,
) -> None:
    seen = set()
    for seed in range(6):
        fault = Fault(kind="rows_shift", endpoint="sms", requests=(1,))
        client = Client(simulator, replace(MANY, seed=seed, faults=(fault,)))
        moved, right = (
            [row for page in client.pages(JANUARY, page_size=10) for row in page["sms"]]
            for _ in range(2)
        )
        assert len(set(ids_of(moved))) == len(right) - 1
        assert all(row in right for row in moved)
        seen.add(len(moved) - len(right))
    assert seen == {-1, 0}, "one is skipped, and another may come twice"

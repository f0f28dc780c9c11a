"""Whatever Zoom means by what its documents leave open, the tap reads exactly what there is.

Each case is one reading of all open questions at once; the rows of both streams, values included,
must be those that the simulator holds. Most cases run with small limits for splitting and paging,
so that a short history already has hundreds of edges; some run with the real ones.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import combinations, product
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import Account, Clock, Readings, Scenario
from tap_zoom_cc.sync.windows import LONGEST_WINDOW
from tests.harness.constants import OWN, Constants
from tests.harness.rows import assert_complete
from tests.harness.tap import sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess

BEGIN = datetime(2024, 1, 3, tzinfo=timezone.utc)
START_DATE = BEGIN - timedelta(days=3)
HISTORY_END = datetime(2024, 3, 2, tzinfo=timezone.utc)
END_DATE = HISTORY_END + timedelta(days=4)
BOUNDARY = START_DATE + LONGEST_WINDOW
"""Where the first window ends and the second begins."""

SMALL_LIMITS = Constants(most_rows=40, aimed_rows=25, page_size=15)
TENTH = Constants(most_rows=250, aimed_rows=180, page_size=10)
"""A tenth of the tap's own limits."""

QUESTIONS: dict[str, tuple[object, ...]] = {
    "selects_on": ("start", "end", "overlap"),
    "from_inclusive": (True, False),
    "to_inclusive": (True, False),
    "days_only": (False, True),
    "offset_ignored": (False, True),
    "order": ("start_descending", "start_ascending", "end_ascending", "shuffled"),
    "month": ("calendar", 28, 30, 31),
    "sms_times": ("Z", "offset"),
}


def readings_to_try(seed: int) -> list[dict[str, Any]]:
    """Return every combination of the questions about ranges, the others drawn for each."""
    random = Random(seed)
    ranges, others = list(QUESTIONS)[:5], list(QUESTIONS)[5:]
    return [
        {
            **dict(zip(ranges, values, strict=True)),
            **{name: random.choice(QUESTIONS[name]) for name in others},
        }
        for values in product(*(QUESTIONS[name] for name in ranges))
    ]


CASES = readings_to_try(seed=3903)


def case_name(case: dict[str, Any]) -> str:
    return "-".join(
        str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else name
        for name, value in case.items()
        if value is not False
    )


def explicit(name: str, start: datetime, end: datetime) -> dict[str, str]:
    return {
        "engagement_id": f"{name}-{'0' * 10}",
        "start_time": start.isoformat(),
        "end_time": end.isoformat(),
    }


def engagements_on_edges() -> tuple[dict[str, str], ...]:
    """Return engagements that begin or end where a window does, or lie across, or come at once."""
    second, hour = timedelta(seconds=1), timedelta(hours=1)
    midnight = datetime(2024, 2, 29, tzinfo=timezone.utc)
    rows = [
        explicit("starts-at-boundary", BOUNDARY, BOUNDARY + hour),
        explicit("starts-just-before", BOUNDARY - second, BOUNDARY + hour),
        explicit("starts-just-after", BOUNDARY + second, BOUNDARY + hour),
        explicit("ends-at-boundary", BOUNDARY - hour, BOUNDARY),
        explicit("ends-just-after", BOUNDARY - hour, BOUNDARY + second),
        explicit("an-instant-at-boundary", BOUNDARY, BOUNDARY),
        explicit("two-days-across", BOUNDARY - 24 * hour, BOUNDARY + 24 * hour),
        explicit("starts-on-a-leap-day", midnight, midnight + hour),
        explicit("ends-on-a-leap-day", midnight - hour, midnight),
        explicit("last-second-of-february", midnight + 24 * hour - second, midnight + 25 * hour),
    ]
    burst = datetime(2024, 2, 10, 12, 30, 15, tzinfo=timezone.utc)
    rows += [explicit(f"burst-{number}", burst, burst + number * second) for number in range(60)]
    return tuple(rows)


def read_all(simulator: SimulatorProcess, constants: Constants = OWN) -> None:
    """Read everything, and see that it is exactly what there is."""
    run = sync(simulator, start_date=START_DATE.isoformat(), constants=constants)
    assert_complete(simulator, run.check())


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_no_reading_loses_invents_or_changes_a_row(
    simulator: SimulatorProcess, case: dict[str, Any]
) -> None:
    edges = engagements_on_edges()
    simulator.replace(
        Scenario(
            accounts=(
                Account(id="west", sms=90, voice_calls=120, utc_offset_hours=-11),
                Account(id="east", sms=60, voice_calls=30, utc_offset_hours=13.75),
                Account(id="edges", sms=20, explicit_sms=edges, explicit_voice_calls=edges),
                Account(id="idle"),
            ),
            history_begin=BEGIN,
            history_end=HISTORY_END,
            clock=Clock(now=END_DATE),
            readings=Readings(**case),
        )
    )
    read_all(simulator, SMALL_LIMITS)
    assert simulator.stats().statuses.keys() == {"200"}, "a request was refused"


@pytest.mark.parametrize(
    ("scale", "case"),
    [
        (
            1,
            {"selects_on": "start", "order": "start_ascending", "month": 28, "sms_times": "offset"},
        ),
        (
            10,
            {
                "selects_on": "end",
                "to_inclusive": False,
                "order": "shuffled",
                "offset_ignored": True,
            },
        ),
        (10, {"selects_on": "overlap", "days_only": True, "order": "end_ascending", "month": 30}),
    ],
    ids=["start", "end", "overlap"],
)
def test_a_month_of_more_rows_than_a_window_may_hold_is_split_and_complete(
    simulator: SimulatorProcess, case: dict[str, Any], scale: int
) -> None:
    sms, voice_calls = 5_600 // scale, 2_900 // scale
    simulator.replace(
        Scenario(
            seed=3,
            accounts=(Account(id="busy", sms=sms, voice_calls=voice_calls, utc_offset_hours=5.5),),
            history_begin=BEGIN,
            history_end=BEGIN + timedelta(days=30),
            clock=Clock(now=END_DATE),
            readings=Readings(**case),
        )
    )
    read_all(simulator, OWN if scale == 1 else TENTH)
    ranges = {entry.query.partition("&page_size")[0] for entry in simulator.stats().log}
    assert len(ranges) > 2 * 3, "no window was split"


def test_engagements_that_overlap_are_not_read_again_and_again(simulator: SimulatorProcess) -> None:
    # More are open at any time than a window may have: cutting it does not make it smaller.
    rows = tuple(
        {
            "engagement_id": f"open{number}",
            "start_time": (BEGIN + timedelta(minutes=7 * number)).isoformat(),
            "end_time": (BEGIN + timedelta(minutes=7 * number, days=14)).isoformat(),
        }
        for number in range(4_000)
    )
    simulator.replace(
        Scenario(
            accounts=(Account(id="open", explicit_sms=rows),),
            history_begin=BEGIN,
            history_end=BEGIN + timedelta(days=40),
            clock=Clock(now=BEGIN + timedelta(days=40)),
            readings=Readings(selects_on="overlap"),
        )
    )
    assert_complete(simulator, sync(simulator).check())
    needed = len(rows) // 100
    assert simulator.stats().requests["sms"]["open"] <= 10 * needed


def test_every_two_answers_to_open_questions_meet_in_some_case() -> None:
    for one, other in combinations(QUESTIONS, 2):
        for pair in product(QUESTIONS[one], QUESTIONS[other]):
            assert any((case[one], case[other]) == pair for case in CASES), (one, other, pair)

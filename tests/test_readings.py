"""Whatever Zoom means by what its documents leave open, the tap reads exactly what there is.

Each case is one reading of all open questions at once; the rows of both streams, values included,
must be those that the simulator holds. Small limits for splitting and paging give a short history
hundreds of edges.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import Account, Clock, Readings, Scenario
from tap_zoom_cc.sync.windows import LONGEST_WINDOW
from tests.harness.constants import Constants
from tests.harness.history import DAY, HOUR, engagement
from tests.harness.rows import assert_complete
from tests.harness.tap import sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.process import SimulatorProcess
    from tests.harness.singer import Record

SECOND = timedelta(seconds=1)
BEGIN = datetime(2024, 1, 3, tzinfo=timezone.utc)
START_DATE = BEGIN - 3 * DAY
HISTORY_END = datetime(2024, 3, 2, tzinfo=timezone.utc)
BOUNDARY = START_DATE + LONGEST_WINDOW
"""Where the first window ends and the second begins."""

SMALL_LIMITS = Constants(most_rows=40, aimed_rows=25, page_size=15)

RANGES: dict[str, tuple[object, ...]] = {
    "selects_on": ("start", "end", "overlap"),
    "days_only": (False, True),
    "offset_ignored": (False, True),
    "from_inclusive": (True, False),
    "to_inclusive": (True, False),
}
OTHERS: dict[str, tuple[object, ...]] = {
    "order": ("start_descending", "start_ascending", "end_ascending", "shuffled"),
    "month": ("calendar", 28, 30, 31),
    "sms_times": ("Z", "offset"),
}


def readings_to_try() -> Iterator[dict[str, Any]]:
    """Give every combination of the questions about ranges, the others drawn for each.

    Whole days have no edge, so that there a question about edges is not asked. With this seed every
    two answers to different questions meet in some case.
    """
    random = Random(344)
    for values in product(*RANGES.values()):
        case = dict(zip(RANGES, values, strict=True))
        if not case["days_only"] or (case["from_inclusive"] and case["to_inclusive"]):
            yield case | {name: random.choice(answers) for name, answers in OTHERS.items()}


def engagements_on_edges() -> tuple[Record, ...]:
    """Return engagements that begin or end where a window does, or lie across, or come at once."""
    midnight = datetime(2024, 2, 29, tzinfo=timezone.utc)
    burst = datetime(2024, 2, 10, 12, 30, 15, tzinfo=timezone.utc)
    return (
        engagement("starts-at-boundary", BOUNDARY, BOUNDARY + HOUR),
        engagement("starts-just-before", BOUNDARY - SECOND, BOUNDARY + HOUR),
        engagement("starts-just-after", BOUNDARY + SECOND, BOUNDARY + HOUR),
        engagement("ends-at-boundary", BOUNDARY - HOUR, BOUNDARY),
        engagement("ends-just-after", BOUNDARY - HOUR, BOUNDARY + SECOND),
        engagement("an-instant-at-boundary", BOUNDARY, BOUNDARY),
        engagement("two-days-across", BOUNDARY - DAY, BOUNDARY + DAY),
        engagement("starts-on-a-leap-day", midnight, midnight + HOUR),
        engagement("ends-on-a-leap-day", midnight - HOUR, midnight),
        engagement("last-second-of-february", midnight + DAY - SECOND, midnight + 25 * HOUR),
        *(engagement(f"burst-{n}", burst, burst + n * SECOND) for n in range(60)),
    )


def zoom_with(*accounts: Account, **readings: Any) -> Scenario:  # noqa: ANN401 (Readings')
    return Scenario(
        accounts=accounts,
        history_begin=BEGIN,
        history_end=HISTORY_END,
        clock=Clock(now=HISTORY_END + 4 * DAY),
        readings=Readings(**readings),
    )


def read_all(simulator: SimulatorProcess, constants: Constants) -> None:
    """Read everything, and see that it is exactly what there is."""
    run = sync(simulator, start_date=START_DATE.isoformat(), constants=constants)
    assert_complete(simulator, run.check())


@pytest.mark.parametrize("case", list(readings_to_try()), ids=str)
def test_no_reading_loses_invents_or_changes_a_row(
    simulator: SimulatorProcess, case: dict[str, Any]
) -> None:
    edges = engagements_on_edges()
    accounts = (
        Account(id="west", sms=40, voice_calls=90, utc_offset_hours=-11),
        Account(id="east", sms=60, voice_calls=30, utc_offset_hours=13.75),
        Account(id="edges", sms=20, explicit_sms=edges, explicit_voice_calls=edges),
        Account(id="idle"),
    )
    simulator.replace(zoom_with(*accounts, **case))
    read_all(simulator, SMALL_LIMITS)
    assert simulator.stats().statuses.keys() == {"200"}, "a request was refused"


def test_engagements_that_overlap_are_not_read_again_and_again(simulator: SimulatorProcess) -> None:
    # More are open at any time than a window may have: cutting it does not make it smaller.
    starts = [BEGIN + timedelta(minutes=70 * number) for number in range(400)]
    rows = tuple(engagement(f"open{n}", start, start + 14 * DAY) for n, start in enumerate(starts))
    simulator.replace(zoom_with(Account(id="open", explicit_sms=rows), selects_on="overlap"))
    read_all(simulator, Constants(most_rows=250, aimed_rows=180, page_size=10))
    needed = len(rows) // 10
    assert simulator.stats().requests["sms"]["open"] <= 10 * needed

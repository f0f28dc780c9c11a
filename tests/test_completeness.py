"""What Zoom announces is what came, or the run says so and its bookmark stays."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, get_args

import pytest

from simulator.scenario import STREAMS, Account, Fault, Readings, Scenario
from tap_zoom_cc.sync.windows import LONGEST_WINDOW
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import (
    BEGIN,
    DAY,
    FIRST_RUN,
    HOUR,
    SECOND_RUN,
    engagement,
    requests_to,
    scenario,
)
from tests.harness.rows import (
    assert_complete,
    assert_nothing_twice,
    assert_same_rows,
    by_key,
    of_account,
    truth_of,
)
from tests.harness.singer import bookmarks, selecting, state_of
from tests.harness.tap import sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import FaultKind
    from tests.harness.singer import Catalog, Record
    from tests.harness.tap import TapRun

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

Order = Literal["start_ascending", "start_descending", "end_ascending", "shuffled"]
ORDERS = get_args(Order)

SINCE = (FIRST_RUN - 20 * DAY).isoformat()
"""A start date from which one window reaches to the first run."""


def recent_truth(simulator: SimulatorProcess) -> list[Record]:
    """Return what there is of text messages from `SINCE` on."""
    return [row for row in simulator.truth("sms") if row["start_time"] >= SINCE]


def miscounted(kind: FaultKind, **when: Any) -> Fault:  # noqa: ANN401 (Fault's)
    return Fault(kind=kind, endpoint="sms", account_id="short", by=7, **when)


@pytest.mark.parametrize("kind", ["total_too_high", "page_repeated", "page_token_repeated"])
def test_rows_that_zoom_counts_but_does_not_deliver_fail_the_run_and_keep_the_bookmark(
    simulator: SimulatorProcess, kind: FaultKind
) -> None:
    accounts = (Account(id="short", sms=900), Account(id="well", sms=50))
    simulator.replace(scenario(*accounts, faults=(miscounted(kind),)))
    run = sync(simulator, start_date=SINCE).check(1)
    truth = {key: row for key, row in truth_of(simulator).items() if row["start_time"] >= SINCE}
    assert dict(run.engagements).items() <= truth.items()
    announced = sum(key[1] == "short" for key in truth)
    if kind == "total_too_high":
        assert len(run.engagements) == len(truth), "what came was not emitted"
        announced += 7
    delivered = len(of_account("short", run.records("sms")))
    assert 0 < delivered < announced
    line, *_ = [line for line in run.logged("ERROR") if "bookmark stays" in line]
    assert "sms, account short" in line
    assert f"announced {announced} engagements" in line
    assert f"delivered {delivered} " in line
    assert "on_count_mismatch" in line
    assert bookmarks(run.state, "sms") == {"well": FIRST_RUN.isoformat()}
    assert_same_rows(
        "sms", of_account("well", run.records("sms")), of_account("well", truth.values())
    )


@pytest.mark.parametrize(
    ("rows", "page_size", "most"), [(300, 100, 100), (3_000, 10, 2_000)], ids=["few", "many"]
)
def test_a_total_that_counts_something_else_has_no_month_cut_into_seconds(
    simulator: SimulatorProcess, rows: int, page_size: int, most: int
) -> None:
    fault = Fault(kind="total_too_high", endpoint="sms", by=0, times=10_000)
    simulator.replace(scenario(Account(id="odd", sms=rows), faults=(fault,)))
    limits = replace(SHORT_WAITS, page_size=page_size)
    run = sync(simulator, start_date=SINCE, constants=limits).check(1)
    truth = recent_truth(simulator)
    assert_same_rows("sms", run.records("sms"), truth)
    assert len(requests_to(simulator, "sms")) <= most


def test_on_count_mismatch_warn_accepts_and_goes_on(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="short", sms=50), faults=(miscounted("total_too_high"),)))
    run = sync(simulator, on_count_mismatch="warn").check()
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
    assert bookmarks(run.state, "sms") == {"short": FIRST_RUN.isoformat()}
    assert any("accepted" in line for line in run.logged("WARNING"))


def test_no_bookmark_passes_a_window_that_is_short(simulator: SimulatorProcess) -> None:
    start = FIRST_RUN - 80 * DAY
    fault = miscounted("total_too_high", requests=(2, 3, 4, 5))
    simulator.replace(
        replace(scenario(Account(id="short", sms=30), faults=(fault,)), history_begin=start)
    )
    state = {"bookmarks": state_of("sms", {"short": (start + DAY).isoformat()})}
    run = sync(
        simulator, state=state, start_date=start.isoformat(), max_concurrency=1, sms_lookback_days=1
    ).check(1)
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
    # A request overlaps the next window by a second.
    end = datetime.fromisoformat(requests_to(simulator, "sms")[0]["to"][0]) - SECOND
    assert bookmarks(run.state, "sms") == {"short": end.isoformat()}


def test_rows_that_shift_between_pages_are_found_by_reading_again(
    simulator: SimulatorProcess,
) -> None:
    fault = Fault(kind="rows_shift", endpoint="sms", requests=(1, 2, 3), limit=3)
    simulator.replace(scenario(Account(id="shifty", sms=600), faults=(fault,)))
    run = sync(simulator).check()
    assert simulator.stats().faults == {"rows_shift": 3}
    assert_complete(simulator, run)


def test_more_rows_than_announced_are_loaded_with_one_warning_that_names_both_numbers(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="short", sms=250), faults=(miscounted("total_too_low"),)))
    run = sync(simulator, start_date=SINCE).check()
    truth = recent_truth(simulator)
    assert_same_rows("sms", run.records("sms"), truth)
    (warning,) = [line for line in run.logged("WARNING") if "announced" in line]
    assert f"{len(truth)} engagements came" in warning
    assert str(len(truth) - 7) in warning


# Lists that live while they are read


def assert_nothing_missed(truth: list[Record], *runs: TapRun) -> None:
    """Assert that runs together have what there was; more may have ended while they read."""
    rows = [row for run in runs for row in run.records("sms")]
    for run in runs:
        assert_nothing_twice("sms", run.records("sms"))
    kept, expected = by_key("sms", rows), by_key("sms", truth)
    missing = expected.keys() - kept.keys()
    assert not missing, f"{len(missing)} of {len(expected)} lost, such as {min(missing)}"
    assert expected.items() <= kept.items()


@pytest.mark.parametrize("order", ORDERS)
def test_engagements_that_end_while_an_account_is_read_are_no_reason_to_fail(
    simulator: SimulatorProcess, order: Order
) -> None:
    ending = [
        engagement(f"e{n}", FIRST_RUN - HOUR + n * SECOND, FIRST_RUN - MINUTE + n * 10 * SECOND)
        for n in range(40)
    ]
    busy = Account(id="busy", sms=1_700, explicit_sms=tuple(ending))
    readings = Readings(order=order, seconds_between_pages=10)
    simulator.replace(scenario(busy, readings=readings))
    truth = recent_truth(simulator)
    run = sync(simulator, start_date=SINCE).check()
    assert_nothing_missed(truth, run)
    assert bookmarks(run.state, "sms") == {"busy": FIRST_RUN.isoformat()}
    pages = -(-len(truth) // 100)
    assert pages <= len(requests_to(simulator, "sms")) <= pages + 1, "it was read twice"
    # What ended meanwhile comes with the next run, as any engagement that ends late.
    simulator.set_clock(SECOND_RUN)
    truth = recent_truth(simulator)
    later = sync(simulator, SECOND_RUN, state=run.state, start_date=SINCE).check()
    assert_nothing_missed(truth, run, later)
    assert bookmarks(later.state, "sms") == {"busy": SECOND_RUN.isoformat()}


def going_away(every: timedelta, now: datetime = FIRST_RUN) -> tuple[Record, ...]:
    """Return 250 engagements, the first older than 20 days in 45 seconds.

    With 30 seconds between pages that is after the list of accounts and the first page.
    """
    starts = [now - 20 * DAY + 45 * SECOND + n * every for n in range(250)]
    return tuple(engagement(f"{n:03}", start, start + SECOND) for n, start in enumerate(starts))


@pytest.mark.parametrize(
    ("order", "every"),
    [
        *((order, HOUR) for order in ORDERS),
        ("start_descending", 30 * SECOND),
        ("shuffled", 30 * SECOND),
    ],
)
def test_an_engagement_that_goes_away_between_two_pages_hides_no_other(
    simulator: SimulatorProcess, order: Order, every: timedelta
) -> None:
    """Only the first does, or another one with each page."""
    account = Account(id="forgetful", explicit_sms=going_away(every))
    readings = Readings(
        order=order, history_days_kept=20, seconds_between_pages=30, range_told="nothing"
    )
    simulator.replace(scenario(account, readings=readings))
    run = sync(simulator, start_date=SINCE).check()
    truth = simulator.truth("sms")
    assert len(truth) < 250, "none went away"
    assert_nothing_missed(truth, run)
    assert bookmarks(run.state, "sms") == {"forgetful": FIRST_RUN.isoformat()}


def test_where_the_newest_come_first_one_that_ends_and_one_that_goes_away_hide_no_other(
    simulator: SimulatorProcess,
) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    ending = [
        engagement(f"e{n}", now - HOUR + n * SECOND, now - MINUTE + 30 * n * SECOND)
        for n in range(1, 40)
    ]
    simulator.replace(
        Scenario(
            accounts=(Account(id="busy", explicit_sms=(*going_away(HOUR, now), *ending)),),
            history_begin=now - 20 * DAY,
            history_end=now,
            readings=Readings(history_days_kept=20, seconds_between_pages=30, range_told="nothing"),
        )
    )
    run = sync(simulator).check()
    truth = [row for row in simulator.truth("sms") if row["end_time"] < now.isoformat()]
    assert_nothing_missed(truth, run)
    assert "busy" in bookmarks(run.state, "sms")


@pytest.mark.parametrize(("page_size", "pages"), [(100, 3), (75, 4)], ids=["odd", "even"])
def test_a_total_that_flickers_is_no_reason_to_fail_if_reading_again_brings_nothing_new(
    simulator: SimulatorProcess, page_size: int, pages: int
) -> None:
    flickers = miscounted("total_too_high", requests=tuple(range(2, 40, 2)))
    simulator.replace(scenario(Account(id="short", sms=630), faults=(flickers,)))
    run = sync(simulator, start_date=SINCE, constants=replace(SHORT_WAITS, page_size=page_size))
    run.check()
    truth = recent_truth(simulator)
    assert (pages - 1) * page_size < len(truth) <= pages * page_size
    assert_same_rows("sms", run.records("sms"), truth)
    assert len(requests_to(simulator, "sms")) > pages
    assert bookmarks(run.state, "sms") == {"short": FIRST_RUN.isoformat()}


def test_an_account_that_drops_out_between_two_pages_of_the_list_hides_no_other(
    simulator: SimulatorProcess, discovered: Catalog
) -> None:
    first, *others = (Account(id=f"a{number:03}") for number in range(650))
    dropping = replace(first, listed_until=FIRST_RUN + SECOND)
    readings = Readings(seconds_between_pages=30)
    simulator.replace(scenario(dropping, *others, readings=readings))
    run = sync(simulator, catalog=selecting(discovered, ["sub_accounts"])).check()
    listed = {row["id"] for row in run.records("sub_accounts")}
    assert {account.id for account in others} <= listed


# Answers for another range than was asked for


@pytest.mark.parametrize("setting", ["fail", "warn"])
@pytest.mark.parametrize(
    ("odd", "before"),
    [
        (Account(id="odd", sms=200, ignores_range=True), FIRST_RUN - 30 * DAY),
        (Account(id="odd", sms=2_000, hours_shifted=-23), FIRST_RUN - 2 * HOUR),
    ],
    ids=["always the last day", "the hours of another day"],
)
def test_an_answer_for_another_range_fails_its_account(
    simulator: SimulatorProcess, odd: Account, before: datetime, setting: str
) -> None:
    simulator.replace(scenario(odd, Account(id="well", sms=50)))
    state = {"bookmarks": state_of("sms", {"odd": before.isoformat()})}
    run = sync(simulator, state=state, on_count_mismatch=setting).check(1)
    expected = {"odd": before.isoformat(), "well": FIRST_RUN.isoformat()}
    assert bookmarks(run.state, "sms") == expected
    truth = simulator.truth("sms")
    assert_same_rows("sms", of_account("well", run.records("sms")), of_account("well", truth))
    (line,) = [line for line in run.logged("ERROR") if "sms, account odd: " in line][:1]
    assert re.search(r"asked for 20.* to .*, Zoom answered for 20.* to ", line)


@pytest.mark.parametrize(
    ("account", "readings", "start"),
    [
        (Account(id="short", sms=500), Readings(days_answered=20), BEGIN),
        (Account(id="short", sms=600, hours_answered=1), Readings(), FIRST_RUN - 2 * DAY),
    ],
    ids=["its last days alone", "its first hour alone"],
)
def test_what_an_answer_leaves_out_is_asked_for_by_itself(
    simulator: SimulatorProcess, account: Account, readings: Readings, start: datetime
) -> None:
    simulator.replace(scenario(account, readings=readings))
    run = sync(simulator, start_date=start.isoformat()).check()
    truth = [row for row in simulator.truth("sms") if row["start_time"] >= start.isoformat()]
    assert_same_rows("sms", run.records("sms"), truth)
    assert bookmarks(run.state, "sms") == {"short": FIRST_RUN.isoformat()}


def test_history_that_zoom_does_not_keep_fails_its_account_unless_that_is_accepted(
    simulator: SimulatorProcess,
) -> None:
    account = Account(id="forgetful", sms=300, voice_calls=300)
    simulator.replace(scenario(account, readings=Readings(history_days_kept=20)))
    start_date = (FIRST_RUN - 25 * DAY).isoformat()
    run = sync(simulator, start_date=start_date).check(1)
    assert not run.bookmarks
    for stream in STREAMS:
        (line,) = [line for line in run.logged("ERROR") if f"| {stream}, account" in line]
        assert "start_date" in line
        assert "on_count_mismatch" in line
    accepted = sync(simulator, start_date=start_date, on_count_mismatch="warn").check()
    assert_complete(simulator, accepted)
    assert set(accepted.bookmarks.values()) == {FIRST_RUN.isoformat()}
    later = sync(simulator, start_date=SINCE).check()
    assert_complete(simulator, later)


MIDNIGHT = FIRST_RUN.replace(hour=0, minute=0)


def read_crowd(
    simulator: SimulatorProcess, rows: int, end: datetime, readings: Readings
) -> Counter[tuple[str, str]]:
    """Read a tenth of what a busy last day of a month has, with a tenth of all limits.

    Returns:
        How many pages each range took.
    """
    starts = [end - (number * DAY // rows // SECOND) * SECOND for number in range(1, rows)]
    crowd = tuple(engagement(f"n{n}", start, start) for n, start in enumerate(starts))
    simulator.replace(scenario(Account(id="crowded", explicit_sms=crowd), readings=readings))
    limits = replace(SHORT_WAITS, most_rows=250, aimed_rows=180, page_size=10)
    run = sync(simulator, constants=limits, end_date=end.isoformat()).check()
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
    asked = requests_to(simulator, "sms")
    return Counter((request["from"][0], request["to"][0]) for request in asked)


@pytest.mark.parametrize(("end", "rows"), [(MIDNIGHT, 5_000), (MIDNIGHT + 10 * HOUR, 3_000)])
def test_rows_that_crowd_at_the_end_of_a_month_are_split(
    simulator: SimulatorProcess, end: datetime, rows: int
) -> None:
    pages = read_crowd(simulator, rows, end, Readings())
    assert max(pages.values()) <= 30
    assert pages.total() <= 1.15 * rows / 10


@pytest.mark.parametrize(
    ("end", "rows", "most"), [(MIDNIGHT, 5_000, 540), (MIDNIGHT + 10 * HOUR, 3_000, 502)]
)
def test_a_server_that_looks_at_days_only_is_asked_for_each_day_twice_at_most(
    simulator: SimulatorProcess, end: datetime, rows: int, most: int
) -> None:
    pages = read_crowd(simulator, rows, end, Readings(days_only=True))
    assert pages.total() <= most


@pytest.mark.parametrize(
    ("zone", "readings"),
    [
        (-12, Readings(range_told="days", days_only=True, offset_ignored=True)),
        (-12, Readings(range_told="instants")),
        (14, Readings(range_told="days_of_account", offset_ignored=True)),
        (14, Readings(range_told="nothing")),
    ],
)
def test_a_range_told_in_days_or_in_the_account_s_zone_is_the_one_asked_for(
    simulator: SimulatorProcess, zone: float, readings: Readings
) -> None:
    """`test_check.py` has all forms in which a range may be told."""
    account = Account(id="far", sms=200, utc_offset_hours=zone)
    simulator.replace(scenario(account, readings=replace(readings, selects_on="overlap")))
    # Twelve hours west of Greenwich it is still the day before.
    run = sync(simulator, end_date=(FIRST_RUN + DAY).replace(hour=11).isoformat()).check()
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
    assert len(requests_to(simulator, "sms")) <= 4, "a part was asked for once more"


# Two versions of one engagement


def names_of(run: TapRun, engagement_id: str) -> list[str | None]:
    """Return the names with which an engagement was emitted, in order."""
    return [
        row.get("consumer_display_name")
        for row in run.records("sms")
        if row["engagement_id"] == engagement_id
    ]


def test_of_two_versions_in_one_window_the_later_one_is_emitted(
    simulator: SimulatorProcess,
) -> None:
    # The second page begins with what the first one ended with, since another one has ended.
    first, second = (engagement(f"{n}", FIRST_RUN - n * HOUR, FIRST_RUN - HOUR) for n in (2, 3))
    ending = engagement("ending", FIRST_RUN - HOUR, FIRST_RUN)
    readings = Readings(seconds_between_pages=30)
    other = Fault(kind="other_value", endpoint="sms", requests=(2,))
    account = Account(id="one", explicit_sms=(first, second, ending))
    simulator.replace(scenario(account, readings=readings, faults=(other,)))
    start_date = (FIRST_RUN - DAY).isoformat()
    run = sync(simulator, start_date=start_date, constants=replace(SHORT_WAITS, page_size=1))
    run.check()
    assert names_of(run, first["engagement_id"]) == ["Another Name"]
    assert names_of(run, second["engagement_id"]) == [None]


@pytest.mark.parametrize("changes", [False, True])
def test_a_version_that_came_later_in_the_next_window_is_emitted_too(
    simulator: SimulatorProcess, *, changes: bool
) -> None:
    boundary = BEGIN + LONGEST_WINDOW
    row = engagement("between", boundary, boundary)
    other = Fault(kind="other_value", endpoint="sms", requests=(2,))
    faults = (other,) if changes else ()
    simulator.replace(scenario(Account(id="one", explicit_sms=(row,)), faults=faults))
    run = sync(simulator, max_concurrency=1).check()
    assert len(requests_to(simulator, "sms")) == 2
    expected = [None, "Another Name"] if changes else [None]
    assert names_of(run, row["engagement_id"]) == expected

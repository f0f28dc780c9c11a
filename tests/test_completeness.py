"""What Zoom announces is what came, or the run says so and its bookmark stays."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, get_args

import pytest

from simulator.scenario import STREAMS, Account, Fault, Readings
from tap_zoom_cc.sync.windows import LONGEST_WINDOW
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import BEGIN, DAY, FIRST_RUN, HOUR, engagement, requests_to, scenario
from tests.harness.rows import (
    assert_complete,
    assert_nothing_twice,
    assert_same_rows,
    by_key,
    of_account,
)
from tests.harness.singer import bookmarks, selecting, state_of
from tests.harness.tap import sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun
    from tests.harness.singer import Catalog, Record

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

Order = Literal["start_ascending", "start_descending", "end_ascending", "shuffled"]
ORDERS = get_args(Order)

SINCE = (FIRST_RUN - 20 * DAY).isoformat()
"""A start date from which one window reaches to the first run."""


def recent_truth(simulator: SimulatorProcess) -> list[Record]:
    """Return what there is of text messages from `SINCE` on."""
    return [row for row in simulator.truth("sms") if row["start_time"] >= SINCE]


def test_rows_that_zoom_counts_but_does_not_deliver_fail_the_run_and_keep_the_bookmark(
    simulator: SimulatorProcess,
) -> None:
    fault = Fault(kind="total_too_high", endpoint="sms", account_id="short", by=7)
    accounts = (Account(id="short", sms=900), Account(id="well", sms=50))
    simulator.replace(scenario(*accounts, faults=(fault,)))
    run = sync(simulator, start_date=SINCE).check(1)
    truth = recent_truth(simulator)
    assert_same_rows("sms", run.records("sms"), truth)
    assert bookmarks(run.state, "sms") == {"well": FIRST_RUN.isoformat()}
    delivered = len(of_account("short", truth))
    line, *_ = [line for line in run.logged("ERROR") if "bookmark stays" in line]
    assert "sms, account short" in line
    assert f"announced {delivered + 7} engagements" in line
    assert f"delivered {delivered} " in line
    assert "on_count_mismatch" in line
    accepted = sync(simulator, start_date=SINCE, on_count_mismatch="warn").check()
    assert_same_rows("sms", accepted.records("sms"), truth)
    expected = dict.fromkeys(["short", "well"], FIRST_RUN.isoformat())
    assert bookmarks(accepted.state, "sms") == expected
    assert any("accepted" in line for line in accepted.logged("WARNING"))


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


def test_no_bookmark_passes_a_window_that_is_short(simulator: SimulatorProcess) -> None:
    start = FIRST_RUN - 80 * DAY
    fault = Fault(kind="total_too_high", endpoint="sms", by=7, requests=(2, 3, 4, 5))
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


def test_more_rows_than_announced_are_loaded_with_one_warning_that_names_both_numbers(
    simulator: SimulatorProcess,
) -> None:
    fault = Fault(kind="total_too_low", endpoint="sms", by=7)
    simulator.replace(scenario(Account(id="short", sms=250), faults=(fault,)))
    run = sync(simulator, start_date=SINCE).check()
    truth = recent_truth(simulator)
    assert_same_rows("sms", run.records("sms"), truth)
    (warning,) = [line for line in run.logged("WARNING") if "announced" in line]
    assert f"{len(truth)} engagements came" in warning
    assert str(len(truth) - 7) in warning


# Lists that live while they are read


def assert_nothing_missed(truth: list[Record], run: TapRun) -> None:
    """Assert that a run has what there was; more may have ended while it read."""
    assert_nothing_twice("sms", run.records("sms"))
    kept, expected = by_key("sms", run.records("sms")), by_key("sms", truth)
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


def going_away(every: timedelta) -> tuple[Record, ...]:
    """Return 250 engagements, the first older than 20 days in 45 seconds.

    With 30 seconds between pages that is after the list of accounts and the first page.
    """
    starts = [FIRST_RUN - 20 * DAY + 45 * SECOND + n * every for n in range(250)]
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
def test_an_answer_for_another_range_fails_its_account(
    simulator: SimulatorProcess, setting: str
) -> None:
    odd = Account(id="odd", sms=200, ignores_range=True)
    simulator.replace(scenario(odd, Account(id="well", sms=50)))
    before = (FIRST_RUN - 30 * DAY).isoformat()
    state = {"bookmarks": state_of("sms", {"odd": before})}
    run = sync(simulator, state=state, on_count_mismatch=setting).check(1)
    assert bookmarks(run.state, "sms") == {"odd": before, "well": FIRST_RUN.isoformat()}
    truth = simulator.truth("sms")
    assert_same_rows("sms", of_account("well", run.records("sms")), of_account("well", truth))
    line, *_ = [line for line in run.logged("ERROR") if "sms, account odd: " in line]
    assert re.search(r"asked for 20.* to .*, Zoom answered for 20.* to ", line)


def test_what_an_answer_leaves_out_is_asked_for_by_itself(simulator: SimulatorProcess) -> None:
    """Of each range this account answers the first hour alone."""
    simulator.replace(scenario(Account(id="short", sms=600, hours_answered=1)))
    start = (FIRST_RUN - 2 * DAY).isoformat()
    run = sync(simulator, start_date=start).check()
    truth = [row for row in simulator.truth("sms") if row["start_time"] >= start]
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


MIDNIGHT = FIRST_RUN.replace(hour=0, minute=0)


@pytest.mark.parametrize(
    ("end", "rows", "days_only", "most"),
    [
        (MIDNIGHT, 5_000, False, 575),
        (MIDNIGHT + 10 * HOUR, 3_000, False, 345),
        (MIDNIGHT, 5_000, True, 540),
        (MIDNIGHT + 10 * HOUR, 3_000, True, 502),
    ],
)
def test_a_crowded_end_of_a_month_is_split_but_a_day_that_comes_whole_is_not_read_thrice(
    simulator: SimulatorProcess, end: datetime, rows: int, *, days_only: bool, most: int
) -> None:
    """With a tenth of what a busy last day has, and a tenth of all limits."""
    starts = [end - (number * DAY // rows // SECOND) * SECOND for number in range(1, rows)]
    crowd = tuple(engagement(f"n{n}", start, start) for n, start in enumerate(starts))
    account = Account(id="crowded", explicit_sms=crowd)
    simulator.replace(scenario(account, readings=Readings(days_only=days_only)))
    limits = replace(SHORT_WAITS, most_rows=250, aimed_rows=180, page_size=10)
    run = sync(simulator, constants=limits, end_date=end.isoformat()).check()
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
    asked = requests_to(simulator, "sms")
    pages = Counter((request["from"][0], request["to"][0]) for request in asked)
    assert pages.total() <= most
    assert days_only or max(pages.values()) <= 30


def test_a_version_that_came_later_in_the_next_window_is_emitted_too(
    simulator: SimulatorProcess,
) -> None:
    boundary = BEGIN + LONGEST_WINDOW
    row = engagement("between", boundary, boundary)
    other = Fault(kind="other_value", endpoint="sms", requests=(2,))
    simulator.replace(scenario(Account(id="one", explicit_sms=(row,)), faults=(other,)))
    run = sync(simulator, max_concurrency=1).check()
    assert len(requests_to(simulator, "sms")) == 2
    names = [record.get("consumer_display_name") for record in run.records("sms")]
    assert names == [None, "Another Name"]

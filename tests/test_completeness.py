"""What Zoom announces is what came, or the run says so and its bookmark stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Fault, Readings
from tests.harness.history import DAY, FIRST_RUN, HOUR, scenario
from tests.harness.rows import assert_complete, assert_same_rows, of_account, truth_of
from tests.harness.singer import bookmarks, state_of
from tests.harness.tap import sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import FaultKind


def miscounted(kind: FaultKind, **when: Any) -> Fault:  # noqa: ANN401 (Fault's)
    return Fault(kind=kind, endpoint="sms", account_id="short", by=7, **when)


@pytest.mark.parametrize("kind", ["total_too_high", "page_repeated", "page_token_repeated"])
def test_rows_that_zoom_counts_but_does_not_deliver_fail_the_run_and_keep_the_bookmark(
    simulator: SimulatorProcess, kind: FaultKind
) -> None:
    accounts = (Account(id="short", sms=900), Account(id="well", sms=50))
    simulator.replace(scenario(*accounts, faults=(miscounted(kind),)))
    start_date = (FIRST_RUN - 20 * DAY).isoformat()
    run = sync(simulator, start_date=start_date).check(1)
    truth = {
        key: row for key, row in truth_of(simulator).items() if row["start_time"] >= start_date
    }
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
    end_of_first_window = start - 14 * HOUR + 28 * DAY
    assert bookmarks(run.state, "sms") == {"short": end_of_first_window.isoformat()}


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
    start_date = (FIRST_RUN - 20 * DAY).isoformat()
    run = sync(simulator, start_date=start_date).check()
    truth = [row for row in simulator.truth("sms") if row["start_time"] >= start_date]
    assert_same_rows("sms", run.records("sms"), truth)
    (warning,) = [line for line in run.logged("WARNING") if "announced" in line]
    assert f"{len(truth)} engagements came" in warning
    assert str(len(truth) - 7) in warning


def test_history_that_zoom_no_longer_keeps_is_said(simulator: SimulatorProcess) -> None:
    account = Account(id="forgetful", sms=300, voice_calls=300)
    simulator.replace(scenario(account, readings=Readings(history_days_kept=20)))
    run = sync(simulator).check()
    assert_complete(simulator, run)
    for stream in STREAMS:
        lines = [line for line in run.logged("WARNING") if f"{stream}, account forgetful" in line]
        assert len(lines) == 1
        assert "less history" in lines[0]

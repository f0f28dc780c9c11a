"""A share of Zoom's daily limit: never overspent, fairly shared, and enough in the end.

That a budget gets through a read that is larger than itself is in `test_properties.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Clock, Fault, Scenario
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import DAY, FIRST_RUN, accounts_asked, requests_sent, scenario
from tests.harness.rows import assert_complete, assert_same_rows
from tests.harness.singer import bookmarks, selecting
from tests.harness.tap import sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun
    from tests.harness.singer import State

SINCE: dict[str, Any] = {"start_date": (FIRST_RUN - 20 * DAY).isoformat()}
"""From there on an account is one window."""


def is_spent(run: TapRun) -> bool:
    return any("max_requests_per_run is spent" in line for line in run.lines)


def test_a_budget_of_requests_is_kept_and_reads_everything_in_the_end(
    simulator: SimulatorProcess,
) -> None:
    accounts = [Account(id=f"share{number}", sms=300, voice_calls=400) for number in range(3)]
    simulator.replace(scenario(*accounts, limits=replace(Scenario().limits, requests_per_day=20)))
    options: dict[str, Any] = {
        "max_requests_per_run": 20,
        "sub_account_ids": [account.id for account in accounts],
        "sms_lookback_days": 1,
    }
    runs: list[TapRun] = []
    while not runs or is_spent(runs[-1]):
        state = runs[-1].state if runs else None
        run = sync(simulator, FIRST_RUN + len(runs) * DAY, state=state, **options).check()
        assert requests_sent(simulator) <= 20
        assert all(run.records(stream) for stream in STREAMS), "a stream was starved"
        runs.append(run)
        assert len(runs) < 9, "it does not come to an end"
    assert len(runs) > 1, "the budget was meant to be too small for all"
    assert_complete(simulator, *runs)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="503_json", endpoint="sms", requests=tuple(range(1, 8))),
        Fault(kind="missing_total_records", endpoint="sms"),
    ],
    ids=["retries", "pages without a total"],
)
def test_a_budget_is_kept_though_requests_come_that_nobody_could_count_before(
    simulator: SimulatorProcess, fault: Fault
) -> None:
    simulator.replace(scenario(Account(id="one", sms=9_000), faults=(fault,)))
    sync(simulator, max_requests_per_run=6, sub_account_ids=["one"])
    assert 3 <= requests_sent(simulator) <= 6


def test_a_budget_goes_to_every_account_in_turn(simulator: SimulatorProcess) -> None:
    names = [f"turn{number}" for number in range(6)]
    simulator.replace(scenario(*(Account(id=name, sms=20) for name in names)))
    options: dict[str, Any] = {"sub_account_ids": names, "max_requests_per_run": 4, **SINCE}
    state: State = {}
    for _ in range(3):
        state = sync(simulator, state=state, **options).check().state
        assert len(accounts_asked(simulator, "sms")) == 2
    assert bookmarks(state, "sms").keys() == set(names)


def test_a_budget_used_up_by_retries_is_not_called_too_small_for_good(
    simulator: SimulatorProcess,
) -> None:
    faults = (Fault(kind="503_json", endpoint="sms", requests=(1, 2, 3)),)
    simulator.replace(scenario(Account(id="one", sms=400), faults=faults))
    (error, _) = sync(simulator, max_requests_per_run=8, **SINCE).check(1).logged("ERROR")
    assert "because 3 of 4 requests had to be sent again" in error
    assert "no run would ever come further" not in error
    sync(simulator, max_requests_per_run=8, **SINCE).check()


def test_a_budget_gets_back_what_was_reserved_for_an_account_that_fails(
    simulator: SimulatorProcess,
) -> None:
    """It is refused its second page of ten, and both accounts together have more than the share."""
    fault = Fault(kind="account_refuses", endpoint="sms", account_id="odd", requests=(2,))
    simulator.replace(
        Scenario(
            accounts=(Account(id="odd", sms=95), Account(id="well", sms=55)),
            history_begin=FIRST_RUN - 20 * DAY,
            history_end=FIRST_RUN - DAY,
            clock=Clock(now=FIRST_RUN),
            faults=(fault,),
        )
    )
    limits = replace(SHORT_WAITS, page_size=10)
    run = sync(simulator, constants=limits, max_requests_per_run=24, max_concurrency=1).check(1)
    assert not any("max_requests_per_run" in line for line in run.logged("ERROR"))
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms", "well"))


def test_a_budget_is_never_too_small_where_all_was_read_up_to_end_date(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(*(Account(id=f"done{number}", sms=20) for number in range(3))))
    state = sync(simulator, **SINCE).check().state
    run = sync(simulator, state=state, max_requests_per_run=2, **SINCE).check()
    assert bookmarks(run.state, "sms") == bookmarks(state, "sms")
    assert is_spent(run)


def test_a_budget_too_small_for_one_window_is_an_error_though_others_are_read(
    simulator: SimulatorProcess,
) -> None:
    """And not an endless loop."""
    simulator.replace(scenario(Account(id="big", sms=2000), Account(id="small", sms=20)))
    state: State | None = None
    for _ in range(3):
        run = sync(simulator, state=state, max_requests_per_run=12, **SINCE).check(1)
        state = run.state
        (error, *_) = [line for line in run.logged("ERROR") if "sms: max_requests_per" in line]
        assert "no run would ever come further" in error


def test_a_budget_is_spent_in_order_however_many_windows_are_read_side_by_side(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="busy", sms=20_000)))
    one, ten = (
        sync(simulator, max_concurrency=number, max_requests_per_run=120).check().records("sms")
        for number in (1, 10)
    )
    assert len(ten) == len(one) > 0


def test_a_full_table_sync_that_runs_out_of_budget_fails(
    simulator: SimulatorProcess, discovered: dict[str, Any]
) -> None:
    simulator.replace(scenario(Account(id="full", sms=900)))
    catalog = selecting(discovered, ["sms"], replication_method="FULL_TABLE")
    run = sync(simulator, catalog=catalog, max_requests_per_run=6).check(1)
    assert any("full-table" in line for line in run.logged("ERROR"))

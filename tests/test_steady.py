"""What the benchmark computes of regular syncs is what the command line asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmark import quiet_accounts
from benchmark.listed import Cost, Listed
from simulator.engagements import History
from simulator.scenario import STREAMS, Clock
from tap_zoom_cc.sync import windows
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import HOUR, requests_sent
from tests.harness.tap import sync

if TYPE_CHECKING:
    import pytest

    from simulator.process import SimulatorProcess

HOURS = 24
MOST_ROWS, AIMED_ROWS = 300, 200
"""With these the windows of the busy account are split, and no others."""


def test_hourly_syncs_with_accounts_at_rest_take_what_the_benchmark_counts(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One account that is busy, one with some a day, one with one a week: requests and rows."""
    monkeypatch.setattr(quiet_accounts, "SPAN", HOURS * HOUR)
    monkeypatch.setattr(windows, "MOST_ROWS", MOST_ROWS)
    monkeypatch.setattr(windows, "AIMED_ROWS", AIMED_ROWS)
    constants = replace(SHORT_WAITS, most_rows=MOST_ROWS, aimed_rows=AIMED_ROWS)
    bookmark = quiet_accounts.BEGIN + quiet_accounts.BEFORE
    accounts = quiet_accounts.accounts_of([(1, 350, ""), (1, 14, ""), (1, 0.5, "")])
    scenario = quiet_accounts.scenario_of(accounts)
    simulator.replace(replace(scenario, clock=Clock(now=bookmark, told=True)))
    counted = quiet_accounts.Syncs()
    for account in accounts:
        for stream in STREAMS:
            listed = Listed(History(scenario, account, stream))
            quiet_accounts.add_syncs(
                counted, listed, stream, account.id, every=HOUR, longest=6 * HOUR
            )
    taken = Cost()
    state = sync(simulator, bookmark, constants=constants).check().state
    start_date = (quiet_accounts.BEGIN - 30 * 24 * HOUR).isoformat()
    for number in range(HOURS):
        end = bookmark + (number + 1) * HOUR
        run = sync(
            simulator,
            end,
            state=state,
            constants=constants,
            start_date=start_date,
            quiet_accounts_hours=6,
        ).check()
        state = run.state
        taken.requests += requests_sent(simulator)
        taken.rows += len(run.engagements)
    assert taken == counted.cost
    assert taken.requests < HOURS * len(accounts) * len(STREAMS) * 2 / 3, "most were to rest"

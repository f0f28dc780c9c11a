"""What the benchmark computes of regular syncs is what the command line asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from benchmark import quiet_accounts
from benchmark.job import BEGIN
from benchmark.listed import LISTING_SECONDS, Cost, Listed
from benchmark.steady import LOOKBACKS
from simulator.engagements import History
from simulator.scenario import STREAMS, Account, Clock, Scenario
from tap_zoom_cc.sync import windows
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import DAY, HOUR, begin_after
from tests.harness.rows import key_of
from tests.harness.singer import state_of
from tests.harness.tap import sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess

BOOKMARK = BEGIN + 42 * DAY
SYNCS = 48
HOURS = 24
LISTED_AFTER = timedelta(seconds=LISTING_SECONDS)


@pytest.mark.long
@pytest.mark.parametrize(("most_rows", "aimed_rows"), [(2_500, 1_800), (300, 200)])
def test_two_days_of_hourly_syncs_take_as_many_requests_and_rows_as_the_benchmark_counts(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, most_rows: int, aimed_rows: int
) -> None:
    """Of an account with 500 engagements a day, once with windows that are split, once without."""
    monkeypatch.setattr(windows, "MOST_ROWS", most_rows)
    monkeypatch.setattr(windows, "AIMED_ROWS", aimed_rows)
    account = Account(id="one", sms=44 * 143, voice_calls=44 * 357)
    scenario = Scenario(
        accounts=(account,),
        history_begin=BEGIN,
        history_end=BEGIN + 44 * DAY,
        clock=Clock(now=BOOKMARK),
    )
    simulator.replace(scenario)
    listed = {stream: Listed(History(scenario, account, stream)) for stream in STREAMS}
    bookmark = {account.id: BOOKMARK.isoformat()}
    state = {"bookmarks": {**state_of("sms", bookmark), **state_of("voice_calls", bookmark)}}
    for number in range(SYNCS):
        end = BOOKMARK + (number + 1) * HOUR
        run = sync(
            simulator,
            end,
            state=state,
            sub_account_ids=[account.id],
            start_date=(BEGIN - 30 * DAY).isoformat(),
            constants=replace(SHORT_WAITS, most_rows=most_rows, aimed_rows=aimed_rows),
        ).check()
        state = run.state
        for stream in STREAMS:
            begin = begin_after(
                end - HOUR,
                end,
                stream=stream,
                account_id=account.id,
                lookback=LOOKBACKS[stream],
            )
            computed = Cost()
            listed[stream].look_at(end)
            computed.add(listed[stream], begin, end, split=True)
            requests = simulator.stats().requests[stream][account.id]
            assert Cost(requests, len(run.records(stream))) == computed


def test_hourly_syncs_with_accounts_at_rest_take_what_the_benchmark_counts(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One account that is busy, one with some a day, one with one a week: requests, rows, waits."""
    monkeypatch.setattr(quiet_accounts, "SPAN", HOURS * HOUR)
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
    state = sync(simulator, bookmark, start_date=quiet_accounts.BEGIN.isoformat()).check().state
    known = {key_of(stream, row) for stream in STREAMS for row in simulator.truth(stream)}
    waits: list[float] = []
    for number in range(HOURS):
        end = bookmark + (number + 1) * HOUR
        run = sync(
            simulator,
            end,
            state=state,
            start_date=(quiet_accounts.BEGIN - 30 * DAY).isoformat(),
            quiet_accounts_hours=6,
        ).check()
        state = run.state
        requests = simulator.stats().requests
        taken.requests += sum(sum(requests.get(stream, {}).values()) for stream in STREAMS)
        taken.rows += len(run.engagements)
        for key, row in run.engagements:
            if key not in known:
                known.add(key)
                listed_at = datetime.fromisoformat(row["end_time"]) + LISTED_AFTER
                waits.append((end - listed_at) / HOUR)
    assert taken == counted.cost
    assert sorted(waits) == sorted(time / HOUR for time in counted.waited.values())
    assert taken.requests < HOURS * len(accounts) * len(STREAMS) * 2 / 3, "most were to rest"

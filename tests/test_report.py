"""What a run tells its reader is there, and is true."""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from simulator.scenario import STREAMS, Account, Clock, Refusal, Scenario
from tap_zoom_cc.run.report import Report, Tally, counted
from tests.harness.constants import OWN, Constants
from tests.harness.history import DAY, HOUR, engagement
from tests.harness.tap import sync

if TYPE_CHECKING:
    from typing import TypeAlias

    import pytest

    from simulator.process import SimulatorProcess
    from tests.harness.tap import TapRun

    Metric: TypeAlias = dict[str, Any]

NOW = datetime(2024, 2, 20, tzinfo=timezone.utc)
PROGRESS = re.compile(
    r"(?P<stream>\w+): (?P<done>\d+) of (?P<all>\d+) windows, (?P<rows>\d+) rows, "
    r"[\d.]+ of 1000 requests a second, time left: (not known yet|about [\d.]+ s)$"
)


def run(simulator: SimulatorProcess, constants: Constants = OWN) -> TapRun:
    accounts = (Account(id="large", sms=6_000), Account(id="small", sms=30))
    simulator.replace(Scenario(accounts=accounts, clock=Clock(now=NOW)))
    start_date = (NOW - timedelta(days=80)).isoformat()
    return sync(simulator, start_date=start_date, constants=constants).check()


def test_progress_counts_the_windows_and_rows_that_were_read(simulator: SimulatorProcess) -> None:
    lines = run(simulator, Constants(progress_seconds=0.0)).lines
    told = [found for line in lines if (found := PROGRESS.search(line))]
    of_sms = [found for found in told if found["stream"] == "sms"]
    assert [int(found["rows"]) for found in of_sms] == sorted(int(f["rows"]) for f in of_sms)
    last = of_sms[-1]
    assert last["done"] == last["all"]
    assert int(last["all"]) > 2 * 3, "the busy window was meant to be split"
    assert int(last["rows"]) == len(simulator.truth("sms"))


def test_the_time_left_is_that_of_the_pages_left_at_the_pace_so_far() -> None:
    tally = Tally(began=100.0, windows_planned=4)
    assert tally.seconds_left(110.0) is None
    tally.windows_begun, tally.pages_expected, tally.pages_read = 2, 20, 10
    assert tally.seconds_left(110.0) == 30.0
    tally.pages_read = 41
    assert tally.seconds_left(110.0) == 0.0


def test_progress_is_told_every_ten_seconds_and_not_more_often(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    caplog.set_level(logging.INFO)
    report = Report(logging.getLogger(), requests_per_second=1000)
    told = []
    for seconds in range(31):
        now = 1000.0 + seconds
        caplog.clear()
        report.show_progress("sms")
        told += [seconds for line in caplog.messages if PROGRESS.search(line)]
    assert told == [10, 20, 30]


def test_the_summary_is_what_the_server_saw(simulator: SimulatorProcess) -> None:
    (summary,) = [line for line in run(simulator).lines if "Summary: " in line]
    requests = simulator.stats().requests
    sent = sum(sum(by_account.values()) for name, by_account in requests.items() if name != "token")
    assert "Summary: 2 accounts, " in summary
    assert f", {sent} requests, " in summary
    assert f"sms {len(simulator.truth('sms'))}, " in summary
    assert ", 0 retries, 0 failures, " in summary


def test_the_summary_names_the_longest_engagement_of_each_stream_that_has_any(
    simulator: SimulatorProcess,
) -> None:
    begin = NOW - 9 * DAY
    conversations = (
        engagement("short", begin, begin + 2 * HOUR),
        engagement("long", begin + DAY, begin + 4 * DAY + HOUR),
        engagement("still-open", begin + DAY, NOW + HOUR),
    )
    account = Account(id="one", explicit_sms=conversations)
    simulator.replace(Scenario(accounts=(account, Account(id="two")), clock=Clock(now=NOW)))
    (summary,) = [line for line in sync(simulator).check().lines if "Summary: " in line]
    assert ", longest open: sms 73 h 00 min, 0 retries" in summary


def lags(run: TapRun) -> dict[tuple[str, str], Metric]:
    """Return the METRIC lines about bookmarks, by name and stream."""
    lines = [line.partition("METRIC: ")[2] for line in run.lines if "METRIC: " in line]
    points: list[Metric] = [json.loads(line) for line in lines]
    return {
        (point["metric"], point["tags"]["stream"]): point
        for point in points
        if point["type"] == "gauge"
    }


def summary_of(run: TapRun) -> str:
    (line,) = [line for line in run.lines if "Summary: " in line]
    return line


def test_a_run_that_has_read_everything_is_not_behind(simulator: SimulatorProcess) -> None:
    told = run(simulator)
    for stream in STREAMS:
        assert lags(told)["accounts_behind", stream]["value"] == 0
        assert lags(told)["oldest_bookmark_age", stream]["value"] == 0
        assert f"{stream} {NOW.isoformat()} (0 accounts behind" in summary_of(told)


def test_accounts_that_fail_for_more_than_a_day_are_told_as_behind(
    simulator: SimulatorProcess,
) -> None:
    accounts = {name: Account(id=name, sms=30) for name in ("well", "sick", "new")}
    well, sick, new = accounts.values()
    begin = NOW - timedelta(days=20)
    simulator.replace(Scenario(accounts=(well, sick), clock=Clock(now=NOW), history_begin=begin))
    state = sync(simulator).check().state
    refused = [replace(account, sms_refusal=Refusal(status=500)) for account in (sick, new)]

    for delay, behind in ((timedelta(days=1), 1), (timedelta(days=1, seconds=1), 2)):
        later = NOW + delay
        clock = Clock(now=later)
        simulator.replace(Scenario(accounts=(well, *refused), clock=clock, history_begin=begin))
        told = sync(simulator, state=state).check(exit_code=1)
        # The new account has no bookmark yet: it is behind from its first day on.
        assert lags(told)["accounts_behind", "sms"]["value"] == behind
        assert lags(told)["accounts_behind", "voice_calls"]["value"] == 0
        oldest = lags(told)["oldest_bookmark_age", "sms"]
        assert oldest["value"] == delay.total_seconds()
        assert oldest["tags"]["context"] == {"account_id": "sick"}
        assert oldest["tags"]["bookmark"] == NOW.isoformat()
        noun = "account" if behind == 1 else "accounts"
        said = f"({behind} {noun} behind by more than a day, 1 of them not begun)"
        assert f"sms {NOW.isoformat()} {said}" in summary_of(told)


def test_a_run_that_cannot_begin_tells_how_old_its_state_is(simulator: SimulatorProcess) -> None:
    state = run(simulator).state
    told = sync(simulator, NOW + timedelta(days=3), state=state, client_secret="wrong")
    told.check(exit_code=1)
    assert lags(told)["accounts_behind", "sms"]["value"] == 2
    assert lags(told)["oldest_bookmark_age", "sms"]["value"] == 3 * 86_400


def test_an_account_that_is_skipped_is_not_behind(simulator: SimulatorProcess) -> None:
    accounts = (Account(id="well", sms=30), Account(id="none", sms_refusal=Refusal()))
    simulator.replace(Scenario(accounts=accounts, clock=Clock(now=NOW)))
    assert lags(sync(simulator).check())["accounts_behind", "sms"]["value"] == 0


def test_accounts_that_are_not_read_any_more_are_not_behind(simulator: SimulatorProcess) -> None:
    state = run(simulator).state
    told = sync(simulator, NOW + timedelta(days=3), state=state, sub_account_ids=["small"])
    assert lags(told.check())["accounts_behind", "sms"]["value"] == 0


def test_a_full_table_sync_has_no_bookmarks_that_could_be_old(
    simulator: SimulatorProcess, discovered: dict[str, Any]
) -> None:
    state = run(simulator).state
    catalog = json.loads(json.dumps(discovered))
    for entry in catalog["streams"]:
        entry["replication_method"] = "FULL_TABLE"
    told = sync(simulator, NOW + timedelta(days=3), state=state, catalog=catalog).check()
    assert not lags(told)
    assert "oldest bookmarks" not in summary_of(told)


def test_a_number_agrees_with_its_noun() -> None:
    assert [counted(n, "account") for n in (0, 1, 2)] == ["0 accounts", "1 account", "2 accounts"]
    assert counted(2, "retry", "retries") == "2 retries"

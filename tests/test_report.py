"""What a run tells its reader is there, and is true."""

from __future__ import annotations

import logging
import re
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from simulator.scenario import Account, Clock, Scenario
from tap_zoom_cc.run.report import Report, counted
from tests.harness.constants import OWN, Constants
from tests.harness.history import DAY, HOUR, engagement
from tests.harness.tap import sync

if TYPE_CHECKING:
    import pytest

    from simulator.process import SimulatorProcess
    from tests.harness.tap import TapRun

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


def test_a_number_agrees_with_its_noun() -> None:
    assert [counted(n, "account") for n in (0, 1, 2)] == ["0 accounts", "1 account", "2 accounts"]
    assert counted(2, "retry", "retries") == "2 retries"

"""What a run tells its reader is there, and is true."""

from __future__ import annotations

import json
import logging
import re
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Clock, Refusal, Scenario
from tap_zoom_cc.run.report import Report, counted
from tests.harness.clock import SteadyClock
from tests.harness.constants import OWN, Constants
from tests.harness.history import DAY, HOUR, engagement
from tests.harness.tap import run_tap, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from simulator.process import SimulatorProcess
    from tests.harness.tap import TapRun

    Metric: TypeAlias = dict[str, Any]

NOW = datetime(2024, 2, 20, tzinfo=timezone.utc)
PATIENCE_SECONDS = 10
PROGRESS = re.compile(
    r"Progress: (?P<percent>\d+) % of about (?P<pages>\d+) pages?(, rows: (?P<rows>.*))?, "
    r"[\d.]+ of 1000 requests a second, time left: "
    r"(about [\d.]+ s(, if (?P<guessed>\w+) is as long as what was begun)?"
    r"|what the target needs for the rows that were read)$"
)


@pytest.fixture
def clock() -> SteadyClock:
    return SteadyClock()


@pytest.fixture
def report(clock: SteadyClock, caplog: pytest.LogCaptureFixture) -> Report:
    caplog.set_level(logging.INFO)
    return Report(logging.getLogger("test"), requests_per_second=10, clock=clock)


def run(simulator: SimulatorProcess, constants: Constants = OWN) -> TapRun:
    accounts = (Account(id="large", sms=3_000), Account(id="small", sms=30))
    simulator.replace(Scenario(accounts=accounts, clock=Clock(now=NOW)))
    start_date = (NOW - timedelta(days=80)).isoformat()
    return sync(simulator, start_date=start_date, constants=constants).check()


def test_progress_is_that_of_the_whole_run(simulator: SimulatorProcess) -> None:
    lines = run(simulator, Constants(progress_seconds=0.0)).lines
    told = [found for line in lines if (found := PROGRESS.search(line))]
    assert told[0]["guessed"] == "voice_calls", "it has not begun when sms has"
    assert told[-1]["guessed"] is None
    assert told[-1]["percent"] == "100"
    counts = {stream: len(simulator.truth(stream)) for stream in STREAMS}
    assert told[-1]["rows"] == f"sms {counts['sms']}, sub_accounts 2"
    first = next(line for line in lines if "sms: 2 accounts" in line)
    assert first.endswith("requests or more, at 1000 a second"), "a lower bound tells no time"


def test_progress_goes_by_pages(
    report: Report, clock: SteadyClock, caplog: pytest.LogCaptureFixture
) -> None:
    report.streams = ["sms", "voice_calls"]
    report.plan_more("sms", 4)
    report.read_page("sms", more=20, begins=True)
    clock.now += 10
    report.show_progress()
    # 80 pages of sms, and as many of voice calls.
    assert "1 % of about 160 pages" in caplog.messages[-1]
    assert "time left: about 26 min 30 s, if voice_calls is as long" in caplog.messages[-1]

    for _ in range(19):
        report.read_page("sms", more=0, begins=False)
    report.tallies["sms"].has_ended = True
    report.plan_more("voice_calls", 4)
    report.read_page("voice_calls", more=5, begins=True)
    clock.now += 11
    report.show_progress()
    assert "52 % of about 40 pages" in caplog.messages[-1]
    assert caplog.messages[-1].endswith("time left: about 19.0 s")


def test_a_run_with_a_budget_has_no_more_time_left_than_that(
    report: Report, clock: SteadyClock, caplog: pytest.LogCaptureFixture
) -> None:
    report.most_requests = 50
    report.streams = ["sms", "voice_calls"]
    report.plan_more("sms", 4)
    for number in range(20):
        report.count_request()
        report.read_page("sms", more=0 if number else 20, begins=not number)
    clock.now += 10
    report.show_progress()
    # 60 pages of sms, and 80 of voice calls would follow.
    assert "12 % of about 160 pages" in caplog.messages[-1]
    said = "time left: at most about 15.0 s: then max_requests_per_run is spent"
    assert caplog.messages[-1].endswith(said)

    report.most_requests = 500
    clock.now += 10
    report.show_progress()
    assert "time left: about 2 min 20 s, if voice_calls is as long" in caplog.messages[-1]


def test_before_the_first_page_and_after_the_last_no_time_is_told(
    report: Report, clock: SteadyClock, caplog: pytest.LogCaptureFixture
) -> None:
    report.streams = ["sms"]
    report.plan_more("sms", 1)
    clock.now += 10
    report.show_progress()
    assert "Progress: nothing read yet" in caplog.messages[-1]
    assert caplog.messages[-1].endswith("time left: not known yet")
    report.read_page("sms", more=1, begins=True)
    clock.now += 10
    report.show_progress()
    said = "time left: what the target needs for the rows that were read"
    assert caplog.messages[-1].endswith(said)


def test_progress_is_told_every_ten_seconds_and_not_more_often(
    report: Report, clock: SteadyClock, caplog: pytest.LogCaptureFixture
) -> None:
    told = []
    for seconds in range(1, 32):
        clock.now += 1
        caplog.clear()
        report.show_progress()
        told += [seconds for line in caplog.messages if "Progress: " in line]
    assert told == [10, 20, 30]


@pytest.mark.parametrize("show", [Report.show_progress, Report.show_retries])
def test_retries_that_go_on_are_told_every_ten_seconds(
    show: Callable[[Report], None],
    report: Report,
    clock: SteadyClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = []
    for seconds in range(1, 42):
        clock.now += 1
        if seconds < 30:
            report.count_retry()
            report.retry("http://zoom", "no answer", 1.0)
        caplog.clear()
        show(report)
        told += [(seconds, line) for line in caplog.messages if "sent again" in line]
    said = "10 requests were sent again; the last: http://zoom: no answer; next try in 1.0 s"
    assert told[:2] == [(10, said), (20, said)]
    assert [seconds for seconds, _ in told] == [10, 20, 30], "from then on there are none"


@pytest.mark.parametrize("show", [Report.show_progress, Report.show_retries])
def test_a_long_wait_for_the_next_try_is_told_every_ten_seconds(
    show: Callable[[Report], None],
    report: Report,
    clock: SteadyClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    report.retry("http://zoom", "no answer", 25.5)
    told = []
    for seconds in range(1, 42):
        clock.now += 1
        caplog.clear()
        show(report)
        told += [(seconds, line) for line in caplog.messages if "sent again" in line]
    said = "A request waits to be sent again; the last: http://zoom: no answer; next try in"
    assert told == [(10, f"{said} 15.5 s"), (20, f"{said} 5.5 s")]


@pytest.mark.parametrize("show", [Report.show_progress, Report.show_retries])
def test_workers_count_on_while_a_line_waits_for_its_reader(
    show: Callable[[Report], None],
    report: Report,
    clock: SteadyClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def count_elsewhere(_: logging.LogRecord) -> bool:
        worker = threading.Thread(target=report.count_request, daemon=True)
        worker.start()
        worker.join(PATIENCE_SECONDS)
        return True

    report.count_retry()
    clock.now += 10
    caplog.handler.addFilter(count_elsewhere)
    show(report)
    assert report.requests == len(caplog.messages) > 0


@pytest.mark.parametrize(
    ("setting", "arguments"), [("api_url", []), ("token_url", []), ("token_url", ["--test"])]
)
def test_a_port_where_nothing_answers_is_no_long_silence(
    simulator: SimulatorProcess, setting: str, arguments: list[str]
) -> None:
    config = {**settings_for(simulator), setting: "http://127.0.0.1:9"}
    # Twice a second the tap looks whether there is something to tell, here each time.
    constants = Constants(progress_seconds=0.0, patience_seconds=0.6)
    told = run_tap(config, arguments=arguments, constants=constants).check(1)
    assert [line for line in told.logged("WARNING") if "sent again; the last: http" in line]


def summary_of(run: TapRun, stream: str = "") -> str:
    """Return what the summary says of a stream, or else of the run."""
    begin = f"Summary of {stream}: " if stream else "Summary: "
    (line,) = [line for line in run.lines if begin in line]
    return line.partition(begin)[2]


def test_the_summary_is_what_the_server_saw(simulator: SimulatorProcess) -> None:
    told = run(simulator)
    requests = simulator.stats().requests
    sent = sum(sum(by_account.values()) for name, by_account in requests.items() if name != "token")
    assert summary_of(told).startswith("2 accounts, ")
    assert f", {sent} requests, 0 retries, 0 failures, " in summary_of(told)
    rows = simulator.truth("sms")
    newest = max(datetime.fromisoformat(row["start_time"]) for row in rows)
    assert summary_of(told, "sms").startswith(
        f"{len(rows)} rows of 2 accounts, 0 skipped, newest {newest.isoformat()}, longest open "
    )
    assert summary_of(told, "sub_accounts") == "2 rows"


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
    told = sync(simulator).check()
    assert ", longest open 73 h 00 min, " in summary_of(told, "sms")
    assert "longest open" not in summary_of(told, "voice_calls")


def gauges(run: TapRun) -> dict[str, Metric]:
    """Return the METRIC lines of the tap's own, by name."""
    lines = [line.partition("METRIC: ")[2] for line in run.lines if "METRIC: " in line]
    points: list[Metric] = [json.loads(line) for line in lines]
    return {point["metric"]: point for point in points if point["type"] == "gauge"}


def test_a_run_that_has_read_everything_is_not_behind(simulator: SimulatorProcess) -> None:
    told = run(simulator)
    values = {name: point["value"] for name, point in gauges(told).items()}
    assert values == {"accounts_behind": 0, "accounts_skipped": 0, "oldest_bookmark_age": 0}
    for stream in STREAMS:
        said = f"0 behind by more than a day, oldest bookmark {NOW.isoformat()}"
        assert said in summary_of(told, stream)


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
        assert gauges(told)["accounts_behind"]["value"] == behind
        oldest = gauges(told)["oldest_bookmark_age"]
        assert oldest["value"] == delay.total_seconds()
        assert oldest["tags"]["stream"] == "sms"
        assert oldest["tags"]["context"] == {"account_id": "sick"}
        assert oldest["tags"]["bookmark"] == NOW.isoformat()
        assert summary_of(told, "sms").endswith(
            f", {behind} behind by more than a day (1 of them not begun), "
            f"oldest bookmark {NOW.isoformat()}"
        )
        assert ", 0 behind by more than a day, " in summary_of(told, "voice_calls")


def test_a_run_that_cannot_begin_tells_how_old_its_state_is(simulator: SimulatorProcess) -> None:
    state = run(simulator).state
    told = sync(simulator, NOW + timedelta(days=3), state=state, client_secret="wrong").check(1)
    assert gauges(told)["accounts_behind"]["value"] == 2
    assert gauges(told)["oldest_bookmark_age"]["value"] == 3 * 86_400
    assert ", 2 behind by more than a day, oldest bookmark " in summary_of(told, "sms")
    assert summary_of(told).startswith("accounts not known, ")
    for known in (None, state):
        told = sync(simulator, NOW, state=known, client_secret="wrong").check(1)
        assert not gauges(told).keys() & {"accounts_behind", "accounts_skipped"}
        assert "behind" not in told.stderr, "of accounts that are not known none may be said to be"


def test_an_account_is_behind_or_skipped_once_though_there_are_two_streams(
    simulator: SimulatorProcess,
) -> None:
    sick = Refusal(status=500)
    accounts = (
        Account(id="well", sms=30),
        Account(id="sick", sms_refusal=sick, voice_calls_refusal=sick),
        Account(id="none", sms_refusal=Refusal()),
    )
    simulator.replace(Scenario(accounts=accounts, clock=Clock(now=NOW)))
    told = sync(simulator).check(1)
    assert gauges(told)["accounts_behind"]["value"] == 1
    assert gauges(told)["accounts_skipped"]["value"] == 1
    assert " of 3 accounts, 1 skipped, " in summary_of(told, "sms")
    assert " of 3 accounts, 0 skipped, " in summary_of(told, "voice_calls")


def test_what_is_not_read_any_more_or_whole_each_time_is_not_behind(
    simulator: SimulatorProcess, discovered: dict[str, Any]
) -> None:
    state = run(simulator).state
    told = sync(simulator, NOW + timedelta(days=3), state=state, sub_account_ids=["small"])
    assert gauges(told.check())["accounts_behind"]["value"] == 0
    catalog = json.loads(json.dumps(discovered))
    for entry in catalog["streams"]:
        entry["replication_method"] = "FULL_TABLE"
    told = sync(simulator, NOW + timedelta(days=3), state=state, catalog=catalog).check()
    assert gauges(told).keys() == {"accounts_skipped"}
    assert "oldest bookmark" not in summary_of(told, "sms")


def test_a_number_agrees_with_its_noun() -> None:
    assert [counted(n, "account") for n in (0, 1, 2)] == ["0 accounts", "1 account", "2 accounts"]
    assert counted(2, "retry", "retries") == "2 retries"

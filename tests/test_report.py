"""What a run tells its reader is there, and is true."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from simulator.scenario import STREAMS, Account, Clock, Refusal, Scenario
from tap_zoom_cc.run.report import Report, counted
from tests.harness.clock import SteadyClock
from tests.harness.constants import OWN, Constants
from tests.harness.history import DAY, HOUR, engagement
from tests.harness.singer import selecting
from tests.harness.tap import run_tap, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun

    Show: TypeAlias = Callable[[Report], None]
    """A method of the report, called about twice a second."""

NOW = datetime(2024, 2, 20, tzinfo=timezone.utc)
NOTHING_ANSWERS = "http://127.0.0.1:9"
PATIENCE_SECONDS = 10


# While the run goes on


@dataclass
class Told:
    """A report on a clock that the test moves, and what it tells."""

    report: Report
    clock: SteadyClock
    caplog: pytest.LogCaptureFixture

    def progress_after(self, seconds: float) -> str:
        """Return the line about progress so many seconds later."""
        self.clock.now += seconds
        self.report.show_progress()
        return self.caplog.messages[-1]

    def lines(
        self, show: Show, words: str, happens: Callable[[int], object] = lambda _: None
    ) -> list[tuple[int, str]]:
        """Return the lines with some words of the next 41 seconds, each with its second."""
        told = []
        for second in range(1, 42):
            self.clock.now += 1
            happens(second)
            self.caplog.clear()
            show(self.report)
            told += [(second, line) for line in self.caplog.messages if words in line]
        return told


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    caplog.set_level(logging.INFO)
    clock = SteadyClock()
    return Told(Report(logging.getLogger("test"), 10, clock=clock), clock, caplog)


def test_progress_goes_by_pages(told: Told) -> None:
    report = told.report
    report.streams = ["sms", "voice_calls"]
    line = told.progress_after(10)
    assert "Progress: nothing read yet" in line
    assert line.endswith("time left: not known yet")

    report.plan_more("sms", 4)
    report.read_page("sms", more=20, begins=True)
    line = told.progress_after(10)
    # 80 pages of sms, and as many of voice calls.
    assert "1 % of about 160 pages" in line
    assert "time left: about 26 min 30 s, if voice_calls is as long" in line

    for _ in range(19):
        report.read_page("sms", more=0, begins=False)
    report.tallies["sms"].has_ended = True
    report.plan_more("voice_calls", 4)
    report.read_page("voice_calls", more=5, begins=True)
    line = told.progress_after(11)
    assert "52 % of about 40 pages" in line
    assert line.endswith("time left: about 19.0 s")

    for _ in range(19):
        report.read_page("voice_calls", more=0, begins=False)
    line = told.progress_after(10)
    assert line.endswith("time left: what the target needs for the rows that were read")


def test_a_run_with_a_budget_has_no_more_time_left_than_that(told: Told) -> None:
    report = told.report
    report.most_requests = 50
    report.streams = ["sms", "voice_calls"]
    report.plan_more("sms", 4)
    for number in range(20):
        report.count_request()
        report.read_page("sms", more=0 if number else 20, begins=not number)
    line = told.progress_after(10)
    # 60 pages of sms, and 80 of voice calls would follow.
    assert "12 % of about 160 pages" in line
    assert line.endswith("time left: at most about 15.0 s: then max_requests_per_run is spent")

    report.most_requests = 500
    line = told.progress_after(10)
    assert "time left: about 2 min 20 s, if voice_calls is as long" in line


def test_progress_is_told_every_ten_seconds_and_not_more_often(told: Told) -> None:
    lines = told.lines(Report.show_progress, "Progress: ")
    assert [second for second, _ in lines] == [10, 20, 30, 40]


@pytest.mark.parametrize("show", [Report.show_progress, Report.show_retries])
def test_retries_that_go_on_are_told_every_ten_seconds(show: Show, told: Told) -> None:
    def send_again(second: int) -> None:
        if second < 30:
            told.report.count_retry()
            told.report.retry("http://zoom", "no answer", 1.0)

    lines = told.lines(show, "sent again", send_again)
    said = "10 requests were sent again; the last: http://zoom: no answer; next try in 1.0 s"
    assert lines[:2] == [(10, said), (20, said)]
    assert [second for second, _ in lines] == [10, 20, 30], "from then on there are none"


@pytest.mark.parametrize("show", [Report.show_progress, Report.show_retries])
def test_a_long_wait_for_the_next_try_is_told_every_ten_seconds(show: Show, told: Told) -> None:
    told.report.retry("http://zoom", "no answer", 25.5)
    said = "A request waits to be sent again; the last: http://zoom: no answer; next try in"
    lines = told.lines(show, "sent again")
    assert lines == [(10, f"{said} 15.5 s"), (20, f"{said} 5.5 s")]


@pytest.mark.parametrize("show", [Report.show_progress, Report.show_retries])
def test_workers_count_on_while_a_line_waits_for_its_reader(show: Show, told: Told) -> None:
    def count_elsewhere(_: logging.LogRecord) -> bool:
        worker = threading.Thread(target=told.report.count_request, daemon=True)
        worker.start()
        worker.join(PATIENCE_SECONDS)
        return True

    told.report.count_retry()
    told.clock.now += 10
    told.caplog.handler.addFilter(count_elsewhere)
    show(told.report)
    assert told.report.requests == len(told.caplog.messages) > 0


@pytest.mark.parametrize(
    ("setting", "arguments"), [("api_url", []), ("token_url", []), ("token_url", ["--test"])]
)
def test_a_port_where_nothing_answers_is_no_long_silence_and_a_fault_of_the_network(
    simulator: SimulatorProcess, setting: str, arguments: list[str]
) -> None:
    config = {**settings_for(simulator), setting: NOTHING_ANSWERS}
    # Twice a second the tap looks whether there is something to tell, here each time.
    constants = Constants(progress_seconds=0.0, patience_seconds=0.6)
    ended = run_tap(config, arguments=arguments, constants=constants).check(1)
    assert [line for line in ended.logged("WARNING") if "sent again; the last: http" in line]
    error = ended.lines[-1]
    assert f"no answer (ConnectionError: {os.strerror(errno.ECONNREFUSED)}" in error
    assert NOTHING_ANSWERS in error
    assert "check the network, api_url and token_url" in error
    assert "sub_account_ids" not in ended.stderr


# At the end


def run(simulator: SimulatorProcess, constants: Constants = OWN) -> TapRun:
    accounts = (Account(id="large", sms=3_000), Account(id="small", sms=30))
    simulator.replace(Scenario(accounts=accounts, clock=Clock(now=NOW)))
    return sync(simulator, start_date=(NOW - 80 * DAY).isoformat(), constants=constants).check()


def summary_of(run: TapRun, stream: str = "") -> str:
    """Return what the summary says of a stream, or else of the run."""
    begin = f"Summary of {stream}: " if stream else "Summary: "
    (line,) = [line for line in run.lines if begin in line]
    return line.partition(begin)[2]


def gauges(run: TapRun) -> dict[str, dict[str, Any]]:
    """Return the METRIC lines of the tap's own, by name."""
    lines = [line.partition("METRIC: ")[2] for line in run.lines if "METRIC: " in line]
    points: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return {point["metric"]: point for point in points if point["type"] == "gauge"}


def values(run: TapRun) -> dict[str, float]:
    return {name: point["value"] for name, point in gauges(run).items()}


def test_what_is_told_is_what_the_server_saw(simulator: SimulatorProcess) -> None:
    ended = run(simulator, Constants(progress_seconds=0.0))
    rows = simulator.truth("sms")

    first = next(line for line in ended.lines if "sms: 2 accounts" in line)
    assert first.endswith("requests or more, at 1000 a second"), "a lower bound tells no time"
    progress = [line for line in ended.lines if " % of about " in line]
    guess = ", if voice_calls is as long as what was begun"
    assert progress[0].endswith(guess), "it has not begun when sms has"
    assert ": 100 % of about " in progress[-1]
    assert f", rows: sms {len(rows)}, sub_accounts 2, " in progress[-1]

    requests = simulator.stats().requests
    sent = sum(sum(by_account.values()) for name, by_account in requests.items() if name != "token")
    assert summary_of(ended).startswith("2 accounts, 12 windows, "), "three for each of 80 days"
    assert f", {sent} requests, 0 retries, 0 failures, " in summary_of(ended)
    newest = max(datetime.fromisoformat(row["start_time"]) for row in rows)
    assert summary_of(ended, "sms").startswith(
        f"{len(rows)} rows of 2 accounts, 0 skipped, newest {newest.isoformat()}, longest open "
    )
    assert summary_of(ended, "sub_accounts") == "2 rows"

    assert values(ended) == {"accounts_behind": 0, "accounts_skipped": 0, "oldest_bookmark_age": 0}
    for stream in STREAMS:
        said = f"0 behind by more than a day, oldest bookmark {NOW.isoformat()}"
        assert said in summary_of(ended, stream)


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
    simulator.replace(Scenario(accounts=(account,), clock=Clock(now=NOW)))
    ended = sync(simulator).check()
    assert ", longest open 73 h 00 min, " in summary_of(ended, "sms")
    assert "longest open" not in summary_of(ended, "voice_calls")


def test_each_account_that_fails_for_more_than_a_day_is_told_as_behind_once(
    simulator: SimulatorProcess,
) -> None:
    well, sick, new, none = (Account(id=name, sms=30) for name in ("well", "sick", "new", "none"))
    zoom = Scenario(accounts=(well, sick), clock=Clock(now=NOW), history_begin=NOW - 20 * DAY)
    simulator.replace(zoom)
    state = sync(simulator).check().state
    fault = Refusal(status=500)
    accounts = (
        well,
        replace(sick, sms_refusal=fault),
        replace(new, sms_refusal=fault, voice_calls_refusal=fault),
        replace(none, sms_refusal=Refusal()),
    )

    for delay, behind in ((DAY, 1), (DAY + timedelta(seconds=1), 2)):
        simulator.replace(replace(zoom, accounts=accounts, clock=Clock(now=NOW + delay)))
        ended = sync(simulator, state=state).check(exit_code=1)
        # The new account has no bookmark yet: it is behind from its first day on.
        assert values(ended)["accounts_behind"] == behind
        assert values(ended)["accounts_skipped"] == 1
        oldest = gauges(ended)["oldest_bookmark_age"]
        assert oldest["value"] == delay.total_seconds()
        assert oldest["tags"]["stream"] == "sms"
        assert oldest["tags"]["context"] == {"account_id": "sick"}
        assert oldest["tags"]["bookmark"] == NOW.isoformat()
        not_begun = "behind by more than a day (1 of them not begun), oldest bookmark"
        assert " of 4 accounts, 1 skipped, " in summary_of(ended, "sms")
        assert summary_of(ended, "sms").endswith(f", {behind} {not_begun} {NOW.isoformat()}")
        assert " of 4 accounts, 0 skipped, " in summary_of(ended, "voice_calls")
        assert f", 1 {not_begun} " in summary_of(ended, "voice_calls")


def test_a_run_that_cannot_begin_says_why_once_and_last_and_how_old_its_state_is(
    simulator: SimulatorProcess,
) -> None:
    state = run(simulator).state
    ended = sync(simulator, NOW + 3 * DAY, state=state, client_secret="wrong").check(1)
    assert ended.stderr.count("Zoom refuses the app's credentials") == 1
    assert "Zoom refuses the app's credentials" in ended.lines[-1]
    assert "Summary: accounts not known, " in ended.lines[-2]
    assert simulator.stats().requests == {"token": {"": 1}}, "it is not tried again"
    assert values(ended) == {"accounts_behind": 2, "oldest_bookmark_age": 3 * 86_400}
    assert ", 2 behind by more than a day, oldest bookmark " in summary_of(ended, "sms")
    for known in (None, state):
        ended = sync(simulator, NOW, state=known, client_secret="wrong").check(1)
        assert not gauges(ended).keys() & {"accounts_behind", "accounts_skipped"}
        assert "behind" not in ended.stderr, "of accounts that are not known none may be said to be"


def test_what_is_not_read_any_more_or_whole_each_time_is_not_behind(
    simulator: SimulatorProcess, discovered: dict[str, Any]
) -> None:
    state, later = run(simulator).state, NOW + 3 * DAY
    ended = sync(simulator, later, state=state, sub_account_ids=["small"]).check()
    assert values(ended)["accounts_behind"] == 0
    catalog = selecting(discovered, STREAMS, replication_method="FULL_TABLE")
    ended = sync(simulator, later, state=state, catalog=catalog).check()
    assert gauges(ended).keys() == {"accounts_skipped"}
    assert "oldest bookmark" not in summary_of(ended, "sms")


def test_a_number_agrees_with_its_noun() -> None:
    assert [counted(n, "account") for n in (0, 1, 2)] == ["0 accounts", "1 account", "2 accounts"]
    assert counted(2, "retry", "retries") == "2 retries"

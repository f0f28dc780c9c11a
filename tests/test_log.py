"""The log at its default level is short and says what matters: docs/log.md shows it as it is."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timezone
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import Account, Clock, Refusal, Scenario
from tests.checkout import ROOT
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import DAY, HOUR
from tests.harness.singer import state_of
from tests.harness.tap import run_tap, settings_for, sync
from tests.meltano_project import MeltanoProject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun
    from tests.harness.singer import State

PAGE = ROOT / "docs" / "log.md"

WITH_PROGRESS = replace(SHORT_WAITS, progress_seconds=0.0)
MISTYPED = "mIsTyPeD00000000000001"
ACCOUNT_IDS = [f"dEmOaCcOuNt000000000{number}" for number in (1, 2, 3)]
BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)
NOW = datetime(2026, 3, 26, 8, tzinfo=timezone.utc)
SCENARIO = Scenario(
    accounts=tuple(Account(id=name, sms=800, voice_calls=1600) for name in ACCOUNT_IDS),
    history_begin=BEGIN,
    history_end=NOW,
    clock=Clock(now=NOW),
)

# What differs from run to run. Durations come first: their form depends on their length.
_VARIES = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(,\d{3}|\+00:00)?", "(instant)"),
    (r"\d+ h \d\d min|\d+ min \d\d s|\d+\.\d s", "(duration)"),
    (
        (
            r"Progress: (nothing read yet|\d+ % of about \d+ pages(, rows: \w+ \d+(, \w+ \d+)*)?), "
            r"[\d.]+ of \d+ requests a second, time left: (not known yet|about \(duration\)"
            r"(, if voice_calls is as long as what was begun)?"
            r"|what the target needs for the rows that were read)$"
        ),
        "(progress)",
    ),
    (r"v\d[\w.+]*", "(version)"),
    (r"127\.0\.0\.1:\d+|zoom\.us|api\.zoom\.us", "(host)"),
    (r"\d+(\.\d+)?", "(number)"),
)


@pytest.fixture
def zoom(simulator: SimulatorProcess) -> SimulatorProcess:
    """Give the simulator, with three accounts and twelve weeks of engagements."""
    simulator.replace(SCENARIO)
    return simulator


@cache
def state_of_load(zoom: SimulatorProcess, now: datetime = NOW) -> State:
    """Load everything for the first time, as fast as it can be, and give the state for the next."""
    return sync(zoom, now).check().state


RUNS: dict[str, Callable[[SimulatorProcess], TapRun]] = {
    "hourly": lambda zoom: sync(zoom, NOW, state=state_of_load(zoom, NOW - HOUR)).check(),
    "backfill": lambda zoom: sync(zoom, constants=WITH_PROGRESS).check(),
    "failure": lambda zoom: sync(zoom, sub_account_ids=[*ACCOUNT_IDS[:2], MISTYPED]).check(1),
}
"""The runs whose logs the page shows, by their names there."""


def shapes(lines: list[str]) -> list[str]:
    """Return lines without what varies; of equal ones that follow each other, one."""
    found = []
    for line in lines:
        shape = line.rstrip()
        for pattern, name in _VARIES:
            shape = re.sub(pattern, name, shape)
        found.append(shape.replace("(number) account,", "(number) accounts,"))
    return [shape for shape, _ in groupby(found)]


def shown(name: str) -> list[str]:
    """Return the lines of one of the page's logs."""
    mark = f"<!-- compared by tests/test_log.py: {name} -->\n```text\n"
    _, _, begun = PAGE.read_text("utf-8").partition(mark)
    assert begun, f"docs/log.md has no log '{name}'"
    return begun.partition("```")[0].splitlines()


@pytest.mark.parametrize("name", RUNS)
def test_a_run_reads_as_the_page_shows_it(zoom: SimulatorProcess, name: str) -> None:
    run = RUNS[name](zoom)
    assert shapes(run.lines) == shapes(shown(name)), f"\nthe log is now:\n{run.stderr}"


@pytest.mark.programs
def test_meltano_shows_the_same_lines(tmp_path: Path, zoom: SimulatorProcess) -> None:
    project = MeltanoProject(tmp_path / "project")
    project.read_from(zoom)
    settings = {"start_date": BEGIN.isoformat(), "end_date": NOW.isoformat()}
    project.configure("tap-zoom-cc", settings)
    log = project.meltano("run", "tap-zoom-cc", "target-jsonl")

    def compared(lines: list[str]) -> list[str]:
        """Progress is told of a run that takes long; metrics are written in Meltano's own way."""
        return [line for line in shapes(lines) if not line.startswith(("(progress)", "METRIC"))]

    lines = [line.partition("] tap-zoom-cc ") for line in log.splitlines()]
    said = compared([line.strip() for _, by_the_tap, line in lines if by_the_tap])
    assert said == compared([line.split(" | ")[-1] for line in shown("backfill")])
    # It keeps name and value of a metric.
    for name in ("accounts_behind", "accounts_skipped"):
        assert [line for line in log.splitlines() if f"metric_name={name} metric_value=0" in line]
    assert "record_count" not in log
    assert "bookmark value" not in log


def test_the_requests_to_expect_are_those_of_a_run_without_new_rows(
    zoom: SimulatorProcess,
) -> None:
    state = state_of_load(zoom)
    run = sync(zoom, NOW, state=state).check()
    told = re.findall(r"expected: (\d+) requests or more", run.stderr)
    expected, listing = sum(int(number) for number in told), 1
    summary = next(line for line in run.lines if "Summary: " in line)
    assert f", {expected + listing} requests, " in summary


def test_without_a_start_date_it_is_said_that_only_28_days_are_read(zoom: SimulatorProcess) -> None:
    said = "start_date is not set, so of 3 accounts without a bookmark only the last 28 days"
    recent: dict[str, Any] = {"start_date": None, "end_date": None}
    first = sync(zoom, NOW, **recent).check()
    assert len([line for line in first.lines if said in line]) == 2, "one for each stream"
    for run in (sync(zoom, NOW).check(), sync(zoom, NOW, state=first.state, **recent).check()):
        assert "start_date is not set" not in run.stderr


@pytest.mark.parametrize("arguments", [[], ["--test"], ["--reconcile=2026-01-01/2026-01-03"]])
def test_an_id_with_control_characters_forges_no_line(
    zoom: SimulatorProcess, arguments: list[str]
) -> None:
    odd = "oDd\x1b[2J\x07\r\n2026-01-01 | ERROR    | forged"
    refusing = Account(id=odd, voice_calls=5, sms_refusal=Refusal())
    zoom.replace(replace(SCENARIO, accounts=(refusing, Account(id="another1", sms=3))))
    state = {"bookmarks": state_of("sms", {f"{odd}, gone": BEGIN.isoformat()})}
    config = settings_for(zoom)
    run = run_tap(config, arguments=arguments, state=None if arguments else state)
    assert "account oDd[2J 2026-01-01 | ERROR | forged: HTTP 403" in run.stderr
    assert ("forged, gone: has a bookmark" in run.stderr) is not bool(arguments)
    assert run.stderr.replace("\n", "").isprintable()
    assert not [line for line in run.lines if line.startswith("2026-01-01 | ERROR")]


def test_a_stream_that_was_read_already_says_so(zoom: SimulatorProcess) -> None:
    state = state_of_load(zoom)
    run = sync(zoom, NOW, state=state, end_date=(BEGIN + DAY).isoformat()).check()
    assert "sms: 3 accounts, nothing to read" in run.stderr


def test_an_old_python_is_not_warned_about_on_every_start(zoom: SimulatorProcess) -> None:
    old = (
        "import datetime\n"
        "from singer_sdk.helpers import _compat\n"
        "dates = dict.fromkeys(_compat._PYTHON_EOL_DATES, datetime.date(2020, 1, 1))\n"
        "_compat._PYTHON_EOL_DATES = dates"
    )
    test, discovery = (
        run_tap(zoom.tap_config(), arguments=[option], prelude=old).check()
        for option in ("--test", "--discover")
    )
    assert "end of life" not in test.stderr
    assert discovery.stderr == "", "the streams are discovered in silence"

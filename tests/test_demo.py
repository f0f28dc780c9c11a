"""The README's demo command, in a fresh copy of the repository and an empty home directory.

What it says of two runs, the second an incremental one, is compared with the simulator's truth.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

import duckdb
import pytest

from simulator.demo import demo_scenario
from simulator.scenario import STREAMS, Clock, load
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS
from tap_zoom_cc.sync.lookback import depth, phase_of
from tests.checkout import ROOT, copy_checkout
from tests.model_truth import Truth

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from simulator.scenario import Scenario, Stream

pytestmark = [pytest.mark.programs, pytest.mark.timeout(600)]

Row: TypeAlias = dict[str, Any]

A_WEEK = timedelta(weeks=1)
TARGET_IS_DUCKDB = sys.version_info < (3, 14)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a fresh copy of the repository, beside an empty home directory."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "home").mkdir()
    return copy_checkout(folder / "checkout")


@pytest.fixture(scope="module")
def first_run(checkout: Path) -> str:
    """Give the output of the demo's first run."""
    return run_demo(checkout)


@pytest.fixture(scope="module")
def second_run(checkout: Path, first_run: str) -> str:
    """Give the output of the run that goes on from the first."""
    assert first_run
    return run_demo(checkout, "--again")


def run_demo(checkout: Path, *arguments: str, exit_code: int = 0) -> str:
    """Run the demo with the Python that the environment is made of, and return its output."""
    python = getattr(sys, "_base_executable", sys.executable)
    result = subprocess.run(
        [python, "dev/demo.py", *arguments],
        cwd=checkout,
        env={**os.environ, "HOME": str(checkout.parent / "home"), "PYTHONPATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == exit_code, result.stdout + result.stderr
    return result.stdout


def played(checkout: Path) -> Scenario:
    """Give the scenario that the demo has played."""
    return load((checkout / "output/demo/scenario.json").read_bytes())


def a_week_later(scenario: Scenario) -> Scenario:
    """Give the scenario of the second run."""
    first_run = scenario.clock.now
    assert first_run
    return replace(scenario, clock=Clock(now=first_run + A_WEEK))


def truth(simulator: SimulatorProcess, scenario: Scenario) -> dict[str, list[Row]]:
    """Give the engagements that are visible in a scenario, by stream."""
    simulator.replace(scenario)
    return {stream: simulator.truth(stream) for stream in STREAMS}


def assert_equal(output: str) -> None:
    """Assert that the demo has found nothing missing, and nothing besides.

    It says so in a line for each stream and account; tests/test_targets.py compares each value.
    """
    assert len(re.findall(r"^ +(?:sms|voice_calls) .* equal$", output, re.MULTILINE)) > 2
    assert "differs" not in output


def test_the_first_run_loads_what_zoom_has(first_run: str) -> None:
    assert_equal(first_run)


@pytest.mark.skipif(not TARGET_IS_DUCKDB, reason="models need a database")
def test_the_queues_and_their_busiest_hours_are_those_of_zoom(
    checkout: Path, first_run: str, simulator: SimulatorProcess
) -> None:
    scenario = played(checkout)
    rows = {**truth(simulator, scenario), "sub_accounts": []}
    names = {account.id: account.name for account in scenario.accounts}
    came: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    busy: defaultdict[tuple[str, str], Counter[tuple[int, str]]] = defaultdict(Counter)
    for hour in Truth(rows, names).model("zoom_cc__queue_hours").values():
        start, engagements = hour["hour_start"], hour["engagements"]
        queue = (hour["account_name"], hour["queue_name"])
        came[queue].update({"all": engagements, hour["channel"]: engagements})
        busy[queue][start.isoweekday(), f"{start:%A %H:00}"] += engagements
    expected = [
        (
            *queue,
            *(str(came[queue][which]) for which in ("all", "voice", "sms")),
            min(busy[queue].items(), key=lambda item: (-item[1], item[0]))[0][1],
        )
        for queue in sorted(came, key=lambda queue: (-came[queue]["all"], queue))
    ]
    table = first_run.partition("Busiest queues")[2]
    shown = re.findall(
        r"^ +(\S.*?)  +(\S.*?)  +(\d+) +(\d+) +(\d+) +\d+ +\d+ +(\w+day \d\d:00)$",
        table,
        re.MULTILINE,
    )
    assert shown == expected[:5]


@pytest.mark.skipif(not TARGET_IS_DUCKDB, reason="models need a database")
def test_the_answers_in_the_documentation_are_those_of_the_demo(
    checkout: Path, first_run: str
) -> None:
    assert first_run
    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    answered = re.findall(r"```sql\n(.*?)```\n\n\|.*?\|\n\|[-|]+\|\n(.*?)\n\n", text, re.DOTALL)
    assert len(answered) == text.count("```sql\n")
    with duckdb.connect(str(checkout / "output/demo/zoom_cc.duckdb"), read_only=True) as database:
        for sql, answer in answered:
            rows = [f"| {' | '.join(map(str, row))} |" for row in database.sql(sql).fetchall()]
            assert rows == answer.splitlines()


def test_in_every_week_the_next_run_looks_back_to_the_longest_conversation() -> None:
    for week in range(100):
        scenario = demo_scenario(datetime(2026, 3, 2, tzinfo=timezone.utc) + week * A_WEEK)
        assert scenario.profile
        for stream in ENGAGEMENT_STREAMS:
            name: Stream = "sms" if stream.name == "sms" else "voice_calls"
            longest = scenario.profile.lengths(name).longest + scenario.completion_delay_seconds
            for account in scenario.accounts:
                looks_back = depth(
                    bookmark=scenario.history_end - A_WEEK,
                    end=scenario.history_end,
                    lookback=timedelta(days=stream.default_lookback_days),
                    phase=phase_of(stream.name, account.id),
                )
                assert looks_back > timedelta(seconds=longest)


def test_the_demo_is_the_same_on_each_day_of_a_week() -> None:
    monday = datetime(2026, 3, 2, tzinfo=timezone.utc)
    sunday = datetime(2026, 3, 8, 23, 59, 59, tzinfo=timezone.utc)
    assert demo_scenario(monday) == demo_scenario(sunday)
    assert demo_scenario(monday).history_end == monday


def test_the_query_that_is_suggested_can_be_copied(checkout: Path, first_run: str) -> None:
    (command,) = re.findall(r'^ +(\S+ -c ".*")$', first_run, re.MULTILINE)
    result = subprocess.run(
        shlex.split(command), cwd=checkout, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "inbound" in result.stdout


def test_the_picture_that_is_suggested_can_be_drawn(checkout: Path, first_run: str) -> None:
    pattern = r"^ +UV_SYSTEM_CERTS=1 PLOT_STORE=(\S+) (\S+ invoke \S+)$"
    ((store, command),) = re.findall(pattern, first_run, re.MULTILINE)
    variables = {"UV_SYSTEM_CERTS": "1", "PLOT_STORE": store, "HOME": str(checkout.parent / "home")}
    subprocess.run(shlex.split(command), cwd=checkout, env={**os.environ, **variables}, check=True)
    picture = checkout / "output" / "engagements_per_hour.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_next_run_adds_what_is_new_and_says_how_much_that_is_and_was_open(
    checkout: Path, second_run: str, simulator: SimulatorProcess
) -> None:
    assert_equal(second_run)
    scenario = played(checkout)
    before = truth(simulator, scenario)
    after = truth(simulator, a_week_later(scenario))
    new = sum(len(after[stream]) - len(before[stream]) for stream in STREAMS)
    told = re.search(r"This run sent (\d+) rows, of which (\d+) are new\.", second_run)
    assert told
    assert int(told[1]) > int(told[2]) == new > 0, "it was to look back"
    first_run = scenario.clock.now
    assert first_run
    bookmark = first_run.isoformat()
    rows = [row for stream in STREAMS for row in after[stream]]
    late = [row for row in rows if row["start_time"] < bookmark <= row["end_time"]]
    assert len(late) > 1
    assert f"{len(late)} of the new ones were open at the last run" in second_run


def test_conversations_are_open_for_days_and_none_asks_for_a_longer_lookback(
    checkout: Path, second_run: str
) -> None:
    told = " ".join(second_run.split())
    assert re.search(r"Summary of sms: .*?, longest open 1[01]\d h \d\d min", told)
    assert re.search(r"Summary of voice_calls: .*?, longest open 2 h", told)
    assert "lookback" not in (checkout / "output/demo/meltano.log").read_text("utf-8")


def test_a_row_that_is_missing_does_not_pass_for_equal(checkout: Path, second_run: str) -> None:
    assert second_run
    folder = checkout / "output/demo"
    if TARGET_IS_DUCKDB:
        with duckdb.connect(str(folder / "zoom_cc.duckdb")) as database:
            database.sql("delete from sms where start_time = (select min(start_time) from sms)")
    else:
        lines = (folder / "sms.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / "sms.jsonl").write_text("".join(lines[1:]), encoding="utf-8")
    assert run_demo(checkout, "--again", exit_code=1).count("differs") == 1

"""The README's demo command, in a fresh copy of the repository and an empty home directory.

What it says of two runs, the second an incremental one, is compared with the simulator's truth.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import product
from typing import TYPE_CHECKING

import demo_steps
import duckdb
import pytest

from simulator.demo import demo_scenario
from simulator.scenario import STREAMS, Clock, load
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS
from tap_zoom_cc.sync.lookback import depth, phase_of
from tests.checkout import ROOT, copy_checkout, run_program
from tests.meltano_project import PLUGINS, needs_duckdb

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from simulator.scenario import Scenario
    from tests.harness.singer import Record
    from tests.meltano_project import MeltanoProject

pytestmark = pytest.mark.programs

A_WEEK = timedelta(weeks=1)
# With the Python that the environment is made of.
DEMO = (getattr(sys, "_base_executable", sys.executable), "dev/demo.py")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a fresh copy of the repository, beside an empty home directory."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "home").mkdir()
    return copy_checkout(folder / "checkout")


@pytest.fixture(scope="module")
def first_run(checkout: Path) -> str:
    """Give the output of the demo's first run."""
    return run(checkout, *DEMO)


@pytest.fixture(scope="module")
def second_run(checkout: Path, first_run: str) -> str:
    """Give the output of the run that goes on from the first."""
    assert first_run
    return run(checkout, *DEMO, "--again")


def run(checkout: Path, *command: str, exit_code: int = 0) -> str:
    """Run a command in the copy, without what is installed here, and return its output."""
    env = {**os.environ, "HOME": str(checkout.parent / "home"), "PYTHONPATH": "/nowhere"}
    # Most of what is installed is never started: Python compiles what is.
    env["UV_COMPILE_BYTECODE"] = "0"
    return run_program(*command, folder=checkout, env=env, exit_code=exit_code)


def truth(simulator: SimulatorProcess, scenario: Scenario) -> list[Record]:
    """Give the engagements that are visible in a scenario."""
    simulator.replace(scenario)
    return [row for stream in STREAMS for row in simulator.truth(stream)]


def assert_equal(output: str) -> None:
    """Assert what each line says; tests/test_targets.py compares each value."""
    assert len(re.findall(r"^ +(?:sms|voice_calls) .* equal$", output, re.MULTILINE)) > 2
    assert "differs" not in output


def test_the_first_run_loads_what_zoom_has(first_run: str) -> None:
    assert_equal(first_run)


@needs_duckdb
def test_the_queues_and_their_busiest_hours_are_those_of_the_models(
    checkout: Path, first_run: str
) -> None:
    columns = "account_name, queue_name, channel, hour_start, engagements"
    query = f"select {columns} from contact_center.zoom_cc__queue_hours"
    came: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    busy: defaultdict[tuple[str, str], Counter[tuple[int, str]]] = defaultdict(Counter)
    with duckdb.connect(str(checkout / "output/demo/zoom_cc.duckdb"), read_only=True) as database:
        for account, queue, channel, start, engagements in database.sql(query).fetchall():
            came[account, queue].update({"all": engagements, channel: engagements})
            busy[account, queue][start.isoweekday(), f"{start:%A %H:00}"] += engagements
    pattern = r"^ +(\S.*?)  +(\S.*?)  +(\d+) +(\d+) +(\d+) +\d+ +\d+ +(\w+day \d\d:00)$"
    shown = re.findall(pattern, first_run.partition("Busiest queues")[2], re.MULTILINE)
    by_size = sorted(came, key=lambda queue: (-came[queue]["all"], queue))
    assert [(account, queue) for account, queue, *_ in shown] == by_size[:5]
    for account, queue, *counts, busiest in shown:
        here, by_hour = came[account, queue], busy[account, queue]
        assert counts == [str(here[which]) for which in ("all", "voice", "sms")]
        assert busiest == min(by_hour, key=lambda hour: (-by_hour[hour], hour))[1]


@needs_duckdb
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
    for week, stream in product(range(100), ENGAGEMENT_STREAMS):
        scenario = demo_scenario(datetime(2026, 3, 2, tzinfo=timezone.utc) + week * A_WEEK)
        assert scenario.profile
        lengths = scenario.profile.lengths("sms" if stream.name == "sms" else "voice_calls")
        longest = timedelta(seconds=lengths.longest + scenario.completion_delay_seconds)
        for account in scenario.accounts:
            looks_back = depth(
                bookmark=scenario.history_end - A_WEEK,
                end=scenario.history_end,
                lookback=timedelta(days=stream.default_lookback_days),
                phase=phase_of(stream.name, account.id),
            )
            assert looks_back > longest


def test_the_demo_is_the_same_on_each_day_of_a_week() -> None:
    monday = datetime(2026, 3, 2, tzinfo=timezone.utc)
    sunday = datetime(2026, 3, 8, 23, 59, 59, tzinfo=timezone.utc)
    assert demo_scenario(monday) == demo_scenario(sunday)
    assert demo_scenario(monday).history_end == monday


def test_it_does_without_duckdb_where_no_duckdb_keeps_every_row_and_says_why() -> None:
    assert demo_steps.choose_target((3, 13)) == ("target-duckdb", "")
    target, why = demo_steps.choose_target((3, 14))
    assert target == "target-jsonl"
    assert "duckdb 1.2.2 has no build for Python 3.14, and newer ones lose" in why


def test_the_query_and_the_picture_that_are_suggested_can_be_copied(
    checkout: Path, first_run: str, project: MeltanoProject
) -> None:
    # What Meltano would install here is there already.
    project.install_named_in("plot")
    (checkout / ".meltano/utilities").mkdir(exist_ok=True)
    (checkout / ".meltano/utilities/plot").symlink_to(PLUGINS / "utilities" / "plot")
    commands = re.findall(r'^ +(\S+ -c ".*"|UV_\S+ .* invoke \S+)$', first_run, re.MULTILINE)

    query, _ = (run(checkout, "bash", "-c", command) for command in commands)

    assert "inbound" in query
    picture = checkout / "output" / "engagements_per_hour.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_next_run_adds_what_is_new_and_says_how_much_that_is_and_was_open(
    checkout: Path, second_run: str, simulator: SimulatorProcess
) -> None:
    assert_equal(second_run)
    scenario = load((checkout / "output/demo/scenario.json").read_bytes())
    first_run = scenario.clock.now
    assert first_run
    before = truth(simulator, scenario)
    after = truth(simulator, replace(scenario, clock=Clock(now=first_run + A_WEEK)))
    told = re.search(r"This run sent (\d+) rows, of which (\d+) are new\.", second_run)
    assert told
    assert int(told[1]) > int(told[2]) == len(after) - len(before) > 0, "it was to look back"
    bookmark = first_run.isoformat()
    late = [row for row in after if row["start_time"] < bookmark <= row["end_time"]]
    assert len(late) > 1
    assert f"{len(late)} of the new ones were open at the last run" in second_run
    # None of them asks for a longer lookback.
    text = " ".join(second_run.split())
    assert re.search(r"Summary of sms: .*?, longest open 1[01]\d h \d\d min", text)
    assert re.search(r"Summary of voice_calls: .*?, longest open 2 h", text)
    assert "lookback" not in (checkout / "output/demo/meltano.log").read_text("utf-8")


def test_a_row_that_is_missing_does_not_pass_for_equal(checkout: Path, second_run: str) -> None:
    assert second_run
    folder = checkout / "output/demo"
    if (folder / "sms.jsonl").exists():
        lines = (folder / "sms.jsonl").read_text("utf-8").splitlines(keepends=True)
        (folder / "sms.jsonl").write_text("".join(lines[1:]), "utf-8")
    else:
        with duckdb.connect(str(folder / "zoom_cc.duckdb")) as database:
            database.sql("delete from sms where start_time = (select min(start_time) from sms)")
    assert run(checkout, *DEMO, "--again", exit_code=1).count("differs") == 1

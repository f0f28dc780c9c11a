"""The README's demo command, in a fresh copy of the repository and an empty home directory.

What it loads is compared with the simulator's truth, engagement by engagement and field by field:
after the first run, and after the second, incremental one.
"""

from __future__ import annotations

import json
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
from simulator.process import SimulatorProcess
from simulator.scenario import STREAMS, Clock, load
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS
from tap_zoom_cc.sync.lookback import depth, phase_of
from tests.checkout import ROOT, copy_checkout
from tests.harness.rows import without_nulls
from tests.model_truth import Truth

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.scenario import Scenario, Stream

pytestmark = [pytest.mark.programs, pytest.mark.timeout(600)]

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[tuple[str, str], Row]
"""Rows by their key: account and engagement."""

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


def truth(scenario: Scenario, stream: Stream) -> Rows:
    """Give the engagements that are visible in a scenario."""
    with SimulatorProcess(scenario) as simulator:
        rows = simulator.truth(stream)
    return {(row["account_id"], row["engagement_id"]): row for row in rows}


def loaded(checkout: Path, stream: Stream) -> Rows:
    """Give the rows that the demo has loaded, by key; of two with one key the later written."""
    folder = checkout / "output/demo"
    if TARGET_IS_DUCKDB:
        with duckdb.connect(str(folder / "zoom_cc.duckdb"), read_only=True) as database:
            found = database.sql(f"select * from {stream}")
            names = dict(zip(found.columns, map(str, found.types), strict=True))
            rows = [from_duckdb(names, values) for values in found.fetchall()]
        assert len({(row["account_id"], row["engagement_id"]) for row in rows}) == len(rows)
    else:
        lines = (folder / f"{stream}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
    return {(row["account_id"], row["engagement_id"]): row for row in rows}


def from_duckdb(types: dict[str, str], values: tuple[Any, ...]) -> Row:
    """Give a row of the database as JSON has it: documents parsed, instants in UTC.

    What the target says of the load, in columns of its own, is left out.
    """
    row: Row = {}
    for (name, type_), value in zip(types.items(), values, strict=True):
        if name.startswith("_sdc_"):
            continue
        if value is not None and type_ == "JSON":
            row[name] = json.loads(value)
        elif value is not None and type_ == "TIMESTAMP":
            row[name] = in_utc(value)
        else:
            row[name] = value
    return row


def in_utc(moment: datetime) -> str:
    """Give an instant as the tap writes it; the database holds it in UTC, without saying so."""
    return f"{moment.isoformat()}+00:00"


def as_the_target_stores(row: Row, columns: Row) -> Row:
    """Give a true row with every column: what is missing is null, and in DuckDB empty text is."""
    complete = dict.fromkeys(columns) | row
    if TARGET_IS_DUCKDB:
        return {name: None if value == "" else value for name, value in complete.items()}
    return complete


def assert_equal(found: Rows, expected: Rows) -> None:
    """Compare two sets of rows by key, then field by field."""
    assert found.keys() == expected.keys()
    for key, row in found.items():
        stored = as_the_target_stores(expected[key], row)
        assert without_nulls(row) == without_nulls(stored)


@pytest.mark.parametrize("stream", STREAMS)
def test_the_first_run_loads_exactly_the_engagements_of_zoom(
    checkout: Path, first_run: str, stream: Stream
) -> None:
    assert "differs" not in first_run
    assert "equal" in first_run
    expected = truth(played(checkout), stream)
    assert expected
    assert_equal(loaded(checkout, stream), expected)


@pytest.mark.skipif(not TARGET_IS_DUCKDB, reason="models need a database")
def test_the_queues_and_their_busiest_hours_are_those_of_zoom(
    checkout: Path, first_run: str
) -> None:
    scenario = played(checkout)
    rows: dict[str, list[Row]] = {"sub_accounts": []}
    rows |= {stream: list(truth(scenario, stream).values()) for stream in STREAMS}
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
    found = re.findall(
        r"^ +UV_SYSTEM_CERTS=1 PLOT_STORE=(\S+) (\S+ invoke \S+)$", first_run, re.MULTILINE
    )
    ((store, command),) = found
    subprocess.run(
        shlex.split(command),
        cwd=checkout,
        env={
            **os.environ,
            "HOME": str(checkout.parent / "home"),
            "UV_SYSTEM_CERTS": "1",
            "PLOT_STORE": store,
        },
        check=True,
    )
    picture = checkout / "output" / "engagements_per_hour.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("stream", STREAMS)
def test_the_next_run_adds_what_is_new_and_doubles_nothing(
    checkout: Path, second_run: str, stream: Stream
) -> None:
    assert "differs" not in second_run
    assert "equal" in second_run
    scenario = played(checkout)
    expected = truth(a_week_later(scenario), stream)
    assert len(expected) > len(truth(scenario, stream))
    assert_equal(loaded(checkout, stream), expected)


def test_the_next_run_says_how_many_conversations_were_open_in_the_first(
    checkout: Path, second_run: str
) -> None:
    scenario = played(checkout)
    first_run = scenario.clock.now
    assert first_run
    late = [
        row
        for stream in STREAMS
        for row in truth(a_week_later(scenario), stream).values()
        if row["start_time"] < first_run.isoformat() <= row["end_time"]
    ]
    assert len(late) > 1
    assert f"{len(late)} of the new ones were open at the last run" in second_run


def test_the_next_run_says_how_many_rows_it_has_sent_and_how_many_are_new(
    checkout: Path, second_run: str
) -> None:
    before = played(checkout)
    after = a_week_later(before)
    new = sum(len(truth(after, stream)) - len(truth(before, stream)) for stream in STREAMS)
    found = re.search(r"This run sent (\d+) rows, of which (\d+) are new\.", second_run)
    assert found
    assert int(found[2]) == new
    assert int(found[1]) > new, "it was to look back"


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

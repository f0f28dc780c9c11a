"""The commands of the pages run as they are written, with the simulator in the place of Zoom."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import duckdb
import pytest
import yaml

from simulator.scenario import STREAMS, Account, Clock, Scenario
from tests.checkout import ROOT
from tests.harness.history import accounts_asked
from tests.harness.pages import block, run_block
from tests.harness.raw_server import free_port
from tests.meltano_project import MeltanoProject, needs_duckdb

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream

pytestmark = pytest.mark.programs

NOW = datetime.now(timezone.utc).replace(microsecond=0)
ACCOUNT_ID = "dEmOaCcOuNt0000000001"
ACCOUNTS = (Account(id=ACCOUNT_ID, sms=150, voice_calls=2000), Account(id="other", sms=5))
# What commands without dates read: up to now.
RECENT = Scenario(
    accounts=ACCOUNTS, history_begin=NOW - timedelta(days=40), history_end=NOW, clock=Clock(now=NOW)
)
# What the dates on the pages are about.
JANUARY = Scenario(
    accounts=ACCOUNTS,
    history_begin=datetime(2025, 12, 20, tzinfo=timezone.utc),
    history_end=datetime(2026, 2, 3, tzinfo=timezone.utc),
    clock=Clock(now=datetime(2026, 2, 4, tzinfo=timezone.utc)),
)
# The program of DuckDB, which not every machine has, by its library.
DUCKDB = """
import sys
import duckdb

with duckdb.connect(sys.argv[1]) as database:
    for statement in duckdb.extract_statements(sys.stdin.read()):
        rows = database.execute(statement).fetchall()
    print(*rows, sep="\\n", end="")
"""


@pytest.fixture
def zoom(simulator: SimulatorProcess) -> SimulatorProcess:
    """Give the simulator, with some weeks of engagements up to now."""
    simulator.replace(RECENT)
    return simulator


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Give a folder for programs that a page asks its readers to have."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def provide(folder: Path, name: str, command: str) -> None:
    """Make a program that does something else with the same arguments."""
    program = folder / name
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    program.chmod(0o755)


@pytest.fixture
def project(tmp_path: Path, programs: Path, zoom: SimulatorProcess) -> MeltanoProject:
    """Give the clone as a Meltano project, whose settings lead to the simulator."""
    project = MeltanoProject(tmp_path / "project")
    project.read_from(zoom)
    project.env["PATH"] = os.pathsep.join([str(programs), project.env["PATH"]])
    for name in ("dev", "examples"):
        (project.folder / name).symlink_to(ROOT / name)
    return project


def run(name: str, project: MeltanoProject, folder: Path | None = None, **words: str) -> str:
    """Run a block in the project or another folder, to its good end, and return its output."""
    text = block(name).text
    if "meltano " in text:
        project.install_named_in(text)
    result = run_block(name, folder or project.folder, project.env, **words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def loaded(database: Path) -> dict[Stream, int]:
    """Return how many rows of each stream target-duckdb has."""
    with duckdb.connect(str(database), read_only=True) as connection:
        tables = {stream: connection.table(stream) for stream in STREAMS}
        return {stream: len(table) for stream, table in tables.items()}


def assert_has_the_last_days(database: Path, zoom: SimulatorProcess) -> None:
    """Assert that all is there that a run without dates reads; it began after NOW."""
    recent = datetime.now(timezone.utc) - timedelta(days=28)
    for stream, count in loaded(database).items():
        starts = [datetime.fromisoformat(row["start_time"]) for row in zoom.truth(stream)]
        assert count >= sum(start >= recent for start in starts) > 0


def assert_is_drawn(folder: Path) -> None:
    picture = folder / "engagements_per_hour.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def state_of(project: MeltanoProject) -> str:
    """Return what Meltano keeps of the schedule's runs into target-duckdb."""
    state_id = "dev:tap-zoom-cc-to-target-duckdb"
    return project.meltano("--log-level=error", "state", "get", state_id)


@needs_duckdb
def test_the_first_run_the_schedule_and_the_picture(
    project: MeltanoProject, zoom: SimulatorProcess
) -> None:
    run("first run", project)
    assert_has_the_last_days(project.output / "zoom_cc.duckdb", zoom)

    run("schedule", project)

    run("picture", project)
    assert_is_drawn(project.output)


@needs_duckdb
def test_a_backfill_within_a_budget(project: MeltanoProject, zoom: SimulatorProcess) -> None:
    run("backfill", project)
    truth = {stream: len(zoom.truth(stream)) for stream in STREAMS}
    assert loaded(project.output / "zoom_cc.duckdb") == truth


@needs_duckdb
def test_what_is_missing_is_found_and_read_again(
    project: MeltanoProject, programs: Path, tmp_path: Path, zoom: SimulatorProcess
) -> None:
    zoom.replace(JANUARY)
    (tmp_path / "read_sql.py").write_text(DUCKDB, encoding="utf-8")
    provide(programs, "duckdb", shlex.join([sys.executable, str(tmp_path / "read_sql.py")]))
    dates = {"TAP_ZOOM_CC_START_DATE": "2025-12-20", "TAP_ZOOM_CC_END_DATE": "2026-02-04"}
    project.meltano("run", "tap-zoom-cc", "target-duckdb", env=dates)

    state = state_of(project)
    run("count", project)
    assert run("compare", project) == ""
    with duckdb.connect(str(project.output / "zoom_cc.duckdb")) as database:
        database.execute(
            "delete from voice_calls where start_time::date between '2026-01-05' and '2026-01-06'"
        )
    assert "2026, 1, 5" in run("compare", project)

    zoom.reset_stats()
    run("reread", project, account=f"the ID of the account={ACCOUNT_ID}")
    assert {*accounts_asked(zoom, "voice_calls")} == {ACCOUNT_ID}
    assert run("compare", project) == ""
    assert state_of(project) == state, "the schedule's state was to stay"


def test_what_zoom_does_is_observed(project: MeltanoProject) -> None:
    assert "from" in run("observe", project, account=f"ACCOUNT={ACCOUNT_ID}")


def test_the_tap_is_added_to_a_project_of_ones_own(tmp_path: Path, project: MeltanoProject) -> None:
    (tmp_path / "tap-zoom-cc").symlink_to(ROOT)
    own = tmp_path / "own"
    own.mkdir()
    definition = own / "meltano.yml"
    definition.write_text(
        "default_environment: dev\nproject_id: own\nsend_anonymous_usage_stats: false\n"
        "environments:\n- name: dev\n",
        encoding="utf-8",
    )

    run("own project", project, own)

    added = definition.read_text(encoding="utf-8")
    released, clone = "pip_url: tap-zoom-cc\n", "pip_url: ../tap-zoom-cc\n"
    assert added.count(released) == 1
    definition.write_text(added.replace(released, clone), encoding="utf-8")
    run("own project, installed", project, own)


# Without Meltano


def provide_target(name: str, project: MeltanoProject, programs: Path) -> None:
    """Make a target a program; its environment is Meltano's."""
    project.install_named_in(name)
    loader = project.folder / ".meltano" / "loaders" / name
    provide(programs, name, str(loader / "venv" / "bin" / name))


@pytest.fixture
def folder(project: MeltanoProject, programs: Path, zoom: SimulatorProcess) -> Path:
    """Give a folder with a configuration, where the tap and target-jsonl are programs."""
    provide_target("target-jsonl", project, programs)
    settings = {**zoom.tap_config(), "requests_per_second": 100}
    (project.folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return project.folder


def load_new(project: MeltanoProject, *target: str, exit_code: int = 0) -> str:
    """Run the script that the page shows, and return the state that it keeps."""
    command = ["bash", str(ROOT / "examples" / "load_new.sh"), *target]
    result = subprocess.run(
        command, cwd=project.folder, env=project.env, capture_output=True, check=False
    )
    assert result.returncode == exit_code, result.stderr.decode()
    state = project.folder / "state.json"
    return state.read_text(encoding="utf-8") if state.exists() else ""


def test_without_meltano_the_state_survives_runs_that_write_none(
    project: MeltanoProject, programs: Path, folder: Path
) -> None:
    config, output = folder / "config.json", folder / "output"
    settings = json.loads(config.read_text(encoding="utf-8"))
    yesterday = (NOW - timedelta(days=1)).isoformat()
    config.write_text(json.dumps({**settings, "end_date": yesterday}), encoding="utf-8")
    run("without Meltano", project)
    first = load_new(project)
    assert set(json.loads(first)["bookmarks"]) >= set(STREAMS)

    config.write_text(json.dumps({**settings, "client_secret": "wrong"}), encoding="utf-8")
    assert load_new(project, exit_code=1) == first

    config.write_text(json.dumps(settings), encoding="utf-8")
    provide(programs, "target-jsonl", 'sh -c \'cat > /dev/null; printf "{\\"bookm"; exit 3\'')
    assert load_new(project, exit_code=3) == first

    provide_target("target-jsonl", project, programs)
    assert load_new(project) != first

    files = sorted(output.glob("voice_calls-*.jsonl"))
    assert len(files) > 1, "each run was to write files of its own"
    query = (ROOT / "examples" / "latest_rows_jsonl.sql").read_text(encoding="utf-8")
    rows = duckdb.sql(query.replace("output/", f"{output}/")).fetchall()
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    keys = {json.loads(line)["engagement_id"] for line in lines}
    assert len(rows) == len(keys) < len(lines)


@needs_duckdb
def test_without_meltano_the_rows_can_be_in_duckdb_too(
    project: MeltanoProject, programs: Path, folder: Path, zoom: SimulatorProcess
) -> None:
    provide_target("target-duckdb", project, programs)
    run("without Meltano", project)
    target = block("target-duckdb without Meltano").text
    (folder / "target.json").write_text(target, encoding="utf-8")
    assert load_new(project, "target-duckdb")
    assert_has_the_last_days(folder / "zoom_cc.duckdb", zoom)


def test_a_range_is_read_again_without_meltano(
    project: MeltanoProject, folder: Path, zoom: SimulatorProcess
) -> None:
    settings = {**zoom.tap_config(), "sub_account_ids": ["other"], "start_date": "2026-01-01"}
    zoom.replace(JANUARY)
    (folder / "reread.json").write_text(json.dumps(settings), encoding="utf-8")
    # As in docs/running.md: where the schedule's rows are, too.
    (folder / "target.json").write_text('{"destination_path": "output"}', encoding="utf-8")

    run("reread without Meltano", project)

    (file,) = (folder / "output").glob("sms-*.jsonl")
    assert '"account_id": "other"' in file.read_text(encoding="utf-8")


# Loaders, and the simulator


@pytest.mark.parametrize("name", ["Snowflake", "BigQuery"])
def test_a_loader_that_is_shown_is_one_that_meltano_takes(
    name: str, project: MeltanoProject
) -> None:
    (loader,) = yaml.safe_load(block(name).text)
    words = {word for setting in loader["settings"] for word in setting}
    assert words <= {"name", "kind", "value", "sensitive"}
    definition = yaml.safe_load(project.definition.read_text(encoding="utf-8"))
    definition["plugins"]["loaders"].append(loader)
    project.definition.write_text(yaml.safe_dump(definition), encoding="utf-8")

    printed = project.meltano("--log-level=error", "config", "print", loader["name"])

    given = {each["name"]: each["value"] for each in loader["settings"] if "value" in each}
    assert given.items() <= json.loads(printed).items()


def test_the_settings_that_lead_to_the_simulator_are_those_of_the_demo() -> None:
    extractors = yaml.safe_load((ROOT / "meltano.yml").read_bytes())["plugins"]["extractors"]
    (demo,) = (each["config"] for each in extractors if each["name"] == "tap-zoom-cc-demo")
    del demo["requests_per_second"]
    shown = re.findall(r"TAP_ZOOM_CC_(\w+)=(\S+)", block("the simulator's settings").text)
    assert dict(shown) == {name.upper(): value for name, value in demo.items()}


def test_the_simulator_is_started_by_hand_and_read_from(
    project: MeltanoProject, programs: Path
) -> None:
    port = free_port()
    provide(programs, "python3", getattr(sys, "_base_executable", sys.executable))
    variables = {name: value for name, value in project.env.items() if "TAP_ZOOM_CC" not in name}
    project.env = {
        **variables,
        # As on a machine whose shell knows nothing of the clone's environment.
        "PATH": os.pathsep.join([str(programs), os.defpath]),
        "TAP_ZOOM_CC_DEMO_API_URL": f"http://127.0.0.1:{port}/v2",
        "TAP_ZOOM_CC_DEMO_TOKEN_URL": f"http://127.0.0.1:{port}/oauth/token",
    }
    by_hand = ["bash", "-e", "-c", block("simulator").text.replace("8760", str(port))]
    with subprocess.Popen(by_hand, cwd=ROOT, env=project.env, stdout=subprocess.PIPE) as simulator:
        try:
            assert simulator.stdout
            assert str(port).encode() in simulator.stdout.readline()
            run("read from the simulator", project)
        finally:
            simulator.terminate()
    assert (project.output / "voice_calls.jsonl").stat().st_size > 0
    assert_is_drawn(project.output)

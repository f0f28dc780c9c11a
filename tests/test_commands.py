"""The commands of the pages run as they are written, with the simulator in the place of Zoom."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
import yaml

from simulator.scenario import STREAMS, Account, Clock, Scenario
from tests.harness.history import accounts_asked
from tests.harness.pages import ROOT, block, run_block
from tests.harness.raw_server import free_port
from tests.meltano_project import MeltanoProject, needs_duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simulator.process import SimulatorProcess

pytestmark = [pytest.mark.programs, pytest.mark.timeout(600)]

NOW = datetime.now(timezone.utc).replace(microsecond=0)
ACCOUNT_ID = "dEmOaCcOuNt0000000001"
ACCOUNTS = (Account(id=ACCOUNT_ID, sms=150, voice_calls=2000), Account(id="other", sms=5))
# What commands without dates read: up to now.
RECENT = Scenario(
    accounts=ACCOUNTS,
    history_begin=NOW - timedelta(days=40),
    history_end=NOW,
    clock=Clock(now=NOW),
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


def run(name: str, project: MeltanoProject, **words: str) -> str:
    """Run a block in the project, to its good end, and return its output."""
    text = block(name).text
    if "meltano " in text:
        project.install_named_in(text)
    return run_in(project.folder, name, project.env, **words)


def run_in(folder: Path, name: str, env: Mapping[str, str], **words: str) -> str:
    """Run a block in a folder, to its good end, and return its output."""
    result = run_block(name, folder, env, **words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def loaded(project: MeltanoProject, stream: str) -> int:
    """Return how many rows of a stream target-duckdb has."""
    with duckdb.connect(str(project.output / "zoom_cc.duckdb"), read_only=True) as database:
        (count,) = database.execute(f"select count(*) from {stream}").fetchall()[0]
    return int(count)


def state_of(project: MeltanoProject) -> str:
    """Return what Meltano keeps of the schedule's runs into target-duckdb."""
    state_id = "dev:tap-zoom-cc-to-target-duckdb"
    return project.meltano("--log-level=error", "state", "get", state_id)


@needs_duckdb
def test_the_first_run_the_schedule_and_the_picture(
    project: MeltanoProject, zoom: SimulatorProcess
) -> None:
    run("first run", project)

    # The run began after NOW, and so did its 28 days.
    recent = datetime.now(timezone.utc) - timedelta(days=28)
    for stream in STREAMS:
        starts = [datetime.fromisoformat(row["start_time"]) for row in zoom.truth(stream)]
        assert loaded(project, stream) >= sum(start >= recent for start in starts) > 0

    run("schedule", project)

    run("picture", project)
    picture = project.output / "engagements_per_hour.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


@needs_duckdb
def test_a_backfill_within_a_budget(project: MeltanoProject, zoom: SimulatorProcess) -> None:
    run("backfill", project)

    for stream in STREAMS:
        assert loaded(project, stream) == len(zoom.truth(stream))


@needs_duckdb
def test_what_is_missing_is_found_and_read_again(
    project: MeltanoProject, programs: Path, tmp_path: Path, zoom: SimulatorProcess
) -> None:
    zoom.replace(JANUARY)
    (tmp_path / "read_sql.py").write_text(DUCKDB, encoding="utf-8")
    provide(programs, "duckdb", shlex.join([sys.executable, str(tmp_path / "read_sql.py")]))
    project.meltano(
        *("run", "tap-zoom-cc", "target-duckdb"),
        env={"TAP_ZOOM_CC_START_DATE": "2025-12-20", "TAP_ZOOM_CC_END_DATE": "2026-02-04"},
    )

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
    output = run("observe", project, account=f"ACCOUNT={ACCOUNT_ID}")
    assert "from" in output


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

    run_in(own, "own project", project.env)

    added = definition.read_text(encoding="utf-8")
    assert added.count("pip_url: tap-zoom-cc\n") == 1
    definition.write_text(
        added.replace("pip_url: tap-zoom-cc\n", "pip_url: ../tap-zoom-cc\n"), encoding="utf-8"
    )
    run_in(own, "own project, installed", project.env)


@pytest.fixture
def without_meltano(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, programs: Path, zoom: SimulatorProcess
) -> MeltanoProject:
    """Give a folder with a configuration, where tap and target are commands."""
    environment = tmp_path_factory.getbasetemp() / "target-jsonl"
    target = environment / "bin" / "target-jsonl"
    if not target.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--python", sys.executable, environment], check=True)
        install = [uv, "pip", "install", "--python", str(environment / "bin" / "python")]
        subprocess.run([*install, "target-jsonl==0.1.4"], check=True)
    provide(programs, "target-jsonl", str(target))
    project = MeltanoProject(tmp_path / "folder")
    project.env["PATH"] = os.pathsep.join([str(programs), project.env["PATH"]])
    settings = {**zoom.tap_config(), "requests_per_second": 100}
    (project.folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return project


def load_new(folder: MeltanoProject, *target: str, exit_code: int = 0) -> str:
    """Run the script that the page shows, and return the state that it keeps."""
    script = ROOT / "examples" / "load_new.sh"
    result = subprocess.run(
        ["bash", script, *target],
        cwd=folder.folder,
        env=folder.env,
        capture_output=True,
        check=False,
    )
    assert result.returncode == exit_code, result.stderr.decode()
    state = folder.folder / "state.json"
    return state.read_text(encoding="utf-8") if state.exists() else ""


def test_without_meltano_the_state_survives_runs_that_write_none(
    without_meltano: MeltanoProject, programs: Path
) -> None:
    folder = without_meltano
    config = folder.folder / "config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    yesterday = (NOW - timedelta(days=1)).isoformat()
    config.write_text(json.dumps({**settings, "end_date": yesterday}), encoding="utf-8")
    run("without Meltano", folder)
    first = load_new(folder)
    assert set(json.loads(first)["bookmarks"]) >= set(STREAMS)

    config.write_text(json.dumps({**settings, "client_secret": "wrong"}), encoding="utf-8")
    assert load_new(folder, exit_code=1) == first

    config.write_text(json.dumps(settings), encoding="utf-8")
    target = (programs / "target-jsonl").read_text(encoding="utf-8")
    provide(programs, "target-jsonl", 'sh -c \'cat > /dev/null; printf "{\\"bookm"; exit 3\'')
    assert load_new(folder, exit_code=3) == first

    (programs / "target-jsonl").write_text(target, encoding="utf-8")
    second = load_new(folder)
    assert second != first

    files = sorted(folder.output.glob("voice_calls-*.jsonl"))
    assert len(files) > 1, "each run was to write files of its own"
    query = (ROOT / "examples" / "latest_rows_jsonl.sql").read_text(encoding="utf-8")
    rows = duckdb.sql(query.replace("output/", f"{folder.output}/")).fetchall()
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    keys = {json.loads(line)["engagement_id"] for line in lines}
    assert len(rows) == len(keys) < len(lines)


@needs_duckdb
def test_without_meltano_the_rows_can_be_in_duckdb_too(
    without_meltano: MeltanoProject,
    project: MeltanoProject,
    programs: Path,
    zoom: SimulatorProcess,
) -> None:
    folder = without_meltano.folder
    project.install_named_in("target-duckdb")
    loaders = project.folder / ".meltano" / "loaders"
    provide(programs, "target-duckdb", str(loaders / "target-duckdb/venv/bin/target-duckdb"))
    run("without Meltano", without_meltano)
    target = block("target-duckdb without Meltano").text
    (folder / "target.json").write_text(target, encoding="utf-8")

    assert load_new(without_meltano, "target-duckdb")

    recent = datetime.now(timezone.utc) - timedelta(days=28)
    with duckdb.connect(str(folder / "zoom_cc.duckdb"), read_only=True) as database:
        for stream in STREAMS:
            starts = [datetime.fromisoformat(row["start_time"]) for row in zoom.truth(stream)]
            (count,) = database.execute(f"select count(*) from {stream}").fetchall()[0]
            assert count >= sum(start >= recent for start in starts) > 0


def test_a_range_is_read_again_without_meltano(
    without_meltano: MeltanoProject, zoom: SimulatorProcess
) -> None:
    settings = {**zoom.tap_config(), "sub_account_ids": ["other"], "start_date": "2026-01-01"}
    zoom.replace(JANUARY)
    folder = without_meltano.folder
    (folder / "reread.json").write_text(json.dumps(settings), encoding="utf-8")
    # As in docs/running.md: where the schedule's rows are, too.
    (folder / "target.json").write_text('{"destination_path": "output"}', encoding="utf-8")
    (folder / "output").mkdir(exist_ok=True)

    run("reread without Meltano", without_meltano)

    (file,) = (folder / "output").glob("sms-*.jsonl")
    assert '"account_id": "other"' in file.read_text(encoding="utf-8")


def test_the_settings_that_lead_to_the_simulator_are_those_of_the_demo() -> None:
    definition = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    (demo,) = (
        each for each in definition["plugins"]["extractors"] if each["name"] == "tap-zoom-cc-demo"
    )
    shown = dict(re.findall(r"TAP_ZOOM_CC_(\w+)=(\S+)", block("the simulator's settings").text))
    assert shown == {
        name.upper(): value
        for name, value in demo["config"].items()
        if name != "requests_per_second"
    }


@pytest.mark.parametrize("name", ["Snowflake", "BigQuery"])
def test_a_loader_that_is_shown_is_one_that_meltano_takes(
    name: str, project: MeltanoProject
) -> None:
    (loader,) = yaml.safe_load(block(name).text)
    words = {word for setting in loader["settings"] for word in setting}
    assert words <= {"name", "kind", "value", "sensitive"}
    shown = {setting["name"]: setting.get("value") for setting in loader["settings"]}
    definition = yaml.safe_load(project.definition.read_text(encoding="utf-8"))
    definition["plugins"]["loaders"].append(loader)
    project.definition.write_text(yaml.safe_dump(definition), encoding="utf-8")

    printed = project.meltano("--log-level=error", "config", "print", loader["name"])

    given = {setting: value for setting, value in shown.items() if value is not None}
    assert given.items() <= json.loads(printed).items()


@pytest.fixture
def simulator_by_hand(project: MeltanoProject, programs: Path) -> Iterator[int]:
    """Give the port of a simulator that was started as its page says."""
    port = free_port()
    provide(programs, "python3", getattr(sys, "_base_executable", sys.executable))
    # As on a machine whose shell knows nothing of the clone's environment.
    project.env["PATH"] = os.pathsep.join([str(programs), os.defpath])
    text = block("simulator").text.replace("8760", str(port))
    process = subprocess.Popen(["bash", "-e", "-c", text], cwd=ROOT, env=project.env)
    try:
        while not listens(port):
            assert process.poll() is None
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def listens(port: int) -> bool:
    """Say whether a server takes connections at a port."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_the_simulator_is_started_by_hand_and_read_from(
    project: MeltanoProject, simulator_by_hand: int
) -> None:
    project.env = {
        name: value for name, value in project.env.items() if not name.startswith("TAP_ZOOM_CC_")
    }
    for setting, path in (("API_URL", "v2"), ("TOKEN_URL", "oauth/token")):
        url = f"http://127.0.0.1:{simulator_by_hand}/{path}"
        project.env[f"TAP_ZOOM_CC_DEMO_{setting}"] = url

    run("read from the simulator", project)

    assert (project.output / "voice_calls.jsonl").stat().st_size > 0
    picture = project.output / "engagements_per_hour.png"
    assert picture.read_bytes().startswith(b"\x89PNG")

"""More than one worker: each has accounts and state of its own, together they read everything."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest
import yaml

from simulator.scenario import STREAMS, Account, Clock, Limits, Scenario
from tests.checkout import ROOT
from tests.harness.pages import run_block
from tests.harness.process import without_unmapped
from tests.harness.rows import by_key, of_account
from tests.harness.singer import bookmarks, parse_messages
from tests.meltano_project import MeltanoProject
from tests.postgres_server import connect, loader_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream
    from tests.harness.singer import Record

pytestmark = pytest.mark.programs

BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
FIRST_RUN = datetime(2024, 1, 25, tzinfo=timezone.utc)
SECOND_RUN = datetime(2024, 2, 14, tzinfo=timezone.utc)

ACCOUNT_IDS = [f"sHaRdEdAcCoUnT000000{number}" for number in range(4)]
SHARDS = {"shard-1": ACCOUNT_IDS[:1], "shard-2": ACCOUNT_IDS[1:]}
PRO_REQUESTS_PER_SECOND = 5

SCENARIO = Scenario(
    accounts=tuple(Account(id=name, sms=10, voice_calls=20) for name in ACCOUNT_IDS),
    history_begin=BEGIN,
    clock=Clock(now=SECOND_RUN),
    limits=Limits(requests_per_second=PRO_REQUESTS_PER_SECOND),
)


@pytest.fixture
def zoom(simulator: SimulatorProcess) -> SimulatorProcess:
    """Give the simulator, with the rate limit of the Pro plan for all workers together."""
    simulator.replace(SCENARIO)
    return simulator


@pytest.fixture
def project_in(tmp_path: Path, zoom: SimulatorProcess) -> Callable[[str], MeltanoProject]:
    """Give what makes a project in a folder, which reads the simulator up to its present."""

    def made(folder: str) -> MeltanoProject:
        project = MeltanoProject(tmp_path / folder)
        dates = {"start_date": BEGIN.date(), "end_date": SECOND_RUN.isoformat()}
        project.configure("tap-zoom-cc", {**zoom.tap_config(), **dates})
        return project

    return made


@pytest.fixture
def project(project_in: Callable[[str], MeltanoProject], postgres_port: int) -> MeltanoProject:
    """Give a project that loads into PostgreSQL, where nothing has been loaded yet."""
    project = project_in("project")
    project.configure("target-postgres", loader_settings(postgres_port))
    project.install_named_in("tap-zoom-cc target-postgres")
    with connect(postgres_port) as connection:
        connection.execute("drop schema if exists zoom_cc cascade")
    return project


def assert_all_is_loaded(postgres_port: int, zoom: SimulatorProcess) -> None:
    """Assert that PostgreSQL has each engagement, once."""
    with connect(postgres_port) as connection:
        for stream in STREAMS:
            query = f"select account_id, engagement_id from zoom_cc.{stream}"
            found = sorted(connection.execute(query).fetchall())
            assert found == sorted(by_key(stream, zoom.truth(stream)))


def test_workers_side_by_side_read_every_account_once_and_what_nobody_reads_is_found(
    project: MeltanoProject, zoom: SimulatorProcess, postgres_port: int
) -> None:
    first, second = (json.dumps(account_ids) for account_ids in SHARDS.values())

    words = {"first": f'["…", "…"]={first}', "second": f'["…"]={second}'}
    result = run_block("side by side", project.folder, project.env, **words)

    assert result.returncode == 0, result.stdout + result.stderr
    assert_all_is_loaded(postgres_port, zoom)
    for shard, account_ids in SHARDS.items():
        name = f"dev:tap-zoom-cc-{shard}-to-target-postgres"
        output = project.meltano("--log-level=error", "state", "get", name)
        state = json.loads(output)["singer_state"]
        for stream in STREAMS:
            assert bookmarks(state, stream).keys() == set(account_ids)

    def compare(*lists: str) -> str:
        for number, account_ids in enumerate(lists, start=1):
            project.env[f"TAP_ZOOM_CC_SHARD_{number}_SUB_ACCOUNT_IDS"] = account_ids
        result = run_block("unread accounts", project.folder, project.env)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    assert compare(first, second) == "Every account is read.\n"
    (missing,) = compare(first, json.dumps(ACCOUNT_IDS[1:-1])).splitlines()
    assert ACCOUNT_IDS[-1] in missing


def test_machines_with_a_suffix_each_share_a_state_back_end(
    tmp_path: Path, project_in: Callable[[str], MeltanoProject], zoom: SimulatorProcess
) -> None:
    (tmp_path / "state").mkdir()

    def work(machine: str, shard: str, until: datetime) -> dict[Stream, list[Record]]:
        project = project_in(machine)
        settings = {"sub_account_ids": json.dumps(SHARDS[shard]), "end_date": until.isoformat()}
        project.configure("tap-zoom-cc", settings)
        project.env["MELTANO_STATE_BACKEND_URI"] = f"file://{tmp_path}/state"
        project.meltano("run", f"--state-id-suffix={shard}", "tap-zoom-cc", "target-jsonl")
        rows: dict[Stream, list[Record]] = {}
        for stream in STREAMS:
            loaded = parse_messages((project.output / f"{stream}.jsonl").read_bytes())
            rows[stream] = [without_unmapped(row) for row in loaded]
        return rows

    zoom.replace(replace(SCENARIO, clock=Clock(now=FIRST_RUN)))
    first = work("machine-1", "shard-1", FIRST_RUN)
    second = work("machine-2", "shard-2", FIRST_RUN)
    for stream in STREAMS:
        rows = first[stream] + second[stream]
        assert by_key(stream, rows) == by_key(stream, zoom.truth(stream))

    zoom.replace(SCENARIO)
    moved = work("machine-3", "shard-1", SECOND_RUN)
    for stream in STREAMS:
        truth = of_account(ACCOUNT_IDS[0], zoom.truth(stream))
        assert by_key(stream, first[stream] + moved[stream]) == by_key(stream, truth)
        assert len(moved[stream]) < len(truth), "it was to go on from the old one's bookmark"


@pytest.mark.parametrize("shard", SHARDS)
def test_a_worker_without_accounts_fails_and_names_its_variable(
    project_in: Callable[[str], MeltanoProject], zoom: SimulatorProcess, shard: str
) -> None:
    project = project_in("project")
    # Neither the accounts of others nor the app's own are a reason to begin.
    others = {"sub_account_ids": json.dumps(ACCOUNT_IDS), "include_own_account": "true"}
    project.configure("tap-zoom-cc", others)

    log = project.meltano("run", f"tap-zoom-cc-{shard}", "target-jsonl", fails=True)

    variable = f"TAP_ZOOM_CC_{shard.upper().replace('-', '_')}_SUB_ACCOUNT_IDS"
    assert "sub_account_ids[0]: must be an account ID" in log
    assert f"not 'set {variable}'" in log
    assert not list(project.output.iterdir()), "something was loaded"
    assert not zoom.stats().log, "Zoom was asked for something"


def test_the_rates_of_the_workers_in_meltano_yml_add_up_to_the_limit_of_the_pro_plan() -> None:
    definition = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))
    rates = [
        plugin["config"]["requests_per_second"]
        for plugin in definition["plugins"]["extractors"]
        if plugin["name"].startswith("tap-zoom-cc-shard-")
    ]

    assert sum(rates) == PRO_REQUESTS_PER_SECOND
    # 2.5 a second is three in some seconds, and twice that is one too many.
    assert all(rate == int(rate) for rate in rates)


# Under an orchestrator


def run_in(project: MeltanoProject, *command: str | Path) -> str:
    home = project.folder.parent
    result = subprocess.run(
        command, cwd=home, env=project.env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def prepare(project: MeltanoProject, postgres_port: int, example: Path) -> None:
    """Put a copy of an example that names both workers, with accounts each, where it belongs.

    One worker makes the tables alone, as the page says: two would get in each other's way.
    """
    text = (ROOT / "examples" / example.name).read_text("utf-8")
    shown = 'WORKERS = ("tap-zoom-cc",)'
    assert text.count(shown) == 1
    workers = tuple(f"tap-zoom-cc-{shard}" for shard in SHARDS)
    example.parent.mkdir()
    example.write_text(text.replace(shown, f"WORKERS = {workers}"), "utf-8")
    for worker, account_ids in zip(workers, SHARDS.values(), strict=True):
        project.configure(worker, {"sub_account_ids": json.dumps(account_ids)})
    project.meltano("run", "--state-id-suffix=first", workers[0], "target-postgres")
    with connect(postgres_port) as connection:
        for stream in STREAMS:
            connection.execute(f"truncate zoom_cc.{stream}")


def installed(project: MeltanoProject, requirement: str, program: str) -> Path:
    """Install an orchestrator into an environment of its own and give its program."""
    folder = project.folder.parent / "environment"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", f"--python={sys.executable}", folder], check=True)
    install = [*uv, "pip", "install", f"--python={folder}", requirement]
    result = subprocess.run(install, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"{requirement} cannot be installed: {result.stderr.strip()}")
    return folder / "bin" / program


@pytest.mark.long
def test_dagster_runs_the_example_with_all_its_workers(
    project: MeltanoProject, zoom: SimulatorProcess, postgres_port: int
) -> None:
    dagster = installed(project, "dagster~=1.13", "dagster")
    example = project.folder / "examples" / "dagster_schedule.py"
    prepare(project, postgres_port, example)
    project.env["DAGSTER_HOME"] = str(project.folder.parent)
    project.env["DAGSTER_DISABLE_TELEMETRY"] = "yes"

    schedules = run_in(project, dagster, "schedule", "list", f"--python-file={example}")
    assert "zoom_cc_hourly [RUNNING]" in schedules
    job = "--job=load_zoom_cc"
    run_in(project, dagster, "job", "execute", job, f"--python-file={example}")

    assert_all_is_loaded(postgres_port, zoom)


@pytest.mark.long
def test_airflow_runs_the_example_with_all_its_workers(
    project: MeltanoProject, zoom: SimulatorProcess, postgres_port: int
) -> None:
    airflow = installed(project, "apache-airflow~=3.1", "airflow")
    home = project.folder.parent
    prepare(project, postgres_port, home / "dags" / "airflow_dag.py")
    project.env["MELTANO_PROJECT_ROOT"] = str(project.folder)
    project.env["AIRFLOW_HOME"] = str(home)
    project.env["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

    run_in(project, airflow, "db", "migrate")
    run_in(project, airflow, "dags", "reserialize")
    (dag,) = json.loads(run_in(project, airflow, "dags", "list", "--output=json").splitlines()[-1])
    assert dag["dag_id"] == "zoom_cc_hourly"
    run_in(project, airflow, "dags", "test", "zoom_cc_hourly")

    assert_all_is_loaded(postgres_port, zoom)

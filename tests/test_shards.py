"""More than one worker: each has accounts and state of its own, together they read everything."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest
import yaml

from simulator.scenario import STREAMS, Account, Clock, Limits, Scenario
from tests.harness.pages import run_block
from tests.harness.rows import by_key
from tests.harness.singer import bookmarks
from tests.harness.tap import without_unmapped
from tests.meltano_project import ROOT, MeltanoProject
from tests.postgres_server import connect, loader_settings, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream
    from tests.harness.singer import Record, State

pytestmark = pytest.mark.programs

DAGSTER = "dagster~=1.13"
AIRFLOW = "apache-airflow~=3.1"

BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
FIRST_RUN = datetime(2024, 1, 25, tzinfo=timezone.utc)
SECOND_RUN = datetime(2024, 2, 14, tzinfo=timezone.utc)

ACCOUNT_IDS = [f"sHaRdEdAcCoUnT000000{number}" for number in range(4)]
SHARDS = {"shard-1": ACCOUNT_IDS[:1], "shard-2": ACCOUNT_IDS[1:]}
WORKERS = [f"tap-zoom-cc-{shard}" for shard in SHARDS]
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


def project_for(folder: Path, zoom: SimulatorProcess) -> MeltanoProject:
    """Return a project that reads the simulator up to its present."""
    project = MeltanoProject(folder)
    project.configure("tap-zoom-cc", zoom.tap_config())
    project.configure("tap-zoom-cc", {"start_date": BEGIN.date()})
    project.configure("tap-zoom-cc", {"end_date": SECOND_RUN.isoformat()})
    return project


def loaded(folder: Path, stream: Stream) -> list[Record]:
    """Return the rows that target-jsonl has written to a folder."""
    text = (folder / f"{stream}.jsonl").read_text("utf-8")
    return [without_unmapped(json.loads(line)) for line in text.rstrip("\n").split("\n")]


def state_of(project: MeltanoProject, state_id: str) -> State:
    """Return the state that Meltano keeps under an ID."""
    output = project.meltano("--log-level=error", "state", "get", state_id)
    state: State = json.loads(output)["singer_state"]
    return state


def accounts_of(rows: list[Record]) -> set[str]:
    """Return the accounts that rows come from."""
    return {row["account_id"] for row in rows}


def test_workers_side_by_side_read_every_account_once(
    tmp_path: Path, zoom: SimulatorProcess
) -> None:
    project = project_for(tmp_path / "project", zoom)
    # Meltano makes its own database at the first command, and two commands at once fail at it.
    project.meltano("state", "list")

    def work(shard: str) -> Path:
        folder = tmp_path / shard
        folder.mkdir()
        name = f"TAP_ZOOM_CC_{shard.upper().replace('-', '_')}_SUB_ACCOUNT_IDS"
        own = {name: json.dumps(SHARDS[shard]), "TARGET_JSONL_DESTINATION_PATH": str(folder)}
        project.meltano("run", f"tap-zoom-cc-{shard}", "target-jsonl", env=own)
        return folder

    with ThreadPoolExecutor() as executor:
        folders = dict(zip(SHARDS, executor.map(work, SHARDS), strict=True))

    for stream in STREAMS:
        rows = {shard: loaded(folder, stream) for shard, folder in folders.items()}
        together = [row for part in rows.values() for row in part]
        assert by_key(stream, together) == by_key(stream, zoom.truth(stream))
        assert len(together) == len(zoom.truth(stream))
        for shard, account_ids in SHARDS.items():
            state = state_of(project, f"dev:tap-zoom-cc-{shard}-to-target-jsonl")
            assert accounts_of(rows[shard]) == set(account_ids)
            assert bookmarks(state, stream).keys() == set(account_ids)


def test_machines_with_a_suffix_each_share_a_state_back_end(
    tmp_path: Path, zoom: SimulatorProcess
) -> None:
    (tmp_path / "state").mkdir()

    def work(machine: str, shard: str, until: datetime) -> Path:
        project = project_for(tmp_path / machine, zoom)
        project.configure("tap-zoom-cc", {"sub_account_ids": json.dumps(SHARDS[shard])})
        project.configure("tap-zoom-cc", {"end_date": until.isoformat()})
        project.env["MELTANO_STATE_BACKEND_URI"] = f"file://{tmp_path}/state"
        project.meltano("run", f"--state-id-suffix={shard}", "tap-zoom-cc", "target-jsonl")
        return project.output

    zoom.replace(replace(SCENARIO, clock=Clock(now=FIRST_RUN)))
    outputs = [work("machine-1", "shard-1", FIRST_RUN), work("machine-2", "shard-2", FIRST_RUN)]
    for stream in STREAMS:
        rows = [row for output in outputs for row in loaded(output, stream)]
        assert by_key(stream, rows) == by_key(stream, zoom.truth(stream))

    zoom.replace(SCENARIO)
    moved = work("machine-3", "shard-1", SECOND_RUN)
    for stream in STREAMS:
        before, rows = loaded(outputs[0], stream), loaded(moved, stream)
        truth = [row for row in zoom.truth(stream) if row["account_id"] in SHARDS["shard-1"]]
        assert by_key(stream, before + rows) == by_key(stream, truth)
        assert len(rows) < len(truth), "the new machine was to go on from the old one's bookmark"


@pytest.mark.parametrize("shard", SHARDS)
def test_a_worker_without_accounts_fails_and_names_its_variable(
    tmp_path: Path, zoom: SimulatorProcess, shard: str
) -> None:
    project = project_for(tmp_path / "project", zoom)
    # Neither the accounts of others nor the app's own are a reason to begin.
    project.configure("tap-zoom-cc", {"sub_account_ids": json.dumps(ACCOUNT_IDS)})
    project.configure("tap-zoom-cc", {"include_own_account": "true"})

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


def installed(folder: Path, *distributions: str) -> Path:
    """Install an orchestrator into an environment of its own and give its programs' folder."""
    for command in (
        ["venv", "--clear", f"--python={sys.executable}", str(folder)],
        ["pip", "install", f"--python={folder}", *distributions],
    ):
        uv = [sys.executable, "-m", "uv", *command]
        result = subprocess.run(uv, capture_output=True, text=True, check=False)
        if result.returncode:
            pytest.skip(f"{distributions[0]} cannot be installed: {result.stderr.strip()}")
    return folder / "bin"


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the program of Dagster."""
    return installed(tmp_path_factory.mktemp("dagster"), DAGSTER) / "dagster"


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the program of Airflow."""
    return installed(tmp_path_factory.mktemp("airflow"), AIRFLOW) / "airflow"


@pytest.fixture(scope="module")
def postgres_port() -> Iterator[int]:
    """Run a PostgreSQL server and give its port."""
    with postgres_server() as port:
        yield port


@pytest.fixture
def prepared(tmp_path: Path, zoom: SimulatorProcess, postgres_port: int) -> MeltanoProject:
    """Return a project whose workers load into PostgreSQL, into tables that are empty.

    One worker makes them alone, as the page says: two would get in each other's way.
    """
    project = project_for(tmp_path / "project", zoom)
    project.configure("target-postgres", loader_settings(postgres_port))
    for shard, account_ids in SHARDS.items():
        accounts = {"sub_account_ids": json.dumps(account_ids)}
        project.configure(f"tap-zoom-cc-{shard}", accounts)
    with connect(postgres_port) as connection:
        connection.execute("drop schema if exists zoom_cc cascade")
    project.meltano("run", "--state-id-suffix=first", "tap-zoom-cc-shard-1", "target-postgres")
    with connect(postgres_port) as connection:
        for stream in STREAMS:
            connection.execute(f"truncate zoom_cc.{stream}")
    return project


def test_the_block_that_is_shown_works_on_an_empty_database_and_what_nobody_reads_is_found(
    tmp_path: Path, zoom: SimulatorProcess, postgres_port: int
) -> None:
    project = project_for(tmp_path / "project", zoom)
    project.configure("target-postgres", loader_settings(postgres_port))
    with connect(postgres_port) as connection:
        connection.execute("drop schema if exists zoom_cc cascade")
    first, second = (json.dumps(account_ids) for account_ids in SHARDS.values())

    result = run_block(
        "side by side",
        project.folder,
        project.env,
        first=f'["…", "…"]={first}',
        second=f'["…"]={second}',
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert_all_is_loaded(postgres_port, zoom)

    def compare(*lists: str) -> str:
        for number, account_ids in enumerate(lists, start=1):
            project.env[f"TAP_ZOOM_CC_SHARD_{number}_SUB_ACCOUNT_IDS"] = account_ids
        result = run_block("unread accounts", project.folder, project.env)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    assert compare(first, second) == "Every account is read.\n"
    (missing,) = compare(first, json.dumps(ACCOUNT_IDS[1:-1])).splitlines()
    assert ACCOUNT_IDS[-1] in missing


def assert_all_is_loaded(postgres_port: int, zoom: SimulatorProcess) -> None:
    """Assert that PostgreSQL has each engagement, once."""
    with connect(postgres_port) as connection:
        for stream in STREAMS:
            query = f"select account_id, engagement_id from zoom_cc.{stream}"
            found = sorted(connection.execute(query).fetchall())
            assert found == sorted(by_key(stream, zoom.truth(stream)))


def example_for(workers: list[str], name: str, folder: Path) -> Path:
    """Copy an example into a folder, with these workers as the page says to name them."""
    text = (ROOT / "examples" / name).read_text("utf-8")
    shown = 'WORKERS = ("tap-zoom-cc",)'
    assert text.count(shown) == 1
    copy = folder / name
    copy.write_text(text.replace(shown, f"WORKERS = {(*workers,)}"), "utf-8")
    return copy


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("workers", [["tap-zoom-cc"], [*WORKERS]], ids=["one", "two"])
def test_dagster_runs_the_example_with_all_its_workers(
    prepared: MeltanoProject,
    zoom: SimulatorProcess,
    dagster: Path,
    postgres_port: int,
    workers: list[str],
) -> None:
    project, home = prepared, prepared.folder.parent
    (project.folder / "examples").mkdir()
    example = example_for(workers, "dagster_schedule.py", project.folder / "examples")
    project.env["DAGSTER_HOME"] = str(home)
    project.env["DAGSTER_DISABLE_TELEMETRY"] = "yes"

    def run_dagster(*arguments: str) -> str:
        result = subprocess.run(
            [dagster, *arguments, f"--python-file={example}"],
            cwd=home,
            env=project.env,
            capture_output=True,
            text=True,
            check=False,
        )
        steps = [path.read_text("utf-8") for path in home.glob("storage/*/compute_logs/*.err")]
        assert result.returncode == 0, "\n".join([result.stdout, result.stderr, *steps])
        return result.stdout

    assert "zoom_cc_hourly [RUNNING]" in run_dagster("schedule", "list")
    run_dagster("job", "execute", "--job=load_zoom_cc")

    assert_all_is_loaded(postgres_port, zoom)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("workers", [["tap-zoom-cc"], [*WORKERS]], ids=["one", "two"])
def test_airflow_runs_the_example_with_all_its_workers(
    prepared: MeltanoProject,
    zoom: SimulatorProcess,
    airflow: Path,
    postgres_port: int,
    workers: list[str],
) -> None:
    project, home = prepared, prepared.folder.parent
    (home / "dags").mkdir()
    example_for(workers, "airflow_dag.py", home / "dags")
    project.env["MELTANO_PROJECT_ROOT"] = str(project.folder)
    project.env["AIRFLOW_HOME"] = str(home)
    project.env["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

    def run_airflow(*arguments: str) -> str:
        result = subprocess.run(
            [airflow, *arguments],
            cwd=home,
            env=project.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    run_airflow("db", "migrate")
    run_airflow("dags", "reserialize")
    (dag,) = json.loads(run_airflow("dags", "list", "--output=json").splitlines()[-1])
    assert dag["dag_id"] == "zoom_cc_hourly"
    run_airflow("dags", "test", "zoom_cc_hourly")
    assert_all_is_loaded(postgres_port, zoom)

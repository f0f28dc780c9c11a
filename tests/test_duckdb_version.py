"""Which duckdb keeps every row with target-duckdb: the pinned one does, the newest does not.

The target leaves it to DuckDB to guess whether what it loads has a header. The pin in meltano.yml,
and its settings there, are what keeps DuckDB from taking the first row for one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml

from simulator.scenario import Account, Scenario
from tests.meltano_project import ROOT, needs_duckdb

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.process import SimulatorProcess

pytestmark = pytest.mark.programs

MELTANO_YML = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))
(LOADER,) = (
    loader for loader in MELTANO_YML["plugins"]["loaders"] if loader["name"] == "target-duckdb"
)
SETTINGS = {setting["name"]: setting["value"] for setting in LOADER["settings"]}
ROWS = 20


def install(folder: Path, *requirements: str) -> Path:
    """Make an environment with a target, and return its programs' folder."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    python = f"--python={programs / 'python'}"
    subprocess.run([*uv, "pip", "install", "--quiet", python, *requirements], check=True)
    return programs


def load(
    programs: Path, folder: Path, stream: str, key: list[str], rows: list[dict[str, Any]]
) -> int:
    """Load rows, whose columns are those of the first, and return how many the database has."""
    published = json.loads((ROOT / "schemas" / f"{stream}.json").read_text("utf-8"))["properties"]
    columns = {name: published[name] for name in rows[0]}
    messages: list[dict[str, Any]] = [
        {"type": "SCHEMA", "schema": {"properties": columns}, "key_properties": key},
        *(
            {"type": "RECORD", "record": row, "time_extracted": "2026-01-01T00:00:00Z"}
            for row in rows
        ),
    ]
    config = folder / "config.json"
    database = folder / "loaded.duckdb"
    config.write_text(json.dumps({**SETTINGS, "path": str(database)}), "utf-8")
    subprocess.run(
        [programs / "target-duckdb", "--config", config],
        input="".join(json.dumps({**message, "stream": stream}) + "\n" for message in messages),
        text=True,
        check=True,
        capture_output=True,
    )
    # With the environment's own duckdb: an older one cannot read what a newer one has written.
    count = f"import duckdb; connection = duckdb.connect({str(database)!r}); "
    count += f"print(connection.execute('select count(*) from {stream}').fetchone()[0])"
    counted = subprocess.run(
        [programs / "python", "-c", count], capture_output=True, text=True, check=True
    )
    return int(counted.stdout)


@pytest.fixture
def engagements(simulator: SimulatorProcess) -> list[dict[str, Any]]:
    """Give rows of sms, each with all columns."""
    account = Account(id="dUcKdBaCcOuNt00000001", sms=ROWS)
    simulator.replace(Scenario(accounts=(account,)))
    rows = simulator.truth("sms")
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


@needs_duckdb
def test_the_version_in_meltano_yml_keeps_every_row(
    engagements: list[dict[str, Any]], tmp_path: Path
) -> None:
    pinned = install(tmp_path / "pinned", *LOADER["pip_url"].split())
    assert load(pinned, tmp_path, "sms", ["account_id", "engagement_id"], engagements) == ROWS
    # What is left of sub_accounts when somebody selects but its name: a table of texts.
    accounts = [{"id": f"account-{n}", "account_name": f"Account {n}"} for n in range(ROWS)]
    assert load(pinned, tmp_path, "sub_accounts", ["id"], accounts) == ROWS


def test_the_newest_versions_still_lose_the_first_row_of_a_batch(
    engagements: list[dict[str, Any]], tmp_path: Path
) -> None:
    newest = install(tmp_path / "newest", "target-duckdb", "duckdb>=1.3")
    kept = load(newest, tmp_path, "sms", ["account_id", "engagement_id"], engagements)
    assert kept == ROWS - 1, (
        "target-duckdb has been mended, or duckdb has: the version of duckdb in meltano.yml and "
        "pyproject.toml need not be fixed any more, and docs/targets.md need not speak of it"
    )


@pytest.mark.parametrize(
    ("python", "target", "why"),
    [
        ((3, 13), "target-duckdb", ""),
        ((3, 14), "target-jsonl", "duckdb 1.2.2 has no build for Python 3.14, and newer ones lose"),
    ],
)
def test_the_demo_says_why_it_does_without_duckdb(
    python: tuple[int, int], target: str, why: str
) -> None:
    command = f"import json, demo_steps; print(json.dumps(demo_steps.choose_target({python})))"
    result = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT / "dev", stdout=subprocess.PIPE, check=True
    )
    chosen, reason = json.loads(result.stdout)
    assert chosen == target
    assert bool(reason) == bool(why)
    assert why in reason


@needs_duckdb
def test_development_reads_with_the_version_that_loads() -> None:
    assert f"duckdb=={duckdb.__version__}" in LOADER["pip_url"].split()

"""Which duckdb keeps every row with target-duckdb: the pinned one does, the newest does not.

The target leaves it to DuckDB to guess whether what it loads has a header. The pin in meltano.yml,
and its settings there, are what keeps DuckDB from taking the first row for one.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml

from tests.checkout import ROOT, run_program
from tests.meltano_project import PLUGINS, needs_duckdb

if TYPE_CHECKING:
    from pathlib import Path

    from tests.meltano_project import MeltanoProject

pytestmark = pytest.mark.programs

LOADERS = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))["plugins"]["loaders"]
(LOADER,) = (loader for loader in LOADERS if loader["name"] == "target-duckdb")
SETTINGS = {setting["name"]: setting["value"] for setting in LOADER["settings"]}
ROWS = 20
# The second is what is left of sub_accounts when somebody selects but its name: a table of texts.
CALLS = [
    {"engagement_id": f"call-{n}", "start_time": "2026-01-01T00:00:00Z", "total_duration": n}
    for n in range(ROWS)
]
ACCOUNTS = [{"id": f"account-{n}", "account_name": f"Account {n}"} for n in range(ROWS)]


def load(programs: Path, folder: Path, stream: str, rows: list[dict[str, Any]]) -> int:
    """Load rows, whose first column is the key, and return how many the database has."""
    published = json.loads((ROOT / "schemas" / f"{stream}.json").read_text("utf-8"))["properties"]
    schema = {"properties": {name: published[name] for name in rows[0]}}
    first = {"type": "SCHEMA", "schema": schema, "key_properties": [*rows[0]][:1]}
    other = {"type": "RECORD", "time_extracted": "2026-01-01T00:00:00Z"}
    messages = [first, *({**other, "record": row} for row in rows)]
    text = "".join(json.dumps({**message, "stream": stream}) + "\n" for message in messages)
    config, database = folder / "config.json", folder / "loaded.duckdb"
    config.write_text(json.dumps({**SETTINGS, "path": str(database)}), "utf-8")
    run_program(programs / "target-duckdb", "--config", config, stdin=text)
    # With the environment's own duckdb: an older one cannot read what a newer one has written.
    count = "import duckdb, sys; base = duckdb.connect(sys.argv[1]); "
    count += "print(len(base.table(sys.argv[2])))"
    return int(run_program(programs / "python", "-c", count, database, stream))


@needs_duckdb
def test_the_version_in_meltano_yml_keeps_every_row(
    project: MeltanoProject, tmp_path: Path
) -> None:
    assert f"duckdb=={duckdb.__version__}" in LOADER["pip_url"].split(), "what reads in the tests"
    project.install_named_in("target-duckdb")
    pinned = PLUGINS / "loaders" / "target-duckdb" / "venv" / "bin"
    assert load(pinned, tmp_path, "voice_calls", CALLS) == ROWS
    assert load(pinned, tmp_path, "sub_accounts", ACCOUNTS) == ROWS


def test_the_newest_versions_still_lose_the_first_row_of_a_batch(tmp_path: Path) -> None:
    uv = (sys.executable, "-m", "uv")
    newest = tmp_path / "newest" / "bin"
    run_program(*uv, "venv", "--python", sys.executable, newest.parent)
    run_program(*uv, "pip", "install", f"--python={newest}/python", "target-duckdb", "duckdb>=1.3")
    assert load(newest, tmp_path, "voice_calls", CALLS) == ROWS - 1, (
        "target-duckdb has been mended, or duckdb has: the version of duckdb in meltano.yml and "
        "pyproject.toml need not be fixed any more, and docs/targets.md need not speak of it"
    )

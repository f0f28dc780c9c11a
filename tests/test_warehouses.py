"""In every warehouse the same: each row, whole, and on the rows the models, which say what is true.

What the tap wrote in two runs is loaded by the real loaders. A project that takes the models as a
package builds and tests them there, with the real dbt and the adapter of the warehouse. Snowflake
and BigQuery are emulators; docs/targets.md says what that does not prove.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import pytest
import yaml

from tests.checkout import ROOT
from tests.harness.pages import block
from tests.harness.rows import KEYS, rows_of
from tests.model_truth import PASSED_ON, described_columns, truth
from tests.two_runs import SMALL, latest_rows, run_twice
from tests.warehouses import warehouse
from tests.warehouses.environments import PINS, emulator, needs_python_3_11
from tests.warehouses.rows import differences, without_ages, without_null_elements
from tests.warehouses.warehouse import DbtProject, install_package, properties

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun
    from tests.warehouses.rows import Row, Rows
    from tests.warehouses.warehouse import Warehouse

pytestmark = [pytest.mark.programs, needs_python_3_11]

# An hour that is not UTC's and changes within the year: no share of the rows stays where it was.
ZONE = "Australia/Adelaide"
TYPES = {
    "array": ("VARIANT", "ARRAY"),
    "boolean": ("BOOLEAN", "BOOL"),
    "date-time": ("TIMESTAMP_TZ", "TIMESTAMP"),
    "integer": ("NUMBER", "INT64"),
    "number": ("FLOAT", "FLOAT64"),
    "string": ("TEXT", "STRING"),
}
"""What docs/targets.md says of types, in the words of Snowflake's and BigQuery's COLUMNS."""
# Of these only what is new is built.
INCREMENTAL = ("zoom_cc__calls", "zoom_cc__call_legs")


@pytest.fixture(scope="module")
def runs(simulator_process: SimulatorProcess) -> list[TapRun]:
    return run_twice(simulator_process)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_package(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def snowflake_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with emulator("snowflake", tmp_path_factory.mktemp("snowflake") / "log") as port:
        yield port


@pytest.fixture(scope="module")
def bigquery_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with emulator("bigquery", tmp_path_factory.mktemp("bigquery") / "log") as port:
        yield port


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """Give the warehouse that a test names; its server goes on running for other tests."""
    name: str = request.param
    if name == "duckdb":
        return warehouse.duckdb(tmp_path)
    found: Warehouse = getattr(warehouse, name)(tmp_path, request.getfixturevalue(f"{name}_port"))
    return found


def assert_documented_types(store: Warehouse) -> None:
    """Assert of Snowflake and BigQuery that each raw column has the type that it is to have."""
    is_bigquery = store.connection["type"] == "bigquery"
    columns = f"{'zoom_cc' if is_bigquery else 'RAW'}.INFORMATION_SCHEMA.COLUMNS"
    found = store.rows(
        {stream: f"{columns} where lower(table_name) = '{stream}'" for stream in KEYS}
    )
    for stream, rows in found.items():
        actual = {
            row["column_name"].lower(): row["data_type"].partition("<")[0]
            for row in rows
            if not row["column_name"].startswith("_")
        }
        kinds = {
            name: next(kind for kind in TYPES if kind == part.get("format") or kind in part["type"])
            for name, part in properties(stream).items()
        }
        assert actual == {name: TYPES[kind][is_bigquery] for name, kind in kinds.items()}


def questions() -> dict[str, list[str]]:
    """Return the questions of docs/models.md, and the columns of the answer that is shown there."""
    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    found = re.findall(r"```sql\n(.*?)```\s+\|(.*?)\|\n", text, re.DOTALL)
    assert len(found) >= 3, "docs/models.md has lost its questions"
    return {sql: header.replace(" ", "").split("|") for sql, header in found}


def answered(models: dict[str, Rows], folder: Path) -> dict[str, Rows]:
    """Return rows of models, and what the questions of docs/models.md find in them, in DuckDB."""
    answers = {}
    words = set(re.findall(r"\w+", " ".join(questions())))
    file = folder / "rows.json"
    with duckdb.connect() as database:
        database.execute("create schema contact_center")
        for model in models.keys() & words:
            rows = [{name: row[name] for name in row.keys() & words} for row in models[model]]
            file.write_text(json.dumps(rows, default=str), "utf-8")
            database.execute(
                f"create table contact_center.{model} as select * "
                f"from read_json('{file}', sample_size = -1)"
            )
        for question, columns in questions().items():
            answers[question] = rows_of(database, question)
            assert list(answers[question][0]) == columns
    return models | answers


@pytest.mark.parametrize("store", ["duckdb", "postgres", "snowflake", "bigquery"], indirect=True)
def test_every_row_is_kept_and_every_model_is_true(
    store: Warehouse, runs: list[TapRun], package: Path, tmp_path: Path
) -> None:
    project = DbtProject(package, store, "models")

    def built() -> dict[str, Rows]:
        found = project.rows(questions())
        assert found.keys() == expected.keys() | PASSED_ON, "every model is compared"
        for model, columns in described_columns().items():
            assert found[model][0].keys() == columns.keys() or model in PASSED_ON
        return {name: found[name] for name in expected}

    # The first run.
    store.load(runs[0].messages)
    given = store.kept_rows(latest_rows(runs[0]))
    project.dbt("build")
    expected = answered(truth(given), tmp_path)
    assert differences(built(), expected) == {}

    # The second, on another clock. A mark stays on what is not built again.
    old = [
        row["engagement_key"]
        for row in expected["zoom_cc__calls"]
        if row["account_id"] == SMALL and f"{row['start_time']}" < "2024-01-10"
    ]
    marked = f"set country_name = 'mark' where engagement_key in ({str(old)[1:-1]})"
    store.rows({}, *(f"update {project.models}.int_{model} {marked}" for model in INCREMENTAL))
    written = store.load(runs[1].messages)
    assert json.loads(written.splitlines()[-1]) == runs[1].state
    given = store.kept_rows(latest_rows(*runs))
    assert differences(store.raw_rows(), without_ages(given)) == {}
    if store.connection["type"] in {"snowflake", "bigquery"}:
        assert_documented_types(store)
    project.dbt("run", zoom_cc_time_zone=ZONE)
    expected = answered(truth(given, ZONE), tmp_path)
    for model in INCREMENTAL:
        for row in expected[model]:
            if row["engagement_key"] in old:
                row["country_name"] = "mark"
    assert differences(built(), expected) == {}

    # The same in tables to which both runs have been appended.
    appended = replace(store, raw="appended")
    for run in runs:
        appended.load(run.messages, append=True)
    assert len(appended.raw_rows()["voice_calls"]) > len(given["voice_calls"]), (
        "these loads were to append"
    )
    project.dbt("run", zoom_cc_schema="appended", zoom_cc_time_zone=ZONE)
    assert differences(built(), expected) == {}


@pytest.mark.parametrize("name", ["Snowflake", "BigQuery"])
def test_the_loader_that_is_tested_is_the_one_that_is_documented(name: str) -> None:
    (loader,) = yaml.safe_load(block(name).text)
    pins = (PINS / f"{name.lower()}_loader.in").read_text("utf-8")
    assert pins.split() == loader["pip_url"].split()


@pytest.mark.parametrize("store", ["bigquery"], indirect=True)
def test_bigquerys_loader_ends_well_and_moves_on_when_bigquery_has_refused_the_last_rows(
    store: Warehouse, runs: list[TapRun]
) -> None:
    def with_a_null(row: Row) -> Row:
        is_last = "call_legs" in row and row["engagement_id"] == "unusual-values"
        kept: Row = without_null_elements(row)
        return kept | ({"call_legs": [None]} if is_last else {})

    refused = replace(store, given=with_a_null, raw="refused")
    written = refused.load(runs[1].messages)

    assert json.loads(written.splitlines()[-1]) == runs[1].state
    found, given = refused.raw_rows(), latest_rows(runs[1])
    lost = {stream: len(given[stream]) - len(found[stream]) for stream in KEYS}
    assert lost.pop("voice_calls") > 1, (
        "target-bigquery has loaded what BigQuery refuses, or loses nothing any more: "
        "docs/targets.md warns of it"
    )
    assert set(lost.values()) == {0}


def test_the_package_takes_other_names_schemas_and_limits(
    tmp_path: Path, runs: list[TapRun], package: Path
) -> None:
    store = warehouse.duckdb(tmp_path)
    store.load(runs[0].messages)
    variables = {"zoom_cc_schema": "raw_zoom"}
    with duckdb.connect(store.connection["path"]) as database:
        database.execute("create schema raw_zoom")
        for stream, hours in (("sms", 30), ("voice_calls", 80), ("sub_accounts", 0)):
            variables[f"zoom_cc_{stream}_identifier"] = f"{stream}_rows"
            database.execute(
                f"create table raw_zoom.{stream}_rows as select * replace "
                f"(_sdc_extracted_at - interval {hours} hour as _sdc_extracted_at) from {stream}"
            )
            database.execute(f"drop table {stream}")
    assert set(variables) < set(yaml.safe_load(block("vars").text)["vars"]["zoom_contact_center"])
    project = DbtProject(package, store, "own")
    project.define({"vars": {"zoom_contact_center": variables}})
    project.define(yaml.safe_load(block("models").text))
    project.models = "own_support"

    project.dbt("run")

    tables = "select * from information_schema.tables where table_schema = 'own_support'"
    rows = project.rows([tables])
    kinds = {row["table_name"]: row["table_type"] for row in rows[tables]}
    assert kinds["zoom_cc__calls"] == "BASE TABLE"
    expected = truth(store.kept_rows(latest_rows(runs[0])))
    actual = {name: rows[name] for name in expected}
    assert differences(without_ages(actual), without_ages(expected)) == {}
    fresh = {"sms": "WARN", "voice_calls": "ERROR STALE", "sub_accounts": "PASS"}
    assert project.freshness() == fresh
    project.define(yaml.safe_load(block("sources").text))
    assert project.freshness() == {**fresh, "sms": "ERROR STALE"}

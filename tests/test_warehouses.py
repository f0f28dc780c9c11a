"""In every warehouse the same rows: a project that takes the models as a package builds them there.

What the tap wrote in two runs is loaded by the real loaders, built and tested by the real dbt with
the adapter of the warehouse. Each model, and each answer of docs/models.md, is compared, row for
row, with the same in the newest DuckDB, whose models tests/test_models.py shows to be true.
Snowflake and BigQuery are emulators; docs/targets.md says what that does not prove.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import pytest
import yaml

from tests.harness.pages import block
from tests.model_truth import KEYS, PASSED_ON
from tests.test_models import FIRST_RUN, SECOND_RUN, ZONE, questions, scenario
from tests.warehouses import warehouse
from tests.warehouses.dbt_project import DbtProject, install_package
from tests.warehouses.emulator import bigquery_emulator, snowflake_emulator
from tests.warehouses.environments import needs_python_3_11
from tests.warehouses.messages import run_twice, with_empty_arrays, without_null_elements
from tests.warehouses.rows import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from tests.warehouses.messages import Messages
    from tests.warehouses.rows import Rows
    from tests.warehouses.warehouse import Warehouse

pytestmark = [pytest.mark.programs, needs_python_3_11, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Expected:
    """The rows of each model, and of each answer, in DuckDB."""

    first: dict[str, Rows]
    second: dict[str, Rows]


@pytest.fixture(scope="module")
def messages(
    simulator_process: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Messages:
    folder = tmp_path_factory.mktemp("messages")
    return run_twice(simulator_process, folder, scenario(FIRST_RUN), scenario(SECOND_RUN))


@pytest.fixture(scope="module")
def messages_of_bigquery(messages: Messages, tmp_path_factory: pytest.TempPathFactory) -> Messages:
    folder = tmp_path_factory.mktemp("bigquery") / "messages"
    return messages.changed(folder, without_null_elements)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_package(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def expected(
    messages: Messages, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Expected:
    folder = tmp_path_factory.mktemp("duckdb")
    return build_twice(warehouse.duckdb(folder), messages, package, "main")


@pytest.fixture(scope="module")
def expected_of_bigquery(
    messages_of_bigquery: Messages, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Expected:
    folder = tmp_path_factory.mktemp("duckdb_as_bigquery")
    stored = messages_of_bigquery.changed(folder / "messages", with_empty_arrays)
    return build_twice(warehouse.duckdb(folder), stored, package, "main")


@pytest.fixture(scope="module")
def snowflake_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with snowflake_emulator(tmp_path_factory.mktemp("snowflake")) as port:
        yield port


@pytest.fixture(scope="module")
def bigquery_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with bigquery_emulator(tmp_path_factory.mktemp("bigquery")) as port:
        yield port


def build_twice(
    store: Warehouse, messages: Messages, package: Path, raw: str, *, append: bool = False
) -> Expected:
    """Load and build, and again what came later; the second time on another clock than UTC."""
    schema = "models_of_appended" if append else "models"
    project = DbtProject(package, store.folder / "project", store, schema)
    variables = {"zoom_cc_schema": raw} if append else {}
    store.load(messages.first, raw, append=append)
    project.build(**variables)
    queries = {question.sql for question in questions()}
    first = project.rows(queries)
    assert first.keys() == KEYS.keys() | PASSED_ON.keys() | queries
    assert all(first.values()), "a model without rows would be equal to anything"
    store.load(messages.second, raw, append=append)
    project.build(zoom_cc_time_zone=ZONE, **variables)
    return Expected(first, project.rows(queries))


def compare(built: Expected, expected: Expected) -> None:
    """Assert that each model has the same rows."""
    assert differences(built.first, expected.first) == {}
    assert differences(built.second, expected.second) == {}


def test_duckdb_1_2_2_builds_the_same_rows(
    tmp_path: Path, messages: Messages, package: Path, expected: Expected
) -> None:
    store = warehouse.duckdb(tmp_path, "dbt_duckdb_1_2_2")
    compare(build_twice(store, messages, package, "main"), expected)


def test_postgres_builds_the_same_rows(
    tmp_path: Path, postgres_port: int, messages: Messages, package: Path, expected: Expected
) -> None:
    store = warehouse.postgres(tmp_path, postgres_port)
    compare(build_twice(store, messages, package, "zoom_cc"), expected)


def without_ages(models: dict[str, Rows]) -> dict[str, Rows]:
    """Return rows without when they were read."""
    return {
        model: [{name: row[name] for name in row.keys() - {"extracted_at"}} for row in rows]
        for model, rows in models.items()
    }


def test_the_package_takes_other_names_schemas_and_limits(
    tmp_path: Path, messages: Messages, package: Path, expected: Expected
) -> None:
    store = warehouse.duckdb(tmp_path)
    store.load(messages.first, "main")
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
    project = DbtProject(package, tmp_path / "project", store, "own")
    project.define({"vars": {"zoom_contact_center": variables}})
    project.define(yaml.safe_load(block("models").text))

    project.build()

    tables = "select * from information_schema.tables where table_schema = 'own_support'"
    rows = project.rows([tables])
    kinds = {row["table_name"]: row["table_type"] for row in rows.pop(tables)}
    assert kinds["zoom_cc__calls"] == "BASE TABLE"
    wanted = {name: expected.first[name] for name in rows}
    assert differences(without_ages(rows), without_ages(wanted)) == {}
    fresh = {"sms": "WARN", "voice_calls": "ERROR STALE", "sub_accounts": "PASS"}
    assert project.freshness() == fresh
    project.define(yaml.safe_load(block("sources").text))
    assert project.freshness() == {**fresh, "sms": "ERROR STALE"}


@pytest.mark.parametrize("append", [False, True])
def test_snowflake_builds_the_same_rows(  # noqa: PLR0913 (fixtures)
    tmp_path: Path,
    snowflake_port: int,
    messages: Messages,
    package: Path,
    expected: Expected,
    *,
    append: bool,
) -> None:
    store = warehouse.snowflake(tmp_path, snowflake_port)
    raw = "zoom_cc_appended" if append else "zoom_cc"
    compare(build_twice(store, messages, package, raw, append=append), expected)


@pytest.mark.parametrize("append", [False, True])
def test_bigquery_builds_the_same_rows(  # noqa: PLR0913 (fixtures)
    tmp_path: Path,
    bigquery_port: int,
    messages_of_bigquery: Messages,
    package: Path,
    expected_of_bigquery: Expected,
    *,
    append: bool,
) -> None:
    store = warehouse.bigquery(tmp_path, bigquery_port)
    raw = "zoom_cc_appended" if append else "zoom_cc"
    built = build_twice(store, messages_of_bigquery, package, raw, append=append)
    compare(built, expected_of_bigquery)


def test_a_number_is_the_same_whatever_a_database_makes_of_its_last_bit() -> None:
    whole: dict[str, Rows] = {"model": [{"percentile": 844}]}
    assert differences({"model": [{"percentile": 844.0000000000001}]}, whole) == {}
    assert differences({"model": [{"percentile": 844.01}]}, whole) != {}

"""In every warehouse the same rows: a project that takes the models as a package builds them there.

What the tap wrote in two runs is loaded by the real loaders, built and tested by the real dbt with
the adapter of the warehouse. Each model, and each answer of docs/models.md, is compared, row for
row, with the same in the newest DuckDB, whose models tests/test_models.py shows to be true.
Snowflake and BigQuery are emulators; docs/targets.md says what that does not prove.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.model_truth import KEYS, PASSED_ON
from tests.postgres_server import postgres_server
from tests.test_models import FIRST_RUN, SECOND_RUN, ZONE, questions, scenario
from tests.warehouses.dbt_project import DbtProject, install_package
from tests.warehouses.emulator import bigquery_emulator, snowflake_emulator
from tests.warehouses.environments import needs_python_3_11
from tests.warehouses.messages import run_twice, with_empty_arrays, without_null_elements
from tests.warehouses.rows import differences
from tests.warehouses.warehouse import BigQuery, DuckDB, Postgres, Snowflake

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
    return build_twice(DuckDB(tmp_path_factory.mktemp("duckdb")), messages, package, "main")


@pytest.fixture(scope="module")
def expected_of_bigquery(
    messages_of_bigquery: Messages, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Expected:
    folder = tmp_path_factory.mktemp("duckdb_as_bigquery")
    stored = messages_of_bigquery.changed(folder / "messages", with_empty_arrays)
    return build_twice(DuckDB(folder), stored, package, "main")


@pytest.fixture(scope="module")
def snowflake_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with snowflake_emulator(tmp_path_factory.mktemp("snowflake")) as port:
        yield port


@pytest.fixture(scope="module")
def bigquery_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with bigquery_emulator(tmp_path_factory.mktemp("bigquery")) as port:
        yield port


@pytest.fixture
def snowflake(snowflake_port: int, tmp_path: Path) -> Snowflake:
    return Snowflake(tmp_path, port=snowflake_port)


@pytest.fixture
def bigquery(bigquery_port: int, tmp_path: Path) -> BigQuery:
    return BigQuery(tmp_path, port=bigquery_port)


def build_twice(
    warehouse: Warehouse, messages: Messages, package: Path, raw: str, *, append: bool = False
) -> Expected:
    """Load and build, and again what came later; the second time on another clock than UTC."""
    schema = "models_of_appended" if append else "models"
    project = DbtProject(package, warehouse.folder / "project", warehouse, schema)
    variables = {"zoom_cc_schema": raw} if append else {}
    warehouse.load(messages.first, raw, append=append)
    project.build(**variables)
    queries = {question.sql for question in questions()}
    first = project.rows(queries)
    assert first.keys() == KEYS.keys() | PASSED_ON.keys() | queries
    assert all(first.values()), "a model without rows would be equal to anything"
    warehouse.load(messages.second, raw, append=append)
    project.build(zoom_cc_time_zone=ZONE, **variables)
    return Expected(first, project.rows(queries))


def compare(built: Expected, expected: Expected) -> None:
    """Assert that each model has the same rows."""
    assert differences(built.first, expected.first) == {}
    assert differences(built.second, expected.second) == {}


def test_duckdb_1_2_2_builds_the_same_rows(
    tmp_path: Path, messages: Messages, package: Path, expected: Expected
) -> None:
    warehouse = DuckDB(tmp_path, dbt="dbt_duckdb_1_2_2")
    compare(build_twice(warehouse, messages, package, "main"), expected)


def test_postgres_builds_the_same_rows(
    tmp_path: Path, messages: Messages, package: Path, expected: Expected
) -> None:
    with postgres_server() as port:
        warehouse = Postgres(tmp_path, port=port)
        compare(build_twice(warehouse, messages, package, "zoom_cc"), expected)


@pytest.mark.parametrize("append", [False, True])
def test_snowflake_builds_the_same_rows(
    snowflake: Snowflake, messages: Messages, package: Path, expected: Expected, *, append: bool
) -> None:
    raw = "zoom_cc_appended" if append else "zoom_cc"
    compare(build_twice(snowflake, messages, package, raw, append=append), expected)


@pytest.mark.parametrize("append", [False, True])
def test_bigquery_builds_the_same_rows(
    bigquery: BigQuery,
    messages_of_bigquery: Messages,
    package: Path,
    expected_of_bigquery: Expected,
    *,
    append: bool,
) -> None:
    raw = "zoom_cc_appended" if append else "zoom_cc"
    built = build_twice(bigquery, messages_of_bigquery, package, raw, append=append)
    compare(built, expected_of_bigquery)


def test_a_number_is_the_same_whatever_a_database_makes_of_its_last_bit() -> None:
    whole: dict[str, Rows] = {"model": [{"percentile": 844}]}
    assert differences({"model": [{"percentile": 844.0000000000001}]}, whole) == {}
    assert differences({"model": [{"percentile": 844.01}]}, whole) != {}

"""What reaches Snowflake and BigQuery: every engagement, whole, through the real loaders.

Each test loads twice into an emulator, reads the tables back with the vendor's client, and compares
them with the simulator's truth, row for row. docs/targets.md says what an emulator does not prove.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from simulator.scenario import Clock
from tests.harness.pages import block
from tests.harness.rows import KEYS
from tests.test_targets import FIRST_RUN, SCENARIO, SECOND_RUN, properties, revised, truth
from tests.warehouses import warehouse
from tests.warehouses.dbt_project import read_rows
from tests.warehouses.emulator import bigquery_emulator, snowflake_emulator
from tests.warehouses.environments import PINS, needs_python_3_11
from tests.warehouses.messages import run_twice, with_empty_arrays, without_null_elements
from tests.warehouses.rows import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from tests.warehouses.messages import Messages
    from tests.warehouses.rows import Rows
    from tests.warehouses.warehouse import Warehouse

# What docs/targets.md says of types, in the words of each INFORMATION_SCHEMA.
SNOWFLAKE_TYPES = {
    "array": "VARIANT",
    "boolean": "BOOLEAN",
    "date-time": "TIMESTAMP_TZ",
    "integer": "NUMBER",
    "number": "FLOAT",
    "string": "TEXT",
}
BIGQUERY_TYPES = {
    "array": "ARRAY",
    "boolean": "BOOL",
    "date-time": "TIMESTAMP",
    "integer": "INT64",
    "number": "FLOAT64",
    "string": "STRING",
}

pytestmark = [pytest.mark.programs, needs_python_3_11]


@pytest.fixture
def messages(simulator: SimulatorProcess, tmp_path: Path) -> Messages:
    first = replace(SCENARIO, clock=Clock(now=FIRST_RUN))
    second = replace(revised(SCENARIO), clock=Clock(now=SECOND_RUN))
    return run_twice(simulator, tmp_path, first, second)


@pytest.fixture
def snowflake(tmp_path: Path) -> Iterator[Warehouse]:
    with snowflake_emulator(tmp_path) as port:
        yield warehouse.snowflake(tmp_path, port)


@pytest.fixture
def bigquery(tmp_path: Path) -> Iterator[Warehouse]:
    with bigquery_emulator(tmp_path) as port:
        yield warehouse.bigquery(tmp_path, port)


def load_twice(store: Warehouse, messages: Messages) -> None:
    """Load both runs; the loader passes the state on when it has loaded."""
    store.load(messages.first, "zoom_cc")
    written = store.load(messages.second, "zoom_cc")
    assert json.loads(written.splitlines()[-1]) == messages.state


def loaded(store: Warehouse, tables: str) -> dict[str, Rows]:
    """Return the rows of each raw table, without the columns that are the loader's own."""
    names = {stream: tables.format(stream) for stream in KEYS}
    found = read_rows(store.dbt, store.output("zoom_cc"), names)
    return {
        stream: [
            {name: value for name, value in row.items() if not name.startswith("_sdc_")}
            for row in rows
        ]
        for stream, rows in found.items()
    }


def assert_types(store: Warehouse, columns: str, types: dict[str, str]) -> None:
    """Assert that each column has the documented type.

    Args:
        store: that has been loaded.
        columns: the table of its columns.
        types: by the type in the tap's schema.
    """
    found = read_rows(store.dbt, store.output("zoom_cc"), {"columns": columns})
    actual = {
        (row["table_name"].lower(), row["column_name"].lower()): row["data_type"].partition("<")[0]
        for row in found["columns"]
        if row["table_schema"].lower() == "zoom_cc" and not row["column_name"].startswith("_")
    }
    assert actual == {
        (stream, name): next(
            kind
            for key, kind in types.items()
            if key in (part.get("format"), part["type"]) or key in part["type"]
        )
        for stream in KEYS
        for name, part in properties(stream).items()
    }


@pytest.mark.parametrize("name", ["Snowflake", "BigQuery"])
def test_the_loader_that_is_tested_is_the_one_that_is_documented(name: str) -> None:
    (loader,) = yaml.safe_load(block(name).text)
    pins = (PINS / f"{name.lower()}_loader.in").read_text("utf-8")
    assert pins.split() == loader["pip_url"].split()


def test_snowflake_has_each_engagement_once_and_as_it_is(
    snowflake: Warehouse, messages: Messages, simulator: SimulatorProcess
) -> None:
    load_twice(snowflake, messages)

    expected = {stream: list(truth(simulator, stream).values()) for stream in KEYS}
    assert differences(loaded(snowflake, "RAW.ZOOM_CC.{}"), expected) == {}
    assert_types(snowflake, "RAW.INFORMATION_SCHEMA.COLUMNS", SNOWFLAKE_TYPES)


def test_bigquery_has_each_engagement_once_and_as_it_stores_it(
    bigquery: Warehouse, messages: Messages, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    load_twice(bigquery, messages.changed(tmp_path / "changed", without_null_elements))

    expected = {}
    for stream in KEYS:
        schema = {"properties": properties(stream)}
        rows = [without_null_elements(row, schema) for row in truth(simulator, stream).values()]
        expected[stream] = [with_empty_arrays(row, schema) for row in rows]
    assert differences(loaded(bigquery, "zoom_cc.{}"), expected) == {}
    assert_types(bigquery, "zoom_cc.INFORMATION_SCHEMA.COLUMNS", BIGQUERY_TYPES)


def test_bigquerys_loader_ends_well_and_moves_on_when_bigquery_has_refused_the_last_rows(
    bigquery: Warehouse, messages: Messages, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    def with_a_null(row: Any, schema: dict[str, Any]) -> Any:  # noqa: ANN401 (any JSON)
        is_last = "call_legs" in row and row["engagement_id"] == "unusual-values"
        more = {"call_legs": [None]} if is_last else {}
        return {**without_null_elements(row, schema), **more}

    load_twice(bigquery, messages.changed(tmp_path / "changed", with_a_null))

    found = loaded(bigquery, "zoom_cc.{}")
    lost = {stream: len(truth(simulator, stream)) - len(found[stream]) for stream in KEYS}
    assert lost.pop("voice_calls") > 1, (
        "target-bigquery has loaded what BigQuery refuses, or loses nothing any more: "
        "docs/targets.md warns of it"
    )
    assert set(lost.values()) == {0}

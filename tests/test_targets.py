"""What reaches a store: every engagement, whole, through `meltano run` and a real target.

Each test loads twice, with the simulator's clock moved on in between, reads the store back and
compares it with the simulator's rows. What a target changes in a value is written down here, and in
docs/targets.md. Of databases, the models that Meltano builds there are compared as well.
"""

from __future__ import annotations

import ast
import csv
import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from tests.checkout import ROOT
from tests.harness.pages import block
from tests.harness.rows import by_key, rows_of
from tests.meltano_project import needs_duckdb
from tests.model_truth import truth
from tests.postgres_server import connect, loader_settings
from tests.two_runs import FIRST_RUN, SECOND_RUN, rows_of_zoom, run_meltano
from tests.warehouses.rows import differences, without_ages, without_empty_texts, without_nul
from tests.warehouses.warehouse import properties

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.process import SimulatorProcess
    from tests.meltano_project import MeltanoProject
    from tests.two_runs import Row, Rows

pytestmark = pytest.mark.programs


def load_twice(project: MeltanoProject, simulator: SimulatorProcess, *steps: str) -> None:
    """Load, let time pass and engagements change, and load what is new."""
    run_meltano(project, simulator, FIRST_RUN, *steps)
    run_meltano(project, simulator, SECOND_RUN, *steps)
    read_again = simulator.stats().rows
    assert 0 < sum(read_again["voice_calls"].values()) < len(simulator.truth("voice_calls")), (
        "the second run was to read only what is new"
    )


def assert_loaded(
    cursor: Any,  # noqa: ANN401 (of any database)
    schema: str,
    simulator: SimulatorProcess,
    kept: Callable[[Row], Row],
) -> None:
    """Assert that a database has each row once, as it keeps it, and models that are true."""
    zoom = rows_of_zoom(simulator)
    expected = {stream: [kept(row) for row in rows] for stream, rows in zoom.items()}
    models = truth(expected)
    raw = {stream: rows_of(cursor, f"select * from {schema}.{stream}") for stream in expected}
    built = {name: rows_of(cursor, f"select * from contact_center.{name}") for name in models}
    assert differences(raw, expected) == {}
    assert differences(without_ages(built), models) == {}


def latest_by_query(project: MeltanoProject, name: str) -> Rows:
    """Return what an example query finds in files, in the project's folder."""
    with duckdb.connect() as connection:
        connection.execute(f"set file_search_path = '{project.folder}'")
        return countries(rows_of(connection, (ROOT / "examples" / name).read_text("utf-8")))


def countries(rows: Rows) -> Rows:
    """Return the field that was changed between the runs, by key."""
    names = ("account_id", "engagement_id", "country_name")
    return sorted(({name: row.get(name) for name in names} for row in rows), key=str)


@needs_duckdb
def test_duckdb_has_each_engagement_once_and_as_it_is(
    project: MeltanoProject, simulator: SimulatorProcess
) -> None:
    load_twice(project, simulator, "target-duckdb", "dbt-duckdb:build")

    with duckdb.connect(str(project.output / "zoom_cc.duckdb"), read_only=True) as connection:
        assert_loaded(connection, "main", simulator, without_empty_texts)
        kinds = "select distinct typeof(agents) from main.sms where agents is not null"
        assert connection.execute(kinds).fetchall() == [("JSON",)]


def test_postgres_has_each_engagement_once_and_as_it_is(
    postgres_port: int, project: MeltanoProject, simulator: SimulatorProcess
) -> None:
    for plugin in ("target-postgres", "dbt-postgres"):
        project.configure(plugin, loader_settings(postgres_port))
    load_twice(project, simulator, "target-postgres", "dbt-postgres:build")

    with connect(postgres_port) as connection:
        assert_loaded(connection.cursor(), "zoom_cc", simulator, without_nul)
        for query in block("PostgreSQL").text.rstrip().rstrip(";").split(";\n"):
            assert connection.execute(query).fetchall(), query


def test_jsonl_has_each_version_of_an_engagement_as_the_api_gave_it(
    project: MeltanoProject, simulator: SimulatorProcess
) -> None:
    load_twice(project, simulator, "target-jsonl")

    for stream, expected in rows_of_zoom(simulator).items():
        text = (project.output / f"{stream}.jsonl").read_text("utf-8")
        rows = [json.loads(line) for line in text.rstrip("\n").split("\n")]
        assert by_key(stream, rows) == by_key(stream, expected)
        assert len(rows) > len(expected), "this target appends, says docs/targets.md"
    latest = latest_by_query(project, "latest_rows_jsonl.sql")
    assert latest == countries(simulator.truth("voice_calls"))


def test_csv_has_each_version_of_an_engagement_with_nested_values_as_literals(
    project: MeltanoProject, simulator: SimulatorProcess
) -> None:
    load_twice(project, simulator, "target-csv")

    def value(part: Row, text: str) -> object:
        if text == "":
            return None
        return text if "string" in part["type"] else ast.literal_eval(text)

    for stream, expected in rows_of_zoom(simulator).items():
        rows = []
        for path in sorted(project.output.glob(f"{stream}-*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                rows += [
                    {name: value(part, row[name]) for name, part in properties(stream).items()}
                    for row in csv.DictReader(file)
                ]
        latest = {stream: list(by_key(stream, rows).values())}
        assert differences(latest, {stream: [without_empty_texts(row) for row in expected]}) == {}
        assert len(rows) > len(expected), "each run writes files of its own, says docs/targets.md"
    found = latest_by_query(project, "latest_rows_csv.sql")
    assert found == countries([without_empty_texts(row) for row in simulator.truth("voice_calls")])

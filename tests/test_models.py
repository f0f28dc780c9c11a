"""What the models of `transform/` promise in their files, and what they make of a partial load.

tests/test_warehouses.py and tests/test_targets.py compare what they hold with what is true.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml

from tests.checkout import ROOT
from tests.harness.pages import block
from tests.harness.rows import KEYS, rows_of
from tests.meltano_project import needs_duckdb
from tests.model_truth import MODELS, described_columns
from tests.two_runs import SECOND_RUN, run_meltano
from tests.warehouses.warehouse import properties

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.meltano_project import MeltanoProject

pytestmark = pytest.mark.programs


@needs_duckdb
def test_what_was_not_loaded_is_null_and_what_the_schema_lacks_is_a_warning(
    project: MeltanoProject, simulator: SimulatorProcess
) -> None:
    names = ("direction", "queues", "call_legs", "unmapped_values")
    selected = [f"voice_calls.{name}" for name in names]
    project.configure("tap-zoom-cc", {"_select": json.dumps(selected)})
    run_meltano(project, simulator, SECOND_RUN, "target-duckdb")

    output = project.meltano("run", "dbt-duckdb:build", "dbt-duckdb:docs")

    assert "WARN=1 ERROR=0" in output
    assert re.search(r"WARN \d+ is_null_stg_zoom_cc__voice_calls_unmapped_values", output)
    with duckdb.connect(str(project.output / "zoom_cc.duckdb"), read_only=True) as database:
        rows = rows_of(database, "select * from contact_center.zoom_cc__calls")
        assert len(rows) == len(simulator.truth("voice_calls"))
        assert {row["leg_count"] for row in rows} > {1, 2}
        assert {row["result"] for row in rows} == {None} == {row["account_name"] for row in rows}
        for empty in ("sms_conversations", "call_legs", "agents", "agent_days"):
            assert rows_of(database, f"select * from contact_center.zoom_cc__{empty}") == []
        query = "select sum(engagements) as number from contact_center.zoom_cc__queue_hours"
        assert rows_of(database, query)[0]["number"] >= len(rows)
    assert (project.output / "dbt-duckdb" / "static_index.html").stat().st_size > 100_000


def test_the_package_has_the_version_of_the_tap() -> None:
    package = yaml.safe_load((ROOT / "transform" / "dbt_project.yml").read_text("utf-8"))
    tap = (ROOT / "pyproject.toml").read_text("utf-8")
    assert re.findall(r'^fallback_version = "(.*)"$', tap, re.MULTILINE) == [package["version"]]


def test_the_variables_that_are_shown_are_those_that_the_models_read() -> None:
    shown = yaml.safe_load(block("vars").text)["vars"]["zoom_contact_center"]
    sources = [*(ROOT / "transform").rglob("*.sql"), *(ROOT / "transform").rglob("*.yml")]
    texts = "".join(path.read_text("utf-8") for path in sources)
    read = re.findall(r"var\(\s*['\"](zoom_cc_\w+)['\"]", texts)
    assert set(shown) == set(read)


def test_a_column_that_is_a_field_of_zoom_is_described_as_the_field() -> None:
    for model, columns in described_columns().items():
        for column, (description, field) in columns.items():
            if field:
                assert description == field_description(field), f"{model}.{column}"


def field_description(field: str) -> str:
    """Return the description of a field: its stream, and its path in the stream's schema."""
    stream, *path = field.split(".")
    part: dict[str, Any] = {"properties": properties(stream)}
    for step in path:
        part = part["properties"][step.removesuffix("[]")]
        if step.endswith("[]"):
            part = part["items"]
    description: str = part["description"]
    return description


@pytest.mark.parametrize("stream", KEYS)
def test_staging_has_every_field_of_a_stream(stream: str) -> None:
    fields = {f"{stream}.{name}" for name in properties(stream)} - {f"{stream}.unmapped_values"}
    columns = described_columns()[f"stg_zoom_cc__{stream}"]
    assert {field for _, field in columns.values() if field} == fields
    assert "unmapped_values" in columns


def test_every_model_is_described() -> None:
    assert {path.stem for path in MODELS.rglob("*.sql")} == set(described_columns())
    for model, columns in described_columns().items():
        assert all(description for description, _ in columns.values()), model


def test_what_differs_between_the_databases_stands_in_one_file() -> None:
    for path in sorted((ROOT / "transform").rglob("*.sql")):
        differs = re.search(
            r"adapter\.dispatch|duckdb|postgres|snowflake|bigquery|target\.",
            path.read_text("utf-8"),
        )
        assert bool(differs) == (path.name == "dialect.sql"), path


def test_the_diagram_shows_the_tables_that_there_are() -> None:
    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    (diagram,) = re.findall(r"```mermaid\nerDiagram\n(.*?)```", text, re.DOTALL)
    entities = dict(re.findall(r"^    (\w+) \{\n(.*?)^    \}", diagram, re.DOTALL | re.MULTILINE))
    assert set(entities) == {name for name in described_columns() if name.startswith("zoom_")}
    for name, body in entities.items():
        columns = set(re.findall(r"^        \w+ (\w+)", body, re.MULTILINE))
        assert columns <= set(described_columns()[name]), name

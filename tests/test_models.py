"""The models of `transform/` say what is true: each is compared with the simulator, value by value.

The real tap and targets load the engagements into DuckDB and PostgreSQL, and dbt builds the models
as Meltano runs it: after a first run, and after a second, when engagements have come late, others
have changed, and an account has another name. The same from loads that append.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import duckdb
import pytest
import yaml

from simulator.scenario import STREAMS, Account, Clock, Scenario
from tests.harness.pages import block
from tests.harness.rows import listed_accounts, rows_of
from tests.meltano_project import ROOT
from tests.model_truth import KEYS, MODELS, PASSED_ON, Truth, described_columns
from tests.postgres_server import connect, loader_settings
from tests.warehouses.rows import differences

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.process import SimulatorProcess
    from tests.meltano_project import MeltanoProject

    Row: TypeAlias = dict[str, Any]

pytestmark = [pytest.mark.programs, pytest.mark.timeout(600)]

BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
FIRST_RUN = datetime(2024, 1, 25, tzinfo=timezone.utc)
SECOND_RUN = datetime(2024, 2, 14, tzinfo=timezone.utc)
# An hour that is not UTC's and changes within the year: no share of the rows stays where it was.
ZONE = "Australia/Adelaide"

QUEUE = {"queue_id": "old-id", "cc_queue_id": "new-id", "queue_name": "Sales"}
AGENT = {"user_id": "agent", "display_name": "Agent 1", "team_ids": ["a", None], "team_names": []}
SMS_AGENT = {"user_id": "agent", "display_name": "Agent 1"}
LEG = {
    "call_leg": "inbound",
    "start_time": "2024-01-24T12:00:00+00:00",
    "end_time": "2024-01-24T12:10:00+00:00",
    "total_duration": 600,
    "queue": {"cc_queue_id": "new-id", "queue_name": "Sales"},
    "agents": [AGENT],
    "recorded": True,
    "charge": "$12",
    "rate": ".5",
}


def engagement(name: str, start: str, end: str, **fields: object) -> Row:
    return {"engagement_id": name, "start_time": start, "end_time": end, **fields}


UNUSUAL = engagement(
    "unusual-values",
    "2024-01-24T20:00:00-08:00",
    "2024-01-25T05:00:00+01:00",
    direction=None,
    # A queue twice, one by its older id alone, one by its name alone, nothing at all.
    queues=[
        *(QUEUE, None, QUEUE, {"queue_id": "old-id", "queue_name": None}),
        *({"queue_name": 'quoted "so", {\\}'}, {}),
    ],
    agents=[{"display_name": "without an id"}, AGENT, {}],
)
LATE = engagement(
    *("over-after-the-first-run", "2024-01-24T14:00:00Z", "2024-01-25T05:00:00Z"),
    direction="inbound",
    queues=[QUEUE],
    agents=[AGENT],
)
REVISED = engagement(
    *("revised-between-the-runs", "2024-01-24T12:00:00Z", "2024-01-24T12:30:00Z"), queues=[QUEUE]
)
# What is the latest of a queue and of an agent: a name that is missing is not.
RENAMED = engagement(
    *("with-a-new-name", "2024-02-01T12:00:00Z", "2024-02-01T12:30:00Z"),
    queues=[{"cc_queue_id": "new-id", "queue_name": None}],
    agents=[{"user_id": "agent", "display_name": "Agent 1, renamed"}],
)
BEFORE = {"country_name": "before", "result": "missed", "voice_call_details": [LEG, LEG]}
AFTER = {"country_name": "after", "result": "completed", "voice_call_details": []}
OTHER_NAME = "Renamed"
SMALL = "mOdElSaCcOuNt00000002"
OLD_CALLS = f"account_id = '{SMALL}' and start_time < '2024-01-10'"


def scenario(now: datetime) -> Scenario:
    """Return what there is at the time of a run."""
    revised = BEFORE if now == FIRST_RUN else AFTER
    legs = [{**LEG, "agents": None, "queue": None, "charge": "$-1"}, {}, None, LEG]
    account = Account(
        id="mOdElSaCcOuNt00000001",
        name="Large ☎" if now == FIRST_RUN else OTHER_NAME,
        sms=40,
        voice_calls=120,
        explicit_sms=(
            {**UNUSUAL, "agents": [{"display_name": "without an id"}, SMS_AGENT, {}]},
            {**LATE, "agents": [SMS_AGENT]},
        ),
        explicit_voice_calls=(
            {
                **UNUSUAL,
                "voice_call_details": legs,
                "sub_types": None,
                "result": "new result",
                "charge": "1,50 €",
            },
            {**LATE, "voice_call_details": [LEG], "total_duration": 54_000, "charge": "€2.5"},
            {**RENAMED, "voice_call_details": [], "charge": "$1.2.3"},
        ),
    )
    # The account whose engagements change keeps its name, for a new name has all calls built again.
    small = Account(
        id=SMALL,
        name="Small 小",
        sms=6,
        voice_calls=20,
        explicit_sms=({**REVISED, "country_name": revised["country_name"]},),
        explicit_voice_calls=(
            {**REVISED, **revised, "sub_types": ["external_warm_transfer_call"]},
        ),
    )
    idle = Account(id="mOdElSaCcOuNt00000003", name="Idle")
    return Scenario(
        accounts=(account, small, idle), history_begin=BEGIN, clock=Clock(now=now), seed=3
    )


@dataclass
class Warehouse:
    """A database with raw tables, and models on them."""

    kind: Literal["duckdb", "postgres"]
    project: MeltanoProject
    simulator: SimulatorProcess
    port: int = 0
    time_zone: str = "UTC"
    schema: str = "contact_center"

    @property
    def dbt(self) -> str:
        """The name of the plugin that builds the models."""
        return f"dbt-{self.kind}"

    def serve(self, now: datetime) -> None:
        """Let the simulator be at the time of a run, and the tap read up to it."""
        self.simulator.replace(scenario(now))
        self.project.configure("tap-zoom-cc", {"end_date": now.isoformat()})

    def run(self, now: datetime, *steps: str) -> None:
        """Load what there is at a time, and run what follows."""
        self.serve(now)
        self.project.meltano("run", "tap-zoom-cc", f"target-{self.kind}", *steps)

    @property
    def raw(self) -> str:
        """The schema of the raw tables."""
        return "main" if self.kind == "duckdb" else "zoom_cc"

    def execute(self, statement: str) -> None:
        """Change what is in the database."""
        if self.kind == "postgres":
            with connect(self.port) as connection:
                connection.execute(statement)
        else:
            with duckdb.connect(str(self.project.output / "zoom_cc.duckdb")) as database:
                database.execute(statement)

    def rows(self, query: str) -> list[Row]:
        """Return what a query selects."""
        if self.kind == "postgres":
            with connect(self.port) as connection:
                return rows_of(connection.cursor(), query)
        path = str(self.project.output / "zoom_cc.duckdb")
        with duckdb.connect(path, read_only=True) as connection:
            return rows_of(connection, query)

    def truth(self) -> Truth:
        """Return what the models must hold now."""
        streams: dict[str, list[Row]] = {
            "sub_accounts": listed_accounts(self.simulator),
            **{stream: self.simulator.truth(stream) for stream in STREAMS},
        }
        if self.kind == "duckdb":  # It loads an empty text as null.
            streams = {
                stream: [
                    {name: None if value == "" else value for name, value in row.items()}
                    for row in rows
                ]
                for stream, rows in streams.items()
            }
        names = {row["id"]: row["account_name"] for row in streams["sub_accounts"]}
        return Truth(streams, names, self.time_zone)

    def differences(
        self, truth: Truth | None = None, models: Iterable[str] = KEYS
    ) -> dict[str, list[str]]:
        """Return what differs between models and truth, by model; nothing if all is well."""
        truth = truth or self.truth()
        expected = {model: list(truth.model(model).values()) for model in models}
        actual = {}
        for model, wanted in expected.items():
            assert wanted, f"nothing is expected of {model}: the test would be empty"
            actual[model] = self.rows(f"select * from {self.schema}.{model}")
            columns = set(actual[model][0])
            assert columns == set(described_columns()[model])
            assert columns - {"extracted_at"} == set(wanted[0]), model
            # Only a load knows when that was.
            assert all(row.pop("extracted_at", True) for row in actual[model])
        return differences(actual, expected)


@dataclass(frozen=True)
class Question:
    """A query of docs/models.md, and the columns of the answer that is shown there."""

    sql: str
    columns: list[str]


def questions() -> list[Question]:
    """Return the questions of docs/models.md."""
    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    found = re.findall(r"```sql\n(.*?)```\s+\|(.*?)\|\n", text, re.DOTALL)
    assert len(found) >= 3, "docs/models.md has lost its questions"
    return [Question(sql, [name.strip() for name in header.split("|")]) for sql, header in found]


@pytest.fixture
def project(project: MeltanoProject) -> MeltanoProject:
    """Give a project that has the models."""
    (project.folder / "transform").symlink_to(ROOT / "transform")
    project.configure("tap-zoom-cc", {"start_date": BEGIN.date()})
    return project


def append_only(project: MeltanoProject) -> None:
    """Let each run add rows: without a key the targets have nothing to update by."""
    without_keys: dict[str, object] = {
        stream: {"__key_properties__": []} for stream in (*STREAMS, "sub_accounts")
    }
    project.configure("tap-zoom-cc", {"stream_maps": json.dumps(without_keys)})
    published = project.definition.read_text("utf-8")
    place = "    - name: add_metadata_columns\n"
    assert published.count(place) == 1
    allowed = "    - name: primary_key_required\n      kind: boolean\n      value: false\n"
    project.definition.write_text(published.replace(place, allowed + place), "utf-8")


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(
    request: pytest.FixtureRequest, project: MeltanoProject, simulator: SimulatorProcess
) -> Warehouse:
    if request.param == "duckdb":
        return Warehouse("duckdb", project, simulator)
    port: int = request.getfixturevalue("postgres_port")
    with connect(port) as connection:
        connection.execute("drop schema if exists zoom_cc cascade")
        connection.execute("drop schema if exists contact_center cascade")
    project.configure("target-postgres", loader_settings(port))
    project.configure("dbt-postgres", loader_settings(port))
    return Warehouse("postgres", project, simulator, port)


def test_every_model_is_true_after_a_first_and_after_a_second_run(warehouse: Warehouse) -> None:
    warehouse.run(FIRST_RUN, f"{warehouse.dbt}:build")
    assert warehouse.differences() == {}
    newest = max(
        row["start_time"] for row in warehouse.rows("select * from contact_center.zoom_cc__calls")
    )

    warehouse.run(SECOND_RUN, f"{warehouse.dbt}:build")

    assert warehouse.differences() == {}
    (late,) = warehouse.rows(
        "select start_time from contact_center.zoom_cc__calls "
        f"where engagement_id = '{LATE['engagement_id']}'"
    )
    assert late["start_time"] < newest, "this engagement was to begin before others and come later"
    for question in questions():
        rows = warehouse.rows(question.sql)
        assert list(rows[0]) == question.columns


def test_every_model_is_true_on_loads_that_append_and_is_built_by_what_is_new_alone(
    warehouse: Warehouse,
) -> None:
    warehouse.time_zone = ZONE
    append_only(warehouse.project)
    build = ("invoke", warehouse.dbt, "run", f"--vars={{zoom_cc_time_zone: {ZONE}}}")
    warehouse.run(FIRST_RUN)
    warehouse.project.meltano(*build)
    assert warehouse.differences() == {}
    # A mark on what the next load does not touch: it stays if the row is not built again.
    old = f"select engagement_key from contact_center.zoom_cc__calls where {OLD_CALLS}"
    for model in ("call_legs", "calls"):
        warehouse.execute(
            f"update contact_center.int_zoom_cc__{model} set country_name = 'mark' "
            f"where engagement_key in ({old})"
        )

    warehouse.run(SECOND_RUN)
    warehouse.project.meltano(*build)

    for model in ("calls", "call_legs"):
        (counted,) = warehouse.rows(
            "select count(*) as number "
            f"from contact_center.zoom_cc__{model} where country_name = 'mark'"
        )
        assert counted["number"], f"{model} was to keep what has not changed"
    truth = warehouse.truth()
    for row in truth.streams["voice_calls"]:
        if row["account_id"] == SMALL and row["start_time"] < "2024-01-10":
            row["country_name"] = "mark"
            for leg in row.get("voice_call_details") or ():
                leg["country_name"] = "mark"
    built = set(KEYS) - {"stg_zoom_cc__voice_calls"}
    assert warehouse.differences(truth, models=built) == {}
    (counted,) = warehouse.rows(f"select count(*) as number from {warehouse.raw}.voice_calls")
    assert counted["number"] > len(truth.streams["voice_calls"]), "this load was to append"


def test_what_was_not_loaded_is_null_and_what_the_schema_lacks_is_a_warning(
    project: MeltanoProject, simulator: SimulatorProcess
) -> None:
    warehouse = Warehouse("duckdb", project, simulator)
    selected = ["voice_calls.direction", "voice_calls.queues", "voice_calls.call_legs"]
    project.configure("tap-zoom-cc", {"_select": json.dumps(selected)})
    warehouse.run(FIRST_RUN)
    warehouse.execute("alter table main.voice_calls add column unmapped_values varchar")
    warehouse.execute("update main.voice_calls set unmapped_values = '{\"/new\": 1}'")

    output = project.meltano("run", "dbt-duckdb:build", "dbt-duckdb:docs")

    assert "WARN=1 ERROR=0" in output
    assert re.search(r"WARN \d+ is_null_stg_zoom_cc__voice_calls_unmapped_values", output)
    rows = warehouse.rows("select * from contact_center.zoom_cc__calls")
    assert len(rows) == len(simulator.truth("voice_calls"))
    assert {row["leg_count"] for row in rows} > {1, 2}
    assert {row["result"] for row in rows} == {None} == {row["account_name"] for row in rows}
    for empty in ("sms_conversations", "call_legs", "agents", "agent_days"):
        assert warehouse.rows(f"select * from contact_center.zoom_cc__{empty}") == []
    hours = warehouse.rows(
        "select sum(engagements) as number from contact_center.zoom_cc__queue_hours"
    )
    assert hours[0]["number"] >= len(rows)
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
    part = json.loads((ROOT / "schemas" / f"{stream}.json").read_text("utf-8"))
    for step in path:
        part = part["properties"][step.removesuffix("[]")]
        if step.endswith("[]"):
            part = part["items"]
    description: str = part["description"]
    return description


@pytest.mark.parametrize("stream", [*STREAMS, "sub_accounts"])
def test_staging_has_every_field_of_a_stream(stream: str) -> None:
    schema = json.loads((ROOT / "schemas" / f"{stream}.json").read_text("utf-8"))
    fields = {f"{stream}.{name}" for name in schema["properties"]} - {f"{stream}.unmapped_values"}
    columns = described_columns()[f"stg_zoom_cc__{stream}"]
    assert {field for _, field in columns.values() if field} == fields
    assert "unmapped_values" in columns


def test_every_model_is_described_and_compared() -> None:
    files = {path.stem for path in MODELS.rglob("*.sql")}
    assert files == set(KEYS) | set(PASSED_ON) == set(described_columns())
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
    shown = {name for name in KEYS if not name.startswith(("stg_", "int_"))}
    assert set(entities) == shown
    for name, body in entities.items():
        columns = set(re.findall(r"^        \w+ (\w+)", body, re.MULTILINE))
        assert columns <= set(described_columns()[name]), name

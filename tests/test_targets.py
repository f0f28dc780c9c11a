"""What reaches a store: every engagement, whole, through `meltano run` and a real target.

Each test loads twice, with the simulator's clock moved on in between, reads the store back and
compares it with the simulator's truth, row for row. What a target changes in a value is written
down here, and in docs/targets.md.
"""

from __future__ import annotations

import ast
import csv
import json
import sys
from dataclasses import replace
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pytest

from simulator.scenario import STREAMS, Account, Clock, Scenario
from tests.harness.pages import block
from tests.harness.rows import KEYS, by_key, listed_accounts, rows_of
from tests.meltano_project import ROOT, needs_duckdb
from tests.postgres_server import connect, loader_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from simulator.process import SimulatorProcess
    from tests.meltano_project import MeltanoProject

    Row: TypeAlias = dict[str, Any]
    Key: TypeAlias = tuple[str, ...]
    Rows: TypeAlias = dict[Key, Row]

pytestmark = pytest.mark.programs

EXAMPLES = ROOT / "examples"
BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
FIRST_RUN = datetime(2024, 1, 25, tzinfo=timezone.utc)
SECOND_RUN = datetime(2024, 2, 14, tzinfo=timezone.utc)

# Python 3.10 cannot write a NUL as CSV, so that loads end there which do (target-duckdb's too).
NUL = "\x00" if sys.version_info >= (3, 11) else ""
UNUSUAL_TEXT = f"nul {NUL}, noncharacter \ufffe, 👩🏽‍🚀, NULL, \"quoted\", \\N, 'a';\r\n\tb,c"
UNUSUAL = {
    "engagement_id": "unusual-values",
    "start_time": "2024-01-24T20:00:00-08:00",
    "end_time": "2024-01-25T05:00:00+01:00",
    "consumer_display_name": "",
    "consumer_number": None,
    "country_name": UNUSUAL_TEXT,
    "direction": "NULL",
    "agents": [],
    # Without NUL: in a nested value target-postgres stumbles over it, and the run fails.
    "queues": [{"queue_id": None, "queue_name": UNUSUAL_TEXT.replace("\x00", "")}, {}],
}
UNDECLARED: Row = {"added_by_zoom": {"é'\"": [UNUSUAL_TEXT, None, 1.5, {}]}}
"""A field that the schema does not have: it is loaded as well, in the column for such."""
FLATTENED_OR_NOT = pytest.mark.parametrize(
    "flattening",
    [{}, {"flattening_enabled": "true", "flattening_max_depth": 2}],
    ids=["as it is", "flattened"],
)
REVISED = {
    "engagement_id": "revised-between-the-runs",
    "start_time": "2024-01-24T12:00:00Z",
    "end_time": "2024-01-24T12:30:00Z",
    "country_name": "before",
}
SCENARIO = Scenario(
    accounts=(
        Account(
            id="tArGeTsAcCoUnT0000001",
            name="Large ☎",
            sms=30,
            voice_calls=60,
            explicit_sms=(
                {
                    **UNUSUAL,
                    **UNDECLARED,
                    "sms_types": ["", None, "null", '{a,"b"}'],
                    "total_sent_files": 0,
                },
                {**REVISED, "total_sent_messages": 2**53 + 1},
            ),
            explicit_voice_calls=(
                {
                    **UNUSUAL,
                    **UNDECLARED,
                    "total_duration": "an hour",
                    "voice_call_details": [{"flow": None, "agents": None}, {}],
                },
                {**REVISED, "total_duration": 1800, "recorded": False},
            ),
        ),
        Account(id="tArGeTsAcCoUnT0000002", name="Small 小", sms=5, voice_calls=10),
        Account(id="tArGeTsAcCoUnT0000003", name="Idle"),
    ),
    history_begin=BEGIN,
    clock=Clock(now=FIRST_RUN),
)


@pytest.fixture
def project(project: MeltanoProject) -> MeltanoProject:
    """Give a project that reads from the beginning."""
    project.configure("tap-zoom-cc", {"start_date": BEGIN.date()})
    return project


def load_twice(project: MeltanoProject, simulator: SimulatorProcess, target: str) -> None:
    """Load, let time pass and an engagement change, and load what is new."""
    for now, scenario in ((FIRST_RUN, SCENARIO), (SECOND_RUN, revised(SCENARIO))):
        simulator.replace(replace(scenario, clock=Clock(now=now)))
        project.configure("tap-zoom-cc", {"end_date": now.isoformat()})
        project.meltano("run", "tap-zoom-cc", target)
    read_again = simulator.stats().rows
    assert 0 < sum(read_again["voice_calls"].values()) < len(simulator.truth("voice_calls")), (
        "the second run was to read only what is new"
    )


def revised(scenario: Scenario) -> Scenario:
    """Return what there is when an engagement has changed."""

    def changed(rows: tuple[Row, ...]) -> tuple[Row, ...]:
        name = REVISED["engagement_id"]
        return tuple(
            {**row, "country_name": "after"} if row["engagement_id"] == name else row
            for row in rows
        )

    accounts = tuple(
        replace(
            account,
            explicit_sms=changed(account.explicit_sms),
            explicit_voice_calls=changed(account.explicit_voice_calls),
        )
        for account in scenario.accounts
    )
    return replace(scenario, accounts=accounts)


def truth(simulator: SimulatorProcess, stream: str) -> Rows:
    """Return the rows of a stream as the API has them, every field of the schema in each."""
    rows = engagements(simulator)[stream] if stream in STREAMS else listed_accounts(simulator)
    assert rows
    return by_key(stream, [in_full(stream, row) for row in rows])


def engagements(simulator: SimulatorProcess) -> dict[str, list[Row]]:
    """Return the rows of both streams of engagements, exactly as the tap is to give them."""
    return {stream: [_mapped(row) for row in simulator.truth(stream)] for stream in STREAMS}


def _mapped(row: Row) -> Row:
    """Return a row with the column for what has no column of its own."""
    odd = {name: row.pop(name) for name in UNDECLARED if name in row}
    if row.get("total_duration") == "an hour":
        odd["total_duration"], row["total_duration"] = row["total_duration"], None
    kept = {f"/{name}": value for name, value in odd.items()}
    return {**row, "unmapped_values": msgspec.json.encode(kept).decode() if kept else None}


def in_full(stream: str, row: Row) -> Row:
    """Return a row with null where a field is missing, and its own times as instants."""
    return {
        name: instant(row.get(name)) if part.get("format") == "date-time" else row.get(name)
        for name, part in properties(stream).items()
    }


def instant(value: str | datetime | None) -> datetime | None:
    """Read a time; one without an offset is in UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        value = msgspec.convert(value, datetime)
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)


@cache
def properties(stream: str) -> dict[str, Row]:
    """Return the fields of a stream's schema."""
    schema = json.loads((ROOT / "schemas" / f"{stream}.json").read_text("utf-8"))
    fields: dict[str, Row] = schema["properties"]
    return fields


def without_empty_texts(row: Row) -> Row:
    """Return a row as a target leaves it that loads an empty text as null."""
    return {name: value for name, value in row.items() if value != ""}


def without_nul(row: Row) -> Row:
    """Return a row as PostgreSQL has it: it cannot store NUL, and the target replaces it."""
    return {
        name: value.replace("\x00", "\ufffd") if isinstance(value, str) else value
        for name, value in row.items()
    }


def countries(rows: list[Row]) -> dict[Key, object]:
    """Return the one field that was changed between the runs, by key; each key once."""
    found: dict[Key, object] = {
        (row["account_id"], row["engagement_id"]): row.get("country_name") for row in rows
    }
    assert len(found) == len(rows)
    return found


def latest_by_query(project: MeltanoProject, name: str) -> dict[Key, object]:
    """Run one of the example queries on files, with DuckDB, in the project's folder."""
    with duckdb.connect() as connection:
        connection.execute(f"set file_search_path = '{project.folder}'")
        return countries(rows_of(connection, (EXAMPLES / name).read_text("utf-8")))


def assert_loaded(
    stored: Mapping[str, list[Row]],
    simulator: SimulatorProcess,
    stores: Callable[[Row], Row],
    *,
    lists_are_texts: bool,
) -> None:
    """Assert that a store has each engagement once, and each value.

    Args:
        stored: its rows, by stream.
        simulator: what was read.
        stores: what the store makes of a row.
        lists_are_texts: whether lists are JSON in a text column.
    """
    for stream, rows in stored.items():
        lists = [name for name, part in properties(stream).items() if "array" in part["type"]]
        for row in rows if lists_are_texts else ():
            for name in lists:
                assert row[name] is None or isinstance(row[name], str), f"{name} is no text"
                row[name] = json.loads(row[name]) if row[name] else None
        expected = {key: stores(row) for key, row in truth(simulator, stream).items()}
        assert len(rows) == len(expected)
        assert by_key(stream, [in_full(stream, row) for row in rows]) == expected


@needs_duckdb
@FLATTENED_OR_NOT
def test_duckdb_has_each_engagement_once_and_as_it_is(
    project: MeltanoProject, simulator: SimulatorProcess, flattening: Row
) -> None:
    project.configure("tap-zoom-cc", flattening)
    load_twice(project, simulator, "target-duckdb")

    with duckdb.connect(str(project.output / "zoom_cc.duckdb"), read_only=True) as connection:
        rows = {stream: rows_of(connection, f"select * from main.{stream}") for stream in KEYS}
    assert_loaded(rows, simulator, without_empty_texts, lists_are_texts=True)


def test_jsonl_has_each_version_of_an_engagement_as_the_api_gave_it(
    project: MeltanoProject, simulator: SimulatorProcess
) -> None:
    load_twice(project, simulator, "target-jsonl")

    for stream in KEYS:
        text = (project.output / f"{stream}.jsonl").read_text("utf-8")
        rows = [json.loads(line) for line in text.rstrip("\n").split("\n")]
        assert by_key(stream, [in_full(stream, row) for row in rows]) == truth(simulator, stream)
        assert len(rows) > len(truth(simulator, stream)), (
            "this target appends, says docs/targets.md"
        )
        if stream in STREAMS:
            assert by_key(stream, rows) == by_key(stream, engagements(simulator)[stream])

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

    for stream in KEYS:
        rows = []
        for path in sorted(project.output.glob(f"{stream}-*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                rows += [
                    {name: value(part, row[name]) for name, part in properties(stream).items()}
                    for row in csv.DictReader(file)
                ]
        expected = {key: without_empty_texts(row) for key, row in truth(simulator, stream).items()}
        assert by_key(stream, [in_full(stream, row) for row in rows]) == expected
        assert len(rows) > len(expected), "each run writes files of its own, says docs/targets.md"

    latest = latest_by_query(project, "latest_rows_csv.sql")
    assert latest == {
        key: None if country == "" else country
        for key, country in countries(simulator.truth("voice_calls")).items()
    }


@FLATTENED_OR_NOT
def test_postgres_has_each_engagement_once_and_as_it_is(
    postgres_port: int, project: MeltanoProject, simulator: SimulatorProcess, flattening: Row
) -> None:
    schema = "flattened" if flattening else "zoom_cc"
    settings = {**loader_settings(postgres_port), "default_target_schema": schema}
    project.configure("target-postgres", settings)
    project.configure("tap-zoom-cc", flattening)
    load_twice(project, simulator, "target-postgres")

    with connect(postgres_port) as connection:
        cursor = connection.cursor()
        rows = {stream: rows_of(cursor, f"select * from {schema}.{stream}") for stream in KEYS}
        assert_loaded(rows, simulator, without_nul, lists_are_texts=bool(flattening))
        queries = block("PostgreSQL").text.rstrip().rstrip(";").split(";\n")
        for query in () if flattening else queries:
            assert connection.execute(query).fetchall(), query

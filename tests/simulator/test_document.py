"""The simulator's answers are those that Zoom's OpenAPI documents allow, and its rows fill them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from simulator.scenario import STREAMS, Account, Scenario
from tests.simulator.caller import MANY, SUB, Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    import schemathesis
    from schemathesis.schemas import APIOperation

    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream

ROOT = Path(__file__).parents[2]
ENGAGEMENTS = [f"/accounts/{{accountId}}/contact_center/{stream}" for stream in STREAMS]


def document(endpoint: str) -> dict[str, Any]:
    """Read what Zoom's documents say of an endpoint, and let it say what holds for every endpoint.

    Any endpoint can answer the errors that the documents list for some. Every request has a token
    (what happens without is tested elsewhere), and the account is one that exists.
    """
    facts = ROOT / "schemas" / "zoom_facts.openapi.json"
    read: dict[str, Any] = json.loads(facts.read_bytes())
    operation = read["paths"][endpoint]["get"]
    read["paths"] = {endpoint: {"get": operation}}
    for status in ("400", "401", "404"):
        operation["responses"].setdefault(status, {"description": "Any error."})
    for parameter in operation["parameters"]:
        if parameter["name"] == "accountId":
            parameter["schema"]["enum"] = [SUB]
    return read


def operation_of(endpoint: str) -> APIOperation[Any, Any, Any, Any]:
    """Give an endpoint as schemathesis knows it."""
    # Importing it takes longer than most tests do.
    import schemathesis  # noqa: PLC0415
    from schemathesis.core.result import Ok  # noqa: PLC0415

    (result,) = schemathesis.openapi.from_dict(document(endpoint)).get_all_operations()
    assert isinstance(result, Ok)
    return result.ok()


@pytest.mark.parametrize("endpoint", [*ENGAGEMENTS, "/accounts"])
def test_no_answer_lies_outside_of_the_document(simulator: SimulatorProcess, endpoint: str) -> None:
    import schemathesis  # noqa: PLC0415
    from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: PLC0415

    client = Client(simulator, replace(MANY, nulls=False))
    operation = operation_of(endpoint)
    statuses: set[int] = set()
    for mode in (*schemathesis.GenerationMode,):

        @hypothesis.settings(
            max_examples=20,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def every_answer_is_documented(case: schemathesis.Case[Any]) -> None:
            # The document calls many things valid that Zoom does not: dates are any string there.
            answer = case.call_and_validate(
                simulator.api_url,
                headers=client.headers,
                excluded_checks=[positive_data_acceptance],
            )
            statuses.add(answer.status_code)

        every_answer_is_documented()
    assert {200, 400} <= statuses


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("2024-01-02", "2024-02-02"),
        ("2024-01-02T00:00:00Z", "2024-01-31T12:00:00Z"),
        ("2024-01-02T00:00:00-08:00", "2024-01-31T12:00:00+05:30"),
    ],
    ids=["dates", "literal Z", "offsets"],
)
@pytest.mark.parametrize("endpoint", ENGAGEMENTS)
def test_what_is_valid_is_accepted_and_its_rows_are_as_documented(
    simulator: SimulatorProcess, endpoint: str, begin: str, end: str
) -> None:
    client = Client(simulator, replace(MANY, nulls=False))
    case = operation_of(endpoint).Case(
        path_parameters={"accountId": SUB}, query={"from": begin, "to": end, "page_size": 100}
    )
    answer = case.call_and_validate(simulator.api_url, headers=client.headers)
    assert len(answer.json()[endpoint.rpartition("/")[2]]) == 100


def filled(value: object, path: str = "") -> Iterator[str]:
    """Give the path of every value that is there, at every depth."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from filled(part, f"{path}.{name}")
    elif isinstance(value, list):
        for part in value:
            yield from filled(part, f"{path}[]")
    elif value is not None:
        yield path


def declared(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Give the path of every value that a schema knows."""
    if "properties" in schema:
        for name, part in schema["properties"].items():
            yield from declared(part, f"{path}.{name}")
    elif "items" in schema:
        yield from declared(schema["items"], f"{path}[]")
    else:
        yield path


@pytest.mark.parametrize("stream", STREAMS)
def test_rows_fill_every_field_of_the_schema_and_no_other(
    simulator: SimulatorProcess, stream: Stream
) -> None:
    schema = json.loads((ROOT / "schemas" / f"{stream}.json").read_bytes())
    # One column is the tap's own.
    known = set(declared(schema)) - {".unmapped_values"}
    simulator.replace(Scenario(accounts=(Account(id=SUB, sms=1, voice_calls=1),)))
    (only,) = simulator.truth(stream)
    assert set(filled(only)) == known, "the first row of an account has them all"
    simulator.replace(MANY)
    rows = simulator.truth(stream)
    assert {path for row in rows for path in filled(row)} == known
    values = [value for row in rows for value in row.values()]
    assert None in values
    assert [] in values
    assert any(len(row) < len(rows[0]) for row in rows), "a field may be missing"
    assert len({row["engagement_id"] for row in rows}) == len(rows) == 230
    assert "🌵" in json.dumps(rows, ensure_ascii=False)

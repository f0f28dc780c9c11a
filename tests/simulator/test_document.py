"""The simulator's answers are those that Zoom's OpenAPI documents allow, and its rows fill them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from schemas.derive import walk
from simulator.scenario import STREAMS, Account, Scenario
from tests.harness.rows import leaves
from tests.simulator.caller import MANY, SUB, Client

if TYPE_CHECKING:
    import schemathesis
    from schemathesis.schemas import APIOperation

    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream

SCHEMAS = Path(__file__).parents[2] / "schemas"
ENGAGEMENTS = [f"/accounts/{{accountId}}/contact_center/{stream}" for stream in STREAMS]
SPANS = [
    ("2024-01-02", "2024-02-02"),
    ("2024-01-02T00:00:00Z", "2024-01-31T12:00:00Z"),
    ("2024-01-02T00:00:00-08:00", "2024-01-31T12:00:00+05:30"),
]


def operation_of(endpoint: str) -> APIOperation[Any, Any, Any, Any]:
    """Give an endpoint as schemathesis knows it, with what holds for every endpoint.

    Any endpoint can answer the errors that the documents list for some. Every request has a token
    (what happens without is tested elsewhere), and the account is one that exists.
    """
    # Importing it takes longer than most tests do.
    import schemathesis  # noqa: PLC0415
    from schemathesis.core.result import Ok  # noqa: PLC0415

    document = json.loads((SCHEMAS / "zoom_facts.openapi.json").read_bytes())
    operation = document["paths"][endpoint]["get"]
    document["paths"] = {endpoint: {"get": operation}}
    for status in ("400", "401", "404"):
        operation["responses"].setdefault(status, {"description": "Any error."})
    for parameter in operation["parameters"]:
        if parameter["name"] == "accountId":
            parameter["schema"]["enum"] = [SUB]
    (result,) = schemathesis.openapi.from_dict(document).get_all_operations()
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
    for begin, end in SPANS if endpoint in ENGAGEMENTS else ():
        query = {"from": begin, "to": end, "page_size": 100}
        case = operation.Case(path_parameters={"accountId": SUB}, query=query)
        answer = case.call_and_validate(simulator.api_url, headers=client.headers)
        assert len(answer.json()[endpoint.rpartition("/")[2]]) == 100


@pytest.mark.parametrize("stream", STREAMS)
def test_rows_fill_every_field_of_the_schema_and_no_other(
    simulator: SimulatorProcess, stream: Stream
) -> None:
    fields = walk(json.loads((SCHEMAS / f"{stream}.json").read_bytes()))
    known = {path for path, node in fields if not node.keys() & {"properties", "items"}}
    known.remove("unmapped_values")
    simulator.replace(Scenario(accounts=(Account(id=SUB, sms=1, voice_calls=1),)))
    (only,) = simulator.truth(stream)
    assert {path for path, _ in leaves(only)} == known, "the first row of an account has them all"
    simulator.replace(MANY)
    rows = simulator.truth(stream)
    assert {path for row in rows for path, _ in leaves(row)} == known
    values = [value for row in rows for value in row.values()]
    assert None in values
    assert [] in values
    assert any(len(row) < len(rows[0]) for row in rows), "a field may be missing"
    assert len({row["engagement_id"] for row in rows}) == len(rows) == 230
    assert "🌵" in json.dumps(rows, ensure_ascii=False)

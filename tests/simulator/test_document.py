"""The simulator's answers are those that Zoom's OpenAPI documents allow, and its rows fill them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import hypothesis
import pytest

from simulator.scenario import STREAMS, Account, Scenario
from tests.simulator.caller import MANY, SUB, Client, engagement

if TYPE_CHECKING:
    from collections.abc import Iterator

    import schemathesis

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


def check_document(
    read: dict[str, Any],
    client: Client,
    *modes: schemathesis.GenerationMode,
    every_valid_request_is_accepted: bool,
) -> Counter[str]:
    """Drive the operation with schemathesis, and count the answers and their rows."""
    # Importing it takes longer than most tests do.
    import schemathesis  # noqa: PLC0415
    from schemathesis.core.result import Err  # noqa: PLC0415
    from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: PLC0415

    left_out: list[Any] = [] if every_valid_request_is_accepted else [positive_data_acceptance]
    seen: Counter[str] = Counter()
    (result,) = schemathesis.openapi.from_dict(read).get_all_operations()
    assert not isinstance(result, Err)
    operation = result.ok()
    for mode in modes:

        @hypothesis.settings(
            max_examples=20,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def every_answer_is_documented(case: schemathesis.Case[Any]) -> None:
            answer = case.call_and_validate(
                client.simulator.api_url, headers=client.headers, excluded_checks=left_out
            )
            seen[f"status {answer.status_code}"] += 1
            if answer.status_code == 200:
                rows = next(v for v in answer.json().values() if isinstance(v, list))
                seen["rows"] += len(rows)

        every_answer_is_documented()
    return seen


@pytest.mark.parametrize("endpoint", [*ENGAGEMENTS, "/accounts"])
def test_no_answer_lies_outside_of_the_document(simulator: SimulatorProcess, endpoint: str) -> None:
    from schemathesis import GenerationMode  # noqa: PLC0415

    seen = check_document(
        document(endpoint),
        Client(simulator, replace(MANY, nulls=False)),
        *GenerationMode,
        # The document calls many things valid that Zoom does not: dates are any string there.
        every_valid_request_is_accepted=False,
    )
    assert seen["status 200"]
    assert seen["status 400"]


def narrow(read: dict[str, Any], valid: dict[str, list[str]]) -> None:
    """Let a document admit as parameters only what Zoom's text calls valid, and what exists."""
    ((_, item),) = read["paths"].items()
    # A page token belongs to its query: it cannot be made up.
    kept = [p for p in item["get"]["parameters"] if p["name"] != "next_page_token"]
    item["get"]["parameters"] = kept
    for parameter in kept:
        name, schema = parameter["name"], parameter["schema"]
        parameter["required"] |= name in ("from", "to")
        if name == "page_size":
            schema["minimum"] = 1
        if schema["type"] == "array":
            schema["minItems"] = 1
            schema = schema["items"]
        if name in valid:
            schema.pop("format", None)
            schema["enum"] = valid[name]
        elif schema["type"] == "string" and "enum" not in schema:
            schema.setdefault("pattern", "^[A-Z]+$")


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (["2024-01-02"], ["2024-01-31", "2024-02-02"]),
        (["2024-01-02T00:00:00Z"], ["2024-01-31T12:00:00Z"]),
        (["2024-01-02T00:00:00-08:00"], ["2024-01-31T12:00:00+05:30"]),
    ],
    ids=["dates", "literal Z", "offsets"],
)
@pytest.mark.parametrize("endpoint", ENGAGEMENTS)
def test_what_is_valid_is_accepted_and_its_rows_are_as_documented(
    simulator: SimulatorProcess, endpoint: str, begins: list[str], ends: list[str]
) -> None:
    from schemathesis import GenerationMode  # noqa: PLC0415

    both = engagement("the one", "2024-01-10T10:00:00Z", "2024-01-10T11:00:00Z")
    account = replace(MANY.accounts[0], explicit_sms=(both,), explicit_voice_calls=(both,))
    client = Client(simulator, Scenario(accounts=(account,), nulls=False))
    known = simulator.truth("voice_calls", SUB)[0]
    user, queue = known["agents"][0]["user_id"], known["queues"][0]["cc_queue_id"]
    read = document(endpoint)
    users, queues = [user], [queue, "none"]
    narrow(
        read,
        {
            "accountId": [SUB],
            "from": begins,
            "to": ends,
            "engagement_id": ["the one"],
            **dict.fromkeys(("user_id", "user_ids"), users),
            **dict.fromkeys(("queue_ids", "cc_queue_ids"), queues),
        },
    )
    seen = check_document(
        read,
        client,
        # Checked for Python 3.10, which has no StrEnum, a member looks like plain text.
        cast("GenerationMode", GenerationMode.POSITIVE),
        every_valid_request_is_accepted=True,
    )
    assert seen["rows"]
    assert set(seen) == {"rows", "status 200"}


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

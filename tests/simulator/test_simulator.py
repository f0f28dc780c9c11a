"""The simulator answers as Zoom's documents say, reads and misbehaves as its scenario says.

Every other test trusts the simulator to stand in for Zoom, so it is tested as its callers see it:
as a running process, over HTTP.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import positive_data_acceptance

from simulator.process import SimulatorProcess
from simulator.scenario import (
    STREAMS,
    Account,
    Clock,
    Fault,
    Limits,
    Readings,
    Scenario,
    dump,
    load,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemathesis import Case

    from simulator.scenario import FaultKind, Stream, Told

ROOT = Path(__file__).parents[2]
FACTS = ROOT / "schemas" / "zoom_facts.openapi.json"
SUB = "sUbAcCoUnT000000000001"
OTHER = "sUbAcCoUnT000000000002"
TIMEOUT = 30
RESET = "X-RateLimit-Reset"

Parameters = Mapping[str, str | int | list[str]]
Span = tuple[str, str]
"""The values of ``from`` and ``to``."""
Row = dict[str, Any]


class Client:
    """A caller of the simulator, with an access token."""

    def __init__(self, simulator: SimulatorProcess) -> None:
        self.simulator = simulator
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {simulator.access_token()}"

    def get(self, path: str, parameters: Parameters | None = None) -> requests.Response:
        """Ask for a path below the API's address."""
        return self.session.get(
            self.simulator.api_url + path,
            params=parameters,
            timeout=TIMEOUT,
            allow_redirects=False,
        )

    def engagements(
        self, stream: Stream = "sms", span: Span | None = None, /, **parameters: str | int
    ) -> requests.Response:
        """Ask for a page of the sub account's engagements."""
        times = {} if span is None else {"from": span[0], "to": span[1]}
        return self.get(f"/accounts/{SUB}/contact_center/{stream}", {**times, **parameters})

    def ids(
        self, stream: Stream = "sms", span: Span | None = None, /, **parameters: str | int
    ) -> list[str]:
        """Give the ids on the first page."""
        answer = self.engagements(stream, span, page_size=100, **parameters)
        assert answer.status_code == 200, answer.text
        return [row["engagement_id"] for row in answer.json()[stream]]

    def all_rows(
        self, stream: Stream = "sms", span: Span | None = None, /, **parameters: str | int
    ) -> list[Row]:
        """Read all pages."""
        rows: list[Row] = []
        token = ""
        while True:
            answer = self.engagements(stream, span, next_page_token=token, **parameters)
            assert answer.status_code == 200, answer.text
            rows += answer.json()[stream]
            token = answer.json()["next_page_token"]
            if not token:
                return rows


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as simulator:
        yield simulator


@pytest.fixture
def play(running: SimulatorProcess) -> Iterator[Callable[[Scenario], Client]]:
    """Give a function that serves a scenario and returns a client of it."""
    clients = []

    def serve(scenario: Scenario) -> Client:
        running.replace(scenario)
        clients.append(Client(running))
        return clients[-1]

    yield serve
    for client in clients:
        client.session.close()


def engagement(name: str, start: str, end: str, **fields: object) -> Row:
    """Give an explicit engagement; a time without a day is on 10 January 2024, in UTC."""
    times = [time if "T" in time else f"2024-01-10T{time}Z" for time in (start, end)]
    return {"engagement_id": name, "start_time": times[0], "end_time": times[1], **fields}


def with_engagements(*rows: Row, **changes: Any) -> Scenario:  # noqa: ANN401 - as the scenario's
    """Give a scenario whose sub account has these engagements in both streams."""
    offset = changes.pop("utc_offset_hours", 0.0)
    return Scenario(
        accounts=(
            Account(id=SUB, explicit_sms=rows, explicit_voice_calls=rows, utc_offset_hours=offset),
        ),
        **changes,
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


JANUARY: Span = ("2024-01-02T00:00:00+00:00", "2024-01-30T00:00:00+00:00")
MANY = Scenario(accounts=(Account(id=SUB, sms=230, voice_calls=230),))

# --- The facts of Zoom's OpenAPI documents ------------------------------------------------------


ENGAGEMENTS = [f"/accounts/{{accountId}}/contact_center/{stream}" for stream in STREAMS]


def document(endpoint: str) -> dict[str, Any]:
    """Read what Zoom's documents say of an endpoint, and let it say what holds for every endpoint.

    Any endpoint can answer the errors that the documents list for some. Every request has a token
    (what happens without is tested below), and the account is one that exists.
    """
    read: dict[str, Any] = json.loads(FACTS.read_bytes())
    read["paths"] = {endpoint: read["paths"][endpoint]}
    for operation in read["paths"].values():
        for status in ("400", "401", "404"):
            operation["get"]["responses"].setdefault(status, {"description": "Any error."})
        for parameter in operation["get"]["parameters"]:
            if parameter["name"] == "accountId":
                parameter["schema"]["enum"] = [SUB]
    return read


def check_document(
    read: dict[str, Any],
    simulator: SimulatorProcess,
    *modes: schemathesis.GenerationMode,
    every_valid_request_is_accepted: bool,
) -> Counter[str]:
    """Drive every operation with schemathesis, and count the answers and their rows."""
    headers = {"Authorization": f"Bearer {simulator.access_token()}"}
    left_out: list[Any] = [] if every_valid_request_is_accepted else [positive_data_acceptance]
    seen: Counter[str] = Counter()
    for result in schemathesis.openapi.from_dict(read).get_all_operations():
        assert not isinstance(result, Err)
        operation = result.ok()
        for mode in modes:

            @hypothesis.settings(
                max_examples=20,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def every_answer_is_documented(case: Case[Any]) -> None:
                answer = case.call_and_validate(
                    simulator.api_url, headers=headers, excluded_checks=left_out
                )
                seen[f"status {answer.status_code}"] += 1
                if answer.status_code == 200:
                    rows = next(v for v in answer.json().values() if isinstance(v, list))
                    seen["rows"] += len(rows)

            every_answer_is_documented()
    return seen


@pytest.mark.parametrize("endpoint", [*ENGAGEMENTS, "/accounts"])
def test_no_answer_lies_outside_of_the_document(
    endpoint: str, play: Callable[[Scenario], Client]
) -> None:
    simulator = play(replace(MANY, nulls=False)).simulator
    seen = check_document(
        document(endpoint),
        simulator,
        *schemathesis.GenerationMode,
        # The document calls many things valid that Zoom does not: dates are any string there.
        every_valid_request_is_accepted=False,
    )
    assert seen["status 200"]
    assert seen["status 400"]


def narrow(read: dict[str, Any], valid: dict[str, list[str]]) -> None:
    """Let a document admit as parameters only what Zoom's text calls valid, and what exists."""
    for operation in read["paths"].values():
        # A page token belongs to its query: it cannot be made up.
        kept = [p for p in operation["get"]["parameters"] if p["name"] != "next_page_token"]
        operation["get"]["parameters"] = kept
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
    endpoint: str, begins: list[str], ends: list[str], play: Callable[[Scenario], Client]
) -> None:
    both = engagement("the one", "2024-01-10T10:00:00Z", "2024-01-10T11:00:00Z")
    account = replace(MANY.accounts[0], explicit_sms=(both,), explicit_voice_calls=(both,))
    simulator = play(Scenario(accounts=(account,), nulls=False)).simulator
    known = simulator.truth("voice_calls", SUB)[0]
    user, queue = known["agents"][0]["user_id"], known["queues"][0]["cc_queue_id"]
    read = document(endpoint)
    narrow(
        read,
        {
            "accountId": [SUB],
            "from": begins,
            "to": ends,
            "engagement_id": ["the one"],
            "user_id": [user],
            "user_ids": [user],
            "queue_ids": [queue, "none"],
            "cc_queue_ids": [queue, "none"],
        },
    )
    seen = check_document(
        read,
        simulator,
        # Checked for Python 3.10, which has no StrEnum, a member looks like plain text.
        cast("schemathesis.GenerationMode", schemathesis.GenerationMode.POSITIVE),
        every_valid_request_is_accepted=True,
    )
    assert seen["rows"]
    assert set(seen) == {"rows", "status 200"}


# --- Rows ---------------------------------------------------------------------------------------


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
    stream: Stream, play: Callable[[Scenario], Client]
) -> None:
    schema = json.loads((ROOT / "schemas" / f"{stream}.json").read_bytes())
    # One column is the tap's own.
    known = set(declared(schema)) - {".unmapped_values"}
    rows = play(MANY).simulator.truth(stream)
    assert {path for row in rows for path in filled(row)} == known
    (only,) = play(Scenario(accounts=(Account(id=SUB, sms=1, voice_calls=1),))).simulator.truth(
        stream
    )
    assert set(filled(only)) == known


@pytest.mark.parametrize("stream", STREAMS)
def test_rows_are_as_varied_as_real_ones(
    stream: Stream, play: Callable[[Scenario], Client]
) -> None:
    rows = play(MANY).simulator.truth(stream)
    durations = [
        datetime.fromisoformat(row["end_time"]) - datetime.fromisoformat(row["start_time"])
        for row in rows
    ]
    assert len({row["engagement_id"] for row in rows}) == len(rows) == 230
    assert max(durations) > timedelta(hours=6)
    assert max(durations) <= timedelta(days=2)
    assert any(value is None for row in rows for value in row.values())
    assert any(value == [] for row in rows for value in row.values())
    assert any(len(row) < len(rows[0]) for row in rows)
    assert "🌵" in json.dumps(rows, ensure_ascii=False)


def test_the_same_seed_gives_the_same_engagements_and_another_seed_others(
    play: Callable[[Scenario], Client],
) -> None:
    first = play(MANY).simulator.truth("sms")
    assert play(replace(MANY, seed=2)).simulator.truth("sms") != first
    assert play(MANY).simulator.truth("sms") == first


def test_nulls_can_be_switched_off(
    play: Callable[[Scenario], Client],
) -> None:
    rows = play(replace(MANY, nulls=False)).simulator.truth("voice_calls")
    text = json.dumps(rows)
    assert "null" not in text


@pytest.mark.parametrize("stream", STREAMS)
def test_the_pages_together_are_the_truth(
    stream: Stream, play: Callable[[Scenario], Client]
) -> None:
    client = play(replace(MANY, readings=Readings(sms_times="offset", order="start_ascending")))
    spans = [
        ("2024-01-01T00:00:00+00:00", "2024-01-31T00:00:00+00:00"),
        ("2024-01-31T00:00:01+00:00", "2024-02-12T00:00:00+00:00"),
    ]
    detail = {"view_type": "detail"} if stream == "voice_calls" else {}
    rows = [
        {"account_id": SUB, **row}
        for span in spans
        for row in client.all_rows(stream, span, page_size=100, **detail)
    ]
    assert rows == client.simulator.truth(stream, SUB)


def test_details_come_only_when_they_are_asked_for(play: Callable[[Scenario], Client]) -> None:
    client = play(MANY)
    summaries = client.all_rows("voice_calls", JANUARY)
    details = client.all_rows("voice_calls", JANUARY, view_type="detail")
    assert all(row.pop("voice_call_details") for row in details)
    assert summaries == details


def test_durations_are_those_between_the_times_in_rows_and_their_details(
    play: Callable[[Scenario], Client],
) -> None:
    checked = Counter[bool]()
    for row in play(replace(MANY, nulls=False)).simulator.truth("voice_calls"):
        for call in (row, *row["voice_call_details"]):
            if {"start_time", "end_time", "total_duration"} <= call.keys():
                begin, end = (
                    datetime.fromisoformat(call[name]) for name in ("start_time", "end_time")
                )
                assert call["total_duration"] == (end - begin).total_seconds()
                checked[call is row] += 1
    assert checked[True] > 200
    assert checked[False] > 300


def test_truth_and_counts_hold_what_is_visible_in_every_account(
    play: Callable[[Scenario], Client],
) -> None:
    ended = engagement("ended", "10:00:00", "11:00:00")
    going_on = engagement("going on", "10:30:00", "23:00:00")
    simulator = play(
        Scenario(
            accounts=(
                Account(id=SUB, explicit_sms=(ended, going_on)),
                Account(id=OTHER, explicit_sms=(going_on,)),
            ),
            clock=Clock(now=at("2024-01-10T12:00:00")),
        )
    ).simulator
    visible = simulator.truth("sms")
    assert visible == [
        {
            "account_id": SUB,
            "engagement_id": "ended",
            "start_time": "2024-01-10T10:00:00+00:00",
            "end_time": "2024-01-10T11:00:00+00:00",
        }
    ]
    counts = {(c.stream, c.account_id): c for c in simulator.counts()}
    assert counts["sms", SUB].rows == 1
    assert counts["sms", SUB].first_start_time == "2024-01-10T10:00:00+00:00"
    assert counts["sms", OTHER].rows == 0
    assert counts["sms", OTHER].last_start_time is None


# --- Authorization ------------------------------------------------------------------------------


def ask_for_token(simulator: SimulatorProcess, **changes: Any) -> requests.Response:  # noqa: ANN401
    scenario = simulator.scenario
    form = {"grant_type": "account_credentials", "account_id": scenario.account_id}
    request: dict[str, Any] = {
        "data": form,
        "auth": (scenario.client_id, scenario.client_secret),
        **changes,
    }
    return requests.post(simulator.token_url, timeout=TIMEOUT, **request)


def test_a_token_comes_with_all_that_zoom_says_about_it(play: Callable[[Scenario], Client]) -> None:
    simulator = play(Scenario(scopes=("a:b", "c:d"))).simulator
    answer = ask_for_token(simulator).json()
    assert answer.pop("access_token")
    assert answer == {
        "token_type": "bearer",
        "expires_in": 3600,
        "scope": "a:b c:d",
        "api_url": simulator.url,
    }


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"auth": ("nobody", "nothing")}, "invalid_client"),
        ({"auth": None}, "invalid_client"),
        ({"data": {"grant_type": "client_credentials"}}, "unsupported_grant_type"),
        (
            {"data": {"grant_type": "account_credentials", "account_id": "another"}},
            "invalid_request",
        ),
        ({"data": None, "params": {"grant_type": "account_credentials"}}, "unsupported_grant_type"),
    ],
)
def test_a_wrong_request_for_a_token_is_refused(
    changes: dict[str, Any], error: str, play: Callable[[Scenario], Client]
) -> None:
    answer = ask_for_token(play(Scenario()).simulator, **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic wrong"])
def test_a_request_without_a_living_token_is_refused(
    authorization: str | None, play: Callable[[Scenario], Client]
) -> None:
    client = play(MANY)
    client.session.headers["Authorization"] = authorization or ""
    answer = client.engagements()
    assert (answer.status_code, answer.json()["code"]) == (401, 124)


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/accounts", "account:read:list_sub_accounts:master"),
        (f"/accounts/{SUB}/contact_center/sms", "contact_center:read:sms_log:master"),
        (
            f"/accounts/{SUB}/contact_center/voice_calls",
            "contact_center:read:voice_call_log:master",
        ),
        ("/contact_center/sms", "contact_center:read:sms_log:admin"),
        ("/contact_center/voice_calls", "contact_center:read:voice_call_log:admin"),
    ],
)
def test_each_endpoint_needs_its_scope(
    path: str, scope: str, play: Callable[[Scenario], Client]
) -> None:
    assert play(replace(MANY, scopes=(scope,))).get(path).status_code == 200
    others = tuple(name for name in MANY.scopes if name != scope)
    answer = play(replace(MANY, scopes=others)).get(path)
    assert (answer.status_code, answer.json()) == (
        400,
        {"code": 4711, "message": f"Invalid access token, does not contain scopes:[{scope}]."},
    )


# --- Accounts -----------------------------------------------------------------------------------


def test_the_list_holds_the_listed_sub_accounts_in_pages(
    play: Callable[[Scenario], Client],
) -> None:
    accounts = [Account(id=f"account {number}") for number in range(5)]
    own = Account(id=Scenario().account_id)
    hidden = Account(id="hidden", listed=False)
    client = play(Scenario(accounts=(*accounts, own, hidden)))
    first = client.get("/accounts", {"page_size": 3}).json()
    second = client.get(
        "/accounts", {"page_size": 3, "next_page_token": first["next_page_token"]}
    ).json()
    listed = [account["id"] for page in (first, second) for account in page["accounts"]]
    assert listed == [account.id for account in accounts]
    assert (first["total_records"], first["page_count"], second["next_page_token"]) == (5, 2, "")
    assert client.get("/accounts", {"page_size": 301}).status_code == 400


def test_own_engagements_are_only_at_the_ordinary_endpoints(
    play: Callable[[Scenario], Client],
) -> None:
    own = Scenario().account_id
    client = play(Scenario(accounts=(Account(id=own, sms=3, voice_calls=4),)))
    january = {"from": JANUARY[0], "to": "2024-02-02T00:00:00+00:00"}
    for stream in STREAMS:
        answer = client.get(f"/contact_center/{stream}", january).json()
        assert answer["total_records"] == len(answer[stream])
        ids = {row["engagement_id"] for row in client.simulator.truth(stream, own)}
        assert {row["engagement_id"] for row in answer[stream]} <= ids
    refused = client.get(f"/accounts/{own}/contact_center/sms")
    assert (refused.status_code, refused.json()["code"]) == (404, 2001)


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\x07b", "a\r\nb"])
def test_an_id_may_hold_control_characters(name: str, play: Callable[[Scenario], Client]) -> None:
    client = play(Scenario(accounts=(Account(id=name, sms=3),)))
    assert [row["id"] for row in client.get("/accounts").json()["accounts"]] == [name]
    answer = client.get(
        f"/accounts/{quote(name)}/contact_center/sms", {"from": "2024-01-01", "to": "2024-01-31"}
    )
    assert answer.json()["total_records"] == len(answer.json()["sms"]) > 0


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/accounts/nobody/contact_center/sms", 404, 2001),
        ("/accounts/a%2Fb/contact_center/sms", 400, 2300),
        ("/nowhere", 400, 2300),
    ],
)
def test_a_path_that_leads_nowhere_is_answered_as_zoom_does(
    path: str, status: int, code: int, play: Callable[[Scenario], Client]
) -> None:
    answer = play(MANY).get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


# --- Parameters ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "parameters", "message"),
    [
        ("sms", {"page_size": 0}, "Invalid field."),
        ("sms", {"page_size": 101}, "Invalid field."),
        ("sms", {"page_size": "ten"}, "Invalid field."),
        ("sms", {"direction": "sideways"}, "Invalid field."),
        ("sms", {"view_type": "detail"}, "Invalid field."),
        ("sms", {"unheard_of": "1"}, "Invalid field."),
        ("sms", {"from": "2024-01-02"}, "Invalid field."),
        ("sms", {"from": "2024-01-03", "to": "2024-01-02"}, "Invalid field."),
        ("voice_calls", {"view_type": "full"}, "Invalid field."),
        ("voice_calls", {"types": "external_call,internal_call"}, "Invalid field."),
        ("voice_calls", {"user_ids": ["a", "b"]}, "Invalid field."),
        ("voice_calls", {"region_ids": "a,a"}, "Invalid field."),
        ("voice_calls", {"team_names": ",".join(map(str, range(21)))}, "Invalid field."),
        ("voice_calls", {"sub_types": "a_new_one"}, "Invalid field."),
        ("sms", {"from": "2024-01-02", "to": "2024-02-03"}, "1-month limit"),
        ("sms", {"from": "yesterday", "to": "2024-02-03"}, "must be in"),
        ("sms", {"from": "2024-02-30", "to": "2024-03-03"}, "must be in"),
        ("sms", {"from": "2024-01-02", "to": "2024-01-03T00:00:00Z"}, "must be in"),
        ("sms", {"from": "2024-01-02T00:00:00 00:00", "to": "2024-01-03"}, "must be in"),
        ("sms", {"from": "2024-01-02T00:00:00.5Z", "to": "2024-01-03"}, "must be in"),
    ],
)
def test_a_wrong_parameter_is_refused(
    stream: Stream, parameters: Parameters, message: str, play: Callable[[Scenario], Client]
) -> None:
    answer = play(MANY).get(f"/accounts/{SUB}/contact_center/{stream}", parameters)
    assert (answer.status_code, answer.json()["code"]) == (400, 300)
    assert message in answer.json()["message"]


@pytest.mark.parametrize(
    ("stream", "parameter", "code"),
    [
        ("sms", "user_id", 1001),
        ("sms", "engagement_id", 2901),
        ("voice_calls", "user_ids", 1001),
        ("voice_calls", "queue_ids", 1201),
        ("voice_calls", "cc_queue_ids", 1201),
        ("voice_calls", "engagement_id", 2901),
    ],
)
def test_a_filter_that_names_something_unknown_is_refused(
    stream: Stream, parameter: str, code: int, play: Callable[[Scenario], Client]
) -> None:
    answer = play(MANY).engagements(stream, **{parameter: "unheard-of"})
    assert (answer.status_code, answer.json()["code"]) == (404, code)


def named(row: Row, listed: str, field: str) -> list[Any]:
    return [item.get(field) for item in row.get(listed) or ()]


FILTERS: list[tuple[Stream, Parameters, Callable[[Row], bool]]] = [
    ("sms", {"direction": "inbound"}, lambda row: row.get("direction") == "inbound"),
    (
        "sms",
        {"country_iso_codes": ["DE", "JP"]},
        lambda row: row.get("country_name") in ("Germany", "日本"),
    ),
    (
        "voice_calls",
        {"types": ["external_call", "internal_call"]},
        lambda row: bool({"external_call", "internal_call"} & set(row.get("types") or ())),
    ),
    ("voice_calls", {"distribution": "acd"}, lambda row: "acd" in (row.get("distributions") or ())),
    (
        "voice_calls",
        {"number_types": ["byoc_number"]},
        lambda row: "byoc_number" in (row.get("caller_number_type"), row.get("callee_number_type")),
    ),
    ("voice_calls", {"cc_queue_ids": "none"}, lambda row: not row.get("queues")),
    (
        "voice_calls",
        {"region_names": "Main Region,北"},
        lambda row: bool({"Main Region", "北"} & set(named(row, "agents", "user_region"))),
    ),
    (
        "voice_calls",
        {"sub_types": "internal_warm_transfer_call,internal_warm_conference_call"},
        lambda row: bool(
            {"internal_warm_transfer_call", "internal_warm_conference_call"}
            & set(row.get("sub_types") or ())
        ),
    ),
]


@pytest.mark.parametrize(("stream", "parameters", "matches"), FILTERS)
def test_a_filter_lets_through_what_matches_and_nothing_else(
    stream: Stream,
    parameters: Parameters,
    matches: Callable[[Row], bool],
    play: Callable[[Scenario], Client],
) -> None:
    client = play(MANY)
    span: Parameters = {"page_size": 100, "from": "2024-01-02", "to": "2024-01-12"}
    path = f"/accounts/{SUB}/contact_center/{stream}"
    everything = client.get(path, span).json()[stream]
    kept = client.get(path, {**span, **parameters}).json()[stream]
    assert kept == [row for row in everything if matches(row)]
    assert 0 < len(kept) < len(everything)


def test_without_a_range_the_last_24_hours_are_answered(play: Callable[[Scenario], Client]) -> None:
    rows = (
        engagement("too old", "2024-01-09T11:59:59Z", "2024-01-09T12:00:00Z"),
        engagement("new", "2024-01-09T12:00:00Z", "2024-01-09T12:00:00Z"),
    )
    client = play(with_engagements(*rows, clock=Clock(now=at("2024-01-10T12:00:00"))))
    answer = client.engagements().json()
    assert [row["engagement_id"] for row in answer["sms"]] == ["new"]
    assert answer["page_size"] == 10
    assert answer["from"] == "2024-01-09T12:00:00+00:00"
    assert answer["to"] == "2024-01-10T12:00:00+00:00"


# --- Readings of what Zoom leaves open ----------------------------------------------------------

BEFORE = engagement("ends at from", "08:00:00", "10:00:00")
ACROSS = engagement("across all", "08:30:00", "13:00:00")
FIRST = engagement("starts at from", "10:00:00", "10:20:00")
INSIDE = engagement("inside", "10:30:00", "11:00:00")
OVER = engagement("over to", "11:00:00", "12:30:00")
AFTER = engagement("starts at to", "12:00:00", "12:30:00")
LAST = engagement("ends at to", "11:30:00", "12:00:00")
SPAN: Span = ("2024-01-10T10:00:00+00:00", "2024-01-10T12:00:00+00:00")
ROWS = (BEFORE, ACROSS, FIRST, INSIDE, OVER, AFTER, LAST)
NO_EDGE: dict[str, Any] = {"from_inclusive": False, "to_inclusive": False}


def ids_of(*rows: Row) -> set[str]:
    return {row["engagement_id"] for row in rows}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(
    ("readings", "selected"),
    [
        (Readings(selects_on="start"), (FIRST, INSIDE, OVER, LAST, AFTER)),
        (Readings(selects_on="start", to_inclusive=False), (FIRST, INSIDE, OVER, LAST)),
        (Readings(selects_on="start", from_inclusive=False), (INSIDE, OVER, LAST, AFTER)),
        (Readings(selects_on="start", **NO_EDGE), (INSIDE, OVER, LAST)),
        (Readings(selects_on="end"), (BEFORE, FIRST, INSIDE, LAST)),
        (Readings(selects_on="end", to_inclusive=False), (BEFORE, FIRST, INSIDE)),
        (Readings(selects_on="end", from_inclusive=False), (FIRST, INSIDE, LAST)),
        (Readings(selects_on="end", **NO_EDGE), (FIRST, INSIDE)),
        (Readings(selects_on="overlap"), ROWS),
        (
            Readings(selects_on="overlap", from_inclusive=False),
            (ACROSS, FIRST, INSIDE, OVER, LAST, AFTER),
        ),
        (Readings(selects_on="overlap", **NO_EDGE), (ACROSS, FIRST, INSIDE, OVER, LAST)),
        (
            Readings(selects_on="overlap", to_inclusive=False),
            (BEFORE, ACROSS, FIRST, INSIDE, OVER, LAST),
        ),
    ],
)
def test_a_range_selects_as_the_reading_says(
    stream: Stream,
    readings: Readings,
    selected: tuple[Row, ...],
    play: Callable[[Scenario], Client],
) -> None:
    client = play(with_engagements(*ROWS, readings=readings))
    ids = client.ids(stream, SPAN)
    assert len(ids) == len(set(ids))
    assert set(ids) == ids_of(*selected)


@pytest.mark.parametrize("stream", STREAMS)
def test_rows_come_in_the_order_of_the_reading(
    stream: Stream, play: Callable[[Scenario], Client]
) -> None:
    by_start = sorted(ROWS, key=lambda row: str(row["start_time"]))
    by_end = sorted(by_start, key=lambda row: str(row["end_time"]))
    orders = {}
    for order in ("start_ascending", "start_descending", "end_ascending", "shuffled"):
        readings = Readings(selects_on="overlap", order=order)
        client = play(with_engagements(*ROWS, readings=readings))
        orders[order] = client.ids(stream, SPAN)
        assert client.ids(stream, SPAN) == orders[order]
    starts = [row["engagement_id"] for row in by_start]
    assert orders["start_ascending"] == starts
    assert orders["start_descending"] == starts[::-1]
    assert orders["end_ascending"] == [row["engagement_id"] for row in by_end]
    assert sorted(orders["shuffled"]) == sorted(starts)
    assert orders["shuffled"] not in (starts, starts[::-1], orders["end_ascending"])


@pytest.mark.parametrize(
    ("month", "begin", "longest"),
    [
        (28, "2024-01-31", "2024-02-28"),
        (30, "2024-01-31", "2024-03-01"),
        (31, "2024-01-31", "2024-03-02"),
        ("calendar", "2024-01-31", "2024-02-29"),
        ("calendar", "2024-12-15", "2025-01-15"),
    ],
)
def test_the_month_is_as_long_as_the_reading_says(
    month: Any,  # noqa: ANN401 - a number or a word
    begin: str,
    longest: str,
    play: Callable[[Scenario], Client],
) -> None:
    client = play(replace(MANY, readings=Readings(month=month)))
    too_long = (at(longest) + timedelta(seconds=1)).isoformat()
    assert client.engagements("sms", (begin, longest)).status_code == 200
    begin, longest = f"{begin}T00:00:00+00:00", f"{longest}T00:00:00+00:00"
    assert client.engagements("sms", (begin, longest)).status_code == 200
    assert client.engagements("sms", (begin, too_long)).status_code == 400


@pytest.mark.parametrize("stream", STREAMS)
def test_days_only_gives_whole_days_whatever_the_time(
    stream: Stream, play: Callable[[Scenario], Client]
) -> None:
    early = engagement("early", "00:00:00", "00:10:00")
    late = engagement("late", "23:59:59", "2024-01-11T00:30:00Z")
    next_day = engagement("next day", "2024-01-11T00:00:00Z", "2024-01-11T00:10:00Z")
    rows = (early, *ROWS, late, next_day)
    readings = Readings(days_only=True, from_inclusive=False, to_inclusive=False)
    client = play(with_engagements(*rows, readings=readings))
    assert set(client.ids(stream, SPAN)) == ids_of(early, *ROWS, late)
    answer = client.engagements(stream, SPAN).json()
    assert answer["from"] == "2024-01-10T00:00:00+00:00"
    assert answer["to"] == "2024-01-10T23:59:59+00:00"


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("suffix", ["Z", "+00:00", "-08:00"])
def test_where_offsets_are_ignored_the_account_s_own_clock_selects(
    stream: Stream, suffix: str, play: Callable[[Scenario], Client]
) -> None:
    # 10:00 on a clock at +05:30 is 04:30 UTC.
    rows = (
        engagement("before", "04:29:59", "04:30:00"),
        engagement("first", "04:30:00", "04:31:00"),
        engagement("later", "10:00:00", "10:01:00"),
    )
    readings = Readings(offset_ignored=True, sms_times="offset")
    client = play(with_engagements(*rows, readings=readings, utc_offset_hours=5.5))
    begin, end = f"2024-01-10T10:00:00{suffix}", f"2024-01-10T12:00:00{suffix}"
    answer = client.engagements(stream, (begin, end)).json()
    assert [row["engagement_id"] for row in answer[stream]] == ["first"]
    assert (answer["from"], answer["to"]) == (begin, end)
    start = datetime.fromisoformat(answer[stream][0]["start_time"])
    assert start == at("2024-01-10T04:30:00")
    assert answer[stream][0]["start_time"].endswith(suffix.replace("Z", "+00:00"))


@pytest.mark.parametrize(
    ("stream", "sms_times", "suffix", "start"),
    [
        ("voice_calls", "Z", "Z", "2024-01-10T10:00:00+00:00"),
        ("voice_calls", "Z", "-08:00", "2024-01-10T02:00:00-08:00"),
        ("sms", "offset", "-08:00", "2024-01-10T02:00:00-08:00"),
        ("sms", "Z", "-08:00", "2024-01-10T10:00:00Z"),
    ],
)
def test_times_of_rows_are_written_as_documented(
    stream: Stream,
    sms_times: Any,  # noqa: ANN401 - one of two words
    suffix: str,
    start: str,
    play: Callable[[Scenario], Client],
) -> None:
    client = play(with_engagements(FIRST, readings=Readings(sms_times=sms_times)))
    begin, end = f"2024-01-10T01:00:00{suffix}", f"2024-01-10T20:00:00{suffix}"
    rows = client.engagements(stream, (begin, end)).json()[stream]
    assert [row["start_time"] for row in rows] == [start]


def test_what_zoom_no_longer_keeps_is_gone_and_the_answer_says_so(
    play: Callable[[Scenario], Client],
) -> None:
    old = engagement("old", "2024-01-03T11:00:00Z", "2024-01-03T12:00:00Z")
    client = play(
        with_engagements(
            old,
            FIRST,
            readings=Readings(history_days_kept=7),
            clock=Clock(now=at("2024-01-11T00:00:00")),
        )
    )
    answer = client.engagements("sms", ("2024-01-01T00:00:00+00:00", SPAN[1])).json()
    assert [row["engagement_id"] for row in answer["sms"]] == ["starts at from"]
    assert answer["from"] == "2024-01-04T00:00:00+00:00"
    assert answer["to"] == SPAN[1]
    assert len(client.simulator.truth("sms")) == 1


@pytest.mark.parametrize(
    ("told", "begin", "end"),
    [
        ("instants", "2024-01-10T10:00:00+05:30", "2024-01-10T12:00:00+05:30"),
        ("instants_z", "2024-01-10T04:30:00Z", "2024-01-10T06:30:00Z"),
        ("instants_of_account", "2024-01-09T23:00:00-05:30", "2024-01-10T01:00:00-05:30"),
        ("clock_of_account_z", "2024-01-09T23:00:00Z", "2024-01-10T01:00:00Z"),
        ("clock_of_account", "2024-01-09T23:00:00", "2024-01-10T01:00:00"),
        ("days", "2024-01-10", "2024-01-10"),
        ("days_of_account", "2024-01-09", "2024-01-10"),
        ("unreadable", "the day before", 12),
        ("nothing", None, None),
    ],
)
def test_an_answer_tells_its_range_as_the_reading_says(
    told: Told,
    begin: str | None,
    end: str | int | None,
    play: Callable[[Scenario], Client],
) -> None:
    readings = Readings(range_told=told)
    client = play(with_engagements(INSIDE, readings=readings, utc_offset_hours=-5.5))
    span = ("2024-01-10T10:00:00+05:30", "2024-01-10T12:00:00+05:30")
    answer = client.engagements("sms", span).json()
    assert (answer.get("from"), answer.get("to")) == (begin, end)


def test_a_long_range_can_be_answered_in_part(play: Callable[[Scenario], Client]) -> None:
    client = play(with_engagements(BEFORE, INSIDE, readings=Readings(days_answered=2)))
    answer = client.engagements("sms", ("2024-01-01T00:00:00Z", "2024-01-12T10:00:00Z")).json()
    assert [row["engagement_id"] for row in answer["sms"]] == ["inside"]
    assert (answer["from"], answer["to"]) == ("2024-01-10T10:00:00Z", "2024-01-12T10:00:00Z")


@pytest.mark.parametrize(
    ("instead", "selected", "begin", "end"),
    [
        ({"hours_shifted": -1}, (BEFORE, INSIDE), "09:00:00", "11:00:00"),
        ({"hours_answered": 1}, (BEFORE, INSIDE), "10:00:00", "11:00:00"),
        ({"hours_shifted": 1, "hours_answered": 0.5}, (INSIDE,), "11:00:00", "11:30:00"),
    ],
)
def test_an_account_can_answer_another_range_and_say_so(
    instead: dict[str, Any],
    selected: tuple[Row, ...],
    begin: str,
    end: str,
    play: Callable[[Scenario], Client],
) -> None:
    account = Account(id=SUB, explicit_sms=(BEFORE, INSIDE, LAST), **instead)
    client = play(Scenario(accounts=(account,), readings=Readings(selects_on="end")))
    answer = client.engagements("sms", SPAN).json()
    assert {row["engagement_id"] for row in answer["sms"]} == ids_of(*selected)
    assert (answer["from"], answer["to"]) == (
        f"2024-01-10T{begin}+00:00",
        f"2024-01-10T{end}+00:00",
    )


def test_an_account_can_ignore_the_range_that_is_asked_for(
    play: Callable[[Scenario], Client],
) -> None:
    account = Account(id=SUB, explicit_sms=(INSIDE,), ignores_range=True)
    client = play(Scenario(accounts=(account,), clock=Clock(now=at("2024-01-11T00:00:00"))))
    answer = client.engagements("sms", ("2024-01-01", "2024-01-05")).json()
    assert [row["engagement_id"] for row in answer["sms"]] == ["inside"]
    assert answer["from"] == "2024-01-10T00:00:00+00:00"
    assert answer["to"] == "2024-01-11T00:00:00+00:00"


# --- Lists that live while they are read --------------------------------------------------------

EDGE = at("2024-01-10T12:00:00")


def living(order: Any = "start_descending", **changes: Any) -> Scenario:  # noqa: ANN401
    """Give ten engagements that begin hourly; the last of them is listed after the first page."""
    rows = [engagement(f"{n}", f"{n:02}:00:00", f"{n:02}:00:00") for n in range(9)]
    rows.append(engagement("9", "09:00:00", "11:59:30"))
    readings = Readings(order=order, seconds_between_pages=30, **changes)
    return with_engagements(*rows, readings=readings, clock=Clock(now=EDGE))


def pages_of(client: Client) -> list[tuple[str, int]]:
    """Give the ids on each page, written together, and its total."""
    pages, token = [], ""
    while True:
        answer = client.engagements("sms", DAY, page_size=4, next_page_token=token).json()
        ids = "".join(row["engagement_id"] for row in answer["sms"])
        pages.append((ids, answer["total_records"]))
        token = answer["next_page_token"]
        if not token:
            return pages


DAY: Span = ("2024-01-10T00:00:00+00:00", "2024-01-11T00:00:00+00:00")


def test_a_page_is_cut_out_of_the_list_as_it_is_at_that_moment(
    play: Callable[[Scenario], Client],
) -> None:
    assert pages_of(play(living())) == [("8765", 9), ("5432", 10), ("10", 10)]
    assert pages_of(play(living("start_ascending"))) == [("0123", 9), ("4567", 10), ("89", 10)]
    still = replace(living(), readings=Readings())
    assert pages_of(play(still)) == [("8765", 9), ("4321", 9), ("0", 9)]


def test_every_order_of_a_list_that_lives_stays_the_same_for_what_stays(
    play: Callable[[Scenario], Client],
) -> None:
    for order in ("start_ascending", "start_descending", "end_ascending", "shuffled"):
        client = play(living(order))
        before = client.ids("sms", DAY)
        after = client.ids("sms", DAY)
        assert [name for name in after if name in before] == before
        assert set(after) - set(before) == {"9"}


def test_simulated_time_passes_with_the_pages_and_begins_anew_when_the_clock_is_set(
    play: Callable[[Scenario], Client],
) -> None:
    client = play(living())
    assert "9" not in client.ids("sms", DAY)
    assert "9" in client.ids("sms", DAY)
    client.simulator.set_clock(EDGE)
    assert "9" not in client.ids("sms", DAY)


def test_an_account_drops_out_of_the_list_between_two_of_its_pages(
    play: Callable[[Scenario], Client],
) -> None:
    first, *others = (Account(id=f"a{number}") for number in range(5))
    scenario = Scenario(
        accounts=(replace(first, listed_until=EDGE + timedelta(seconds=30)), *others),
        readings=Readings(seconds_between_pages=30),
        clock=Clock(now=EDGE),
    )
    client = play(scenario)
    one = client.get("/accounts", {"page_size": 2}).json()
    token = one["next_page_token"]
    two = client.get("/accounts", {"page_size": 2, "next_page_token": token}).json()
    assert [row["id"] for row in one["accounts"] + two["accounts"]] == ["a0", "a1", "a3", "a4"]
    assert (one["total_records"], two["total_records"]) == (5, 4)
    assert client.simulator.truth("sms", "a0") == [], "it is still there"


# --- Clock --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", STREAMS)
def test_an_engagement_appears_a_minute_after_its_end(
    stream: Stream, play: Callable[[Scenario], Client]
) -> None:
    client = play(with_engagements(INSIDE, clock=Clock(now=at("2024-01-10T11:00:59"))))
    assert client.ids(stream, SPAN) == []
    assert client.simulator.truth(stream) == []
    client.simulator.set_clock(at("2024-01-10T11:01:00"))
    assert client.ids(stream, SPAN) == ["inside"]
    assert len(client.simulator.truth(stream)) == 1


def test_a_running_clock_can_be_ahead_of_the_machine_s(play: Callable[[Scenario], Client]) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    soon = now + timedelta(hours=1)
    row = engagement("soon", f"{now:%Y-%m-%dT%H:%M:%SZ}", f"{soon:%Y-%m-%dT%H:%M:%SZ}")
    client = play(with_engagements(row))
    assert client.ids() == []
    client.simulator.set_clock(None, offset_seconds=7200)
    assert client.ids() == ["soon"]


# --- Page tokens --------------------------------------------------------------------------------


def test_a_page_token_holds_for_its_query_only(play: Callable[[Scenario], Client]) -> None:
    client = play(MANY)
    token = client.engagements("sms", JANUARY).json()["next_page_token"]
    assert client.engagements("sms", JANUARY, next_page_token=token).status_code == 200
    for answer in (
        client.engagements(next_page_token=token),
        client.engagements("sms", JANUARY, next_page_token=token, page_size=20),
        client.engagements("voice_calls", JANUARY, next_page_token=token),
        client.engagements("sms", JANUARY, next_page_token="made up"),
    ):
        assert answer.status_code == 400
        assert answer.json() == {
            "code": 300,
            "message": "The next page token is invalid or expired.",
        }


def test_the_last_page_has_an_empty_token_and_every_page_the_total(
    play: Callable[[Scenario], Client],
) -> None:
    client = play(with_engagements(*ROWS))
    first = client.engagements("sms", SPAN, page_size=4).json()
    last = client.engagements(
        "sms", SPAN, page_size=4, next_page_token=first["next_page_token"]
    ).json()
    assert (len(first["sms"]), len(last["sms"]), last["next_page_token"]) == (4, 1, "")
    assert first["total_records"] == last["total_records"] == 5
    exact = client.engagements("sms", SPAN, page_size=5).json()
    assert (len(exact["sms"]), exact["next_page_token"]) == (5, "")


# --- Limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [True, False])
def test_requests_above_the_limit_of_a_second_are_refused(
    reset: bool,  # noqa: FBT001 - pytest passes it by name
    play: Callable[[Scenario], Client],
) -> None:
    client = play(replace(MANY, limits=Limits(requests_per_second=3, reset=reset)))
    # The fourth may come more than a second after the first on a busy machine, but not all of 50.
    answers = [client.engagements(("sms", "voice_calls")[n % 2]) for n in range(50)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].json()["code"] == 429
    assert "per-second" in refused[0].json()["message"]
    assert "Retry-After" not in refused[0].headers
    assert "X-RateLimit-Type" in refused[0].headers
    assert (RESET in refused[0].headers) is reset
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert client.get("/accounts").status_code == 200
    stats = client.simulator.stats()
    assert stats.rate_limited == len(refused)
    assert 3 < stats.most_requests_in_one_second <= 50


def test_requests_above_the_limit_of_a_day_are_refused_until_midnight(
    play: Callable[[Scenario], Client],
) -> None:
    client = play(
        replace(
            MANY,
            limits=Limits(requests_per_day=2),
            clock=Clock(now=at("2024-02-11T18:00:00")),
        )
    )
    answers = [client.engagements() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "daily" in answers[2].json()["message"]
    assert answers[2].headers.get("Retry-After") == "2024-02-12T00:00:00Z"
    assert answers[2].headers.get("X-RateLimit-Type") == "Daily-limit"
    client.simulator.set_clock(at("2024-02-12T00:00:00"))
    assert client.engagements().status_code == 200


# --- Faults -------------------------------------------------------------------------------------


def play_fault(
    play: Callable[[Scenario], Client],
    kind: FaultKind,
    **options: Any,  # noqa: ANN401 - as the fault's
) -> Client:
    fault = Fault(kind=kind, **{"endpoint": "sms", **options})
    client = play(replace(MANY, faults=(fault,)))
    client.simulator.reset_stats()
    return client


def test_a_429_by_the_second_can_say_when_it_ends(play: Callable[[Scenario], Client]) -> None:
    def told(**options: Any) -> str | None:  # noqa: ANN401 - as the fault's
        return play_fault(play, "429_per_second", **options).engagements().headers.get(RESET)

    assert told() is None
    assert told(reset="soon") == "soon"
    now = time.time()
    assert now + 30 <= int(told(reset=30.0) or 0) <= time.time() + 31


def test_a_body_can_begin_with_a_byte_order_mark(play: Callable[[Scenario], Client]) -> None:
    body = play_fault(play, "byte_order_mark").engagements("sms", JANUARY).content
    assert body.startswith(b"\xef\xbb\xbf{")
    assert json.loads(body.decode("utf-8-sig"))["sms"]


def test_a_page_token_can_expire_early_in_either_wording(
    play: Callable[[Scenario], Client],
) -> None:
    client = play_fault(play, "page_token_expired")
    token = client.engagements("sms", JANUARY).json()["next_page_token"]
    answers = [client.engagements("sms", JANUARY, next_page_token=token) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {400}
    assert {answer.json()["message"] for answer in answers} == {
        "The next page token is invalid or expired.",
        "The next page token is either invalid or has expired.",
    }


def test_a_token_after_the_last_page_leads_to_an_empty_one(
    play: Callable[[Scenario], Client],
) -> None:
    client = play_fault(play, "token_after_last_page", requests=(1,))
    begin, end = "2024-01-08T00:00:00+00:00", "2024-01-08T12:00:00+00:00"
    last = client.engagements("sms", (begin, end), page_size=100).json()
    assert last["sms"]
    token = last["next_page_token"]
    assert token
    after = client.engagements("sms", (begin, end), page_size=100, next_page_token=token).json()
    assert (after["sms"], after["next_page_token"]) == ([], "")


@pytest.mark.parametrize(
    ("kind", "token"),
    [("zero_as_last_token", 0), ("false_as_last_token", False), ("null_as_last_token", None)],
)
def test_the_last_page_can_say_in_other_words_that_none_follows(
    kind: FaultKind, token: object, play: Callable[[Scenario], Client]
) -> None:
    answer = play_fault(play, kind).engagements("sms", ("2024-01-08", "2024-01-08"), page_size=100)
    last = answer.json()
    assert last["sms"]
    assert last["next_page_token"] is token


@pytest.mark.parametrize(
    ("kind", "key"),
    [("missing_next_page_token", "next_page_token"), ("missing_total_records", "total_records")],
)
def test_a_key_of_the_answer_can_be_missing(
    kind: FaultKind, key: str, play: Callable[[Scenario], Client]
) -> None:
    assert key not in play_fault(play, kind).engagements().json()


@pytest.mark.parametrize(("kind", "by"), [("total_too_high", 2), ("total_too_low", -2)])
def test_the_total_can_be_wrong_for_good(
    kind: FaultKind, by: int, play: Callable[[Scenario], Client]
) -> None:
    right = len(play(MANY).all_rows("sms", JANUARY))
    client = play_fault(play, kind, by=abs(by))
    totals = {client.engagements("sms", JANUARY).json()["total_records"] for _ in range(3)}
    assert totals == {right + by}
    assert len(client.all_rows("sms", JANUARY)) == right


def test_the_total_can_be_a_multiple(play: Callable[[Scenario], Client]) -> None:
    right = play(MANY).engagements("sms", JANUARY).json()["total_records"]
    client = play_fault(play, "total_too_high", by=0, times=3)
    assert client.engagements("sms", JANUARY).json()["total_records"] == 3 * right


def test_rows_can_come_twice_in_a_page_and_on_the_next(play: Callable[[Scenario], Client]) -> None:
    right = [row["engagement_id"] for row in play(MANY).all_rows("sms", JANUARY)]
    client = play_fault(play, "duplicate_rows")
    pages = []
    token = ""
    while True:
        answer = client.engagements("sms", JANUARY, next_page_token=token).json()
        pages.append([row["engagement_id"] for row in answer["sms"]])
        token = answer["next_page_token"]
        if not token:
            break
    assert {name for page in pages for name in page} == set(right)
    assert any(len(set(page)) < len(page) for page in pages)
    assert any(set(one) & set(two) for one, two in pairwise(pages))


def test_a_row_that_moves_is_missed_once_and_there_when_read_again(
    play: Callable[[Scenario], Client],
) -> None:
    seen = set()
    for seed in range(6):
        scenario = replace(MANY, seed=seed, faults=(Fault(kind="rows_shift", limit=1),))
        client = play(scenario)
        moved, right = client.all_rows("sms", JANUARY), client.all_rows("sms", JANUARY)
        ids = {row["engagement_id"] for row in moved}
        assert len(ids) == len(right) - 1
        assert all(row in right for row in moved)
        seen.add("one skipped" if len(moved) < len(right) else "one skipped, one repeated")
    assert seen == {"one skipped", "one skipped, one repeated"}


@pytest.mark.parametrize(
    ("kind", "spoiled"),
    [
        ("new_field", lambda row: row.get("new_field") == {"since": "today"}),
        ("null_fields", lambda row: row.get("direction", 0) is None and row["start_time"]),
        ("wrong_type", lambda row: any(type(v) is str and v.isdigit() for v in row.values())),
        ("other_value", lambda row: row["consumer_display_name"] == "Another Name"),
        ("missing_engagement_id", lambda row: "engagement_id" not in row),
        ("missing_start_time", lambda row: "start_time" not in row),
    ],
)
def test_one_row_of_a_page_can_be_wrong(
    kind: FaultKind, spoiled: Callable[[Row], bool], play: Callable[[Scenario], Client]
) -> None:
    rows = (
        play_fault(play, kind, requests=(1,))
        .engagements("sms", JANUARY, page_size=100)
        .json()["sms"]
    )
    right = play(MANY).engagements("sms", JANUARY, page_size=100).json()["sms"]
    changed = [row for row, other in zip(rows, right, strict=True) if row != other]
    assert len(changed) == 1
    assert spoiled(changed[0])


def test_a_fault_strikes_the_requests_it_names_at_the_endpoint_and_account_it_names(
    play: Callable[[Scenario], Client],
) -> None:
    fault = Fault(kind="500_json", endpoint="sms", account_id=SUB, requests=(2, 4))
    other = Account(id=OTHER)
    client = play(replace(MANY, accounts=(*MANY.accounts, other), faults=(fault,)))
    assert client.engagements("voice_calls").status_code == 200
    assert client.get(f"/accounts/{OTHER}/contact_center/sms").status_code == 200
    statuses = [client.engagements().status_code for _ in range(5)]
    assert statuses == [200, 500, 200, 500, 200]


def test_a_fault_by_chance_strikes_alike_for_the_same_seed(
    play: Callable[[Scenario], Client],
) -> None:
    def statuses(seed: int) -> list[int]:
        fault = Fault(kind="503_json", endpoint="sms", probability=0.5)
        client = play(replace(MANY, seed=seed, faults=(fault,)))
        return [client.engagements().status_code for _ in range(20)]

    assert statuses(1) == statuses(1)
    assert statuses(1) != statuses(2)
    assert set(statuses(1)) == {200, 503}


# --- Control, scenario and process --------------------------------------------------------------


def test_the_statistics_tell_what_was_asked_by_whom(play: Callable[[Scenario], Client]) -> None:
    client = play(MANY)
    client.simulator.reset_stats()
    ask_for_token(client.simulator)
    answer = client.engagements("sms", JANUARY).json()
    client.engagements("voice_calls", page_size=0)
    client.get("/accounts")
    stats = client.simulator.stats()
    assert stats.requests == {
        "token": {"": 1},
        "sms": {SUB: 1},
        "voice_calls": {SUB: 1},
        "accounts": {"": 1},
    }
    assert stats.rows["sms"] == {SUB: len(answer["sms"])}
    assert stats.statuses == {"200": 3, "400": 1}
    assert stats.tokens_issued == 1
    assert stats.bearer_requests == {"sms": 1, "voice_calls": 1, "accounts": 1}
    assert stats.bearer_tokens == {"sms": 1, "voice_calls": 1, "accounts": 1}
    entry = stats.log[1]
    assert entry.path == f"/v2/accounts/{SUB}/contact_center/sms"
    assert "from=2024-01-02T00%3A00%3A00%2B00%3A00" in entry.query
    assert (entry.endpoint, entry.account_id, entry.status) == ("sms", SUB, 200)
    client.simulator.reset_stats()
    assert client.simulator.stats().log == []


def test_a_new_scenario_begins_with_new_tokens(play: Callable[[Scenario], Client]) -> None:
    client = play(MANY)
    client.simulator.replace(replace(MANY, readings=Readings(order="shuffled")))
    assert client.engagements().status_code == 401


def test_a_scenario_survives_being_written_and_read() -> None:
    scenario = replace(
        with_engagements(*ROWS, clock=Clock(now=at("2024-01-10T12:00:00"))),
        faults=(Fault(kind="slow", requests=(1, 2)),),
    )
    assert load(dump(scenario)) == scenario


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b'{"sede": 1}', "unknown sede"),
        (b'{"readings": {"select_on": "end"}}', "unknown select_on"),
        (b'{"faults": [{"kind": "500_json", "when": 1}]}', "unknown when"),
        (b'{"readings": {"selects_on": "middle"}}', "selects_on"),
        (b'{"faults": [{"kind": "no such"}]}', "kind"),
        (b'{"accounts": [{"id": "a"}, {"id": "a"}]}', "same id"),
        (b'{"accounts": [{"id": "a", "explicit_sms": [{}]}]}', "engagement_id"),
        (b'{"history_end": "2023-01-01T00:00:00Z"}', "history_end"),
        (b"nonsense", "malformed"),
    ],
)
def test_a_wrong_scenario_is_refused_with_the_reason(text: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        load(text)


def test_a_running_simulator_refuses_a_wrong_scenario_and_clock(running: SimulatorProcess) -> None:
    for method, name in (("PUT", "scenario"), ("PATCH", "clock")):
        answer = requests.request(
            method, f"{running.url}/_simulator/{name}", data=b'{"now": 3}', timeout=TIMEOUT
        )
        assert answer.status_code == 400
    wrong = requests.get(f"{running.url}/_simulator/truth?stream=fax", timeout=TIMEOUT)
    assert "sms, voice_calls" in wrong.text


def start(*arguments: str) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout
    where: dict[str, str] = json.loads(process.stdout.readline())
    return process, where


def test_it_says_where_it_listens_and_leaves_on_sigterm() -> None:
    process, where = start("--demo")
    with process:
        assert set(where) == {
            "api_url",
            "token_url",
            "url",
            "client_id",
            "client_secret",
            "account_id",
        }
        answer = requests.get(f"{where['url']}/_simulator/counts", timeout=TIMEOUT)
        counts = [count["rows"] for count in answer.json()]
        assert 4_000 < sum(counts) < 5_000
        process.terminate()
        assert process.wait(TIMEOUT) in (0, -signal.SIGTERM)


def test_it_leaves_when_its_parent_dies() -> None:
    program = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'simulator'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=60
    )
    while alive(int(parent.stdout)):
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_file_that_holds_no_scenario_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "scenario.json"
    path.write_text('{"sede": 1}')
    ended = subprocess.run(
        [sys.executable, "-m", "simulator", f"--scenario={path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "unknown sede" in ended.stderr
    assert "Traceback" not in ended.stderr

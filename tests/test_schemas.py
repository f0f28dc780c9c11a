"""The schemas in `schemas/` say what Zoom's documents say, in words of our own.

That they follow from the facts, and the facts from the documents, is checked by the script that
derives them: `test_derive.py`, and CI with the documents themselves.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from jsonschema import Draft202012Validator

from schemas.derive import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

Node: TypeAlias = dict[str, Any]  # A JSON schema or a part of one: its shape is what is tested.

ROOT = Path(__file__).parents[1]
FACTS = ROOT / "schemas" / "zoom_facts.openapi.json"
ZOOM = sorted((ROOT.parent / "shared" / "spec").glob("*.openapi.json"))
PATHS: Node = json.loads(FACTS.read_text(encoding="utf-8"))["paths"]

KEYS = {
    "sms": {"account_id", "engagement_id", "start_time"},
    "voice_calls": {"account_id", "engagement_id", "start_time"},
    "sub_accounts": {"id"},
}
FILTERS = ("sms_filters", "voice_calls_filters")
ENDPOINTS = {
    "sms": "/accounts/{accountId}/contact_center/sms",
    "voice_calls": "/accounts/{accountId}/contact_center/voice_calls",
    "sub_accounts": "/accounts",
}
SCHEMAS = [*KEYS, *FILTERS]


def shipped(name: str) -> Node:
    content: Node = json.loads((ROOT / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    return content


# --- Zoom's documents, and their facts ------------------------------------------------------


def answer_of(operation: Node) -> Node:
    answer: Node = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return answer


def zoom_row(stream: str) -> Node:
    """Return what the facts say of a row."""
    array = "accounts" if stream == "sub_accounts" else stream
    row: Node = answer_of(PATHS[ENDPOINTS[stream]]["get"])["properties"][array]["items"]
    return row


def fields_of(operation: Node) -> Iterator[tuple[str, Node]]:
    """Give what an endpoint's answer and parameters declare, each with its path."""
    yield from walk(answer_of(operation))
    for parameter in operation["parameters"]:
        yield from walk(parameter["schema"], f"?{parameter['name']}")


def zoom_prose(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("description", "summary") and isinstance(value, str):
                yield value
            else:
                yield from zoom_prose(value)
    elif isinstance(node, list):
        for value in node:
            yield from zoom_prose(value)


def strings(node: object) -> Iterator[str]:
    if isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from strings(value)
    elif isinstance(node, str):
        yield node


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


# --- What ships -----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", KEYS)
def test_every_field_at_every_depth_has_zooms_type_and_format(stream: str) -> None:
    ours, zooms = dict(walk(shipped(stream))), dict(walk(zoom_row(stream)))
    added = {"unmapped_values"} | ({"account_id"} if stream != "sub_accounts" else set())
    assert not added & set(zooms), "Zoom has a field of the tap's"
    assert set(ours) == set(zooms) | added
    for path, node in zooms.items():
        kind = ours[path]["type"]
        assert node["type"] in (kind, kind[0]), path
        assert ours[path].get("format") == node.get("format"), path
        assert ours[path].get("deprecated") == node.get("deprecated"), path


@pytest.mark.parametrize("stream", ["sms", "voice_calls"])
def test_filters_are_all_parameters_but_range_page_and_account(stream: str) -> None:
    tap_sets = {"from", "to", "page_size", "next_page_token", "accountId"}
    parameters = {one["name"]: one for one in PATHS[ENDPOINTS[stream]]["get"]["parameters"]}
    ours = shipped(f"{stream}_filters")
    assert ours["additionalProperties"] is False
    assert set(ours["properties"]) == parameters.keys() - tap_sets
    for name, mine in ours["properties"].items():
        zooms = parameters[name]["schema"]
        assert mine.get("deprecated") == parameters[name].get("deprecated")
        for keyword in ("type", "enum", "pattern", "maxItems", "uniqueItems"):
            assert mine.get(keyword) == zooms.get(keyword), name
            assert mine.get("items", {}).get(keyword) == zooms.get("items", {}).get(keyword), name
        style = "comma" if parameters[name].get("explode") is False else "repeat"
        assert mine.get("x-style") == (style if mine["type"] == "array" else None)
        assert "default" not in mine, "a validator could fill it in"


def test_the_facts_are_an_openapi_document() -> None:
    # Importing it takes longer than most tests do.
    import schemathesis  # noqa: PLC0415

    schemathesis.openapi.from_dict(json.loads(FACTS.read_text(encoding="utf-8"))).validate()


@pytest.mark.parametrize("endpoint", ENDPOINTS.values())
def test_the_facts_have_no_prose(endpoint: str) -> None:
    operation = PATHS[endpoint]["get"]
    assert operation.keys() == {"parameters", "responses"}
    for answer in operation["responses"].values():
        assert answer["description"] == ""
        assert answer.keys() <= {"description", "content"}
    for parameter in operation["parameters"]:
        named = {"name", "in", "required", "deprecated", "explode", "schema"}
        assert parameter.keys() <= named, parameter["name"]
    for path, node in fields_of(operation):
        assert not node.keys() & {"description", "summary", "title", "example"}, path
        texts = [text for value in node.values() for text in strings(value)]
        assert not [text for text in texts if " " in text], path


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_is_described_and_says_if_it_is_deprecated(name: str) -> None:
    Draft202012Validator.check_schema(shipped(name))
    for path, node in walk(shipped(name)):
        description = node.get("description", "")
        assert path.endswith("[]") or description.strip(), path
        assert ("Deprecated" in description) == ("deprecated" in node), path


@pytest.mark.parametrize("stream", KEYS)
def test_descriptions_name_the_values_that_zoom_lists(stream: str) -> None:
    ours = dict(walk(shipped(stream)))
    for path, node in walk(zoom_row(stream)):
        named = set(re.findall(r"`([^`]+)`", ours[path].get("description", "")))
        if not path.endswith("[]"):
            assert {str(one) for one in node.get("items", node).get("enum", [])} <= named, path


def test_fields_that_zoom_support_switches_on_say_so() -> None:
    fields = dict(walk(shipped("voice_calls")))
    names = ("user_ip_address", "user_device_mac_address", "user_registered_sip_zone")
    switched = [f"agents[].{name}" for name in (*names, "sip_zone_ip_address")]
    switched += [path for path in fields if path.startswith("session_border_controller_list[].")]
    assert len(switched) == 8
    for path in switched:
        assert "Zoom Support" in fields[path]["description"], path


@pytest.mark.parametrize(("stream", "keys"), KEYS.items())
def test_everything_but_the_keys_may_be_null_or_new(stream: str, keys: set[str]) -> None:
    schema = shipped(stream)
    assert set(schema["required"]) == keys
    assert stream == "sub_accounts" or next(iter(schema["properties"])) == "account_id"
    for path, node in walk(schema):
        assert isinstance(node["type"], str) == (path in {"", *keys}), path
        assert path in {"", *keys} or node["type"][1:] == ["null"], path
        assert ("object" in node["type"]) == ("properties" in node), path
        assert ("array" in node["type"]) == ("items" in node), path
    validator = Draft202012Validator(schema)
    row: Node = dict.fromkeys(keys, "2024-01-01T00:00:00Z")
    validator.validate(dict.fromkeys(schema["properties"]) | row)
    validator.validate({**row, "direction": "a new value", "a_new_field": [1]})
    for key in keys:
        assert not validator.is_valid({**row, key: None})
        assert not validator.is_valid({name: row[name] for name in keys - {key}})


@pytest.mark.parametrize(("stream", "instants"), [("sms", 2), ("voice_calls", 4)])
def test_start_and_end_are_instants_at_every_depth(stream: str, instants: int) -> None:
    formats = [
        node.get("format")
        for path, node in walk(shipped(stream))
        if path.rpartition(".")[2] in ("start_time", "end_time")
    ]
    assert formats == ["date-time"] * instants


# --- Zoom's documents themselves ------------------------------------------------------------

# A clone needs no copy of them: this test is defined only where one is, so that it is not skipped.
if ZOOM:

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_descriptions_are_not_zooms(name: str) -> None:
        prose = {words(text) for path in ZOOM for text in zoom_prose(json.loads(path.read_text()))}
        for path, node in walk(shipped(name)):
            ours = words(node.get("description", ""))
            assert ours not in prose - {""}, f"{path} has Zoom's own text"
            if len(ours.split()) > 5:
                assert not any(ours in text for text in prose), f"{path} is a part of Zoom's text"

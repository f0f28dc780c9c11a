"""The schemas in `schemas/` say what Zoom's documents say, in words of our own.

The script that derives them shows what has changed, and refuses what it does not know. CI runs it
on Zoom's documents as they are. Here it is given documents that say what the facts say, and then
something else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from jsonschema import Draft202012Validator

from schemas.derive import CORRECTIONS, SMS, SUB_ACCOUNTS, VOICE_CALLS, DocumentError, derive, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Node: TypeAlias = dict[str, Any]  # A JSON schema or a part of one: its shape is what is tested.

ROOT = Path(__file__).parents[1]
FACTS = ROOT / "schemas" / "zoom_facts.openapi.json"
ZOOM = sorted((ROOT.parent / "shared" / "spec").glob("*.openapi.json"))
PATHS: Node = json.loads(FACTS.read_text(encoding="utf-8"))["paths"]
COPIED = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)

ENGAGEMENT = {"account_id", "engagement_id", "start_time"}
KEYS = {"sms": ENGAGEMENT, "voice_calls": ENGAGEMENT, "sub_accounts": {"id"}}
ENDPOINTS = {"sms": SMS, "voice_calls": VOICE_CALLS, "sub_accounts": SUB_ACCOUNTS}
SCHEMAS = [*KEYS, "sms_filters", "voice_calls_filters"]


def shipped(name: str) -> Node:
    content: Node = json.loads((ROOT / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def answer_of(operation: Node) -> Node:
    answer: Node = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return answer


def fields_of(stream: str) -> tuple[dict[str, Node], dict[str, Node]]:
    """Return the fields of a stream's rows by path: as they are shipped, and in the facts."""
    array = "accounts" if stream == "sub_accounts" else stream
    row = answer_of(PATHS[ENDPOINTS[stream]]["get"])["properties"][array]["items"]
    return dict(walk(shipped(stream))), dict(walk(row))


def declared_by(operation: Node) -> Iterator[tuple[str, Node]]:
    """Give what an endpoint's answer and parameters declare, each with its path."""
    yield from walk(answer_of(operation))
    for parameter in operation["parameters"]:
        yield from walk(parameter["schema"], f"?{parameter['name']}")


def texts(node: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Give every text in a document, each with the keyword that it belongs to."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value, name)
    elif isinstance(node, str):
        yield name, node


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


# What ships


@pytest.mark.parametrize("stream", KEYS)
def test_every_field_at_every_depth_has_zooms_type_and_format(stream: str) -> None:
    ours, zooms = fields_of(stream)
    added = {"unmapped_values"} | ({"account_id"} if stream != "sub_accounts" else set())
    assert not added & set(zooms), "Zoom has a field of the tap's"
    assert set(ours) == set(zooms) | added
    for path, node in zooms.items():
        kind = ours[path]["type"]
        assert node["type"] in (kind, kind[0]), path
        for keyword in ("format", "deprecated"):
            assert ours[path].get(keyword) == node.get(keyword), path
        named = set(re.findall(r"`([^`]+)`", ours[path].get("description", "")))
        listed = {str(one) for one in node.get("items", node).get("enum", [])}
        assert path.endswith("[]") or listed <= named, (
            f"{path} may have values that it does not name"
        )


@pytest.mark.parametrize("stream", ["sms", "voice_calls"])
def test_filters_are_all_parameters_but_range_page_and_account(stream: str) -> None:
    tap_sets = {"from", "to", "page_size", "next_page_token", "accountId"}
    parameters = {one["name"]: one for one in PATHS[ENDPOINTS[stream]]["get"]["parameters"]}
    ours = shipped(f"{stream}_filters")
    assert ours["additionalProperties"] is False
    assert set(ours["properties"]) == parameters.keys() - tap_sets
    for name, mine in ours["properties"].items():
        zooms, items = parameters[name]["schema"], parameters[name]["schema"].get("items", {})
        assert mine.get("deprecated") == parameters[name].get("deprecated")
        for keyword in ("type", "enum", "pattern", "maxItems", "uniqueItems"):
            assert mine.get(keyword) == zooms.get(keyword), name
            assert mine.get("items", {}).get(keyword) == items.get(keyword), name
        style = "comma" if parameters[name].get("explode") is False else "repeat"
        assert mine.get("x-style") == (style if mine["type"] == "array" else None)
        assert "default" not in mine, "a validator could fill it in"


def test_the_facts_are_an_openapi_document_without_prose() -> None:
    # Importing it takes longer than most tests do.
    import schemathesis  # noqa: PLC0415

    schemathesis.openapi.from_dict(json.loads(FACTS.read_text(encoding="utf-8"))).validate()
    for endpoint in ENDPOINTS.values():
        operation = PATHS[endpoint]["get"]
        assert operation.keys() == {"parameters", "responses"}
        for keyword, text in texts(operation):
            assert keyword not in {"description", "summary", "title", "example"} or not text
            assert " " not in text


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_is_described_and_says_if_it_is_deprecated(name: str) -> None:
    Draft202012Validator.check_schema(shipped(name))
    for path, node in walk(shipped(name)):
        description = node.get("description", "")
        assert path.endswith("[]") or description.strip(), path
        assert ("Deprecated" in description) == ("deprecated" in node), path


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


# A clone needs no copy of them: this test is defined only where one is, so that it is not skipped.
if ZOOM:

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_descriptions_are_not_zooms(name: str) -> None:
        documents = [json.loads(path.read_text(encoding="utf-8")) for path in ZOOM]
        prose = {words(text) for key, text in texts(documents) if key in ("description", "summary")}
        for path, node in walk(shipped(name)):
            ours = words(node.get("description", ""))
            assert ours not in prose - {""}, f"{path} has Zoom's own text"
            if len(ours.split()) > 5:
                assert not any(ours in text for text in prose), f"{path} is a part of Zoom's text"


# How they are derived


class Documents:
    """Documents that say what the facts say, in the text alone where Zoom's do so."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.paths: Node = json.loads(json.dumps(PATHS))
        for correction in CORRECTIONS:
            operation = self.paths[correction.endpoint]["get"]
            fields = dict(declared_by(operation))
            text_of = fields | {f"?{one['name']}": one for one in operation["parameters"]}
            holder = text_of if correction.keyword == "explode" else fields
            for path in correction.paths:
                assert holder[path].pop(correction.keyword) == correction.value
                said = text_of[path.removesuffix("[]")]
                said["description"] = f"{said.get('description', '')} {correction.evidence}"
        self.sms: Node = self.paths[SMS]["get"]
        self.row: Node = answer_of(self.sms)["properties"]["sms"]["items"]["properties"]
        (self.codes,) = (one for one in self.sms["parameters"] if "country" in one["name"])

    def saved(self, day: datetime = COPIED) -> list[Path]:
        """Save a document for each endpoint, as copies made on that day."""
        saved = []
        for number, (endpoint, entry) in enumerate(self.paths.items()):
            content = {"info": entry["x-document"], "paths": {endpoint: {"get": entry["get"]}}}
            path = self._folder / f"{number}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            os.utime(path, (day.timestamp(), day.timestamp()))
            saved.append(path)
        return saved


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(tmp_path)


def test_what_zoom_says_in_the_text_alone_becomes_a_fact_and_other_prose_does_not(
    documents: Documents,
) -> None:
    documents.sms.update(summary="Prose.", description="Prose.", tags=["Prose"])
    documents.codes["example"] = ["Prose"]
    for _, node in list(declared_by(documents.sms)):
        node.update(title="Prose", example="Prose")
    for path, content in derive(documents.saved()).items():
        assert json.dumps(content) == json.dumps(json.loads(path.read_text("utf-8"))), path


MISFITS: dict[str, tuple[Callable[[Documents], object], str]] = {
    "field gone": (lambda at: at.sms["parameters"].remove(at.codes), "_codes[] is gone"),
    "said itself": (lambda at: at.codes["schema"]["items"].update(pattern="^A"), "has pattern"),
    "no evidence": (lambda at: at.codes.update(description="Codes."), "no longer has 'Two-letter"),
    "comma": (
        lambda at: at.codes.update(description="Two-letter ISO, comma-separated."),
        "country_iso_codes is comma-separated by its text alone",
    ),
    "limit": (
        lambda at: at.codes.update(description="Two-letter ISO, up to 7."),
        "country_iso_codes takes up to 7 by its text alone",
    ),
    "alternatives": (lambda at: at.row.update(direction={"oneOf": []}), "direction: oneOf cannot"),
    "style": (lambda at: at.codes.update(style="pipeDelimited"), "style cannot be derived from"),
    "no type": (lambda at: at.row["direction"].pop("type"), "is no OpenAPI document of the kind"),
    "no endpoint": (lambda at: at.paths.pop("/accounts"), "GET /accounts: in no document"),
}


@pytest.mark.parametrize(("change", "message"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_an_error(
    documents: Documents, change: Callable[[Documents], object], message: str
) -> None:
    change(documents)
    with pytest.raises(DocumentError) as refused:
        derive(documents.saved())
    assert message in str(refused.value)


def test_what_a_document_says_anew_is_shown_and_then_written(
    documents: Documents, tmp_path: Path
) -> None:
    folder = tmp_path / "schemas"
    shutil.copytree(ROOT / "schemas", folder)

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, folder / "derive.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def written() -> dict[str, str]:
        return {path.name: path.read_text("utf-8") for path in folder.glob("*.json")}

    before = written()
    documents.row.pop("direction")
    documents.row["mood"] = {"type": "string"}
    documents.row["country_name"]["format"] = "country"
    documents.row["consumer_number"]["type"] = "integer"
    good = {"name": "mood", "in": "query", "schema": {"type": "string", "enum": ["good"]}}
    documents.sms["parameters"].append(good)
    check = run("--check", *documents.saved())
    assert check.returncode == 1
    assert '+    "mood": {' in check.stdout
    assert "run without --check" in check.stderr
    assert written() == before
    assert run(*documents.saved()).returncode == 0
    fields, old = (json.loads(files["sms.json"])["properties"] for files in (written(), before))
    assert list(fields) == ["account_id", *documents.row, "unmapped_values"]
    assert fields["mood"] == {"type": ["string", "null"]}
    assert fields["country_name"] == {**old["country_name"], "format": "country"}
    assert fields["consumer_number"] == {**old["consumer_number"], "type": ["integer", "null"]}
    filters = json.loads(written()["sms_filters.json"])["properties"]
    assert filters["mood"] == {"type": "string", "enum": ["good"]}
    assert '"version": "2030-01-01"' in written()["zoom_facts.openapi.json"]
    a_year_later = documents.saved(COPIED.replace(year=2031))
    assert run("--check", *a_year_later).returncode == 0, "only a newer copy"
    (folder / "sms.json").unlink()
    assert run("--check").returncode == 1
    for content in ("openapi: 3.0.0", "3"):
        no_document = tmp_path / "document"
        no_document.write_text(content)
        refused = run(no_document)
        assert refused.returncode == 1
        assert refused.stderr.startswith("error: ")
        assert "cannot be read as a JSON object" in refused.stderr
    assert "sms.json" not in written()

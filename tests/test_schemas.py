"""The schemas in `schemas/` say what Zoom's documents say, and the script that derives them works.

Tests of the script run it as people do, on documents that say what the facts say. Tests against
Zoom's own documents are there where these are, in `../shared/spec`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from jsonschema import Draft202012Validator

from schemas.derive import CORRECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Node: TypeAlias = dict[str, Any]  # A JSON schema or a part of one: its shape is what is tested.

ROOT = Path(__file__).parents[1]
FACTS = ROOT / "schemas" / "zoom_facts.openapi.json"
ZOOM = sorted((ROOT.parent / "shared" / "spec").glob("*.openapi.json"))
SOURCES = {"facts": [FACTS]} | ({"documents": ZOOM} if ZOOM else {})

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
SMS = ENDPOINTS["sms"]
PROSE = {"description", "summary", "title", "example"}


def shipped(name: str) -> Node:
    content: Node = json.loads((ROOT / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    yield path, node
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}" if path else name)


# --- Zoom's documents, and their facts ------------------------------------------------------


def operation_of(source: str, endpoint: str) -> Node:
    for path in SOURCES[source]:
        operation: Node | None = json.loads(path.read_text())["paths"].get(endpoint, {}).get("get")
        if operation:
            return operation
    raise LookupError(endpoint)


def answer_of(operation: Node) -> Node:
    answer: Node = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return answer


def zoom_row(source: str, stream: str) -> Node:
    answer = answer_of(operation_of(source, ENDPOINTS[stream]))
    array = "accounts" if stream == "sub_accounts" else stream
    for part in answer.get("allOf", [answer]):
        if array in part["properties"]:
            row: Node = part["properties"][array]["items"]
            return row
    raise LookupError(array)


def fields_of(operation: Node) -> Iterator[tuple[str, Node]]:
    """Give what an endpoint's answer and parameters declare, each with its path."""
    answer = answer_of(operation)
    for part in answer.get("allOf", [answer]):
        yield from walk(part)
    for parameter in operation["parameters"]:
        yield from walk(parameter["schema"], f"?{parameter['name']}")


def everything_in(operation: Node) -> list[tuple[str, Node]]:
    """Give all that an endpoint declares, parameters as such included, in the order of paths."""
    fields = [(path, node) for path, node in fields_of(operation) if path]
    parameters = [
        (f"?{one['name']}", {key: one[key] for key in one.keys() - {"schema"}})
        for one in operation["parameters"]
    ]
    return sorted([*parameters, *fields], key=lambda pair: pair[0])


def documents_of_facts() -> dict[str, Node]:
    """Give documents that say what the facts say, in the text alone where Zoom's do so."""
    documents: dict[str, Node] = {}
    paths = json.loads(FACTS.read_text(encoding="utf-8"))["paths"]
    for correction in CORRECTIONS:
        operation = paths[correction.endpoint]["get"]
        fields = dict(fields_of(operation))
        text_of = fields | {f"?{one['name']}": one for one in operation["parameters"]}
        holder = text_of if correction.keyword == "explode" else fields
        for path in correction.paths:
            assert holder[path].pop(correction.keyword) == correction.value
            said = text_of[path.removesuffix("[]")]
            said["description"] = f"{said.get('description', '')} {correction.evidence}"
    for endpoint, entry in paths.items():
        info = entry.pop("x-document")
        empty: Node = {"openapi": "3.0.0", "info": info, "paths": {}}
        documents.setdefault(f"{info['title']}.json", empty)["paths"][endpoint] = entry
    return documents


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


# --- The script -----------------------------------------------------------------------------


def derive(
    *arguments: str | Path, script: Path = ROOT / "schemas" / "derive.py"
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


class Workbench:
    """A copy of `schemas/`, and documents that a test changes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "schemas"
        shutil.copytree(ROOT / "schemas", self.directory)
        self.documents = documents_of_facts()

    def derive(self, *arguments: str, day: str = "2030-01-01") -> subprocess.CompletedProcess[str]:
        """Save the documents as copies made on that day, and run the script on them."""
        noon = datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()
        paths = [self.directory.parent / name for name in self.documents]
        for path, document in zip(paths, self.documents.values(), strict=True):
            path.write_text(json.dumps(document), encoding="utf-8")
            os.utime(path, (noon, noon))
        return derive(*paths, *arguments, script=self.directory / "derive.py")

    def written(self) -> dict[str, bytes]:
        """Give the bytes of all files there."""
        return {path.name: path.read_bytes() for path in self.directory.glob("*.json")}

    def schema(self, name: str) -> Node:
        """Give a schema as it is there."""
        content: Node = json.loads((self.directory / f"{name}.json").read_text(encoding="utf-8"))
        return content

    @property
    def sms(self) -> Node:
        """What the document says of reading sms."""
        (document,) = (one for one in self.documents.values() if SMS in one["paths"])
        operation: Node = document["paths"][SMS]["get"]
        return operation

    @property
    def row(self) -> Node:
        """The fields of a row of sms."""
        fields: Node = answer_of(self.sms)["properties"]["sms"]["items"]["properties"]
        return fields

    @property
    def codes(self) -> Node:
        """The parameter of sms that is corrected."""
        found = (one for one in self.sms["parameters"] if one["name"] == "country_iso_codes")
        parameter: Node = next(found)
        return parameter


@pytest.fixture
def workbench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


# --- What ships -----------------------------------------------------------------------------


def test_shipped_schemas_are_what_the_facts_say() -> None:
    result = derive("--check")
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("stream", KEYS)
def test_every_field_at_every_depth_has_zooms_type_and_format(stream: str, source: str) -> None:
    ours, zooms = dict(walk(shipped(stream))), dict(walk(zoom_row(source, stream)))
    added = {"unmapped_values"} | ({"account_id"} if stream != "sub_accounts" else set())
    assert not added & set(zooms), "Zoom has a field of the tap's"
    assert set(ours) == set(zooms) | added
    for path, node in zooms.items():
        kind = ours[path]["type"]
        assert node["type"] in (kind, kind[0]), path
        if "format" in node:
            assert ours[path]["format"] == node["format"], path
        assert ours[path].get("deprecated") == node.get("deprecated"), path


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("stream", ["sms", "voice_calls"])
def test_filters_are_all_parameters_but_range_page_and_account(stream: str, source: str) -> None:
    parameters = operation_of(source, ENDPOINTS[stream])["parameters"]
    tap_sets = {"from", "to", "page_size", "next_page_token", "accountId"}
    ours = shipped(f"{stream}_filters")["properties"]
    assert set(ours) == {parameter["name"] for parameter in parameters} - tap_sets
    for parameter in parameters:
        if parameter["name"] in tap_sets:
            continue
        mine, zooms = ours[parameter["name"]], parameter["schema"]
        assert mine.get("deprecated") == parameter.get("deprecated")
        for keyword in ("type", "enum", "maxItems", "uniqueItems"):
            if keyword in zooms:
                assert mine[keyword] == zooms[keyword], parameter["name"]
        assert mine.get("items", {}).get("enum") == zooms.get("items", {}).get("enum")
        comma = "comma-separated" in parameter.get("description", "")
        style = "comma" if comma or parameter.get("explode") is False else "repeat"
        assert mine.get("x-style") == (style if mine["type"] == "array" else None)


def test_the_facts_are_an_openapi_document() -> None:
    # Importing it takes longer than most tests do.
    import schemathesis  # noqa: PLC0415

    schemathesis.openapi.from_dict(json.loads(FACTS.read_text(encoding="utf-8"))).validate()


@pytest.mark.parametrize("endpoint", ENDPOINTS.values())
def test_the_facts_have_no_prose(endpoint: str) -> None:
    operation = operation_of("facts", endpoint)
    assert operation.keys() == {"parameters", "responses"}
    for answer in operation["responses"].values():
        assert answer["description"] == ""
        assert answer.keys() <= {"description", "content"}
    for parameter in operation["parameters"]:
        named = {"name", "in", "required", "deprecated", "explode", "schema"}
        assert parameter.keys() <= named, parameter["name"]
    for path, node in fields_of(operation):
        assert not node.keys() & PROSE, path
        texts = [text for value in node.values() for text in strings(value)]
        assert not [text for text in texts if " " in text], path


@pytest.mark.parametrize("name", [*KEYS, *FILTERS])
def test_schemas_are_valid(name: str) -> None:
    Draft202012Validator.check_schema(shipped(name))


@pytest.mark.parametrize("name", [*KEYS, *FILTERS])
def test_every_field_is_described(name: str) -> None:
    for path, node in walk(shipped(name)):
        assert path.endswith("[]") or node["description"].strip(), path


@pytest.mark.parametrize("stream", KEYS)
def test_descriptions_name_the_values_that_zoom_lists(stream: str) -> None:
    ours = dict(walk(shipped(stream)))
    for path, node in walk(zoom_row("facts", stream)):
        named = set(re.findall(r"`([^`]+)`", ours[path].get("description", "")))
        if not path.endswith("[]"):
            assert {str(one) for one in node.get("items", node).get("enum", [])} <= named, path


@pytest.mark.parametrize("name", [*KEYS, *FILTERS])
def test_deprecated_fields_say_so(name: str) -> None:
    for path, node in walk(shipped(name)):
        assert ("Deprecated" in node.get("description", "")) == ("deprecated" in node), path


@pytest.mark.parametrize(("stream", "keys"), KEYS.items())
def test_everything_but_the_keys_may_be_null(stream: str, keys: set[str]) -> None:
    schema = shipped(stream)
    assert set(schema["required"]) == keys <= schema["properties"].keys()
    for path, node in walk(schema):
        if path in {"", *keys}:
            assert isinstance(node["type"], str), path
        else:
            assert node["type"][1:] == ["null"], path


@pytest.mark.parametrize(("stream", "keys"), KEYS.items())
def test_a_row_of_nulls_missing_fields_and_new_values_is_valid(stream: str, keys: set[str]) -> None:
    validator = Draft202012Validator(shipped(stream))
    row: Node = dict.fromkeys(keys, "2024-01-01T00:00:00Z")
    validator.validate(row)
    validator.validate(dict.fromkeys(shipped(stream)["properties"]) | row)
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


@pytest.mark.parametrize("stream", KEYS)
def test_objects_declare_properties_and_arrays_their_items(stream: str) -> None:
    for path, node in walk(shipped(stream)):
        assert ("object" in node["type"]) == ("properties" in node), path
        assert ("array" in node["type"]) == ("items" in node), path


@pytest.mark.parametrize("stream", ["sms", "voice_calls"])
def test_the_account_comes_first(stream: str) -> None:
    assert next(iter(shipped(stream)["properties"])) == "account_id"


def test_fields_that_zoom_support_switches_on_say_so() -> None:
    fields = dict(walk(shipped("voice_calls")))
    agent = ("ip_address", "device_mac_address", "registered_sip_zone")
    controller = "session_border_controller_list[]"
    switched = [
        *(f"agents[].user_{name}" for name in agent),
        "agents[].sip_zone_ip_address",
        *(path for path in fields if path.startswith(f"{controller}.")),
    ]
    assert len(switched) == 8
    for path in switched:
        assert "Zoom Support" in fields[path]["description"], path


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        ("sms_filters", {"direction": "inbound", "country_iso_codes": ["DE", "US"]}),
        ("voice_calls_filters", {"user_ids": ["u"] * 20, "view_type": "detail"}),
        ("voice_calls_filters", {"queue_ids": ["none"], "cc_queue_ids": ["none", "q"]}),
        ("voice_calls_filters", {"sub_types": ["flow_initiated_outgoing_call"] * 21}),
    ],
)
def test_filters_that_zoom_takes_are_valid(name: str, filters: Node) -> None:
    Draft202012Validator(shipped(name)).validate(filters)


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        ("sms_filters", {"direction": "sideways"}),
        ("sms_filters", {"country_iso_codes": ["Germany"]}),
        ("sms_filters", {"country_iso_codes": "DE"}),
        ("sms_filters", {"page_size": 10}),
        ("sms_filters", {"from": "2024-01-01"}),
        ("sms_filters", {"user_ids": ["u"]}),
        ("voice_calls_filters", {"user_ids": ["u"] * 21}),
        ("voice_calls_filters", {"queue_ids": ["q"] * 21}),
        ("voice_calls_filters", {"cc_queue_ids": ["q"] * 21}),
        ("voice_calls_filters", {"region_ids": ["r", "r"]}),
        ("voice_calls_filters", {"team_names": [str(number) for number in range(21)]}),
        ("voice_calls_filters", {"types": ["sms"]}),
        ("voice_calls_filters", {"sub_types": ["external_call"]}),
        ("voice_calls_filters", {"view_type": "full"}),
        ("voice_calls_filters", {"next_page_token": "t"}),
    ],
)
def test_filters_that_zoom_refuses_are_not_valid(name: str, filters: Node) -> None:
    assert not Draft202012Validator(shipped(name)).is_valid(filters)


@pytest.mark.parametrize("name", FILTERS)
def test_filters_have_no_defaults_that_a_validator_could_fill_in(name: str) -> None:
    assert not [path for path, node in walk(shipped(name)) if "default" in node]


# --- What the script does --------------------------------------------------------------------


def test_what_zoom_says_in_the_text_alone_becomes_a_fact_and_other_prose_does_not(
    workbench: Workbench,
) -> None:
    workbench.sms.update(summary="Prose.", description="Prose.", tags=["Prose"])
    workbench.codes["example"] = ["Prose"]
    for _, node in list(fields_of(workbench.sms)):
        node.update(title="Prose", example="Prose")
    result = workbench.derive("--check")
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


CHANGES: dict[str, tuple[Callable[[Workbench], object], str]] = {
    "another type": (lambda at: at.row["direction"].update(type="integer"), '+        "integer",'),
    "a format": (lambda at: at.row["direction"].update(format="uuid"), '+      "format": "uuid"'),
    "a field gone": (lambda at: at.row.pop("direction"), '-    "direction": {'),
    "a new field": (lambda at: at.row.update(mood={"type": "string"}), '+    "mood": {'),
    "a new value": (lambda at: at.row["direction"]["enum"].append("sideways"), '"sideways"'),
    "a new filter": (
        lambda at: at.sms["parameters"].append(
            {"name": "mood", "in": "query", "schema": {"type": "string", "enum": ["good"]}}
        ),
        '+    "mood": {',
    ),
    "another order": (
        lambda at: at.row.update({"direction": at.row.pop("direction")}),
        '+    "direction": {',
    ),
}


@pytest.mark.parametrize(("change", "shown"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_shown_by_the_check_and_written_without_it(
    workbench: Workbench, change: Callable[[Workbench], object], shown: str
) -> None:
    before = workbench.written()
    change(workbench)
    result = workbench.derive("--check")
    assert result.returncode == 1
    assert any(line.strip(",").endswith(shown.strip(",")) for line in result.stdout.splitlines())
    assert "run without --check" in result.stderr
    assert workbench.written() == before
    assert workbench.derive().returncode == 0
    after = workbench.schema("sms")["properties"]
    assert list(after) == ["account_id", *workbench.row, "unmapped_values"]
    kept = {name: node for name, node in shipped("sms")["properties"].items() if name in after}
    assert all(after[name]["description"] == node["description"] for name, node in kept.items())
    assert workbench.derive("--check").returncode == 0
    assert workbench.schema(FACTS.stem.removesuffix(".json"))["info"]["version"] == "2030-01-01"
    assert workbench.derive("--check", day="2031-01-01").returncode == 0, "only a newer copy"


def test_without_a_document_the_facts_are_what_schemas_are_derived_from(
    workbench: Workbench,
) -> None:
    shutil.copy(workbench.directory / "sms.json", workbench.directory.parent)
    (workbench.directory / "sms.json").unlink()
    script = workbench.directory / "derive.py"
    assert derive("--check", script=script).returncode == 1
    assert derive(script=script).returncode == 0
    assert workbench.schema("sms").keys() == shipped("sms").keys() - {"description"}


MISFITS: dict[str, tuple[Callable[[Workbench], object], str]] = {
    "field gone": (
        lambda at: at.sms["parameters"].remove(at.codes),
        "?country_iso_codes[] is gone",
    ),
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
    "alternatives": (
        lambda at: at.row.update(direction={"oneOf": []}),
        "direction: oneOf cannot be derived from",
    ),
    "reference": (
        lambda at: at.row.update(direction={"$ref": "#/components/schemas/Direction"}),
        "direction: $ref cannot be derived from",
    ),
    "style": (lambda at: at.codes.update(style="pipeDelimited"), "style cannot be derived from"),
    "no type": (lambda at: at.row["direction"].pop("type"), "is no OpenAPI document of the kind"),
    "no answer": (lambda at: at.sms.pop("responses"), "is no OpenAPI document of the kind"),
    "no paths": (
        lambda at: [one.pop("paths") for one in at.documents.values()],
        "KeyError('paths')",
    ),
    "no endpoint": (
        lambda at: [one["paths"].pop("/accounts", 0) for one in at.documents.values()],
        "GET /accounts: in no document",
    ),
}


@pytest.mark.parametrize(("change", "message"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_an_error_and_nothing_is_written(
    workbench: Workbench, change: Callable[[Workbench], object], message: str
) -> None:
    before = workbench.written()
    change(workbench)
    result = workbench.derive()
    assert result.returncode == 1
    assert message in result.stderr
    assert all(line.startswith("error: ") for line in result.stderr.splitlines())
    assert workbench.written() == before


def test_every_correction_is_reported_once_its_evidence_is_gone(workbench: Workbench) -> None:
    for document in workbench.documents.values():
        for entry in document["paths"].values():
            fields = [node for _, node in fields_of(entry["get"])]
            for node in [*entry["get"]["parameters"], *fields]:
                node.pop("description", None)
    reported = workbench.derive().stderr
    first = {one.endpoint for one in CORRECTIONS if f"GET {one.endpoint}" in reported}
    assert first
    expected = sum(len(one.paths) for one in CORRECTIONS if one.endpoint in first)
    assert reported.count("no longer has") == expected


@pytest.mark.parametrize("content", [None, "openapi: 3.0.0", "3"])
def test_a_file_that_is_no_document_is_an_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "document"
    if content is not None:
        path.write_text(content)
    result = derive("--check", path)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {path}: cannot be read as a JSON object")


# --- Zoom's documents themselves ------------------------------------------------------------

# A clone needs no copy of them: these tests are defined only where one is, so that none is skipped.
if ZOOM:

    def test_the_facts_are_what_zooms_documents_say() -> None:
        result = derive(*ZOOM, "--check")
        assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)

    def test_the_facts_differ_from_zooms_schemas_in_the_corrections_alone() -> None:
        added = set()
        for endpoint in ENDPOINTS.values():
            zooms, ours = (operation_of(source, endpoint) for source in ("documents", "facts"))
            assert ours["responses"].keys() == zooms["responses"].keys()
            pairs = [*zip(everything_in(ours), everything_in(zooms), strict=True)]
            for (path, fact), (zooms_path, said) in pairs:
                assert path == zooms_path
                for keyword in (fact.keys() | said.keys()) - PROSE - {"items", "properties"}:
                    if keyword in said:
                        assert fact[keyword] == said[keyword], (endpoint, path, keyword)
                    else:
                        added.add((endpoint, path, keyword, json.dumps(fact[keyword])))
        assert added == {
            (one.endpoint, path, one.keyword, json.dumps(one.value))
            for one in CORRECTIONS
            for path in one.paths
        }

    @pytest.mark.parametrize("name", [*KEYS, *FILTERS])
    def test_descriptions_are_not_zooms(name: str) -> None:
        prose = {words(text) for path in ZOOM for text in zoom_prose(json.loads(path.read_text()))}
        for path, node in walk(shipped(name)):
            ours = words(node.get("description", ""))
            assert ours not in prose - {""}, f"{path} has Zoom's own text"
            if len(ours.split()) > 5:
                assert not any(ours in text for text in prose), f"{path} is a part of Zoom's text"

"""The schemas in `schemas/` say what Zoom's documents say, and the script that derives them works.

Tests of the script run it as people do, on small documents of their own and on documents that say
what the facts say. Tests against Zoom's own documents are there where these are, in
`../shared/spec`.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import schemathesis
from jsonschema import Draft202012Validator

from schemas.derive import CORRECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Node: TypeAlias = dict[str, Any]  # A JSON schema or a part of one: its shape is what is tested.

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "schemas" / "derive.py"
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


def write_documents(directory: Path) -> list[Path]:
    """Write documents that say what the facts say, in the text alone where Zoom's do so."""
    documents: dict[str, Node] = {}
    paths = json.loads(FACTS.read_text(encoding="utf-8"))["paths"]
    for correction in CORRECTIONS:
        operation = paths[correction.endpoint]["get"]
        fields = dict(fields_of(operation))
        text_of = fields | {f"?{one['name']}": one for one in operation["parameters"]}
        holder = text_of if correction.keyword == "explode" else fields
        assert holder[correction.path].pop(correction.keyword) == correction.value
        said = text_of[correction.path.removesuffix("[]")]
        said["description"] = f"{said.get('description', '')} {correction.evidence}"
    for endpoint, entry in paths.items():
        info = entry.pop("x-document")
        name = f"{info['title']}.json"
        empty: Node = {"openapi": "3.0.0", "info": info, "paths": {}}
        documents.setdefault(name, empty)["paths"][endpoint] = entry
    for name, document in documents.items():
        (directory / name).write_text(json.dumps(document), encoding="utf-8")
    return [directory / name for name in documents]


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


# --- The script and small documents for it --------------------------------------------------


def derive(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def small_document() -> Node:
    """Give a document of one endpoint, with the one parameter that is corrected there."""
    instant = {"type": "string", "format": "date-time"}
    row = {
        "type": "object",
        "required": ["engagement_id", "start_time"],
        "properties": {
            "engagement_id": {"type": "string"},
            "direction": {"type": "string", "enum": ["inbound", "outbound"]},
            "start_time": dict(instant),
            "end_time": dict(instant),
            "queues": {
                "type": "array",
                "items": {"type": "object", "properties": {"queue_name": {"type": "string"}}},
            },
        },
    }
    codes = {
        "name": "country_iso_codes",
        "in": "query",
        "description": "Two-letter ISO codes.",
        "schema": {"type": "array", "items": {"type": "string"}},
    }
    page = {"name": "page_size", "in": "query", "schema": {"type": "integer", "maximum": 100}}
    account = {"name": "accountId", "in": "path", "schema": {"type": "string"}}
    answer = {"type": "object", "properties": {"sms": {"type": "array", "items": row}}}
    operation = {
        "parameters": [codes, page, account],
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }
    info = {"title": "A small document", "version": "1"}
    return {"openapi": "3.0.0", "info": info, "paths": {SMS: {"get": operation}}}


def row_of(document: Node) -> Node:
    row: Node = answer_of(document["paths"][SMS]["get"])["properties"]["sms"]["items"]
    return row


def parameter_of(document: Node) -> Node:
    parameter: Node = document["paths"][SMS]["get"]["parameters"][0]
    return parameter


class Workbench:
    """A small document, others for the other endpoints, and a directory for what is derived."""

    def __init__(self, directory: Path) -> None:
        self.document = small_document()
        self.path = directory / "small document.json"
        self.output = directory / "derived"
        self.others = write_documents(directory)
        for path in self.others:
            document = json.loads(path.read_text(encoding="utf-8"))
            document["paths"].pop(SMS, None)
            path.write_text(json.dumps(document), encoding="utf-8")

    def derive(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Save the document as it is now and run the script on it."""
        self.path.write_text(json.dumps(self.document), encoding="utf-8")
        return derive(self.path, *self.others, "--output", self.output, *arguments)

    def schema(self, name: str) -> Node:
        """Give a schema that the script wrote."""
        content: Node = json.loads((self.output / f"{name}.json").read_text(encoding="utf-8"))
        return content

    def written(self) -> dict[str, bytes]:
        """Give the bytes of all files there."""
        return {path.name: path.read_bytes() for path in self.output.iterdir()}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the schemas of the small document, each field with a description by hand."""
    workbench = Workbench(tmp_path_factory.mktemp("described"))
    workbench.output.mkdir()
    for name in ("voice_calls", "voice_calls_filters", "sub_accounts"):
        shutil.copy(ROOT / "schemas" / f"{name}.json", workbench.output)
    workbench.derive()
    for name in ("sms", "sms_filters"):
        schema = workbench.schema(name)
        for path, node in walk(schema):
            if not path.endswith("[]"):
                node["description"] = f"{path}, written by hand: `inbound`, `outbound`"
        (workbench.output / f"{name}.json").write_text(json.dumps(schema), encoding="utf-8")
    assert workbench.derive().stderr == ""
    assert workbench.derive("--check").returncode == 0
    return workbench.output


@pytest.fixture
def workbench(tmp_path: Path, described: Path) -> Workbench:
    workbench = Workbench(tmp_path)
    shutil.copytree(described, workbench.output)
    return workbench


# --- What ships -----------------------------------------------------------------------------


def test_shipped_schemas_are_what_the_facts_say() -> None:
    result = derive("--check")
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("stream", KEYS)
def test_every_field_at_every_depth_has_zooms_type_and_format(stream: str, source: str) -> None:
    ours, zooms = dict(walk(shipped(stream))), dict(walk(zoom_row(source, stream)))
    added = {"account_id"} if stream != "sub_accounts" else set()
    assert set(ours) == set(zooms) | added | {"unmapped_values"}
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


@pytest.mark.parametrize("name", [*KEYS, *FILTERS])
def test_deprecated_fields_say_so(name: str) -> None:
    for path, node in walk(shipped(name)):
        assert ("Deprecated" in node.get("description", "")) == ("deprecated" in node), path


@pytest.mark.parametrize(("stream", "keys"), KEYS.items())
def test_everything_but_the_keys_may_be_null(stream: str, keys: set[str]) -> None:
    schema = shipped(stream)
    assert set(schema["required"]) == keys
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


# --- The script -----------------------------------------------------------------------------


def test_what_zoom_says_in_the_text_alone_becomes_a_fact(tmp_path: Path) -> None:
    result = derive(*write_documents(tmp_path), "--check")
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


def test_prose_of_a_document_becomes_no_fact(workbench: Workbench) -> None:
    operation = workbench.document["paths"][SMS]["get"]
    operation |= {"summary": "Prose.", "description": "Prose.", "tags": ["Prose"]}
    operation["responses"]["200"]["description"] = "Prose."
    parameter_of(workbench.document)["example"] = ["Prose"]
    for _, node in list(fields_of(operation)):
        node |= {"title": "Prose", "description": "Prose.", "example": "Prose"}
        node["examples"] = ["Prose"]
    result = workbench.derive("--check")
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


def test_a_field_that_zoom_changes_is_shown_in_the_difference(tmp_path: Path) -> None:
    documents = write_documents(tmp_path)
    for path in documents:
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('"consumer_zoom_trunk_name"', '"consumer_trunk_name"'))
    result = derive(*documents, "--check")
    assert result.returncode == 1
    assert len(re.findall(r'^-\s+"consumer_zoom_trunk_name": \{', result.stdout, re.MULTILINE)) == 2
    assert len(re.findall(r'^\+\s+"consumer_trunk_name": \{', result.stdout, re.MULTILINE)) == 2
    assert "session_border_controller_list[].consumer_trunk_name has no desc" in result.stderr
    assert derive("--check").returncode == 0, "--check wrote to the schemas"


def test_every_correction_is_reported_once_its_evidence_is_gone(tmp_path: Path) -> None:
    documents = write_documents(tmp_path)
    for path in documents:
        document = json.loads(path.read_text(encoding="utf-8"))
        for entry in document["paths"].values():
            operation = entry["get"]
            for node in [*operation["parameters"], *(node for _, node in fields_of(operation))]:
                node.pop("description", None)
        path.write_text(json.dumps(document), encoding="utf-8")
    result = derive(*documents, "--output", tmp_path / "derived")
    assert result.returncode == 1
    assert result.stderr.count("no longer has") == len(CORRECTIONS)


def test_without_a_document_the_facts_are_what_schemas_are_derived_from(
    workbench: Workbench,
) -> None:
    (workbench.output / "sms_filters.json").unlink()
    path = workbench.output / FACTS.name
    facts = json.loads(path.read_text(encoding="utf-8"))
    row_of(facts)["properties"]["direction"]["type"] = "integer"
    path.write_text(json.dumps(facts), encoding="utf-8")
    assert derive("--output", workbench.output).returncode == 0
    assert workbench.schema("sms")["properties"]["direction"]["type"] == ["integer", "null"]
    assert workbench.schema("sms_filters")["properties"].keys() == {"country_iso_codes"}
    assert workbench.schema(FACTS.stem) == facts


def test_without_a_document_and_without_facts_nothing_can_be_derived(tmp_path: Path) -> None:
    result = derive("--output", tmp_path / "derived")
    assert result.returncode == 1
    facts = tmp_path / "derived" / FACTS.name
    assert result.stderr == f"error: {facts}: cannot be read (No such file or directory)\n"


def test_the_facts_have_the_day_of_the_copy_that_changed_them(workbench: Workbench) -> None:
    def day_after_deriving_from_copies_of(day: str) -> str:
        noon = datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()
        workbench.path.write_text(json.dumps(workbench.document), encoding="utf-8")
        for path in (workbench.path, *workbench.others):
            os.utime(path, (noon, noon))
        derive(workbench.path, *workbench.others, "--output", workbench.output)
        version: str = workbench.schema(FACTS.stem)["info"]["version"]
        return version

    before = workbench.schema(FACTS.stem)["info"]["version"]
    assert day_after_deriving_from_copies_of("2031-05-01") == before
    row_of(workbench.document)["properties"]["direction"]["enum"].append("sideways")
    assert day_after_deriving_from_copies_of("2031-05-01") == "2031-05-01"
    assert day_after_deriving_from_copies_of("2031-06-01") == "2031-05-01"


def test_a_change_fails_the_check_and_the_command_it_names_mends_it(workbench: Workbench) -> None:
    row_of(workbench.document)["properties"]["direction"]["type"] = "integer"
    before = workbench.written()
    result = workbench.derive("--check")
    assert result.returncode == 1
    assert "sms.json (as it is)" in result.stdout
    assert re.search(r'^-\s+"string",$', result.stdout, re.MULTILINE)
    assert re.search(r'^\+\s+"integer",$', result.stdout, re.MULTILINE)
    assert "sms.json: differs at direction\n" in result.stderr
    assert workbench.written() == before

    command = shlex.split(result.stderr.partition("Run: ")[2])
    assert command[0] == "python"
    subprocess.run([sys.executable, *command[1:]], check=True, cwd=ROOT)
    assert workbench.derive("--check").returncode == 0


def test_deriving_again_keeps_descriptions_and_bytes(workbench: Workbench) -> None:
    before = workbench.written()
    workbench.derive()
    assert workbench.written() == before
    assert before["sms.json"].endswith(b"}\n")
    assert workbench.schema("sms")["properties"]["queues"]["items"]["properties"]["queue_name"] == {
        "type": ["string", "null"],
        "description": "queues[].queue_name, written by hand: `inbound`, `outbound`",
    }


def test_a_change_far_below_its_fields_name_is_named(workbench: Workbench) -> None:
    queue = row_of(workbench.document)["properties"]["queues"]["items"]
    queue["properties"]["queue_name"]["format"] = "uuid"
    result = workbench.derive("--check")
    assert re.search(r'^\+\s+"format": "uuid"$', result.stdout, re.MULTILINE)
    assert "sms.json: differs at queues[].queue_name\n" in result.stderr


def test_fields_keep_the_order_of_the_document(workbench: Workbench) -> None:
    row = row_of(workbench.document)
    row["properties"] = dict(reversed(row["properties"].items()))
    result = workbench.derive("--check")
    assert result.returncode == 1
    assert "sms.json: differs\n" in result.stderr
    workbench.derive()
    ours = list(workbench.schema("sms")["properties"])
    assert ours == ["account_id", *row["properties"], "unmapped_values"]


def test_a_new_field_is_written_and_reported_until_it_is_described(workbench: Workbench) -> None:
    queue = row_of(workbench.document)["properties"]["queues"]["items"]
    queue["properties"]["colour"] = {"type": "string", "description": "Prose of Zoom's."}
    written = workbench.derive()
    checked = workbench.derive("--check")
    assert (written.returncode, checked.returncode) == (0, 1)
    for result in (written, checked):
        assert "sms.json: queues[].colour has no description" in result.stderr
    added = workbench.schema("sms")["properties"]["queues"]["items"]["properties"]["colour"]
    assert added == {"type": ["string", "null"]}


def test_a_new_filter_is_written_and_reported(workbench: Workbench) -> None:
    new = {"name": "mood", "in": "query", "schema": {"type": "string", "enum": ["good"]}}
    workbench.document["paths"][SMS]["get"]["parameters"].append(new)
    assert "sms_filters.json: mood has no description" in workbench.derive().stderr
    added = workbench.schema("sms_filters")["properties"]["mood"]
    assert added == {"type": "string", "enum": ["good"]}


def test_a_new_known_value_is_reported_until_the_description_names_it(workbench: Workbench) -> None:
    row_of(workbench.document)["properties"]["direction"]["enum"].append("sideways")
    workbench.derive()
    result = workbench.derive("--check")
    assert (result.stdout, result.returncode) == ("", 1)
    assert "the description of direction does not name sideways" in result.stderr


def test_a_field_that_is_gone_is_shown_and_removed(workbench: Workbench) -> None:
    del row_of(workbench.document)["properties"]["queues"]
    result = workbench.derive("--check")
    assert '-    "queues": {' in result.stdout
    assert "differs at queues, queues[], queues[].queue_name\n" in result.stderr
    workbench.derive()
    assert "queues" not in workbench.schema("sms")["properties"]


def test_missing_schemas_fail_the_check(workbench: Workbench) -> None:
    (workbench.output / "sms.json").unlink()
    result = workbench.derive("--check")
    assert result.returncode == 1
    assert '+    "engagement_id": {' in result.stdout
    assert "sms.json: is missing\n" in result.stderr


def no_such_field(document: Node) -> None:
    document["paths"][SMS]["get"]["parameters"].pop(0)


def said_by_the_document(document: Node) -> None:
    parameter_of(document)["schema"]["items"]["pattern"] = "^[A-Z]{2}$"


def evidence_gone(document: Node) -> None:
    parameter_of(document)["description"] = "Codes of countries."


def comma_in_the_text(document: Node) -> None:
    parameter_of(document)["description"] += " A comma-separated list."


def limit_in_the_text(document: Node) -> None:
    parameter_of(document)["description"] += " Takes up to 7 codes."


def instant_without_format(document: Node) -> None:
    queue = row_of(document)["properties"]["queues"]["items"]
    queue["properties"]["end_time"] = {"type": "string"}


def object_without_properties(document: Node) -> None:
    row_of(document)["properties"]["extra"] = {"type": "object"}


def array_without_items(document: Node) -> None:
    row_of(document)["properties"]["extra"] = {"type": "array"}


def key_gone(document: Node) -> None:
    del row_of(document)["properties"]["engagement_id"]


def account_id_by_zoom(document: Node) -> None:
    row_of(document)["properties"]["account_id"] = {"type": "string"}


def rows_elsewhere(document: Node) -> None:
    answer_of(document["paths"][SMS]["get"])["properties"] = {"messages": {"type": "string"}}


def alternatives(document: Node) -> None:
    row_of(document)["properties"]["direction"] = {"oneOf": [{"type": "string"}]}


def unknown_type(document: Node) -> None:
    row_of(document)["properties"]["direction"] = {"type": "text"}


def unknown_style(document: Node) -> None:
    parameter_of(document)["style"] = "pipeDelimited"


def reference_elsewhere(document: Node) -> None:
    row_of(document)["properties"]["direction"] = {"$ref": "other.json#/direction"}


def reference_to_nothing(document: Node) -> None:
    row_of(document)["properties"]["direction"] = {"$ref": "#/components/schemas/None"}


def contains_itself(document: Node) -> None:
    leg = {"type": "object", "properties": {"leg": {"$ref": "#/components/schemas/Leg"}}}
    document["components"] = {"schemas": {"Leg": leg}}
    row_of(document)["properties"]["leg"] = {"$ref": "#/components/schemas/Leg"}


def other_endpoints(document: Node) -> None:
    document["paths"] = {"/users": document["paths"][SMS]}


def no_paths(document: Node) -> None:
    del document["paths"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            no_such_field,
            'the correction of ?country_iso_codes[] (pattern: "^[A-Za-z]{2}$") finds no such field',
        ),
        (said_by_the_document, "is not needed, the document says"),
        (evidence_gone, "'Two-letter ISO', which the document no longer has there"),
        (comma_in_the_text, "country_iso_codes is comma-separated by its text alone"),
        (limit_in_the_text, "country_iso_codes takes up to 7 by its text alone"),
        (instant_without_format, "queues[].end_time is an instant without format"),
        (object_without_properties, "extra declares no properties"),
        (array_without_items, "extra does not say what its items are"),
        (key_gone, "look at engagement_id"),
        (account_id_by_zoom, "look at account_id"),
        (rows_elsewhere, "there is no array 'sms'"),
        (alternatives, "direction: oneOf cannot be derived from"),
        (unknown_type, "direction: type 'text' is none of object"),
        (unknown_style, "country_iso_codes: style 'pipeDelimited' is not known"),
        (reference_elsewhere, "'other.json#/direction' leads out of the document"),
        (reference_to_nothing, "> components > schemas > None: an object is expected"),
        (contains_itself, "'#/components/schemas/Leg' contains itself"),
        (other_endpoints, f"error: GET {SMS} is described by no document"),
        (no_paths, "paths: an object is expected"),
    ],
)
@pytest.mark.parametrize("check", [(), ("--check",)], ids=["write", "check"])
def test_what_does_not_fit_is_an_error_and_nothing_is_written(
    workbench: Workbench, change: Callable[[Node], None], message: str, check: tuple[str, ...]
) -> None:
    before = workbench.written()
    change(workbench.document)
    result = workbench.derive(*check)
    assert result.returncode == 1
    assert message in result.stderr
    assert all(line.startswith("error: ") for line in result.stderr.splitlines())
    assert workbench.written() == before


def test_a_document_that_says_what_a_correction_did_needs_no_text(workbench: Workbench) -> None:
    parameter_of(workbench.document)["explode"] = False
    parameter_of(workbench.document)["description"] += " A comma-separated list, up to 7."
    parameter_of(workbench.document)["schema"]["maxItems"] = 7
    assert workbench.derive().returncode == 0
    filters = workbench.schema("sms_filters")["properties"]
    assert filters["country_iso_codes"]["x-style"] == "comma"
    assert filters["country_iso_codes"]["maxItems"] == 7


def test_references_and_merged_schemas_make_no_difference(workbench: Workbench) -> None:
    row, codes = row_of(workbench.document), parameter_of(workbench.document)
    first = {name: row["properties"].pop(name) for name in ("engagement_id", "direction")}
    row["required"].remove("engagement_id")
    row["properties"]["end_time"] = {"allOf": [{"$ref": "#/components/schemas/Instant"}]}
    row["properties"]["queues"] = {"allOf": [row["properties"]["queues"]]}
    codes["schema"]["items"] = {"$ref": "#/components/schemas/ISO~1Code"}
    workbench.document["components"] = {
        "parameters": {"Codes": copy.deepcopy(codes)},
        "schemas": {
            "ISO/Code": {"type": "string"},
            "Instant": {"type": "string", "format": "date-time"},
            "Row": copy.deepcopy(row),
        },
    }
    for node, value in (
        (codes, {"$ref": "#/components/parameters/Codes"}),
        (
            row,
            {
                "allOf": [
                    {"type": "object", "properties": first, "required": ["engagement_id"]},
                    {"$ref": "#/components/schemas/Row"},
                ]
            },
        ),
    ):
        node.clear()
        node.update(value)
    result = workbench.derive("--check")
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("openapi: 3.0.0", "is not JSON"), ("[]", "an object is expected")],
)
def test_a_file_that_is_no_document_is_an_error(
    tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "document"
    if content is not None:
        path.write_text(content)
    result = derive(path, "--output", tmp_path / "derived")
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {path}: {message}")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "derived").exists()


def test_two_documents_with_one_endpoint_are_refused(workbench: Workbench) -> None:
    assert workbench.derive().returncode == 0
    copies = [workbench.path, workbench.path, *workbench.others]
    result = derive(*copies, "--output", workbench.output)
    assert result.returncode == 1
    assert f"error: GET {SMS} is described by {workbench.path} and" in result.stderr


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
            (one.endpoint, one.path, one.keyword, json.dumps(one.value)) for one in CORRECTIONS
        }

    @pytest.mark.parametrize("name", [*KEYS, *FILTERS])
    def test_descriptions_are_not_zooms(name: str) -> None:
        prose = {words(text) for path in ZOOM for text in zoom_prose(json.loads(path.read_text()))}
        for path, node in walk(shipped(name)):
            ours = words(node.get("description", ""))
            assert ours not in prose - {""}, f"{path} has Zoom's own text"
            if len(ours.split()) > 5:
                assert not any(ours in text for text in prose), f"{path} is a part of Zoom's text"

"""Derive the JSON schemas in this directory from Zoom's OpenAPI documents.

    python schemas/derive.py [DOCUMENT ...] [--check]

1. Documents to facts. `zoom_facts.openapi.json` is an OpenAPI document without Zoom's prose: what
   is said of the endpoints that are read, and what Zoom says in the text alone (`CORRECTIONS`).
   The version of the facts is the day (UTC) on which the documents were copied.
2. Facts to schemas. Without a document this is all. Descriptions are this project's own words: they
   are edited in the JSON files, and kept, by field, when this runs again.

`--check` writes nothing: it prints what would change and exits 1 if that is anything.

Records (`<stream>.json`) leave out what would only refuse values (enum, pattern, lengths), since
Zoom may add values at any time and a row must not be lost for it. Filters (`<stream>_filters.json`)
keep it, so that a mistake is found before the first request, but no defaults: a validator that
fills them in would override what the tap chooses. `x-style` says how an array travels: `comma` in
one parameter, `repeat` as one for each item.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Node: TypeAlias = "dict[str, Any]"
"""An object of an OpenAPI document: a schema, or anything else that this script looks into."""

FACTS = Path(__file__).with_name("zoom_facts.openapi.json")
FILTER_KEYWORDS = (
    *("deprecated", "format", "enum", "examples", "pattern", "minLength", "maxLength"),
    *("minimum", "maximum", "minItems", "maxItems", "uniqueItems"),
)
FACT_KEYWORDS = ("type", *FILTER_KEYWORDS, "default", "required", "items", "properties")
PROSE_KEYWORDS = frozenset({"example", "examples", "title"})
PARAMETER_KEYWORDS = ("deprecated", "explode")
RECORD_KEYWORDS = ("format", "deprecated")
NOT_FILTERS = frozenset({"next_page_token", "page_size", "from", "to", "accountId"})
JSON = "application/json"

SMS = "/accounts/{accountId}/contact_center/sms"
VOICE_CALLS = "/accounts/{accountId}/contact_center/voice_calls"
SUB_ACCOUNTS = "/accounts"


class DocumentError(Exception):
    """A document, or a file that is there already, cannot be used; the message says why."""


@dataclass(frozen=True)
class Correction:
    """One keyword that a document should have at some fields and does not.

    Attributes:
        endpoint: Path of the endpoint.
        keyword: A keyword of JSON Schema, or `explode` of OpenAPI (false: comma-separated).
        value: What the keyword should be.
        evidence: Words that the text on each field has for as long as this is right.
        paths: `sms[].agents[].user_id` is in the answer, `?user_ids` a parameter, `[]` its items.
    """

    endpoint: str
    keyword: str
    value: object
    evidence: str
    paths: tuple[str, ...]


QUEUES = ("?queue_ids", "?cc_queue_ids")
LISTS = ("?user_ids", *QUEUES)
COMMAS = (*LISTS, "?sub_types", "?region_ids", "?region_names", "?team_ids", "?team_names")
TIMES = (
    *("voice_calls[].start_time", "voice_calls[].voice_call_details[].start_time"),
    *("voice_calls[].end_time", "voice_calls[].voice_call_details[].end_time"),
)
COUNTRIES = ("pattern", "^[A-Za-z]{2}$", "Two-letter ISO", ("?country_iso_codes[]",))

# Each is checked against every document that is read (see `correct`). What the text says without a
# line here is an error too (see `overlooked`).
CORRECTIONS = (
    # Source: the text on each of these fields describes a date and a time in ISO 8601. The
    # schema lacks the format, which the same fields of sms have.
    Correction(VOICE_CALLS, "format", "date-time", "yyyy-MM-dd'T'HH:mm:ss", TIMES),
    # Source: the text on each of these parameters asks for a comma-separated list. The document
    # never uses `explode`, and OpenAPI's default would be a repeated parameter.
    Correction(VOICE_CALLS, "explode", value=False, evidence="comma-separated", paths=COMMAS),
    # Source: the text limits these lists as it does those of regions and teams, where the schema
    # has the limit as well. sub_types has none in either place.
    Correction(VOICE_CALLS, "maxItems", 20, "up to 20", LISTS),
    # Source: the text gives these lists one more value, which selects what passed no queue.
    Correction(VOICE_CALLS, "examples", ["none"], "`none`", tuple(f"{one}[]" for one in QUEUES)),
    # Source: the text asks for codes of two letters. It says nothing of upper and lower case.
    Correction(SMS, *COUNTRIES),
    Correction(VOICE_CALLS, *COUNTRIES),
)


def correct(endpoint: str, fields: dict[str, Node]) -> Iterator[str]:
    """Apply the corrections of one endpoint to its fields, in place; give the problems found."""
    for correction in CORRECTIONS:
        keyword, evidence = correction.keyword, correction.evidence
        for path in correction.paths if correction.endpoint == endpoint else ():
            said = fields.get(path.removesuffix("[]"), {}).get("description", "")
            if path in fields and keyword not in fields[path] and evidence in said:
                fields[path][keyword] = correction.value
            else:
                yield (
                    f"{path} is gone, has {keyword} itself, or its text no longer has"
                    f" {evidence!r}; change CORRECTIONS"
                )


def overlooked(fields: dict[str, Node]) -> Iterator[str]:
    """Name what the text on an array says, and neither its schema nor a correction does."""
    for path, at in fields.items():
        words = at.get("description", "") if at["type"] == "array" else ""
        if "comma-separated" in words and at.get("explode") is not False:
            yield f"{path} is comma-separated by its text alone; add explode to CORRECTIONS"
        limit = re.search(r"up to (\d+)", words)
        if limit and at.get("maxItems") != int(limit[1]):
            yield f"{path} takes {limit[0]} by its text alone; add maxItems to CORRECTIONS"


def read_json(path: Path) -> Node:
    """Read a JSON file that holds an object.

    Raises:
        DocumentError: The file cannot be read, or is no such JSON.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        message = f"{path}: cannot be read as a JSON object ({error})"
        raise DocumentError(message) from error


def pick(node: Node, keywords: Iterable[str]) -> Node:
    """Give those of the keywords that the node has a value for, in the order of `keywords`."""
    return {key: node[key] for key in keywords if node.get(key) is not None}


def walk(schema: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Give a schema and all below it, each with its path, in their order."""
    yield path, schema
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}" if path else name)


def renew(before: Node, documents: list[Path]) -> Node:
    """Give the facts of the documents, or those of before if only the copies are newer.

    Raises:
        DocumentError: A document cannot be used, or none has an endpoint that is read.
    """
    paths: Node = dict.fromkeys((SMS, VOICE_CALLS, SUB_ACCOUNTS))
    for path in documents:
        document = read_json(path)
        try:
            for endpoint in [one for one in paths if one in document["paths"]]:
                operation = document["paths"][endpoint]["get"]
                facts = facts_of(endpoint, operation, f"{path}: GET {endpoint}")
                info = pick(document["info"], ("title", "version"))
                paths[endpoint] = {"x-document": info, "get": facts}
        except (AttributeError, KeyError, TypeError) as error:
            message = f"{path}: is no OpenAPI document of the kind that is known ({error!r})"
            raise DocumentError(message) from error
    if None in paths.values():
        message = f"GET {', '.join(one for one in paths if not paths[one])}: in no document"
        raise DocumentError(message)
    if json.dumps(before.get("paths")) == json.dumps(paths):
        return before
    copied = max(path.stat().st_mtime for path in documents)
    day = datetime.fromtimestamp(copied, timezone.utc).date().isoformat()
    info = {"title": "Facts of Zoom's OpenAPI documents", "version": day}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def facts_of(endpoint: str, operation: Node, where: str) -> Node:
    """Give what a document says of reading from an endpoint, corrected, without its text.

    Raises:
        DocumentError: The document has what is not known here, or the corrections do not fit it.
    """
    answer = whole(operation["responses"]["200"]["content"][JSON]["schema"], f"{where} > 200")
    fields = dict(walk(answer))
    parameters: list[Node] = []
    for parameter in operation.get("parameters", []):
        own = pick(parameter, ("description", "style", *PARAMETER_KEYWORDS))
        schema = whole(parameter["schema"] | own, f"{where} > {parameter['name']}")
        parameters.append({**pick(parameter, ("name", "in", "required")), "schema": schema})
        fields |= walk(schema, f"?{parameter['name']}")
    problems = [*correct(endpoint, fields), *overlooked(fields)]
    if problems:
        raise DocumentError("\n".join(f"{where}: {problem}" for problem in problems))
    # From here on the text is not needed, and each keyword goes where OpenAPI has it.
    for parameter in parameters:
        schema = parameter.pop("schema")
        parameter |= {key: schema.pop(key) for key in PARAMETER_KEYWORDS if key in schema}
        parameter["schema"] = schema
    for field in fields.values():
        kept = pick(field, FACT_KEYWORDS)
        field.clear()
        field.update(kept)
    responses: Node = {status: {"description": ""} for status in operation["responses"]}
    responses["200"]["content"] = {JSON: {"schema": answer}}
    return {"parameters": parameters, "responses": responses}


def whole(node: Node, where: str) -> Node:
    """Give a schema and all below it, each `allOf` made one; of Zoom's text, descriptions alone.

    Raises:
        DocumentError: The schema has something that this script does not know.
    """
    unknown = node.keys() - {*FACT_KEYWORDS, *PROSE_KEYWORDS, "description", "allOf", "explode"}
    if unknown:
        message = f"{where}: {', '.join(sorted(unknown))} cannot be derived from"
        raise DocumentError(message)
    schema: Node = {}
    own = {key: node[key] for key in node.keys() - PROSE_KEYWORDS - {"allOf"}}
    for part in [*(whole(part, where) for part in node.get("allOf", [])), own]:
        required = [*schema.get("required", []), *part.get("required", [])]
        declared = {**schema.get("properties", {}), **part.get("properties", {})}
        schema |= part | pick({"required": required or None, "properties": declared or None}, part)
    if "items" in schema:
        schema["items"] = whole(schema["items"], f"{where} > items")
    for name, child in schema.get("properties", {}).items():
        schema["properties"][name] = whole(child, f"{where} > {name}")
    return schema


@dataclass(frozen=True)
class Target:
    """A schema that is derived: of the rows that an endpoint answers with, or of its filters.

    Attributes:
        endpoint: Path of the endpoint.
        rows: Where in the answer the rows are; nothing where the schema is one of filters.
        required: The fields that are never null: key and replication key.
        added: Those of them that the tap adds to Zoom's rows.
    """

    endpoint: str
    rows: str = ""
    required: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def read(self, operation: Node) -> Node:
        """Read what the facts say of a row, or of all filters as one object."""
        if self.rows:
            answer = operation["responses"]["200"]["content"][JSON]["schema"]
            zooms = answer["properties"][self.rows]["items"]["properties"]
            text = {"type": "string"}
            fields = {**dict.fromkeys(self.added, text), **zooms, "unmapped_values": text}
        else:
            fields = {
                one["name"]: one["schema"] | pick(one, PARAMETER_KEYWORDS)
                for one in operation["parameters"]
                if one["name"] not in NOT_FILTERS
            }
        return {"type": "object", "properties": fields}

    def schema(self, field: Node, path: str, descriptions: dict[str, str]) -> Node:
        """Give the JSON schema of all, or of the field at `path`."""
        nullable = self.rows and path not in ("", *self.required)
        schema: Node = {"type": [field["type"], "null"] if nullable else field["type"]}
        schema |= pick({"description": descriptions.get(path)}, ["description"])
        schema |= pick(field, RECORD_KEYWORDS if self.rows else FILTER_KEYWORDS)
        if "items" in field:
            if not self.rows:
                schema["x-style"] = "comma" if field.get("explode") is False else "repeat"
            schema["items"] = self.schema(field["items"], f"{path}[]", descriptions)
        if "properties" in field:
            if not self.rows:
                schema["additionalProperties"] = False
            schema["properties"] = {
                name: self.schema(child, f"{path}.{name}" if path else name, descriptions)
                for name, child in field["properties"].items()
            }
        return schema | ({"required": list(self.required)} if self.required and not path else {})


ENGAGEMENT = ("account_id", "engagement_id", "start_time")
SCHEMAS = {
    "sms": Target(SMS, "sms", required=ENGAGEMENT, added=("account_id",)),
    "sms_filters": Target(SMS),
    "voice_calls": Target(VOICE_CALLS, "voice_calls", ENGAGEMENT, added=("account_id",)),
    "voice_calls_filters": Target(VOICE_CALLS),
    "sub_accounts": Target(SUB_ACCOUNTS, "accounts", required=("id",)),
}


def derive(documents: list[Path]) -> dict[Path, Node]:
    """Give what each file should hold: the facts, and the schemas that follow from them.

    Raises:
        DocumentError: A document cannot be used, or the corrections do not fit it.
    """
    facts = renew(read_json(FACTS), documents) if documents else read_json(FACTS)
    derived = {FACTS: facts}
    for name, target in SCHEMAS.items():
        path = FACTS.with_name(f"{name}.json")
        written = walk(read_json(path)) if path.exists() else ()
        descriptions = {at: node["description"] for at, node in written if "description" in node}
        root = target.read(facts["paths"][target.endpoint]["get"])
        derived[path] = target.schema(root, "", descriptions)
    return derived


def main() -> int:
    """Run the command; give its exit code."""
    parser = argparse.ArgumentParser(description="Derive JSON schemas from OpenAPI documents.")
    parser.add_argument("documents", nargs="*", type=Path, metavar="DOCUMENT", help="JSON file")
    parser.add_argument("--check", action="store_true", help="write nothing, tell what differs")
    options = parser.parse_args()
    try:
        derived = derive(options.documents)
    except DocumentError as error:
        sys.stderr.write("".join(f"error: {line}\n" for line in str(error).splitlines()))
        return 1
    different = False
    for path, content in derived.items():
        after = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        if not options.check:
            path.write_text(after, encoding="utf-8")
            continue
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        different |= before != after
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
        sys.stdout.writelines(difflib.unified_diff(old, new, str(path), "as derived", n=8))
    if different:
        sys.stderr.write("These files are not what they are derived from: run without --check.\n")
    return int(different)


if __name__ == "__main__":
    sys.exit(main())

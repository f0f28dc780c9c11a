"""Derive the JSON schemas in this directory from Zoom's OpenAPI documents.

    python schemas/derive.py [DOCUMENT ...] [--check] [--output DIRECTORY]

1. Documents to facts. `zoom_facts.openapi.json` holds what the documents say of the endpoints that
   are read: parameters, fields, types, formats, enums, limits. It has none of Zoom's prose, and
   is an OpenAPI document itself (3.1, without references), for tools that read these. What Zoom
   says in the text alone is added to it (see `CORRECTIONS`). At each endpoint, `x-document` has
   the title and the version of Zoom's document. The version of the facts is the day (UTC) on
   which the copies of the documents were made. Every endpoint must be in one of the documents.
2. Facts to schemas. Without a document this is all: the facts that are there are used.

`--check` writes nothing: it prints what would change and exits 1 if that is anything. Exit codes:
0 all is well, 1 something is to be done, 2 wrong usage.

Records (`sms.json`, `voice_calls.json`, `sub_accounts.json`) take every field at every depth
from the facts, with its type and format. Everything but the keys and the replication key may
be null. What would only refuse values (enum, pattern, lengths, minima) is left out, since Zoom
may add values at any time and a row must not be lost for it; the descriptions name the values
that are known. `account_id`, which Zoom's rows do not have, comes first; `unmapped_values`, the
column for all that has no column of its own, comes last.

Filters (`sms_filters.json`, `voice_calls_filters.json`) describe an object of query parameters:
all but range, page and account, which are the tap's to set. Here enums and limits stay, so that
a mistake is found before the first request. Defaults are left out: a default that a validator
fills in would override what the tap chooses. `x-style` says how an array travels: `comma` in one
parameter, `repeat` as one parameter for each item (OpenAPI's default).

Descriptions are this project's own words. They are edited in the JSON files and kept, by field,
when this script runs again. A field without one, and a known value of a record that its
description does not name, is reported.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import shlex
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Json: TypeAlias = "bool | int | float | str | list[Json] | JsonObject | None"
JsonObject: TypeAlias = "dict[str, Json]"

FACTS = "zoom_facts.openapi.json"
TYPES = ("object", "array", "string", "integer", "number", "boolean")
FILTER_KEYWORDS = (
    *("deprecated", "format", "enum", "examples", "pattern", "minLength", "maxLength"),
    *("minimum", "maximum", "minItems", "maxItems", "uniqueItems"),
)
FACT_KEYWORDS = ("type", *FILTER_KEYWORDS, "default", "required", "items", "properties")
PROSE_KEYWORDS = ("description", "example", "examples", "title")
PARAMETER_KEYWORDS = ("deprecated", "explode")
RECORD_KEYWORDS = ("format", "deprecated")
NOT_FILTERS = frozenset({"next_page_token", "page_size", "from", "to", "accountId"})
INSTANTS = frozenset({"start_time", "end_time"})
UNMAPPED = "unmapped_values"

SMS = "/accounts/{accountId}/contact_center/sms"
VOICE_CALLS = "/accounts/{accountId}/contact_center/voice_calls"
SUB_ACCOUNTS = "/accounts"
ANSWER = ("responses", "200", "content", "application/json", "schema")


class DocumentError(Exception):
    """A document, or a file that is there already, cannot be used; the message says why."""


# --- Corrections ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Correction:
    """One keyword that a document should have and does not.

    Attributes:
        endpoint: Path of the endpoint.
        path: The field, as in `sms[].agents[].user_id` for a field of the answer, `?user_id` for
            a parameter; `[]` at the end means the items of an array.
        keyword: A keyword of JSON Schema, or `explode` of OpenAPI (false: comma-separated).
        value: What the keyword should be.
        evidence: Words that the document's text on that field has for as long as this is right.
    """

    endpoint: str
    path: str
    keyword: str
    value: Json
    evidence: str


# Each line is checked against every document that is read: it is an error if the field is gone, if
# the text no longer has the evidence, or if the document has the keyword itself. What the text
# says without a line here is an error too (see `overlooked`).
CORRECTIONS = (
    # Source: the text on each of these fields describes a date and a time in ISO 8601. The
    # schema lacks the format, which the same fields of sms have.
    *(
        Correction(VOICE_CALLS, path, "format", "date-time", "yyyy-MM-dd'T'HH:mm:ss")
        for path in (
            *("voice_calls[].start_time", "voice_calls[].voice_call_details[].start_time"),
            *("voice_calls[].end_time", "voice_calls[].voice_call_details[].end_time"),
        )
    ),
    # Source: the text on each of these parameters asks for a comma-separated list. The document
    # never uses `explode`, and OpenAPI's default would be a repeated parameter.
    *(
        Correction(VOICE_CALLS, path, "explode", value=False, evidence="comma-separated")
        for path in (
            *("?user_ids", "?queue_ids", "?cc_queue_ids", "?sub_types"),
            *("?region_ids", "?region_names", "?team_ids", "?team_names"),
        )
    ),
    # Source: the text limits these lists as it does those of regions and teams, where the schema
    # has the limit as well. sub_types has none in either place.
    *(
        Correction(VOICE_CALLS, path, "maxItems", 20, "up to 20")
        for path in ("?user_ids", "?queue_ids", "?cc_queue_ids")
    ),
    # Source: the text gives these lists one more value, which selects what passed no queue.
    *(
        Correction(VOICE_CALLS, path, "examples", ["none"], "`none`")
        for path in ("?queue_ids[]", "?cc_queue_ids[]")
    ),
    # Source: the text asks for codes of two letters. It says nothing of upper and lower case.
    *(
        Correction(endpoint, "?country_iso_codes[]", "pattern", "^[A-Za-z]{2}$", "Two-letter ISO")
        for endpoint in (SMS, VOICE_CALLS)
    ),
)


def correct(endpoint: str, fields: dict[str, JsonObject]) -> Iterator[str]:
    """Apply the corrections of one endpoint to its fields, in place; give the problems found."""
    for correction in CORRECTIONS:
        if correction.endpoint != endpoint:
            continue
        path, keyword, value = correction.path, correction.keyword, correction.value
        about = f"the correction of {path} ({keyword}: {json.dumps(value)})"
        if path not in fields:
            yield f"{about} finds no such field; remove it from CORRECTIONS"
            continue
        if keyword in fields[path]:
            said = json.dumps(fields[path][keyword])
            yield f"{about} is not needed, the document says {said}; remove it from CORRECTIONS"
        elif correction.evidence not in text(fields[path.removesuffix("[]")].get("description")):
            yield (
                f"{about} stands on the words {correction.evidence!r}, which the document no"
                " longer has there; read the document and correct CORRECTIONS"
            )
        fields[path][keyword] = value


def overlooked(fields: dict[str, JsonObject]) -> Iterator[str]:
    """Name what the document's text says and neither its schemas nor a correction do."""
    for path, at in fields.items():
        words = text(at.get("description"))
        if path.rpartition(".")[2] in INSTANTS and at.get("format") != "date-time":
            yield f"{path} is an instant without format: date-time; add it to CORRECTIONS"
        if at["type"] == "object" and not at.get("properties"):
            yield f"{path} declares no properties, which several targets cannot store"
        if at["type"] != "array":
            continue
        if "items" not in at:
            yield f"{path} does not say what its items are, which several targets cannot store"
        if "comma-separated" in words and at.get("explode") is not False:
            yield f"{path} is comma-separated by its text alone; add explode to CORRECTIONS"
        limit = re.search(r"up to (\d+)", words)
        if limit and at.get("maxItems") != int(limit[1]):
            yield f"{path} takes {limit[0]} by its text alone; add maxItems to CORRECTIONS"


# --- Parts of JSON --------------------------------------------------------------------------


def read_json(path: Path) -> JsonObject:
    """Read a JSON file that holds an object.

    Raises:
        DocumentError: The file cannot be read, or is no such JSON.
    """
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror})"
        raise DocumentError(message) from error
    except ValueError as error:
        message = f"{path}: is not JSON ({error})"
        raise DocumentError(message) from error
    return member(content, where=str(path))


def member(node: Json, *keys: str, where: str) -> JsonObject:
    """Go down to an object within a document.

    Raises:
        DocumentError: There is no such object.
    """
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
        where = f"{where} > {key}"
    if not isinstance(node, dict):
        message = f"{where}: an object is expected here"
        raise DocumentError(message)
    return node


def text(value: Json) -> str:
    """Give a text of a document, or nothing where there is none."""
    return value if isinstance(value, str) else ""


def array(value: Json) -> list[Json]:
    """Give an array of a document, or an empty one where there is none."""
    return value if isinstance(value, list) else []


def pick(node: JsonObject, keywords: Iterable[str]) -> JsonObject:
    """Give those of the keywords that the node has a value for, in the order of `keywords`."""
    return {key: node[key] for key in keywords if node.get(key) is not None}


def items(schema: JsonObject) -> JsonObject | None:
    """Give the schema of an array's items, if it declares one."""
    declared = schema.get("items")
    return declared if isinstance(declared, dict) else None


def properties(schema: JsonObject) -> dict[str, JsonObject]:
    """Give the schemas of an object's properties; there are none if it declares none."""
    declared = schema.get("properties")
    declared = declared if isinstance(declared, dict) else {}
    return {name: child for name, child in declared.items() if isinstance(child, dict)}


def join(path: str, name: str) -> str:
    """Give the path of the field `name` below `path`."""
    return f"{path}.{name}" if path else name


def walk(schema: JsonObject, path: str = "") -> Iterator[tuple[str, JsonObject]]:
    """Give a schema and all below it, each with its path, in their order."""
    yield path, schema
    below = items(schema)
    if below is not None:
        yield from walk(below, f"{path}[]")
    for name, child in properties(schema).items():
        yield from walk(child, join(path, name))


# --- Documents to facts ---------------------------------------------------------------------


@dataclass(frozen=True)
class Document:
    """An OpenAPI document (JSON).

    Attributes:
        name: What errors call it.
        content: The whole of it.
        info: Its title and its version.
        copied: The day (UTC) on which this copy of it was made.
    """

    name: str
    content: JsonObject
    info: JsonObject
    copied: str

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a document.

        Raises:
            DocumentError: The file cannot be read, is not JSON, or has no title or endpoints.
        """
        content = read_json(path)
        member(content, "paths", where=str(path))
        info = pick(member(content, "info", where=str(path)), ("title", "version"))
        copied = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
        return cls(str(path), content, info, copied.date().isoformat())

    def has(self, endpoint: str) -> bool:
        """Tell whether the document describes reading from this endpoint."""
        node = member(self.content, "paths", where=self.name).get(endpoint)
        return isinstance(node, dict) and "get" in node

    def facts(self, endpoint: str) -> JsonObject:
        """Give what the document says of reading from this endpoint, corrected, without its text.

        Raises:
            DocumentError: The document has what this script does not know, or the corrections do
                not fit it.
        """
        where = f"{self.name}: GET {endpoint}"
        operation = member(self.content, "paths", endpoint, "get", where=self.name)
        answer = self.schema(member(operation, *ANSWER, where=where), f"{where} > 200")
        fields = dict(walk(answer))
        parameters: list[tuple[JsonObject, JsonObject]] = []
        for node in array(operation.get("parameters")):
            parameter, schema = self.parameter(node, f"{where} > parameters")
            parameters.append((parameter, schema))
            fields |= walk(schema, f"?{text(parameter.get('name'))}")

        problems = [*correct(endpoint, fields), *overlooked(fields)]
        if problems:
            raise DocumentError("\n".join(f"{where}: {problem}" for problem in problems))
        # From here on the text is not needed, and each keyword goes where OpenAPI has it.
        for parameter, schema in parameters:
            beside = {key: schema.pop(key) for key in PARAMETER_KEYWORDS if key in schema}
            parameter |= {**beside, "schema": schema}
        for field in fields.values():
            kept = pick(field, FACT_KEYWORDS)
            field.clear()
            field.update(kept)
        responses: JsonObject = {
            status: {"description": ""} for status in member(operation, "responses", where=where)
        }
        member(responses, "200", where=where)["content"] = {"application/json": {"schema": answer}}
        return {
            "x-document": self.info,
            "get": {
                "parameters": [parameter for parameter, _ in parameters],
                "responses": responses,
            },
        }

    def parameter(self, node: Json, where: str) -> tuple[JsonObject, JsonObject]:
        """Read a parameter: what it is called, and its schema with all that is said of it.

        Raises:
            DocumentError: The parameter has a form that this script does not know.
        """
        parameter = member(node, where=where)
        if "$ref" in parameter:
            parameter = self.target(parameter["$ref"], where)
        where = f"{where} > {text(parameter.get('name'))}"
        if parameter.get("in") == "query" and parameter.get("style", "form") != "form":
            message = f"{where}: style {parameter['style']!r} is not known"
            raise DocumentError(message)
        schema = self.schema(parameter.get("schema"), where)
        schema |= pick(parameter, ("description", *PARAMETER_KEYWORDS))
        return pick(parameter, ("name", "in", "required")), schema

    def schema(self, node: Json, where: str, within: tuple[Json, ...] = ()) -> JsonObject:
        """Read a schema and all below it, references resolved and `allOf` merged.

        `within` holds the references that led here.

        Raises:
            DocumentError: The schema contains itself, or has something that this script does not
                know.
        """
        own = member(node, where=where)
        if "$ref" in own:
            reference = own["$ref"]
            if reference in within:
                message = f"{where}: {reference!r} contains itself"
                raise DocumentError(message)
            return self.schema(self.target(reference, where), where, (*within, reference))
        unknown = own.keys() - {*FACT_KEYWORDS, *PROSE_KEYWORDS, "allOf"}
        if unknown:
            message = f"{where}: {', '.join(sorted(unknown))} cannot be derived from"
            raise DocumentError(message)
        merged: JsonObject = {}
        for number, part in enumerate(array(own.get("allOf"))):
            merged = merge(merged, self.schema(part, f"{where} > allOf {number}", within))
        schema = pick(own, own.keys() - {"allOf", *PROSE_KEYWORDS} | {"description"})
        if "items" in own:
            schema["items"] = self.schema(own["items"], f"{where} > items", within)
        if "properties" in own:
            schema["properties"] = {
                name: self.schema(child, f"{where} > {name}", within)
                for name, child in member(own, "properties", where=where).items()
            }
        merged = merge(merged, schema)
        if merged.get("type") not in TYPES:
            message = f"{where}: type {merged.get('type')!r} is none of {', '.join(TYPES)}"
            raise DocumentError(message)
        return merged

    def target(self, reference: Json, where: str) -> JsonObject:
        """Give what a reference within the document refers to.

        Raises:
            DocumentError: The reference leads nowhere, or out of the document.
        """
        if not text(reference).startswith("#/"):
            message = f"{where}: the reference {reference!r} leads out of the document"
            raise DocumentError(message)
        keys = (key.replace("~1", "/").replace("~0", "~") for key in text(reference)[2:].split("/"))
        return member(self.content, *keys, where=f"{where} > $ref")


def merge(first: JsonObject, second: JsonObject) -> JsonObject:
    """Give one schema that says what both say; where they differ, the second is right."""
    merged = first | second
    required = [*array(first.get("required")), *array(second.get("required"))]
    declared: JsonObject = {**properties(first), **properties(second)}
    return merged | pick({"required": required or None, "properties": declared or None}, merged)


def renew(before: JsonObject, documents: list[Document]) -> JsonObject:
    """Give the facts of the documents, or those of before if only the copies are newer.

    Raises:
        DocumentError: A document cannot be used, the corrections do not fit it, or an endpoint is
            in none of the documents, or in several.
    """
    paths: JsonObject = {}
    problems: list[str] = []
    for endpoint in (SMS, VOICE_CALLS, SUB_ACCOUNTS):
        sources = [document for document in documents if document.has(endpoint)]
        if len(sources) != 1:
            names = " and ".join(document.name for document in sources) or "no document"
            problems.append(f"GET {endpoint} is described by {names}; give one that has it")
            continue
        try:
            paths[endpoint] = sources[0].facts(endpoint)
        except DocumentError as error:
            problems.append(str(error))
    if problems:
        raise DocumentError("\n".join(problems))
    if json.dumps(before.get("paths")) == json.dumps(paths):
        return before
    newest = max(document.copied for document in documents)
    info: JsonObject = {"title": "Facts of Zoom's OpenAPI documents", "version": newest}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


# --- Facts to schemas -----------------------------------------------------------------------


def without_description(root: JsonObject, descriptions: dict[str, str]) -> Iterator[str]:
    """Name what has no description: the whole, or a field. Items of arrays need none."""
    for path, _ in walk(root):
        if path not in descriptions and not path.endswith("[]"):
            yield f"{path or 'the schema as a whole'} has no description"


@dataclass(frozen=True)
class Records:
    """The schema of a stream's records: the rows that an endpoint answers with.

    Attributes:
        name: Name of the stream and of the file.
        endpoint: Path of the endpoint.
        rows: Where in the answer the rows are.
        required: The fields that are never null: key and replication key.
        added: Those of them that the tap adds to Zoom's rows.
    """

    name: str
    endpoint: str
    rows: str
    required: tuple[str, ...]
    added: tuple[str, ...] = ()

    def read(self, operation: JsonObject) -> JsonObject:
        """Read what the facts say of a row.

        Raises:
            DocumentError: There are no rows, or they have not the fields that are required.
        """
        where = f"GET {self.endpoint} > 200"
        row = dict(walk(member(operation, *ANSWER, where=where))).get(f"{self.rows}[]")
        if row is None:
            message = f"{where}: there is no array {self.rows!r}"
            raise DocumentError(message)
        fields = properties(row)
        expected = [name for name in self.required if name not in self.added]
        wrong = [name for name in expected if name not in fields]
        added = (*self.added, UNMAPPED)
        wrong += [name for name in added if name in fields]
        if wrong:
            message = (
                f"{where}: rows must have {', '.join(expected)} and must not have"
                f" {', '.join(added)}; look at {', '.join(wrong)}"
            )
            raise DocumentError(message)
        first: JsonObject = {name: {"type": "string"} for name in self.added}
        return row | {"properties": first | fields | {UNMAPPED: {"type": "string"}}}

    def schema(self, field: JsonObject, path: str, descriptions: dict[str, str]) -> JsonObject:
        """Give the JSON schema of a row, or of the field at `path` within it."""
        nullable = path not in ("", *self.required)
        schema: JsonObject = {"type": [field["type"], "null"] if nullable else field["type"]}
        if path in descriptions:
            schema["description"] = descriptions[path]
        schema |= pick(field, RECORD_KEYWORDS)
        below = items(field)
        if below is not None:
            schema["items"] = self.schema(below, f"{path}[]", descriptions)
        if "properties" in field:
            schema["properties"] = {
                name: self.schema(child, join(path, name), descriptions)
                for name, child in properties(field).items()
            }
        if not path:
            schema["required"] = list(self.required)
        return schema

    def undescribed(self, row: JsonObject, descriptions: dict[str, str]) -> Iterator[str]:
        """Name what the descriptions leave out: fields, and values that the facts list."""
        yield from without_description(row, descriptions)
        for path, field in walk(row):
            named = set(re.findall(r"`([^`]+)`", descriptions.get(path, "")))
            known = [str(value) for value in array((items(field) or field).get("enum"))]
            unnamed = [value for value in known if value not in named]
            if unnamed and path in descriptions:
                yield f"the description of {path} does not name {', '.join(unnamed)}"


@dataclass(frozen=True)
class Filters:
    """The schema of a stream's filters: the query parameters that a setting may hold.

    Attributes:
        name: Name of the setting and of the file.
        endpoint: Path of the endpoint.
    """

    name: str
    endpoint: str

    def read(self, operation: JsonObject) -> JsonObject:
        """Read what the facts say of the parameters: an object of those that are filters."""
        filters: JsonObject = {}
        for node in array(operation.get("parameters")):
            parameter = member(node, where=FACTS)
            name = text(parameter.get("name"))
            if parameter.get("in") == "query" and name not in NOT_FILTERS:
                schema = member(parameter, "schema", where=f"{FACTS} > {name}")
                filters[name] = schema | pick(parameter, PARAMETER_KEYWORDS)
        return {"type": "object", "properties": filters}

    def schema(self, root: JsonObject, _path: str, descriptions: dict[str, str]) -> JsonObject:
        """Give the JSON schema of the object of all parameters."""
        return {
            "type": "object",
            **pick({"description": descriptions.get("")}, ("description",)),
            "additionalProperties": False,
            "properties": {
                name: self.parameter(at, descriptions.get(name))
                for name, at in properties(root).items()
            },
        }

    def parameter(self, at: JsonObject, description: str | None) -> JsonObject:
        """Give the JSON schema of one parameter, or of the items of one."""
        schema = pick({**at, "description": description}, ("type", "description"))
        schema |= pick(at, FILTER_KEYWORDS)
        below = items(at)
        if below is not None:
            schema["x-style"] = "comma" if at.get("explode") is False else "repeat"
            schema["items"] = self.parameter(below, None)
        return schema

    def undescribed(self, root: JsonObject, descriptions: dict[str, str]) -> Iterator[str]:
        """Name the parameters that have no description. Their values are in the schema."""
        yield from without_description(root, descriptions)


ENGAGEMENT = ("account_id", "engagement_id", "start_time")
SCHEMAS: tuple[Records | Filters, ...] = (
    Records("sms", SMS, "sms", required=ENGAGEMENT, added=("account_id",)),
    Filters("sms_filters", SMS),
    Records("voice_calls", VOICE_CALLS, "voice_calls", ENGAGEMENT, added=("account_id",)),
    Filters("voice_calls_filters", VOICE_CALLS),
    Records("sub_accounts", SUB_ACCOUNTS, "accounts", required=("id",)),
)


# --- The command ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Derived:
    """One file that was derived, and what is to be done about it by hand."""

    path: Path
    content: JsonObject
    undescribed: tuple[str, ...] = ()

    @property
    def before(self) -> str:
        """Give what the file is; nothing if it is missing."""
        return self.path.read_text(encoding="utf-8") if self.path.exists() else ""

    @property
    def after(self) -> str:
        """Give what the file should be."""
        return json.dumps(self.content, indent=2, ensure_ascii=False) + "\n"

    def changed(self) -> str:
        """Name a schema's fields that differ, which a difference in depth may not show."""
        if not self.before:
            return "is missing"
        sides = [dict(walk(read_json(self.path))), dict(walk(self.content))]
        own = [
            {path: {**node, "items": None, "properties": None} for path, node in side.items()}
            for side in sides
        ]
        paths = [path for path in own[0] | own[1] if own[0].get(path) != own[1].get(path)]
        names = ", ".join(path for path in paths if path)
        return f"differs at {names}" if names else "differs"

    def difference(self) -> str:
        """Give the unified difference between the file and what was derived."""
        before, after = self.before.splitlines(keepends=True), self.after.splitlines(keepends=True)
        names = (f"{self.path} (as it is)", f"{self.path} (as derived)")
        return "".join(difflib.unified_diff(before, after, *names, n=8))


def derive(documents: list[Document], directory: Path) -> list[Derived]:
    """Derive the facts from the documents, if there are any, and the schemas; write nothing.

    Raises:
        DocumentError: A document cannot be used, or the corrections do not fit it.
    """
    path = directory / FACTS
    facts: JsonObject = read_json(path) if path.exists() or not documents else {}
    if documents:
        facts = renew(facts, documents)
    derived = [Derived(path, facts)]
    for target in SCHEMAS:
        root = target.read(member(facts, "paths", target.endpoint, "get", where=FACTS))
        path = directory / f"{target.name}.json"
        written = dict(walk(read_json(path))) if path.exists() else {}
        texts = {at: text(node.get("description")).strip() for at, node in written.items()}
        descriptions = {at: words for at, words in texts.items() if words}
        schema = target.schema(root, "", descriptions)
        derived.append(Derived(path, schema, tuple(target.undescribed(root, descriptions))))
    return derived


def main(arguments: list[str] | None = None) -> int:
    """Run the command; give its exit code."""
    parser = argparse.ArgumentParser(description="Derive JSON schemas from OpenAPI documents.")
    parser.add_argument("documents", nargs="*", type=Path, metavar="DOCUMENT", help="JSON file")
    parser.add_argument("--check", action="store_true", help="write nothing, tell what differs")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent,
        metavar="DIRECTORY",
        help="where the facts and the schemas are; default: next to this script",
    )
    options = parser.parse_args(arguments)
    try:
        derived = derive([Document.read(path) for path in options.documents], options.output)
    except DocumentError as error:
        sys.stderr.write("".join(f"error: {line}\n" for line in str(error).splitlines()))
        return 1

    for one in derived:
        for problem in one.undescribed:
            sys.stderr.write(f"{one.path}: {problem}; write it there by hand\n")
    if not options.check:
        options.output.mkdir(parents=True, exist_ok=True)
        for one in derived:
            one.path.write_text(one.after, encoding="utf-8")
        return 0

    different = [one for one in derived if one.before != one.after]
    for one in different:
        sys.stdout.write(one.difference())
        sys.stderr.write(f"{one.path}: {one.changed()}\n")
    if different:
        again = shlex.join(["python", *(word for word in sys.argv if word != "--check")])
        sys.stderr.write(f"These files are not what they are derived from. Run: {again}\n")
    return 1 if different or any(one.undescribed for one in derived) else 0


if __name__ == "__main__":
    sys.exit(main())

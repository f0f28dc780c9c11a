"""Derive the JSON schemas in this directory from Zoom's OpenAPI documents.

    python schemas/derive.py DOCUMENT [DOCUMENT ...] [--check] [--output DIRECTORY]

Each schema is written if one of the documents has its endpoint. `--check` writes nothing: it
prints what would change and exits 1 if that is anything. Exit codes: 0 all is well, 1 something
is to be done, 2 wrong usage.

Records (`sms.json`, `voice_calls.json`, `sub_accounts.json`) take every field at every depth
from the document, with its type and format. Everything but the keys and the replication key may
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

What the documents leave out or say in their text alone stands in `CORRECTIONS`.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Json: TypeAlias = "bool | int | float | str | list[Json] | JsonObject | None"
JsonObject: TypeAlias = "dict[str, Json]"

TYPES = ("object", "array", "string", "integer", "number", "boolean")
UNSUPPORTED = ("oneOf", "anyOf", "not")
RECORD_KEYWORDS = ("format", "deprecated")
FILTER_KEYWORDS = (
    *("deprecated", "format", "enum", "examples", "pattern", "minLength", "maxLength"),
    *("minimum", "maximum", "minItems", "maxItems", "uniqueItems"),
)
NOT_FILTERS = frozenset({"next_page_token", "page_size", "from", "to", "accountId"})
INSTANTS = frozenset({"start_time", "end_time"})
UNMAPPED = "unmapped_values"


class DocumentError(Exception):
    """A document, or a schema that is there already, cannot be used; the message says why."""


# --- Corrections ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Correction:
    """One keyword that a document should have and does not.

    Attributes:
        schema: Name of the schema that is corrected, without `.json`.
        path: The field, as in `agents[].user_id`; `[]` at the end means the items of an array.
        keyword: A keyword of JSON Schema, or `explode` of OpenAPI (false: comma-separated).
        value: What the keyword should be.
        evidence: Words that the document's text on that field has for as long as this is right.
    """

    schema: str
    path: str
    keyword: str
    value: Json
    evidence: str


# Each line is checked against the document in every run: it is an error if the field is gone, if
# the text no longer has the evidence, or if the document has the keyword itself. What the text
# says without a line here is an error too (see `overlooked`).
CORRECTIONS = (
    # Source: the text on each of these fields describes a date and a time in ISO 8601. The
    # schema lacks the format, which the same fields of sms have.
    *(
        Correction("voice_calls", path, "format", "date-time", "yyyy-MM-dd'T'HH:mm:ss")
        for path in (
            *("start_time", "end_time"),
            *("voice_call_details[].start_time", "voice_call_details[].end_time"),
        )
    ),
    # Source: the text on each of these parameters asks for a comma-separated list. The document
    # never uses `explode`, and OpenAPI's default would be a repeated parameter.
    *(
        Correction("voice_calls_filters", path, "explode", value=False, evidence="comma-separated")
        for path in (
            *("user_ids", "queue_ids", "cc_queue_ids", "sub_types"),
            *("region_ids", "region_names", "team_ids", "team_names"),
        )
    ),
    # Source: the text limits these lists as it does those of regions and teams, where the schema
    # has the limit as well. sub_types has none in either place.
    *(
        Correction("voice_calls_filters", path, "maxItems", 20, "up to 20")
        for path in ("user_ids", "queue_ids", "cc_queue_ids")
    ),
    # Source: the text gives these lists one more value, which selects what passed no queue.
    *(
        Correction("voice_calls_filters", path, "examples", ["none"], "`none`")
        for path in ("queue_ids[]", "cc_queue_ids[]")
    ),
    # Source: the text asks for codes of two letters. It says nothing of upper and lower case.
    *(
        Correction(schema, "country_iso_codes[]", "pattern", "^[A-Za-z]{2}$", "Two-letter ISO")
        for schema in ("sms_filters", "voice_calls_filters")
    ),
)


# --- What a document says -------------------------------------------------------------------


@dataclass
class Field:
    """A schema as the document has it, references resolved and `allOf` merged."""

    type: str
    text: str = ""
    keywords: JsonObject = field(default_factory=dict)
    properties: dict[str, Field] = field(default_factory=dict)
    items: Field | None = None

    def walk(self, path: str = "") -> Iterator[tuple[str, Field]]:
        """Give this field and all below it, each with its path, in the document's order."""
        yield path, self
        if self.items:
            yield from self.items.walk(f"{path}[]")
        for name, child in self.properties.items():
            yield from child.walk(join(path, name))

    def known_values(self) -> list[str]:
        """Give the values that the document lists for this field, or for its items."""
        values = (self.items or self).keywords.get("enum", [])
        return [str(value) for value in values] if isinstance(values, list) else []


def join(path: str, name: str) -> str:
    """Give the path of the field `name` below `path`."""
    return f"{path}.{name}" if path else name


def text(value: Json) -> str:
    """Give a text of a document, or nothing where there is none."""
    return value if isinstance(value, str) else ""


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


@dataclass(frozen=True)
class Document:
    """An OpenAPI document (3.0, JSON) and the name that errors call it by."""

    name: str
    content: JsonObject

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a document.

        Raises:
            DocumentError: The file cannot be read, is not JSON, or has no endpoints.
        """
        content = member(read_json(path), where=str(path))
        member(content, "paths", where=str(path))
        return cls(str(path), content)

    def has(self, endpoint: str) -> bool:
        """Tell whether the document describes reading from this endpoint."""
        node = member(self.content, "paths", where=self.name).get(endpoint)
        return isinstance(node, dict) and "get" in node

    def operation(self, endpoint: str) -> JsonObject:
        """Give the description of reading from this endpoint."""
        return member(self.content, "paths", endpoint, "get", where=self.name)

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

    def field(self, node: Json, where: str, within: tuple[Json, ...] = ()) -> Field:
        """Read a schema and all below it; `within` holds the references that led here.

        Raises:
            DocumentError: The schema contains itself, or has something that this script does not
                know.
        """
        schema = member(node, where=where)
        if "$ref" in schema:
            reference = schema["$ref"]
            if reference in within:
                message = f"{where}: {reference!r} contains itself"
                raise DocumentError(message)
            return self.field(self.target(reference, where), where, (*within, reference))
        unknown = [keyword for keyword in UNSUPPORTED if keyword in schema]
        parts = schema.get("allOf", [])
        if unknown or not isinstance(parts, list):
            message = f"{where}: {', '.join(unknown) or 'allOf'} cannot be derived from"
            raise DocumentError(message)
        merged = [
            self.field(part, f"{where} > allOf {number}", within)
            for number, part in enumerate(parts)
        ]
        kind = schema.get("type", merged[0].type if merged else None)
        if not isinstance(kind, str) or kind not in TYPES:
            message = f"{where}: type {kind!r} is none of {', '.join(TYPES)}"
            raise DocumentError(message)
        own = schema.get("properties", {})
        result = Field(
            type=kind,
            text=text(schema.get("description")),
            keywords=dict(schema),
            properties={
                name: self.field(child, f"{where} > {name}", within)
                for name, child in member(own, where=where).items()
            },
        )
        if "items" in schema:
            result.items = self.field(schema["items"], f"{where} > items", within)
        for part in reversed(merged):
            result.properties = part.properties | result.properties
            result.keywords = part.keywords | result.keywords
            result.items = result.items or part.items
        return result


def read_json(path: Path) -> Json:
    """Read a JSON file.

    Raises:
        DocumentError: The file cannot be read or is not JSON.
    """
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror})"
        raise DocumentError(message) from error
    except ValueError as error:
        message = f"{path}: is not JSON ({error})"
        raise DocumentError(message) from error
    return content


# --- What becomes of it ---------------------------------------------------------------------


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

    def read(self, document: Document) -> Field:
        """Read what the document says of a row.

        Raises:
            DocumentError: There are no rows, or they have not the fields that are required.
        """
        where = f"{document.name}: GET {self.endpoint} > 200"
        answer = member(document.operation(self.endpoint), "responses", "200", where=where)
        schema = member(answer, "content", "application/json", "schema", where=where)
        rows = document.field(schema, where).properties.get(self.rows)
        if not rows or not rows.items:
            message = f"{where}: there is no array {self.rows!r}"
            raise DocumentError(message)
        row = rows.items
        expected = [name for name in self.required if name not in self.added]
        wrong = [name for name in expected if name not in row.properties]
        added = (*self.added, UNMAPPED)
        wrong += [name for name in added if name in row.properties]
        if wrong:
            message = (
                f"{where}: rows must have {', '.join(expected)} and must not have"
                f" {', '.join(added)}; look at {', '.join(wrong)}"
            )
            raise DocumentError(message)
        row.properties = {name: Field("string") for name in self.added} | row.properties
        row.properties[UNMAPPED] = Field("string")
        return row

    def schema(self, row: Field, path: str, descriptions: dict[str, str]) -> JsonObject:
        """Give the JSON schema of a row, or of the field at `path` within it."""
        nullable = path not in ("", *self.required)
        schema: JsonObject = {"type": [row.type, "null"] if nullable else row.type}
        if path in descriptions:
            schema["description"] = descriptions[path]
        schema |= pick(row.keywords, RECORD_KEYWORDS)
        if row.items:
            schema["items"] = self.schema(row.items, f"{path}[]", descriptions)
        if row.properties:
            schema["properties"] = {
                name: self.schema(child, join(path, name), descriptions)
                for name, child in row.properties.items()
            }
        if not path:
            schema["required"] = list(self.required)
        return schema

    def undescribed(self, row: Field, descriptions: dict[str, str]) -> Iterator[str]:
        """Name what the descriptions leave out: fields, and values that the document lists."""
        yield from without_description(row, descriptions)
        for path, at in row.walk():
            named = set(re.findall(r"`([^`]+)`", descriptions.get(path, "")))
            unnamed = [value for value in at.known_values() if value not in named]
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

    def read(self, document: Document) -> Field:
        """Read what the document says of the parameters.

        Raises:
            DocumentError: A parameter has a form that this script does not know.
        """
        where = f"{document.name}: GET {self.endpoint} > parameters"
        result = Field("object")
        parameters = document.operation(self.endpoint).get("parameters", [])
        for node in parameters if isinstance(parameters, list) else []:
            parameter = member(node, where=where)
            if "$ref" in parameter:
                parameter = document.target(parameter["$ref"], where)
            name = text(parameter.get("name"))
            if parameter.get("in") != "query" or name in NOT_FILTERS:
                continue
            if parameter.get("style", "form") != "form":
                message = f"{where} > {name}: style {parameter['style']!r} is not known"
                raise DocumentError(message)
            at = document.field(parameter.get("schema"), f"{where} > {name}")
            at.text = text(parameter.get("description"))
            at.keywords |= pick(parameter, ("deprecated", "explode"))
            result.properties[name] = at
        return result

    def schema(self, parameters: Field, _path: str, descriptions: dict[str, str]) -> JsonObject:
        """Give the JSON schema of the object of all parameters."""
        return {
            "type": "object",
            **pick({"description": descriptions.get("")}, ("description",)),
            "additionalProperties": False,
            "properties": {
                name: self.parameter(at, descriptions.get(name))
                for name, at in parameters.properties.items()
            },
        }

    def parameter(self, at: Field, description: str | None) -> JsonObject:
        """Give the JSON schema of one parameter, or of the items of one."""
        schema: JsonObject = {"type": at.type}
        schema |= pick({"description": description}, ("description",))
        schema |= pick(at.keywords, FILTER_KEYWORDS)
        if at.items:
            schema["x-style"] = "comma" if at.keywords.get("explode") is False else "repeat"
            schema["items"] = self.parameter(at.items, None)
        return schema

    def undescribed(self, parameters: Field, descriptions: dict[str, str]) -> Iterator[str]:
        """Name the parameters that have no description. Their values are in the schema."""
        yield from without_description(parameters, descriptions)


SMS = "/accounts/{accountId}/contact_center/sms"
VOICE_CALLS = "/accounts/{accountId}/contact_center/voice_calls"
ENGAGEMENT = ("account_id", "engagement_id", "start_time")
SCHEMAS: tuple[Records | Filters, ...] = (
    Records("sms", SMS, "sms", required=ENGAGEMENT, added=("account_id",)),
    Filters("sms_filters", SMS),
    Records("voice_calls", VOICE_CALLS, "voice_calls", ENGAGEMENT, added=("account_id",)),
    Filters("voice_calls_filters", VOICE_CALLS),
    Records("sub_accounts", "/accounts", "accounts", required=("id",)),
)


def pick(node: JsonObject, keywords: Iterable[str]) -> JsonObject:
    """Give those of the keywords that the node has a value for, in the order of `keywords`."""
    return {key: node[key] for key in keywords if node.get(key) is not None}


def without_description(root: Field, descriptions: dict[str, str]) -> Iterator[str]:
    """Name what has no description: the whole, or a field. Items of arrays need none."""
    for path, _ in root.walk():
        if path not in descriptions and not path.endswith("[]"):
            yield f"{path or 'the schema as a whole'} has no description"


def correct(name: str, root: Field) -> Iterator[str]:
    """Apply the corrections of one schema in place; give the problems found."""
    fields = dict(root.walk())
    for correction in CORRECTIONS:
        if correction.schema != name:
            continue
        path, keyword, value = correction.path, correction.keyword, correction.value
        about = f"the correction of {path} ({keyword}: {json.dumps(value)})"
        if path not in fields:
            yield f"{about} finds no such field; remove it from CORRECTIONS"
            continue
        keywords = fields[path].keywords
        if keyword in keywords:
            said = json.dumps(keywords[keyword])
            yield f"{about} is not needed, the document says {said}; remove it from CORRECTIONS"
        elif correction.evidence not in fields[path.removesuffix("[]")].text:
            yield (
                f"{about} stands on the words {correction.evidence!r}, which the document no"
                " longer has there; read the document and correct CORRECTIONS"
            )
        keywords[keyword] = value


def overlooked(root: Field) -> Iterator[str]:
    """Name what the document's text says and neither its schemas nor a correction do."""
    for path, at in root.walk():
        if path.rpartition(".")[2] in INSTANTS and at.keywords.get("format") != "date-time":
            yield f"{path} is an instant without format: date-time; add it to CORRECTIONS"
        if at.type == "object" and not at.properties:
            yield f"{path} declares no properties, which several targets cannot store"
        if at.type != "array":
            continue
        if not at.items:
            yield f"{path} does not say what its items are, which several targets cannot store"
        if "comma-separated" in at.text and at.keywords.get("explode") is not False:
            yield f"{path} is comma-separated by its text alone; add explode to CORRECTIONS"
        limit = re.search(r"up to (\d+)", at.text)
        if limit and at.keywords.get("maxItems") != int(limit[1]):
            yield f"{path} takes {limit[0]} by its text alone; add maxItems to CORRECTIONS"


def nodes(schema: Json, path: str = "") -> Iterator[tuple[str, JsonObject]]:
    """Give a JSON schema and all below it, each with its path, as `Field.walk` does."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    yield from nodes(schema.get("items"), f"{path}[]")
    properties = schema.get("properties")
    for name, child in properties.items() if isinstance(properties, dict) else ():
        yield from nodes(child, join(path, name))


# --- The command ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Derived:
    """One schema that was derived, and what is to be done about it by hand."""

    path: Path
    before: str
    schema: JsonObject
    undescribed: tuple[str, ...]

    @property
    def after(self) -> str:
        """Give what the file should be."""
        return json.dumps(self.schema, indent=2, ensure_ascii=False) + "\n"

    def changed(self) -> str:
        """Name the fields that differ, which a difference in depth may not show."""
        if not self.before:
            return "is missing"
        sides = [dict(nodes(json.loads(self.before))), dict(nodes(self.schema))]
        own = [
            {path: {**node, "items": None, "properties": None} for path, node in side.items()}
            for side in sides
        ]
        paths = [path for path in own[0] | own[1] if own[0].get(path) != own[1].get(path)]
        names = ", ".join(path or "the schema as a whole" for path in paths)
        return f"differs at {names or 'no field, but in order or layout'}"

    def difference(self) -> str:
        """Give the unified difference between the file and what was derived."""
        before, after = self.before.splitlines(keepends=True), self.after.splitlines(keepends=True)
        names = (f"{self.path} (as it is)", f"{self.path} (as derived)")
        return "".join(difflib.unified_diff(before, after, *names))


def derive(documents: list[Document], directory: Path) -> list[Derived]:
    """Derive every schema whose endpoint is in one of the documents; write nothing.

    Raises:
        DocumentError: A document cannot be used, or the corrections do not fit it.
    """
    derived: list[Derived] = []
    problems: list[str] = []
    for target in SCHEMAS:
        sources = [document for document in documents if document.has(target.endpoint)]
        if not sources:
            continue
        if len(sources) > 1:
            names = " and ".join(document.name for document in sources)
            message = f"GET {target.endpoint} is described by {names}; give one of them"
            raise DocumentError(message)
        root = target.read(sources[0])
        found = [*correct(target.name, root), *overlooked(root)]
        problems += [f"{sources[0].name}: {target.name}: {problem}" for problem in found]
        path = directory / f"{target.name}.json"
        written = dict(nodes(read_json(path))) if path.exists() else {}
        texts = {at: text(node.get("description")).strip() for at, node in written.items()}
        descriptions = {at: words for at, words in texts.items() if words}
        derived.append(
            Derived(
                path,
                before=path.read_text(encoding="utf-8") if path.exists() else "",
                schema=target.schema(root, "", descriptions),
                undescribed=tuple(target.undescribed(root, descriptions)),
            )
        )
    if problems:
        raise DocumentError("\n".join(problems))
    for document in documents:
        if not any(document.has(target.endpoint) for target in SCHEMAS):
            message = f"{document.name}: has none of the endpoints that schemas are derived from"
            raise DocumentError(message)
    return derived


def main(arguments: list[str] | None = None) -> int:
    """Run the command; give its exit code."""
    parser = argparse.ArgumentParser(description="Derive JSON schemas from OpenAPI documents.")
    parser.add_argument("documents", nargs="+", type=Path, metavar="DOCUMENT", help="JSON file")
    parser.add_argument("--check", action="store_true", help="write nothing, tell what differs")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent,
        metavar="DIRECTORY",
        help="where the schemas are; default: next to this script",
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
        sys.stderr.write(f"The schemas are not what the documents say. Run: {again}\n")
    return 1 if different or any(one.undescribed for one in derived) else 0


if __name__ == "__main__":
    sys.exit(main())

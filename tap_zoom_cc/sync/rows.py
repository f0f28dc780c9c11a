"""Rows: from the JSON of a page to records that conform to the stream's schema.

A row is read twice, each time for little: its key when its page arrives (`read_key`), to count, to
order and to check it; all of it when it is emitted (`RowDecoder`). In between it stays JSON, which
takes a fraction of the memory of Python objects.

The decoder is compiled from the schema once. msgspec then checks every declared type and notices
undeclared fields in C; only a row that does not fit is conformed in Python, field by field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from tap_zoom_cc.zoom.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Schema: TypeAlias = "Mapping[str, object]"
Record: TypeAlias = "dict[str, object]"
InstantFields: TypeAlias = "dict[str, InstantFields | None]"

_PLAIN_UTC = re.compile(
    r"(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:Z|\+00:00)",
    re.ASCII,
)
"""The two forms in which nearly all instants come: they need no calculation."""

DESELECT = "deselect the field to go on, and report it"

_SCALARS: dict[str, object] = {
    "string": str | None,
    "integer": int | None,
    "number": int | float | None,
    "boolean": bool | None,
}


class UnfitRowError(ValueError):
    """A row has a value that its schema cannot take; the message names field and types."""


class RowKey(msgspec.Struct, gc=False, frozen=True):
    """What must be known of a row before it is emitted."""

    engagement_id: str
    start_time: datetime
    end_time: datetime | None = None

    @property
    def row_id(self) -> str:
        """What tells the row from all others of its account."""
        return self.engagement_id


class _TextKey(msgspec.Struct):
    engagement_id: str
    start_time: str
    end_time: str | None = None


_key_decoder = msgspec.json.Decoder(RowKey)
_text_key_decoder = msgspec.json.Decoder(_TextKey)


def read_key(row: msgspec.Raw) -> RowKey:
    """Read a row's key, start and end; instants without an offset are UTC.

    Raises:
        msgspec.MsgspecError: if the row is no object, or lacks its key or start.
        ValueError: if the key is empty, or start or end are no instants.
    """
    try:
        key = _key_decoder.decode(row)
    except msgspec.ValidationError:
        # Bare dates and empty ends are rare, and no reason to refuse a row.
        text = _text_key_decoder.decode(row)
        end = parse_instant(text.end_time) if text.end_time else None
        key = RowKey(text.engagement_id, parse_instant(text.start_time), end)
    if not key.engagement_id:
        message = "a row has an empty engagement_id"
        raise ValueError(message)
    if key.start_time.tzinfo is None or (key.end_time and key.end_time.tzinfo is None):
        return RowKey(
            key.engagement_id, _in_utc(key.start_time), key.end_time and _in_utc(key.end_time)
        )
    return key


def _in_utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)


@dataclass(slots=True)
class Notices:
    """What a row had to be changed for; each is reported once per stream."""

    unknown_fields: set[str] = field(default_factory=set)
    converted_fields: set[str] = field(default_factory=set)


class RowDecoder:
    """Turns the JSON of rows into records of one schema."""

    def __init__(
        self,
        schema: Schema,
        selected: Callable[[str], bool],
        notice: Callable[[Notices], None],
    ) -> None:
        """Compile a schema.

        Args:
            schema: the JSON schema of a row.
            selected: whether a top-level field is selected; the others are passed on unchecked,
                for the SDK to drop.
            notice: called for each row that did not fit as it was.
        """
        properties = _properties(schema)
        checked: dict[str, object] = {
            name: part if selected(name) else {} for name, part in properties.items()
        }
        self._schema: Schema = {"type": "object", "properties": checked}
        self._decoder = msgspec.json.Decoder(_type_of(self._schema, "Row"))
        self._instants = _instant_fields(self._schema)
        self._notice = notice

    def decode(self, row: msgspec.Raw) -> Record:
        """Return the record in a row: undeclared fields left out, instants in UTC.

        Raises:
            UnfitRowError: if a value cannot be brought to its declared type.
        """
        try:
            record: Record = msgspec.to_builtins(self._decoder.decode(row))
        except (msgspec.ValidationError, UnicodeDecodeError, RecursionError):
            notices = Notices()
            record = _conform_object(_plain_json(row), self._schema, "", notices)
            self._notice(notices)
        _instants_to_utc(record, self._instants)
        return record


def _plain_json(row: msgspec.Raw) -> object:
    """Decode a row without a schema.

    Raises:
        UnfitRowError: if no value can be made of it.
    """
    try:
        return msgspec.json.decode(row)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"it cannot be decoded: {_why_undecodable(error)}; report it"
        raise UnfitRowError(message) from error


def _why_undecodable(error: Exception) -> str:
    match error:
        case UnicodeDecodeError():
            return "a text is not UTF-8"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return str(error)


def _properties(schema: Schema) -> Mapping[str, Schema]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _types(schema: Schema) -> list[str]:
    declared = schema.get("type", [])
    return [declared] if isinstance(declared, str) else list(declared)  # type: ignore[call-overload]


def _kind(schema: Schema) -> str:
    """Return the one declared type besides null; an empty text where anything goes."""
    kinds = [name for name in _types(schema) if name != "null"]
    return kinds[0] if len(kinds) == 1 else ""


def _type_of(schema: Schema, name: str) -> object:
    """Return the msgspec type that takes what a schema declares; nulls always pass."""
    kind = _kind(schema)
    if kind == "object" and _properties(schema):
        fields = [
            (key, _type_of(part, f"{name}_{key}") | msgspec.UnsetType, msgspec.UNSET)
            for key, part in _properties(schema).items()
        ]
        return msgspec.defstruct(name, fields, forbid_unknown_fields=True, gc=False) | None
    if kind == "array":
        items = schema.get("items")
        return list[_type_of(items if isinstance(items, dict) else {}, f"{name}_item")] | None  # type: ignore[misc]
    if kind in _SCALARS:
        return _SCALARS[kind]
    return object


def _instant_fields(schema: Schema) -> InstantFields:
    """Return the date-time fields of a schema, as a tree that leaves out everything else."""
    tree: InstantFields = {}
    for name, part in _properties(schema).items():
        items = part.get("items")
        inner = items if _kind(part) == "array" and isinstance(items, dict) else part
        if inner.get("format") == "date-time":
            tree[name] = None
        elif branch := _instant_fields(inner):
            tree[name] = branch
    return tree


def _instants_to_utc(record: Record, tree: InstantFields, path: str = "") -> None:
    for name, branch in tree.items():
        value = record.get(name)
        if branch is None:
            if isinstance(value, str):
                record[name] = _instant_to_utc(value, f"{path}{name}")
        elif isinstance(value, list):
            for entry in value:
                if isinstance(entry, dict):
                    _instants_to_utc(entry, branch, f"{path}{name}[].")
        elif isinstance(value, dict):
            _instants_to_utc(value, branch, f"{path}{name}.")


def _instant_to_utc(text: str, path: str) -> str | None:
    """Return the same instant in UTC with an offset; an empty text is no instant."""
    if plain := _PLAIN_UTC.fullmatch(text):
        return f"{plain[1]}+00:00"
    if not text:
        return None
    try:
        return format_instant(parse_instant(text))
    except ValueError as error:
        message = f"field {path} holds no date-time; {DESELECT}"
        raise UnfitRowError(message) from error


def _conform_object(value: object, schema: Schema, path: str, notices: Notices) -> Record:
    if not isinstance(value, dict):
        raise _unfit(value, "object", path)
    record: Record = {}
    for name, part in value.items():
        declared = _properties(schema).get(name)
        if declared is None:
            notices.unknown_fields.add(f"{path}{name}")
        else:
            record[name] = _conform(part, declared, f"{path}{name}", notices)
    return record


def _conform(value: object, schema: Schema, path: str, notices: Notices) -> object:
    """Bring a value to its declared type where nothing is lost by that."""
    kind = _kind(schema)
    if value is None or not kind:
        return value
    if kind == "object":
        if not _properties(schema) and isinstance(value, dict):
            return value
        return _conform_object(value, schema, f"{path}.", notices)
    if kind == "array":
        items = schema.get("items")
        if not isinstance(value, list):
            raise _unfit(value, kind, path)
        inner = items if isinstance(items, dict) else {}
        return [_conform(entry, inner, f"{path}[]", notices) for entry in value]
    conformed = _conform_scalar(value, kind)
    if conformed is None:
        raise _unfit(value, kind, path)
    if conformed is not value:
        notices.converted_fields.add(path)
    return conformed


def _conform_scalar(value: object, kind: str) -> object:  # noqa: PLR0911 (one for each conversion)
    """Return the value in the declared type, or None when it would not be the same value."""
    match kind, value:
        case ("string", str()) | ("boolean", bool()):
            return value
        case "string", bool():
            return "true" if value else "false"
        case "string", int() | float():
            return str(value)
        case "boolean", "true" | "false":
            return value == "true"
        case (("integer" | "number"), str()):
            return _number_in(value, kind)
        case (("integer" | "number"), int()) if not isinstance(value, bool):
            return value
        case "integer", float() if value.is_integer():
            return int(value)
        case "number", float():
            return value
    return None


def _number_in(text: str, kind: str) -> float | None:
    try:
        return int(text) if kind == "integer" else float(text)
    except ValueError:
        return None


def _unfit(value: object, kind: str, path: str) -> UnfitRowError:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}
    actual = names.get(type(value), type(value).__name__)
    where = path.rstrip(".") or "row"
    return UnfitRowError(f"field {where} is of type {actual}, not {kind}; {DESELECT}")

"""What does not fit: rows that the compiled decoder refuses, and values that have no column.

Such a row is read by `json` and conformed part by part. Each part is tried as a whole first, and
only what does not fit is opened. A value of another type is converted where it stays the same
value. What cannot be brought to its declared type becomes null in the record, and is kept beside
it.

What has no column is kept, as Zoom's own JSON, in the one column that takes everything. That holds
a JSON object. Its keys are JSON Pointers (RFC 6901) into the row, its values are what Zoom sent
there, digit for digit, without the whitespace between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from tap_zoom_cc.rows.types import UnfitError, exact_integer, exact_number
from tap_zoom_cc.zoom import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_zoom_cc.rows.types import Part, Record
    from tap_zoom_cc.zoom.json_text import Json

COLUMN = "unmapped_values"

Change: TypeAlias = Literal["undeclared", "unfit", "converted", "repaired"]
"""Why a field of a row is not as Zoom sent it.

``undeclared``: no schema declares it, and its value is in the column. ``unfit``: its value does not
fit the declared type; it is null, and the value is in the column. ``converted``: its value came in
another type, and was brought to the declared one. ``repaired``: it had a text that is no Unicode,
and U+FFFD stands where that was.
"""

FieldChange: TypeAlias = "tuple[Change, str]"
"""A change and its field, named without positions in lists: ``legs[].seconds``."""

Learned: TypeAlias = "dict[str, Learned | FieldChange]"
"""Undeclared fields by name, each with its change, below the declared fields that they are in."""

LONGEST_SHOWN = 80
"""Characters of a field's name, or of a row's ID, that a message shows."""

DOES_NOT_FIT = (msgspec.MsgspecError, UnicodeError, RecursionError, UnfitError)
"""What is raised for a value that is not as declared."""


def fields_of(row: msgspec.Raw) -> dict[str, Json]:
    """Return the fields of a row, whatever their values are.

    Raises:
        ValueError: if the row is no JSON object.
    """
    fields = json_text.read(bytes(row))
    if not isinstance(fields, dict):
        raise ValueError("a row is no JSON object")  # noqa: TRY004 (what is wrong is the row)
    return fields


def text_of(fields: Mapping[str, Json], name: str) -> str:
    """Return what a row must have in a field: a text, or a number, which is taken as text.

    Raises:
        ValueError: if the row has no such thing.
    """
    value = json_text.repaired(fields.get(name))
    try:
        return value if isinstance(value, str) else str(converted(value, "string"))
    except UnfitError as error:
        raise ValueError(f"a row has no {name}, or one that is no text") from error


def conform_members(
    members: Mapping[str, Json], part: Part, pointer: str, unmapped: Unmapped
) -> Record:
    """Return an object with all of its declared fields; others are kept in ``unmapped``.

    Args:
        members: the object's members.
        part: what is declared of them.
        pointer: where in the row the object is, as JSON Pointer.
        unmapped: takes what has no place.
    """
    properties = part.properties or {}
    record: Record = dict.fromkeys(properties)
    for name, value in members.items():
        readable = json_text.repaired_text(name)
        place = pointer + step(readable)
        if name in properties:
            record[name] = _conform(value, properties[name], place, unmapped)
        else:
            path = f"{part.path}.{shown(readable)}" if part.path else shown(readable)
            change: FieldChange = ("undeclared", path)
            unmapped.add(place, value, change)
            unmapped.undeclared.append(((*part.way, name), change))
    return record


def _conform(value: Json, part: Part, pointer: str, unmapped: Unmapped) -> object:
    try:
        return part.read(msgspec.json.encode(value))
    except DOES_NOT_FIT:
        pass
    if isinstance(value, dict) and part.properties is not None:
        return conform_members(value, part, pointer, unmapped)
    if isinstance(value, list) and part.items is not None:
        return [
            _conform(entry, part.items, f"{pointer}/{position}", unmapped)
            for position, entry in enumerate(value)
        ]
    in_order = json_text.repaired(value)
    is_broken = in_order != value
    try:
        if is_broken:
            found = part.read(msgspec.json.encode(in_order))
        else:
            found = converted(value, part.kind)
    except DOES_NOT_FIT:
        unmapped.add(pointer, value, ("unfit", part.path))
        return None
    unmapped.changes.add(("repaired" if is_broken else "converted", part.path))
    return found


def converted(value: Json, kind: str) -> str | int | float | bool:
    """Return a value, repaired, in the declared type, if that is text, a number or a boolean.

    Raises:
        UnfitError: if it would not be the same value.
    """
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    match kind:
        case "string" if value is not None and text[:1] not in {"[", "{"}:
            return text
        case "boolean" if isinstance(value, str) and text in {"true", "false"}:
            return text == "true"
        case "integer":
            return exact_integer(text)
        case "number":
            return exact_number(text)
    raise UnfitError


def remark(change: FieldChange, record: Record, key: str) -> str:
    """Say what was changed for a record, in a warning's words; ``key`` is the field of its ID."""
    what, path = change
    where = f"first in the row with {key} {shown(str(record.get(key)))}"
    fate = f"is lost: select {COLUMN}, or renew the catalog"
    if COLUMN in record:
        fate = f"is in {COLUMN}"
    texts: dict[Change, str] = {
        "undeclared": f"Zoom sends a field {path} that the schema does not have; it {fate}",
        "unfit": f"field {path} does not fit its declared type; what Zoom sent {fate}",
        "converted": f"field {path} came in another type than declared; it was converted",
        "repaired": f"field {path} has a text that is no Unicode; U+FFFD stands there",
    }
    return f"{texts[what]} ({where})"


class Unmapped(msgspec.Struct):
    """The values of one row that have no place in it, by JSON Pointer, and all that was changed."""

    values: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    changes: set[FieldChange] = msgspec.field(default_factory=set)
    undeclared: list[tuple[tuple[str, ...], FieldChange]] = msgspec.field(default_factory=list)
    """Undeclared fields, each with the names of the fields that lead to it and its own."""

    def add(self, pointer: str, value: Json, change: FieldChange) -> None:
        """Keep a value."""
        self.changes.add(change)
        try:
            json = msgspec.json.encode(value)
        except UnicodeEncodeError:
            json = msgspec.json.encode(json_text.repaired(value))
            self.changes.add(("repaired", change[1]))
        self.values[pointer] = msgspec.Raw(json)

    def _add_json(self, pointer: str, json: bytes, change: FieldChange) -> None:
        """Keep a value that is still JSON; most need no more than to lose their whitespace."""
        if json.isascii() and b"\\" not in json:
            try:
                self.values[pointer] = msgspec.Raw(msgspec.json.format(json, indent=-1))
            except RecursionError:
                pass
            else:
                self.changes.add(change)
                return
        self.add(pointer, json_text.read(json), change)

    def take(self, value: object, learned: Learned, pointer: str = "") -> None:
        """Take learned fields, which are still JSON, out of an object or a list of objects."""
        if isinstance(value, list):
            for position, entry in enumerate(value):
                self.take(entry, learned, f"{pointer}/{position}")
        elif isinstance(value, dict):
            for name, below in learned.items():
                place = pointer + step(name)
                if isinstance(below, dict):
                    self.take(value.get(name), below, place)
                elif (raw := value.pop(name, None)) is not None:
                    self._add_json(place, bytes(raw), below)

    def column(self) -> str | None:
        """Return the column's text; None when there is nothing to keep."""
        if not self.values:
            return None
        # What was too deep to be read may hold bytes that are not UTF-8.
        return msgspec.json.encode(dict(sorted(self.values.items()))).decode("utf-8", "replace")


def step(name: str) -> str:
    """Return a name as a step of a JSON Pointer."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def shown(text: str) -> str:
    """Return a text from outside as a message may show it: short, and in one line."""
    text = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
    return text if text.isprintable() else text.encode("unicode_escape").decode()

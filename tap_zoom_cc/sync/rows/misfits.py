"""Rows that the compiled decoder refuses: they are read by `json` and conformed part by part.

Each part is tried as a whole first, and only what does not fit is opened. A value of another type
is converted where it stays the same value; what cannot be brought to its declared type becomes null
in the record, and is kept beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tap_zoom_cc.sync.rows.row_types import UnfitError, exact_integer, exact_number
from tap_zoom_cc.sync.rows.unmapped import join, step
from tap_zoom_cc.zoom import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_zoom_cc.sync.rows.row_types import Part, Record
    from tap_zoom_cc.sync.rows.unmapped import Change, FieldChange, Unmapped
    from tap_zoom_cc.zoom.json_text import Json

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
            change: FieldChange = ("undeclared", join(part.path, readable))
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
    try:
        change, found = _mended(value, part)
    except DOES_NOT_FIT:
        unmapped.add(pointer, value, ("unfit", part.path))
        return None
    unmapped.changes.add((change, part.path))
    return found


def _mended(value: Json, part: Part) -> tuple[Change, object]:
    """Repair a value or convert it, or raise one of `DOES_NOT_FIT`."""
    in_order = json_text.repaired(value)
    if in_order != value:
        return "repaired", part.read(msgspec.json.encode(in_order))
    if part.is_instant:
        raise UnfitError
    return "converted", converted(value, part.kind)


def converted(value: Json, kind: str) -> str | int | float | bool:
    """Return a value of another type in the declared one.

    Args:
        value: the value, repaired.
        kind: ``string``, ``integer``, ``number`` or ``boolean``.

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

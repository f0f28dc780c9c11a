"""Rows that the compiled decoder refuses: they are conformed part by part, which is slow.

Each part is tried as a whole first; only what does not fit is opened. What cannot be brought to its
declared type becomes null in the record, and is kept beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tap_zoom_cc.sync.rows.unmapped import step
from tap_zoom_cc.sync.rows.values import UnfitError, converted
from tap_zoom_cc.zoom import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_zoom_cc.sync.rows.row_types import Part, Record
    from tap_zoom_cc.sync.rows.unmapped import Unmapped

DOES_NOT_FIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, UnfitError)
"""What is raised for a value that is not as declared."""


def conform_members(
    members: Mapping[str, bytes], part: Part, pointer: str, unmapped: Unmapped
) -> Record:
    """Return an object with all of its declared fields; others are kept in ``unmapped``.

    Args:
        members: the object's members as JSON.
        part: what is declared of them.
        pointer: where in the row the object is, as JSON Pointer.
        unmapped: takes what has no place.
    """
    record: Record = dict.fromkeys(part.properties or {})
    for name, json in members.items():
        declared = (part.properties or {}).get(name)
        place = pointer + step(name)
        if declared is None:
            unmapped.add_undeclared(place, json, part.path, name)
        else:
            record[name] = _conform(json, declared, place, unmapped)
    return record


def _conform(json: bytes, part: Part, pointer: str, unmapped: Unmapped) -> object:
    try:
        return part.read(json)
    except DOES_NOT_FIT:
        pass
    try:
        if part.properties is not None:
            return conform_members(json_text.members(json), part, pointer, unmapped)
        if part.items is not None:
            return [
                _conform(entry, part.items, f"{pointer}/{position}", unmapped)
                for position, entry in enumerate(json_text.entries(json))
            ]
        return _conform_value(json, part, unmapped)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        unmapped.add_unfit(pointer, json, part.path)
        return None


def _conform_value(json: bytes, part: Part, unmapped: Unmapped) -> object:
    """Repair a value or convert it, or raise one of `DOES_NOT_FIT`."""
    in_order = json_text.repaired(json)
    if in_order != json:
        value = part.read(in_order)
        unmapped.changes.add(("repaired", part.path))
        return value
    if part.is_instant:
        raise UnfitError
    value = converted(json, part.kind)
    unmapped.changes.add(("converted", part.path))
    return value

"""Rows: from the JSON of a page to records that conform to the stream's schema.

A row is read twice, each time for little: its key when its page arrives (`read_key`), to count, to
order and to check it; all of it when it is emitted (`RowDecoder`). In between it stays JSON, which
takes a fraction of the memory of Python objects.

The decoder is compiled from the schema once. msgspec then checks every declared type and notices
undeclared fields in C; only a row that does not fit is conformed in Python (`misfits`). No value is
lost by that, and none is a reason to refuse a row: what has no place of its own goes into one
column.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, cast

import msgspec

from tap_zoom_cc.rows.misfits import (
    COLUMN,
    DOES_NOT_FIT,
    Unmapped,
    conform_members,
    fields_of,
    text_of,
)
from tap_zoom_cc.rows.types import NOT_COMPILED, Part, UnfitError
from tap_zoom_cc.zoom.instants import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tap_zoom_cc.rows.misfits import FieldChange, Learned
    from tap_zoom_cc.rows.types import Record, Schema
    from tap_zoom_cc.zoom.json_text import Json

MOST_LEARNED = 64
"""How many undeclared fields a decoder is compiled for: ever new ones must not cost memory."""

LONGEST_LEARNED = 200
"""Characters of the longest name that a decoder is compiled for."""


class RowKey(msgspec.Struct, gc=False, frozen=True):
    """What must be known of a row before it is emitted."""

    row_id: Annotated[str, msgspec.Meta(min_length=1)] = msgspec.field(name="engagement_id")
    """What tells the row from all others of its account."""
    start_time: datetime
    end_time: datetime | None = None


_key_decoder = msgspec.json.Decoder(RowKey)


def read_key(row: msgspec.Raw) -> RowKey:
    """Read a row's key, start and end; instants without an offset are UTC.

    An end that is no instant is none: it decides nothing but how long the row is remembered,
    and from when its account is silent.

    Raises:
        ValueError: if the row is no object, or has no key or no start.
    """
    try:
        key = _key_decoder.decode(row)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read_odd_key(fields_of(row))
    start, end = key.start_time, key.end_time
    if start.tzinfo is None or (end and end.tzinfo is None):
        start = start.replace(tzinfo=start.tzinfo or timezone.utc)
        return RowKey(key.row_id, start, end and end.replace(tzinfo=end.tzinfo or timezone.utc))
    return key


def _read_odd_key(fields: Mapping[str, Json]) -> RowKey:
    """Read the key of a row that has something unusual; a bare date is enough for that."""
    instants = {}
    for name in ("start_time", "end_time"):
        value = fields.get(name)
        with suppress(ValueError):
            if isinstance(value, str):
                instants[name] = parse_instant(value)
    if "start_time" not in instants:
        raise ValueError("a row has no start_time, or one that is no date-time")
    row_id = text_of(fields, "engagement_id")
    if not row_id:
        raise ValueError("a row has an empty engagement_id")
    return RowKey(row_id, **instants)


class RowDecoder:
    """Turns the JSON of rows into records of one schema.

    It learns the names of undeclared fields: one that Zoom adds is likely to be in every row from
    then on. The decoder is compiled anew with it, so that such rows take the fast way too.
    """

    def __init__(
        self,
        schema: Schema,
        notice: Callable[[Record, set[FieldChange]], None],
        *,
        added: Collection[str] = (),
        deselected: Collection[str] = (),
    ) -> None:
        """Compile a schema.

        Args:
            schema: the JSON schema of a record.
            notice: called for each row that did not fit as it was, with its record and changes.
            added: the fields that are not Zoom's but the caller's to set.
            deselected: the top-level fields that are left out.
        """
        properties = schema.get("properties")
        declared = properties if isinstance(properties, dict) else {}
        self._keeps_unmapped = COLUMN in declared and COLUMN not in deselected
        self._deselected = frozenset(deselected)
        left_out = {COLUMN, *added, *deselected}
        of_zoom = {name: part for name, part in declared.items() if name not in left_out}
        self._part = Part.of({"type": "object", "properties": of_zoom})
        self._notice = notice
        self._learned: Learned = {}
        self._may_learn = MOST_LEARNED
        self._compile()

    def decode(self, row: msgspec.Raw) -> Record:
        """Return the record in a row: all declared fields in their types, instants in UTC.

        What Zoom did not send is null, in nested objects too.
        What does not fit its type, and what is not declared, is in the column `COLUMN`.

        Raises:
            ValueError: if the row is no object, for which `read_key` has refused it.
        """
        try:
            record = self._read(row)
            if not isinstance(record, dict):
                raise UnfitError
            for name in self._deselected:
                record.pop(name, None)
            if not self._learned:
                if self._keeps_unmapped:
                    record[COLUMN] = None
                return record
            unmapped = Unmapped()
            unmapped.take(record, self._learned)
        except DOES_NOT_FIT:
            unmapped = Unmapped()
            record = self._conform(row, unmapped)
        if self._keeps_unmapped:
            record[COLUMN] = unmapped.column()
        if unmapped.changes:
            self._notice(record, unmapped.changes)
        return record

    def _compile(self) -> None:
        self._read = self._part.reader({**self._learned, **dict.fromkeys(self._deselected)})

    def _conform(self, row: msgspec.Raw, unmapped: Unmapped) -> Record:
        """Conform a row that does not fit, and learn its undeclared fields if not too many are."""
        fields = fields_of(row)
        for name in self._deselected:
            fields.pop(name, None)
        record = conform_members(fields, self._part, "", unmapped)
        before = self._may_learn
        for (*way, name), change in unmapped.undeclared:
            learned = self._learned
            for each in way:
                learned = cast("Learned", learned.setdefault(each, {}))
            is_compiled = len(name) <= LONGEST_LEARNED and not NOT_COMPILED.search(name)
            if self._may_learn and name not in learned and is_compiled:
                learned[name] = change
                self._may_learn -= 1
        if self._may_learn < before:
            self._compile()
        return record

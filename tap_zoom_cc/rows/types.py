"""What a schema says of rows, compiled: which values fit, checked by msgspec in C.

A schema becomes a tree of parts. Each part has a decoder that takes exactly what the schema
declares there, and nulls. What C cannot check is done to the decoded value by small functions that
are put together once: instants are brought to UTC, numbers are checked for lost digits.

A value that would come out as another one is no value of that type: digits beyond those that a
float holds, an integer that no 64-bit column takes, a text that merely resembles a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from functools import cached_property
from typing import Annotated, Any, TypeAlias

import msgspec

from tap_zoom_cc.zoom import json_text
from tap_zoom_cc.zoom.instants import format_instant, parse_instant

Schema: TypeAlias = "Mapping[str, object]"
Record: TypeAlias = "dict[str, object]"
Finish: TypeAlias = Callable[[Any], object]
"""Post-processes a decoded value of its type that is not null; raises what `anything` does."""

SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1
"""What Zoom's documents (``int64``) and every target's integer columns hold."""

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)

_PLAIN_UTC = re.compile(
    r"([12]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:Z|\+00:00)",
    re.ASCII,
)
"""The two forms in which nearly all instants come, on days that every month has."""

NOT_COMPILED = re.compile('["\\\\\x00-\x1f\ud800-\udfff]')
"""Finds what a field's name must not have for msgspec to compile it: it passes for undeclared."""

Aside: TypeAlias = Mapping[str, object]
"""Names of undeclared fields; that of a declared field leads to such names within it."""


class UnfitError(ValueError):
    """A value that cannot be brought to its declared type without loss."""


@dataclass(frozen=True)
class Part:
    """A place in a schema.

    Attributes:
        kind: the one type that is declared besides null, of which a date-time is one by itself,
            ``instant``; empty where anything goes.
        path: where that is, for messages: ``legs[].seconds``; empty for the row itself.
        way: the names of the fields that lead there.
        properties: of an object, the parts of which it consists; None for any object.
        items: of an array, what its entries are; None for what is no array.
    """

    kind: str
    path: str
    way: tuple[str, ...] = ()
    properties: Mapping[str, Part] | None = None
    items: Part | None = None

    @classmethod
    def of(cls, schema: object, path: str = "", way: tuple[str, ...] = ()) -> Part:
        """Read a schema; whatever in it says nothing that is understood allows anything."""
        schema = schema if isinstance(schema, dict) else {}
        declared, properties = schema.get("type"), schema.get("properties")
        names = declared if isinstance(declared, list) else [declared]
        kinds = [name for name in names if name != "null"]
        kind = kinds[0] if len(kinds) == 1 and isinstance(kinds[0], str) else ""
        if kind == "object" and isinstance(properties, dict) and properties:
            prefix = f"{path}." if path else ""
            parts = {
                name: cls.of(each, f"{prefix}{name}", (*way, name))
                for name, each in properties.items()
            }
            return cls(kind, path, way, properties=parts)
        if kind == "array":
            return cls(kind, path, way, items=cls.of(schema.get("items"), f"{path}[]", way))
        if kind == "string" and schema.get("format") == "date-time":
            kind = "instant"
        return cls(kind, path, way)

    @cached_property
    def read(self) -> Callable[[bytes], object]:
        """The function that returns the value in JSON that fits here.

        It raises `UnfitError`, ``MsgspecError``, ``UnicodeDecodeError`` or ``RecursionError`` for
        anything else.
        """
        return self.reader({})

    def reader(self, aside: Aside) -> Callable[[bytes | msgspec.Raw], object]:
        """Return `read` for values with additional fields, which are left in it as JSON."""
        decoded_type, finish = self.compiled(aside)
        decode = msgspec.json.Decoder(decoded_type).decode

        def read(json: bytes | msgspec.Raw) -> object:
            value = msgspec.to_builtins(decode(json), builtin_types=(msgspec.Raw,))
            return value if finish is None or value is None else finish(value)

        return read

    def compiled(self, aside: Aside) -> tuple[object, Finish | None]:
        """Return the msgspec type that takes what is declared here and nulls, and what follows."""
        if self.properties is not None:
            return self._compiled_object(self.properties, aside)
        if self.items is None:
            return _SIMPLE_TYPES.get(self.kind, (msgspec.Raw, anything))
        entry_type, finish = self.items.compiled(aside)
        list_type = list[entry_type] | None  # type: ignore[valid-type]
        if finish is None:
            return list_type, None

        def finish_entries(entries: list[object]) -> list[object]:
            return [None if entry is None else finish(entry) for entry in entries]

        return list_type, finish_entries

    @staticmethod
    def _compiled_object(
        properties: Mapping[str, Part], aside: Aside
    ) -> tuple[object, Finish | None]:
        """Return `compiled` of an object.

        What is not there is null, at every depth: targets that make their columns from the first
        record then make all of them.
        """
        types: dict[str, object] = dict.fromkeys(aside, msgspec.Raw)
        to_finish: list[tuple[str, Finish]] = []
        for name, part in properties.items():
            below = aside.get(name)
            types[name], finish = part.compiled(below if isinstance(below, dict) else {})
            if finish:
                to_finish.append((name, finish))
        names = {
            f"field_{number}": name
            for number, name in enumerate(types)
            if not NOT_COMPILED.search(name)
        }
        fields = [(key, types[name], None) for key, name in names.items()]
        struct = msgspec.defstruct(
            "Row", fields, rename=names, forbid_unknown_fields=True, gc=False
        )

        def finish_members(record: Record) -> Record:
            for name, finish in to_finish:
                part = record.get(name)
                if part is not None:
                    record[name] = finish(part)
            return record

        return struct | None, finish_members if to_finish else None


def instant_in_utc(text: str) -> str | None:
    """Return the same instant in UTC with an offset; an empty text is no instant, and no loss.

    Raises:
        UnfitError: if the text is no date or date-time.
    """
    if plain := _PLAIN_UTC.fullmatch(text):
        return f"{plain[1]}+00:00"
    if not text:
        return None
    try:
        return format_instant(parse_instant(text))
    except ValueError as error:
        raise UnfitError from error


def number(json: msgspec.Raw) -> int | float | None:
    """Return the number that JSON holds, with all of its digits, or null.

    Raises:
        UnfitError: if it holds none, or one that no float holds.
    """
    text = bytes(json).decode()
    return None if text == "null" else exact_number(text)


def anything(json: msgspec.Raw) -> object:
    """Return a value of which nothing is declared.

    Raises:
        UnfitError: if it is nested too deeply, or has a number that no float holds.
        msgspec.MsgspecError, UnicodeDecodeError: if it cannot be decoded.
    """
    text = bytes(json).decode("utf-8", "surrogateescape")
    if json_text.cut(text, json_text.MOST_LEVELS)[1]:
        raise UnfitError
    return _anything_decoder.decode(json)


def any_object(json: msgspec.Raw) -> object:
    """Return an object of which nothing is declared, or null; raises what `anything` does."""
    value = anything(json)
    if not isinstance(value, dict | None):
        raise UnfitError
    return value


def exact_integer(text: str) -> int:
    """Return the integer that a text holds.

    Raises:
        UnfitError: if it holds none, or one of more than 64 bits.
    """
    value = _decimal(text)
    if not SMALLEST_INTEGER <= value <= LARGEST_INTEGER or value != value.to_integral_value():
        raise UnfitError
    return int(value)


def exact_number(text: str) -> int | float:
    """Return the number that a text holds, with all of its digits.

    Raises:
        UnfitError: if it holds none, or one that no float holds.
    """
    value = _decimal(text)
    if text.lstrip("-").isdecimal() and SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        return int(text)
    nearest = float(text)
    # The shortest decimal of a float is what every writer of JSON gives for it.
    if not math.isfinite(nearest) or Decimal(repr(nearest)) != value:
        raise UnfitError
    return nearest


def _decimal(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise UnfitError
    try:
        return Decimal(text)
    except DecimalException as error:
        raise UnfitError from error


_anything_decoder = msgspec.json.Decoder(float_hook=exact_number)

_SIMPLE_TYPES: dict[str, tuple[object, Finish | None]] = {
    "string": (str | None, None),
    "instant": (str | None, instant_in_utc),
    "integer": (
        Annotated[int, msgspec.Meta(ge=SMALLEST_INTEGER, le=LARGEST_INTEGER)] | None,
        None,
    ),
    "boolean": (bool | None, None),
    "number": (msgspec.Raw, number),
    "object": (msgspec.Raw, any_object),
}
"""`Part.compiled` of what is neither an object of declared properties nor an array."""

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
from typing import Annotated, TypeAlias, cast

import msgspec

from tap_zoom_cc.zoom import json_text
from tap_zoom_cc.zoom.instants import format_instant, parse_instant

Schema: TypeAlias = "Mapping[str, object]"
Record: TypeAlias = "dict[str, object]"
Finish: TypeAlias = Callable[[object], object]
"""Post-processes a decoded value that is not null; raises what `anything` does."""

SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1
"""What Zoom's documents (``int64``) and every target's integer columns hold."""

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)

_PLAIN_UTC = re.compile(
    r"([12]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:Z|\+00:00)",
    re.ASCII,
)
"""The two forms in which nearly all instants come, on days that every month has."""

Aside: TypeAlias = Mapping[str, object]
"""Names of undeclared fields; that of a declared field leads to such names within it."""

_SCALARS: dict[str, object] = {
    "string": str | None,
    "integer": Annotated[int, msgspec.Meta(ge=SMALLEST_INTEGER, le=LARGEST_INTEGER)] | None,
    "boolean": bool | None,
}


class UnfitError(ValueError):
    """A value that cannot be brought to its declared type without loss."""


@dataclass(frozen=True)
class Part:
    """A place in a schema.

    Attributes:
        kind: the one type that is declared besides null; empty where anything goes.
        path: where that is, for messages: ``legs[].seconds``; empty for the row itself.
        way: the names of the fields that lead there.
        is_instant: whether it is declared as a date-time.
        properties: of an object, the parts of which it consists; None for any object.
        items: of an array, what its entries are; None for what is no array.
    """

    kind: str
    path: str
    way: tuple[str, ...] = ()
    is_instant: bool = False
    properties: Mapping[str, Part] | None = None
    items: Part | None = None

    @classmethod
    def of(cls, schema: object, path: str = "", way: tuple[str, ...] = ()) -> Part:
        """Read a schema; whatever in it says nothing that is understood allows anything."""
        schema = schema if isinstance(schema, dict) else {}
        kind = _kind(schema.get("type"))
        properties = schema.get("properties")
        if kind == "object" and isinstance(properties, dict) and properties:
            return cls.of_object(properties, path, way)
        if kind == "array":
            return cls(kind, path, way, items=cls.of(schema.get("items"), f"{path}[]", way))
        is_instant = kind == "string" and schema.get("format") == "date-time"
        return cls(kind, path, way, is_instant)

    @classmethod
    def of_object(
        cls, properties: Mapping[str, object], path: str = "", way: tuple[str, ...] = ()
    ) -> Part:
        """Read the schemas of an object's properties."""
        prefix = f"{path}." if path else ""
        parts = {
            name: cls.of(schema, f"{prefix}{name}", (*way, name))
            for name, schema in properties.items()
        }
        return cls("object", path, way, properties=parts)

    @cached_property
    def read(self) -> Callable[[bytes], object]:
        """The function that returns the value in JSON that fits here.

        It raises `UnfitError`, ``MsgspecError``, ``UnicodeDecodeError`` or ``RecursionError`` for
        anything else.
        """
        return self.reader({})

    def reader(self, aside: Aside) -> Callable[[bytes | msgspec.Raw], object]:
        """Return `read` for values with additional fields, which are left in it as JSON."""
        decode = msgspec.json.Decoder(self.decoded_type(aside)).decode
        finish = self.finish

        def read(json: bytes | msgspec.Raw) -> object:
            value = msgspec.to_builtins(decode(json), builtin_types=(msgspec.Raw,))
            return value if finish is None or value is None else finish(value)

        return read

    def decoded_type(self, aside: Aside) -> object:
        """Return the msgspec type that takes what is declared here, and nulls.

        What is not there is null, at every depth: targets that make their columns from the first
        record then make all of them.
        """
        if self.properties is not None:
            types: dict[str, object] = dict.fromkeys(aside, msgspec.Raw)
            for name, part in self.properties.items():
                below = aside.get(name)
                types[name] = part.decoded_type(below if isinstance(below, dict) else {})
            names = {f"field_{number}": name for number, name in enumerate(types) if can_name(name)}
            fields = [(key, types[name], None) for key, name in names.items()]
            return (
                msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, gc=False)
                | None
            )
        if self.items is not None:
            return list[self.items.decoded_type(aside)] | None  # type: ignore[misc]
        return _SCALARS.get(self.kind, msgspec.Raw)

    @cached_property
    def finish(self) -> Finish | None:
        """What is left to do to a decoded value, or None if that is nothing."""
        if self.is_instant:
            return cast("Finish", instant_in_utc)
        if self.properties is not None:
            return _each_member({name: part.finish for name, part in self.properties.items()})
        if self.items is not None:
            return _each_entry(self.items.finish)
        if self.kind in _SCALARS:
            return None
        return _of_raw({"number": number, "object": _any_object}.get(self.kind, anything))


def can_name(name: str) -> bool:
    """Return whether msgspec can compile a field of that name; others it takes for undeclared."""
    return not any(char in '"\\' or char < " " or "\ud800" <= char <= "\udfff" for char in name)


def _kind(declared: object) -> str:
    names = declared if isinstance(declared, list) else [declared]
    kinds = [name for name in names if name != "null"]
    return kinds[0] if len(kinds) == 1 and isinstance(kinds[0], str) else ""


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


def number(json: bytes) -> int | float | None:
    """Return the number that JSON holds, with all of its digits, or null.

    Raises:
        UnfitError: if it holds none, or one that no float holds.
    """
    return None if json == b"null" else exact_number(json.decode())


def anything(json: bytes) -> object:
    """Return a value of which nothing is declared.

    Raises:
        UnfitError: if it is nested too deeply, or has a number that no float holds.
        msgspec.MsgspecError, UnicodeDecodeError: if it cannot be decoded.
    """
    if json_text.cut(json.decode("utf-8", "surrogateescape"), json_text.MOST_LEVELS)[1]:
        raise UnfitError
    return _anything_decoder.decode(json)


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


def _any_object(json: bytes) -> object:
    value = anything(json)
    if not isinstance(value, dict | None):
        raise UnfitError
    return value


def _of_raw(read: Callable[[bytes], object]) -> Finish:
    return lambda raw: read(bytes(cast("msgspec.Raw", raw)))


def _each_entry(finish: Finish | None) -> Finish | None:
    if finish is None:
        return None

    def finish_entries(value: object) -> object:
        entries = cast("list[object]", value)
        return [None if entry is None else finish(entry) for entry in entries]

    return finish_entries


def _each_member(finishes: Mapping[str, Finish | None]) -> Finish | None:
    to_finish = [(name, finish) for name, finish in finishes.items() if finish]
    if not to_finish:
        return None

    def finish_members(value: object) -> object:
        record = cast("Record", value)
        for name, finish in to_finish:
            part = record.get(name)
            if part is not None:
                record[name] = finish(part)
        return record

    return finish_members

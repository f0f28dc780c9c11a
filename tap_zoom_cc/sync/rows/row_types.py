"""What a schema says of rows, compiled: which values fit, checked by msgspec in C.

A schema becomes a tree of parts. Each part has a decoder that takes exactly what the schema
declares there, and nulls. What C cannot check is done to the decoded value by small functions that
are put together once: instants are brought to UTC, numbers are checked for lost digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, TypeAlias, cast

import msgspec

from tap_zoom_cc.sync.rows.values import (
    LARGEST_INTEGER,
    SMALLEST_INTEGER,
    UnfitError,
    anything,
    instant_in_utc,
    number,
)

Schema: TypeAlias = "Mapping[str, object]"
Record: TypeAlias = "dict[str, object]"
Finish: TypeAlias = Callable[[object], object]
"""Does to a decoded value, never null, what the decoder cannot do; raises what `anything` does."""

Names: TypeAlias = Mapping[str, set[str]]
"""Fields by the path of the object that they are in, as `Part.path` has it."""

_SCALARS: dict[str, object] = {
    "string": str | None,
    "integer": Annotated[int, msgspec.Meta(ge=SMALLEST_INTEGER, le=LARGEST_INTEGER)] | None,
    "boolean": bool | None,
}

_NO_NAMES: Names = {}


@dataclass(frozen=True)
class Part:
    """A place in a schema.

    Attributes:
        kind: the one type that is declared besides null; empty where anything goes.
        path: where that is, for messages: ``legs[].seconds``; empty for the row itself.
        is_instant: whether it is declared as a date-time.
        properties: of an object, the parts of which it consists; None for any object.
        items: of an array, what its entries are; None for what is no array.
    """

    kind: str
    path: str
    is_instant: bool = False
    properties: Mapping[str, Part] | None = None
    items: Part | None = None

    @classmethod
    def of(cls, schema: object, path: str = "") -> Part:
        """Read a schema; whatever in it says nothing that is understood allows anything."""
        schema = schema if isinstance(schema, dict) else {}
        kind = _kind(schema.get("type"))
        properties = schema.get("properties")
        if kind == "object" and isinstance(properties, dict) and properties:
            return cls.of_object(properties, path)
        if kind == "array":
            return cls(kind, path, items=cls.of(schema.get("items"), f"{path}[]"))
        return cls(kind, path, is_instant=kind == "string" and schema.get("format") == "date-time")

    @classmethod
    def of_object(cls, properties: Mapping[str, object], path: str = "") -> Part:
        """Read the schemas of an object's properties."""
        prefix = f"{path}." if path else ""
        parts = {name: cls.of(schema, f"{prefix}{name}") for name, schema in properties.items()}
        return cls("object", path, properties=parts)

    @cached_property
    def read(self) -> Callable[[bytes], object]:
        """The function that returns the value in JSON that fits here.

        It raises `UnfitError`, ``MsgspecError``, ``UnicodeDecodeError`` or ``RecursionError`` for
        anything else.
        """
        return self.reader(_NO_NAMES)

    def reader(self, aside: Names) -> Callable[[bytes | msgspec.Raw], object]:
        """Return `read` for values with additional fields, which are left in it as JSON."""
        decode = msgspec.json.Decoder(self.decoded_type(aside)).decode
        finish = self.finish

        def read(json: bytes | msgspec.Raw) -> object:
            value = msgspec.to_builtins(decode(json), builtin_types=(msgspec.Raw,))
            return value if finish is None or value is None else finish(value)

        return read

    def decoded_type(self, aside: Names) -> object:
        """Return the msgspec type that takes what is declared here, and nulls.

        What is not there is null, at every depth: targets that make their columns from the first
        record then make all of them.
        """
        if self.properties is not None:
            types = {name: part.decoded_type(aside) for name, part in self.properties.items()}
            types |= dict.fromkeys(aside.get(self.path, ()), msgspec.Raw)
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

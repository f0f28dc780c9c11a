"""Fields that rows have and the schema does not, or in another type: by name and type alone."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Schema: TypeAlias = "Mapping[str, object]"

JSON_TYPES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}

A_NAME = re.compile(r"[A-Za-z][A-Za-z_]{0,58}\d?\Z")
"""What is taken for a field's name: an object can also have IDs, or numbers, for keys."""


def surprises(rows: Iterable[Mapping[str, object]], schema: Schema) -> Counter[str]:
    """Return what the schema does not say, each with the number of rows that have it.

    Args:
        rows: as Zoom sends them.
        schema: of a row.
    """
    found: Counter[str] = Counter()
    for row in rows:
        found.update(set(_of_value(row, schema, "")))
    return found


def _of_value(value: object, schema: Schema, path: str) -> Iterator[str]:
    declared = schema.get("type", ())
    types = (declared,) if isinstance(declared, str) else cast("tuple[str, ...]", declared)
    kind = JSON_TYPES[type(value)]
    if types and kind not in types and (kind, "number" in types) != ("integer", True):
        # A null is no other type where the document merely forgets to allow it.
        if kind != "null":
            yield f"`{path}` is {kind}, not {' or '.join(t for t in types if t != 'null')}"
    elif isinstance(value, dict):
        properties = cast("Mapping[str, Schema]", schema.get("properties", {}))
        for name, inner in value.items():
            inner_path = f"{path}.{name}".lstrip(".")
            if name in properties:
                yield from _of_value(inner, properties[name], inner_path)
            elif not A_NAME.match(name):
                kind = JSON_TYPES[type(inner)]
                yield f"a field in `{path or '(row)'}` whose name is no word, {kind}"
            else:
                yield f"`{inner_path}` is new, {JSON_TYPES[type(inner)]}"
    elif isinstance(value, list):
        items = cast("Schema", schema.get("items", {}))
        for inner in value:
            yield from _of_value(inner, items, f"{path}[]")

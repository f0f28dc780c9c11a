"""The filters: query parameters of the log endpoints, checked and written as the document says.

``schemas/<stream>_filters.json`` is derived from Zoom's OpenAPI document. It also says how a list
travels: comma-separated in one parameter, or as a repeated parameter.
"""

from __future__ import annotations

import difflib
import importlib.resources
from typing import TYPE_CHECKING

from singer_sdk.schema.source import SchemaDirectory
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_zoom_cc.run.settings import FilterValue

SCHEMAS = SchemaDirectory(importlib.resources.files("tap_zoom_cc.schemas"))
"""The package's JSON schemas: rows by stream name, query parameters by ``<stream>_filters``.

They are plain files, derived from Zoom's OpenAPI documents by ``schemas/derive.py``, and read once.
"""

SET_BY_THE_TAP = frozenset({"from", "to", "page_size", "next_page_token", "accountId"})


def declared(stream: str) -> dict[str, dict[str, object]]:
    """Return the filters of a stream: their JSON schemas by name."""
    properties: dict[str, dict[str, object]] = SCHEMAS.get_schema(f"{stream}_filters")["properties"]
    return properties


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" with the known name nearest to an unknown one, or nothing."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def problems(stream: str, values: Mapping[str, object]) -> list[str]:
    """Say what is wrong with filters, one line each: the parameter, a colon, and what is right."""
    known = declared(stream)
    lines = []
    for name, value in values.items():
        if name in SET_BY_THE_TAP:
            lines.append(f"{name}: is set by the tap; use start_date, end_date, sub_account_ids")
        elif name not in known:
            hint = nearest(name, known) or f"; known are {', '.join(known)}"
            lines.append(f"{name}: the endpoint has no such parameter{hint}")
        else:
            lines += [f"{name}: {line}" for line in _value_problems(known[name], value)]
    return lines


def _value_problems(schema: dict[str, object], value: object) -> list[str]:
    errors = DEFAULT_JSONSCHEMA_VALIDATOR(schema).iter_errors(value)
    lines = [error.message[:200] for error in errors]
    if lines:
        return lines
    texts = value if isinstance(value, list) else [value]
    if not texts or any(text == "" for text in texts):
        return ["is empty; leave it out to read everything"]
    if schema.get("x-style") == "comma" and any("," in str(text) for text in texts):
        return ["a value contains a comma, which Zoom would read as two values"]
    return []


def query_parameters(stream: str, values: Mapping[str, FilterValue]) -> dict[str, FilterValue]:
    """Return the filters as query parameters: a list that stays a list is a repeated parameter."""
    known = declared(stream)
    return {
        name: ",".join(value)
        if isinstance(value, list) and known[name].get("x-style") == "comma"
        else value
        for name, value in values.items()
    }

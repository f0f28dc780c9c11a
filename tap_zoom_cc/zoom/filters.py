"""The filters: query parameters of the log endpoints, checked and written as the document says.

``schemas/<stream>_filters.json`` is derived from Zoom's OpenAPI document. It also says how a list
travels: comma-separated in one parameter, or as a repeated parameter.
"""

from __future__ import annotations

import importlib.resources
from typing import TYPE_CHECKING, Any

from singer_sdk.schema.source import SchemaDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_zoom_cc.run.settings import FilterValue

SCHEMAS = SchemaDirectory(importlib.resources.files("tap_zoom_cc.schemas"))
"""The package's JSON schemas: rows by stream name, query parameters by ``<stream>_filters``.

They are plain files, derived from Zoom's OpenAPI documents by ``schemas/derive.py``, and read once.
"""

SET_BY_THE_TAP = frozenset({"from", "to", "page_size", "next_page_token", "accountId"})


def declared(stream: str) -> dict[str, dict[str, Any]]:
    """Return the filters of a stream: their JSON schemas by name."""
    properties: dict[str, dict[str, Any]] = SCHEMAS.get_schema(f"{stream}_filters")["properties"]
    return properties


def filters_schema(stream: str) -> dict[str, Any]:
    """Return the JSON schema of a stream's filters: as in Zoom's document, and none of them empty.

    ``otherwise`` and ``things`` are for `tap_zoom_cc.input_schemas`, which says what is wrong.
    """
    words = "is set by the tap; use start_date, end_date, sub_account_ids"
    properties: dict[str, Any] = {name: {"not": {}, "otherwise": words} for name in SET_BY_THE_TAP}
    for name, schema in declared(stream).items():
        items = {"minLength": 1} | schema.get("items", {})
        if schema.get("x-style") == "comma":
            words = "must be text without a comma, which Zoom would read as two values"
            items |= {"pattern": "^[^,]+$", "otherwise": words}
        properties[name] = {"minLength": 1, "minItems": 1} | schema | {"items": items}
    parameters = {"properties": properties, "additionalProperties": False}
    return {"type": "object", "things": "query parameter"} | parameters


def query_parameters(stream: str, values: Mapping[str, FilterValue]) -> dict[str, FilterValue]:
    """Return the filters as query parameters: a list that stays a list is a repeated parameter."""
    known = declared(stream)
    return {
        name: ",".join(value)
        if isinstance(value, list) and known[name].get("x-style") == "comma"
        else value
        for name, value in values.items()
    }

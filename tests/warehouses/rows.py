"""Rows of two databases side by side, and what each store makes of a row."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = list[Row]


def differences(actual: Mapping[str, Rows], expected: Mapping[str, Rows]) -> dict[str, list[str]]:
    """Return the first rows that only one of two databases has, by table; none if all is equal."""
    found: dict[str, list[str]] = {}
    for name in actual.keys() | expected.keys():
        here, there = (
            Counter(json.dumps(comparable(row), sort_keys=True, ensure_ascii=False) for row in rows)
            for rows in (actual.get(name, ()), expected.get(name, ()))
        )
        different = [f"only here: {text}" for text in sorted(here - there)[:2]]
        different += [f"only there: {text}" for text in sorted(there - here)[:2]]
        if different:
            counted = f"{sum((here - there).values())} of {here.total()} rows differ"
            found[name] = [counted, *different]
    return found


def without_ages(tables: Mapping[str, Rows]) -> dict[str, Rows]:
    """Return rows without when they were read."""
    return {
        name: [{column: row[column] for column in row.keys() - {"extracted_at"}} for row in rows]
        for name, rows in tables.items()
    }


def comparable(value: object) -> object:
    """Return a value as it is in each database.

    Documents are parsed, and a field that is null in one is as if it was missing: BigQuery's
    columns have every field. So is what a loader adds. Instants are UTC. Fractions are rounded to a
    millionth, Snowflake's own precision of an average.
    """
    if isinstance(value, dict):
        pairs = ((name, comparable(part)) for name, part in value.items())
        return {name: part for name, part in pairs if part is not None and name[:5] != "_sdc_"}
    if isinstance(value, list):
        return [comparable(part) for part in value]
    if isinstance(value, float | Decimal):
        rounded = round(float(value), 6)
        return int(rounded) if rounded.is_integer() else rounded
    if isinstance(value, date):
        return _parsed(value.isoformat())
    return _parsed(value) if isinstance(value, str) else value


def _parsed(text: str) -> object:
    if text[:1] in "[{":
        try:
            return comparable(json.loads(text))
        except json.JSONDecodeError:
            return text
    try:
        # Before Python 3.11 it reads no Z.
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return text
    if len(text) > len("2024-01-01") and moment.tzinfo:
        return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat()
    return text


def without_empty_texts(row: Row) -> Row:
    """Return a row as target-duckdb and target-csv leave it: an empty text is null."""
    return {name: None if value == "" else value for name, value in row.items()}


def without_nul(row: Row) -> Row:
    """Return a row as PostgreSQL has it: it cannot store NUL, and the target replaces it."""
    return {
        name: value.replace("\x00", "\ufffd") if isinstance(value, str) else value
        for name, value in row.items()
    }


def without_null_elements(value: Any) -> Any:  # noqa: ANN401 (any JSON)
    """Return a value without nulls inside of arrays, which no load job of BigQuery takes."""
    if isinstance(value, list):
        return [without_null_elements(each) for each in value if each is not None]
    if isinstance(value, dict):
        return {name: without_null_elements(part) for name, part in value.items()}
    return value


def with_empty_arrays(value: Any, schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 (any JSON)
    """Return a value as BigQuery stores it: an empty array in place of null, or of nothing."""
    if "array" in schema.get("type", ()):
        return [with_empty_arrays(each, schema["items"]) for each in value or ()]
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for name, part in schema.get("properties", {}).items():
        if name in value or "array" in part.get("type", ()):
            filled[name] = with_empty_arrays(value.get(name), part)
    return filled

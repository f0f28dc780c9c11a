"""Rows of two databases side by side, whatever the clients of each make of a value."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = list[Row]


def differences(actual: Mapping[str, Rows], expected: Mapping[str, Rows]) -> dict[str, list[str]]:
    """Return the first rows that only one of two databases has, by table; none if all is equal."""
    found: dict[str, list[str]] = {}
    for name in actual.keys() | expected.keys():
        here = Counter(text_of(row) for row in actual.get(name, ()))
        there = Counter(text_of(row) for row in expected.get(name, ()))
        different = [f"only here: {text}" for text in sorted(here - there)[:2]]
        different += [f"only there: {text}" for text in sorted(there - here)[:2]]
        if different:
            counted = f"{sum((here - there).values())} of {here.total()} rows differ"
            found[name] = [counted, *different]
    return found


def text_of(row: Row) -> str:
    """Return a row as one text, the same for equal rows."""
    return json.dumps(comparable(row), sort_keys=True, ensure_ascii=False)


def comparable(value: object) -> object:
    """Return a value as it is in each database.

    Documents are parsed, and a field that is null in one is as if it was missing: BigQuery's
    columns have every field. Instants are UTC. Fractions are rounded to a millionth, Snowflake's
    own precision of an average.
    """
    if isinstance(value, dict):
        pairs = ((name, comparable(part)) for name, part in value.items())
        return {name: part for name, part in pairs if part is not None}
    if isinstance(value, list):
        return [comparable(part) for part in value]
    if isinstance(value, float):
        rounded = round(value, 6)
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
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    if len(text) > len("2024-01-01") and moment.tzinfo:
        return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat()
    return text

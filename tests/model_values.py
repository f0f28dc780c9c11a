"""What a column of a model holds, from a row of the simulator: pure functions of `model_truth`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Row: TypeAlias = dict[str, Any]

CHANNELS = {"voice_calls": "voice", "sms": "sms"}
ABANDONED = {
    "short_abandoned",
    "long_abandoned",
    "hold_abandoned",
    "abandon_quit",
    "callback_abandoned_by_consumer",
}
OVERFLOWED = {"overflowed", "overflowed_to_disconnect", "overflowed_to_inbox"}


def measures(engagements: list[Row]) -> Row:
    """Return what the models say of a group of engagements."""
    results = [row["result"] for row in engagements]
    durations = sorted(row["duration_seconds"] for row in engagements)
    transfers = [row["is_transferred"] for row in engagements if row["is_transferred"] is not None]
    transferred = sum(transfers)
    counted = {
        "completed": results.count("completed"),
        "abandoned": sum(result in ABANDONED for result in results),
        "overflowed": sum(result in OVERFLOWED for result in results),
        "missed_or_declined": results.count("missed") + results.count("declined"),
        "without_result": results.count(None),
    }
    return {
        "engagements": len(engagements),
        **counted,
        "other_results": len(engagements) - sum(counted.values()),
        "transferred": transferred,
        "share_transferred": transferred / len(transfers) if transfers else None,
        "total_duration_seconds": sum(durations),
        "mean_duration_seconds": sum(durations) / len(durations),
        "median_duration_seconds": percentile(durations, 0.5),
        "percentile_90_duration_seconds": percentile(durations, 0.9),
    }


def percentile(ordered: list[int], share: float) -> float:
    """Return the value below which a share of ordered values lies, interpolated."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def engagement_key(stream: str, row: Row) -> str:
    """Return an engagement's key in all models."""
    return f"{CHANNELS[stream]}/{row['account_id']}/{row['engagement_id']}"


def same(row: Row, *names: str) -> Row:
    """Return columns that have the field's name."""
    return {name: row.get(name) for name in names}


def objects(array: list[Row | None] | None) -> Iterator[tuple[int, Row]]:
    """Give the objects of an array, with their positions from 1 on."""
    return ((place, each) for place, each in enumerate(array or (), start=1) if each is not None)


def ends(array: list[Row | None] | None) -> tuple[Row, Row]:
    """Return the first and the last element of an array, empty where there is none."""
    return ((array[0] or {}), (array[-1] or {})) if array else ({}, {})


def length(array: list[Any] | None) -> int | None:
    """Return how many elements an array has."""
    return None if array is None else len(array)


def queue_id(queue: Row) -> str | None:
    """Return a queue's id, under the newer of its two names if that is filled."""
    newer: str | None = queue.get("cc_queue_id")
    return queue.get("queue_id") if newer is None else newer


def kinds(row: Row, ending: str) -> int | None:
    """Return how many of the kinds of a call's legs end so."""
    found = row.get("sub_types")
    return None if found is None else sum(kind.endswith(ending) for kind in found)


def seconds(row: Row) -> int:
    """Return the time from an engagement's start to its end."""
    return (instant(row["end_time"]) - instant(row["start_time"])) // timedelta(seconds=1)


def instant(text: str) -> datetime:
    """Read an instant with its offset."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def utc(text: str | None) -> datetime | None:
    """Return an instant as the models hold it: in UTC, without saying so."""
    return None if text is None else instant(text).astimezone(timezone.utc).replace(tzinfo=None)


def amount(text: str | None) -> float | None:
    """Return the number in a text like $0.019; None if there is more in it."""
    found = re.fullmatch(r"[$€£¥]?(\d+|\d*\.\d+)", text or "", re.ASCII)
    return float(found[1]) if found else None


def joined(*parts: object) -> str:
    """Return parts as one text, the key of a row."""
    return "/".join("-" if part is None else str(part) for part in parts)


def key_of(account_id: str, identity: str | None, name: str | None) -> str | None:
    """Return the key of a queue or an agent; one of whom nothing is known has none."""
    if identity is not None:
        return joined(account_id, identity)
    return None if name is None else joined(account_id, None, name)

"""State: refusing a state that a sync could silently lose rows by.

State is the SDK's: ``bookmarks.<stream>.partitions[]`` with a context of ``account_id``, the
replication key and its value in UTC, and from when the account was silent; after a sync that was
cut short, also where it goes on.
`tap_zoom_cc.sync.bookmarks` writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_zoom_cc.run.log import excerpt
from tap_zoom_cc.sync.bookmarks import INSTANT_FIELDS, MOST_AHEAD, REPLICATION_KEY
from tap_zoom_cc.zoom.instants import BEFORE_ZOOM, format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

NO_CONTEXT = 'has no context such as {"account_id": "…"}'


def problems(
    state: object, *, partitioned: Collection[str], streams: Collection[str], now: datetime
) -> list[str]:
    """Say what is wrong with a state as it was given, one line each.

    Args:
        state: the decoded state file.
        partitioned: the streams that have bookmarks.
        streams: all streams of the tap.
        now: the start of the run.
    """
    if not isinstance(state, dict):
        return ['state: must be an object such as {"bookmarks": {}}']
    if not state:
        return []
    bookmarks = state.get("bookmarks")
    if not isinstance(bookmarks, dict):
        return ["state: has no object 'bookmarks'; it is not the state of a Singer tap"]
    if bookmarks and not any(name in streams for name in bookmarks):
        found = ", ".join(map(excerpt, bookmarks))
        return [f"state: belongs to another tap: it has bookmarks of {found}"]
    lines = []
    for name, bookmark in bookmarks.items():
        wrong = _shape_problems(bookmark)
        if not wrong and name in partitioned:
            wrong = _stream_problems(bookmark, now)
        lines += [f"state: bookmarks.{name}: {line}" for line in wrong]
    return lines


def _shape_problems(bookmark: object) -> list[str]:
    """Say what the SDK could not work with, whatever stream it is of."""
    if not isinstance(bookmark, dict):
        return ["must be an object"]
    partitions = bookmark.get("partitions", [])
    if not isinstance(partitions, list):
        return ["partitions must be a list"]
    for number, part in enumerate(partitions):
        if not isinstance(part, dict):
            return [f"partitions[{number}]: {NO_CONTEXT}"]
    if not all(
        isinstance(part.get("progress_markers", {}), dict) for part in (bookmark, *partitions)
    ):
        return ["progress_markers must be an object; remove them"]
    return []


def _stream_problems(state: Mapping[str, Any], now: datetime) -> list[str]:
    if "replication_key_value" in state:
        return ["has a bookmark that is of no account; put it into partitions, or remove it"]
    lines = []
    seen = set()
    for number, partition in enumerate(state.get("partitions", [])):
        account_id, wrong = _partition_problem(partition, now)
        if account_id and account_id in seen:
            wrong = f"account {account_id} is there twice; keep the entry with the earlier bookmark"
        seen.add(account_id)
        if wrong:
            lines.append(f"partitions[{number}]: {wrong}")
    return lines


def _partition_problem(partition: object, now: datetime) -> tuple[str, str]:
    """Return the account of a partition, and what is wrong with it."""
    context = partition.get("context") if isinstance(partition, dict) else None
    account_id = context.get("account_id") if isinstance(context, dict) else None
    if not isinstance(partition, dict) or not isinstance(account_id, str):
        return "", NO_CONTEXT
    if isinstance(context, dict) and len(context) > 1:
        return account_id, "has a context with more than account_id"
    value = partition.get("replication_key_value")
    if value is None:
        return account_id, ""
    if partition.get("replication_key") != REPLICATION_KEY:
        return account_id, f"has a bookmark that is not of replication_key '{REPLICATION_KEY}'"
    instants = {"the bookmark": value, **{name: partition.get(name) for name in INSTANT_FIELDS}}
    wrong = [
        problem
        for name, given in instants.items()
        if given is not None and (problem := _instant_problem(name, given, now))
    ]
    return account_id, wrong[0] if wrong else ""


def _instant_problem(name: str, value: object, now: datetime) -> str:
    try:
        instant = parse_instant(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None:
        return f"{name} '{excerpt(value)}' is no date-time"
    if instant < BEFORE_ZOOM:
        return f"{name} {format_instant(instant)} is older than Zoom; remove it"
    if instant > now + MOST_AHEAD:
        return (
            f"{name} {format_instant(instant)} lies in the future; check this machine's "
            "clock, or set the bookmark back"
        )
    return ""

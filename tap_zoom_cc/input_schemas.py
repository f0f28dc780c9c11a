"""State and catalog: refusing those by which a sync could lose rows, or make them twice.

State is the SDK's: ``bookmarks.<stream>.partitions[]`` with a context of ``account_id``, the
replication key and its value in UTC, and from when the account was silent; after a sync that was
cut short, also where it goes on. `tap_zoom_cc.sync.bookmarks` writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tap_zoom_cc.run.log import excerpt
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS
from tap_zoom_cc.sync.bookmarks import INSTANT_FIELDS, MOST_AHEAD, REPLICATION_KEY
from tap_zoom_cc.zoom.filters import nearest
from tap_zoom_cc.zoom.instants import BEFORE_ZOOM, format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

NO_CONTEXT = 'has no context such as {"account_id": "…"}'


def state_problems(
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


# The catalog

PARTITIONED = frozenset(stream.name for stream in ENGAGEMENT_STREAMS)

METHODS = ("INCREMENTAL", "FULL_TABLE")

_meta_schema = Draft202012Validator(Draft202012Validator.META_SCHEMA)


def catalog_problems(catalog: object, keys: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Say what is wrong with a catalog as it was given, one line each.

    Args:
        catalog: the decoded catalog file.
        keys: the key properties of each stream of the tap.
    """
    entries = catalog.get("streams") if isinstance(catalog, dict) else None
    if not isinstance(entries, list):
        return ["catalog: has no list 'streams'; make one with --discover"]
    lines: list[str] = []
    names: list[str] = []
    for number, entry in enumerate(entries):
        name = entry.get("tap_stream_id") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(name, str):
            lines.append(f"catalog: streams[{number}]: has no tap_stream_id")
        elif name not in keys:
            lines.append(f"catalog: there is no stream {excerpt(name)}{nearest(name, keys)}")
        elif name in names:
            lines.append(f"catalog: stream {name}: is there twice")
        else:
            names.append(name)
            lines += [f"catalog: stream {name}: {line}" for line in _entry(entry, name, keys[name])]
    return lines


def _entry(entry: dict[str, object], name: str, keys: tuple[str, ...]) -> list[str]:
    """Say what is wrong with a stream's entry; the SDK takes keys from it, not its metadata."""
    wrong = _schema_problem(entry.get("schema"), keys)
    if wrong:
        return [wrong]
    metadata = entry.get("metadata", [])
    if not isinstance(metadata, list) or not all(_is_metadata(part) for part in metadata):
        return ["metadata must be a list of objects with breadcrumb and metadata"]
    root: dict[str, object] = next(
        (part["metadata"] for part in metadata if not part["breadcrumb"]), {}
    )
    lines = []
    if entry.get("stream", name) != name:
        # The SDK would apply stream maps to that name, and nothing to the rows.
        lines.append(f"stream must be {name} as well; __alias__ in stream_maps gives another name")
    needed = {*keys, REPLICATION_KEY} if name in PARTITIONED else set(keys)
    lines += [
        f"field {key} cannot be deselected: every row needs it"
        for key in sorted(needed)
        for part in metadata
        if part["breadcrumb"] == ["properties", key] and _is_deselected(part["metadata"])
    ]
    found = entry.get("key_properties")
    if not isinstance(found, list) or set(found) != set(keys):
        lines.append(f"key_properties must be {', '.join(keys)}: they keep rows from coming twice")
    if name not in PARTITIONED:
        return lines
    method = (
        entry.get("replication_method")
        or root.get("forced-replication-method")
        or root.get("replication-method")
    )
    if method is not None and method not in METHODS:
        lines.append(f"replication_method must be {' or '.join(METHODS)}, not {excerpt(method)}")
    key = entry.get("replication_key")
    if key is not None and key != REPLICATION_KEY:
        lines.append(f"replication_key must be {REPLICATION_KEY}, not {excerpt(key)}")
    if key is None and method != METHODS[1]:
        lines.append(f"replication_key must be {REPLICATION_KEY}: bookmarks are of it")
    return lines


def _schema_problem(schema: object, keys: Collection[str]) -> str:
    """Say why rows could not be made by a schema: not one, unknown to the SDK, or without keys."""
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        return "has no schema with properties; make the catalog with --discover"
    error = best_match(_meta_schema.iter_errors(schema))
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path)
        return f"its schema is no JSON Schema at '{place}'; make the catalog with --discover"
    if not _has_objects_only(schema):
        return "its schema has true or false in the place of a schema; write {} instead"
    missing = [key for key in keys if key not in schema["properties"]]
    return f"its schema lacks {', '.join(missing)}, which every row needs" if missing else ""


def _has_objects_only(schema: object) -> bool:
    """Say whether a schema consists of objects where the SDK takes for granted that it does."""
    if not isinstance(schema, dict):
        return False
    parts = [
        *schema.get("properties", {}).values(),
        *([schema["items"]] if "items" in schema else []),
    ]
    return all(_has_objects_only(part) for part in parts)


def _is_deselected(metadata: Mapping[str, object]) -> bool:
    selected = metadata.get("selected", metadata.get("selected-by-default", True))
    return metadata.get("inclusion") != "automatic" and not selected


def _is_metadata(part: object) -> bool:
    return (
        isinstance(part, dict)
        and isinstance(part.get("breadcrumb"), list)
        and all(isinstance(name, str) for name in part["breadcrumb"])
        and isinstance(part.get("metadata"), dict)
    )

"""The catalog: refusing one by which a sync could lose rows or make them twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tap_zoom_cc.run.log import excerpt
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS
from tap_zoom_cc.sync.bookmarks import REPLICATION_KEY
from tap_zoom_cc.zoom.filters import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PARTITIONED = frozenset(stream.name for stream in ENGAGEMENT_STREAMS)

METHODS = ("INCREMENTAL", "FULL_TABLE")

_meta_schema = Draft202012Validator(Draft202012Validator.META_SCHEMA)


def problems(catalog: object, keys: Mapping[str, tuple[str, ...]]) -> list[str]:
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

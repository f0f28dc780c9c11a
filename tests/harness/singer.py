"""What passes between a tap and a target: messages, and the bookmarks and catalogs in files."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from simulator.scenario import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Record: TypeAlias = dict[str, Any]
Message: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Any]
Catalog: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, str]
"""Stream and account: what has a bookmark of its own."""


_DECODER = msgspec.json.Decoder(dict[str, Any])


def parse_messages(output: bytes) -> list[Message]:
    """Return the complete messages of an output; a last line that was cut off is none."""
    complete = output[: output.rfind(b"\n") + 1]
    return [_DECODER.decode(line) for line in complete.splitlines()]


def all_partitions(state: Mapping[str, Any]) -> dict[Place, Record]:
    """Return what a state says of each stream and account that has a bookmark."""
    return {
        (stream, partition["context"]["account_id"]): partition
        for stream in STREAMS
        for partition in state.get("bookmarks", {}).get(stream, {}).get("partitions", [])
        if "replication_key_value" in partition
    }


def all_bookmarks(state: Mapping[str, Any]) -> dict[Place, str]:
    """Return the bookmarks of both streams by stream and account."""
    partitions = all_partitions(state).items()
    return {place: partition["replication_key_value"] for place, partition in partitions}


def bookmarks(state: Mapping[str, Any], stream: str) -> dict[str, str]:
    """Return a stream's bookmarks by account; accounts without one are left out."""
    return {name: value for (of, name), value in all_bookmarks(state).items() if of == stream}


def state_of(stream: str, values: Mapping[str, str]) -> State:
    """Return the entry of a stream in ``bookmarks``, with these bookmarks by account."""
    return {
        stream: {
            "partitions": [
                {
                    "context": {"account_id": account_id},
                    "replication_key": "start_time",
                    "replication_key_value": value,
                }
                for account_id, value in values.items()
            ]
        }
    }


def selecting(
    catalog: Catalog,
    streams: Iterable[str],
    *,
    without: Iterable[str] = (),
    replication_method: str | None = None,
) -> Catalog:
    """Return a catalog, as ``--discover`` prints it, with only some streams selected.

    ``without`` are fields of theirs to deselect. ``replication_method`` is forced upon them; None
    leaves the tap's own.
    """
    changed = copy.deepcopy(catalog)
    for entry in changed["streams"]:
        selected = entry["tap_stream_id"] in set(streams)
        for part in entry["metadata"]:
            if not part["breadcrumb"]:
                part["metadata"]["selected"] = selected
            elif part["breadcrumb"][-1] in set(without):
                part["metadata"]["selected"] = False
        if selected and replication_method:
            entry["replication_method"] = replication_method
    return changed

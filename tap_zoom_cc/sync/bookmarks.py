"""Bookmarks: the end of the last window that was read whole, kept in the SDK's state.

A bookmark is set by windows alone, never by a row's date, and never moves back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tap_zoom_cc.zoom.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

REPLICATION_KEY = "start_time"

SECONDS_BETWEEN_STATES = 1.0

ROWS_PER_WINDOW = 20
"""How many rows a finished window counts for when it is decided whether STATE is due."""


def bookmark_of(state: Mapping[str, object] | None) -> datetime | None:
    """Return a partition's bookmark in UTC, or None if it has none of this replication key."""
    if not state or state.get("replication_key") != REPLICATION_KEY:
        return None
    value = state.get("replication_key_value")
    return parse_instant(value) if isinstance(value, str) else None


def advance(state: dict[str, object], end: datetime) -> bool:
    """Move a partition's bookmark to the end of a window, unless it is there already.

    Returns:
        Whether it moved forward.
    """
    before = bookmark_of(state)
    state["replication_key"] = REPLICATION_KEY
    state["replication_key_value"] = format_instant(max(end, before or end))
    return before is None or before < end


class StateSchedule:
    """Says when a STATE message is due: at most once a second, and not too often for its size.

    STATE holds every account, so a message for each window would make the output of many accounts
    quadratic. It is due when as many rows were emitted as the stream has accounts, where a window
    counts as `ROWS_PER_WINDOW` rows more.
    """

    def __init__(self) -> None:
        """Start with nothing written."""
        self._written_at = 0.0
        self._progress = 0

    def count(self, rows: int) -> None:
        """Count what was emitted since the last message: a window with that many rows."""
        self._progress += rows + ROWS_PER_WINDOW

    def is_due(self, accounts: int) -> bool:
        """Say whether a message is due in a stream with that many accounts."""
        waited = time.monotonic() - self._written_at
        return waited >= SECONDS_BETWEEN_STATES and self._progress >= accounts

    def wrote(self) -> None:
        """Begin to count anew after a message."""
        self._written_at, self._progress = time.monotonic(), 0

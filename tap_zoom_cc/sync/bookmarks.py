"""Bookmarks: the fields of an account's state, what moves them, and when STATE is written.

A bookmark is the end of the last window that was read whole. It is set by windows alone, never by a
row's date, and never moves back.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from tap_zoom_cc.run.report import Lag
from tap_zoom_cc.sync.lookback import Progress, advance
from tap_zoom_cc.zoom.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tap_zoom_cc.sync.windows import Window

REPLICATION_KEY = "start_time"

REREAD_FIELDS = ("reread_to", "reread_at")
"""Where a sync that was cut short is to go on; `tap_zoom_cc.sync.lookback` says how."""

BEHIND = timedelta(days=1)
"""An account whose bookmark is older than this at the end of a run is behind (own choice)."""

MOST_AHEAD = timedelta(hours=1)
"""How far a bookmark may lie after the present: clocks differ, but not by more (own choice)."""

SECONDS_BETWEEN_STATES = 1.0

ROWS_PER_WINDOW = 20
"""How many rows a finished window counts for when it is decided whether STATE is due."""


def progress_of(state: Mapping[str, object] | None) -> Progress | None:
    """Return how far a partition was read, or None without a bookmark of our replication key."""
    if not state or state.get("replication_key") != REPLICATION_KEY:
        return None
    value = state.get("replication_key_value")
    if not isinstance(value, str):
        return None
    reread_to, reread_at = (
        parse_instant(text) if isinstance(text := state.get(name), str) else None
        for name in REREAD_FIELDS
    )
    return Progress(parse_instant(value), reread_to, reread_at)


def bookmark_of(state: Mapping[str, object] | None) -> datetime | None:
    """Return a partition's bookmark in UTC, or None if it has none of this replication key."""
    progress = progress_of(state)
    return progress.bookmark if progress else None


def lag_of(states: Mapping[str, Mapping[str, object]], *, end: datetime) -> Lag:
    """Return how far the bookmarks of a stream are behind.

    Args:
        states: of the partitions that should be read, by account.
        end: up to where they should be read.
    """
    bookmarks = {account_id: bookmark_of(state) for account_id, state in states.items()}
    known = [(bookmark, name) for name, bookmark in bookmarks.items() if bookmark]
    oldest, account_id = min(known, default=(None, ""))
    behind = frozenset(
        name for name, bookmark in bookmarks.items() if bookmark is None or end - bookmark > BEHIND
    )
    return Lag(end, oldest, account_id, behind, not_begun=len(bookmarks) - len(known))


def move(state: dict[str, object], window: Window, *, end: datetime) -> bool:
    """Keep in a partition's state that a window was read whole.

    Args:
        state: of the partition; the bookmark in it never moves back.
        window: the window.
        end: the end of the whole sync.

    Returns:
        Whether the next sync begins later for it.
    """
    before = progress_of(state)
    after = advance(before, window, end=end)
    state["replication_key"] = REPLICATION_KEY
    state["replication_key_value"] = format_instant(after.bookmark)
    for name, instant in zip(REREAD_FIELDS, (after.reread_to, after.reread_at), strict=True):
        state.pop(name, None)
        if instant is not None:
            state[name] = format_instant(instant)
    return before != after


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

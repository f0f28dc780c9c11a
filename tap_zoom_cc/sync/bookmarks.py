"""Bookmarks: what state says of an account, what moves it, and when STATE is written.

A bookmark is the end of the last window that was read whole. It is set by windows alone, never by a
row's date, and never moves back. Beside it stands from when the account is silent: one that is
quiet *rests*, it is not asked for a while, so that busy ones can be.

Each sync costs at least one request for each account and stream, and with a thousand accounts most
of these find nothing. With ``quiet_accounts_hours`` an account's stream *rests* after its bookmark:
for an eighth of its *silence*, and at most for the setting. The silence is the time from the latest
end of an engagement that was seen, which state keeps as ``quiet_since``, to the bookmark.

Why an eighth (own choice). How long a silence goes on is best told by how long it has been: of a
silence about which nothing else is known, one in nine ends within its next eighth. So at most one
rest in nine or so makes a row late. A row is late by at most an eighth of the time for which nobody
has heard of the account, and one that comes soon after another is not late at all.

Why nothing is lost, and nothing is later than promised. A rest only makes the distance between two
syncs of an account longer, and `tap_zoom_cc.sync.lookback` holds for every distance; bookmark and
depth know nothing of a rest. A row is due at its m (see there), which is after the bookmark until
it is read. The rest ends at most ``longest`` after the bookmark, and so less than ``longest`` after
m; the first sync from then on that reaches the account reads the row. A rest depends on nothing but
the bookmark, ``quiet_since`` and the setting of the sync that asks. So a sync that was cut short or
killed can at worst leave both as they were: the account has waited since then, and is asked.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from tap_zoom_cc.run.report import Lag
from tap_zoom_cc.sync.lookback import Progress, advance
from tap_zoom_cc.zoom.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tap_zoom_cc.sync.windows import Window

REPLICATION_KEY = "start_time"

REREAD_FIELDS = ("reread_to", "reread_at")
"""Where a sync that was cut short is to go on; `tap_zoom_cc.sync.lookback` says how."""

QUIET_SINCE = "quiet_since"
"""From when an account is silent, see `silent_from`."""

INSTANT_FIELDS = (*REREAD_FIELDS, QUIET_SINCE)

PART_OF_SILENCE = 8
"""A rest is the silence divided by this (own choice, see the module)."""

NO_REST = timedelta(0)

BEGINNING_OF_TIME = datetime.min.replace(tzinfo=timezone.utc)

BEHIND = timedelta(days=1)
"""An account is behind when it has waited for longer at the end of a run: since its bookmark, or
since the end of its rest (own choice)."""

MOST_AHEAD = timedelta(hours=1)
"""How far a bookmark may lie after the present: clocks differ, but not by more (own choice)."""

SECONDS_BETWEEN_STATES = 1.0

ROWS_PER_WINDOW = 20
"""How many rows a finished window counts for when it is decided whether STATE is due."""


def longest_rest(setting: timedelta, *, end_date: datetime | None, now: datetime) -> timedelta:
    """Return the most that an account may rest in a run: the setting, or nothing.

    Who sets an ``end_date`` that has passed wants what lies before it now, and may never sync again
    in this state.
    """
    return setting if end_date is None or end_date > now else NO_REST


def rest_of(bookmark: datetime, quiet_since: datetime | None, longest: timedelta) -> timedelta:
    """Return how long an account's stream rests after its bookmark: ``longest`` at most.

    It does not rest if state does not say from when it is silent (``quiet_since``).
    """
    if quiet_since is None:
        return NO_REST
    return max(NO_REST, min(longest, (bookmark - quiet_since) / PART_OF_SILENCE))


def silent_from(
    quiet_since: datetime | None, window: Window, last_end: datetime | None, *, end: datetime
) -> datetime:
    """Return from when an account's stream is silent once a window of it was read.

    That is the latest end of an engagement that was seen; before there is any, the begin of the
    first window that was read. An end that Zoom gives, but that lies after the end of the sync,
    counts as that: a wrong one would be kept for good.

    ``quiet_since`` is what state said before, ``last_end`` the latest end of an engagement in this
    and the earlier windows of the sync, where one without an end counts as its window's end.
    """
    seen = [quiet_since or window.begin, *([min(last_end, end)] if last_end else [])]
    return max(seen)


def progress_of(state: Mapping[str, object] | None) -> Progress | None:
    """Return how far a partition was read, or None without a bookmark of our replication key."""
    if not state or state.get("replication_key") != REPLICATION_KEY:
        return None
    value = state.get("replication_key_value")
    if not isinstance(value, str):
        return None
    reread_to, reread_at = (_instant(state, name) for name in REREAD_FIELDS)
    return Progress(parse_instant(value), reread_to, reread_at)


def _instant(state: Mapping[str, object], name: str) -> datetime | None:
    return parse_instant(text) if isinstance(text := state.get(name), str) else None


def waits_since(state: Mapping[str, object] | None, longest: timedelta) -> datetime | None:
    """Return from when a partition waits to be read: its bookmark, or the end of its rest.

    None is returned without a bookmark. There is no rest where a sync that was cut short is to go
    on. ``longest`` is the most that it may rest.
    """
    progress = progress_of(state)
    if not state or progress is None:
        return None
    if progress.reread_at:
        return progress.bookmark
    return progress.bookmark + rest_of(progress.bookmark, _instant(state, QUIET_SINCE), longest)


def is_at_rest(state: Mapping[str, object] | None, longest: timedelta, *, end: datetime) -> bool:
    """Say whether a partition is not asked by a sync with that end: it rests for longer."""
    progress, since = progress_of(state), waits_since(state, longest)
    return progress is not None and since is not None and since > max(progress.bookmark, end)


def in_order(
    account_ids: Iterable[str], states: Mapping[str, Mapping[str, object]], longest: timedelta
) -> list[str]:
    """Return the accounts, that which waits the longest first, those without a bookmark before all.

    A run that ends early has then served those that wait the longest, and the next one goes on.
    Quiet accounts do not push in before busy ones when their rest ends: they wait from then on.
    ``states`` are those of the accounts' partitions, as far as they have one.
    """
    waiting = {
        name: waits_since(states.get(name), longest) or BEGINNING_OF_TIME for name in account_ids
    }
    return sorted(waiting, key=waiting.__getitem__)


def lag_of(
    states: Mapping[str, Mapping[str, object]], *, end: datetime, longest_rest: timedelta
) -> Lag:
    """Return how far the bookmarks of a stream are behind.

    ``states`` are those of the partitions, by account, that should be read up to ``end``.
    """
    waiting = {name: waits_since(state, longest_rest) for name, state in states.items()}
    known = [(since, name) for name, since in waiting.items() if since]
    since, account_id = min(known, default=(end, ""))
    oldest = progress_of(states.get(account_id))
    return Lag(
        oldest=oldest.bookmark if oldest else None,
        account_id=account_id,
        age=max(NO_REST, end - since),
        behind=frozenset(
            name for name, since in waiting.items() if since is None or end - since > BEHIND
        ),
        not_begun=len(waiting) - len(known),
    )


@dataclass(slots=True)
class Bookmarks:
    """How far the accounts of a stream were read, as their states say; STATE is written from here.

    STATE holds every account, so a message for each window would make the output of many accounts
    quadratic. One is due when as many rows were emitted as the stream has accounts, where a window
    counts as `ROWS_PER_WINDOW` rows more, and at most once a second.
    """

    states: Mapping[str, dict[str, object]]
    """Of the partitions by account, in the order in which they are emitted."""
    write: Callable[[dict[str, object]], object]
    """Writes STATE, given the state of an account that has changed."""
    full_table: bool
    """Whether everything is read, and bookmarks neither count nor move."""
    _written_at: float = 0.0
    _rows: int = 0

    def move(
        self,
        account_id: str,
        window: Window,
        *,
        end: datetime,
        last_end: datetime | None,
        rows: int,
    ) -> bool:
        """Keep that a window was read whole, and write STATE if it is due; no bookmark moves back.

        ``end`` is that of the whole sync, ``last_end`` as in `silent_from`, and ``rows`` how many
        were emitted from the window.

        Returns:
            Whether the next sync begins later for the account.
        """
        if self.full_table:
            return False
        state = self.states[account_id]
        before = progress_of(state)
        after = advance(before, window, end=end)
        state["replication_key"] = REPLICATION_KEY
        state["replication_key_value"] = format_instant(after.bookmark)
        for name, instant in zip(REREAD_FIELDS, (after.reread_to, after.reread_at), strict=True):
            state.pop(name, None)
            if instant is not None:
                state[name] = format_instant(instant)
        silent = silent_from(_instant(state, QUIET_SINCE), window, last_end, end=end)
        state[QUIET_SINCE] = format_instant(silent)
        self._rows += rows + ROWS_PER_WINDOW
        waited = time.monotonic() - self._written_at
        if waited >= SECONDS_BETWEEN_STATES and self._rows >= len(self.states):
            self._written_at, self._rows = time.monotonic(), 0
            self.write(state)
        return before != after

"""How long a quiet account rests: it is not asked for a while, so that busy ones can be.

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

Everything here is pure and in UTC.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tap_zoom_cc.sync.windows import Window

PART_OF_SILENCE = 8
"""A rest is the silence divided by this (own choice, see the module)."""

NO_REST = timedelta(0)


def longest_rest(setting: timedelta, *, end_date: datetime | None, now: datetime) -> timedelta:
    """Return the most that an account may rest in a run: the setting, or nothing.

    Who sets an ``end_date`` that has passed wants what lies before it now, and may never sync again
    in this state.
    """
    return setting if end_date is None or end_date > now else NO_REST


def rest_of(bookmark: datetime, quiet_since: datetime | None, longest: timedelta) -> timedelta:
    """Return how long an account's stream rests after its bookmark.

    Args:
        bookmark: up to where it was read.
        quiet_since: see `silent_from`; None if state does not say, and then there is no rest.
        longest: the most that it may rest.
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

    Args:
        quiet_since: from when it was silent before; None if state did not say.
        window: the window.
        last_end: the latest end of an engagement in this and the earlier windows of the sync, where
            one without an end counts as its window's end; None without any.
        end: the end of the whole sync.
    """
    seen = [quiet_since or window.begin, *([min(last_end, end)] if last_end else [])]
    return max(seen)

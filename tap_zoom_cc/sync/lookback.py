"""How far a sync looks back: seldom far, often a little, so that a long lookback stays cheap.

An engagement appears only after its end, so each sync looks for what has appeared late: before its
bookmark. To read the whole lookback each time would cost its length in every sync. Instead the
depths are those of the marks on a ruler. Time is divided by marks at every multiple of 15 minutes,
of 30 minutes, of 1 hour, and so on, each step twice the one before. A sync that passes a mark of a
large step looks far back; marks of large steps are rare. An engagement that was open for an hour is
looked for at each second hour, one that was open for a week is looked for at every 11 days.

Everything here is pure and in UTC.

Why nothing is lost. A row has a place on the axis of ``from`` and ``to``: its start, or its end,
moved by the hours of the account's zone if Zoom reads times so. It can be read by a sync whose
range holds its place, once it is listed and the sync's end is not before its place: from its
*appearance* on. Its *lateness* is the time from its place to its appearance. At most that is the
lookback, an hour until it is listed, and 14 hours of the zone: together the *reach*.

Let s be the shortest step that is not shorter than a row's lateness, and m the first multiple of s
after its appearance. The sync whose range from bookmark to end holds m reads the row:

- its step is s or a longer one, whose multiples are multiples of s too, so that it begins no later
  than step s would have it begin;
- the last multiple of s at or before its bookmark is m - s or earlier, which is not after the
  appearance; less the lateness, that is not after the row's place.

And m is less than twice the lateness after the appearance, or 15 minutes. So after each sync holds:
*every row whose m is not after the bookmark has been read.* Only the phase and the shortest step
are part of this rule. The lookback may change from sync to sync; each row counts on the shortest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zlib import crc32

from tap_zoom_cc.sync.windows import WIDEST_ZONE, whole_second

if TYPE_CHECKING:
    from tap_zoom_cc.sync.windows import Window

SHORTEST_STEP = timedelta(minutes=15)
"""Steps are this long, twice as long, four times … A change of it would lose rows."""

LATEST_LISTING = timedelta(hours=1)
"""How long after its end an engagement may be listed; clocks that differ count too (own choice)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an account's stream has been read, as its partition's state says.

    ``bookmark`` is the end of the latest complete window, and is never moved back. The other two
    are set from the first complete window of a sync until its last one: ``reread_to`` is the end of
    the latest complete window of that sync, ``reread_at`` the end of that whole sync. They stay
    when the sync is cut short, by a budget, a failure or a kill, and the next sync goes on there.
    """

    bookmark: datetime
    reread_to: datetime | None = None
    reread_at: datetime | None = None


def phase_of(stream: str, account_id: str) -> timedelta:
    """Return from when after 1970 the marks of a stream of an account are counted.

    Each has a phase of its own, so that the deep reads of many accounts do not fall into one run.
    It is frozen: under another phase a row may belong to a mark that has been passed.
    """
    return timedelta(seconds=crc32(f"{stream} {account_id}".encode()))


def depth(*, bookmark: datetime, end: datetime, lookback: timedelta, phase: timedelta) -> timedelta:
    """Return how far before its bookmark a sync has to begin: at least 15 minutes.

    Let s be the longest step of which a multiple lies after ``bookmark`` and not after ``end``. The
    sync begins at the last multiple of s that is not after the bookmark, less s, or less the reach
    if that is shorter. The longest step of all is the first that is not shorter than the reach.

    Args:
        bookmark: up to where the account was read.
        end: the end of this sync; it may lie before the bookmark.
        lookback: how long an engagement may stay open and still be read, from 0.
        phase: see `phase_of`.
    """
    reach = lookback + LATEST_LISTING + WIDEST_ZONE
    marked = _EPOCH + phase
    step, found = SHORTEST_STEP, SHORTEST_STEP
    while (bookmark - marked) // step < (end - marked) // step:
        found = (bookmark - marked) % step + min(step, reach)
        if step >= reach:
            break
        step *= 2
    return found


def begin_of_reread(
    progress: Progress,
    *,
    end: datetime,
    lookback: timedelta,
    phase: timedelta,
    start_date: datetime | None,
) -> datetime:
    """Return the instant from which an account with a bookmark is read, in whole seconds.

    That is the bookmark less its `depth`, or where a sync that was cut short is to go on, but never
    earlier than 14 hours before a configured ``start_date``.

    Where it goes on: before ``reread_to``, the sync that was cut short has read everything, as of
    its end ``reread_at``. There only what has appeared since is missing: what a sync would look for
    whose bookmark is ``reread_at``. From ``reread_to`` on, everything is missing. This sync begins
    at the earlier of the two places.

    Why that is right: what stays true is that *every row whose m (see the module) is not after
    ``reread_at``, and whose place is before ``reread_to``, has been read*. Without the two fields
    the bookmark stands for both, and the sentence is the module's. A sync with the end N begins at
    F and completes its windows up to E. Take a row whose m is not after N, with a place before E.
    If its place is not before F, this sync has read it: it appeared before m. If its place is
    before F, then m is not after ``reread_at``, because F is early enough for every row whose m is
    after it; and the place is before ``reread_to``, because F is not after that. So it was read
    earlier. The sentence is true for N and E, and these are the new fields. And a row whose m is
    not after E has its place before E, so E may become the bookmark if that was earlier.

    A ``reread_to`` after the bookmark is never written: somebody has set the bookmark back in order
    to read again, and both fields are ignored.
    """
    bookmark, reread_to, reread_at = progress.bookmark, progress.reread_to, progress.reread_at
    if reread_to is None or reread_at is None or reread_to > bookmark:
        reread_to = reread_at = bookmark
    below = depth(bookmark=reread_at, end=end, lookback=lookback, phase=phase)
    begin = min(reread_to, _earlier(reread_at, below))
    if start_date is not None:
        begin = max(begin, _earlier(start_date, WIDEST_ZONE))
    return whole_second(begin)


def advance(progress: Progress | None, window: Window, *, end: datetime) -> Progress:
    """Return how far an account has been read when the next window of a sync is complete.

    Args:
        progress: what was true before; None without a bookmark.
        window: the window, all rows of which, and of those before it in this sync, were emitted.
        end: the end of the whole sync, as given to `begin_of_reread`. With an ``end_date`` that is
            not the present: the sync has looked back only as far as its own end asks for.
    """
    bookmark = max(window.end, progress.bookmark) if progress else window.end
    if window.end >= end:
        return Progress(bookmark)
    return Progress(bookmark, reread_to=window.end, reread_at=end)


def _earlier(instant: datetime, by: timedelta) -> datetime:
    return instant - min(by, instant - _FIRST)

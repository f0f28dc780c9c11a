"""Windows of time: where a sync begins and ends, how a range is cut, and which one was answered.

Everything here is pure and in UTC. Instants are aware datetimes; windows begin and end at whole
seconds, because that is the precision of the API's ``from`` and ``to``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_zoom_cc.zoom.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_zoom_cc.zoom.pages import Page

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

WIDEST_ZONE = timedelta(hours=14)
"""How far an account's own zone may lie from UTC, and so move what a range selects or names."""

LONGEST_REQUEST = timedelta(days=28)
"""Zoom allows "a month"; 28 days are within every month, calendar or not."""

LONGEST_WINDOW = LONGEST_REQUEST - MINUTE
"""Requests overlap their neighbours by seconds, and must not be longer than `LONGEST_REQUEST`."""

MOST_ROWS = 2_500
"""A window with more rows is split. It bounds memory, redo after a crash and a token's age."""

AIMED_ROWS = 1_800
"""The rows that parts of a split window should have on average: few are then split again."""

MOST_BYTES = 16 * 1024 * 1024
"""A window with more bytes of rows is split: rows of 20 kB are seven times as large as usual."""

AIMED_BYTES = 6 * 1024 * 1024
"""The bytes that parts of a split window should have on average."""

MOST_PARTS = 64
"""More are not made at once: a count of something else must not cost thousands of requests."""

MOST_OF_PARENT = 0.75
"""A part with a larger share of its parent's rows holds most of them."""

BURST = timedelta(hours=1)
"""Where most rows of so short a window lie in one part, they are read as they come (own choice)."""

MOST_IN_ALL_PARTS = 1.5
"""Parts that together have more rows than this share of their window have most of them twice."""

_LATEST = datetime.max.replace(tzinfo=timezone.utc)

_NAMED = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?:[Tt ](?P<minute>\d\d:\d\d)(?P<second>:\d\d(?:\.\d{1,9})?)?)?"
    r"(?P<zone>[Zz]|(?P<offset>[+-]\d\d:\d\d))?",
    re.ASCII,
)
"""The forms in which an answer may name an end of its range."""


@dataclass(frozen=True, slots=True)
class Window:
    """A range of time, in UTC and whole seconds; neighbours share their boundary instant."""

    begin: datetime
    end: datetime

    @override
    def __str__(self) -> str:
        """Return the range as it is written in messages."""
        return f"{format_instant(self.begin)} to {format_instant(self.end)}"


@dataclass(frozen=True, slots=True)
class Parent:
    """The window that a part was cut from because it held too much, and its number of rows."""

    window: Window
    total: int


def request_range(window: Window, sync: Window) -> Window:
    """Return the range that a request for a window asks for: it overlaps the next window's.

    Whether the edges of a range belong to it is not documented. Where neither does, an engagement
    at the instant that two windows share would be in no answer. So each request ends a second after
    its window. The first one of a sync also begins a second early. The last one does not end late:
    the next sync looks back (own choice). ``sync`` is the whole range that it reads of the account.
    """
    return Window(
        window.begin - SECOND if window.begin == sync.begin else window.begin,
        window.end if window.end == sync.end else window.end + SECOND,
    )


def whole_second(instant: datetime) -> datetime:
    """Return the last whole second that is not after the instant."""
    return instant.replace(microsecond=0)


def first_begin(*, start_date: datetime | None, now: datetime) -> datetime:
    """Return the instant from which an account without a bookmark is read.

    Without a ``start_date`` that is the whole minute from which one window reaches to the present.
    """
    if start_date:
        return whole_second(start_date)
    return (now - LONGEST_WINDOW).replace(second=0, microsecond=0) + MINUTE


def end_of_sync(*, end_date: datetime | None, now: datetime) -> datetime:
    """Return the instant up to which an account is read: ``end_date``, or the start of the run."""
    return whole_second(min(end_date, now) if end_date else now)


@dataclass(frozen=True, slots=True)
class Cut:
    """A range cut into windows of at most ``longest``, oldest first; none if it is empty.

    The windows cover the range exactly: the first begins at ``begin``, each next one begins where
    the one before ends, the last ends at ``end``. Cuts lie on whole minutes, in which an answer may
    name its range. Each window is made when it is asked for: two thousand accounts since 2010 have
    400,000.
    """

    begin: datetime
    end: datetime
    longest: timedelta = LONGEST_WINDOW

    def __len__(self) -> int:
        """Return how many windows there are."""
        begin = self.begin.replace(second=0, microsecond=0) if self.begin < self.end else self.end
        return max(0, -((begin - self.end) // self.longest))

    def __iter__(self) -> Iterator[Window]:
        """Make one window after the other."""
        begin, cut = self.begin, self.begin.replace(second=0, microsecond=0)
        while begin < self.end:
            cut += self.longest
            yield Window(begin, min(cut, self.end))
            begin = cut


def split(window: Window, parts: int) -> list[Window]:
    """Cut a window into ``parts`` of nearly the same length, oldest first.

    Returns fewer parts when the window has fewer seconds than that, or fewer `ends_of_days`, and
    the window alone when it cannot be cut. What has an end of a day inside is cut there alone.
    Others are cut at whole minutes, and where parts have less than one, at whole seconds (own
    choice; see `Cut` for what is covered).
    """
    length = window.end - window.begin
    parts = min(parts, max(1, length // SECOND))
    step = length / parts
    ends = ends_of_days(window)
    cuts = [window.begin]
    for number in range(1, parts):
        cut = window.begin + step * number
        if ends:
            cut = min(ends, key=lambda end: abs(end - cut))
        else:
            cut = whole_second(cut)
            if step >= MINUTE:
                cut = cut.replace(second=0)
        if cuts[-1] < cut < window.end:
            cuts.append(cut)
    cuts.append(window.end)
    return [Window(begin, end) for begin, end in pairwise(cuts)]


def ends_of_days(window: Window) -> list[datetime]:
    """Return the last whole minute of each UTC day that lies an hour or more inside a window.

    A server that looks at days only answers a range with all days that it touches, and two requests
    that overlap at a cut touch a day in common. Cut here, that is the day before the cut, so that a
    crowded day is asked for twice at most: with the day before it, and with the one after it.
    """
    first = (window.begin + HOUR + MINUTE).replace(hour=0, minute=0, second=0, microsecond=0)
    days = range((window.end - first) // DAY + 1)
    ends = [first + (day + 1) * DAY - MINUTE for day in days]
    return [end for end in ends if window.begin + HOUR <= end <= window.end - HOUR]


def parts_of(window: Window, *, rows: int, size: int, parent: Parent | None) -> list[Window]:
    """Return the parts that take a window's place when it has too many rows or bytes, else nothing.

    ``rows`` and their ``size`` in bytes are what the window has, as far as known.

    What is longer than a day is cut at ends of days first (`split`). A part of an hour, or of less,
    that holds most of its rows is not cut again: they lie within a moment. What was cut from more
    than that is: rows may crowd at one end of a month. Before a cut within a day, `samples_of` the
    window may be asked for.
    """
    if not is_too_much(rows, size):
        return []
    if window.end - window.begin <= SECOND:
        return []
    if parent and holds_most(rows, parent) and parent.window.end - parent.window.begin <= BURST:
        return []
    parts = max(2, -(-rows // AIMED_ROWS), -(-size // AIMED_BYTES))
    found = split(window, min(MOST_PARTS, parts))
    return found if len(found) > 1 else []


def is_too_much(rows: int, size: int) -> bool:
    """Say whether so many rows, or bytes of them, are more than a window may hold."""
    return rows > MOST_ROWS or size > MOST_BYTES


def holds_most(rows: int, parent: Parent) -> bool:
    """Say whether that many rows of a part are most of those of the window it was cut from."""
    return rows > parent.total * MOST_OF_PARENT


def samples_of(window: Window, *, rows: int, parts: int, parent: Parent | None) -> list[Window]:
    """Return three ranges, apart, that show whether parts of a window would be any smaller.

    They would not be if the server looks at days only, or at engagements that were open during the
    range: then a range has as many rows as a part, although it is a quarter as long. Shorter ones
    might be refused where parts would not be. They are needed where the first cut within a day
    would be made, and of a part that has most rows of the window it was cut from.

    The window has so many ``rows``, and would be cut into so many ``parts``.
    """
    is_cut_first_within_a_day = not ends_of_days(window) and (
        parent is None or bool(ends_of_days(parent.window))
    )
    if not is_cut_first_within_a_day and not (parent and holds_most(rows, parent)):
        return []
    length = window.end - window.begin
    quarter = max(SECOND, length / parts / 4 // SECOND * SECOND)
    begins = [whole_second(window.begin + length * number / 4) for number in (1, 2, 3)]
    return [Window(begin, begin + quarter) for begin in begins]


def would_come_twice(rows: int, *, parts: int, samples: Sequence[int]) -> bool | None:
    """Say whether most rows of a window would come twice if it was cut; None if it is open yet.

    Two of three samples decide: a burst may lie in one, and the account's day may change within the
    window, which leaves two on one side. ``samples`` are the rows of those that were asked for.
    """
    votes = [sample * parts > rows * MOST_IN_ALL_PARTS for sample in samples]
    return next((vote for vote in (True, False) if votes.count(vote) > 1), None)


def halves(window: Window) -> list[Window]:
    """Cut a window in two at the whole hour nearest its middle; none if no whole hour is inside."""
    middle = window.begin + (window.end - window.begin) / 2 + timedelta(minutes=30)
    cut = middle.replace(minute=0, second=0, microsecond=0)
    if not window.begin < cut < window.end:
        return []
    return [Window(window.begin, cut), Window(cut, window.end)]


class Answered(Enum):
    """Which range an answer names."""

    ASKED = "the range that was asked for, or more"
    LESS = "less, or a range beside it"
    NOTHING = "an empty range: nothing is kept of what was asked for"
    ANOTHER = "a range that does not meet it"


def answered(request: Window, page: Page) -> Answered:
    """Compare the range that a page names with the one that was asked for.

    An end covers the unit in which it is written: day, minute or second. A time with a numeric
    offset is an instant. Any other may be in the account's zone, since ``Z`` is a literal character
    in the document; so may be a day. Less than a minute may lack at either end: the next sync looks
    at the end again. What is missing or cannot be read counts as asked.

    A range that is as long as the one asked for, and moved by up to 14 hours, cannot be told from
    a zone (docs/promises.md).
    """
    begin, begin_zone = request.begin, timedelta(0)
    end, end_zone = request.end, timedelta(0)
    if named := _named(page.begin):
        begin, _, begin_zone = named
    if named := _named(page.end):
        end, unit, end_zone = named
        end += min(unit, _LATEST - end)
    if end - begin <= SECOND and request.end - request.begin > MINUTE:
        return Answered.NOTHING
    if begin - request.end > begin_zone or request.begin - end > end_zone:
        return Answered.ANOTHER
    lacking = (
        (request.end - request.begin) - (end - begin),
        begin - request.begin - begin_zone,
        request.end - end - end_zone,
    )
    return Answered.ASKED if max(lacking) < MINUTE else Answered.LESS


def asked_and_named(request: Window, page: Page) -> str:
    """Say which range was asked for and which one a page names, in the words of an error.

    Only an end that is a time is told: anything else may be long, or a secret that was sent.
    """
    begin, end = (each if _named(each) else "(no time)" for each in (page.begin, page.end))
    return f"asked for {request}, Zoom answered for {begin} to {end}"


def _named(text: object) -> tuple[datetime, timedelta, timedelta] | None:
    """Return an instant that an answer names, its unit, and how far its zone may be from UTC."""
    found = _NAMED.fullmatch(str(text))
    if found is None:
        return None
    try:
        clock = f"{found['minute'] or '00:00'}{found['second'] or ':00'}"
        instant = parse_instant(f"{found['day']}T{clock}{found['zone'] or ''}")
    except ValueError:
        return None
    unit = SECOND if found["second"] else MINUTE if found["minute"] else DAY
    return instant, unit, timedelta(0) if found["offset"] else WIDEST_ZONE

"""Times as Zoom writes and reads them: pure functions on whole seconds since 1970 in UTC.

Zoom's times have no fraction of a second, so an instant is an ``int`` everywhere in the simulator.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime, timezone
from functools import lru_cache
from typing import Literal

DAY = 86_400
"""Seconds of a day."""

Form = Literal["date", "literal_z", "offset"]
"""The three forms that the document gives for ``from`` and ``to``."""

_WRITTEN = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:(Z)|([+-])(\d\d):(\d\d)))?",
    re.ASCII,
)
_LARGEST_OFFSET = 18 * 3600
_MINUTES = [f"{hour:02}:{minute:02}".encode() for hour in range(24) for minute in range(60)]
_SECONDS = [f":{second:02}".encode() for second in range(60)]
"""A day's minutes and a minute's seconds, ready to be put together: answers hold many times."""
_DAYS_BEFORE_1970 = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class WrittenTime:
    """A time as a caller wrote it, not yet an instant: that needs a reading of the offset.

    ``wall`` is what the clock on the wall shows, in seconds since 1970 as if that wall stood in
    UTC; ``offset`` is how many seconds the written offset lies east of UTC (0 without one).
    """

    form: Form
    wall: int
    offset: int


@dataclass(frozen=True)
class TimeFormat:
    """How an instant is written in an answer: shifted by ``shift`` seconds, ended by ``suffix``."""

    shift: int
    suffix: bytes

    def text(self, instant: int) -> bytes:
        """Write an instant (seconds since 1970, UTC) as ``yyyy-MM-ddTHH:mm:ss`` and the suffix."""
        day, rest = divmod(instant + self.shift, DAY)
        minute, second = divmod(rest, 60)
        return _day_text(day) + _MINUTES[minute] + _SECONDS[second] + self.suffix


UTC_OFFSET = TimeFormat(0, b"+00:00")
UTC_Z = TimeFormat(0, b"Z")


def parse_written(text: str) -> WrittenTime:
    """Read one of the three forms of the document, and nothing else.

    Raises:
        ValueError: the text has another form, or names a day or time that does not exist.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        message = f"not a date or time in one of Zoom's forms: {text!r}"
        raise ValueError(message)
    day, clock, zulu, sign, hours, minutes = found.groups()
    read = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}").replace(tzinfo=timezone.utc)
    wall = instant_of(read)
    if clock is None:
        return WrittenTime("date", wall, 0)
    if zulu:
        return WrittenTime("literal_z", wall, 0)
    offset = int(hours) * 3600 + int(minutes) * 60
    if offset > _LARGEST_OFFSET or int(minutes) > 59:  # noqa: PLR2004 - minutes of an hour
        message = f"no such offset from UTC: {text!r}"
        raise ValueError(message)
    return WrittenTime("offset", wall, -offset if sign == "-" else offset)


def parse_instant(text: str) -> int:
    """Read a time that carries ``Z`` or an offset as an instant (seconds since 1970, UTC).

    Raises:
        ValueError: the text is not a time of Zoom's, or a bare date.
    """
    written = parse_written(text)
    if written.form == "date":
        message = f"a time with an offset is needed, not a date: {text!r}"
        raise ValueError(message)
    return written.wall - written.offset


def instant_of(moment: datetime) -> int:
    """Give an aware datetime as whole seconds since 1970 in UTC, rounded down."""
    passed = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return passed.days * DAY + passed.seconds


def month_later(wall: int) -> int:
    """Give the same time of the same day one calendar month later, or of that month's last day.

    ``wall`` and the result are seconds since 1970. After the last month of the calendar comes, as
    after any December, a January of 31 days.
    """
    day, second = divmod(wall, DAY)
    start = date.fromordinal(day + _DAYS_BEFORE_1970)
    year, month = divmod(start.year * 12 + start.month, 12)
    if year > MAXYEAR:
        return wall + 31 * DAY
    last = monthrange(year, month + 1)[1]
    later = date(year, month + 1, min(start.day, last))
    return (later.toordinal() - _DAYS_BEFORE_1970) * DAY + second


def offset_format(offset: int) -> TimeFormat:
    """Give the format with an offset of so many seconds east of UTC, such as ``-08:00``."""
    minutes = abs(offset) // 60
    sign = "-" if offset < 0 else "+"
    return TimeFormat(offset, f"{sign}{minutes // 60:02}:{minutes % 60:02}".encode())


@lru_cache(maxsize=4096)
def _day_text(day: int) -> bytes:
    return f"{date.fromordinal(day + _DAYS_BEFORE_1970).isoformat()}T".encode()

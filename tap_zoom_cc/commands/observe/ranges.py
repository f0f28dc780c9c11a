"""Which engagements a range selects: every reading that is known, and those that answers exclude.

A reading says of each engagement whether it lies in a range. An engagement that is known to exist
and is missing, or is there although it should not be, excludes the reading. The readings that are
left agree on some questions: those are answered, the others are not. The next range to ask for is
the one whose answer tells most of the readings apart that are left.

How long a range may be is found the same way: `NEXT_WIDTHS` has what to ask for next.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import timedelta
from itertools import accumulate, combinations, product
from operator import ne, or_
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from tap_zoom_cc.commands.observe.asking import UTC_OFFSET, Asked
from tap_zoom_cc.sync.windows import DAY, HOUR, SECOND, Window, whole_second

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from tap_zoom_cc.commands.observe.asking import Engagement, Log

# What a range selects

SETTLED = timedelta(hours=1)
"""How long after its end an engagement is surely listed (own choice).

What ended later may be missing in one answer and there in the next one.
"""

OTHER_OFFSET = timedelta(hours=-11)
"""An offset that hardly any account has as its zone: whether offsets decide shows in it at once."""

ZONES = tuple(
    timedelta(hours=hours)
    for hours in sorted(
        (*range(-12, 15), -9.5, -3.5, -2.5, 3.5, 4.5, 5.5, 5.75, 6.5, 8.75, 9.5, 10.5, 12.75, 13.75)
    )
)
"""The offsets from UTC that time zones have."""

MOST_COMPARED = 100
"""Readings by which a range is chosen: of more, some of all kinds do as well, in less time."""

MOST_SHIFTS = 4
"""With more zones than this left, ranges are not moved for each: first the zone must be found."""

MOST_PIVOTS = 6
LONGEST_PIVOT = 12 * HOUR


class Reading(NamedTuple):
    """One reading of ``from`` and ``to``.

    ``days`` reads both as whole days, which leaves nothing to be inclusive. ``zone`` is None where
    the written offset decides. Else the written times are read in the account's own zone, which
    lies so far east of UTC.
    """

    selects_on: Literal["start", "end", "overlap"]
    from_inclusive: bool = True
    to_inclusive: bool = True
    days: bool = False
    zone: timedelta | None = None

    def instants(self, asked: Asked) -> tuple[datetime, datetime]:
        """Return the first instant that the range holds, and the first one after it."""
        zone = asked.offset if self.zone is None else self.zone
        # As clocks on a wall show them.
        begin, end = asked.window.begin + asked.offset, asked.window.end + asked.offset
        if self.days:
            begin = begin.replace(hour=0, minute=0, second=0)
            end = end.replace(hour=0, minute=0, second=0) + DAY
        else:
            begin += timedelta.resolution * (not self.from_inclusive)
            end += timedelta.resolution * self.to_inclusive
        return begin - zone, end - zone


READINGS: tuple[Reading, ...] = tuple(
    Reading(selects_on, from_inclusive, to_inclusive, days, zone)
    for selects_on in ("start", "end", "overlap")
    for from_inclusive, to_inclusive, days in product((True, False), (True, False), (False, True))
    if not days or (from_inclusive and to_inclusive)
    for zone in (None, *ZONES)
)
"""All that are known: in most, the first and the last instant may belong to a range or not."""


def near(reading: Reading) -> list[Reading]:
    """Return a reading and those that differ from it in one point."""
    return [each for each in READINGS if sum(map(ne, each, reading)) <= 1]


Bits: TypeAlias = int
"""A set of engagements, of which each is a bit of a number."""


def _before(bits: Iterable[tuple[datetime, Bits]]) -> Callable[[datetime], Bits]:
    """Return what finds the engagements whose start, or end, lies before an instant."""
    ordered = sorted(bits)
    instants = [instant for instant, _ in ordered]
    sets = list(accumulate((bit for _, bit in ordered), or_, initial=0))
    return lambda instant: sets[bisect_left(instants, instant)]


class Witnesses:
    """Engagements of a log that are known to exist, and that every answer could have held."""

    def __init__(self, log: Log) -> None:
        """Take in what has been seen of a log; an engagement that came again counts once."""
        last_end = log.present - SETTLED
        rows = [row for each in log.seen for row in each.rows if row.start <= row.end <= last_end]
        by_id = {row.row_id: row for row in rows}
        self.engagements = tuple(by_id.values())
        self._bits = {row_id: 1 << number for number, row_id in enumerate(by_id)}
        self._begun = _before((row.start, self._bits[row.row_id]) for row in self.engagements)
        self._ended = _before((row.end, self._bits[row.row_id]) for row in self.engagements)

    def expected(self, reading: Reading, asked: Asked) -> Bits:
        """Return the set that a range holds under a reading."""
        begin, end = reading.instants(asked)
        too_early = self._begun if reading.selects_on == "start" else self._ended
        early_enough = self._ended if reading.selects_on == "end" else self._begun
        return early_enough(end) & ~too_early(begin)

    def found(self, engagements: Iterable[Engagement]) -> Bits:
        """Return the set of those among these engagements that are witnesses."""
        return sum({self._bits.get(each.row_id, 0) for each in engagements})


def readings_left(log: Log) -> list[Reading]:
    """Return the readings that no answer excludes."""
    witnesses = Witnesses(log)
    answers = [(each, witnesses.found(each.rows)) for each in log.of("range")]
    left = []
    for reading in READINGS:
        for answer, found in answers:
            expected = witnesses.expected(reading, answer.asked)
            # Of an answer that is only the first page, rows that are missing say nothing.
            is_whole = not answer.token and answer.total in {None, len(answer.rows)}
            if found & ~expected or (is_whole and expected & ~found):
                break
        else:
            left.append(reading)
    return left


def next_range(log: Log, readings: Sequence[Reading]) -> Asked | None:
    """Return the range whose answer tells most of these readings apart, if any does.

    What was asked before is not asked again.
    """
    witnesses, before = Witnesses(log), {each.asked for each in log.seen}
    some = readings[:: len(readings) // MOST_COMPARED + 1]
    best, most = None, 1
    for candidate in _candidates(readings, witnesses.engagements):
        if candidate.window.end <= log.present and candidate not in before:
            answers = len({witnesses.expected(reading, candidate) for reading in some})
            if answers > most:
                best, most = candidate, answers
    return best


def _candidates(readings: Sequence[Reading], engagements: Sequence[Engagement]) -> Iterator[Asked]:
    """Give ranges whose edges lie at those of long engagements, shortly beside them, or around."""
    zones = list(dict.fromkeys(reading.zone for reading in readings))
    shifts = zones if len(zones) <= MOST_SHIFTS else [None]
    fit = [each for each in engagements if each.end - each.start <= LONGEST_PIVOT]
    for pivot in sorted(fit, key=lambda each: each.start - each.end)[:MOST_PIVOTS]:
        start, end = whole_second(pivot.start), whole_second(pivot.end)
        middle = whole_second(pivot.start + (pivot.end - pivot.start) / 2)
        edges = sorted({start - SECOND, start, middle, end, end + SECOND})
        around = [(middle - half, middle + half) for half in (HOUR, 3 * HOUR, 6 * HOUR)]
        for begin, stop in (*combinations(edges, 2), *around):
            for zone in shifts:
                for offset in (OTHER_OFFSET, UTC_OFFSET):
                    # Written so that under this reading the range lies where the engagement does.
                    moved = UTC_OFFSET if zone is None else zone - offset
                    yield Asked("range", Window(begin + moved, stop + moved), offset)


# How long a range may be

LONG_MONTHS, SHORT_MONTHS = (1, 3, 5, 7, 8, 10, 12), (4, 6, 9, 11)

NEXT_WIDTHS: Mapping[str, tuple[tuple[int, ...], float]] = {
    "": (LONG_MONTHS, 30.5),
    "+": (SHORT_MONTHS, 30.5),
    "++": (LONG_MONTHS, 31.5),
    "+-": (SHORT_MONTHS, 29.5),
    "-": (LONG_MONTHS, 29.5),
    "--": (LONG_MONTHS, 28),
}
"""The month to ask for, and the days from its 15th, by which lengths were accepted before.

A refusal means the length only where a shorter range from the same day is accepted.
"""

WIDTHS: Mapping[str, str] = {
    "--+": "28 days",
    "-+": "30 days",
    "++-": "31 days",
    "+-+": "a calendar month",
    "+++": "more than 31 days",
}
"""What follows from which lengths were accepted, in the order in which they were asked for."""


def accepted(log: Log) -> str:
    """Return of the lengths, as they were asked for, which were accepted and which refused."""
    asked = [each.status for each in log.seen if each.asked.purpose == "width"]
    # Another status says nothing of the length.
    return "".join({200: "+", 400: "-"}.get(status, "?") for status in asked)


def next_width(log: Log) -> Asked | None:
    """Return the next range about as long as a month, if its answer can tell something."""
    if accepted(log) not in NEXT_WIDTHS:
        return None
    months, days = NEXT_WIDTHS[accepted(log)]
    # From the last 15th of one of these months from which more than a month has passed.
    begin = (log.present - 33 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    while begin.day != 15 or begin.month not in months:  # noqa: PLR2004 (the fifteenth)
        begin -= DAY
    return Asked("width", Window(begin, begin + days * DAY))

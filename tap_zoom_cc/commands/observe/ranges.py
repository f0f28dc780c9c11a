"""Which engagements a range selects: every reading that is known, and those that answers exclude.

A reading says of each engagement whether it lies in a range. An engagement that is known to exist
and is missing, or is there although it should not be, excludes the reading. The readings that are
left agree on some questions: those are answered, the others are not. The next range to ask for is
the one whose answer tells most of the readings apart that are left.

Everything here is pure. Instants are whole milliseconds since 1970 in UTC.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta, timezone
from itertools import accumulate, combinations, product
from operator import ne, or_
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from tap_zoom_cc.commands.observe.asking import UTC_OFFSET, Asked
from tap_zoom_cc.sync.windows import HOUR, SECOND, Window, whole_second

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from tap_zoom_cc.commands.observe.asking import Engagement, Seen

MILLISECOND = timedelta(milliseconds=1)
DAY = timedelta(days=1) // MILLISECOND

OTHER_OFFSET = timedelta(hours=-11)
"""An offset that hardly any account has as its zone: whether offsets decide shows in it at once."""

ZONES = tuple(
    round(hours * (HOUR // MILLISECOND))
    for hours in sorted(
        (*range(-12, 15), -9.5, -3.5, -2.5, 3.5, 4.5, 5.5, 5.75, 6.5, 8.75, 9.5, 10.5, 12.75, 13.75)
    )
)
"""The offsets from UTC that time zones have, in milliseconds."""

MOST_COMPARED = 100
"""Readings by which a range is chosen: of more, some of all kinds do as well, in less time."""

MOST_SHIFTS = 4
"""With more zones than this left, ranges are not moved for each: first the zone must be found."""

MOST_PIVOTS = 6
LONGEST_PIVOT = 12 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Reading(NamedTuple):
    """One reading of ``from`` and ``to``.

    ``days`` reads both as whole days, which leaves nothing to be inclusive. ``zone`` is None where
    the written offset decides. Else the written times are read in the account's own zone, which
    lies so many milliseconds east of UTC.
    """

    selects_on: Literal["start", "end", "overlap"]
    from_inclusive: bool = True
    to_inclusive: bool = True
    days: bool = False
    zone: int | None = None

    def instants(self, asked: Asked) -> tuple[int, int]:
        """Return the first and the last millisecond that the range holds."""
        offset = asked.offset // MILLISECOND
        # As clocks on a wall show them.
        begin = milliseconds(asked.window.begin) + offset
        end = milliseconds(asked.window.end) + offset
        if self.days:
            begin, end = begin - begin % DAY, end - end % DAY + DAY - 1
        zone = offset if self.zone is None else self.zone
        return begin - zone + (not self.from_inclusive), end - zone - (not self.to_inclusive)


READINGS: tuple[Reading, ...] = tuple(
    Reading(selects_on, from_inclusive, to_inclusive, days, zone)
    for selects_on in ("start", "end", "overlap")
    for from_inclusive, to_inclusive, days in product((True, False), (True, False), (False, True))
    if not days or (from_inclusive and to_inclusive)
    for zone in (None, *ZONES)
)
"""All that are known: in most, the first and the last instant may belong to a range or not."""


def milliseconds(instant: datetime) -> int:
    """Return an instant as milliseconds since 1970 in UTC."""
    return (instant - _EPOCH) // MILLISECOND


def near(reading: Reading) -> list[Reading]:
    """Return a reading and those that differ from it in one point."""
    return [each for each in READINGS if sum(map(ne, each, reading)) <= 1]


Bits: TypeAlias = int
"""A set of engagements, of which each is a bit of a number."""


class _Timeline:
    """Engagements in order of their starts, or of their ends."""

    def __init__(self, bits: Iterable[tuple[datetime, Bits]]) -> None:
        ordered = sorted((milliseconds(instant), bit) for instant, bit in bits)
        self._instants = [instant for instant, _ in ordered]
        self._sets = list(accumulate((bit for _, bit in ordered), or_, initial=0))

    def until(self, instant: int) -> Bits:
        """Return those not after an instant."""
        return self._sets[bisect_right(self._instants, instant)]


class Witnesses:
    """Engagements that are known to exist."""

    def __init__(self, engagements: Iterable[Engagement]) -> None:
        """Take in engagements; one that comes again counts once."""
        by_id = {each.row_id: each for each in engagements}
        self.engagements = tuple(by_id.values())
        self._bits = {row_id: 1 << number for number, row_id in enumerate(by_id)}
        bits = self._bits.values()
        self._starts = _Timeline(zip((each.start for each in self.engagements), bits, strict=True))
        self._ends = _Timeline(zip((each.end for each in self.engagements), bits, strict=True))

    def expected(self, reading: Reading, asked: Asked) -> Bits:
        """Return the set that a range holds under a reading."""
        begin, end = reading.instants(asked)
        before = self._starts if reading.selects_on == "start" else self._ends
        begun = self._ends if reading.selects_on == "end" else self._starts
        return begun.until(end) & ~before.until(begin - 1)

    def found(self, engagements: Iterable[Engagement]) -> Bits:
        """Return the set of those among these engagements that are witnesses."""
        return sum({self._bits.get(each.row_id, 0) for each in engagements})


def left_over(answers: Iterable[Seen], witnesses: Witnesses) -> list[Reading]:
    """Return the readings that no answer excludes.

    Of an answer that is only the first page of its range, rows that are missing say nothing.
    """
    left = list(READINGS)
    for answer in answers:
        found = witnesses.found(answer.rows)
        left = [
            reading
            for reading in left
            for expected in [witnesses.expected(reading, answer.asked)]
            if (found == expected if answer.is_whole else not found & ~expected)
        ]
    return left


def next_range(
    readings: Sequence[Reading], witnesses: Witnesses, present: datetime, before: Collection[Asked]
) -> Asked | None:
    """Return the range whose answer tells most of the readings apart, if any does.

    Args:
        readings: those that are left.
        witnesses: engagements that are known.
        present: no range goes beyond it.
        before: what was asked before, and is not asked again.
    """
    some = readings[:: len(readings) // MOST_COMPARED + 1]
    best, most = None, 1
    for candidate in _candidates(readings, witnesses):
        if candidate.window.end <= present and candidate not in before:
            answers = len({witnesses.expected(reading, candidate) for reading in some})
            if answers > most:
                best, most = candidate, answers
    return best


def _candidates(readings: Sequence[Reading], witnesses: Witnesses) -> Iterator[Asked]:
    """Give ranges whose edges lie at those of long engagements, shortly beside them, or around."""
    zones = list(dict.fromkeys(reading.zone for reading in readings))
    shifts = zones if len(zones) <= MOST_SHIFTS else [None]
    fit = [each for each in witnesses.engagements if each.end - each.start <= LONGEST_PIVOT]
    for pivot in sorted(fit, key=lambda each: each.start - each.end)[:MOST_PIVOTS]:
        start, end = whole_second(pivot.start), whole_second(pivot.end)
        middle = whole_second(pivot.start + (pivot.end - pivot.start) / 2)
        edges = sorted({start - SECOND, start, middle, end, end + SECOND})
        around = [(middle - half, middle + half) for half in (HOUR, 3 * HOUR, 6 * HOUR)]
        for begin, stop in (*combinations(edges, 2), *around):
            for zone in shifts:
                for offset in (OTHER_OFFSET, UTC_OFFSET):
                    # Written so that under this reading the range lies where the engagement does.
                    moved = UTC_OFFSET if zone is None else zone * MILLISECOND - offset
                    yield Asked("range", Window(begin + moved, stop + moved), offset)

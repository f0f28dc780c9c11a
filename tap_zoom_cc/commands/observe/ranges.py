"""Which engagements a range selects: every reading that is known, and those that answers exclude.

A reading says of each engagement whether it lies in a range. An engagement that is known to exist
and is missing, or is there although it should not be, excludes the reading. The readings that are
left agree on some questions: those are answered, the others are not. The next range to ask for is
the one whose answer tells most of the readings apart that are left.

Everything here is pure. Instants are whole milliseconds since 1970 in UTC.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from itertools import combinations
from math import log2
from operator import ne
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from tap_zoom_cc.commands.observe.sightings import UTC_OFFSET, Asked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_zoom_cc.commands.observe.sightings import Engagement, Seen

Selection: TypeAlias = Literal["start", "end", "overlap"]
Written: TypeAlias = tuple[int, int, int]
"""``from``, ``to`` and their offset from UTC, each in milliseconds."""

SECOND = 1000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR

OTHER_OFFSET = timedelta(hours=-11)
"""An offset that hardly any account has as its zone: whether offsets decide shows in it at once."""

ZONES = tuple(
    round(hours * HOUR)
    for hours in sorted(
        (*range(-12, 15), -9.5, -3.5, -2.5, 3.5, 4.5, 5.5, 5.75, 6.5, 8.75, 9.5, 10.5, 12.75, 13.75)
    )
)
"""The offsets from UTC that time zones have, in milliseconds."""

MOST_ROWS = 60
"""Rows that a range should have at most, so that one page holds them all."""

MOST_COMPARED = 100
"""Readings by which a range is chosen: of more, some of all kinds do as well, in less time."""

MOST_PIVOTS = 6
LONGEST_PIVOT = timedelta(hours=12)
MOST_SHIFTS = 4
"""With more zones than this left, ranges are not moved for each: first the zone must be found."""


class Reading(NamedTuple):
    """One reading of ``from`` and ``to``.

    ``days`` reads both as whole days, which leaves nothing to be inclusive. ``zone`` is None where
    the written offset decides. Else the written times are read in the account's own zone, which
    lies so many milliseconds east of UTC.
    """

    selects_on: Selection
    from_inclusive: bool = True
    to_inclusive: bool = True
    days: bool = False
    zone: int | None = None

    def instants(self, written: Written) -> tuple[int, int]:
        """Return the first and the last millisecond that a range holds."""
        begin, end, offset = written
        if self.days:
            begin, end = begin - begin % DAY, end - end % DAY + DAY - 1
        zone = offset if self.zone is None else self.zone
        return begin - zone + (not self.from_inclusive), end - zone - (not self.to_inclusive)


MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def milliseconds(instant: datetime) -> int:
    """Return an instant as milliseconds since 1970 in UTC."""
    return (instant - _EPOCH) // MILLISECOND


def written(asked: Asked) -> Written:
    """Return ``from`` and ``to`` as clocks on a wall show them, and the offset they stand in."""
    offset = asked.offset // MILLISECOND
    return milliseconds(asked.begin) + offset, milliseconds(asked.end) + offset, offset


READINGS: tuple[Reading, ...] = tuple(
    Reading(selects_on, from_inclusive, to_inclusive, days, zone)
    for selects_on in ("start", "end", "overlap")
    for from_inclusive, to_inclusive, days in (
        (True, True, False),
        (True, False, False),
        (False, True, False),
        (False, False, False),
        (True, True, True),
    )
    for zone in (None, *ZONES)
)
"""All that are known: in most, the first and the last instant may belong to a range or not."""


def near(reading: Reading) -> list[Reading]:
    """Return a reading and those that differ from it in one point."""
    return [each for each in READINGS if sum(map(ne, each, reading)) <= 1]


class Witnesses:
    """Engagements that are known to exist, each a bit of a number that stands for a set of them."""

    def __init__(self, engagements: Iterable[Engagement]) -> None:
        """Take in engagements; one that comes again counts once."""
        by_id = {each.row_id: each for each in engagements}
        self.engagements = tuple(by_id.values())
        self._bits = {row_id: 1 << number for number, row_id in enumerate(by_id)}
        self._starts, self._by_start = self._sorted(
            (milliseconds(each.start), self._bits[each.row_id]) for each in self.engagements
        )
        self._ends, self._by_end = self._sorted(
            (milliseconds(each.end), self._bits[each.row_id]) for each in self.engagements
        )

    @staticmethod
    def _sorted(pairs: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
        """Return instants in order, and for each the set of those before it; one more: all."""
        ordered = sorted(pairs)
        sets = [0]
        for _, bit in ordered:
            sets.append(sets[-1] | bit)
        return [instant for instant, _ in ordered], sets

    def expected(self, reading: Reading, range_: Written) -> int:
        """Return the set that a range holds under a reading."""
        begin, end = reading.instants(range_)
        if reading.selects_on == "overlap":
            begun = self._by_start[bisect_right(self._starts, end)]
            over_before = self._by_end[bisect_left(self._ends, begin)]
            return begun & ~over_before
        instants, sets = (
            (self._starts, self._by_start)
            if reading.selects_on == "start"
            else (self._ends, self._by_end)
        )
        before = sets[bisect_left(instants, begin)]
        return sets[bisect_right(instants, end)] & ~before

    def found(self, engagements: Iterable[Engagement]) -> int:
        """Return the set of those among these engagements that are witnesses."""
        found = 0
        for each in engagements:
            found |= self._bits.get(each.row_id, 0)
        return found


def left_over(
    readings: Sequence[Reading], answers: Iterable[Seen], witnesses: Witnesses
) -> list[Reading]:
    """Return the readings that no answer excludes.

    Of an answer that is only the first page of its range, rows that are missing say nothing.
    """
    left = list(readings)
    for answer in answers:
        found, range_ = witnesses.found(answer.rows), written(answer.asked)
        left = [
            reading
            for reading in left
            for expected in [witnesses.expected(reading, range_)]
            if (found == expected if answer.is_whole else not found & ~expected)
        ]
    return left


def next_range(
    readings: Sequence[Reading],
    witnesses: Witnesses,
    *,
    longest: timedelta,
    present: datetime,
    asked_before: Iterable[Asked] = (),
) -> Asked | None:
    """Return the range whose answer tells most about the readings that are left, if any does.

    Args:
        readings: those that are left.
        witnesses: engagements that are known.
        longest: a range of this length still fits on a page.
        present: no range goes beyond it.
        asked_before: not to be asked again.
    """
    weights = _weights(readings[:: len(readings) // MOST_COMPARED + 1])
    before = set(asked_before)
    best, most = None, 0.0
    for candidate in _candidates(readings, witnesses, longest):
        if candidate.end > present or candidate in before:
            continue
        told = _bits_told(candidate, weights, witnesses)
        if told > most + 1e-9:
            best, most = candidate, told
    return best


def _weights(readings: Sequence[Reading]) -> list[tuple[Reading, float]]:
    """Return how likely each is held to be: that offsets decide as much as all zones together."""
    kinds = Counter(reading.zone is None for reading in readings)
    return [(each, 1 / len(kinds) / kinds[each.zone is None]) for each in readings]


def _bits_told(
    asked: Asked, weights: Sequence[tuple[Reading, float]], witnesses: Witnesses
) -> float:
    """Return how much the answer is expected to tell: the entropy of what readings expect of it."""
    expected: dict[int, float] = defaultdict(float)
    range_ = written(asked)
    for reading, weight in weights:
        expected[witnesses.expected(reading, range_)] += weight
    return -sum(weight * log2(weight) for weight in expected.values())


def _candidates(
    readings: Sequence[Reading], witnesses: Witnesses, longest: timedelta
) -> Iterator[Asked]:
    """Give ranges whose edges lie at those of engagements, or shortly beside them."""
    zones = {reading.zone for reading in readings}
    shifts = zones if len(zones) <= MOST_SHIFTS else {None}
    for pivot in _pivots(witnesses, zones):
        middle = pivot.start + (pivot.end - pivot.start) // 2
        middle = middle.replace(microsecond=0)
        start, end = pivot.start.replace(microsecond=0), pivot.end.replace(microsecond=0)
        second = timedelta(seconds=1)
        edges = sorted({start - second, start, middle, end, end + second})
        spans = list(combinations(edges, 2))
        spans += [
            (middle - hours, middle + hours)
            for hours in (timedelta(hours=each) for each in (1, 3, 6))
            if 2 * hours <= longest
        ]
        for begin, stop in spans:
            if stop - begin > max(longest, LONGEST_PIVOT):
                continue
            for zone in sorted(shifts, key=lambda each: (each is not None, each)):
                for offset in (OTHER_OFFSET, UTC_OFFSET):
                    # Written so that under this reading the range lies where the engagement does.
                    moved = UTC_OFFSET if zone is None else zone * MILLISECOND - offset
                    yield Asked("range", begin + moved, stop + moved, offset)


def _pivots(witnesses: Witnesses, zones: Iterable[int | None]) -> list[Engagement]:
    """Return engagements of which start and end lie well apart, some of them across midnight."""
    fit = sorted(
        (each for each in witnesses.engagements if each.end - each.start <= LONGEST_PIVOT),
        key=lambda each: (each.start - each.end, each.start, each.row_id),
    )
    shifts = [zone or 0 for zone in zones]
    zone = shifts[0] if len(shifts) == 1 else 0
    across = [each for each in fit if _day(each.start, zone) < _day(each.end, zone)]
    middle = len(fit) // 2
    chosen = [*fit[:2], *across[:2], *fit[middle : middle + 2]]
    return list({each.row_id: each for each in chosen}.values())[:MOST_PIVOTS]


def _day(instant: datetime, zone: int) -> int:
    return (milliseconds(instant) + zone) // DAY

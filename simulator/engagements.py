"""The engagements of one account and stream: when each was, and its row on demand.

A history of a million engagements must start fast and stay small, so only the instants are kept,
in compact arrays; ids are computed from a number and back, and rows come from
`simulator.rows`. The same seed always gives the same engagements.
"""

from __future__ import annotations

import binascii
from array import array
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING

import msgspec

from simulator.directory import make_directory
from simulator.instants import instant_of, parse_instant
from simulator.profile import Lengths
from simulator.rows import BodyMaker, explicit_body

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulator.instants import TimeFormat
    from simulator.rows import Body
    from simulator.scenario import Account, Scenario, Stream

_HOUR = 3600
_DIFFERENT_BODIES = 512
_FIRST_LONG = 5
_HOURS_OF_DAY = 24
_BUSINESS_HOURS = range(8, 18)
_USUAL_WEEK = [
    share * (10.0 if hour in _BUSINESS_HOURS else 1.0)
    for share in (1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.2)
    for hour in range(_HOURS_OF_DAY)
]
"""How busy each hour of the week is without a profile: there is none in which nothing begins."""
_LENGTHS = {"sms": Lengths(mean=2 * _HOUR), "voice_calls": Lengths(mean=300)}
"""How long engagements are open without a profile."""

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ID_SPACE = 1 << 128
_ID_FACTOR = 0x9E3779B97F4A7C15F39CC0605CEDC835


class History:
    """The engagements of one account and stream, in order of start time.

    An engagement is named by its position in that order. ``starts`` and ``ends`` are seconds since
    1970 in UTC.
    """

    def __init__(self, scenario: Scenario, account: Account, stream: Stream) -> None:
        self.directory = make_directory(scenario.seed, account.id, scenario.profile)
        self._seed = f"{scenario.seed}/{account.id}/{stream}"
        self._maker = BodyMaker(
            stream,
            self.directory,
            scenario.nulls,
            profile=scenario.profile,
        )
        random = Random(self._seed)
        self._id_base = random.getrandbits(128)
        self._generated = account.generated(stream)
        starts, self._queue_numbers = _generated_starts(
            scenario, account, stream, self._generated, random
        )
        ends = _generated_ends(_lengths(scenario, stream), starts, random)
        self._explicit = account.explicit(stream)
        self._explicit_bodies = [explicit_body(row) for row in self._explicit]
        for row in self._explicit:
            starts.append(parse_instant(row["start_time"]))
            ends.append(parse_instant(row["end_time"]))
        self._numbers: Sequence[int] = range(self._generated)
        if self._explicit:
            self._numbers = array("q", sorted(range(len(starts)), key=starts.__getitem__))
            starts = array("q", map(starts.__getitem__, self._numbers))
            ends = array("q", map(ends.__getitem__, self._numbers))
        self.starts: Sequence[int] = starts
        self.ends: Sequence[int] = ends
        self.last_end = max(ends, default=0)
        self.longest = max(
            (end - start for start, end in zip(starts, ends, strict=True)), default=0
        )
        self._bodies_of_queue = min(self._generated, _DIFFERENT_BODIES)
        self._bodies: list[Body | None] = [None] * (
            self._bodies_of_queue * (len(self.directory.queues) if scenario.profile else 1)
        )
        self.users = frozenset(user.id for user in self.directory.users) | self._named("agents")
        self.queues = frozenset(queue.id for queue in self.directory.queues) | self._named("queues")

    def body(self, position: int) -> Body:
        """Give what the engagement's row holds besides id and times."""
        number = self._numbers[position]
        if number >= self._generated:
            return self._explicit_bodies[number - self._generated]
        slot = number % self._bodies_of_queue
        if self._queue_numbers:
            slot += self._bodies_of_queue * self._queue_numbers[number]
        return self._generated_body(slot)

    def _generated_body(self, slot: int) -> Body:
        body = self._bodies[slot]
        if body is None:
            body = self._bodies[slot] = self._maker.make(
                Random(f"{self._seed}/{slot}"),
                complete=slot == 0,
                queue=slot // self._bodies_of_queue,
            )
        return body

    def make_bodies(self) -> None:
        """Make up all bodies now, rather than when the first row is asked for that has one."""
        for slot in range(len(self._bodies)):
            self._generated_body(slot)

    def rows(self, positions: Iterable[int], times: TimeFormat, *, detail: bool) -> list[bytes]:
        """Give the engagements' rows as JSON, their times written as ``times`` says."""
        return [
            self.body(position).fill(
                self._encoded_id(self._numbers[position]),
                self.starts[position],
                self.ends[position],
                times,
                detail=detail,
            )
            for position in positions
        ]

    def find(self, engagement_id: str) -> int | None:
        """Give the position of an engagement, or None if there is none of that id."""
        wanted = msgspec.json.encode(engagement_id)
        numbers = enumerate(self._numbers)
        return next((at for at, number in numbers if self._encoded_id(number) == wanted), None)

    def _encoded_id(self, number: int) -> bytes:
        if number >= self._generated:
            return msgspec.json.encode(self._explicit[number - self._generated]["engagement_id"])
        value = (number * _ID_FACTOR + self._id_base) % _ID_SPACE
        written = binascii.b2a_base64(value.to_bytes(16, "big"), newline=False)
        return b'"%b"' % written[:22].translate(_URL_SAFE)

    def _named(self, listed: str) -> frozenset[str]:
        """Give the ids that explicit rows name as agents or queues: they exist as well."""
        return frozenset(
            item[name]
            for row in self._explicit
            for item in row.get(listed) or ()
            if isinstance(item, dict)
            for name in ("user_id", "queue_id", "cc_queue_id")
            if isinstance(item.get(name), str)
        )


def _generated_starts(
    scenario: Scenario, account: Account, stream: Stream, number: int, random: Random
) -> tuple[array[int], array[int]]:
    """Draw start times in order, and to each the number of its queue if there is a profile."""
    begin, end = instant_of(scenario.history_begin), instant_of(scenario.history_end)
    hours = range(begin, end, _HOUR)
    zone = timezone(timedelta(hours=account.utc_offset_hours))
    lengths = [min(hour + _HOUR, end) - hour for hour in hours]
    of_week = [_hour_of_week(datetime.fromtimestamp(hour, zone)) for hour in hours]
    rhythms = _rhythms(scenario, stream)
    weights = [
        rhythm[place] * length
        for rhythm in rhythms
        for place, length in zip(of_week, lengths, strict=True)
    ]
    # A start and its queue as one number, so that a million of them are sorted fast.
    number_of_queues = len(rhythms)
    begins = [
        hour * number_of_queues + queue for queue in range(number_of_queues) for hour in hours
    ]
    spans = lengths * number_of_queues
    places = random.choices(range(len(weights)), cum_weights=list(accumulate(weights)), k=number)
    part = random.random
    drawn = array(
        "q",
        sorted(begins[place] + int(part() * spans[place]) * number_of_queues for place in places),
    )
    if scenario.profile is None:
        return drawn, array("B")
    return (
        array("q", (both // number_of_queues for both in drawn)),
        array("B", (both % number_of_queues for both in drawn)),
    )


def _hour_of_week(moment: datetime) -> int:
    """Give the number of an hour, from Monday's first on."""
    return moment.weekday() * _HOURS_OF_DAY + moment.hour


def _rhythms(scenario: Scenario, stream: Stream) -> list[list[float]]:
    """Give for each queue how busy each hour of the week is; without a profile for all together."""
    if scenario.profile is None:
        return [_USUAL_WEEK]
    nothing = [0.0] * len(_USUAL_WEEK)
    rhythms = [queue.rhythm(stream) for queue in scenario.profile.queues]
    return [rhythm.weights() if rhythm else nothing for rhythm in rhythms]


def _lengths(scenario: Scenario, stream: Stream) -> Lengths:
    return scenario.profile.lengths(stream) if scenario.profile else _LENGTHS[stream]


def _generated_ends(lengths: Lengths, starts: array[int], random: Random) -> array[int]:
    rate = 1 / lengths.mean
    draw = random.expovariate
    usual, longest, long_every = lengths.longest_usual, lengths.longest, lengths.long_every
    return array(
        "q",
        (
            start + random.randint(usual, longest)
            if number % long_every == _FIRST_LONG
            else start + min(int(draw(rate)), usual)
            for number, start in enumerate(starts)
        ),
    )

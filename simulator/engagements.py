"""The engagements of one account and stream: when each was, and its row on demand.

A history of a million engagements must start fast and stay small, so only the instants are kept,
in compact arrays; ids are computed from a number and back, and rows come from
:mod:`simulator.rows`. The same seed always gives the same engagements.
"""

from __future__ import annotations

import base64
import binascii
from array import array
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING

import msgspec

from simulator.directory import make_directory
from simulator.instants import instant_of, parse_instant
from simulator.rows import BodyMaker, explicit_body

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulator.instants import TimeFormat
    from simulator.rows import Body
    from simulator.scenario import Account, Scenario, Stream

_HOUR = 3600
_DIFFERENT_BODIES = 512
_LONG_EVERY = 101
"""One of so many engagements is a long one, between six hours and two days."""
_FIRST_LONG = 5
_LONGEST_USUAL = 6 * _HOUR
_LONGEST = 48 * _HOUR
_WEEKEND = (6, 7)
_BUSINESS_HOURS = range(8, 18)
_MEAN_DURATION = {"sms": 2 * _HOUR, "voice_calls": 300}

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ID_SPACE = 1 << 128
_ID_FACTOR = 0x9E3779B97F4A7C15F39CC0605CEDC835
_ID_INVERSE = pow(_ID_FACTOR, -1, _ID_SPACE)


class History:
    """The engagements of one account and stream, in order of start time.

    An engagement is named by its position in that order. ``starts`` and ``ends`` are seconds since
    1970 in UTC.
    """

    def __init__(self, scenario: Scenario, account: Account, stream: Stream) -> None:
        self.directory = make_directory(scenario.seed, account.id)
        self._seed = f"{scenario.seed}/{account.id}/{stream}"
        self._maker = BodyMaker(
            stream, self.directory, scenario.nulls, support_fields=account.support_fields
        )
        random = Random(self._seed)
        self._id_base = random.getrandbits(128)
        self._generated = account.generated(stream)
        starts = _generated_starts(scenario, account, self._generated, random)
        ends = _generated_ends(stream, starts, random)
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
        self._bodies: list[Body | None] = [None] * min(self._generated, _DIFFERENT_BODIES)
        self.users = frozenset(user.id for user in self.directory.users) | self._named("agents")
        self.queues = frozenset(queue.id for queue in self.directory.queues) | self._named("queues")

    def __len__(self) -> int:
        """Give the number of engagements, visible or not."""
        return len(self.starts)

    def body(self, position: int) -> Body:
        """Give what the engagement's row holds besides id and times."""
        number = self._numbers[position]
        if number >= self._generated:
            return self._explicit_bodies[number - self._generated]
        return self._generated_body(number % len(self._bodies))

    def _generated_body(self, slot: int) -> Body:
        body = self._bodies[slot]
        if body is None:
            body = self._bodies[slot] = self._maker.make(
                Random(f"{self._seed}/{slot}"), complete=slot == 0
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
        for number, row in enumerate(self._explicit, start=self._generated):
            if row["engagement_id"] == engagement_id:
                return self._position(number)
        try:
            value = int.from_bytes(base64.urlsafe_b64decode(f"{engagement_id}=="), "big")
        except (binascii.Error, ValueError):
            return None
        number = (value - self._id_base) * _ID_INVERSE % _ID_SPACE
        if number >= self._generated or self._encoded_id(number) != f'"{engagement_id}"'.encode():
            return None
        return self._position(number)

    def _position(self, number: int) -> int:
        return self._numbers.index(number)

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
    scenario: Scenario, account: Account, number: int, random: Random
) -> array[int]:
    """Draw start times in order: busy on weekdays in the account's business hours, never empty."""
    begin, end = instant_of(scenario.history_begin), instant_of(scenario.history_end)
    hours = range(begin, end, _HOUR)
    zone = timezone(timedelta(hours=account.utc_offset_hours))
    weights = [
        _busyness(datetime.fromtimestamp(hour, zone)) * (min(hour + _HOUR, end) - hour)
        for hour in hours
    ]
    chosen = random.choices(hours, cum_weights=list(accumulate(weights)), k=number)
    part = random.random
    return array(
        "q", sorted(hour + int(part() * (min(hour + _HOUR, end) - hour)) for hour in chosen)
    )


def _busyness(hour: datetime) -> float:
    weekend = hour.isoweekday() in _WEEKEND
    business = hour.hour in _BUSINESS_HOURS
    return (0.2 if weekend else 1.0) * (10.0 if business else 1.0)


def _generated_ends(stream: Stream, starts: array[int], random: Random) -> array[int]:
    rate = 1 / _MEAN_DURATION[stream]
    draw = random.expovariate
    return array(
        "q",
        (
            start + random.randint(_LONGEST_USUAL, _LONGEST)
            if number % _LONG_EVERY == _FIRST_LONG
            else start + min(int(draw(rate)), _LONGEST_USUAL)
            for number, start in enumerate(starts)
        ),
    )

"""What an engagement's row holds besides its identity and its times, ready to be sent.

A history may have a million rows, so a row is never built field by field when it is asked for.
A `Body` is a row whose id, times and durations are still blank, encoded once; filling the
blanks gives the bytes of an answer. Histories share a few hundred bodies among their rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from simulator.row_maker import ProfiledRowMaker, RowMaker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from simulator.directory import Directory
    from simulator.instants import TimeFormat
    from simulator.profile import Profile
    from simulator.row_maker import Row
    from simulator.scenario import Stream

_KEPT = frozenset({"engagement_id", "start_time", "end_time", "voice_call_details"})
_KEPT_WHOLE = frozenset({"queues", "queue"})
"""With a profile each engagement names its queues, or their rhythms could not be seen."""

BLANKS = (
    "id",
    "start",
    "end",
    "duration",
    "first_cut",
    "second_cut",
    "third",
    "after_first_cut",
    "after_second_cut",
)
"""What is blank in a body. The cuts divide a call's time into thirds, for its details."""

_BLANK = re.compile(f'"<<({"|".join(BLANKS)})>>"'.encode())

_MISSING, _NULL, _EMPTY = 0.03, 0.05, 0.08
"""Of the optional fields: the share left out, the share left out or null, and so on."""


@dataclass(frozen=True)
class Template:
    """A row's JSON in pieces, some of them blank: ``blanks`` says where, and for which value."""

    pieces: tuple[bytes, ...]
    blanks: tuple[tuple[int, int], ...]

    def fill(self, values: Sequence[bytes]) -> bytes:
        """Give the row with its blanks filled, from values in the order of :data:`BLANKS`."""
        pieces = list(self.pieces)
        for place, value in self.blanks:
            pieces[place] = values[value]
        return b"".join(pieces)


@dataclass(frozen=True)
class Body:
    """A row with blanks: as a mapping for filters, and encoded with and without call details."""

    row: Row
    summary: Template
    detail: Template

    def fill(
        self, engagement_id: bytes, start: int, end: int, times: TimeFormat, *, detail: bool
    ) -> bytes:
        """Fill the blanks and give the row as JSON.

        Args:
            engagement_id: as JSON, with its quotes.
            start: seconds since 1970, UTC.
            end: seconds since 1970, UTC.
            times: how the row's times are written.
            detail: with the call details.
        """
        text = times.text
        duration = end - start
        values = [engagement_id, b'"%b"' % text(start), b'"%b"' % text(end), b"%d" % duration]
        if not detail:
            return self.summary.fill(values)
        third = duration // 3
        values += (
            b'"%b"' % text(start + third),
            b'"%b"' % text(start + 2 * third),
            b"%d" % third,
            b"%d" % (duration - third),
            b"%d" % (duration - 2 * third),
        )
        return self.detail.fill(values)


def explicit_body(row: Mapping[str, Any]) -> Body:
    """Make the body of a row that a scenario gives word by word."""
    return _encode(
        {**row, "engagement_id": "<<id>>", "start_time": "<<start>>", "end_time": "<<end>>"}
    )


@dataclass(frozen=True)
class BodyMaker:
    """Makes up the bodies of one history.

    ``directory`` has the users, queues and so on that rows may name; ``nulls`` says whether
    optional fields may be null.
    """

    stream: Stream
    directory: Directory
    nulls: bool
    profile: Profile | None = None

    def make(self, random: Random, *, complete: bool, queue: int = 0) -> Body:
        """Make up a body; a complete one has a value in every field of the document.

        Args:
            random: where its values are drawn from.
            complete: with a value in every field.
            queue: with a profile, the number of the queue that it came to.
        """
        maker = self._maker(random, queue, complete=complete)
        row = maker.sms() if self.stream == "sms" else maker.voice_call()
        if not complete:
            whole = _KEPT_WHOLE if self.profile else frozenset[str]()
            row = _thin(row, random, nulls=self.nulls, whole=whole)
        return _encode(row)

    def _maker(self, random: Random, queue: int, *, complete: bool) -> RowMaker:
        if self.profile is None:
            return RowMaker(self.directory, random, complete=complete)
        return ProfiledRowMaker(
            self.directory, random, queue, complete=complete, ordinary=self.profile.ordinary
        )


def _encode(row: Row) -> Body:
    summary = {name: value for name, value in row.items() if name != "voice_call_details"}
    return Body(row, _template(summary), _template(row))


def _template(row: Row) -> Template:
    pieces = _BLANK.split(msgspec.json.encode(row))
    names = enumerate(pieces[1::2])
    return Template(
        tuple(pieces),
        tuple((2 * number + 1, BLANKS.index(name.decode())) for number, name in names),
    )


def _thin(row: Row, random: Random, *, nulls: bool, whole: frozenset[str]) -> Row:
    """Leave out, null or empty some of the optional values, at every depth but in whole ones."""
    thinned: Row = {}
    for name, value in row.items():
        if name in whole:
            thinned[name] = value
            continue
        chance = 1.0 if name in _KEPT else random.random()
        if chance < _MISSING:
            continue
        if chance < _NULL:
            thinned[name] = None if nulls else value
        elif chance < _EMPTY and isinstance(value, list):
            thinned[name] = []
        elif isinstance(value, dict):
            thinned[name] = _thin(value, random, nulls=nulls, whole=whole)
        elif isinstance(value, list):
            thinned[name] = [
                _thin(item, random, nulls=nulls, whole=whole) if isinstance(item, dict) else item
                for item in value
            ]
        else:
            thinned[name] = value
    return thinned

"""What an engagement's row holds besides its identity and its times, ready to be sent.

A history may have a million rows, so a row is never built field by field when it is asked for.
A :class:`Body` is a row whose id, times and durations are still blank, encoded once; filling the
blanks gives the bytes of an answer. Histories share a few hundred bodies among their rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from simulator.directory import COUNTRIES, WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from simulator.directory import Directory
    from simulator.instants import TimeFormat
    from simulator.scenario import Stream

Row = dict[str, Any]
"""A row of Zoom's, as JSON has it."""

_KEPT = frozenset({"engagement_id", "start_time", "end_time", "voice_call_details"})

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

_TYPES = (
    "external_call",
    "external_conference_call",
    "external_callback_call",
    "internal_call",
    "internal_conference_call",
    "internal_callback_call",
)
_SUB_TYPES = (
    "external_warm_conference_call",
    "external_direct_conference_call",
    "external_warm_transfer_call",
    "external_direct_transfer_call",
    "internal_warm_conference_call",
    "internal_direct_conference_call",
    "internal_warm_transfer_call",
    "internal_direct_transfer_call",
    "flow_initiated_outgoing_call",
)
_RESULTS = (
    "completed",
    "short_abandoned",
    "long_abandoned",
    "hold_abandoned",
    "long_calls",
    "short_calls",
    "hang_up_calls",
    "overflowed_to_disconnect",
    "overflowed_to_inbox",
    "overflowed",
    "abandon_quit",
    "auto_closed",
    "contained",
    "missed",
    "declined",
    "callback_abandoned_by_consumer",
)
_NUMBER_TYPES = ("toll_free_number", "virtual_service_number", "byoc_number")
_DIRECTIONS = ("inbound", "outbound")
_DISTRIBUTIONS = ("acd", "non_acd")
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
    optional fields may be null, ``support_fields`` whether the voice fields that Zoom Support
    switches on are there.
    """

    stream: Stream
    directory: Directory
    nulls: bool
    support_fields: bool

    def make(self, random: Random, *, complete: bool) -> Body:
        """Make up a body; a complete one has a value in every field of the document."""
        maker = _RowMaker(self.directory, random, complete=complete)
        row = maker.sms() if self.stream == "sms" else maker.voice_call()
        if not complete:
            row = _thin(row, random, nulls=self.nulls)
        if not self.support_fields:
            _leave_out_support_fields(row)
        return _encode(row)


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


def _thin(row: Row, random: Random, *, nulls: bool) -> Row:
    """Leave out, null or empty some of the optional values, at every depth."""
    thinned: Row = {}
    for name, value in row.items():
        chance = 1.0 if name in _KEPT else random.random()
        if chance < _MISSING:
            continue
        if chance < _NULL:
            thinned[name] = None if nulls else value
        elif chance < _EMPTY and isinstance(value, list):
            thinned[name] = []
        elif isinstance(value, dict):
            thinned[name] = _thin(value, random, nulls=nulls)
        elif isinstance(value, list):
            thinned[name] = [
                _thin(item, random, nulls=nulls) if isinstance(item, dict) else item
                for item in value
            ]
        else:
            thinned[name] = value
    return thinned


def _leave_out_support_fields(row: Row) -> None:
    row.pop("session_border_controller_list", None)
    for call in (row, *(row.get("voice_call_details") or ())):
        for agent in call.get("agents") or ():
            for name in (
                "user_ip_address",
                "user_device_mac_address",
                "user_registered_sip_zone",
                "sip_zone_ip_address",
            ):
                agent.pop(name, None)


class _RowMaker:
    """Makes up rows of an account, every field of the document with a value."""

    def __init__(self, directory: Directory, random: Random, *, complete: bool) -> None:
        self.directory = directory
        self.random = random
        self.fewest = 1 if complete else 0

    def sms(self) -> Row:
        """Make up an sms row."""
        random = self.random
        return {
            "direction": random.choice(_DIRECTIONS),
            "engagement_id": "<<id>>",
            "contact_center_number": self.number(),
            "start_time": "<<start>>",
            "end_time": "<<end>>",
            "consumer_number": self.number(),
            "consumer_display_name": self.consumer(),
            "queues": self.queues(),
            "agents": [
                {"user_id": user.id, "display_name": user.name}
                for user in random.sample(self.directory.users, random.randint(self.fewest, 2))
            ],
            "country_name": random.choice(list(COUNTRIES.values())),
            "sms_types": random.sample(("sms", "mms"), random.randint(1, 2)),
            "total_sent_messages": random.randrange(40),
            "total_received_messages": random.choice((0, 3, 2**40)),
            "total_sent_files": random.randrange(3),
            "total_received_files": random.randrange(3),
        }

    def voice_call(self) -> Row:
        """Make up a row of a voice call, with its details."""
        random = self.random
        cuts = random.choice(
            (
                (("start", "end", "duration"),),
                (("start", "first_cut", "third"), ("first_cut", "end", "after_first_cut")),
                (
                    ("start", "first_cut", "third"),
                    ("first_cut", "second_cut", "third"),
                    ("second_cut", "end", "after_second_cut"),
                ),
            )
        )
        numbers = {
            "caller_number": self.number(),
            "caller_number_type": random.choice(_NUMBER_TYPES),
            "callee_number": self.number(),
            "callee_number_type": random.choice(_NUMBER_TYPES),
        }
        consumer = {
            "consumer_number": self.number(),
            "consumer_display_name": self.consumer(),
        }
        queues, agents, flows = self.queues(), self.agents(), self.flows()
        outcome = {
            "country_name": random.choice(list(COUNTRIES.values())),
            "recorded": random.random() < 0.5,  # noqa: PLR2004 - even odds
            "monitored": random.random() < 0.1,  # noqa: PLR2004 - few calls
            "inbox": random.random() < 0.1,  # noqa: PLR2004 - few calls
            "result": random.choice(_RESULTS),
            "caller_id": self.number(),
            "calling_party": random.choice(("consumer", "agent")),
            "charge": f"${random.random():.3f}",
        }
        details = [
            {
                "engagement_id": "<<id>>",
                "call_leg": random.choice(_DIRECTIONS),
                "distribution": random.choice(_DISTRIBUTIONS),
                "type": random.choice(_TYPES),
                **numbers,
                "start_time": f"<<{start}>>",
                "end_time": f"<<{end}>>",
                "total_duration": f"<<{duration}>>",
                **consumer,
                **({"queue": _without(queues[0], "queue_id")} if queues else {}),
                "agents": agents[:1],
                **({"flow": flows[0]} if flows else {}),
                **outcome,
                "rate": "$0.019",
                "charge_type": "per_minute",
            }
            for start, end, duration in cuts
        ]
        return {
            "engagement_id": "<<id>>",
            "direction": random.choice(_DIRECTIONS),
            "call_legs": [detail["call_leg"] for detail in details],
            "distributions": sorted({detail["distribution"] for detail in details}),
            "types": sorted({detail["type"] for detail in details}),
            "sub_types": random.sample(_SUB_TYPES, random.randint(self.fewest, 3)),
            **numbers,
            "start_time": "<<start>>",
            "end_time": "<<end>>",
            "total_duration": "<<duration>>",
            **consumer,
            "queues": queues,
            "agents": agents,
            "flows": flows,
            **outcome,
            "rates": ["$0.019"] * len(details),
            "charge_type": "per_minute",
            "session_border_controller_list": [
                {
                    "session_border_controller_name": f"sbc{random.randrange(9)}",
                    "session_border_controller_ip_address": self.address(),
                    "consumer_zoom_trunk_name": f"TRUNK{random.randrange(99):02}",
                    "consumer_sbc_ip_address": self.address(),
                }
                for _ in range(random.randint(self.fewest, 2))
            ],
            "voice_call_details": details,
        }

    def queues(self) -> list[Row]:
        """Choose the queues of an engagement, none among them."""
        chosen = self.random.sample(self.directory.queues, self.random.randint(self.fewest, 2))
        return [
            {"queue_id": queue.id, "cc_queue_id": queue.id, "queue_name": queue.name}
            for queue in chosen
        ]

    def agents(self) -> list[Row]:
        """Choose the agents of a call and where they were."""
        random = self.random
        return [
            {
                "user_id": user.id,
                "display_name": user.name,
                "user_email": f"agent{random.randrange(99)}@example.com",
                "user_ip_address": self.address(),
                "user_device_mac_address": f"00:00:5E:00:53:{random.randrange(256):02X}",
                "user_registered_sip_zone": f"zone{random.randrange(4)}",
                "sip_zone_ip_address": self.address(),
                "user_region": random.choice(self.directory.regions).name,
                "team_ids": [team.id for team in teams],
                "team_names": [team.name for team in teams],
            }
            for user in random.sample(self.directory.users, random.randint(self.fewest, 2))
            for teams in [random.sample(self.directory.teams, random.randint(self.fewest, 2))]
        ]

    def flows(self) -> list[Row]:
        """Choose the flows that a call went through."""
        chosen = self.random.sample(self.directory.flows, self.random.randint(self.fewest, 2))
        return [{"flow_id": flow.id, "flow_name": flow.name} for flow in chosen]

    def number(self) -> str:
        """Make up a telephone number, of those reserved for fiction."""
        return f"+1{self.random.choice(('202', '312', '415'))}55501{self.random.randrange(100):02}"

    def consumer(self) -> str:
        """Make up the name of a consumer."""
        return f"{self.random.choice(WORDS)} consumer {self.random.randrange(1000)}"

    def address(self) -> str:
        """Make up an IPv4 address, of those reserved for documentation."""
        network = self.random.choice(("192.0.2", "198.51.100", "203.0.113"))
        return f"{network}.{self.random.randrange(1, 255)}"


def _without(row: Row, name: str) -> Row:
    return {key: value for key, value in row.items() if key != name}

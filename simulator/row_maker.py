"""Makes up what a row holds: every field of Zoom's document, with values that could be Zoom's.

What only the engagement itself knows, its id and times, stands as a blank such as ``<<start>>``;
`simulator.rows` fills them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from simulator.directory import COUNTRIES, WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from simulator.directory import Directory, Named

Row = dict[str, Any]
"""A row of Zoom's, as JSON has it."""

TYPES = (
    "external_call",
    "external_conference_call",
    "external_callback_call",
    "internal_call",
    "internal_conference_call",
    "internal_callback_call",
)
SUB_TYPES = (
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
NUMBER_TYPES = ("toll_free_number", "virtual_service_number", "byoc_number")
DIRECTIONS = ("inbound", "outbound")
DISTRIBUTIONS = ("acd", "non_acd")
_CUTS = (
    (("start", "end", "duration"),),
    (("start", "first_cut", "third"), ("first_cut", "end", "after_first_cut")),
    (
        ("start", "first_cut", "third"),
        ("first_cut", "second_cut", "third"),
        ("second_cut", "end", "after_second_cut"),
    ),
)
"""The legs that a call may have: of each the blanks of its start, end and duration."""


class RowMaker:
    """Makes up rows of an account, every field of the document with a value."""

    def __init__(self, directory: Directory, random: Random, *, complete: bool) -> None:
        self.directory = directory
        self.random = random
        self.fewest = 1 if complete else 0

    def sms(self) -> Row:
        """Make up an sms row."""
        random = self.random
        return {
            "direction": self.direction(),
            "engagement_id": "<<id>>",
            "contact_center_number": self.number(),
            "start_time": "<<start>>",
            "end_time": "<<end>>",
            "consumer_number": self.number(),
            "consumer_display_name": self.consumer(),
            "queues": self.queues(),
            "agents": [{"user_id": user.id, "display_name": user.name} for user in self.users()],
            "country_name": random.choice(list(COUNTRIES.values())),
            "sms_types": random.sample(("sms", "mms"), random.randint(1, 2)),
            "total_sent_messages": random.randrange(40),
            "total_received_messages": self.received_messages(),
            "total_sent_files": random.randrange(3),
            "total_received_files": random.randrange(3),
        }

    def voice_call(self) -> Row:
        """Make up a row of a voice call, with its details."""
        random = self.random
        cuts = self.cuts()
        numbers = {
            "caller_number": self.number(),
            "caller_number_type": random.choice(NUMBER_TYPES),
            "callee_number": self.number(),
            "callee_number_type": random.choice(NUMBER_TYPES),
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
            "result": self.result(),
            "caller_id": self.number(),
            "calling_party": random.choice(("consumer", "agent")),
            "charge": f"${random.random():.3f}",
        }
        details = [
            {
                "engagement_id": "<<id>>",
                "call_leg": self.direction(),
                "distribution": random.choice(DISTRIBUTIONS),
                "type": random.choice(TYPES),
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
            "direction": self.direction(),
            "call_legs": [detail["call_leg"] for detail in details],
            "distributions": sorted({detail["distribution"] for detail in details}),
            "types": sorted({detail["type"] for detail in details}),
            "sub_types": self.sub_types(),
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
        return [
            {"queue_id": queue.id, "cc_queue_id": queue.id, "queue_name": queue.name}
            for queue in self.chosen_queues()
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
            for user in self.users()
            for teams in [self.teams()]
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

    def direction(self) -> str:
        """Choose the direction of an engagement or of a leg."""
        return self.random.choice(DIRECTIONS)

    def result(self) -> str:
        """Choose how a call ended."""
        return self.random.choice(_RESULTS)

    def sub_types(self) -> list[str]:
        """Choose the kinds of a call's legs, transfers and conferences among them."""
        return self.random.sample(SUB_TYPES, self.random.randint(self.fewest, 3))

    def cuts(self) -> tuple[tuple[str, str, str], ...]:
        """Choose the legs of a call: the blanks of their start, end and duration."""
        return self.random.choice(_CUTS)

    def received_messages(self) -> int:
        """Choose how many messages came, more than 32 bits hold among them."""
        return self.random.choice((0, 3, 2**40))

    def chosen_queues(self) -> Sequence[Named]:
        """Choose queues."""
        return self._some(self.directory.queues)

    def users(self) -> Sequence[Named]:
        """Choose agents."""
        return self._some(self.directory.users)

    def teams(self) -> Sequence[Named]:
        """Choose the teams of an agent."""
        return self._some(self.directory.teams)

    def _some(self, things: Sequence[Named]) -> Sequence[Named]:
        return self.random.sample(things, self.random.randint(self.fewest, 2))


class ProfiledRowMaker(RowMaker):
    """Makes up rows of a contact center at work: most are ordinary, the others of any kind.

    An ordinary engagement comes in, goes through one queue to one of its agents, and is completed.
    """

    def __init__(
        self, directory: Directory, random: Random, queue: int, *, complete: bool, ordinary: float
    ) -> None:
        super().__init__(directory, random, complete=complete)
        self.ordinary = not complete and random.random() < ordinary
        self.queue = directory.queues[queue]
        self.other_queues = [other for other in directory.queues if other is not self.queue]
        self.queue_users = directory.users[queue :: len(directory.queues)]
        self.team = directory.teams[queue % len(directory.teams)]

    @override
    def direction(self) -> str:
        return "inbound" if self.ordinary else super().direction()

    @override
    def result(self) -> str:
        return "completed" if self.ordinary else super().result()

    @override
    def sub_types(self) -> list[str]:
        return [] if self.ordinary else super().sub_types()

    @override
    def cuts(self) -> tuple[tuple[str, str, str], ...]:
        return _CUTS[0] if self.ordinary else super().cuts()

    @override
    def received_messages(self) -> int:
        return self.random.randrange(1, 20)

    @override
    def chosen_queues(self) -> Sequence[Named]:
        others = [] if self.ordinary else self.random.sample(self.other_queues, self.fewer())
        return [self.queue, *others]

    @override
    def users(self) -> Sequence[Named]:
        return self.random.sample(self.queue_users, 1 if self.ordinary else 1 + self.fewer())

    @override
    def teams(self) -> Sequence[Named]:
        return [self.team]

    @override
    def consumer(self) -> str:
        return f"Consumer {self.random.randrange(1000)}"

    def fewer(self) -> int:
        """Choose whether there is one more."""
        return self.random.randint(0, 1)


def _without(row: Row, name: str) -> Row:
    return {key: value for key, value in row.items() if key != name}

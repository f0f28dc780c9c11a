"""What the models of `transform/` must hold, computed from the simulator's engagements."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

import yaml

from tests.meltano_project import ROOT
from tests.model_values import (
    ABANDONED,
    CHANNELS,
    amount,
    ends,
    engagement_key,
    joined,
    key_of,
    kinds,
    length,
    measures,
    objects,
    queue_id,
    same,
    seconds,
    utc,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[str, Row]
"""Rows by their key, which is a text."""

MODELS = ROOT / "transform" / "models"
KEYS = {
    "stg_zoom_cc__sms": "engagement_key",
    "stg_zoom_cc__voice_calls": "engagement_key",
    "stg_zoom_cc__sub_accounts": "account_id",
    "int_zoom_cc__engagements": "engagement_key",
    "zoom_cc__calls": "engagement_key",
    "zoom_cc__sms_conversations": "engagement_key",
    "zoom_cc__call_legs": "call_leg_key",
    "zoom_cc__engagement_queues": "engagement_queue_key",
    "zoom_cc__engagement_agents": "engagement_agent_key",
    "zoom_cc__queues": "queue_key",
    "zoom_cc__agents": "agent_key",
    "zoom_cc__queue_hours": "queue_hour_key",
    "zoom_cc__agent_days": "agent_day_key",
    "zoom_cc__account_days": "account_day_key",
    "zoom_cc__hours": "hour_start",
}
"""The key column of each model."""

PASSED_ON = {"int_zoom_cc__calls": "zoom_cc__calls", "int_zoom_cc__call_legs": "zoom_cc__call_legs"}
"""Models whose columns are all in another, which is compared with the truth."""


@cache
def described_columns() -> dict[str, dict[str, tuple[str, str]]]:
    """Return of each model's columns the description, and the raw field that it is, if any."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for path in sorted(MODELS.rglob("_models.yml")):
        for model in yaml.safe_load(path.read_text("utf-8"))["models"]:
            found[model["name"]] = {
                column["name"]: (
                    column["description"],
                    column.get("config", {}).get("meta", {}).get("field", ""),
                )
                for column in model["columns"]
            }
    return found


@dataclass(frozen=True)
class Truth:
    """The simulator's engagements at one moment, as a loader stores them.

    Attributes:
        streams: the rows of each stream, a null where a field is missing at the top level.
        account_names: by id.
        time_zone: of the clock on which hours and days are counted.
    """

    streams: dict[str, list[Row]]
    account_names: dict[str, str]
    time_zone: str = "UTC"

    def model(self, name: str) -> Rows:
        """Return the rows of a model, every column but `extracted_at`."""
        makers: dict[str, Callable[[], Iterable[Row]]] = {
            "stg_zoom_cc__sms": lambda: self._staging("sms"),
            "stg_zoom_cc__voice_calls": lambda: self._staging("voice_calls"),
            "stg_zoom_cc__sub_accounts": lambda: self._staging("sub_accounts"),
            "int_zoom_cc__engagements": self._engagements,
            "zoom_cc__calls": self._calls,
            "zoom_cc__sms_conversations": self._sms_conversations,
            "zoom_cc__call_legs": self._call_legs,
            "zoom_cc__engagement_queues": self._engagement_queues,
            "zoom_cc__engagement_agents": self._engagement_agents,
            "zoom_cc__queues": lambda: self._directory("queue"),
            "zoom_cc__agents": lambda: self._directory("agent"),
            "zoom_cc__queue_hours": self._queue_hours,
            "zoom_cc__agent_days": self._agent_days,
            "zoom_cc__account_days": self._account_days,
            "zoom_cc__hours": self._hours,
        }
        rows = list(makers[name]())
        by_key = {row[KEYS[name]]: row for row in rows}
        assert len(by_key) == len(rows)
        return by_key

    def _staging(self, stream: str) -> Iterator[Row]:
        columns = described_columns()[f"stg_zoom_cc__{stream}"]
        schema = json.loads((ROOT / "schemas" / f"{stream}.json").read_text("utf-8"))["properties"]
        for row in self.streams[stream]:
            values: Row = {"unmapped_values": None}
            for column, (_, source) in columns.items():
                if source:
                    name = source.partition(".")[2]
                    is_instant = schema[name].get("format") == "date-time"
                    values[column] = utc(row.get(name)) if is_instant else row.get(name)
            if stream in CHANNELS:
                values["engagement_key"] = engagement_key(stream, row)
            yield values

    def _common(self, stream: str, row: Row) -> Row:
        queues, agents = row.get("queues"), row.get("agents")
        found: Row = {"queue_count": length(queues), "agent_count": length(agents)}
        for where, queue, agent in zip(("first", "last"), ends(queues), ends(agents), strict=True):
            for kind, element in (("queue", queue), ("agent", agent)):
                who = self._who(kind, row["account_id"], element)
                found |= {f"{where}_{kind}_{part}": value for part, value in who.items()}
        return found | {
            "engagement_key": engagement_key(stream, row),
            "account_id": row["account_id"],
            "account_name": self.account_names.get(row["account_id"]),
            "engagement_id": row["engagement_id"],
            "direction": row.get("direction"),
            "start_time": utc(row["start_time"]),
            "end_time": utc(row["end_time"]),
            **same(row, "consumer_number", "consumer_display_name", "country_name"),
        }

    def _who(self, kind: str, account_id: str, element: Row) -> Row:
        """Return key, id and name of a queue or an agent that a list has."""
        identity = queue_id(element) if kind == "queue" else element.get("user_id")
        name = element.get("queue_name" if kind == "queue" else "display_name")
        key = key_of(account_id, identity, name)
        return {"key": key, "id": identity, "name": self._latest.get((kind, key, "name"), name)}

    @cached_property
    def _latest(self) -> dict[tuple[str, str | None, str], str]:
        """What the latest engagement says, by kind, key and field; nulls say nothing."""
        fields = {
            "queue": {"name": "queue_name"},
            "agent": {"name": "display_name", "email": "user_email", "region": "user_region"},
        }
        found: dict[tuple[str, str | None, str], str] = {}
        for kind, names in fields.items():
            listed = sorted(
                self._listed(f"{kind}s"),
                key=lambda each: (each[0]["start_time"], each[0]["engagement_key"], each[1]),
            )
            for common, _, element in listed:
                identity = queue_id(element) if kind == "queue" else element.get("user_id")
                key = key_of(common["account_id"], identity, element.get(names["name"]))
                for field, name in names.items():
                    if element.get(name) is not None:
                        found[kind, key, field] = element[name]
        return found

    def _calls(self) -> Iterator[Row]:
        for row in self.streams["voice_calls"]:
            duration = row.get("total_duration")
            legs = row.get("voice_call_details")
            result = row.get("result")
            transfers = kinds(row, "transfer_call")
            yield self._common("voice_calls", row) | {
                "duration_seconds": seconds(row) if duration is None else duration,
                "result": result,
                "is_abandoned": None if result is None else result in ABANDONED,
                "leg_count": length(row.get("call_legs") if legs is None else legs),
                "transfers": transfers,
                "is_transferred": None if transfers is None else transfers > 0,
                "conferences": kinds(row, "conference_call"),
                "shown_caller_number": row.get("caller_id"),
                "is_recorded": row.get("recorded"),
                "is_monitored": row.get("monitored"),
                "has_inbox_message": row.get("inbox"),
                "charge_amount": amount(row.get("charge")),
                **same(row, "calling_party", "charge", "charge_type"),
                **same(row, "caller_number", "caller_number_type"),
                **same(row, "callee_number", "callee_number_type"),
            }

    def _sms_conversations(self) -> Iterator[Row]:
        for row in self.streams["sms"]:
            yield self._common("sms", row) | {
                "duration_seconds": seconds(row),
                **same(row, "contact_center_number"),
                **same(row, "total_sent_messages", "total_received_messages"),
                **same(row, "total_sent_files", "total_received_files"),
            }

    def _call_legs(self) -> Iterator[Row]:
        for row in self.streams["voice_calls"]:
            for position, leg in objects(row.get("voice_call_details")):
                agents = leg.get("agents")
                first_agent, _ = ends(agents)
                queue, flow = leg.get("queue") or {}, leg.get("flow") or {}
                key = engagement_key("voice_calls", row)
                of_queue = self._who("queue", row["account_id"], queue)
                of_agent = self._who("agent", row["account_id"], first_agent)
                yield {
                    "call_leg_key": f"{key}/{position}",
                    "engagement_key": key,
                    "account_id": row["account_id"],
                    "engagement_id": row["engagement_id"],
                    "leg_position": position,
                    "direction": leg.get("call_leg"),
                    "call_type": leg.get("type"),
                    "start_time": utc(leg.get("start_time")),
                    "end_time": utc(leg.get("end_time")),
                    "duration_seconds": leg.get("total_duration"),
                    **{f"queue_{part}": value for part, value in of_queue.items()},
                    "queue_name_in_leg": queue.get("queue_name"),
                    "flow_id": flow.get("flow_id"),
                    "flow_name": flow.get("flow_name"),
                    **{f"first_agent_{part}": value for part, value in of_agent.items()},
                    "first_agent_name_in_leg": first_agent.get("display_name"),
                    "agent_count": length(agents),
                    "shown_caller_number": leg.get("caller_id"),
                    "is_recorded": leg.get("recorded"),
                    "is_monitored": leg.get("monitored"),
                    "has_inbox_message": leg.get("inbox"),
                    **same(leg, "distribution", "result", "calling_party", "country_name"),
                    **same(leg, "caller_number", "caller_number_type"),
                    **same(leg, "callee_number", "callee_number_type"),
                    **same(leg, "consumer_number", "consumer_display_name"),
                    **same(leg, "charge", "rate", "charge_type"),
                    "charge_amount": amount(leg.get("charge")),
                    "rate_amount": amount(leg.get("rate")),
                }

    def _listed(self, name: str) -> Iterator[tuple[Row, int, Row]]:
        """Give each element of an array of all engagements: common columns, position, element."""
        for stream, channel in CHANNELS.items():
            for row in self.streams[stream]:
                common = {
                    "engagement_key": engagement_key(stream, row),
                    "channel": channel,
                    "account_id": row["account_id"],
                    "engagement_id": row["engagement_id"],
                    "start_time": utc(row["start_time"]),
                }
                for position, element in objects(row.get(name)):
                    yield common, position, element

    def _engagement_queues(self) -> Iterator[Row]:
        for common, position, queue in self._listed("queues"):
            who = self._who("queue", common["account_id"], queue)
            yield common | {
                "engagement_queue_key": joined(common["engagement_key"], position),
                "queue_position": position,
                **{f"queue_{part}": value for part, value in who.items()},
            }

    def _engagement_agents(self) -> Iterator[Row]:
        for common, position, agent in self._listed("agents"):
            who = self._who("agent", common["account_id"], agent)
            yield common | {
                "engagement_agent_key": joined(common["engagement_key"], position),
                "agent_position": position,
                **{f"agent_{part}": value for part, value in who.items()},
                "agent_email": agent.get("user_email"),
                "agent_region": agent.get("user_region"),
                **same(agent, "team_ids", "team_names"),
                **same(agent, "user_ip_address", "user_device_mac_address"),
                **same(agent, "user_registered_sip_zone", "sip_zone_ip_address"),
            }

    def _directory(self, kind: str) -> Iterator[Row]:
        """Give each queue or agent of which something is known, with what is the latest of it."""
        listed = self._engagement_queues() if kind == "queue" else self._engagement_agents()
        seen: defaultdict[Any, list[Row]] = defaultdict(list)
        for row in listed:
            seen[row[f"{kind}_key"]].append(row)
        seen.pop(None, None)
        for key, rows in seen.items():
            account_id = rows[0]["account_id"]
            yield {
                **same(rows[0], "account_id", f"{kind}_key", f"{kind}_id"),
                "account_name": self.account_names.get(account_id),
                **{
                    f"{kind}_{field}": self._latest.get((kind, key, field))
                    for field in (("name",) if kind == "queue" else ("name", "email", "region"))
                },
                "first_start_time": min(row["start_time"] for row in rows),
                "last_start_time": max(row["start_time"] for row in rows),
                "engagements": len({row["engagement_key"] for row in rows}),
            }

    def _engagements(self) -> Iterator[Row]:
        names = ("engagement_key", "account_id", "account_name", "direction", "start_time")
        more = ("duration_seconds", "result", "is_abandoned", "is_transferred")
        for row in self._calls():
            yield same(row, *names, *more) | {"channel": "voice"}
        for row in self._sms_conversations():
            yield same(row, *names, *more) | {"channel": "sms"}

    def _local(self, start: datetime) -> datetime:
        moment = start.replace(tzinfo=timezone.utc).astimezone(ZoneInfo(self.time_zone))
        return moment.replace(tzinfo=None)

    def _grouped(
        self, who: Callable[[Row], Iterable[Row]], when: Callable[[datetime], object]
    ) -> Iterator[tuple[Row, object]]:
        """Give what is counted of engagements by account, channel, direction, who, and when.

        Args:
            who: gives the columns of each queue or agent in which an engagement counts.
            when: gives the hour or the day of a local time.
        """
        groups: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for engagement in self._engagements():
            moment = when(self._local(engagement["start_time"]))
            common = same(engagement, "account_id", "account_name", "channel", "direction")
            for whose in {tuple(each.items()) for each in who(engagement)}:
                groups[(*common.items(), *whose), moment].append(engagement)
        for (columns, moment), engagements in groups.items():
            yield dict(columns) | measures(engagements), moment

    def _listed_by_engagement(self, rows: Iterable[Row], kind: str) -> dict[str, list[Row]]:
        """Return key, id and name of the queues or the agents of each engagement."""
        found: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            found[row["engagement_key"]].append(
                same(row, f"{kind}_key", f"{kind}_id", f"{kind}_name")
            )
        return found

    def _queue_hours(self) -> Iterator[Row]:
        queues = self._listed_by_engagement(self._engagement_queues(), "queue")
        none = [dict.fromkeys(("queue_key", "queue_id", "queue_name"))]

        for row, hour in self._grouped(
            lambda engagement: queues.get(engagement["engagement_key"], none), hour_of
        ):
            key = same(row, "account_id", "channel", "direction", "queue_key")
            yield row | {"hour_start": hour, "queue_hour_key": joined(*key.values(), hour)}

    def _agent_days(self) -> Iterator[Row]:
        agents = self._listed_by_engagement(self._engagement_agents(), "agent")
        for row, day in self._grouped(
            lambda engagement: agents.get(engagement["engagement_key"], ()), datetime.date
        ):
            key = same(row, "account_id", "channel", "direction", "agent_key")
            yield row | {"day": day, "agent_day_key": joined(*key.values(), day)}

    def _account_days(self) -> Iterator[Row]:
        for row, day in self._grouped(lambda _: [{}], datetime.date):
            key = same(row, "account_id", "channel", "direction")
            yield row | {"day": day, "account_day_key": joined(*key.values(), day)}

    def _hours(self) -> Iterator[Row]:
        hours = [hour_of(self._local(row["start_time"])) for row in self._engagements()]
        hour = min(hours)
        while hour <= max(hours):
            yield {
                "hour_start": hour,
                "day": hour.date(),
                "hour_of_day": hour.hour,
                "day_of_week": hour.isoweekday(),
            }
            hour += timedelta(hours=1)


def hour_of(moment: datetime) -> datetime:
    """Return the begin of the hour of a local time."""
    return moment.replace(minute=0, second=0, microsecond=0)

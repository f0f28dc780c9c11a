"""What the models of `transform/` must hold, computed from the simulator's engagements."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

import yaml

from tests.meltano_project import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[str, Row]
"""Rows by their key, which is a text."""

MODELS = ROOT / "transform" / "models"
CHANNELS = {"voice_calls": "voice", "sms": "sms"}
ABANDONED = {
    "short_abandoned",
    "long_abandoned",
    "hold_abandoned",
    "abandon_quit",
    "callback_abandoned_by_consumer",
}
OVERFLOWED = {"overflowed", "overflowed_to_disconnect", "overflowed_to_inbox"}

KEYS = {
    "stg_zoom_cc__sms": "engagement_key",
    "stg_zoom_cc__voice_calls": "engagement_key",
    "stg_zoom_cc__sub_accounts": "account_id",
    "int_zoom_cc__engagements": "engagement_key",
    "calls": "engagement_key",
    "sms_conversations": "engagement_key",
    "call_legs": "call_leg_key",
    "engagement_queues": "engagement_queue_key",
    "engagement_agents": "engagement_agent_key",
    "queue_hours": "queue_hour_key",
    "agent_days": "agent_day_key",
}
"""The key column of each model."""


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
            "stg_zoom_cc__sub_accounts": self._sub_accounts,
            "int_zoom_cc__engagements": self._engagements,
            "calls": self._calls,
            "sms_conversations": self._sms_conversations,
            "call_legs": self._call_legs,
            "engagement_queues": self._engagement_queues,
            "engagement_agents": self._engagement_agents,
            "queue_hours": self._queue_hours,
            "agent_days": self._agent_days,
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
            yield {**values, "engagement_key": engagement_key(stream, row)}

    def _sub_accounts(self) -> Iterator[Row]:
        for row in self.streams["sub_accounts"]:
            columns = described_columns()["stg_zoom_cc__sub_accounts"]
            values: Row = {"unmapped_values": None}
            for column, (_, source) in columns.items():
                if source:
                    value = row.get(source.partition(".")[2])
                    at = column in {
                        "created_at",
                        "subscription_start_time",
                        "subscription_end_time",
                    }
                    values[column] = utc(value) if at else value
            yield values

    def _common(self, stream: str, row: Row) -> Row:
        queues, agents = row.get("queues"), row.get("agents")
        first_queue, last_queue = ends(queues)
        first_agent, last_agent = ends(agents)
        return {
            "engagement_key": engagement_key(stream, row),
            "account_id": row["account_id"],
            "account_name": self.account_names.get(row["account_id"]),
            "engagement_id": row["engagement_id"],
            "direction": row.get("direction"),
            "start_time": utc(row["start_time"]),
            "end_time": utc(row["end_time"]),
            "first_queue_id": queue_id(first_queue),
            "first_queue_name": first_queue.get("queue_name"),
            "last_queue_id": queue_id(last_queue),
            "last_queue_name": last_queue.get("queue_name"),
            "first_agent_id": first_agent.get("user_id"),
            "first_agent_name": first_agent.get("display_name"),
            "last_agent_id": last_agent.get("user_id"),
            "last_agent_name": last_agent.get("display_name"),
            "queue_count": length(queues),
            "agent_count": length(agents),
            "consumer_number": row.get("consumer_number"),
            "consumer_display_name": row.get("consumer_display_name"),
            "country_name": row.get("country_name"),
        }

    def _calls(self) -> Iterator[Row]:
        for row in self.streams["voice_calls"]:
            duration = row.get("total_duration")
            legs = row.get("voice_call_details")
            yield self._common("voice_calls", row) | {
                "duration_seconds": seconds(row) if duration is None else duration,
                "result": row.get("result"),
                "leg_count": length(row.get("call_legs") if legs is None else legs),
                "transfers": kinds(row, "transfer_call"),
                "conferences": kinds(row, "conference_call"),
                "shown_caller_number": row.get("caller_id"),
                "is_recorded": row.get("recorded"),
                "is_monitored": row.get("monitored"),
                "has_inbox_message": row.get("inbox"),
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
                    "queue_id": queue.get("cc_queue_id"),
                    "queue_name": queue.get("queue_name"),
                    "flow_id": flow.get("flow_id"),
                    "flow_name": flow.get("flow_name"),
                    "first_agent_id": first_agent.get("user_id"),
                    "first_agent_name": first_agent.get("display_name"),
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
                }
                for position, element in objects(row.get(name)):
                    yield common, position, element

    def _engagement_queues(self) -> Iterator[Row]:
        for common, position, queue in self._listed("queues"):
            yield common | {
                "engagement_queue_key": f"{common['engagement_key']}/{position}",
                "queue_position": position,
                "queue_id": queue_id(queue),
                "queue_name": queue.get("queue_name"),
            }

    def _engagement_agents(self) -> Iterator[Row]:
        for common, position, agent in self._listed("agents"):
            yield common | {
                "engagement_agent_key": f"{common['engagement_key']}/{position}",
                "agent_position": position,
                "agent_id": agent.get("user_id"),
                "agent_name": agent.get("display_name"),
                "agent_email": agent.get("user_email"),
                "agent_region": agent.get("user_region"),
                **same(agent, "team_ids", "team_names"),
                **same(agent, "user_ip_address", "user_device_mac_address"),
                **same(agent, "user_registered_sip_zone", "sip_zone_ip_address"),
            }

    def _engagements(self) -> Iterator[Row]:
        names = ("engagement_key", "account_id", "account_name", "direction", "start_time")
        for row in self._calls():
            more = same(row, "duration_seconds", "result", "transfers")
            yield same(row, *names) | more | {"channel": "voice"}
        for row in self._sms_conversations():
            yield same(row, *names, "duration_seconds", "result", "transfers") | {"channel": "sms"}

    def _local(self, start: datetime) -> datetime:
        moment = start.replace(tzinfo=timezone.utc).astimezone(ZoneInfo(self.time_zone))
        return moment.replace(tzinfo=None)

    def _grouped(
        self, listed: Iterable[Row], id_name: str, label: str, when: Callable[[datetime], object]
    ) -> Iterator[tuple[Row, object, list[Row]]]:
        """Give the groups of engagements by account, channel, direction, who or where, and when."""
        members: defaultdict[str, dict[tuple[Any, Any], str | None]] = defaultdict(dict)
        for row in listed:
            who = (row[id_name], row[label] if row[id_name] is None else None)
            names = members[row["engagement_key"]]
            names[who] = greatest([names.get(who), row[label]])
        groups: defaultdict[tuple[Any, ...], list[tuple[Row, str | None]]] = defaultdict(list)
        for engagement in self._engagements():
            of_engagement = members.get(engagement["engagement_key"], {(None, None): None})
            if label == "agent_name" and engagement["engagement_key"] not in members:
                continue
            for who, name in of_engagement.items():
                key = ("account_id", "channel", "direction")
                moment = when(self._local(engagement["start_time"]))
                group = (*(engagement[part] for part in key), *who, moment)
                groups[group].append((engagement, name))
        for (account_id, channel, direction, identity, _, moment), found in groups.items():
            common = {
                "account_id": account_id,
                "account_name": self.account_names.get(account_id),
                "channel": channel,
                "direction": direction,
                id_name: identity,
                label: greatest([name for _, name in found]),
            }
            yield common, moment, [engagement for engagement, _ in found]

    def _queue_hours(self) -> Iterator[Row]:
        def hour(moment: datetime) -> datetime:
            return moment.replace(minute=0, second=0)

        groups = self._grouped(self._engagement_queues(), "queue_id", "queue_name", hour)
        for common, moment, engagements in groups:
            key = "/".join(
                "-" if part is None else str(part)
                for part in (
                    *same(
                        common, "account_id", "channel", "direction", "queue_id", "queue_name"
                    ).values(),
                    moment,
                )
            )
            yield common | measures(engagements) | {"queue_hour_key": key, "hour_start": moment}

    def _agent_days(self) -> Iterator[Row]:
        groups = self._grouped(
            self._engagement_agents(), "agent_id", "agent_name", lambda moment: moment.date()
        )
        for common, moment, engagements in groups:
            key = "/".join(
                "-" if part is None else str(part)
                for part in (
                    *same(
                        common, "account_id", "channel", "direction", "agent_id", "agent_name"
                    ).values(),
                    moment,
                )
            )
            yield common | measures(engagements) | {"agent_day_key": key, "day": moment}


def measures(engagements: list[Row]) -> Row:
    """Return what queue_hours and agent_days say of a group of engagements."""
    results = [row["result"] for row in engagements]
    durations = sorted(row["duration_seconds"] for row in engagements)
    transfers = [row["transfers"] for row in engagements if row["transfers"] is not None]
    transferred = sum(number > 0 for number in transfers)
    counted = {
        "completed": results.count("completed"),
        "abandoned": sum(result in ABANDONED for result in results),
        "overflowed": sum(result in OVERFLOWED for result in results),
        "missed_or_declined": results.count("missed") + results.count("declined"),
        "without_result": results.count(None),
    }
    return {
        "engagements": len(engagements),
        **counted,
        "other_results": len(engagements) - sum(counted.values()),
        "transferred": transferred,
        "share_transferred": transferred / len(transfers) if transfers else None,
        "total_duration_seconds": sum(durations),
        "mean_duration_seconds": sum(durations) / len(durations),
        "median_duration_seconds": percentile(durations, 0.5),
        "percentile_90_duration_seconds": percentile(durations, 0.9),
    }


def percentile(ordered: list[int], share: float) -> float:
    """Return the value below which a share of ordered values lies, interpolated."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def engagement_key(stream: str, row: Row) -> str:
    """Return an engagement's key in all models."""
    return f"{CHANNELS[stream]}/{row['account_id']}/{row['engagement_id']}"


def same(row: Row, *names: str) -> Row:
    """Return columns that have the field's name."""
    return {name: row.get(name) for name in names}


def objects(array: list[Row | None] | None) -> Iterator[tuple[int, Row]]:
    """Give the objects of an array, with their positions from 1 on."""
    return ((place, each) for place, each in enumerate(array or (), start=1) if each is not None)


def ends(array: list[Row | None] | None) -> tuple[Row, Row]:
    """Return the first and the last element of an array, empty where there is none."""
    return ((array[0] or {}), (array[-1] or {})) if array else ({}, {})


def length(array: list[Any] | None) -> int | None:
    """Return how many elements an array has."""
    return None if array is None else len(array)


def queue_id(queue: Row) -> str | None:
    """Return a queue's id, under the newer of its two names if that is filled."""
    newer: str | None = queue.get("cc_queue_id")
    return queue.get("queue_id") if newer is None else newer


def kinds(row: Row, ending: str) -> int | None:
    """Return how many of the kinds of a call's legs end so."""
    found = row.get("sub_types")
    return None if found is None else sum(kind.endswith(ending) for kind in found)


def greatest(names: Iterable[str | None]) -> str | None:
    """Return the last name in order of code points, nulls aside."""
    return max((name for name in names if name is not None), default=None)


def seconds(row: Row) -> int:
    """Return the time from an engagement's start to its end."""
    return (instant(row["end_time"]) - instant(row["start_time"])) // timedelta(seconds=1)


def instant(text: str) -> datetime:
    """Read an instant with its offset."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def utc(text: str | None) -> datetime | None:
    """Return an instant as the models hold it: in UTC, without saying so."""
    return None if text is None else instant(text).astimezone(timezone.utc).replace(tzinfo=None)

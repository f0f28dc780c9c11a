"""What the models of `transform/` must hold, computed once more from the rows that were loaded."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from functools import cache
from operator import itemgetter
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

import yaml

from tests.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = list[Row]

MODELS = ROOT / "transform" / "models"
PASSED_ON = {"int_zoom_cc__calls", "int_zoom_cc__call_legs"}
"""Models whose columns are all in another, which is compared with the truth."""

OF_CALLS = ("result", "is_abandoned", "is_transferred")
ABANDONED = {
    "short_abandoned",
    "long_abandoned",
    "hold_abandoned",
    "abandon_quit",
    "callback_abandoned_by_consumer",
}
OVERFLOWED = {"overflowed", "overflowed_to_disconnect", "overflowed_to_inbox"}


@cache
def described_columns() -> dict[str, dict[str, tuple[str, str]]]:
    """Return of each model's columns the description, and the raw field that it is, if any."""
    return {
        model["name"]: {
            column["name"]: (
                column["description"],
                column.get("config", {}).get("meta", {}).get("field", ""),
            )
            for column in model["columns"]
        }
        for path in sorted(MODELS.rglob("_models.yml"))
        for model in yaml.safe_load(path.read_text("utf-8"))["models"]
    }


def truth(loaded: Mapping[str, Rows], time_zone: str = "UTC") -> dict[str, Rows]:
    """Return the rows of each model, but for those that another passes on, from raw rows.

    Hours and days are counted on the clock of the time zone.
    """
    accounts = {row["id"]: row["account_name"] for row in loaded["sub_accounts"]}
    calls, conversations = (
        [
            row
            | {"channel": channel, "account_name": accounts.get(row["account_id"])}
            | {"engagement_key": joined(channel, row["account_id"], row["engagement_id"])}
            for row in loaded[stream]
        ]
        for stream, channel in (("voice_calls", "voice"), ("sms", "sms"))
    )
    listed = {kind: everyone(calls + conversations, kind) for kind in ("queue", "agent")}
    known = {kind: grouped(rows, f"{kind}_key") for kind, rows in listed.items()}

    def who(kind: str, row: Row, element: Row | None, place: str = "") -> Row:
        """Return key, id and name of a queue or an agent, which may be named in a leg only."""
        found = identity(kind, row, element or {})
        alike = known[kind].get(found[f"{kind}_key"], [found])[0]
        found[f"{kind}_name"] = first_known(alike[f"{kind}_name"], found[f"{kind}_name"])
        return {place + name: value for name, value in found.items()}

    def engagement(model: str, row: Row) -> Row:
        found = fields(model, row) | measured(row)
        for kind in listed:
            elements = row.get(f"{kind}s")
            found[f"{kind}_count"] = length(elements)
            found |= who(kind, row, elements and elements[0], "first_")
            found |= who(kind, row, elements and elements[-1], "last_")
        return found

    models = {
        "stg_zoom_cc__voice_calls": [fields("stg_zoom_cc__voice_calls", row) for row in calls],
        "stg_zoom_cc__sms": [fields("stg_zoom_cc__sms", row) for row in conversations],
        "stg_zoom_cc__sub_accounts": [
            fields("stg_zoom_cc__sub_accounts", row) for row in loaded["sub_accounts"]
        ],
        "int_zoom_cc__engagements": [
            fields("int_zoom_cc__engagements", row)
            | {name: measured(row)[name] for name in ("duration_seconds", *OF_CALLS)}
            for row in calls + conversations
        ],
        "zoom_cc__calls": [engagement("zoom_cc__calls", row) for row in calls],
        "zoom_cc__sms_conversations": [
            engagement("zoom_cc__sms_conversations", row) for row in conversations
        ],
        "zoom_cc__call_legs": [
            leg_of(row, position, leg)
            | who("queue", row, leg.get("queue"))
            | who("agent", row, leg.get("agents") and leg["agents"][0], "first_")
            for row in calls
            for position, leg in enumerate(row.get("voice_call_details") or (), start=1)
            if leg is not None
        ],
    }
    counting = [
        row | {"hour_start": hour.replace(minute=0, second=0), "day": hour.date()}
        for row in models["int_zoom_cc__engagements"]
        for moment in [row["start_time"].replace(tzinfo=timezone.utc)]
        for hour in [moment.astimezone(ZoneInfo(time_zone)).replace(tzinfo=None)]
    ]
    first, last = (limit(row["hour_start"] for row in counting) for limit in (min, max))
    every = range((last - first) // timedelta(hours=1) + 1)
    for kind, rows in listed.items():
        models[f"zoom_cc__engagement_{kind}s"] = rows
        models[f"zoom_cc__{kind}s"] = [
            one_of(alike, kind) | {"account_name": accounts.get(alike[0]["account_id"])}
            for key, alike in known[kind].items()
            if key is not None
        ]
    return models | {
        "zoom_cc__queue_hours": counted(
            counting, "queue", "hour", listed["queue"], [identity("queue", {}, {})]
        ),
        "zoom_cc__agent_days": counted(counting, "agent", "day", listed["agent"]),
        "zoom_cc__account_days": counted(counting, "account", "day", counting),
        "zoom_cc__hours": [
            {"hour_start": hour, "day": hour.date()}
            | {"hour_of_day": hour.hour, "day_of_week": hour.isoweekday()}
            for hour in (first + timedelta(hours=number) for number in every)
        ],
    }


def everyone(engagements: Rows, kind: str) -> Rows:
    """Return each queue or agent of each list, from the oldest to the latest engagement.

    All have the name of the latest engagement that has one.
    """
    found = [
        fields(f"zoom_cc__engagement_{kind}s", row, element)
        | identity(kind, row, element)
        | {f"{kind}_position": position}
        | {f"engagement_{kind}_key": joined(row["engagement_key"], position)}
        for row in engagements
        for position, element in enumerate(row.get(f"{kind}s") or (), start=1)
        if element is not None
    ]
    found.sort(key=itemgetter("start_time", "engagement_key", f"{kind}_position"))
    for alike in grouped(found, f"{kind}_key").values():
        name = first_known(*(row[f"{kind}_name"] for row in reversed(alike)))
        for row in alike:
            row[f"{kind}_name"] = name
    return found


def one_of(alike: Rows, kind: str) -> Row:
    return {
        **{name: alike[0][name] for name in ("account_id", *identity(kind, {}, {}))},
        **{
            name: first_known(*(row.get(name) for row in reversed(alike)))
            for name in ("agent_email", "agent_region")
        },
        "first_start_time": alike[0]["start_time"],
        "last_start_time": alike[-1]["start_time"],
        "engagements": len({row["engagement_key"] for row in alike}),
    }


def measured(row: Row) -> Row:
    """Return what is computed of an engagement; a conversation has nothing that only calls have."""
    result, kinds = row.get("result"), row.get("sub_types")
    legs = first_known(row.get("voice_call_details"), row.get("call_legs"))
    transfers, conferences = (
        None if kinds is None else sum(kind.endswith(ending) for kind in kinds)
        for ending in ("transfer_call", "conference_call")
    )
    begin, end = utc(row["start_time"]), utc(row["end_time"])
    return {
        "duration_seconds": first_known(row.get("total_duration"), (end - begin).total_seconds()),
        "is_abandoned": None if result is None else result in ABANDONED,
        "result": result,
        "leg_count": length(legs),
        "transfers": transfers,
        "is_transferred": None if transfers is None else transfers > 0,
        "conferences": conferences,
        "charge_amount": amount(row.get("charge")),
    }


def leg_of(row: Row, position: int, leg: Row) -> Row:
    agents = leg.get("agents")
    return fields("zoom_cc__call_legs", row, leg) | {
        "call_leg_key": joined(row["engagement_key"], position),
        "leg_position": position,
        "duration_seconds": leg.get("total_duration"),
        "first_agent_name_in_leg": (agents[0] or {}).get("display_name") if agents else None,
        "agent_count": length(agents),
        "charge_amount": amount(leg.get("charge")),
        "rate_amount": amount(leg.get("rate")),
    }


def counted(
    engagements: Rows, who: str, span: str, listed: Rows, nobody: Sequence[Row] = ()
) -> Rows:
    """Return what is counted of engagements by account, channel, direction, who, and when.

    Who is listed several times by an engagement counts once. `nobody` is counted for one that lists
    nobody.
    """
    by_engagement = grouped(listed, "engagement_key")
    groups: defaultdict[tuple[tuple[str, Any], ...], Rows] = defaultdict(list)
    time = "hour_start" if span == "hour" else span
    names = (f"{who}_key", f"{who}_id", f"{who}_name")
    for row in engagements:
        common = ("account_id", "account_name", "channel", "direction", time)
        columns = tuple((name, row[name]) for name in common)
        for each in by_engagement.get(row["engagement_key"], nobody):
            found = groups[columns + tuple((name, each[name]) for name in names if name in each)]
            if row not in found:
                found.append(row)
    rows = [dict(columns) | measures(found) for columns, found in groups.items()]
    parts = ("account_id", "channel", "direction", f"{who}_key", time)
    for row in rows:
        row[f"{who}_{span}_key"] = joined(*(row[name] for name in parts if name in row))
    return rows


def fields(model: str, row: Row, element: Row | None = None) -> Row:
    """Return the columns that the description says to be fields of Zoom, or that the row has.

    The element is that of a list in the row, for a model that has a row for each.
    """
    found: Row = {}
    for column, (_, field) in described_columns()[model].items():
        listed, _, path = field.partition(".")[2].rpartition("[].")
        value: Any = element if listed else row
        for name in (path or column).split("."):
            value = (value or {}).get(name)
        if path or column in row:
            found[column] = utc(value) if column.endswith(("_time", "_at")) and value else value
    return found


def measures(engagements: Rows) -> Row:
    results = [row["result"] for row in engagements]
    durations = [row["duration_seconds"] for row in engagements]
    transfers = [row["is_transferred"] for row in engagements if row["is_transferred"] is not None]
    counted = {
        "completed": results.count("completed"),
        "abandoned": sum(result in ABANDONED for result in results),
        "overflowed": sum(result in OVERFLOWED for result in results),
        "missed_or_declined": results.count("missed") + results.count("declined"),
        "without_result": results.count(None),
    }
    tenths = quantiles(durations, n=10, method="inclusive") if durations[1:] else durations
    return {
        "engagements": len(engagements),
        **counted,
        "other_results": len(engagements) - sum(counted.values()),
        "transferred": sum(transfers),
        "share_transferred": sum(transfers) / len(transfers) if transfers else None,
        "total_duration_seconds": sum(durations),
        "mean_duration_seconds": sum(durations) / len(durations),
        "median_duration_seconds": median(durations),
        "percentile_90_duration_seconds": tenths[-1],
    }


def identity(kind: str, row: Row, element: Row) -> Row:
    """Return key, id and name of a queue or an agent, as an element of a list has them."""
    number, name = element.get("user_id"), element.get("display_name")
    if kind == "queue":
        newer, name = element.get("cc_queue_id"), element.get("queue_name")
        number = element.get("queue_id") if newer is None else newer
    key = None if name is None else joined(row["account_id"], None, name)
    if number is not None:
        key = joined(row["account_id"], number)
    return {f"{kind}_key": key, f"{kind}_id": number, f"{kind}_name": name}


def joined(*parts: object) -> str:
    """Return parts as one text, the key of a row."""
    return "/".join("-" if part is None else str(part) for part in parts)


def grouped(rows: Rows, name: str) -> dict[Any, Rows]:
    found: defaultdict[Any, Rows] = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    return found


def length(array: Sequence[object] | None) -> int | None:
    return None if array is None else len(array)


def first_known(*values: Any) -> Any:  # noqa: ANN401 (of any column)
    return next((value for value in values if value is not None), None)


def utc(text: str) -> datetime:
    """Return an instant as the models hold it: in UTC, without saying so."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment.astimezone(timezone.utc).replace(tzinfo=None)


def amount(text: str | None) -> float | None:
    """Return the number in a text like $0.019; None if there is more in it."""
    found = re.fullmatch(r"[$€£¥]?(\d+|\d*\.\d+)", text or "", re.ASCII)
    return float(found[1]) if found else None

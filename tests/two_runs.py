"""What Zoom has at the times of two runs: read by the tap for every target, store and model.

Between the runs engagements come late, others change, and an account gets another name.
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from simulator.scenario import STREAMS, Account, Clock, Scenario
from tests.checkout import ROOT
from tests.harness.rows import KEYS, listed_accounts
from tests.harness.tap import run_tap
from tests.warehouses.rows import differences, without_ages

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun
    from tests.meltano_project import MeltanoProject

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = list[Row]

BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
FIRST_RUN = datetime(2024, 1, 25, tzinfo=timezone.utc)
SECOND_RUN = datetime(2024, 2, 14, tzinfo=timezone.utc)

LARGE, SMALL = "tArGeTsAcCoUnT0000001", "tArGeTsAcCoUnT0000002"
# Python 3.10 cannot write a NUL as CSV, so that loads end there which do (target-duckdb's too).
NUL = "\x00" if sys.version_info >= (3, 11) else ""
UNUSUAL_TEXT = f"nul {NUL}, noncharacter \ufffe, 👩🏽‍🚀, NULL, \"quoted\", \\N, 'a';\r\n\tb,c"
# Without NUL: in a nested value target-postgres stumbles over it, and the run fails.
UNUSUAL_NAME = UNUSUAL_TEXT.replace("\x00", "") + " {\\}"
UNDECLARED: Row = {"added_by_zoom": {"é'\"": [UNUSUAL_TEXT, None, 1.5, {}]}}
"""A field that the schema does not have: it is loaded as well, in the column for such."""

QUEUE = {"queue_id": "old-id", "cc_queue_id": "new-id", "queue_name": "Sales"}
AGENT = {"user_id": "agent", "display_name": "Agent 1", "team_ids": ["a", None], "team_names": []}
SMS_AGENT = {"user_id": "agent", "display_name": "Agent 1"}
LEG = {
    "call_leg": "inbound",
    "start_time": "2024-01-24T12:00:00+00:00",
    "end_time": "2024-01-24T12:10:00+00:00",
    "total_duration": 600,
    "queue": {"cc_queue_id": "new-id", "queue_name": "Sales, as it was once"},
    "agents": [AGENT],
    "recorded": True,
    "charge": "$12",
    "rate": ".5",
}
WITHOUT_ANYBODY = {**LEG, "agents": None, "queue": None, "flow": None, "charge": "$-1"}


def engagement(name: str, start: str, end: str, **fields: object) -> Row:
    return {"engagement_id": name, "start_time": start, "end_time": end, **fields}


UNUSUAL = engagement(
    "unusual-values",
    "2024-01-24T20:00:00-08:00",
    "2024-01-25T05:00:00+01:00",
    consumer_display_name="",
    consumer_number=None,
    country_name=UNUSUAL_TEXT,
    # A queue twice, one by its older id alone, one by its name alone, nothing at all.
    queues=[
        *(QUEUE, None, QUEUE, {"queue_id": "old-id", "queue_name": None}),
        *({"queue_id": None, "queue_name": UNUSUAL_NAME}, {}),
    ],
    **UNDECLARED,
)
LATE = engagement(
    *("over-after-the-first-run", "2024-01-24T14:00:00Z", "2024-01-25T05:00:00Z"),
    direction="inbound",
    queues=[QUEUE],
)
REVISED = engagement(
    *("revised-between-the-runs", "2024-01-24T12:00:00Z", "2024-01-24T12:30:00Z"),
    queues=[QUEUE],
    agents=[],
)
# What is the latest of a queue and of an agent: a name that is missing is not.
RENAMED = engagement(
    *("with-a-new-name", "2024-02-01T12:00:00Z", "2024-02-01T12:30:00Z"),
    queues=[{"cc_queue_id": "new-id", "queue_name": None}],
    agents=[{"user_id": "agent", "display_name": "Agent 1, renamed"}],
)
BEFORE = {"country_name": "before", "result": "missed", "voice_call_details": [LEG, LEG]}
LONG = {"total_duration": 54_000, "charge": "€2.5"}
AFTER = {"country_name": "after", "result": "completed", "voice_call_details": []}


def scenario(now: datetime) -> Scenario:
    """Return what there is at the time of a run."""
    is_first = now == FIRST_RUN
    revised = BEFORE if is_first else AFTER
    nameless = {"display_name": "without an id"}
    large = Account(
        id=LARGE,
        name="Large ☎" if is_first else "Renamed",
        sms=40,
        voice_calls=120,
        explicit_sms=(
            {
                **UNUSUAL,
                "direction": "NULL",
                "agents": [nameless, SMS_AGENT, {}],
                "sms_types": ["", None, "null", '{a,"b"}'],
                "total_sent_files": 0,
                "total_received_messages": 2**53 + 1,
            },
            {**LATE, "agents": [SMS_AGENT]},
        ),
        explicit_voice_calls=(
            {
                **UNUSUAL,
                "direction": None,
                "agents": [nameless, AGENT, {}, AGENT],
                "total_duration": "an hour",
                "voice_call_details": [WITHOUT_ANYBODY, {}, None, LEG],
                "sub_types": None,
                "result": "new result",
                "charge": "1,50 €",
            },
            {**LATE, "agents": [AGENT], "voice_call_details": [LEG], **LONG},
            {**RENAMED, "voice_call_details": [], "charge": "$1.2.3"},
        ),
    )
    small = Account(
        id=SMALL,
        name="Small 小",
        sms=6,
        voice_calls=20,
        explicit_sms=({**REVISED, "country_name": revised["country_name"]},),
        explicit_voice_calls=(
            {**REVISED, **revised, "recorded": False, "sub_types": ["external_warm_transfer_call"]},
        ),
    )
    accounts = (large, small, Account(id="tArGeTsAcCoUnT0000003", name="Idle"))
    return Scenario(accounts=accounts, history_begin=BEGIN, clock=Clock(now=now), seed=3)


def rows_of_zoom(simulator: SimulatorProcess) -> dict[str, Rows]:
    """Return the rows of each stream, exactly as the tap is to give them."""
    found: dict[str, Rows] = {
        stream: [_mapped(row) for row in simulator.truth(stream)] for stream in STREAMS
    }
    found["sub_accounts"] = [
        {
            name: value.replace("Z", "+00:00") if name.endswith(("_at", "_time")) else value
            for name, value in row.items()
        }
        for row in listed_accounts(simulator)
    ]
    return found


def _mapped(row: Row) -> Row:
    """Return a row with the column for what has no column of its own."""
    odd = {name: row.pop(name) for name in UNDECLARED if name in row}
    if row.get("total_duration") == "an hour":
        odd["total_duration"], row["total_duration"] = row["total_duration"], None
    kept = {f"/{name}": value for name, value in odd.items()}
    return {**row, "unmapped_values": msgspec.json.encode(kept).decode() if kept else None}


def run_meltano(
    project: MeltanoProject, simulator: SimulatorProcess, now: datetime, *steps: str
) -> None:
    """Let Meltano run the tap at the time of a run, and what follows."""
    simulator.replace(scenario(now))
    if not (project.folder / "transform").exists():
        (project.folder / "transform").symlink_to(ROOT / "transform")
    project.configure("tap-zoom-cc", {"start_date": BEGIN.date(), "end_date": now.isoformat()})
    project.meltano("run", "tap-zoom-cc", *steps)


def run_twice(simulator: SimulatorProcess) -> list[TapRun]:
    """Let the tap read, at the times of both runs, what there is: each row, and each value.

    The second run gives rows again that the first has given.
    """
    dates = {"start_date": BEGIN.date().isoformat(), "requests_per_second": 100}
    runs: list[TapRun] = []
    for now in (FIRST_RUN, SECOND_RUN):
        simulator.replace(scenario(now))
        settings = {**simulator.tap_config(), **dates, "end_date": now.isoformat()}
        runs.append(run_tap(settings, state=runs[-1].state if runs else None).check())
    assert differences(without_ages(latest_rows(*runs)), rows_of_zoom(simulator)) == {}
    return runs


def latest_rows(*runs: TapRun) -> dict[str, Rows]:
    """Return the latest version of each row, with `extracted_at`: when the tap read it."""
    found: dict[str, dict[tuple[str, ...], Row]] = {stream: {} for stream in KEYS}
    for message in (message for run in runs for message in run.messages):
        if message["type"] == "RECORD":
            stream, row = message["stream"], message["record"]
            key = tuple(row[name] for name in KEYS[stream])
            found[stream][key] = {**row, "extracted_at": message["time_extracted"]}
    return {stream: list(rows.values()) for stream, rows in found.items()}

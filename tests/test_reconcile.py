"""Whether all is there: what `--reconcile` counts, and the query that compares it with the rows."""

from __future__ import annotations

import json
import signal
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import pytest

from simulator.scenario import STREAMS, Account, Clock, Fault, Limits, Readings, Refusal, Scenario
from tap_zoom_cc.commands.reconcile import days_from
from tap_zoom_cc.inputs import InputError
from tests.checkout import ROOT
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import accounts_asked, engagement, requests_to
from tests.harness.singer import selecting
from tests.harness.tap import run_tap, start_tap, sync

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from simulator.scenario import FaultKind
    from tests.harness.constants import Constants
    from tests.harness.process import TapRun
    from tests.harness.singer import Catalog, Record

DAY = timedelta(days=1)
BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
NOW = datetime(2024, 1, 20, tzinfo=timezone.utc)
FROM, TO = date(2024, 1, 3), date(2024, 1, 13)
DAYS = [FROM + number * DAY for number in range(10)]
RANGE = f"{FROM}/{TO}"
MIDNIGHT = datetime(2024, 1, 8, tzinfo=timezone.utc)
ON_THE_EDGE = tuple(
    engagement(name, MIDNIGHT + begin, MIDNIGHT + end)
    for name, begin, end in (
        ("at-midnight", timedelta(0), timedelta(hours=1)),
        ("until-midnight", timedelta(hours=-1), timedelta(0)),
        ("over-midnight", timedelta(minutes=-20), timedelta(minutes=20)),
        ("for-three-days", -DAY, 2 * DAY),
    )
)
ODD = "oDd\x1b[2J\x07\x7f\u202e\r\nforged"
SCENARIO = Scenario(
    accounts=(
        Account(id="large", sms=90, voice_calls=150),
        Account(id="edges", sms=15, explicit_sms=ON_THE_EDGE, explicit_voice_calls=ON_THE_EDGE),
        Account(id=ODD),
    ),
    history_begin=BEGIN,
    history_end=NOW - 3 * DAY,
    clock=Clock(now=NOW),
)
QUERY = (ROOT / "examples" / "reconcile.sql").read_text("utf-8")


def reconcile(
    simulator: SimulatorProcess,
    days: str = RANGE,
    *,
    catalog: Catalog | None = None,
    constants: Constants = SHORT_WAITS,
    **settings: object,
) -> TapRun:
    simulator.reset_stats()
    config = {**simulator.tap_config(), "requests_per_second": 1000, **settings}
    arguments = [f"--reconcile={days}"]
    return run_tap(config, catalog=catalog, arguments=arguments, constants=constants)


def counts(run: TapRun) -> list[Record]:
    return [json.loads(line) for line in run.stdout.splitlines()]


def by_day(run: TapRun) -> dict[tuple[str, str, str], int]:
    return {
        (each["stream"], each["account_id"], each["day"]): each["total_records"]
        for each in counts(run)
    }


def loaded(run: TapRun) -> duckdb.DuckDBPyConnection:
    """Return a database with a run's rows, instants in UTC without an offset as target-duckdb."""
    database = duckdb.connect()
    names = ("account_id", "engagement_id", "start_time", "end_time")
    for stream in STREAMS:
        rows = [[row[name] for name in names] for row in run.records(stream)]
        columns = "account_id text, engagement_id text, start_time timestamp, end_time timestamp"
        database.execute(f"create table {stream} ({columns})")
        if rows:
            database.executemany(f"insert into {stream} values (?, ?, ?, ?)", rows)
    return database


def compared(
    database: duckdb.DuckDBPyConnection, lines: bytes, folder: Path, query: str = QUERY
) -> list[tuple[Any, ...]]:
    """Return what the query finds: stream, account, day, Zoom's count, the warehouse's."""
    file = folder / "counts.jsonl"
    file.write_bytes(lines)
    found = database.execute(query.replace("counts.jsonl", str(file))).fetchall()
    return [row[:5] for row in found]


# Counting


def test_each_stream_account_and_day_is_counted_in_order_with_a_request_for_one_row(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(SCENARIO)
    before = datetime.now(timezone.utc).replace(microsecond=0)
    run = reconcile(simulator).check()
    truth = Counter(
        (stream, row["account_id"], row["start_time"][:10])
        for stream in STREAMS
        for row in simulator.truth(stream)
    )
    expected = {
        (stream, account.id, str(day)): truth[stream, account.id, str(day)]
        for stream in STREAMS
        for account in SCENARIO.accounts
        for day in DAYS
    }
    assert list(by_day(run).items()) == list(expected.items())
    assert run.stdout.decode().replace("\n", "").isprintable(), "a terminal may show it"
    assert all(datetime.fromisoformat(line["counted_at"]) >= before for line in counts(run))
    for stream in STREAMS:
        assert simulator.stats().requests[stream] == dict.fromkeys(("large", "edges", ODD), 10)
        assert {asked["page_size"][0] for asked in requests_to(simulator, stream)} == {"1"}


def test_only_selected_streams_are_counted_and_the_log_says_how_long_that_will_take(
    simulator: SimulatorProcess, discovered: Catalog
) -> None:
    simulator.replace(SCENARIO)
    often = replace(SHORT_WAITS, progress_seconds=0.0)
    run = reconcile(simulator, catalog=selecting(discovered, ["sms"]), constants=often).check()
    assert {line["stream"] for line in counts(run)} == {"sms"}
    told = [line for line in run.logged("INFO") if "time left: about" in line]
    assert [line for line in told if f" % of {len(SCENARIO.accounts) * len(DAYS)} days, " in line]


def test_only_what_passes_the_filters_is_counted_and_that_is_said(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(SCENARIO)
    rows = simulator.truth("sms", "large")
    row = next(row for row in rows if str(FROM) <= row["start_time"][:10] < str(TO))
    filters = {"engagement_id": row["engagement_id"]}
    run = reconcile(simulator, sms_filters=filters).check()
    found = {place: total for place, total in by_day(run).items() if place[0] == "sms" and total}
    assert found == {("sms", "large", row["start_time"][:10]): 1}
    assert len(by_day(run)) == 2 * 3 * 10, "an account that does not have it has none"
    assert any("sms: only what passes" in line and "engagement_id" in line for line in run.lines)
    of_stream = {line["stream"]: line["filters"] for line in counts(run)}
    assert of_stream == {"sms": filters, "voice_calls": None}

    run = reconcile(simulator, sms_filters={"engagement_id": "nobody-has-this"}).check(exit_code=1)
    assert any("sms: no account knows" in line for line in run.logged("ERROR"))


# What cannot be counted


def of_large(kind: FaultKind, **how: Any) -> Fault:  # noqa: ANN401 (Fault's)
    return Fault(kind=kind, endpoint="sms", account_id="large", **how)


def test_a_refusal_is_one_line_and_the_other_accounts_are_counted(
    simulator: SimulatorProcess,
) -> None:
    sick = Account(id="sick", sms_refusal=Refusal(), voice_calls=10)
    simulator.replace(replace(SCENARIO, accounts=(sick, *SCENARIO.accounts)))
    run = reconcile(simulator, max_concurrency=1).check(exit_code=1)

    told, verdict = run.logged("ERROR")
    assert "sms, account sick: HTTP 403, code 200" in told
    assert "1 could not be" in verdict
    assert accounts_asked(simulator, "sms").count("sick") == 1
    missing = {(line["stream"], line["account_id"]) for line in counts(run)} ^ {
        (stream, name) for stream in STREAMS for name in ("sick", "large", "edges", ODD)
    }
    assert missing == {("sms", "sick")}


@pytest.mark.parametrize(
    ("changes", "why", "counted"),
    [
        ({"faults": (of_large("missing_total_records"),)}, "no total_records", {"edges", ODD}),
        ({"faults": (of_large("total_too_low", by=1_000),)}, "no count", {"edges", ODD}),
        ({"readings": Readings(history_days_kept=5)}, "Zoom answered for", set()),
        ({"accounts": (Account(id="large", hours_answered=1),)}, "Zoom answered for", set()),
    ],
    ids=["without a total", "fewer than the rows", "a day that is not kept", "an hour of a day"],
)
def test_an_answer_that_does_not_count_the_day_is_no_count(
    simulator: SimulatorProcess, changes: dict[str, Any], why: str, counted: set[str]
) -> None:
    simulator.replace(replace(SCENARIO, **changes))
    run = reconcile(simulator).check(exit_code=1)
    assert any("account large" in line and why in line for line in run.lines)
    assert {line["account_id"] for line in counts(run) if line["stream"] == "sms"} == counted


def test_a_signal_ends_the_counting_with_its_exit_code(simulator: SimulatorProcess) -> None:
    simulator.replace(replace(SCENARIO, limits=Limits(latency_seconds=30)))
    config = {**simulator.tap_config(), "sub_account_ids": ["large"]}
    with start_tap(config, arguments=[f"--reconcile={RANGE}"]) as tap:
        while "token" not in simulator.stats().requests:
            assert tap.running
        tap.signal(signal.SIGTERM)
        run = tap.finish().check(exit_code=143)
    (line,) = run.logged("ERROR")
    assert "SIGTERM" in line
    assert "blocks" not in line, "it was to end by itself"


@pytest.mark.parametrize(
    ("days", "why"),
    [
        ("2024-01-03", "is no range"),
        ("2024-01-03/yesterday", "is no range"),
        ("2024-01-03/2024-01-04/2024-01-05", "is no range"),
        ("2024-01-03/2024-01-03", "has no day"),
        ("2024-01-04/2024-01-03", "has no day"),
        ("2024-01-03/2024-01-21", "is not over; count up to 2024-01-20"),
    ],
)
def test_a_range_that_cannot_be_counted_is_refused(days: str, why: str) -> None:
    with pytest.raises(InputError, match=f"^--reconcile: '{days}' {why}"):
        days_from(days, now=NOW)


def test_what_is_refused_is_one_line_and_nothing_is_counted(simulator: SimulatorProcess) -> None:
    simulator.replace(SCENARIO)
    days, too_many = "2024-01-03/yesterday", "60 requests, and max_requests_per_run is 59"
    for why, run in (
        (f"--reconcile: '{days}' is no range", reconcile(simulator, days)),
        (f"--reconcile would send {too_many}", reconcile(simulator, max_requests_per_run=59)),
        (
            "the app's credentials",
            reconcile(simulator, client_secret="wrong", sub_account_ids=["large"]),
        ),
    ):
        told, *verdict = run.check(exit_code=1).logged("ERROR")
        assert why in told
        assert all("1 could not be" in line for line in verdict)
        assert not run.stdout
        assert {entry.endpoint for entry in simulator.stats().log} <= {"token", "accounts"}
    reconcile(simulator, max_requests_per_run=60).check()


# Comparing


@pytest.mark.parametrize("days_only", [False, True])
@pytest.mark.parametrize("selects_on", ["start", "end", "overlap"])
def test_nothing_differs_but_a_row_taken_out_however_zoom_counts(
    simulator: SimulatorProcess,
    tmp_path: Path,
    selects_on: Literal["start", "end", "overlap"],
    *,
    days_only: bool,
) -> None:
    """Zoom may place an engagement on a day by either of its times, or by both."""
    readings = Readings(selects_on=selects_on, days_only=days_only)
    simulator.replace(replace(SCENARIO, readings=readings))
    database = loaded(sync(simulator).check())
    lines = reconcile(simulator).check().stdout
    assert compared(database, lines, tmp_path) == []

    for stream in STREAMS:
        database.execute(f"delete from {stream} where engagement_id like 'at-midnight%'")
    found = compared(database, lines, tmp_path)
    for stream in STREAMS:
        (total, day) = [difference for difference in found if difference[0] == stream]
        assert total[1:3] == ("edges", None)
        assert day[1:3] == ("edges", MIDNIGHT.date())
        assert total[3] == total[4] + 1
        assert day[3] == day[4] + 1


def test_days_in_an_accounts_own_zone_differ_until_the_zone_is_named(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    west = Account(id="west", sms=200, utc_offset_hours=-10)
    readings = Readings(offset_ignored=True)
    simulator.replace(replace(SCENARIO, accounts=(west,), readings=readings))
    database = loaded(sync(simulator, start_date="2023-12-30").check())
    run = reconcile(simulator).check()

    found = compared(database, run.stdout, tmp_path)
    assert len([day for _, _, day, _, _ in found if day]) > 2
    named = QUERY.replace("'the ID of an account'", "'west'")
    named = named.replace("America/Los_Angeles", "Pacific/Honolulu")
    assert compared(database, run.stdout, tmp_path, named) == []


def test_the_newest_counts_decide_and_rows_of_an_account_without_any_are_named(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    simulator.replace(SCENARIO)
    database = loaded(sync(simulator).check())
    run = reconcile(simulator, sub_account_ids=["large"]).check()
    older = [
        {**line, "total_records": 1000, "counted_at": "2024-01-14T00:00:00+00:00"}
        for line in counts(run)
    ]
    lines = run.stdout + "".join(f"{json.dumps(line)}\n" for line in older).encode()
    found = compared(database, lines, tmp_path)
    assert {(account, zoom) for _, account, _, zoom, _ in found} == {("edges", None)}

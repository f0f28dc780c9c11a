"""From run to run: nothing lost, nothing twice, no request too many, bookmarks that mean it.

A state of whatever origin is understood or refused: never lost, never believed blindly. What is
refused is in `test_refusals.py`; here is what must lead to a correct sync.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Readings, Refusal
from tap_zoom_cc.input_schemas import state_mistakes
from tap_zoom_cc.sync.bookmarks import progress_of
from tap_zoom_cc.sync.lookback import Progress, begin_of_reread, phase_of
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import (
    BEGIN,
    DAY,
    FIRST_RUN,
    HOUR,
    SECOND_RUN,
    engagement,
    requests_to,
    scenario,
)
from tests.harness.rows import assert_complete, assert_nothing_twice, assert_same_rows
from tests.harness.singer import bookmarks, selecting, state_of
from tests.harness.tap import run_tap, sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.harness.singer import State

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
BOOKMARK = datetime(2024, 2, 1, tzinfo=timezone.utc)


def begin_after(
    bookmark: datetime, end: datetime, stream: str, account_id: str, lookback: timedelta
) -> datetime:
    """Return from when a sync reads that goes on after a bookmark, if no start date is near."""
    phase = phase_of(stream, account_id)
    return begin_of_reread(
        Progress(bookmark), end=end, lookback=lookback, phase=phase, start_date=None
    )


# What state says


@pytest.fixture
def zoom(simulator: SimulatorProcess) -> SimulatorProcess:
    """Give the simulator with one account and 50 days of history."""
    simulator.replace(scenario(Account(id="one", sms=200, voice_calls=200)))
    return simulator


def oldest_asked(zoom: SimulatorProcess) -> datetime:
    """Return from when a sync reads, whose first request begins a second earlier."""
    oldest = min(query["from"][0] for query in requests_to(zoom, "sms"))
    return datetime.fromisoformat(oldest) + SECOND


ELSEWHERE = {"elsewhere": "2024-01-15T00:00:00+00:00"}
"""The bookmark of an account that is not read."""


def state_with(value: str = BOOKMARK.isoformat(), **fields: object) -> State:
    """Return a state in which text messages were read up to a bookmark, which has more fields."""
    state: State = {"bookmarks": state_of("sms", {"one": value, **ELSEWHERE})}
    state["bookmarks"]["sms"]["partitions"][0].update(fields)
    return state


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"bookmarks": {"sms": {"partitions": []}}},
        {"bookmarks": {"sms": {"partitions": [{"context": {"account_id": "one"}}]}}},
        {"bookmarks": state_of("sms", {"another": BOOKMARK.isoformat()})},
        {"bookmarks": {"voice_calls": {}, "gone_stream": {"x": 1}}},
    ],
    ids=json.dumps,
)
def test_a_state_without_a_bookmark_of_the_account_reads_everything(
    zoom: SimulatorProcess, state: State
) -> None:
    assert_complete(zoom, sync(zoom, state=state).check())


LEFT_OVER: dict[str, Any] = {
    "starting_replication_value": FIRST_RUN.isoformat(),
    "replication_key_signpost": BEGIN.isoformat(),
    "progress_markers": {
        "Note": "Progress is not resumable if interrupted.",
        "replication_key": "start_time",
        "replication_key_value": FIRST_RUN.isoformat(),
    },
}
"""All that the SDK writes into a state while a run is going on, and a killed one leaves there."""


@pytest.mark.parametrize(
    "state",
    [
        state_with("2024-02-01"),
        state_with("2024-01-31T10:00:00.900000-14:00"),
        state_with(**LEFT_OVER),
        state_with(reread_to="2024-01-27T00:00:00Z"),
        state_with(reread_at="2024-02-20T00:00:00Z"),
        state_with(reread_to="2024-02-11T00:00:00Z", reread_at="2024-02-20T00:00:00Z"),
    ],
    ids=[
        "a date",
        "another zone",
        "left over by the SDK",
        "no end of the sync that was cut short",
        "no place where it was cut short",
        "the bookmark was set back",
    ],
)
def test_a_sync_goes_on_from_the_bookmark_of_the_account(
    zoom: SimulatorProcess, state: State
) -> None:
    """`test_windows.py` has every form of an instant."""
    run = sync(zoom, state=state).check()
    begin = begin_after(BOOKMARK, FIRST_RUN, "sms", "one", 14 * DAY)
    assert oldest_asked(zoom) == begin
    asked = (begin - SECOND).isoformat()
    truth = [row for row in zoom.truth("sms") if row["start_time"] >= asked]
    assert_same_rows("sms", run.records("sms"), truth)
    assert bookmarks(run.state, "sms") == {"one": FIRST_RUN.isoformat(), **ELSEWHERE}
    partition = run.state["bookmarks"]["sms"]["partitions"][0]
    assert not {"progress_markers", "reread_to", "reread_at"} & partition.keys()


def test_a_sync_goes_on_where_the_one_before_was_cut_short(zoom: SimulatorProcess) -> None:
    reread_to = BOOKMARK - 5 * DAY
    state = state_with(reread_to=reread_to.isoformat(), reread_at=FIRST_RUN.isoformat())
    run = sync(zoom, FIRST_RUN + 5 * MINUTE, state=state).check()
    assert oldest_asked(zoom) == reread_to
    assert "reread" not in json.dumps(run.state["bookmarks"]["sms"]), "it is over"


def test_what_a_killed_run_of_the_sdk_left_over_moves_no_bookmark(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="one", sms=200, sms_refusal=Refusal())))
    run = sync(simulator, state=state_with(**LEFT_OVER)).check(1)
    assert bookmarks(run.state, "sms") == {"one": BOOKMARK.isoformat(), **ELSEWHERE}
    assert "progress_markers" not in json.dumps(run.state)


def test_a_bookmark_a_few_minutes_ahead_is_a_clock_that_differs(zoom: SimulatorProcess) -> None:
    soon = (datetime.now(timezone.utc) + 10 * MINUTE).isoformat(timespec="seconds")
    run = sync(zoom, state=state_with(soon)).check()
    assert bookmarks(run.state, "sms") == {"one": soon, **ELSEWHERE}


@pytest.mark.parametrize(("ahead", "exit_code"), [(59 * MINUTE, 0), (61 * MINUTE, 1)])
def test_a_bookmark_far_ahead_of_zooms_clock_stays_and_fails_the_run(
    simulator: SimulatorProcess, ahead: timedelta, exit_code: int
) -> None:
    """Nothing is read then, which must not look like a run that has read all."""
    zoom = scenario(Account(id="one", sms=20))
    simulator.replace(replace(zoom, clock=replace(zoom.clock, told=True)))
    bookmark = (FIRST_RUN + ahead).isoformat()
    run = sync(simulator, FIRST_RUN, state=state_with(bookmark)).check(exit_code)
    assert bookmarks(run.state, "sms") == {"one": bookmark, **ELSEWHERE}
    said = "sms, account one: its bookmark lies after the present by Zoom's clock" in run.stderr
    assert said is (exit_code == 1)


def test_state_has_the_documented_form_and_given_again_it_changes_nothing(
    zoom: SimulatorProcess,
) -> None:
    run = sync(zoom).check()
    assert sync(zoom, state=run.state).check().state["bookmarks"] == run.state["bookmarks"]
    for stream in STREAMS:
        expected = state_of(stream, {"one": FIRST_RUN.isoformat()})
        last_end = max(datetime.fromisoformat(row["end_time"]) for row in run.records(stream))
        expected[stream]["partitions"][0]["quiet_since"] = last_end.isoformat()
        assert run.state["bookmarks"][stream] == expected[stream]


def test_what_has_no_value_of_our_replication_key_is_no_bookmark() -> None:
    value = {"replication_key_value": "2024-02-01T00:00:00Z"}
    key = {"replication_key": "start_time"}
    for state in (None, {}, value, key, value | {"replication_key": "end_time"}):
        assert progress_of(state) is None
    assert progress_of(value | key)


@pytest.mark.parametrize("name", ["reread_to", "reread_at", "quiet_since"])
@pytest.mark.parametrize("value", ["nonsense", SECOND_RUN.isoformat()])
def test_what_state_holds_besides_the_bookmark_must_be_an_instant_that_has_been(
    name: str, value: str
) -> None:
    (line,) = state_mistakes(state_with(**{name: value}), now=FIRST_RUN)
    assert "partitions[0]" in line
    assert name in line


def test_problems_of_a_state_are_told_one_by_one() -> None:
    values = {
        "one": "nonsense",
        "two": SECOND_RUN.isoformat(),
        "three": BOOKMARK.isoformat(),
    }
    lines = state_mistakes({"bookmarks": state_of("sms", values)}, now=FIRST_RUN)
    assert ["partitions[0]" in line for line in lines] == [True, False]
    assert ["partitions[1]" in line for line in lines] == [False, True]


# The lookback


@pytest.mark.parametrize(
    ("stream", "days", "setting", "better"),
    [
        ("sms", 8, None, 16),
        ("sms", 8, 15.9, 16),
        ("sms", 15, 29, 30),
        ("voice_calls", 2.5, 0.5, 5),
    ],
)
def test_a_lookback_that_may_be_too_short_is_warned_about_with_what_to_set(
    simulator: SimulatorProcess, stream: str, days: float, setting: float | None, better: int
) -> None:
    """That is one of less than twice as long as an engagement was open, or even shorter."""
    conversation = engagement("long", BEGIN, BEGIN + days * DAY)
    explicit: dict[str, Any] = {f"explicit_{stream}": (conversation,)}
    simulator.replace(scenario(Account(id="one", **explicit)))
    settings: dict[str, Any] = {f"{stream}_lookback_days": setting}
    (warning,) = sync(simulator, **settings).check().logged("WARNING")
    assert f"{stream}: an engagement was open for {days:.1f} days" in warning
    assert f"{stream}_lookback_days ({setting or 14:g})" in warning
    assert f"set it to {better} or more" in warning
    settings = {f"{stream}_lookback_days": better}
    assert not sync(simulator, **settings).check().logged("WARNING")


@pytest.mark.parametrize("pause", [HOUR, DAY])
def test_a_resumed_sync_looks_back_as_far_as_its_stream_account_and_setting_say(
    simulator: SimulatorProcess, pause: timedelta
) -> None:
    names = [f"steady{number}" for number in range(8)]
    simulator.replace(scenario(*(Account(id=name) for name in names)))
    bookmark = dict.fromkeys(names, FIRST_RUN.isoformat())
    state = {"bookmarks": {**state_of("sms", bookmark), **state_of("voice_calls", bookmark)}}
    end = FIRST_RUN + pause
    sync(simulator, end, state=state, voice_calls_lookback_days=2.5).check()
    lookbacks = {"sms": 14 * DAY, "voice_calls": 2.5 * DAY}
    for stream in STREAMS:
        begins = [begin_after(FIRST_RUN, end, stream, name, lookbacks[stream]) for name in names]
        asked = [(query["from"][0], query["to"][0]) for query in requests_to(simulator, stream)]
        expected = [((begin - SECOND).isoformat(), end.isoformat()) for begin in begins]
        assert sorted(asked) == sorted(expected)
        assert len(set(begins)) > 2, "all accounts look back as far"


def test_the_lookback_reaches_14_hours_before_the_start_date_at_most(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="steady", sms=300)))
    state = {"bookmarks": state_of("sms", {"steady": FIRST_RUN.isoformat()})}
    end = FIRST_RUN + 30 * DAY
    sync(simulator, end, state=state, start_date=FIRST_RUN.isoformat()).check()
    assert oldest_asked(simulator) == FIRST_RUN - 14 * HOUR


# What is asked for


def test_without_a_start_date_a_new_account_is_read_from_28_days_ago(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="new")))
    run_tap(simulator.tap_config()).check()
    assert abs(oldest_asked(simulator) + 28 * DAY - datetime.now(timezone.utc)) < HOUR


def test_a_sync_of_idle_accounts_costs_one_request_a_stream_and_one_token(
    simulator: SimulatorProcess,
) -> None:
    names = [f"idle{number:03}" for number in range(200)]
    simulator.replace(scenario(*(Account(id=name) for name in names)))
    options: dict[str, Any] = {
        "start_date": (FIRST_RUN - 10 * DAY).isoformat(),
        "constants": replace(SHORT_WAITS, seconds_between_states=0.0),
    }
    first = sync(simulator, **options).check()
    second = sync(simulator, SECOND_RUN, state=first.state, **options).check()
    stats = simulator.stats()
    assert stats.tokens_issued == 1
    for stream in STREAMS:
        assert stats.requests[stream] == dict.fromkeys(names, 1)
        assert bookmarks(second.state, stream) == dict.fromkeys(names, SECOND_RUN.isoformat())
    assert stats.requests["accounts"] == {"": 1}
    # State holds every account, so it is written after ten windows without rows, and at the end.
    assert 40 <= len(second.states) < 50


# Bookmarks


def test_an_end_date_before_what_was_read_moves_no_bookmark_back_and_is_warned_about(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="ahead", sms=300, voice_calls=300)))
    first = sync(simulator, SECOND_RUN).check()
    assert not [line for line in first.logged("WARNING") if "end_date" in line]
    end = SECOND_RUN - 20 * DAY
    run = sync(simulator, SECOND_RUN, state=first.state, end_date=end.isoformat()).check()
    assert set(run.bookmarks.values()) == {SECOND_RUN.isoformat()}
    assert "sms" not in simulator.stats().requests, "there was nothing to read"
    for stream in STREAMS:
        (warning,) = [line for line in run.logged("WARNING") if f"{stream}: 1 of 1" in line]
        assert "end_date" in warning
        assert "a state of its own" in warning


def test_full_table_reads_everything_again_and_writes_no_bookmark(
    simulator: SimulatorProcess, discovered: dict[str, Any]
) -> None:
    simulator.replace(scenario(Account(id="full", sms=300, voice_calls=300)))
    catalog = selecting(discovered, ["sms"], replication_method="FULL_TABLE")
    earlier = {"full": (FIRST_RUN - 9 * DAY).isoformat()}
    for given, kept in ((None, {}), ({"bookmarks": state_of("sms", earlier)}, earlier)):
        run = sync(simulator, catalog=catalog, state=given).check()
        assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
        assert_nothing_twice("sms", run.records("sms"))
        assert not run.records("voice_calls")
        assert bookmarks(run.state or given or {}, "sms") == kept


# Rows


def test_rows_come_in_order_of_their_start_with_instants_in_utc(
    simulator: SimulatorProcess,
) -> None:
    readings = Readings(order="shuffled", sms_times="offset")
    simulator.replace(scenario(Account(id="one", sms=500, voice_calls=500), readings=readings))
    run = sync(simulator).check()
    for stream in STREAMS:
        starts = [row["start_time"] for row in run.records(stream)]
        assert starts == sorted(starts)
        assert all(start.endswith("+00:00") for start in starts)
        assert {row["account_id"] for row in run.records(stream)} == {"one"}

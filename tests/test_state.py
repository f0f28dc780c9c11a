"""A state of whatever origin is understood or refused: never lost, never believed blindly.

What is refused is in `test_refusals.py`; here is what must lead to a correct sync.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Clock, Refusal, Scenario
from tap_zoom_cc.input_schemas import state_mistakes
from tap_zoom_cc.sync.bookmarks import progress_of
from tests.harness.history import begin_after, requests_to
from tests.harness.rows import assert_complete, assert_same_rows
from tests.harness.singer import bookmarks, state_of
from tests.harness.tap import sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.harness.singer import State
    from tests.harness.tap import TapRun

DAY = timedelta(days=1)
BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
BOOKMARK = datetime(2024, 2, 1, tzinfo=timezone.utc)
NOW = datetime(2024, 2, 20, tzinfo=timezone.utc)


@pytest.fixture
def account(simulator: SimulatorProcess) -> SimulatorProcess:
    """Give the simulator with one account and 50 days of history."""
    simulator.replace(
        Scenario(
            accounts=(Account(id="one", sms=200, voice_calls=200),),
            history_begin=BEGIN,
            history_end=NOW - DAY,
            clock=Clock(now=NOW + 3 * DAY),
        )
    )
    return simulator


def read(simulator: SimulatorProcess, state: State) -> TapRun:
    return sync(simulator, state=state, end_date=NOW.isoformat())


def begin_after_the_bookmark() -> str:
    begin = begin_after(BOOKMARK, NOW, stream="sms", account_id="one", lookback=14 * DAY)
    return a_second_early(begin)


def a_second_early(begin: datetime) -> str:
    """Return what the first request of a sync asks for, which overlaps what was read before."""
    return (begin - timedelta(seconds=1)).isoformat()


def oldest_asked(simulator: SimulatorProcess) -> str:
    return min(query["from"][0] for query in requests_to(simulator, "sms"))


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"bookmarks": {}},
        {"bookmarks": {"sms": {}}},
        {"bookmarks": {"sms": {"partitions": []}}},
        {"bookmarks": {"sms": {"partitions": [{"context": {"account_id": "one"}}]}}},
        {"bookmarks": state_of("sms", {"another": BOOKMARK.isoformat()})},
        {"bookmarks": {"voice_calls": {}, "gone_stream": {"x": 1}}},
    ],
    ids=json.dumps,
)
def test_a_state_without_a_bookmark_of_the_account_reads_everything(
    account: SimulatorProcess, state: State
) -> None:
    assert_complete(account, read(account, state).check())


@pytest.mark.parametrize("value", ["2024-02-01", "2024-01-31T10:00:00.900000-14:00"])
def test_a_bookmark_is_an_instant_however_it_is_written(
    account: SimulatorProcess, value: str
) -> None:
    """`test_windows.py` has every form."""
    run = read(account, {"bookmarks": state_of("sms", {"one": value})}).check()
    begin = begin_after_the_bookmark()
    assert oldest_asked(account) == begin
    truth = [row for row in account.truth("sms") if row["start_time"] >= begin]
    assert_same_rows("sms", run.records("sms"), truth)


def left_over_by_a_killed_run() -> dict[str, Any]:
    """Return a state with all that the SDK writes into it while a run is going on."""
    state: dict[str, Any] = {"bookmarks": state_of("sms", {"one": BOOKMARK.isoformat()})}
    partition = state["bookmarks"]["sms"]["partitions"][0]
    partition["starting_replication_value"] = NOW.isoformat()
    partition["replication_key_signpost"] = BEGIN.isoformat()
    partition["progress_markers"] = {
        "Note": "Progress is not resumable if interrupted.",
        "replication_key": "start_time",
        "replication_key_value": NOW.isoformat(),
    }
    return state


@pytest.mark.parametrize(
    ("refusal", "bookmark"), [(None, NOW), (Refusal(), BOOKMARK)], ids=["read", "refused"]
)
def test_what_a_killed_run_of_the_sdk_left_over_does_not_move_a_bookmark(
    account: SimulatorProcess, refusal: Refusal | None, bookmark: datetime
) -> None:
    one = replace(account.scenario.accounts[0], sms_refusal=refusal)
    account.replace(replace(account.scenario, accounts=(one,)))
    run = read(account, left_over_by_a_killed_run()).check(1 if refusal else 0)
    if not refusal:
        assert oldest_asked(account) == begin_after_the_bookmark()
    assert bookmarks(run.state, "sms") == {"one": bookmark.isoformat()}
    assert "progress_markers" not in json.dumps(run.state)


def test_the_bookmark_of_an_account_that_is_not_read_stays(account: SimulatorProcess) -> None:
    others = {"one": BOOKMARK.isoformat(), "elsewhere": "2024-01-15T00:00:00+00:00"}
    run = read(account, {"bookmarks": state_of("sms", others)}).check()
    assert bookmarks(run.state, "sms") == {**others, "one": NOW.isoformat()}


def test_a_bookmark_a_few_minutes_ahead_is_a_clock_that_differs(
    account: SimulatorProcess,
) -> None:
    soon = (datetime.now(timezone.utc) + timedelta(minutes=10)).isoformat(timespec="seconds")
    run = read(account, {"bookmarks": state_of("sms", {"one": soon})}).check()
    assert bookmarks(run.state, "sms")["one"] == soon


def test_state_has_the_documented_form_and_given_again_it_changes_nothing(
    account: SimulatorProcess,
) -> None:
    run = read(account, {}).check()
    assert read(account, run.state).check().state["bookmarks"] == run.state["bookmarks"]
    for stream in STREAMS:
        expected = state_of(stream, {"one": NOW.isoformat()})
        last_end = max(datetime.fromisoformat(row["end_time"]) for row in run.records(stream))
        (partition,) = expected[stream]["partitions"]
        partition["quiet_since"] = last_end.isoformat()
        assert run.state["bookmarks"][stream] == expected[stream]


@pytest.mark.parametrize(
    "state",
    [
        {"replication_key": "end_time", "replication_key_value": "2024-02-01T00:00:00Z"},
        {"replication_key": "start_time", "replication_key_value": None},
        {},
        None,
    ],
)
def test_what_has_no_value_of_our_replication_key_is_no_bookmark(state: State | None) -> None:
    assert progress_of(state) is None


def given_rereads(**fields: str) -> State:
    state: State = {"bookmarks": state_of("sms", {"one": BOOKMARK.isoformat()})}
    state["bookmarks"]["sms"]["partitions"][0].update(fields)
    return state


def test_a_sync_goes_on_where_the_one_before_was_cut_short(account: SimulatorProcess) -> None:
    reread_to = BOOKMARK - 5 * DAY
    state = given_rereads(reread_to=reread_to.isoformat(), reread_at=NOW.isoformat())
    run = sync(account, state=state, end_date=(NOW + timedelta(minutes=5)).isoformat()).check()
    assert oldest_asked(account) == a_second_early(reread_to)
    assert "reread" not in json.dumps(run.state["bookmarks"]["sms"]), "it is over"


@pytest.mark.parametrize(
    "fields",
    [
        {"reread_to": "2024-01-27T00:00:00Z"},
        {"reread_at": "2024-02-20T00:00:00Z"},
        {"reread_to": "2024-02-11T00:00:00Z", "reread_at": "2024-02-20T00:00:00Z"},
    ],
    ids=["one is missing", "the other is missing", "the bookmark was set back"],
)
def test_a_reread_that_cannot_be_gone_on_with_begins_anew(
    account: SimulatorProcess, fields: dict[str, str]
) -> None:
    read(account, given_rereads(**fields)).check()
    assert oldest_asked(account) == begin_after_the_bookmark()


@pytest.mark.parametrize("name", ["reread_to", "reread_at", "quiet_since"])
@pytest.mark.parametrize("value", ["nonsense", 5, (NOW + DAY).isoformat()])
def test_what_state_holds_besides_the_bookmark_must_be_an_instant_that_has_been(
    name: str, value: str
) -> None:
    state = given_rereads(**{name: value})
    (line,) = state_mistakes(state, now=NOW)
    assert "partitions[0]" in line
    assert name in line


def test_problems_of_a_state_are_told_one_by_one() -> None:
    future = (NOW + DAY).isoformat()
    state = {
        "bookmarks": {
            **state_of("sms", {"one": "nonsense", "two": future}),
            **state_of("voice_calls", {"one": BOOKMARK.isoformat()}),
        }
    }
    lines = state_mistakes(state, now=NOW)
    assert len(lines) == 2
    assert "partitions[0]" in lines[0]
    assert "partitions[1]" in lines[1]

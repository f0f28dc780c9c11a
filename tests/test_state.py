"""A state of whatever origin is understood or refused: never lost, never believed blindly.

What is refused is in `test_refusals.py`; here is what must lead to a correct sync.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Refusal
from tap_zoom_cc.input_schemas import state_mistakes
from tap_zoom_cc.sync.bookmarks import progress_of
from tests.harness.history import BEGIN, DAY, begin_after, requests_to, scenario
from tests.harness.history import FIRST_RUN as NOW
from tests.harness.rows import assert_complete, assert_same_rows
from tests.harness.singer import bookmarks, state_of
from tests.harness.tap import sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.harness.singer import State

BOOKMARK = datetime(2024, 2, 1, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def zoom(simulator: SimulatorProcess) -> SimulatorProcess:
    """Give the simulator with one account and 50 days of history."""
    simulator.replace(scenario(Account(id="one", sms=200, voice_calls=200)))
    return simulator


def oldest_asked(zoom: SimulatorProcess) -> datetime:
    """Return from when a sync reads, whose first request begins a second earlier."""
    oldest = min(query["from"][0] for query in requests_to(zoom, "sms"))
    return datetime.fromisoformat(oldest) + timedelta(seconds=1)


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
    "starting_replication_value": NOW.isoformat(),
    "replication_key_signpost": BEGIN.isoformat(),
    "progress_markers": {
        "Note": "Progress is not resumable if interrupted.",
        "replication_key": "start_time",
        "replication_key_value": NOW.isoformat(),
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
    begin = begin_after(BOOKMARK, NOW, stream="sms", account_id="one", lookback=14 * DAY)
    assert oldest_asked(zoom) == begin
    asked = (begin - timedelta(seconds=1)).isoformat()
    truth = [row for row in zoom.truth("sms") if row["start_time"] >= asked]
    assert_same_rows("sms", run.records("sms"), truth)
    assert bookmarks(run.state, "sms") == {"one": NOW.isoformat(), **ELSEWHERE}
    partition = run.state["bookmarks"]["sms"]["partitions"][0]
    assert not {"progress_markers", "reread_to", "reread_at"} & partition.keys()


def test_a_sync_goes_on_where_the_one_before_was_cut_short(zoom: SimulatorProcess) -> None:
    reread_to = BOOKMARK - 5 * DAY
    state = state_with(reread_to=reread_to.isoformat(), reread_at=NOW.isoformat())
    run = sync(zoom, NOW + 5 * MINUTE, state=state).check()
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


def test_state_has_the_documented_form_and_given_again_it_changes_nothing(
    zoom: SimulatorProcess,
) -> None:
    run = sync(zoom).check()
    assert sync(zoom, state=run.state).check().state["bookmarks"] == run.state["bookmarks"]
    for stream in STREAMS:
        expected = state_of(stream, {"one": NOW.isoformat()})
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
@pytest.mark.parametrize("value", ["nonsense", (NOW + DAY).isoformat()])
def test_what_state_holds_besides_the_bookmark_must_be_an_instant_that_has_been(
    name: str, value: str
) -> None:
    (line,) = state_mistakes(state_with(**{name: value}), now=NOW)
    assert "partitions[0]" in line
    assert name in line


def test_problems_of_a_state_are_told_one_by_one() -> None:
    values = {"one": "nonsense", "two": (NOW + DAY).isoformat(), "three": BOOKMARK.isoformat()}
    lines = state_mistakes({"bookmarks": state_of("sms", values)}, now=NOW)
    assert ["partitions[0]" in line for line in lines] == [True, False]
    assert ["partitions[1]" in line for line in lines] == [False, True]

"""From run to run: nothing lost, nothing twice, no request too many, bookmarks that mean it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Readings
from tests.harness.history import (
    BEGIN,
    DAY,
    FIRST_RUN,
    HOUR,
    SECOND_RUN,
    begin_after,
    engagement,
    requests_to,
    scenario,
)
from tests.harness.rows import assert_nothing_twice, assert_same_rows
from tests.harness.singer import bookmarks, selecting, state_of
from tests.harness.tap import run_tap, sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess

SECOND = timedelta(seconds=1)


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
        options: dict[str, Any] = {"stream": stream, "lookback": lookbacks[stream]}
        begins = [begin_after(FIRST_RUN, end, account_id=name, **options) for name in names]
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
    oldest = min(query["from"][0] for query in requests_to(simulator, "sms"))
    assert oldest == (FIRST_RUN - 14 * HOUR - SECOND).isoformat()


# What is asked for


def test_without_a_start_date_a_new_account_is_read_from_28_days_ago(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="new")))
    run_tap(simulator.tap_config()).check()
    (query,) = requests_to(simulator, "sms")
    began = datetime.fromisoformat(query["from"][0])
    assert abs(began + 28 * DAY - datetime.now(timezone.utc)) < HOUR


def test_a_sync_of_idle_accounts_costs_one_request_a_stream_and_one_token(
    simulator: SimulatorProcess,
) -> None:
    names = [f"idle{number:03}" for number in range(200)]
    simulator.replace(scenario(*(Account(id=name) for name in names)))
    start_date = (FIRST_RUN - 10 * DAY).isoformat()
    first = sync(simulator, start_date=start_date).check()
    second = sync(simulator, SECOND_RUN, state=first.state, start_date=start_date).check()
    stats = simulator.stats()
    assert stats.tokens_issued == 1
    for stream in STREAMS:
        assert stats.requests[stream] == dict.fromkeys(names, 1)
        assert bookmarks(second.state, stream) == dict.fromkeys(names, SECOND_RUN.isoformat())
    assert stats.requests["accounts"] == {"": 1}
    assert len(second.states) < 20, "state holds every account, so it must be written rarely"


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

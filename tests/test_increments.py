"""From run to run: nothing lost, nothing twice, no request too many, bookmarks that mean it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Readings, Scenario
from tests.harness.history import (
    BEGIN,
    DAY,
    FIRST_RUN,
    HOUR,
    SECOND_RUN,
    accounts_asked,
    begin_after,
    engagement,
    requests_to,
    scenario,
)
from tests.harness.rows import (
    assert_nothing_twice,
    assert_same_rows,
    by_key,
)
from tests.harness.singer import bookmarks, selecting, state_of
from tests.harness.tap import run_tap, sync

SECOND = timedelta(seconds=1)

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess


# Two syncs


def test_a_lookback_that_is_too_short_is_warned_about_before_it_loses_rows(
    simulator: SimulatorProcess,
) -> None:
    """What is open for longer than the lookback, an hour and the 14 of the zones is missed."""
    lookback = DAY / 2
    too_long = lookback + HOUR + 14 * HOUR + 33 * HOUR
    calls = (
        engagement("long", BEGIN, BEGIN + too_long),
        engagement("open-in-the-first-run", FIRST_RUN + HOUR - too_long, FIRST_RUN + HOUR),
    )
    simulator.replace(scenario(Account(id="late", explicit_voice_calls=calls)))
    first = sync(simulator, voice_calls_lookback_days=0.5).check()
    second = sync(simulator, SECOND_RUN, state=first.state, voice_calls_lookback_days=0.5).check()
    (warning,) = [line for line in first.logged("WARNING") if "voice_calls" in line]
    assert "open for 2.5 days" in warning
    assert "voice_calls_lookback_days (0.5)" in warning
    assert "set it to 5 or more" in warning
    rows = by_key("voice_calls", [*first.records("voice_calls"), *second.records("voice_calls")])
    assert rows.keys() == {("late", "long-0000000000")}


@pytest.mark.parametrize(("days", "setting"), [(8, None), (8, 15.9), (15, 29)])
def test_an_engagement_open_for_more_than_half_of_the_lookback_is_warned_about_with_what_to_set(
    simulator: SimulatorProcess, days: int, setting: float | None
) -> None:
    conversation = engagement("long", BEGIN, BEGIN + days * DAY)
    simulator.replace(scenario(Account(id="one", explicit_sms=(conversation,))))
    (warning,) = sync(simulator, sms_lookback_days=setting).check().logged("WARNING")
    assert f"sms: an engagement was open for {days}.0 days" in warning
    assert f"more than half of sms_lookback_days ({setting or 14:g})" in warning
    assert f"set it to {2 * days} or more" in warning
    assert not sync(simulator, sms_lookback_days=2 * days).check().logged("WARNING")


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
        asked = [(query["from"][0], query["to"][0]) for query in requests_to(simulator, stream)]
        begins = [
            (
                begin_after(
                    FIRST_RUN, end, stream=stream, account_id=name, lookback=lookbacks[stream]
                )
                - SECOND
            ).isoformat()
            for name in names
        ]
        assert sorted(asked) == sorted((begin, end.isoformat()) for begin in begins)
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


def test_without_a_start_date_a_new_account_is_read_from_28_days_ago(
    simulator: SimulatorProcess,
) -> None:
    now = datetime.now(timezone.utc)
    simulator.replace(
        Scenario(
            accounts=(Account(id="new", sms=100, voice_calls=100),),
            history_begin=now - 60 * DAY,
            history_end=now - DAY,
        )
    )
    run = run_tap(simulator.tap_config()).check()
    oldest = {query["from"][0] for query in requests_to(simulator, "sms")}
    assert len(oldest) == 1
    began = datetime.fromisoformat(oldest.pop())
    assert abs(began - (now - 28 * DAY)) < HOUR
    truth = [
        row for row in simulator.truth("sms") if datetime.fromisoformat(row["start_time"]) >= began
    ]
    assert_same_rows("sms", run.records("sms"), truth)


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


def test_accounts_with_the_oldest_bookmark_come_first(simulator: SimulatorProcess) -> None:
    simulator.replace(
        scenario(*(Account(id=name, sms=5) for name in ("newest", "oldest", "never", "middle")))
    )
    ages = {"newest": 1, "oldest": 9, "middle": 5}
    values = {name: (FIRST_RUN - days * DAY).isoformat() for name, days in ages.items()}
    state = {"bookmarks": state_of("sms", values)}
    sync(simulator, state=state, max_concurrency=1).check()
    order = list(dict.fromkeys(accounts_asked(simulator, "sms")))
    assert order == ["never", "oldest", "middle", "newest"]


# Full table


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


# What is asked for


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

"""An account that is quiet rests (``quiet_accounts_hours``): the rule, and the command line.

The simulator tells its time here, so that it is the tap's present, and no ``end_date`` is needed.
What follows when runs are killed or fail meanwhile or have a budget is in `test_properties.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Clock, Refusal, Scenario
from tap_zoom_cc.sync.bookmarks import (
    in_order,
    is_at_rest,
    lag_of,
    longest_rest,
    rest_of,
    silent_from,
)
from tap_zoom_cc.sync.windows import MINUTE, SECOND, Window
from tests import test_unmapped_values as unmapped
from tests.harness.history import BEGIN, DAY, HOUR, accounts_asked
from tests.harness.singer import all_partitions, selecting, state_of
from tests.harness.tap import run_tap, sync
from tests.test_report import gauges

if TYPE_CHECKING:
    from datetime import timedelta

    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun
    from tests.harness.singer import State

NOW = BEGIN + 40 * DAY
"""Up to here all accounts were read."""

SILENCE = 16 * HOUR
REST = 2 * HOUR
"""An eighth of the silence."""

LONGEST = 6 * HOUR
LATE = datetime(2100, 1, 1, tzinfo=NOW.tzinfo)


def state(bookmarks: dict[str, datetime], quiet_since: dict[str, datetime]) -> State:
    """Return a state in which both streams of some accounts were read, and silent from then on."""
    found: State = {"bookmarks": {}}
    for stream in STREAMS:
        texts = {name: instant.isoformat() for name, instant in bookmarks.items()}
        found["bookmarks"] |= state_of(stream, texts)
    for (_, account_id), partition in all_partitions(found).items():
        partition["quiet_since"] = quiet_since[account_id].isoformat()
    return found


STATE = state(
    {"quiet": NOW, "busy": NOW}, quiet_since={"quiet": NOW - SILENCE, "busy": NOW - MINUTE}
)
PARTITION = all_partitions(STATE)["sms", "quiet"]


# The rule


@pytest.mark.parametrize(
    ("silence", "rest"),
    [
        (16 * HOUR, 2 * HOUR),
        (48 * HOUR, 6 * HOUR),
        (49 * HOUR, 6 * HOUR),
        (HOUR, 7.5 * MINUTE),
        (-HOUR, 0 * HOUR),
        (None, 0 * HOUR),
    ],
    ids=str,
)
def test_a_rest_is_an_eighth_of_the_silence_and_at_most_the_setting(
    silence: timedelta | None, rest: timedelta
) -> None:
    """There is none where nobody knows from when an account is silent."""
    assert rest_of(NOW, None if silence is None else NOW - silence, LONGEST) == rest


def test_silence_begins_with_the_latest_end_that_was_seen() -> None:
    window = Window(NOW - DAY, NOW)
    end = NOW + HOUR
    assert silent_from(None, window, None, end=end) == NOW - DAY, "nothing has been seen yet"
    assert silent_from(None, window, NOW - HOUR, end=end) == NOW - HOUR
    assert silent_from(NOW - 2 * DAY, window, None, end=end) == NOW - 2 * DAY
    assert silent_from(NOW - 2 * DAY, window, NOW - HOUR, end=end) == NOW - HOUR
    assert silent_from(NOW - HOUR, window, NOW - 2 * HOUR, end=end) == NOW - HOUR, "found late"
    assert silent_from(NOW - HOUR, window, LATE, end=end) == end, "an end that cannot be"


@pytest.mark.parametrize(
    ("end_date", "rest"), [(None, LONGEST), (NOW + SECOND, LONGEST), (NOW, 0 * HOUR)]
)
def test_nothing_rests_when_the_end_date_has_passed(
    end_date: datetime | None, rest: timedelta
) -> None:
    assert longest_rest(LONGEST, end_date=end_date, now=NOW) == rest


REREAD = {"reread_to": (NOW - HOUR).isoformat(), "reread_at": NOW.isoformat()}


@pytest.mark.parametrize(
    ("partition", "after", "rests"),
    [
        (PARTITION, REST - SECOND, True),
        (PARTITION, REST, False),
        (PARTITION | REREAD, MINUTE, False),
        (PARTITION | {"quiet_since": (NOW + MINUTE).isoformat()}, 0 * HOUR, False),
        (PARTITION, -HOUR, True),
        (None, MINUTE, False),
    ],
    ids=["at rest", "rested", "cut short before", "set back", "by a clock that is behind", "new"],
)
def test_an_account_is_at_rest_to_the_second_if_it_was_read_whole_and_is_silent(
    partition: dict[str, str] | None, after: timedelta, *, rests: bool
) -> None:
    assert is_at_rest(partition, LONGEST, end=NOW + after) == rests


def test_accounts_come_in_order_of_how_long_they_wait() -> None:
    (busy,) = state_of("sms", {"busy": (NOW + HOUR).isoformat()})["sms"]["partitions"]
    states = {"rested": PARTITION, "busy": busy}
    assert in_order(["rested", "busy", "new"], states, LONGEST) == ["new", "busy", "rested"]


@pytest.mark.parametrize(("after", "behind"), [(-HOUR, 0), (DAY, 0), (DAY + SECOND, 1)])
def test_an_account_is_behind_a_day_after_its_rest_has_ended(after: timedelta, behind: int) -> None:
    lag = lag_of({"quiet": PARTITION}, end=NOW + REST + after, longest_rest=LONGEST)
    assert len(lag.behind) == behind
    assert lag.age == max(after, 0 * HOUR)


# Through the command line


@pytest.mark.parametrize(
    ("end", "quiet_since"),
    [("2024-01-03", "2024-01-03"), ("soon", "2024-01-20"), ("2024-01-01", "2024-01-02")],
    ids=["an end", "none", "an end before the start"],
)
def test_an_engagement_without_an_end_counts_as_its_windows_end(end: str, quiet_since: str) -> None:
    row = unmapped.engagement(f'"end_time": "{end}T00:00:00Z"'.encode())
    with unmapped.zoom(sms=[row]) as config:
        state = run_tap(config).check().state
    assert all_partitions(state)["sms", "account"]["quiet_since"].startswith(quiet_since)


def zoom_of(*accounts: Account) -> Scenario:
    return Scenario(
        accounts=accounts or (Account(id="quiet"), Account(id="busy")),
        history_begin=BEGIN,
        history_end=NOW + 10 * DAY,
        clock=Clock(now=NOW, told=True),
    )


@pytest.fixture
def zoom(simulator: SimulatorProcess) -> SimulatorProcess:
    """Give a simulator with an account that is quiet, and one that is not."""
    simulator.replace(zoom_of())
    return simulator


def load(
    zoom: SimulatorProcess,
    after: timedelta,
    given: State = STATE,
    **options: Any,  # noqa: ANN401 (those of `sync`)
) -> TapRun:
    """Sync so long after `NOW`."""
    return sync(zoom, NOW + after, state=given, **{"quiet_accounts_hours": 6, **options})


def asked(zoom: SimulatorProcess) -> set[str | None]:
    """Return who was asked, which is the same in both streams."""
    sms, voice_calls = (set(accounts_asked(zoom, stream)) for stream in STREAMS)
    assert sms == voice_calls
    return sms


def test_an_account_that_rests_is_not_asked_and_its_state_stays(zoom: SimulatorProcess) -> None:
    run = load(zoom, REST - SECOND).check()
    assert asked(zoom) == {"busy"}
    for stream in STREAMS:
        assert all_partitions(run.state)[stream, "quiet"] == all_partitions(STATE)[stream, "quiet"]
        assert run.bookmarks[stream, "busy"] == (NOW + REST - SECOND).isoformat()


def test_a_run_in_which_all_rest_is_well(zoom: SimulatorProcess) -> None:
    both = ("quiet", "busy")
    given = state(dict.fromkeys(both, NOW), dict.fromkeys(both, NOW - SILENCE))
    run = load(zoom, MINUTE, given).check()
    assert asked(zoom) == set()
    assert run.state["bookmarks"] == given["bookmarks"] | {"sub_accounts": {}}
    assert any("sms: 2 accounts (2 at rest), nothing to read" in line for line in run.lines)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"busy"}),
        ({"quiet_accounts_hours": None}, {"busy", "quiet"}),
        ({"quiet_accounts_hours": 1}, {"busy", "quiet"}),
        ({"end_date": (NOW + MINUTE).isoformat()}, {"busy", "quiet"}),
        ({"end_date": "2100-01-01"}, {"busy"}),
    ],
    ids=["", "the default", "a setting that is shorter now", "an end in the past", "to come"],
)
def test_who_rests_follows_from_the_settings_of_the_run(
    zoom: SimulatorProcess, settings: dict[str, Any], expected: set[str]
) -> None:
    run = load(zoom, HOUR, **settings).check()
    assert asked(zoom) == expected
    assert not any("end_date" in line for line in run.logged("WARNING"))


def test_nothing_rests_with_full_table(zoom: SimulatorProcess, discovered: dict[str, Any]) -> None:
    catalog = selecting(discovered, list(STREAMS), replication_method="FULL_TABLE")
    load(zoom, HOUR, catalog=catalog).check()
    assert asked(zoom) == {"busy", "quiet"}


def test_under_a_budget_busy_accounts_come_before_those_whose_rest_has_just_ended(
    zoom: SimulatorProcess, discovered: dict[str, Any]
) -> None:
    """The quiet one has the older bookmark, but waits for a minute only."""
    later = NOW + 2 * HOUR
    given = state(
        {"quiet": NOW, "busy": later},
        {"quiet": NOW - 8 * (3 * HOUR - MINUTE), "busy": later - MINUTE},
    )
    options: dict[str, Any] = {
        "catalog": selecting(discovered, ["sms"]),
        "max_concurrency": 1,
        "max_requests_per_run": 1,
    }
    load(zoom, 3 * HOUR, given, **options).check()
    assert accounts_asked(zoom, "sms") == ["busy"]
    load(zoom, 3 * HOUR, given, quiet_accounts_hours=0, **options).check()
    assert accounts_asked(zoom, "sms") == ["quiet"]


def test_an_account_at_rest_counts_as_readable_when_all_others_refuse(
    simulator: SimulatorProcess,
) -> None:
    """Filters that no account knows fail the run, once all have rested."""
    unknown = Refusal(status=404, code=1001, message="User does not exist.")
    refusing = Account(id="quiet", sms_refusal=unknown, voice_calls_refusal=unknown)
    simulator.replace(zoom_of(refusing, replace(refusing, id="busy")))
    settings: dict[str, Any] = {f"{stream}_filters": {"direction": "inbound"} for stream in STREAMS}
    run = load(simulator, REST - MINUTE, **settings).check()
    assert asked(simulator) == {"busy"}
    assert set(run.bookmarks.values()) == {NOW.isoformat()}
    run = load(simulator, REST, run.state, **settings).check(1)
    assert asked(simulator) == {"quiet", "busy"}
    assert any("not one account could be read" in line for line in run.logged("ERROR"))


def test_what_rests_is_told_and_not_called_behind_before_its_time(
    simulator: SimulatorProcess,
) -> None:
    """By this machine's clock: a day and a half lie on either side of every instant."""
    now = datetime.now(NOW.tzinfo).replace(microsecond=0)
    accounts = [Account(id=name, sms_refusal=Refusal(status=500)) for name in ("rests", "waits")]
    simulator.replace(Scenario(accounts=(*accounts, Account(id="busy"))))
    waited = {"rests": 3 * DAY, "another worker's": 3 * DAY, "waits": 3 * DAY, "busy": HOUR}
    silent = {"rests": 90 * DAY, "another worker's": 90 * DAY, "waits": 7 * DAY, "busy": 2 * HOUR}
    given = state(
        {name: now - time for name, time in waited.items()},
        {name: now - time for name, time in silent.items()},
    )
    own: dict[str, Any] = {"sub_account_ids": ["rests", "waits", "busy"], "start_date": None}
    run = sync(simulator, state=given, quiet_accounts_hours=168, **own).check(1)
    points = gauges(run)
    assert points["accounts_at_rest"]["value"] == 1
    assert points["accounts_behind"]["value"] == 1, "the one that has waited since its rest ended"
    assert 2 * DAY < points["oldest_bookmark_age"]["value"] * SECOND < 3 * DAY
    assert points["oldest_bookmark_age"]["tags"]["context"] == {"account_id": "waits"}
    (line,) = [line for line in run.lines if "Summary of sms: " in line]
    assert " of 3 accounts, 0 skipped, 1 at rest, 1 behind by more than a day, " in line
    told = sync(simulator, state=given, **own).check(1)
    assert gauges(told)["accounts_behind"]["value"] == 2
    assert "accounts_at_rest" not in gauges(told)
    assert "at rest" not in told.stderr

"""An account that is quiet rests: ``quiet_accounts_hours``, through the command line.

The simulator tells its time here, so that it is the tap's present, and no ``end_date`` is needed.
What state says of a silence, and what follows when runs are killed or fail meanwhile, is in
`test_properties.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Clock, Refusal, Scenario
from tests.harness.history import BEGIN, DAY, HOUR, accounts_asked
from tests.harness.singer import all_partitions, bookmarks, selecting, state_of
from tests.harness.tap import run_tap, settings_for, sync
from tests.test_report import gauges

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.harness.singer import State
    from tests.harness.tap import TapRun

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
NOW = BEGIN + 40 * DAY
"""Up to here all accounts were read."""

SILENCE = 16 * HOUR
REST = 2 * HOUR
"""An eighth of the silence."""

QUIET, BUSY = "quiet", "busy"


# Resting


def partition(*, silence: timedelta | None = SILENCE, **fields: str) -> dict[str, str]:
    """Return what state says of an account that was read up to `NOW` and was silent before."""
    if silence is not None:
        fields["quiet_since"] = (NOW - silence).isoformat()
    return fields


def state(**fields: dict[str, str]) -> State:
    """Return a state in which both streams of the accounts were read up to `NOW`."""
    found: State = {"bookmarks": {}}
    for stream in STREAMS:
        found["bookmarks"].update(state_of(stream, dict.fromkeys(fields, NOW.isoformat())))
    for (_, account_id), partition in all_partitions(found).items():
        partition.update(fields[account_id])
    return found


STATE = state(quiet=partition(), busy=partition(silence=MINUTE))


def zoom_of(*accounts: Account, **options: Any) -> Scenario:  # noqa: ANN401 (Scenario's)
    return Scenario(
        accounts=accounts or (Account(id=QUIET), Account(id=BUSY)),
        history_begin=BEGIN,
        history_end=NOW + 10 * DAY,
        **{"clock": Clock(now=NOW, told=True), **options},
    )


@pytest.fixture
def zoom(simulator: SimulatorProcess) -> SimulatorProcess:
    """Give a simulator with an account that is quiet, and one that is not."""
    simulator.replace(zoom_of())
    return simulator


def load(
    zoom: SimulatorProcess,
    after: timedelta,
    given: State | None = STATE,
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
    assert asked(zoom) == {BUSY}
    for stream in STREAMS:
        assert all_partitions(run.state)[stream, QUIET] == all_partitions(STATE)[stream, QUIET]
        assert run.bookmarks[stream, BUSY] == (NOW + REST - SECOND).isoformat()


def test_a_run_in_which_all_rest_is_well(zoom: SimulatorProcess) -> None:
    given = state(quiet=partition(), busy=partition())
    run = load(zoom, MINUTE, given).check()
    assert asked(zoom) == set()
    assert run.state["bookmarks"] == given["bookmarks"] | {"sub_accounts": {}}
    assert any("sms: 2 accounts (2 at rest), nothing to read" in line for line in run.lines)


@pytest.mark.parametrize(
    "fields",
    [
        partition(silence=None),
        partition(silence=MINUTE),
        partition(silence=-MINUTE),
        partition(reread_to=(NOW - HOUR).isoformat(), reread_at=NOW.isoformat()),
    ],
    ids=["no silence known", "not silent", "the bookmark was set back", "cut short before"],
)
def test_nothing_rests_but_what_was_read_whole_and_is_silent(
    zoom: SimulatorProcess, fields: dict[str, str]
) -> None:
    load(zoom, HOUR, state(quiet=fields, busy=fields)).check()
    assert asked(zoom) == {BUSY, QUIET}


def test_an_account_that_is_new_and_one_that_is_back_after_weeks_are_asked(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(zoom_of(Account(id=QUIET), Account(id="new")))
    load(simulator, 14 * DAY, state(quiet=partition(silence=30 * DAY))).check()
    assert asked(simulator) == {QUIET, "new"}


@pytest.mark.parametrize(
    ("settings", "after", "expected"),
    [
        ({}, REST, {BUSY, QUIET}),
        ({"quiet_accounts_hours": None}, MINUTE, {BUSY, QUIET}),
        ({"quiet_accounts_hours": 1}, HOUR, {BUSY, QUIET}),
        ({"quiet_accounts_hours": 168}, HOUR, {BUSY}),
        ({"end_date": (NOW + MINUTE).isoformat()}, HOUR, {BUSY, QUIET}),
        ({"end_date": "2100-01-01"}, HOUR, {BUSY}),
    ],
    ids=[
        "it has rested",
        "the default",
        "a setting that is shorter now",
        "one that is longer now",
        "an end in the past",
        "an end to come",
    ],
)
def test_who_rests_follows_from_the_settings_of_the_run(
    zoom: SimulatorProcess, settings: dict[str, Any], after: timedelta, expected: set[str]
) -> None:
    run = load(zoom, after, **settings).check()
    assert asked(zoom) == expected
    assert not any("end_date" in line for line in run.logged("WARNING"))


def test_nothing_rests_with_full_table(zoom: SimulatorProcess, discovered: dict[str, Any]) -> None:
    catalog = selecting(discovered, list(STREAMS))
    for entry in catalog["streams"]:
        entry["replication_method"] = "FULL_TABLE"
    load(zoom, HOUR, catalog=catalog).check()
    assert asked(zoom) == {BUSY, QUIET}


def test_a_worker_knows_only_what_rests_of_its_own_accounts(zoom: SimulatorProcess) -> None:
    run = load(zoom, HOUR, sub_account_ids=[QUIET]).check()
    assert asked(zoom) == set()
    assert " of 1 account, 0 skipped, 1 at rest, " in summary(run, "sms")
    run = load(zoom, HOUR, sub_account_ids=[BUSY]).check()
    assert asked(zoom) == {BUSY}
    assert " of 1 account, 0 skipped, 0 at rest, " in summary(run, "sms")
    assert gauges(run)["accounts_at_rest"]["value"] == 0


def test_reconcile_counts_what_rests(zoom: SimulatorProcess) -> None:
    day = f"{BEGIN:%Y-%m-%d}/{BEGIN + DAY:%Y-%m-%d}"
    run_tap(
        settings_for(zoom, quiet_accounts_hours=6), state=STATE, arguments=[f"--reconcile={day}"]
    ).check()
    assert asked(zoom) == {BUSY, QUIET}


def summary(run: TapRun, stream: str) -> str:
    (line,) = [line for line in run.lines if f"Summary of {stream}: " in line]
    return line


# With all else


def test_under_a_budget_busy_accounts_come_before_those_whose_rest_has_just_ended(
    simulator: SimulatorProcess, discovered: dict[str, Any]
) -> None:
    """The quiet one has the older bookmark, but waits for a minute only."""
    simulator.replace(zoom_of(Account(id="busy"), Account(id="rested")))
    given = state(busy=partition(silence=MINUTE), rested=partition(silence=8 * (3 * HOUR - MINUTE)))
    all_partitions(given)["sms", "busy"] |= {
        "replication_key_value": (NOW + 2 * HOUR).isoformat(),
        "quiet_since": (NOW + 2 * HOUR - MINUTE).isoformat(),
    }
    options: dict[str, Any] = {
        "catalog": selecting(discovered, ["sms"]),
        "max_concurrency": 1,
        "max_requests_per_run": 1,
    }
    load(simulator, 3 * HOUR, given, **options).check()
    assert accounts_asked(simulator, "sms") == ["busy"]
    load(simulator, 3 * HOUR, given, quiet_accounts_hours=0, **options).check()
    assert accounts_asked(simulator, "sms") == ["rested"]


def test_a_budget_serves_all_though_some_rest(simulator: SimulatorProcess) -> None:
    """Every account is asked within the setting and the runs that the budget takes for all."""
    names = [f"account{number}" for number in range(8)]
    simulator.replace(zoom_of(*(Account(id=name) for name in names)))
    given: State = state(**{name: partition(silence=30 * DAY) for name in names})
    last = dict.fromkeys(names, NOW)
    for hour in range(1, 20):
        run = load(simulator, hour * HOUR, given, max_requests_per_run=4, max_concurrency=1)
        given = run.check().state
        for stream in STREAMS:
            assert len(accounts_asked(simulator, stream)) <= 2
        last |= {str(name): NOW + hour * HOUR for name in accounts_asked(simulator, "sms")}
        assert min(last.values()) >= NOW + (hour - 6 - 4) * HOUR


def test_an_account_that_could_not_be_read_does_not_rest_until_it_is(
    simulator: SimulatorProcess,
) -> None:
    sick = Account(
        id=QUIET, sms_refusal=Refusal(status=500), voice_calls_refusal=Refusal(status=500)
    )
    simulator.replace(zoom_of(sick, Account(id=BUSY)))
    given = STATE
    for number in range(2):
        given = load(simulator, REST + number * MINUTE, given).check(1).state
        assert QUIET in accounts_asked(simulator, "sms")
        assert bookmarks(given, "sms")[QUIET] == NOW.isoformat()


def test_an_account_at_rest_counts_as_readable_when_all_others_refuse(
    simulator: SimulatorProcess,
) -> None:
    """Filters that no account knows fail the run, once all have rested."""
    unknown = Refusal(status=404, code=1001, message="User does not exist.")
    refusing = Account(id=QUIET, sms_refusal=unknown, voice_calls_refusal=unknown)
    simulator.replace(zoom_of(refusing, replace(refusing, id=BUSY)))
    settings: dict[str, Any] = {f"{stream}_filters": {"direction": "inbound"} for stream in STREAMS}
    run = load(simulator, REST - MINUTE, **settings).check()
    assert asked(simulator) == {BUSY}
    assert set(run.bookmarks.values()) == {NOW.isoformat()}
    run = load(simulator, REST, run.state, **settings).check(1)
    assert asked(simulator) == {QUIET, BUSY}
    assert any("not one account could be read" in line for line in run.logged("ERROR"))


# What is told


def test_what_rests_is_told_and_not_called_behind_before_its_time(
    simulator: SimulatorProcess,
) -> None:
    """By this machine's clock: a day and a half lie on either side of every instant."""
    now = datetime.now(NOW.tzinfo).replace(microsecond=0)
    accounts = [Account(id=name, sms_refusal=Refusal(status=500)) for name in ("rests", "waits")]
    simulator.replace(Scenario(accounts=(*accounts, Account(id="busy"))))
    waited = {"rests": now - 3 * DAY, "waits": now - 3 * DAY, "busy": now - HOUR}
    since = {"rests": now - 90 * DAY, "waits": now - 7 * DAY, "busy": now - 2 * HOUR}
    given: State = {"bookmarks": {}}
    for stream in STREAMS:
        texts = {name: instant.isoformat() for name, instant in waited.items()}
        given["bookmarks"].update(state_of(stream, texts))
    for (_, account_id), partition in all_partitions(given).items():
        partition["quiet_since"] = since[account_id].isoformat()
    run = sync(simulator, state=given, start_date=None, quiet_accounts_hours=168).check(1)
    values = {name: point["value"] for name, point in gauges(run).items()}
    assert values["accounts_at_rest"] == 1
    assert values["accounts_behind"] == 1, "the one that has waited since its rest ended"
    assert 2 * DAY < values["oldest_bookmark_age"] * SECOND < 3 * DAY
    assert gauges(run)["oldest_bookmark_age"]["tags"]["context"] == {"account_id": "waits"}
    assert " of 3 accounts, 0 skipped, 1 at rest, 1 behind by more than a day, oldest" in summary(
        run, "sms"
    ).replace(f"newest {now}", "")
    told = sync(simulator, state=given, start_date=None).check(1)
    assert gauges(told)["accounts_behind"]["value"] == 2
    assert "accounts_at_rest" not in gauges(told)
    assert "at rest" not in told.stderr

"""Every way in which the simulator misbehaves, and what the design promises for it.

A fault that passes leaves no trace but in the log: the run ends with exit code 0 and everything is
there. One that stays is named, moves no bookmark, and ends with exit code 1, unless it is harmless.
"""

from __future__ import annotations

import enum
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

import pytest

from simulator.scenario import STREAMS, Account, Clock, Fault, FaultKind, Limits, Scenario
from tests.harness.constants import NO_PATIENCE, SHORT_WAITS
from tests.harness.rows import assert_complete, truth_of
from tests.harness.tap import sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from simulator.process import SimulatorProcess
    from simulator.scenario import Endpoint
    from tests.harness.constants import Constants
    from tests.harness.singer import State
    from tests.harness.tap import TapRun

SICK, SOUND = "SickAccount", "SoundAccount"
BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
EARLIER = datetime(2024, 1, 10, tzinfo=timezone.utc)
NOW = datetime(2024, 1, 20, tzinfo=timezone.utc)
PLACES: set[tuple[str, str]] = {
    (stream, account_id) for stream in STREAMS for account_id in (SICK, SOUND)
}

SCENARIO = Scenario(
    accounts=(
        # More than two pages, half of them since the run before.
        Account(id=SICK, sms=90, voice_calls=10),
        Account(id=SOUND, sms=10, voice_calls=24),
    ),
    history_begin=BEGIN,
    history_end=NOW - timedelta(days=3),
    clock=Clock(now=NOW),
)
SMALL_PAGES = replace(SHORT_WAITS, page_size=20)
IMPATIENT = replace(NO_PATIENCE, page_size=20)
SETTINGS: Mapping[str, Any] = {"sub_account_ids": [SICK, SOUND], "max_concurrency": 2}


class Fate(enum.Enum):
    """What becomes of a run when one account answers with a fault again and again."""

    ALL_IS_READ = "all is read"
    ACCOUNT_FAILS = "the account fails, the others are read"
    ROWS_MISS = "the rows that came are emitted, then the account fails"
    READ_OR_NAMED = "all is read in the end, or the account fails"
    RUN_ENDS = "the run ends"


FATES: dict[FaultKind, Fate] = {
    "429_per_second": Fate.ACCOUNT_FAILS,
    "429_daily": Fate.RUN_ENDS,
    "500_json": Fate.ACCOUNT_FAILS,
    "500_html": Fate.ACCOUNT_FAILS,
    "502_html": Fate.ACCOUNT_FAILS,
    "503_json": Fate.ACCOUNT_FAILS,
    "503_html": Fate.ACCOUNT_FAILS,
    "reset_before_body": Fate.ACCOUNT_FAILS,
    "reset_inside_body": Fate.ACCOUNT_FAILS,
    "truncated_json": Fate.ACCOUNT_FAILS,
    "byte_order_mark": Fate.ALL_IS_READ,
    "invalid_json": Fate.ACCOUNT_FAILS,
    "slow": Fate.ACCOUNT_FAILS,
    "401_code_124": Fate.ACCOUNT_FAILS,
    "401_status_false": Fate.ACCOUNT_FAILS,
    "access_token_expired": Fate.ACCOUNT_FAILS,
    "account_refuses": Fate.ACCOUNT_FAILS,
    "redirect": Fate.ACCOUNT_FAILS,
    "page_token_expired": Fate.ACCOUNT_FAILS,
    "page_token_repeated": Fate.ROWS_MISS,
    "page_repeated": Fate.ROWS_MISS,
    "token_after_last_page": Fate.ALL_IS_READ,
    "missing_next_page_token": Fate.ALL_IS_READ,
    "missing_total_records": Fate.ALL_IS_READ,
    "total_too_high": Fate.ROWS_MISS,
    "total_too_low": Fate.ALL_IS_READ,
    "duplicate_rows": Fate.ALL_IS_READ,
    "rows_shift": Fate.READ_OR_NAMED,
    "new_field": Fate.ALL_IS_READ,
    "null_fields": Fate.ALL_IS_READ,
    "wrong_type": Fate.ALL_IS_READ,
    "other_value": Fate.ALL_IS_READ,
    "missing_engagement_id": Fate.ACCOUNT_FAILS,
}

NEVER_PASSES: frozenset[FaultKind] = frozenset({"429_daily", "redirect", "account_refuses"})
"""Kinds after which nothing is tried again: the next run does that."""

CHANGES_VALUES: frozenset[FaultKind] = frozenset({"null_fields", "wrong_type", "other_value"})


@pytest.fixture
def zoom(simulator: SimulatorProcess) -> SimulatorProcess:
    simulator.replace(SCENARIO)
    return simulator


def _fault(kind: FaultKind, **when: object) -> Fault:
    return replace(Fault(kind=kind, endpoint="sms", account_id=SICK, seconds=600), **when)  # type: ignore[arg-type]


def _sync(
    zoom: SimulatorProcess,
    *faults: Fault,
    state: State | None = None,
    constants: Constants = SMALL_PAGES,
    **settings: object,
) -> TapRun:
    """Read both accounts of a Zoom that has these faults."""
    zoom.replace(replace(zoom.scenario, faults=faults))
    if any(fault.kind == "slow" for fault in faults):
        # Ten times what an answer of a busy machine takes: only those that are slow may be late.
        constants = replace(constants, timeout_seconds=(30.0, 0.5))
    given: dict[str, Any] = {**SETTINGS, **settings}
    return sync(zoom, state=state, constants=constants, **given)


@cache
def _earlier_run(zoom: SimulatorProcess) -> TapRun:
    """Return what was read before the fault; it is the same for all that serve `SCENARIO`."""
    zoom.replace(replace(SCENARIO, clock=Clock(now=EARLIER)))
    return _sync(zoom).check()


def _now_at(places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    return dict.fromkeys(places, NOW.isoformat())


def _assert_all_is_read(zoom: SimulatorProcess, run: TapRun) -> None:
    assert_complete(zoom, run.check())
    assert run.bookmarks == _now_at(PLACES)


# Every kind


def test_every_kind_of_fault_has_a_fate() -> None:
    assert set(FATES) == set(get_args(FaultKind))


@pytest.mark.parametrize("kind", sorted(FATES.keys() - NEVER_PASSES - CHANGES_VALUES))
def test_fault_that_passes_leaves_no_trace(zoom: SimulatorProcess, kind: FaultKind) -> None:
    run = _sync(zoom, _fault(kind, requests=(1, 2)))
    # The page that two of the kinds are about comes once in a window.
    assert zoom.stats().faults[kind] in (1, 2)
    _assert_all_is_read(zoom, run)


def test_an_outage_ends_the_run_without_trying_every_account(zoom: SimulatorProcess) -> None:
    accounts = [f"account{number}" for number in range(40)]
    zoom.replace(replace(SCENARIO, accounts=tuple(Account(id=name) for name in accounts)))
    outage = Fault(kind="redirect", endpoint="sms")
    run = _sync(zoom, outage, sub_account_ids=accounts).check(1)
    assert any("a redirect" in line for line in run.logged("ERROR"))
    assert len(zoom.stats().requests["sms"]) < len(accounts)
    assert not run.bookmarks


@pytest.mark.parametrize("endpoint", ["sms", "token"])
def test_reader_learns_once_that_an_outage_makes_the_run_wait(
    zoom: SimulatorProcess, endpoint: Endpoint
) -> None:
    outage = Fault(kind="503_html", endpoint=endpoint, requests=(1, 2, 3))
    run = _sync(zoom, outage)
    assert zoom.stats().faults["503_html"] > 1
    _assert_all_is_read(zoom, run)
    [warning] = [line for line in run.logged("WARNING") if "trying again" in line]
    assert "503" in warning
    assert ("/oauth/token" in warning) is (endpoint == "token")


@pytest.mark.parametrize("kind", [kind for kind, fate in FATES.items() if fate is Fate.ALL_IS_READ])
def test_harmless_fault_may_stay(zoom: SimulatorProcess, kind: FaultKind) -> None:
    run = _sync(zoom, Fault(kind=kind)).check()
    assert run.bookmarks == _now_at(PLACES)
    assert run.repeated == []
    truth = truth_of(zoom)
    assert dict(run.engagements).keys() == truth.keys()
    if kind not in CHANGES_VALUES:
        assert dict(run.engagements) == truth


@pytest.mark.parametrize(
    "kind",
    [kind for kind, fate in FATES.items() if fate not in (Fate.ALL_IS_READ, Fate.READ_OR_NAMED)],
)
def test_fault_that_stays_moves_no_bookmark(zoom: SimulatorProcess, kind: FaultKind) -> None:
    before = _earlier_run(zoom)
    zoom.replace(SCENARIO)
    stays = _fault(kind)
    # Each refusal of the sick account's token may cost another account a try.
    constants = SMALL_PAGES if kind in {"access_token_expired", "slow"} else IMPATIENT
    run = _sync(zoom, stays, state=before.states[-1], constants=constants).check(1)
    assert any(f"sms, account {SICK}" in line for line in run.logged("ERROR")), run.stderr
    if kind in NEVER_PASSES:
        assert zoom.stats().faults[kind] == 1
    bookmarks = run.bookmarks or before.bookmarks
    assert bookmarks["sms", SICK] == EARLIER.isoformat()
    if FATES[kind] is Fate.RUN_ENDS:
        assert bookmarks["voice_calls", SICK] == EARLIER.isoformat()
    else:
        others = PLACES - {("sms", SICK)}
        assert bookmarks == {**_now_at(others), ("sms", SICK): EARLIER.isoformat()}
        sound = truth_of(zoom, [SOUND])
        kept = dict(before.engagements) | dict(run.engagements)
        assert {key: row for key, row in kept.items() if key[1] == SOUND} == sound
    # And nothing is lost by it.
    after = _sync(zoom, state=(run.states or before.states)[-1]).check()
    everything = dict(before.engagements) | dict(run.engagements) | dict(after.engagements)
    assert everything == truth_of(zoom)


@pytest.mark.parametrize("max_concurrency", [1, 10])
def test_a_limit_that_stays_spent_for_everybody_ends_the_run_without_trying_every_account(
    zoom: SimulatorProcess, max_concurrency: int
) -> None:
    accounts = [f"account{number}" for number in range(40)]
    zoom.replace(replace(SCENARIO, accounts=tuple(Account(id=name) for name in accounts)))
    run = _sync(
        zoom,
        Fault(kind="429_per_second", endpoint="sms"),
        sub_account_ids=accounts,
        max_concurrency=max_concurrency,
        constants=IMPATIENT,
    ).check(1)
    assert "too many requests in a second" in run.logged("ERROR")[-1]
    requests = zoom.stats().requests
    assert len(requests["sms"]) <= max(2, max_concurrency)
    assert "voice_calls" not in requests


def test_rows_that_shift_for_ever_are_read_or_named(zoom: SimulatorProcess) -> None:
    for seed in range(5):
        zoom.replace(replace(SCENARIO, seed=seed))
        run = _sync(zoom, _fault("rows_shift"))
        is_complete = dict(run.engagements) == truth_of(zoom)
        # Where no pass is whole by itself, all may have come, but nobody can know.
        assert run.exit_code == 1 or (run.exit_code == 0 and is_complete), run.stderr
        assert (("sms", SICK) in run.bookmarks) is (run.exit_code == 0)


# Values


def _fields_warned_about(run: TapRun, words: str) -> list[str]:
    lines = [line.rpartition("|")[2] for line in run.logged("WARNING") if words in line]
    return sorted(line.partition("field ")[2].split()[0] for line in lines)


def test_new_fields_change_no_other_value_and_are_warned_about_once(zoom: SimulatorProcess) -> None:
    run = _sync(zoom, Fault(kind="new_field", endpoint="sms"))
    _assert_all_is_read(zoom, run)
    assert _fields_warned_about(run, "schema does not have") == [
        "agents[].new_nested_field",
        "new_field",
        "queues[].new_nested_field",
    ]


def test_values_of_another_type_are_converted_and_warned_about_once(zoom: SimulatorProcess) -> None:
    run = _sync(zoom, Fault(kind="wrong_type")).check()
    truth = truth_of(zoom)
    assert dict(run.engagements).keys() == truth.keys()
    for key, row in run.engagements:
        assert row in (truth[key], {**truth[key], "direction": "1"})
    fields = _fields_warned_about(run, "was converted")
    assert "total_duration" in fields
    assert len(fields) == len(set(fields))


# Tokens


@pytest.mark.parametrize(
    ("kind", "one_live_token"),
    [
        ("401_code_124", False),
        ("401_code_124", True),
        ("401_status_false", True),
        ("access_token_expired", True),
    ],
)
def test_refused_token_is_renewed_once_by_all_workers_together(
    zoom: SimulatorProcess, kind: FaultKind, *, one_live_token: bool
) -> None:
    zoom.replace(replace(SCENARIO, limits=Limits(one_live_token=one_live_token)))
    refused = Fault(kind=kind, requests=(2, 7))
    run = _sync(zoom, refused, sub_account_ids=None, max_concurrency=10)
    _assert_all_is_read(zoom, run)
    # Requests that were on their way with the old token are no reason for a third one.
    assert zoom.stats().tokens_issued <= 1 + 2


def test_token_that_cannot_be_renewed_is_asked_for_no_more(zoom: SimulatorProcess) -> None:
    accounts = [Account(id=f"Account{number:02}", sms=1) for number in range(20)]
    zoom.replace(replace(SCENARIO, accounts=tuple(accounts)))
    died = Fault(kind="401_code_124", endpoint="sms", requests=(1,))
    refused = Fault(kind="redirect", endpoint="token", requests=tuple(range(2, 100)))
    run = _sync(zoom, died, refused, sub_account_ids=None).check(1)
    assert any("token_url" in line for line in run.logged("ERROR")), run.stderr
    # One for the run, and one that was to take its place.
    assert zoom.stats().requests["token"] == {"": 2}


def test_page_token_that_expires_sooner_than_it_is_used_is_named(zoom: SimulatorProcess) -> None:
    zoom.replace(replace(SCENARIO, limits=Limits(page_token_seconds=-1)))
    run = _sync(zoom).check(1)
    assert any(
        f"sms, account {SICK}" in line and "the page token has expired" in line
        for line in run.logged("ERROR")
    ), run.stderr
    # Whatever fits on one page needs no token.
    assert run.bookmarks == _now_at({("sms", SOUND), ("voice_calls", SICK)})


# All together


def test_many_faults_at_once_lose_nothing(zoom: SimulatorProcess) -> None:
    kinds: tuple[FaultKind, ...] = (
        "503_html",
        "reset_before_body",
        "reset_inside_body",
        "truncated_json",
        "401_code_124",
        "429_per_second",
        "page_token_expired",
        "duplicate_rows",
        "token_after_last_page",
    )
    faults = [Fault(kind=kind, probability=0.05) for kind in kinds]
    run = _sync(zoom, *faults, sub_account_ids=None, max_concurrency=10)
    _assert_all_is_read(zoom, run)

"""Every way in which the simulator misbehaves, and what the design promises for it.

A fault that passes leaves no trace but in the log: the run ends with exit code 0 and everything is
there. One that stays is named, moves no bookmark, and ends with exit code 1, unless it is harmless.
What an answer means is in `test_errors.py`.
"""

from __future__ import annotations

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
    from collections.abc import Iterable

    from simulator.process import SimulatorProcess
    from simulator.scenario import Endpoint
    from tests.harness.constants import Constants
    from tests.harness.process import TapRun
    from tests.harness.singer import State

SICK, SOUND = "SickAccount", "SoundAccount"
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
    history_begin=datetime(2024, 1, 1, tzinfo=timezone.utc),
    history_end=NOW - timedelta(days=3),
    clock=Clock(now=NOW),
)
SMALL_PAGES = replace(SHORT_WAITS, page_size=20)
IMPATIENT = replace(NO_PATIENCE, page_size=20)

NAMED: dict[FaultKind, str] = {
    "429_per_second": "HTTP 429",
    "429_daily": "the daily limit is spent",
    "500_json": "HTTP 500",
    "500_html": "HTTP 500: Internal Server Error - Zoom has a passing fault; ",
    "502_html": "HTTP 502",
    "503_json": "HTTP 503",
    "503_html": "HTTP 503",
    "reset_before_body": "the connection breaks off",
    "reset_inside_body": "the connection breaks off",
    "truncated_json": "an answer that is not what was asked for",
    "invalid_json": "an answer that is not what was asked for",
    "slow": "the answer takes too long",
    "401_code_124": "the access token was refused",
    "401_status_false": "the access token was refused",
    "access_token_expired": "the access token was refused",
    "account_refuses": "HTTP 403, code 200: No permission.",
    "redirect": "the token stays with the configured host; check api_url and token_url",
    "page_token_expired": "the page token has expired",
    "page_token_repeated": "bookmark stays",
    "page_repeated": "bookmark stays",
    "total_too_high": "bookmark stays",
    "missing_engagement_id": "a row without key or start",
}
"""What is said of each kind that stays, with which an account cannot be read whole."""

HARMLESS: tuple[FaultKind, ...] = (
    "byte_order_mark",
    "token_after_last_page",
    "missing_next_page_token",
    "missing_total_records",
    "total_too_low",
    "duplicate_rows",
    "new_field",
    "null_fields",
    "wrong_type",
    "other_value",
)
"""With these all is read though they stay."""

NEVER_PASSES: frozenset[FaultKind] = frozenset({"429_daily", "redirect", "account_refuses"})
"""Kinds after which nothing is tried again: the next run does that."""

CHANGES_VALUES: frozenset[FaultKind] = frozenset({"null_fields", "wrong_type", "other_value"})


@pytest.fixture
def zoom(simulator: SimulatorProcess) -> SimulatorProcess:
    simulator.replace(SCENARIO)
    return simulator


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
    given: dict[str, Any] = {"sub_account_ids": [SICK, SOUND], "max_concurrency": 2, **settings}
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


def _assert_is_named(run: TapRun, *words: str) -> None:
    """Assert that a line at level error has all these words."""
    lines = run.logged("ERROR")
    assert any(all(word in line for word in words) for line in lines), run.stderr


# Every kind


def test_every_kind_of_fault_has_a_fate() -> None:
    # Whether rows that shift for ever can be read whole is a matter of chance.
    assert {*NAMED, *HARMLESS, "rows_shift"} == set(get_args(FaultKind))


@pytest.mark.parametrize("kind", sorted(set(get_args(FaultKind)) - NEVER_PASSES - CHANGES_VALUES))
def test_fault_that_passes_leaves_no_trace(zoom: SimulatorProcess, kind: FaultKind) -> None:
    passes = Fault(kind=kind, endpoint="sms", account_id=SICK, seconds=600, requests=(1, 2))
    run = _sync(zoom, passes)
    # The page that two of the kinds are about comes once in a window.
    assert zoom.stats().faults[kind] in (1, 2)
    _assert_all_is_read(zoom, run)


@pytest.mark.parametrize("kind", HARMLESS)
def test_harmless_fault_may_stay(zoom: SimulatorProcess, kind: FaultKind) -> None:
    run = _sync(zoom, Fault(kind=kind)).check()
    assert run.bookmarks == _now_at(PLACES)
    assert run.repeated == []
    truth = truth_of(zoom)
    assert dict(run.engagements).keys() == truth.keys()
    if kind not in CHANGES_VALUES:
        assert dict(run.engagements) == truth


@pytest.mark.parametrize("kind", NAMED)
def test_fault_that_stays_moves_no_bookmark(zoom: SimulatorProcess, kind: FaultKind) -> None:
    before = _earlier_run(zoom)
    zoom.replace(SCENARIO)
    stays = Fault(kind=kind, endpoint="sms", account_id=SICK, seconds=600)
    # Each refusal of the sick account's token may cost another account a try.
    constants = SMALL_PAGES if kind in {"access_token_expired", "slow"} else IMPATIENT
    run = _sync(zoom, stays, state=before.state, constants=constants).check(1)
    _assert_is_named(run, f"sms, account {SICK}: ", NAMED[kind])
    if kind in NEVER_PASSES:
        assert zoom.stats().faults[kind] == 1
    bookmarks = run.bookmarks or before.bookmarks
    assert bookmarks["sms", SICK] == EARLIER.isoformat()
    if kind == "429_daily":
        assert bookmarks["voice_calls", SICK] == EARLIER.isoformat()
    else:
        others = PLACES - {("sms", SICK)}
        assert bookmarks == {**_now_at(others), ("sms", SICK): EARLIER.isoformat()}
        kept = dict(before.engagements) | dict(run.engagements)
        assert {key: row for key, row in kept.items() if key[1] == SOUND} == truth_of(zoom, [SOUND])
    # And nothing is lost by it.
    after = _sync(zoom, state=(run.states or before.states)[-1]).check()
    everything = dict(before.engagements) | dict(run.engagements) | dict(after.engagements)
    assert everything == truth_of(zoom)


# Faults that concern everybody


@pytest.mark.parametrize(
    ("kind", "said", "workers", "most"),
    [
        ("429_daily", "the daily limit is spent", 4, 4),
        ("429_per_second", "too many requests in a second", 1, 2),
        ("429_per_second", "too many requests in a second", 10, 10),
        ("redirect", "a redirect", 2, 30),
    ],
)
def test_a_fault_of_everybody_ends_the_run_without_trying_every_account(
    zoom: SimulatorProcess, kind: FaultKind, said: str, workers: int, most: int
) -> None:
    accounts = [f"account{number}" for number in range(40)]
    zoom.replace(replace(SCENARIO, accounts=tuple(Account(id=name) for name in accounts)))
    fault = Fault(kind=kind, endpoint="sms")
    options: dict[str, Any] = {"sub_account_ids": accounts, "max_concurrency": workers}
    run = _sync(zoom, fault, constants=IMPATIENT, **options).check(1)
    assert said in run.logged("ERROR")[-1]
    assert not run.bookmarks
    requests = zoom.stats().requests
    assert len(requests["sms"]) <= most
    assert "voice_calls" not in requests


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


def test_daily_limit_keeps_what_was_read_and_the_next_run_goes_on(zoom: SimulatorProcess) -> None:
    spent = Fault(kind="429_daily", endpoint="voice_calls", requests=(2,))
    run = _sync(zoom, spent, max_concurrency=1).check(1)
    # The simulated limit is that of a day of UTC.
    _assert_is_named(run, "daily limit is spent; Zoom opens again at 2024-01-21 00:00:00 UTC; run")
    assert set(run.bookmarks) == {("sms", SICK), ("sms", SOUND), ("voice_calls", SICK)}
    after = _sync(zoom, state=run.state).check()
    assert dict(run.engagements) | dict(after.engagements) == truth_of(zoom)


def test_a_refusal_for_the_rate_may_say_when_it_ends(zoom: SimulatorProcess) -> None:
    """The wait is that of the header, here the longest, and not that of one that says nothing."""
    soon = Fault(kind="429_per_second", endpoint="sms", requests=(1,), reset=5.0)
    waits = replace(SMALL_PAGES, longest_asked_seconds=0.1, patience_seconds=300.0)
    run = _sync(zoom, soon, constants=waits)
    _assert_all_is_read(zoom, run)
    (line,) = [line for line in run.logged("WARNING") if "the whole run waits" in line]
    assert "waits 0.1 s" in line


@pytest.mark.parametrize(
    ("lacking", "place", "read"),
    [
        ("account:read:list_sub_accounts:master", "sub_accounts: ", set()),
        ("contact_center:read:voice_call_log:master", f"voice_calls, account {SICK}: ", {"sms"}),
    ],
)
def test_missing_scope_is_named(
    zoom: SimulatorProcess, lacking: str, place: str, read: set[str]
) -> None:
    scopes = tuple(scope for scope in SCENARIO.scopes if scope != lacking)
    zoom.replace(replace(SCENARIO, scopes=scopes))
    run = _sync(zoom, sub_account_ids=None, max_concurrency=1).check(1)
    _assert_is_named(run, place, f"a scope is missing: {lacking}; add the scope")
    assert {stream for stream, _ in run.bookmarks} == read
    advice = "include_own_account to true and sub_account_ids to []"
    assert (advice in run.stderr) is (place == "sub_accounts: ")


# Tokens


@pytest.mark.parametrize("kind", ["reset_before_body", "invalid_json"])
def test_token_endpoint_gets_over_a_fault_that_passes_and_names_one_that_stays(
    zoom: SimulatorProcess, kind: FaultKind
) -> None:
    _assert_all_is_read(zoom, _sync(zoom, Fault(kind=kind, endpoint="token", requests=(1, 2))))
    run = _sync(zoom, Fault(kind=kind, endpoint="token")).check(1)
    _assert_is_named(run, "token_url")
    assert not run.bookmarks


@pytest.mark.parametrize(
    ("kind", "one_live_token"),
    [("401_code_124", False), ("401_code_124", True), ("access_token_expired", True)],
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
    _assert_is_named(run, "token_url")
    # One for the run, and one that was to take its place.
    assert zoom.stats().requests["token"] == {"": 2}

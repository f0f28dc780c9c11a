"""Every way in which the simulator misbehaves, and what the design promises for it.

A fault that passes leaves no trace but in the log: the run ends with exit code 0 and everything is
there. One that stays is named, moves no bookmark, and ends with exit code 1, unless it is harmless.
"""

from __future__ import annotations

import enum
import signal
import socket
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, get_args

import pytest

from simulator.scenario import Account, Clock, Fault, FaultKind, Limits, Readings, Refusal, Scenario
from tests.syncing import SHORT_WAITS, STREAMS, Bench, bookmarks_of, truth_of
from tests.tap_process import start_tap
from tests.warm_tap import WarmTap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from simulator.scenario import Endpoint
    from tests.syncing import Key, Sync
    from tests.tap_process import Message, Record
    from tests.warm_tap import Constant

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
        Account(id=SICK, sms=450, voice_calls=30),
        Account(id=SOUND, sms=20, voice_calls=120),
    ),
    history_begin=BEGIN,
    history_end=NOW - timedelta(days=3),
    clock=Clock(now=NOW),
)
SETTINGS: Mapping[str, object] = {
    "start_date": BEGIN.isoformat(),
    "end_date": NOW.isoformat(),
    "sub_account_ids": [SICK, SOUND],
    "max_concurrency": 2,
}
IMPATIENT: Mapping[str, Constant] = {
    **SHORT_WAITS,
    "tap_zoom_cc.zoom.client.TIMEOUT_SECONDS": (5.0, 0.1),
}


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
    "502_json": Fate.ACCOUNT_FAILS,
    "502_html": Fate.ACCOUNT_FAILS,
    "503_json": Fate.ACCOUNT_FAILS,
    "503_html": Fate.ACCOUNT_FAILS,
    "reset_before_body": Fate.ACCOUNT_FAILS,
    "reset_inside_body": Fate.ACCOUNT_FAILS,
    "truncated_json": Fate.ACCOUNT_FAILS,
    "invalid_json": Fate.ACCOUNT_FAILS,
    "html_under_200": Fate.ACCOUNT_FAILS,
    "slow": Fate.ACCOUNT_FAILS,
    "401_code_124": Fate.RUN_ENDS,
    "400_code_124": Fate.RUN_ENDS,
    "401_status_false": Fate.RUN_ENDS,
    "access_token_expired": Fate.RUN_ENDS,
    "account_refuses": Fate.ACCOUNT_FAILS,
    "redirect": Fate.RUN_ENDS,
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
    "missing_engagement_id": Fate.ACCOUNT_FAILS,
    "missing_start_time": Fate.ACCOUNT_FAILS,
}

NEVER_PASSES: frozenset[FaultKind] = frozenset({"429_daily", "redirect", "account_refuses"})
"""Kinds after which nothing is tried again: the next run does that."""

CHANGES_VALUES: frozenset[FaultKind] = frozenset({"null_fields", "wrong_type"})


@pytest.fixture(scope="module")
def tap() -> Iterator[WarmTap]:
    with WarmTap() as tap:
        yield tap


@pytest.fixture
def bench(simulator: SimulatorProcess, tap: WarmTap, tmp_path: Path) -> Bench:
    simulator.replace(SCENARIO)
    return Bench(simulator, tap, tmp_path)


def _fault(kind: FaultKind, **when: object) -> Fault:
    return replace(Fault(kind=kind, endpoint="sms", account_id=SICK, seconds=0.4), **when)  # type: ignore[arg-type]


def _sync_with(
    bench: Bench, *faults: Fault, state: Mapping[str, object] | None = None, **settings: object
) -> Sync:
    bench.simulator.replace(replace(bench.simulator.scenario, faults=faults))
    slow = any(fault.kind == "slow" for fault in faults)
    return bench.sync(
        {**SETTINGS, **settings}, state=state, constants=IMPATIENT if slow else SHORT_WAITS
    )


def _earlier_run(bench: Bench) -> Sync:
    bench.simulator.replace(replace(SCENARIO, clock=Clock(now=EARLIER)))
    sync = bench.sync({**SETTINGS, "end_date": EARLIER.isoformat()})
    assert sync.exit_code == 0, sync.stderr
    bench.simulator.replace(SCENARIO)
    return sync


def _now_at(places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    return dict.fromkeys(places, NOW.isoformat())


def _assert_all_is_read(bench: Bench, sync: Sync) -> None:
    assert sync.exit_code == 0, sync.stderr
    assert dict(sync.engagements) == truth_of(bench.simulator)
    assert sync.repeated == []
    assert sync.bookmarks == _now_at(PLACES)


# Every kind


def test_every_kind_of_fault_has_a_fate() -> None:
    assert set(FATES) == set(get_args(FaultKind))


@pytest.mark.parametrize("kind", sorted(FATES.keys() - NEVER_PASSES - CHANGES_VALUES))
def test_fault_that_passes_leaves_no_trace(bench: Bench, kind: FaultKind) -> None:
    sync = _sync_with(bench, _fault(kind, requests=(1, 2)))
    # The page that two of the kinds are about comes once in a window.
    assert bench.simulator.stats().faults[kind] in (1, 2)
    _assert_all_is_read(bench, sync)


def test_an_outage_ends_the_run_without_trying_every_account(bench: Bench) -> None:
    accounts = [f"account{number}" for number in range(20)]
    bench.simulator.replace(
        replace(SCENARIO, accounts=tuple(Account(id=name) for name in accounts))
    )
    outage = Fault(kind="reset_before_body", endpoint="sms")
    sync = _sync_with(bench, outage, sub_account_ids=accounts)
    assert sync.exit_code == 1
    assert any("check the network and api_url" in line for line in sync.logged("ERROR"))
    assert len(bench.simulator.stats().requests["sms"]) < len(accounts)
    assert not sync.bookmarks


@pytest.mark.parametrize("endpoint", ["sms", "token"])
def test_reader_learns_once_that_an_outage_makes_the_run_wait(
    bench: Bench, endpoint: Endpoint
) -> None:
    outage = Fault(kind="503_html", endpoint=endpoint, requests=(1, 2, 3))
    sync = _sync_with(bench, outage)
    assert bench.simulator.stats().faults["503_html"] > 1
    _assert_all_is_read(bench, sync)
    [warning] = [line for line in sync.logged("WARNING") if "trying again" in line]
    assert "503" in warning
    assert ("/oauth/token" in warning) is (endpoint == "token")


@pytest.mark.parametrize("kind", sorted(NEVER_PASSES))
def test_fault_after_which_nothing_is_tried_again_is_over_in_the_next_run(
    bench: Bench, kind: FaultKind
) -> None:
    before = _earlier_run(bench)
    sync = _sync_with(bench, _fault(kind, requests=(1,)), state=before.states[-1])
    assert sync.exit_code == 1
    after = _sync_with(bench, state=(sync.states or before.states)[-1])
    assert after.exit_code == 0, after.stderr
    everything = dict(before.engagements) | dict(sync.engagements) | dict(after.engagements)
    assert everything == truth_of(bench.simulator)
    assert after.bookmarks == _now_at(PLACES)


@pytest.mark.parametrize("kind", [kind for kind, fate in FATES.items() if fate is Fate.ALL_IS_READ])
def test_harmless_fault_may_stay(bench: Bench, kind: FaultKind) -> None:
    sync = _sync_with(bench, Fault(kind=kind))
    assert sync.exit_code == 0, sync.stderr
    assert sync.bookmarks == _now_at(PLACES)
    assert sync.repeated == []
    truth = truth_of(bench.simulator)
    assert dict(sync.engagements).keys() == truth.keys()
    if kind not in CHANGES_VALUES:
        assert dict(sync.engagements) == truth


@pytest.mark.parametrize(
    "kind",
    [kind for kind, fate in FATES.items() if fate not in (Fate.ALL_IS_READ, Fate.READ_OR_NAMED)],
)
def test_fault_that_stays_moves_no_bookmark(bench: Bench, kind: FaultKind) -> None:
    before = _earlier_run(bench)
    sync = _sync_with(bench, _fault(kind), state=before.states[-1])
    assert sync.exit_code == 1
    assert "Traceback" not in sync.stderr
    assert any(f"sms, account {SICK}" in line for line in sync.logged("ERROR")), sync.stderr
    bookmarks = sync.bookmarks or before.bookmarks
    assert bookmarks["sms", SICK] == EARLIER.isoformat()
    if FATES[kind] is Fate.RUN_ENDS:
        assert bookmarks["voice_calls", SICK] == EARLIER.isoformat()
    else:
        others = PLACES - {("sms", SICK)}
        assert bookmarks == {**_now_at(others), ("sms", SICK): EARLIER.isoformat()}
        sound = truth_of(bench.simulator, [SOUND])
        kept = dict(before.engagements) | dict(sync.engagements)
        assert {key: row for key, row in kept.items() if key[1] == SOUND} == sound
    # And nothing is lost by it.
    after = _sync_with(bench, state=(sync.states or before.states)[-1])
    assert after.exit_code == 0, after.stderr
    everything = dict(before.engagements) | dict(sync.engagements) | dict(after.engagements)
    assert everything == truth_of(bench.simulator)


@pytest.mark.parametrize("kind", [kind for kind, fate in FATES.items() if fate is Fate.ROWS_MISS])
def test_missing_rows_are_counted_and_the_others_are_emitted(bench: Bench, kind: FaultKind) -> None:
    truth = _engagements_of(bench, "sms", SICK)
    sync = _sync_with(bench, _fault(kind))
    assert sync.exit_code == 1
    emitted = {key: row for key, row in sync.engagements if key[:2] == ("sms", SICK)}
    assert emitted.items() <= truth.items()
    assert emitted
    announced = len(truth) + (1 if kind == "total_too_high" else 0)
    assert len(emitted) < announced
    named = f"announced {announced} engagements"
    delivered = f"delivered {len(emitted)} "
    assert any(
        named in line and delivered in line and "on_count_mismatch" in line
        for line in sync.logged("ERROR")
    ), sync.stderr


def test_rows_that_shift_for_ever_are_read_or_named(bench: Bench) -> None:
    for seed in range(5):
        bench.simulator.replace(replace(SCENARIO, seed=seed))
        sync = _sync_with(bench, _fault("rows_shift"))
        is_complete = dict(sync.engagements) == truth_of(bench.simulator)
        assert sync.exit_code == (0 if is_complete else 1), sync.stderr
        assert (("sms", SICK) in sync.bookmarks) is is_complete


def _engagements_of(bench: Bench, stream: str, account_id: str) -> dict[Key, Record]:
    return {
        key: row for key, row in truth_of(bench.simulator, [account_id]).items() if key[0] == stream
    }


def test_count_mismatch_can_be_accepted(bench: Bench) -> None:
    sync = _sync_with(bench, _fault("total_too_high", by=7), on_count_mismatch="warn")
    _assert_all_is_read(bench, sync)
    assert any("announced" in line and "accepted" in line for line in sync.logged("WARNING"))


def test_surplus_rows_are_a_warning_with_both_numbers(bench: Bench) -> None:
    sync = _sync_with(bench, _fault("total_too_low", by=7))
    _assert_all_is_read(bench, sync)
    warnings = [line for line in sync.logged("WARNING") if f"sms, account {SICK}" in line]
    count = len(_engagements_of(bench, "sms", SICK))
    assert len(warnings) == 1
    assert f"{count} engagements came" in warnings[0]
    assert str(count - 7) in warnings[0]


# Values


def _fields_warned_about(sync: Sync, words: str) -> list[str]:
    lines = [line.rpartition("|")[2] for line in sync.logged("WARNING") if words in line]
    return sorted(line.partition("field ")[2].split()[0] for line in lines)


def test_new_fields_change_no_other_value_and_are_warned_about_once(bench: Bench) -> None:
    sync = _sync_with(bench, Fault(kind="new_field", endpoint="sms"))
    _assert_all_is_read(bench, sync)
    assert _fields_warned_about(sync, "schema does not have") == [
        "agents[].new_nested_field",
        "new_field",
        "queues[].new_nested_field",
    ]


def test_nulls_pass_as_they_are(bench: Bench) -> None:
    sync = _sync_with(bench, Fault(kind="null_fields"))
    truth = truth_of(bench.simulator)
    changed = 0
    for key, row in sync.engagements:
        if row != truth[key]:
            changed += 1
            kept = ("account_id", "engagement_id", "start_time", "end_time")
            assert row == {**dict.fromkeys(truth[key]), **{name: truth[key][name] for name in kept}}
    assert changed == bench.simulator.stats().faults["null_fields"]
    # Python's own warnings are of the machine: that its version is an old one, for example.
    assert [line for line in sync.logged("WARNING") if "py.warnings" not in line] == []


def test_values_of_another_type_are_converted_and_warned_about_once(bench: Bench) -> None:
    sync = _sync_with(bench, Fault(kind="wrong_type"))
    truth = truth_of(bench.simulator)
    for key, row in sync.engagements:
        assert row in (truth[key], {**truth[key], "direction": "1"})
    fields = _fields_warned_about(sync, "was converted")
    assert "total_duration" in fields
    assert len(fields) == len(set(fields))


# Tokens


@pytest.mark.parametrize("one_live_token", [False, True])
@pytest.mark.parametrize(
    "kind", ["401_code_124", "400_code_124", "401_status_false", "access_token_expired"]
)
def test_refused_token_is_renewed_once_by_all_workers_together(
    bench: Bench, kind: FaultKind, *, one_live_token: bool
) -> None:
    bench.simulator.replace(replace(SCENARIO, limits=Limits(one_live_token=one_live_token)))
    refused = Fault(kind=kind, requests=(2, 7))
    sync = _sync_with(bench, refused, sub_account_ids=None, max_concurrency=10)
    _assert_all_is_read(bench, sync)
    # Requests that were on their way with the old token are no reason for a third one.
    assert bench.simulator.stats().tokens_issued <= 1 + 2


def test_token_is_renewed_before_it_expires(bench: Bench) -> None:
    limits = Limits(access_token_seconds=2, latency_seconds=0.05)
    bench.simulator.replace(replace(SCENARIO, limits=limits))
    sizes = {"tap_zoom_cc.sync.check.PAGE_SIZE": 10, "tap_zoom_cc.engagements.PAGE_SIZE": 10}
    sync = bench.sync({**SETTINGS, "max_concurrency": 1}, constants={**SHORT_WAITS, **sizes})
    _assert_all_is_read(bench, sync)
    stats = bench.simulator.stats()
    assert stats.tokens_issued > 1
    assert "401" not in stats.statuses


def test_page_token_that_expires_sooner_than_it_is_used_is_named(bench: Bench) -> None:
    bench.simulator.replace(replace(SCENARIO, limits=Limits(page_token_seconds=-1)))
    sync = bench.sync(SETTINGS)
    assert sync.exit_code == 1
    assert any(
        f"sms, account {SICK}" in line and "the page token has expired" in line
        for line in sync.logged("ERROR")
    ), sync.stderr
    # Whatever fits on one page needs no token.
    assert sync.bookmarks == _now_at({("sms", SOUND), ("voice_calls", SICK)})


# Hosts


@pytest.mark.parametrize("setting", ["api_url", "token_url"])
def test_host_that_refuses_connections_is_named(bench: Bench, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    sync = bench.sync({**SETTINGS, setting: f"http://127.0.0.1:{port}/v2"})
    assert sync.exit_code == 1
    assert any(f"http://127.0.0.1:{port}/v2" in line for line in sync.logged("ERROR")), sync.stderr
    assert "Traceback" not in sync.stderr
    assert sync.engagements == []


def test_redirect_is_not_followed(bench: Bench) -> None:
    elsewhere = f"{bench.simulator.url}/elsewhere"
    sync = _sync_with(bench, _fault("redirect", url=elsewhere))
    assert sync.exit_code == 1
    assert any("redirect" in line and "api_url" in line for line in sync.logged("ERROR"))
    assert not [entry for entry in bench.simulator.stats().log if "elsewhere" in entry.path]
    assert {entry.endpoint for entry in bench.simulator.stats().log} == {"token", "sms"}


# Accounts and history


def test_account_that_refuses_one_stream_is_read_in_the_other(bench: Bench) -> None:
    refusing = replace(SCENARIO.accounts[0], sms_refusal=Refusal())
    bench.simulator.replace(replace(SCENARIO, accounts=(refusing, SCENARIO.accounts[1])))
    sync = bench.sync(SETTINGS)
    assert sync.exit_code == 1
    assert any(f"sms, account {SICK}" in line for line in sync.logged("ERROR"))
    assert sync.bookmarks == _now_at(PLACES - {("sms", SICK)})


def test_history_that_zoom_no_longer_keeps_is_a_warning_once(bench: Bench) -> None:
    bench.simulator.replace(replace(SCENARIO, readings=Readings(history_days_kept=10)))
    begin = BEGIN - timedelta(days=60)
    sync = bench.sync({**SETTINGS, "start_date": begin.isoformat()})
    _assert_all_is_read(bench, sync)
    warnings = [line for line in sync.logged("WARNING") if "less history" in line]
    assert len(warnings) == len(PLACES)


def test_engagements_that_overlap_are_not_read_again_and_again(bench: Bench) -> None:
    # More are open at any time than a window may have: cutting it does not make it smaller.
    rows = tuple(
        {
            "engagement_id": f"open{number}",
            "start_time": (BEGIN + timedelta(minutes=7 * number)).isoformat(),
            "end_time": (BEGIN + timedelta(minutes=7 * number, days=14)).isoformat(),
        }
        for number in range(4_000)
    )
    now = BEGIN + timedelta(days=40)
    bench.simulator.replace(
        replace(
            SCENARIO,
            accounts=(Account(id=SICK, explicit_sms=rows),),
            readings=Readings(selects_on="overlap"),
            clock=Clock(now=now),
        )
    )
    sync = bench.sync(
        {**SETTINGS, "sub_account_ids": None, "end_date": now.isoformat(), "max_concurrency": 10}
    )
    assert sync.exit_code == 0
    assert dict(sync.engagements) == truth_of(bench.simulator)
    needed = len(rows) // 100
    assert bench.simulator.stats().requests["sms"][SICK] <= 10 * needed


def test_many_faults_at_once_lose_nothing(bench: Bench) -> None:
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
    sync = _sync_with(bench, *faults, sub_account_ids=None, max_concurrency=10)
    _assert_all_is_read(bench, sync)


# Signals


@pytest.mark.parametrize(("name", "exit_code"), [("SIGTERM", 143), ("SIGINT", 130)])
@pytest.mark.parametrize("step", ["load_state", "load_streams", "setup_mapper"])
def test_signal_while_the_tap_starts_loses_no_bookmark(
    bench: Bench, step: str, name: str, exit_code: int
) -> None:
    # The signal comes from within, at the moment at which it would do most harm: while the tap is
    # being made its state is still empty, and to write that would be to lose every bookmark.
    prelude = f"""
import os, signal
from tap_zoom_cc.tap import TapZoomCC
real = TapZoomCC.{step}
def signalled(*arguments, **more):
    os.kill(os.getpid(), signal.{name})
    return real(*arguments, **more)
TapZoomCC.{step} = signalled
"""
    before = _earlier_run(bench)
    config = {**bench.simulator.tap_config(), **SETTINGS}
    with start_tap(config, state=before.states[-1], prelude=prelude) as process:
        run = process.finish()
    assert run.exit_code in (exit_code, -getattr(signal, name)), run.stderr
    assert all(bookmarks_of(state) == before.bookmarks for state in run.states)
    assert "Traceback" not in run.stderr


# The short cut that these tests take


def _without_times(messages: list[Message]) -> list[Message]:
    """Return messages without the instant at which each was made."""
    return [{**message, "time_extracted": None} for message in messages]


def test_a_warm_run_is_the_command_line(bench: Bench) -> None:
    config = {**bench.simulator.tap_config(), **SETTINGS, "requests_per_second": 1_000}
    with start_tap(config) as process:
        cold = process.finish().check()
    warm = bench.sync(SETTINGS, constants={})
    assert warm.exit_code == cold.exit_code
    assert _without_times(warm.messages) == _without_times(cold.messages)
    refused = {**config, "client_secret": "wrong"}
    with start_tap(refused) as process:
        cold = process.finish().check(1)
    warm = bench.sync(refused, constants={})
    assert warm.exit_code == cold.exit_code
    assert _texts(warm.logged("ERROR")) == _texts(cold.logged("ERROR"))


def _texts(lines: list[str]) -> list[str]:
    return [line.rpartition("|")[2] for line in lines]

"""Every account is read that can be; one that cannot is named and does not stop the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from simulator.scenario import STREAMS, Account, Fault, Limits, Refusal, Scenario
from tests.harness.constants import NO_PATIENCE, SHORT_WAITS
from tests.harness.history import DAY, FIRST_RUN, SECOND_RUN, scenario
from tests.harness.rows import assert_complete, assert_same_rows, of_account, truth_of
from tests.harness.singer import bookmarks, selecting, state_of
from tests.harness.tap import sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import FaultKind
    from tests.harness.tap import TapRun

OK = 200


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(status=418, code=418, message="Something new."),
        Refusal(status=503, code=503, message="Unavailable."),
    ],
    ids=lambda refusal: str(refusal.status),
)
def test_one_sick_account_does_not_stop_the_others(
    simulator: SimulatorProcess, refusal: Refusal
) -> None:
    well = [Account(id=name, sms=60, voice_calls=60) for name in ("aaa", "zzz")]
    sick = Account(id="sick", sms=60, voice_calls=60, sms_refusal=refusal)
    simulator.replace(scenario(well[0], sick, well[1]))
    before = (FIRST_RUN - 5 * DAY).isoformat()
    state = {"bookmarks": state_of("sms", {"sick": before})}
    run = sync(simulator, state=state).check(1)
    for account in well:
        rows = of_account(account.id, run.records("sms"))
        assert_same_rows("sms", rows, simulator.truth("sms", account.id))
    assert_same_rows("voice_calls", run.records("voice_calls"), simulator.truth("voice_calls"))
    now = FIRST_RUN.isoformat()
    assert bookmarks(run.state, "sms") == {"aaa": now, "sick": before, "zzz": now}
    assert bookmarks(run.state, "voice_calls") == {"aaa": now, "sick": now, "zzz": now}
    assert any("account sick" in line and refusal.message in line for line in run.logged("ERROR"))
    simulator.replace(scenario(well[0], replace(sick, sms_refusal=None), well[1]))
    recovered = sync(simulator, SECOND_RUN, state=run.state).check()
    # What lies before the bookmark and its lookback was read by some earlier run.
    (request,) = [
        parse_qs(entry.query)
        for entry in simulator.stats().log
        if (entry.endpoint, entry.account_id) == ("sms", "sick")
    ]
    (since,) = request["from"]
    assert since <= before
    truth = [
        row
        for row in simulator.truth("sms")
        if row["account_id"] != "sick" or row["start_time"] >= since
    ]
    assert_same_rows("sms", [*run.records("sms"), *recovered.records("sms")], truth)
    assert bookmarks(recovered.state, "sms")["sick"] == SECOND_RUN.isoformat()


REFUSALS = [
    Refusal(),
    Refusal(status=404, code=2001, message="Account does not exist."),
    Refusal(status=400, code=200, message="Contact Center is not enabled."),
]


def test_a_listed_account_that_never_could_be_read_is_skipped(
    simulator: SimulatorProcess,
) -> None:
    without = [
        Account(id=f"without{number}", sms_refusal=refusal, voice_calls_refusal=refusal)
        for number, refusal in enumerate(REFUSALS)
    ]
    simulator.replace(scenario(Account(id="with", sms=20, voice_calls=20), *without))
    run = sync(simulator).check()
    assert_complete(simulator, run)
    for stream in STREAMS:
        assert bookmarks(run.state, stream) == {"with": FIRST_RUN.isoformat()}
        for account in without:
            warning = f"{stream}, account {account.id}"
            assert any(warning in line and "skipped" in line for line in run.logged("WARNING"))


def test_an_account_that_lost_its_permission_fails_the_run(simulator: SimulatorProcess) -> None:
    lost = [
        Account(id=f"lost{number}", sms=20, sms_refusal=refusal)
        for number, refusal in enumerate(REFUSALS)
    ]
    simulator.replace(scenario(Account(id="kept", sms=20), *lost))
    before, now = (FIRST_RUN - DAY).isoformat(), FIRST_RUN.isoformat()
    since = dict.fromkeys(["kept", *(account.id for account in lost)], before)
    run = sync(simulator, state={"bookmarks": state_of("sms", since)}).check(1)
    assert bookmarks(run.state, "sms") == {**since, "kept": now}
    for account in lost:
        assert any(f"account {account.id}" in line for line in run.logged("ERROR"))


def test_an_account_of_the_settings_that_refuses_fails_the_run(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="there", sms=20)))
    run = sync(simulator, sub_account_ids=["there", "nowhere"]).check(1)
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
    assert bookmarks(run.state, "sms") == {"there": FIRST_RUN.isoformat()}
    assert any("account nowhere" in line for line in run.logged("ERROR"))


def test_a_listed_account_that_refuses_after_it_answered_fails(simulator: SimulatorProcess) -> None:
    # It has no bookmark, so a refusal from the start would only be a warning.
    accounts = (Account(id="first", sms=250), Account(id="second", sms=20))
    late = Fault(kind="account_refuses", endpoint="sms", account_id="first", requests=(2,))
    simulator.replace(scenario(*accounts, faults=(late,)))
    run = sync(simulator, start_date=(FIRST_RUN - 20 * DAY).isoformat(), max_concurrency=1).check(1)
    assert any("sms, account first" in line for line in run.logged("ERROR"))
    assert "first" not in bookmarks(run.state, "sms")
    assert "second" in bookmarks(run.state, "sms")


@pytest.mark.parametrize("lasts", [False, True])
def test_a_list_of_accounts_without_a_count_that_repeats_itself_is_not_taken_for_whole(
    simulator: SimulatorProcess, discovered: dict[str, Any], *, lasts: bool
) -> None:
    accounts = [Account(id=f"a{number:04}") for number in range(350)]
    faults = (
        Fault(kind="missing_total_records", endpoint="accounts"),
        Fault(kind="page_repeated", endpoint="accounts", requests=() if lasts else (1, 2)),
    )
    simulator.replace(scenario(*accounts, faults=faults))
    run = sync(simulator, catalog=selecting(discovered, ["sub_accounts"]))
    if lasts:
        run.check(1)
        assert any("sub accounts" in line for line in run.logged("ERROR"))
    else:
        run.check()
        assert len(run.records("sub_accounts")) == len(accounts)


def test_a_run_in_which_every_account_refuses_fails(simulator: SimulatorProcess) -> None:
    refusing = [Account(id=name, sms_refusal=Refusal()) for name in ("one", "two")]
    simulator.replace(scenario(*refusing))
    run = sync(simulator).check(1)
    assert any("not one account" in line and "sms" in line for line in run.logged("ERROR"))
    assert bookmarks(run.state, "sms") == {}
    assert set(bookmarks(run.state, "voice_calls")) == {"one", "two"}


# Sick accounts among healthy ones

HEALTHY = tuple(Account(id=f"healthy{number:02}", sms=20, voice_calls=20) for number in range(12))
SINCE = (FIRST_RUN - 20 * DAY).isoformat()


def sick_ones(count: int) -> tuple[Account, ...]:
    return tuple(Account(id=f"sick{number:02}", sms=20, voice_calls=20) for number in range(count))


def serve(
    simulator: SimulatorProcess,
    kind: FaultKind,
    sick: tuple[Account, ...],
    limits: Limits = Limits(),  # noqa: B008 (frozen)
) -> None:
    """Serve sick accounts, which come first, and healthy ones."""
    faults = [Fault(kind=kind, account_id=account.id) for account in sick]
    simulator.replace(scenario(*sick, *HEALTHY, faults=tuple(faults), limits=limits))


def assert_healthy_rows_landed(simulator: SimulatorProcess, run: TapRun) -> None:
    """Assert that all of the healthy accounts was emitted, and that only their bookmarks moved."""
    names = {account.id for account in HEALTHY}
    truth = {
        key: row for key, row in truth_of(simulator, names).items() if row["start_time"] >= SINCE
    }
    emitted = {key: row for key, row in run.engagements if key[1] in names}
    assert len(emitted) == len(truth), f"{len(truth) - len(emitted)} of {len(truth)} lost"
    assert emitted == truth
    assert run.repeated == []
    for stream in STREAMS:
        assert bookmarks(run.state, stream) == dict.fromkeys(names, FIRST_RUN.isoformat())


def lines_about(run: TapRun, stream: str, account: Account) -> list[str]:
    return [line for line in run.logged("ERROR") if f"| {stream}, account {account.id}: " in line]


@pytest.mark.parametrize(("count", "concurrency"), [(2, 1), (12, 10)])
def test_accounts_whose_connections_always_break_are_no_outage(
    simulator: SimulatorProcess, count: int, concurrency: int
) -> None:
    sick = sick_ones(count)
    serve(simulator, "reset_before_body", sick)
    run = sync(
        simulator, start_date=SINCE, max_concurrency=concurrency, constants=NO_PATIENCE
    ).check(1)
    assert_healthy_rows_landed(simulator, run)
    for stream in STREAMS:
        for account in sick:
            assert len(lines_about(run, stream, account)) == 1


@pytest.mark.parametrize(
    ("kind", "count", "one_live_token"),
    [
        ("401_code_124", 1, False),
        ("401_code_124", 12, False),
        ("401_status_false", 12, True),
    ],
)
def test_accounts_that_refuse_every_token_fail_and_do_not_storm_the_token_endpoint(
    simulator: SimulatorProcess, kind: FaultKind, count: int, *, one_live_token: bool
) -> None:
    sick = sick_ones(count)
    serve(simulator, kind, sick, Limits(one_live_token=one_live_token))
    run = sync(simulator, start_date=SINCE).check(1)
    assert_healthy_rows_landed(simulator, run)
    for stream in STREAMS:
        for account in sick:
            assert len(lines_about(run, stream, account)) == 1
    # Each is refused eight times in each stream. One that is alone may ask for a new token each
    # time, for it may have died; of many together, each asks for few.
    stats = simulator.stats()
    assert stats.statuses["401"] >= 16 * count
    assert stats.tokens_issued <= 13 + 4 * count


@pytest.mark.parametrize("concurrency", [1, 10])
def test_what_was_read_whole_before_an_outage_is_emitted(
    simulator: SimulatorProcess, concurrency: int
) -> None:
    accounts = [Account(id=f"a{number:02}", sms=60) for number in range(60)]
    outage = Fault(kind="reset_before_body", endpoint="sms", requests=tuple(range(13, 2_000)))
    simulator.replace(scenario(*accounts, faults=(outage,)))
    run = sync(
        simulator, start_date=SINCE, max_concurrency=concurrency, constants=NO_PATIENCE
    ).check(1)
    answered = {
        entry.account_id
        for entry in simulator.stats().log
        if entry.endpoint == "sms" and entry.status == OK
    }
    assert len(answered) == 12
    truth = [
        row
        for row in simulator.truth("sms")
        if row["account_id"] in answered and row["start_time"] >= SINCE
    ]
    assert_same_rows("sms", run.records("sms"), truth)
    assert bookmarks(run.state, "sms") == dict.fromkeys(answered, FIRST_RUN.isoformat())
    assert any("nothing answers" in line for line in run.logged("ERROR"))


def test_a_fault_of_the_tap_costs_its_account_one_line(simulator: SimulatorProcess) -> None:
    # A constant of zero makes a division by zero where a window is split.
    busy = Account(id="busy", sms=400)
    simulator.replace(scenario(busy, *HEALTHY))
    fault = replace(SHORT_WAITS, most_rows=100, aimed_rows=0)
    run = sync(simulator, start_date=SINCE, constants=fault).check(1)
    truth = [row for row in simulator.truth("sms") if row["start_time"] >= SINCE]
    healthy = [row for row in truth if row["account_id"] != busy.id]
    assert len(truth) - len(healthy) > 100, "nothing was to be split"
    assert_same_rows("sms", run.records("sms"), healthy)
    names = {account.id for account in HEALTHY}
    assert bookmarks(run.state, "sms") == dict.fromkeys(names, FIRST_RUN.isoformat())
    assert set(bookmarks(run.state, "voice_calls")) == {*names, busy.id}
    (line,) = lines_about(run, "sms", busy)
    assert "ZeroDivisionError" in line


# The app's own account, and the list of sub accounts


def test_the_own_account_is_read_through_the_ordinary_endpoints(
    simulator: SimulatorProcess,
) -> None:
    own = Account(id=Scenario().account_id, sms=30, voice_calls=30)
    simulator.replace(scenario(own, Account(id="sub", sms=30, voice_calls=30)))
    both = sync(simulator, include_own_account=True).check()
    alone = sync(simulator, include_own_account=True, sub_account_ids=[]).check()
    assert {entry.path for entry in simulator.stats().log if entry.endpoint in STREAMS} == {
        f"/v2/contact_center/{stream}" for stream in STREAMS
    }
    without = sync(simulator).check()
    for stream in STREAMS:
        assert_same_rows(stream, both.records(stream), simulator.truth(stream))
        assert_same_rows(stream, alone.records(stream), simulator.truth(stream, own.id))
        assert_same_rows(stream, without.records(stream), simulator.truth(stream, "sub"))


def test_no_account_at_all_is_an_error(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="hidden", listed=False, sms=9)))
    run = sync(simulator).check(1)
    assert any("sub_account_ids" in line for line in run.logged("ERROR"))
    assert not run.records("sms")


def test_sub_accounts_are_a_stream_of_their_own(simulator: SimulatorProcess) -> None:
    accounts = [Account(id=f"sub{number}", name=f"Südzentrale {number}") for number in range(4)]
    hidden = Account(id="hidden", listed=False)
    simulator.replace(scenario(*accounts, hidden))
    run = sync(simulator).check()
    rows = {row["id"]: row for row in run.records("sub_accounts")}
    assert {name: row["account_name"] for name, row in rows.items()} == {
        account.id: account.name for account in accounts
    }
    assert all(row["created_at"].endswith("+00:00") for row in rows.values())
    assert simulator.stats().requests["accounts"] == {"": 1}, "the list is read once for all"
    named = sync(simulator, sub_account_ids=["sub1"]).check()
    assert not named.records("sub_accounts")
    assert "accounts" not in simulator.stats().requests, "the list needs a scope of its own"


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("page_token_expired", 1), ("rows_shift", 1), ("token_after_last_page", None)],
)
def test_the_list_of_accounts_is_read_over_all_its_pages(
    simulator: SimulatorProcess, discovered: dict[str, Any], kind: FaultKind, limit: int | None
) -> None:
    names = [f"page{number:04}" for number in range(650)]
    fault = Fault(kind=kind, endpoint="accounts", limit=limit)
    simulator.replace(scenario(*(Account(id=name) for name in names), faults=(fault,)))
    run = sync(simulator, catalog=selecting(discovered, ["sub_accounts"])).check()
    assert sorted(row["id"] for row in run.records("sub_accounts")) == names
    assert simulator.stats().requests.keys() == {"token", "accounts"}


def test_a_list_of_accounts_that_lacks_some_is_not_taken_for_all(
    simulator: SimulatorProcess,
) -> None:
    fault = Fault(kind="total_too_high", endpoint="accounts")
    simulator.replace(scenario(Account(id="one", sms=5), faults=(fault,)))
    run = sync(simulator).check(1)
    assert any("2 sub accounts but listed 1" in line for line in run.logged("ERROR"))
    accepted = sync(simulator, on_count_mismatch="warn").check()
    assert_same_rows("sms", accepted.records("sms"), simulator.truth("sms"))


def test_a_list_of_accounts_that_was_never_read_to_its_end_is_not_accepted(
    simulator: SimulatorProcess,
) -> None:
    accounts = [Account(id=f"page{number:04}") for number in range(350)]
    expired = Fault(kind="page_token_expired", endpoint="accounts")
    simulator.replace(scenario(*accounts, faults=(expired,)))
    run = sync(simulator, on_count_mismatch="warn").check(1)
    assert any("page token has expired" in line for line in run.logged("ERROR"))
    assert not run.states


def test_an_account_id_is_encoded_in_the_path(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="a..b?c=1#d%2F e+ü", sms=5)))
    run = sync(simulator).check()
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))

"""Every account is read that can be; one that cannot is named and does not stop the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Fault, Limits, Refusal, Scenario
from tests.harness.constants import NO_PATIENCE, SHORT_WAITS
from tests.harness.history import DAY, FIRST_RUN, scenario
from tests.harness.rows import assert_complete, assert_same_rows, truth_of
from tests.harness.singer import bookmarks, selecting, state_of
from tests.harness.tap import sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import FaultKind
    from tests.harness.process import TapRun
    from tests.harness.singer import Record

NOW = FIRST_RUN.isoformat()
SINCE = (FIRST_RUN - 20 * DAY).isoformat()


def since(rows: list[Record]) -> list[Record]:
    return [row for row in rows if row["start_time"] >= SINCE]


def lines_about(run: TapRun, level: str, stream: str, account: Account) -> list[str]:
    return [line for line in run.logged(level) if f"| {stream}, account {account.id}: " in line]


# Accounts that refuse

REFUSALS = [
    Refusal(),
    Refusal(status=404, code=2001, message="Account does not exist."),
    Refusal(status=400, code=200, message="Contact Center is not enabled."),
]


def test_a_listed_account_that_refuses_is_skipped_unless_it_could_be_read_once(
    simulator: SimulatorProcess,
) -> None:
    refusing = [
        Account(id=f"refuses{number}", sms_refusal=refusal, voice_calls_refusal=refusal)
        for number, refusal in enumerate(REFUSALS)
    ]
    simulator.replace(scenario(Account(id="well", sms=20, voice_calls=20), *refusing))
    run = sync(simulator).check()
    assert_complete(simulator, run)
    for stream in STREAMS:
        assert bookmarks(run.state, stream) == {"well": NOW}
        for account in refusing:
            (warning,) = lines_about(run, "WARNING", stream, account)
            assert "skipped" in warning

    before = dict.fromkeys(["well", *(account.id for account in refusing)], SINCE)
    run = sync(simulator, state={"bookmarks": state_of("sms", before)}).check(1)
    assert bookmarks(run.state, "sms") == {**before, "well": NOW}
    assert all(lines_about(run, "ERROR", "sms", account) for account in refusing)


def test_a_listed_account_that_refuses_after_it_answered_fails(simulator: SimulatorProcess) -> None:
    # It has no bookmark, so a refusal from the start would only be a warning.
    first = Account(id="first", sms=250)
    late = Fault(kind="account_refuses", endpoint="sms", account_id="first", requests=(2,))
    simulator.replace(scenario(first, Account(id="second", sms=20), faults=(late,)))
    run = sync(simulator, start_date=SINCE, max_concurrency=1).check(1)
    assert lines_about(run, "ERROR", "sms", first)
    assert bookmarks(run.state, "sms").keys() == {"second"}


def test_a_run_in_which_every_account_refuses_fails(simulator: SimulatorProcess) -> None:
    refusing = [Account(id=name, sms_refusal=Refusal()) for name in ("one", "two")]
    simulator.replace(scenario(*refusing))
    run = sync(simulator).check(1)
    assert any("not one account" in line and "sms" in line for line in run.logged("ERROR"))
    assert bookmarks(run.state, "sms") == {}
    assert set(bookmarks(run.state, "voice_calls")) == {"one", "two"}


# Sick accounts among healthy ones

HEALTHY = tuple(Account(id=f"healthy{number:02}", sms=20, voice_calls=20) for number in range(12))
NAMES = {account.id for account in HEALTHY}


@pytest.mark.parametrize(
    ("kind", "count", "one_live_token"),
    [
        ("reset_before_body", 12, False),
        ("401_code_124", 1, False),
        ("401_code_124", 12, False),
        ("401_status_false", 12, True),
    ],
)
def test_sick_accounts_are_no_outage_fail_alone_and_storm_no_token_endpoint(
    simulator: SimulatorProcess, kind: FaultKind, count: int, *, one_live_token: bool
) -> None:
    sick = [replace(account, id=f"sick{n:02}") for n, account in enumerate(HEALTHY[:count])]
    faults = tuple(Fault(kind=kind, account_id=account.id) for account in sick)
    limits = Limits(one_live_token=one_live_token)
    simulator.replace(scenario(*sick, *HEALTHY, faults=faults, limits=limits))
    constants = NO_PATIENCE if kind == "reset_before_body" else SHORT_WAITS
    run = sync(simulator, start_date=SINCE, max_concurrency=10, constants=constants).check(1)
    truth = truth_of(simulator, NAMES).items()
    assert dict(run.engagements) == {key: row for key, row in truth if row["start_time"] >= SINCE}
    assert run.repeated == []
    for stream in STREAMS:
        assert bookmarks(run.state, stream) == dict.fromkeys(NAMES, NOW)
        assert all(len(lines_about(run, "ERROR", stream, account)) == 1 for account in sick)
    if kind != "reset_before_body":
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
        if entry.endpoint == "sms" and entry.status == 200
    }
    assert len(answered) == 12
    truth = [row for row in since(simulator.truth("sms")) if row["account_id"] in answered]
    assert_same_rows("sms", run.records("sms"), truth)
    assert bookmarks(run.state, "sms") == dict.fromkeys(answered, NOW)
    assert any("nothing answers" in line for line in run.logged("ERROR"))


def test_a_fault_of_the_tap_costs_its_account_one_line(simulator: SimulatorProcess) -> None:
    # A constant of zero makes a division by zero where a window is split.
    busy = Account(id="busy", sms=400)
    simulator.replace(scenario(busy, *HEALTHY))
    fault = replace(SHORT_WAITS, most_rows=100, aimed_rows=0)
    run = sync(simulator, start_date=SINCE, constants=fault).check(1)
    truth = since(simulator.truth("sms"))
    healthy = [row for row in truth if row["account_id"] != busy.id]
    assert len(truth) - len(healthy) > 100, "nothing was to be split"
    assert_same_rows("sms", run.records("sms"), healthy)
    assert bookmarks(run.state, "sms") == dict.fromkeys(NAMES, NOW)
    assert set(bookmarks(run.state, "voice_calls")) == {*NAMES, busy.id}
    (line,) = lines_about(run, "ERROR", "sms", busy)
    assert "ZeroDivisionError" in line


# The app's own account, and the list of sub accounts


def test_the_own_account_is_read_through_the_ordinary_endpoints(
    simulator: SimulatorProcess,
) -> None:
    own = Account(id=Scenario().account_id, sms=30, voice_calls=30)
    simulator.replace(scenario(own, Account(id="sub", sms=30, voice_calls=30)))
    assert_complete(simulator, sync(simulator, include_own_account=True).check())
    alone = sync(simulator, include_own_account=True, sub_account_ids=[]).check()
    paths = {entry.path for entry in simulator.stats().log if entry.endpoint in STREAMS}
    assert paths == {f"/v2/contact_center/{stream}" for stream in STREAMS}
    without = sync(simulator).check()
    for stream in STREAMS:
        assert_same_rows(stream, alone.records(stream), simulator.truth(stream, own.id))
        assert_same_rows(stream, without.records(stream), simulator.truth(stream, "sub"))


def test_no_account_at_all_is_an_error(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="hidden", listed=False, sms=9)))
    run = sync(simulator).check(1)
    assert any("sub_account_ids" in line for line in run.logged("ERROR"))
    assert not run.records("sms")


def test_sub_accounts_are_a_stream_of_their_own(simulator: SimulatorProcess) -> None:
    accounts = [Account(id=f"sub{number}", name=f"Südzentrale {number}") for number in range(4)]
    simulator.replace(scenario(*accounts, Account(id="hidden", listed=False)))
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


def listing(kind: FaultKind, **when: Any) -> Fault:  # noqa: ANN401 (Fault's)
    return Fault(kind=kind, endpoint="accounts", **when)


MANY = [Account(id=f"page{number:04}") for number in range(650)]
NO_COUNT = listing("missing_total_records")


@pytest.mark.parametrize(
    "faults",
    [
        [listing("page_token_expired", limit=1)],
        [listing("rows_shift", limit=1)],
        [listing("token_after_last_page")],
        [NO_COUNT, listing("page_repeated", requests=(1, 2))],
    ],
)
def test_the_list_of_accounts_is_read_over_all_its_pages(
    simulator: SimulatorProcess, discovered: dict[str, Any], faults: list[Fault]
) -> None:
    simulator.replace(scenario(*MANY, faults=tuple(faults)))
    run = sync(simulator, catalog=selecting(discovered, ["sub_accounts"])).check()
    assert sorted(row["id"] for row in run.records("sub_accounts")) == [each.id for each in MANY]
    assert simulator.stats().requests.keys() == {"token", "accounts"}


@pytest.mark.parametrize(
    ("faults", "setting", "said"),
    [
        ([listing("total_too_high")], "fail", "651 sub accounts but listed 650"),
        ([NO_COUNT, listing("page_repeated")], "fail", "an unknown number of sub accounts"),
        ([listing("page_token_expired")], "warn", "or name the accounts in sub_account_ids"),
    ],
)
def test_a_list_of_accounts_that_lacks_some_is_not_taken_for_all(
    simulator: SimulatorProcess, faults: list[Fault], setting: str, said: str
) -> None:
    """Where it was never read to its end, it is not accepted either."""
    simulator.replace(scenario(*MANY, faults=tuple(faults)))
    run = sync(simulator, on_count_mismatch=setting).check(1)
    assert said in run.logged("ERROR")[-1]
    assert not run.states


def test_a_list_of_accounts_that_lacks_some_can_be_accepted(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="one", sms=5), faults=(listing("total_too_high"),)))
    run = sync(simulator, on_count_mismatch="warn").check()
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))


def test_an_account_id_is_encoded_in_the_path(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="a..b?c=1#d%2F e+ü", sms=5)))
    run = sync(simulator).check()
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))

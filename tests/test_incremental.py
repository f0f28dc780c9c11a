"""From run to run: nothing lost, nothing twice, no request too many, bookmarks that mean it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs

import pytest

from simulator.scenario import (
    STREAMS,
    Account,
    Clock,
    Fault,
    Readings,
    Refusal,
    Scenario,
)
from tap_zoom_cc.zoom.filters import declared
from tests.tap_process import (
    assert_nothing_twice,
    assert_same_rows,
    bookmarks,
    run_tap,
    selecting,
    state_of,
)
from tests.tap_process import by_key as keyed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream
    from tests.tap_process import Record, State, TapRun
    from tests.warm_tap import Constant

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
FIRST_RUN = datetime(2024, 2, 20, 15, 30, tzinfo=timezone.utc)
SECOND_RUN = FIRST_RUN + DAY

FAST_RETRIES = {"tap_zoom_cc.zoom.client.FIRST_WAIT_SECONDS": 0.001}
STATE_AFTER_EACH_WINDOW = {"tap_zoom_cc.engagements.SECONDS_BETWEEN_STATES": 0.0}


def scenario(*accounts: Account, **options: Any) -> Scenario:  # noqa: ANN401 (Scenario's)
    return Scenario(
        accounts=accounts,
        history_begin=BEGIN,
        history_end=SECOND_RUN,
        **{"clock": Clock(now=FIRST_RUN), **options},
    )


def sync(
    simulator: SimulatorProcess,
    now: datetime = FIRST_RUN,
    *,
    state: State | None = None,
    catalog: dict[str, Any] | None = None,
    constants: Mapping[str, Constant] | None = None,
    **settings: object,
) -> TapRun:
    """Run the tap at an instant of the simulator's clock, which its own cannot be set to."""
    simulator.reset_stats()
    simulator.set_clock(now)
    config = {
        **simulator.tap_config(),
        "start_date": BEGIN.isoformat(),
        "end_date": now.isoformat(),
        "requests_per_second": 1000,
        **settings,
    }
    config = {name: value for name, value in config.items() if value is not None}
    return run_tap(config, state=state, catalog=catalog, constants=constants)


def engagement(name: str, start: datetime, end: datetime, **fields: object) -> Record:
    times = {"start_time": start.isoformat(), "end_time": end.isoformat()}
    return {"engagement_id": f"{name}-0000000000", **times, **fields}


def requests_to(simulator: SimulatorProcess, stream: Stream) -> list[dict[str, list[str]]]:
    """Return the query parameters of all requests to an endpoint, in order."""
    return [parse_qs(entry.query) for entry in simulator.stats().log if entry.endpoint == stream]


def accounts_asked(simulator: SimulatorProcess, stream: Stream) -> list[str | None]:
    """Return the accounts asked for, in order."""
    return [entry.account_id for entry in simulator.stats().log if entry.endpoint == stream]


def later_ones(lookback: timedelta) -> tuple[Record, ...]:
    """Return engagements that are still going on in the first run, within the lookback."""
    return (
        engagement("starts-with-the-lookback", FIRST_RUN - lookback, FIRST_RUN + HOUR),
        engagement("just-within", FIRST_RUN - lookback + HOUR, FIRST_RUN + HOUR),
        engagement("ends-after-the-run", FIRST_RUN - HOUR, FIRST_RUN + timedelta(seconds=1)),
        engagement("not-in-the-log-yet", FIRST_RUN - HOUR, FIRST_RUN - timedelta(seconds=5)),
        engagement("starts-at-the-run", FIRST_RUN, FIRST_RUN + HOUR),
        engagement("starts-later", FIRST_RUN + HOUR, FIRST_RUN + 2 * HOUR),
    )


def account_with_late_completions() -> Account:
    return Account(
        id="late",
        sms=100,
        explicit_sms=later_ones(3 * DAY),
        explicit_voice_calls=(
            *later_ones(1 * DAY),
            *(
                engagement(f"call-{day}", BEGIN + day * DAY, BEGIN + day * DAY + HOUR)
                for day in range(50)
            ),
        ),
    )


# Two syncs


@pytest.mark.parametrize("selects_on", ["start", "end", "overlap"])
@pytest.mark.parametrize("to_inclusive", [True, False])
def test_engagements_that_complete_late_are_not_lost(
    simulator: SimulatorProcess,
    selects_on: Literal["start", "end", "overlap"],
    *,
    to_inclusive: bool,
) -> None:
    readings = Readings(selects_on=selects_on, to_inclusive=to_inclusive)
    simulator.replace(scenario(account_with_late_completions(), readings=readings))
    first = sync(simulator).check()
    for stream in STREAMS:
        assert_same_rows(stream, first.records(stream), simulator.truth(stream))
    second = sync(simulator, SECOND_RUN, state=first.state).check()
    for stream in STREAMS:
        rows = [*first.records(stream), *second.records(stream)]
        assert_same_rows(stream, rows, simulator.truth(stream))
        assert_nothing_twice(stream, second.records(stream))
        assert len(second.records(stream)) < len(first.records(stream)), "all was read again"


def test_a_lookback_that_is_too_short_is_warned_about_because_it_loses_rows(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(account_with_late_completions()))
    lookback: dict[str, Any] = {"sms_lookback_days": 0, "voice_calls_lookback_days": 0.5}
    first = sync(simulator, **lookback).check()
    second = sync(simulator, SECOND_RUN, state=first.state, **lookback).check()
    for stream in STREAMS:
        assert any(f"{stream}_lookback_days" in line for line in first.logged("WARNING"))
        rows = keyed(stream, [*first.records(stream), *second.records(stream)])
        assert ("late", "just-within-0000000000") not in rows
        assert len(rows) < len(simulator.truth(stream))


def test_a_resumed_sync_asks_for_nothing_before_its_lookback(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="steady", sms=300, voice_calls=300)))
    first = sync(simulator).check()
    sync(simulator, SECOND_RUN, state=first.state, voice_calls_lookback_days=2.5).check()
    for stream, lookback in (("sms", 3 * DAY), ("voice_calls", 2.5 * DAY)):
        asked = requests_to(simulator, "sms" if stream == "sms" else "voice_calls")
        assert min(query["from"][0] for query in asked) == (FIRST_RUN - lookback).isoformat()
        assert max(query["to"][0] for query in asked) == SECOND_RUN.isoformat()


def test_the_lookback_does_not_reach_before_the_start_date(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="steady", sms=300)))
    start_date = (FIRST_RUN - DAY).isoformat()
    state = {"bookmarks": state_of("sms", {"steady": FIRST_RUN.isoformat()})}
    sync(simulator, SECOND_RUN, state=state, start_date=start_date).check()
    assert {query["from"][0] for query in requests_to(simulator, "sms")} == {start_date}


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


def test_an_account_that_appears_later_is_read_from_the_start(simulator: SimulatorProcess) -> None:
    old, new = Account(id="old", sms=100), Account(id="new", sms=100)
    simulator.replace(scenario(old))
    first = sync(simulator).check()
    simulator.replace(scenario(old, new))
    second = sync(simulator, SECOND_RUN, state=first.state).check()
    rows = [row for row in second.records("sms") if row["account_id"] == "new"]
    assert_same_rows("sms", rows, simulator.truth("sms", "new"))


# Bookmarks


def test_bookmarks_do_not_go_back(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="ahead", sms=300, voice_calls=300)))
    first = sync(simulator, SECOND_RUN).check()
    for end in (SECOND_RUN - DAY, SECOND_RUN - 20 * DAY):
        run = sync(simulator, SECOND_RUN, state=first.state, end_date=end.isoformat()).check()
        assert bookmarks(run.state, "sms") == {"ahead": SECOND_RUN.isoformat()}
        assert bookmarks(run.state, "voice_calls") == {"ahead": SECOND_RUN.isoformat()}
    assert "sms" not in simulator.stats().requests, "there was nothing to read"


def test_an_end_date_before_what_was_read_does_not_pass_for_a_sync(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="ahead", sms=300, voice_calls=300)))
    first = sync(simulator, SECOND_RUN).check()
    assert not first.logged("WARNING")
    end = SECOND_RUN - 20 * DAY
    run = sync(simulator, SECOND_RUN, state=first.state, end_date=end.isoformat()).check()
    for stream in STREAMS:
        (warning,) = [line for line in run.logged("WARNING") if f"{stream}: 1 of 1" in line]
        assert "end_date" in warning
        assert "a state of its own" in warning


def test_every_bookmark_ever_written_is_at_least_the_one_before(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="one", sms=900), Account(id="two", sms=900)))
    end = SECOND_RUN - 2 * DAY
    given = {"bookmarks": state_of("sms", {"one": FIRST_RUN.isoformat()})}
    run = sync(
        simulator,
        SECOND_RUN,
        state=given,
        end_date=end.isoformat(),
        constants=STATE_AFTER_EACH_WINDOW,
    ).check()
    history = [bookmarks(state, "sms") for state in run.states]
    assert history[-1] == {"one": FIRST_RUN.isoformat(), "two": end.isoformat()}
    assert len({state.get("two") for state in history}) > 2, "it moves window by window"
    for account in ("one", "two"):
        moves = [state[account] for state in history if account in state]
        assert moves == sorted(moves)


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


def test_a_bookmark_in_another_offset_is_the_same_instant(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="zone", sms=50)))
    elsewhere = FIRST_RUN.astimezone(timezone(timedelta(hours=-7)))
    state = {"bookmarks": state_of("sms", {"zone": elsewhere.isoformat()})}
    sync(simulator, SECOND_RUN, state=state).check()
    asked = {query["from"][0] for query in requests_to(simulator, "sms")}
    assert asked == {(FIRST_RUN - 3 * DAY).isoformat()}


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


# A share of the daily limit


def test_a_budget_of_requests_is_kept_and_reads_everything_in_the_end(
    simulator: SimulatorProcess,
) -> None:
    accounts = [Account(id=f"share{number}", sms=300, voice_calls=400) for number in range(3)]
    simulator.replace(scenario(*accounts, limits=replace(Scenario().limits, requests_per_day=20)))
    names = [account.id for account in accounts]
    rows: dict[str, list[Record]] = {stream: [] for stream in STREAMS}
    state: State | None = None
    is_spent = True
    day = 0
    while is_spent:
        run = sync(
            simulator,
            FIRST_RUN + day * DAY,
            state=state,
            max_requests_per_run=20,
            sub_account_ids=names,
            sms_lookback_days=1,
        ).check()
        state = run.state
        assert requests_sent(simulator) <= 20
        for stream in STREAMS:
            assert run.records(stream), "a stream was starved"
            assert_nothing_twice(stream, run.records(stream))
            rows[stream] += run.records(stream)
        is_spent = any("max_requests_per_run is spent" in line for line in run.lines)
        day += 1
        assert is_spent or day > 1, "the budget was meant to be too small for all"
        assert day < 9, "it does not come to an end"
    for stream in STREAMS:
        assert_same_rows(stream, rows[stream], simulator.truth(stream))


def requests_sent(simulator: SimulatorProcess) -> int:
    requests = simulator.stats().requests
    return sum(sum(requests.get(stream, {}).values()) for stream in STREAMS)


def test_a_budget_goes_to_every_account_in_turn(simulator: SimulatorProcess) -> None:
    names = [f"turn{number}" for number in range(6)]
    simulator.replace(scenario(*(Account(id=name, sms=20) for name in names)))
    asked: Counter[str | None] = Counter()
    state: State | None = None
    for _ in range(6):
        options: dict[str, Any] = {
            "max_requests_per_run": 4,
            "start_date": (FIRST_RUN - 80 * DAY).isoformat(),
        }
        run = sync(simulator, state=state, sub_account_ids=names, **options).check()
        state = run.state
        asked.update(accounts_asked(simulator, "sms"))
    assert asked.keys() == set(names), "an account was starved"
    assert bookmarks(state or {}, "sms").keys() == set(names), "asked, but never moved on"


def test_a_budget_for_less_than_one_window_is_an_error_not_an_endless_loop(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="big", sms=2000)))
    run = sync(simulator, max_requests_per_run=4, sub_account_ids=["big"]).check(1)
    assert any("max_requests_per_run" in line for line in run.logged("ERROR"))


def test_a_budget_that_only_rereads_the_lookback_is_an_error_not_an_endless_loop(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="busy", sms=30_000)))
    state = sync(simulator, sub_account_ids=["busy"]).check().state
    stuck = sync(
        simulator,
        SECOND_RUN,
        state=state,
        sub_account_ids=["busy"],
        sms_lookback_days=20,
        max_requests_per_run=80,
        max_concurrency=1,
    ).check(1)
    assert any("max_requests_per_run" in line for line in stuck.logged("ERROR"))
    assert bookmarks(stuck.state or state, "sms") == bookmarks(state, "sms")


def test_a_budget_too_small_for_one_account_is_an_error_though_others_are_read(
    simulator: SimulatorProcess,
) -> None:
    accounts = (Account(id="big", sms=2000), Account(id="small", sms=20))
    simulator.replace(scenario(*accounts))
    state: State | None = None
    for _ in range(3):
        run = sync(
            simulator,
            state=state,
            max_requests_per_run=12,
            start_date=(FIRST_RUN - 20 * DAY).isoformat(),
        ).check(1)
        state = run.state
        assert any("sms: max_requests_per_run" in line for line in run.logged("ERROR"))


def test_a_budget_is_spent_in_order_however_many_windows_are_read_side_by_side(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="busy", sms=20_000)))
    options: dict[str, Any] = {"sub_account_ids": ["busy"], "max_requests_per_run": 120}
    one = sync(simulator, max_concurrency=1, **options).check()
    ten = sync(simulator, max_concurrency=10, **options).check()
    assert one.records("sms")
    assert len(ten.records("sms")) == len(one.records("sms"))


def test_a_full_table_sync_that_runs_out_of_budget_fails(
    simulator: SimulatorProcess, discovered: dict[str, Any]
) -> None:
    simulator.replace(scenario(Account(id="full", sms=900)))
    catalog = selecting(discovered, ["sms"], replication_method="FULL_TABLE")
    run = sync(simulator, catalog=catalog, max_requests_per_run=6).check(1)
    assert any("full-table" in line for line in run.logged("ERROR"))


# Completeness


def miscounted(kind: Literal["total_too_high", "total_too_low"], **when: Any) -> Fault:  # noqa: ANN401 (Fault's)
    return Fault(kind=kind, endpoint="sms", account_id="short", by=7, **when)


def test_rows_that_zoom_counts_but_does_not_deliver_fail_the_run_and_keep_the_bookmark(
    simulator: SimulatorProcess,
) -> None:
    accounts = (Account(id="short", sms=50), Account(id="well", sms=50))
    simulator.replace(scenario(*accounts, faults=(miscounted("total_too_high"),)))
    start_date = (FIRST_RUN - 20 * DAY).isoformat()
    run = sync(simulator, start_date=start_date).check(1)
    truth = [row for row in simulator.truth("sms") if row["start_time"] >= start_date]
    assert_same_rows("sms", run.records("sms"), truth)
    assert bookmarks(run.state, "sms") == {"well": FIRST_RUN.isoformat()}
    found = sum(row["account_id"] == "short" for row in truth)
    line = next(line for line in run.logged("ERROR") if "bookmark stays" in line)
    assert f" {found + 7} " in line
    assert f" {found} " in line
    assert "short" in line


def test_on_count_mismatch_warn_accepts_and_goes_on(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="short", sms=50), faults=(miscounted("total_too_high"),)))
    run = sync(simulator, on_count_mismatch="warn").check()
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
    assert bookmarks(run.state, "sms") == {"short": FIRST_RUN.isoformat()}
    assert any("accepted" in line for line in run.logged("WARNING"))


def test_no_bookmark_passes_a_window_that_is_short(simulator: SimulatorProcess) -> None:
    start = FIRST_RUN - 80 * DAY
    fault = miscounted("total_too_high", requests=(2, 3, 4, 5))
    simulator.replace(
        replace(scenario(Account(id="short", sms=30), faults=(fault,)), history_begin=start)
    )
    state = {"bookmarks": state_of("sms", {"short": (start + DAY).isoformat()})}
    run = sync(
        simulator, state=state, start_date=start.isoformat(), max_concurrency=1, sms_lookback_days=1
    ).check(1)
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
    assert bookmarks(run.state, "sms") == {"short": (start + 28 * DAY).isoformat()}


def test_rows_that_shift_between_pages_are_found_by_reading_again(
    simulator: SimulatorProcess,
) -> None:
    fault = Fault(kind="rows_shift", endpoint="sms", requests=(1, 2, 3), limit=3)
    simulator.replace(scenario(Account(id="shifty", sms=600), faults=(fault,)))
    run = sync(simulator).check()
    assert simulator.stats().faults == {"rows_shift": 3}
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
    assert_nothing_twice("sms", run.records("sms"))


def test_more_rows_than_announced_are_loaded_with_one_warning(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="short", sms=500), faults=(miscounted("total_too_low"),)))
    run = sync(simulator).check()
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
    assert len([line for line in run.logged("WARNING") if "announced" in line]) == 1


def test_history_that_zoom_no_longer_keeps_is_said(simulator: SimulatorProcess) -> None:
    account = Account(id="forgetful", sms=300, voice_calls=300)
    simulator.replace(scenario(account, readings=Readings(history_days_kept=20)))
    run = sync(simulator).check()
    for stream in STREAMS:
        assert_same_rows(stream, run.records(stream), simulator.truth(stream))
        lines = [line for line in run.logged("WARNING") if f"{stream}, account forgetful" in line]
        assert len(lines) == 1
        assert "less history" in lines[0]


# Accounts


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(status=400, code=300, message="Invalid field."),
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
    run = sync(simulator, state=state, constants=FAST_RETRIES).check(1)
    for account in well:
        rows = [row for row in run.records("sms") if row["account_id"] == account.id]
        assert_same_rows("sms", rows, simulator.truth("sms", account.id))
    assert_same_rows("voice_calls", run.records("voice_calls"), simulator.truth("voice_calls"))
    now = FIRST_RUN.isoformat()
    assert bookmarks(run.state, "sms") == {"aaa": now, "sick": before, "zzz": now}
    assert any("account sick" in line and refusal.message in line for line in run.logged("ERROR"))
    recovered = sync(simulator_without_refusals(simulator), SECOND_RUN, state=run.state).check()
    rows = [
        row
        for row in [*run.records("sms"), *recovered.records("sms")]
        if row["account_id"] != "sick"
    ]
    truth = [row for row in simulator.truth("sms") if row["account_id"] != "sick"]
    assert_same_rows("sms", rows, truth)
    assert bookmarks(recovered.state, "sms")["sick"] == SECOND_RUN.isoformat()


def simulator_without_refusals(simulator: SimulatorProcess) -> SimulatorProcess:
    healthy = [
        replace(account, sms_refusal=None, voice_calls_refusal=None)
        for account in simulator.scenario.accounts
    ]
    simulator.replace(replace(simulator.scenario, accounts=tuple(healthy)))
    return simulator


REFUSALS = [
    Refusal(),
    Refusal(status=404, code=2001, message="Account does not exist."),
    Refusal(status=400, code=200, message="Contact Center is not enabled."),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: str(refusal.code))
def test_a_listed_account_that_never_could_be_read_is_skipped(
    simulator: SimulatorProcess, refusal: Refusal
) -> None:
    without = Account(id="without", sms_refusal=refusal, voice_calls_refusal=refusal)
    simulator.replace(scenario(Account(id="with", sms=20, voice_calls=20), without))
    run = sync(simulator).check()
    for stream in STREAMS:
        assert_same_rows(stream, run.records(stream), simulator.truth(stream))
        assert bookmarks(run.state, stream) == {"with": FIRST_RUN.isoformat()}
        warning = f"{stream}, account without"
        assert any(warning in line and "skipped" in line for line in run.logged("WARNING"))


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: str(refusal.code))
def test_an_account_that_lost_its_permission_fails_the_run(
    simulator: SimulatorProcess, refusal: Refusal
) -> None:
    lost = Account(id="lost", sms=20, sms_refusal=refusal)
    simulator.replace(scenario(Account(id="kept", sms=20), lost))
    before = (FIRST_RUN - DAY).isoformat()
    state = {"bookmarks": state_of("sms", {"kept": before, "lost": before})}
    run = sync(simulator, state=state).check(1)
    now = FIRST_RUN.isoformat()
    assert bookmarks(run.state, "sms") == {"kept": now, "lost": before}
    assert any("account lost" in line for line in run.logged("ERROR"))


def test_an_account_of_the_settings_that_refuses_fails_the_run(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="there", sms=20)))
    run = sync(simulator, sub_account_ids=["there", "nowhere"]).check(1)
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))
    assert bookmarks(run.state, "sms") == {"there": FIRST_RUN.isoformat()}
    assert any("account nowhere" in line for line in run.logged("ERROR"))


@pytest.mark.parametrize("refusal", [Refusal(), Refusal(status=400, code=3300, message="No.")])
def test_a_listed_account_that_refuses_after_it_answered_fails(
    simulator: SimulatorProcess, refusal: Refusal
) -> None:
    # It has no bookmark, so a refusal from the start would only be a warning.
    accounts = (Account(id="first", sms=250), Account(id="second", sms=20))
    late = Fault(
        kind="account_refuses", endpoint="sms", account_id="first", requests=(2,), refusal=refusal
    )
    simulator.replace(scenario(*accounts, faults=(late,)))
    run = sync(simulator, start_date=(FIRST_RUN - 20 * DAY).isoformat(), max_concurrency=1).check(1)
    assert any("sms, account first" in line for line in run.logged("ERROR"))
    assert "first" not in bookmarks(run.state, "sms")
    assert "second" in bookmarks(run.state, "sms")


@pytest.mark.parametrize("lasts", [False, True])
def test_a_list_of_accounts_without_a_count_that_repeats_itself_is_not_taken_for_whole(
    simulator: SimulatorProcess, *, lasts: bool
) -> None:
    accounts = [Account(id=f"a{number:04}") for number in range(700)]
    faults = (
        Fault(kind="missing_total_records", endpoint="accounts"),
        Fault(kind="page_repeated", endpoint="accounts", requests=() if lasts else (1, 2)),
    )
    simulator.replace(scenario(*accounts, faults=faults))
    run = sync(simulator, start_date=(FIRST_RUN - DAY).isoformat())
    if lasts:
        run.check(1)
        assert any("sub accounts" in line for line in run.logged("ERROR"))
    else:
        run.check()
        assert len(bookmarks(run.state, "sms")) == len(accounts)


def test_a_run_in_which_every_account_refuses_fails(simulator: SimulatorProcess) -> None:
    refusing = [Account(id=name, sms_refusal=Refusal()) for name in ("one", "two")]
    simulator.replace(scenario(*refusing))
    run = sync(simulator).check(1)
    assert any("not one account" in line and "sms" in line for line in run.logged("ERROR"))
    assert bookmarks(run.state, "sms") == {}
    assert set(bookmarks(run.state, "voice_calls")) == {"one", "two"}


@pytest.mark.parametrize(
    ("filters", "stream"),
    [
        ({"sms_filters": {"user_id": "agent-1"}}, "sms"),
        ({"sms_filters": {"engagement_id": "mine-0000000000"}}, "sms"),
        ({"voice_calls_filters": {"user_ids": ["agent-1"]}}, "voice_calls"),
        ({"voice_calls_filters": {"cc_queue_ids": ["queue-1"]}}, "voice_calls"),
    ],
    ids=str,
)
def test_a_filter_that_only_one_account_knows_means_no_rows_in_the_others(
    simulator: SimulatorProcess, filters: dict[str, Any], stream: Stream
) -> None:
    start = FIRST_RUN - 9 * HOUR
    mine = engagement(
        "mine",
        start,
        start + HOUR,
        agents=[{"user_id": "agent-1"}],
        queues=[{"cc_queue_id": "queue-1"}],
    )
    account = Account(id="mine", sms=30, explicit_sms=(mine,), explicit_voice_calls=(mine,))
    simulator.replace(scenario(account, Account(id="other", sms=30, voice_calls=30)))
    run = sync(simulator, **filters).check()
    assert [row["engagement_id"] for row in run.records(stream)] == ["mine-0000000000"]
    assert "other" not in bookmarks(run.state, stream)


def test_a_filter_that_no_account_knows_fails_the_run(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="one", sms=30), Account(id="two", sms=30)))
    run = sync(simulator, sms_filters={"user_id": "nobody"}).check(1)
    assert any("not one account" in line for line in run.logged("ERROR"))


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
    "faults",
    [
        (),
        (Fault(kind="page_token_expired", endpoint="accounts", limit=1),),
        (Fault(kind="rows_shift", endpoint="accounts", limit=1),),
        (Fault(kind="token_after_last_page", endpoint="accounts"),),
    ],
    ids=lambda faults: faults[0].kind if faults else "no fault",
)
def test_the_list_of_accounts_is_read_over_all_its_pages(
    simulator: SimulatorProcess, discovered: dict[str, Any], faults: tuple[Fault, ...]
) -> None:
    names = [f"page{number:04}" for number in range(650)]
    simulator.replace(scenario(*(Account(id=name) for name in names), faults=faults))
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
    assert any("sub accounts" in line for line in run.logged("ERROR"))
    assert not run.states


# What is asked for


def test_an_account_id_is_encoded_in_the_path(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="a..b?c=1#d%2F e+ü", sms=5)))
    run = sync(simulator).check()
    assert_same_rows("sms", run.records("sms"), simulator.truth("sms"))


def example(schema: Mapping[str, Any]) -> str | list[str]:
    """Return a value that a filter's schema allows; of a list, two."""
    if schema["type"] == "array":
        inner = schema["items"]
        two_letters = ["DE", "CH"] if "pattern" in inner else ["one", "two"]
        return list(inner.get("enum", two_letters)[:2])
    return str(schema.get("enum", ["one"])[0])


@pytest.mark.parametrize(
    ("stream", "name"), [(stream, name) for stream in STREAMS for name in declared(stream)]
)
def test_every_filter_reaches_the_server_in_the_form_of_the_document(
    simulator: SimulatorProcess, stream: Stream, name: str
) -> None:
    schema = declared(stream)[name]
    value = example(schema)
    simulator.replace(scenario(Account(id="one", sms=5, voice_calls=5)))
    settings: dict[str, Any] = {f"{stream}_filters": {name: value}}
    sync(simulator, sub_account_ids=["one"], **settings)
    values = [value] if isinstance(value, str) else value
    sent = [",".join(values)] if schema.get("x-style") == "comma" else values
    asked = requests_to(simulator, stream)
    assert asked
    assert all(query[name] == sent for query in asked)


@pytest.mark.parametrize(
    ("without", "filters", "view_type"),
    [
        ((), {}, "detail"),
        (("voice_call_details",), {}, "summary"),
        ((), {"view_type": "summary"}, "summary"),
        (("voice_call_details",), {"view_type": "detail"}, "detail"),
    ],
)
def test_call_details_are_asked_for_when_they_are_selected(
    simulator: SimulatorProcess,
    discovered: dict[str, Any],
    without: tuple[str, ...],
    filters: dict[str, str],
    view_type: str,
) -> None:
    simulator.replace(scenario(Account(id="calls", voice_calls=30)))
    catalog = selecting(discovered, ["voice_calls"], without=without)
    run = sync(simulator, catalog=catalog, voice_calls_filters=filters).check()
    asked = {query["view_type"][0] for query in requests_to(simulator, "voice_calls")}
    assert asked == {view_type}
    expected = [
        {
            name: value
            for name, value in row.items()
            if name not in without and not (view_type == "summary" and name == "voice_call_details")
        }
        for row in simulator.truth("voice_calls")
    ]
    assert_same_rows("voice_calls", run.records("voice_calls"), expected)


def test_filters_reach_the_server_as_the_document_writes_them(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="calls", sms=80, voice_calls=150)))
    sync(
        simulator,
        sms_filters={"country_iso_codes": ["US", "DE"], "direction": "inbound"},
        voice_calls_filters={
            "cc_queue_ids": ["none"],
            "types": ["external_call", "internal_call"],
            "team_names": ["My team", "Équipe de nuit"],
            "consumer_number": "+1 (555) 010-0000&page_size=1",
        },
    ).check()
    for query in requests_to(simulator, "sms"):
        assert query["country_iso_codes"] == ["US", "DE"], "a repeated parameter"
        assert query["direction"] == ["inbound"]
        assert query["page_size"] == ["100"]
    for query in requests_to(simulator, "voice_calls"):
        assert query["cc_queue_ids"] == ["none"]
        assert query["types"] == ["external_call", "internal_call"]
        assert query["team_names"] == ["My team,Équipe de nuit"], "comma-separated"
        assert query["consumer_number"] == ["+1 (555) 010-0000&page_size=1"]
        assert query["page_size"] == ["100"], "a value is never read as another parameter"
    raw = {entry.query for entry in simulator.stats().log if entry.endpoint in STREAMS}
    assert all("%2B00%3A00" in query for query in raw), "a bare + would be a space"
    assert all("next_page_token=None" not in query for query in raw)


def test_filtered_rows_are_those_that_zoom_selects_and_no_others(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="calls", sms=200)))
    run = sync(simulator, sms_filters={"direction": "outbound"}).check()
    truth = [row for row in simulator.truth("sms") if row.get("direction") == "outbound"]
    assert 0 < len(truth) < 200
    assert_same_rows("sms", run.records("sms"), truth)


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


def test_windows_are_at_most_28_days_and_join(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="one")))
    sync(simulator, start_date="2023-01-15T12:00:00.250+05:30", max_concurrency=1).check()
    asked = [(query["from"][0], query["to"][0]) for query in requests_to(simulator, "sms")]
    assert asked[0][0] == "2023-01-15T06:30:00+00:00"
    assert asked[-1][1] == FIRST_RUN.isoformat()
    for (_, end), (begin, _) in pairwise(asked):
        assert end == begin
    for begin, end in asked:
        assert datetime.fromisoformat(end) - datetime.fromisoformat(begin) <= 28 * DAY

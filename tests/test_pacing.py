"""One rate, one cool-down and one budget for all threads.

Time is a clock that the test moves: what is checked is computed, not measured.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_zoom_cc.run.stopping import Stop, StoppedError
from tap_zoom_cc.sync.fetch import Budget, Budgets, BudgetSpentError
from tap_zoom_cc.zoom.pacing import (
    LONGEST_MARGIN,
    NEAR_SECONDS,
    SHORTEST_COOL_DOWN_SECONDS,
    SLOWEST,
    Pacer,
)
from tap_zoom_cc.zoom.rules import LONG_WAIT_SECONDS
from tests.harness.clock import SleepingClock


@pytest.fixture
def clock() -> SleepingClock:
    """Give the clock that the pacer reads."""
    return SleepingClock()


def take(pacer: Pacer) -> None:
    with pacer.turn():
        pass


def turns(pacer: Pacer, clock: SleepingClock, number: int) -> list[float]:
    instants = []
    for _ in range(number):
        take(pacer)
        instants.append(clock.now)
    return instants


@pytest.mark.parametrize("rate", [0.5, 1, 5, 33.3])
def test_no_second_has_more_requests_than_the_rate_which_is_used_and_not_wasted(
    clock: SleepingClock, rate: float
) -> None:
    instants = turns(Pacer(rate, clock, clock), clock, 1000)
    for first, instant in enumerate(instants):
        within = [other for other in instants[first : first + 50] if other - instant < 1]
        assert len(within) <= max(1, rate)
    reached = (len(instants) - 1) / (instants[-1] - instants[0])
    assert 0.95 * rate <= reached <= rate


def test_a_pause_is_not_made_up_for_by_a_burst(clock: SleepingClock) -> None:
    pacer = Pacer(5, clock, clock)
    turns(pacer, clock, 3)
    clock.now += 60
    instants = turns(pacer, clock, 10)
    gaps = [later - earlier for earlier, later in pairwise(instants)]
    assert min(gaps) >= 0.15


def test_a_cool_down_holds_back_whoever_is_waiting_already(clock: SleepingClock) -> None:
    pacer = Pacer(10, clock, clock)
    turns(pacer, clock, 1)
    refusals = [5.0]
    began = clock.now

    def refuse_once() -> None:
        if refusals:
            pacer.cool_down(refusals.pop())

    clock.on_sleep = refuse_once
    (instant,) = turns(pacer, clock, 1)
    assert instant >= began + 5.0


@given(st.lists(st.one_of(st.none(), st.floats(-10_000, 10_000)), min_size=1, max_size=20))
def test_a_cool_down_is_never_endless_and_never_nothing(asked: list[float | None]) -> None:
    pacer = Pacer(5, Stop())
    take(pacer)
    for seconds in asked:
        wait = pacer.cool_down(seconds)
        assert SHORTEST_COOL_DOWN_SECONDS <= wait <= LONG_WAIT_SECONDS
        assert wait >= min(seconds or 0, LONG_WAIT_SECONDS)


def test_cool_downs_double_while_refusals_go_on_and_begin_anew_after_an_answer(
    clock: SleepingClock,
) -> None:
    pacer = Pacer(10, clock, clock)
    waits = []
    for _ in range(8):
        take(pacer)
        waits.append(pacer.cool_down(None))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    pacer.speed_up()
    take(pacer)
    assert pacer.cool_down(None) == 1


@pytest.mark.parametrize(
    ("asked", "waited"),
    [(70.0, 70.0), (300.0, 300.0), (4000.0, 300.0), (0.0, 1.0), (-86_400.0, 1.0)],
    ids=["longer than a minute", "the longest", "longer still", "now", "in the past"],
)
def test_what_a_refusal_asks_for_is_kept_in_full(
    clock: SleepingClock, asked: float, waited: float
) -> None:
    pacer = Pacer(10, clock, clock)
    take(pacer)
    refused = clock.now
    assert pacer.cool_down(asked) == waited
    take(pacer)
    assert clock.now >= refused + waited


def test_a_request_is_near_its_turn_when_it_may_open_its_connection(clock: SleepingClock) -> None:
    pacer = Pacer(10, clock, clock)
    take(pacer)
    pacer.cool_down(100)
    turn = clock.now + 100
    with pacer.approach():
        assert turn - NEAR_SECONDS <= clock.now < turn


def test_no_more_requests_are_near_than_have_their_turn_within_that_time() -> None:
    pacer = Pacer(1, Stop())
    near, go_on = threading.Semaphore(0), threading.Event()

    def approach() -> None:
        with pacer.approach():
            near.release()
            go_on.wait()

    threads = [threading.Thread(target=approach) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(int(NEAR_SECONDS)):
            assert near.acquire(timeout=30)
        assert not near.acquire(timeout=0.2)
    finally:
        go_on.set()
        for thread in threads:
            thread.join()


def test_refusals_slow_the_run_down_to_a_bound_and_answers_bring_it_back(
    clock: SleepingClock,
) -> None:
    pacer = Pacer(10, clock, clock)
    at_first = pacer.interval
    slower = [at_first]
    for _ in range(60):
        turns(pacer, clock, 1)
        pacer.cool_down(None)
        slower.append(pacer.interval)
    assert slower == sorted(slower)
    assert slower[1] > at_first
    assert slower[-1] == pytest.approx(SLOWEST * (1 + LONGEST_MARGIN) / 10)
    for _ in range(10_000):
        pacer.speed_up()
    assert at_first <= pacer.interval <= (1 + LONGEST_MARGIN) / 10


def test_requests_that_are_refused_together_slow_the_run_down_once(clock: SleepingClock) -> None:
    pacer = Pacer(10, clock, clock)
    barrier = threading.Barrier(5, timeout=30)

    def be_refused() -> None:
        take(pacer)
        barrier.wait()
        pacer.cool_down(None)

    once = Pacer(10, clock, clock)
    take(once)
    once.cool_down(None)
    threads = [threading.Thread(target=be_refused) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert pacer.interval == pytest.approx(once.interval)


def test_after_requests_were_ended_nobody_connects_or_sends(clock: SleepingClock) -> None:
    pacer = Pacer(10, clock, clock)
    turns(pacer, clock, 1)
    clock.end_requests()
    for wait in (pacer.approach, pacer.turn):
        with ExitStack() as stack, pytest.raises(StoppedError):
            stack.enter_context(wait())


def test_a_stop_ends_the_wait_for_a_turn() -> None:
    stop = Stop()
    pacer = Pacer(0.001, stop)
    take(pacer)
    threading.Timer(0.0, stop.ask, ["enough", 143]).start()
    with pytest.raises(StoppedError):
        take(pacer)


def test_the_first_reason_to_stop_is_kept() -> None:
    stop = Stop()
    assert not stop.asked
    stop.check()
    stop.ask("first", 143)
    stop.ask("second", 1)
    assert (stop.reason, stop.exit_code) == ("first", 143)
    with pytest.raises(StoppedError, match="first"):
        stop.check()


# Budgets


@given(st.integers(0, 200), st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=40))
def test_a_budget_is_never_overspent(allowed: int, reservations: list[tuple[int, bool]]) -> None:
    budget = Budget(allowed)
    granted = 0
    for requests, begins in reservations:
        before = budget.spent_requests
        with suppress(BudgetSpentError):
            budget.reserve(requests, begins=begins)
            granted += requests
            assert budget.spent_requests == before + requests
    assert granted == budget.spent_requests <= allowed


def test_nothing_begins_after_something_could_not_go_on() -> None:
    budget = Budget(10)
    budget.reserve(1, begins=True)
    with pytest.raises(BudgetSpentError):
        budget.reserve(10)
    with pytest.raises(BudgetSpentError):
        budget.reserve(1, begins=True)
    budget.reserve(9)
    assert budget.spent_requests == 10


def test_what_a_stream_leaves_of_its_even_share_is_there_for_the_next_ones() -> None:
    budgets = Budgets(9, streams=3)
    first = budgets.open()
    first.reserve(1)
    assert (first.allowed, budgets.open().allowed) == (3, 4)
    assert budgets.open().allowed == 8


def test_no_budget_is_no_limit() -> None:
    budget = Budget(None)
    budget.reserve(10**9, begins=True)
    assert not budget.exhausted

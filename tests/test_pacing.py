"""One rate, one cool-down and one budget for all threads, and how often a request is sent again.

Time is a clock that the test moves: what is checked is computed, not measured.
"""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tap_zoom_cc.run.stopping import Stop, StoppedError
from tap_zoom_cc.sync.fetch import Budget, Budgets, BudgetSpentError
from tap_zoom_cc.zoom.answers import Answer
from tap_zoom_cc.zoom.errors import AnswerError
from tap_zoom_cc.zoom.pacing import LONGEST_MARGIN, NEAR_SECONDS, SLOWEST, Pacer, with_retries
from tap_zoom_cc.zoom.rules import PATIENCE_SECONDS, SLOW_TRIES, TRIES, Condition, decide
from tests.harness.clock import SteadyClock

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def clock() -> SteadyClock:
    return SteadyClock()


@pytest.fixture
def pacer(clock: SteadyClock) -> Pacer:
    """Give a pacer that has let a request through."""
    pacer = Pacer(10, clock, clock)
    take(pacer)
    return pacer


def take(pacer: Pacer) -> None:
    with pacer.turn():
        pass


def turns(pacer: Pacer, clock: SteadyClock, number: int) -> list[float]:
    instants = []
    for _ in range(number):
        take(pacer)
        instants.append(clock.now)
    return instants


@pytest.mark.parametrize("rate", [0.5, 1, 5, 33.3])
def test_no_second_has_more_requests_than_the_rate_which_is_used_and_not_wasted(
    clock: SteadyClock, rate: float
) -> None:
    pacer = Pacer(rate, clock, clock)
    instants = turns(pacer, clock, 1000)
    for first, instant in enumerate(instants):
        within = [other for other in instants[first : first + 50] if other - instant < 1]
        assert len(within) <= max(1, rate)
    reached = (len(instants) - 1) / (instants[-1] - instants[0])
    assert 0.95 * rate <= reached <= rate
    clock.now += 60
    gaps = [later - earlier for earlier, later in pairwise(turns(pacer, clock, 10))]
    assert min(gaps) >= 0.75 / rate, "a pause was made up for by a burst"


def test_a_cool_down_holds_back_whoever_is_waiting_already(
    pacer: Pacer, clock: SteadyClock
) -> None:
    refusals = [5.0]
    began = clock.now

    def refuse_once() -> None:
        if refusals:
            pacer.cool_down(refusals.pop())

    clock.on_sleep = refuse_once
    take(pacer)
    assert clock.now >= began + 5.0


def test_cool_downs_double_while_refusals_go_on_and_begin_anew_after_an_answer(
    pacer: Pacer,
) -> None:
    waits = []
    for _ in range(8):
        waits.append(pacer.cool_down(None))
        take(pacer)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    pacer.speed_up()
    assert pacer.cool_down(None) == 1


@pytest.mark.parametrize(
    ("asked", "waited"),
    [(70.0, 70.0), (4000.0, 300.0), (0.0, 1.0), (-86_400.0, 1.0)],
)
def test_what_a_refusal_asks_for_is_kept_in_full(
    pacer: Pacer, clock: SteadyClock, asked: float, waited: float
) -> None:
    refused = clock.now
    assert pacer.cool_down(asked) == waited
    take(pacer)
    assert clock.now >= refused + waited


def test_a_request_is_near_its_turn_when_it_may_open_its_connection(
    pacer: Pacer, clock: SteadyClock
) -> None:
    pacer.cool_down(100)
    turn = clock.now + 100
    with pacer.approach():
        assert turn - NEAR_SECONDS <= clock.now < turn


def test_refusals_slow_the_run_down_to_a_bound_and_answers_bring_it_back(
    clock: SteadyClock,
) -> None:
    pacer = Pacer(10, clock, clock)
    at_first = pacer.interval
    slower = [at_first]
    for _ in range(60):
        take(pacer)
        pacer.cool_down(None)
        slower.append(pacer.interval)
    assert slower == sorted(slower)
    assert slower[1] > at_first
    assert slower[-1] == pytest.approx(SLOWEST * (1 + LONGEST_MARGIN) / 10)
    pacer.speed_up()
    assert 2 * at_first < pacer.interval < slower[-1], "a little with each answer"
    for _ in range(10_000):
        pacer.speed_up()
    assert at_first <= pacer.interval <= (1 + LONGEST_MARGIN) / 10


def test_requests_that_are_refused_together_slow_the_run_down_once(pacer: Pacer) -> None:
    with ThreadPoolExecutor(1) as another:
        another.submit(take, pacer).result()
        pacer.cool_down(None)
        slow = pacer.interval
        another.submit(pacer.cool_down, None).result()
    assert pacer.interval == slow


# Stopping


@pytest.mark.parametrize("end", [Stop.end_requests, lambda stop: stop.ask("enough", 143)])
def test_a_wait_ends_at_once_with_the_run_or_with_its_requests(
    end: Callable[[Stop], None],
) -> None:
    stop = Stop()
    threading.Timer(0.0, end, [stop]).start()
    with pytest.raises(StoppedError):
        stop.sleep(100)


def test_the_first_reason_to_stop_is_kept() -> None:
    stop = Stop()
    stop.check()
    stop.ask("first", 143)
    stop.ask("second", 1)
    with pytest.raises(StoppedError, match="first") as stopped:
        stop.check()
    assert stopped.value.exit_code == 143


# Tries


def error_of(answer: Answer, *conditions: Condition) -> AnswerError:
    return AnswerError(decide(answer, set(conditions)), answer)


def tries(*errors: AnswerError) -> int:
    """Return how often a request is sent that ends with these errors, and then well."""
    left = iter(errors)
    sent = 0

    def send() -> None:
        nonlocal sent
        sent += 1
        for error in left:
            raise error

    with suppress(AnswerError):
        with_retries(send, stop=Stop(), on_retry=lambda *_: None)
    return sent


def test_a_request_is_sent_a_bounded_number_of_times_even_if_its_errors_differ() -> None:
    differing = [error_of(Answer(503, wait=0.0)), error_of(Answer(200, wait=0.0))]
    assert tries(*differing * TRIES) == TRIES


def test_the_patience_with_refusals_for_the_rate_begins_at_the_first_of_them() -> None:
    asked_to_wait_all_of_it = error_of(Answer(429, wait=PATIENCE_SECONDS))
    assert tries(error_of(Answer(503, wait=0.0)), asked_to_wait_all_of_it) == 3


def test_slow_answers_are_few_though_an_outage_is_seen_meanwhile() -> None:
    alone = error_of(Answer(0, wait=0.0), Condition.SLOW)
    of_many = error_of(Answer(0, wait=0.0), Condition.SLOW, Condition.OUTAGE)
    assert tries(alone, of_many, of_many, of_many) == SLOW_TRIES


def test_no_body_of_a_failed_try_is_held_until_garbage_is_collected() -> None:
    held: list[weakref.ref[set[int]]] = []

    def send() -> None:
        body = set[int]()
        held.append(weakref.ref(body))
        try:
            refuse(body)
        except ValueError as error:
            # An error that its own traceback refers to.
            refusal = error_of(Answer(200, wait=0.0))
            raise refusal from error

    def refuse(body: set[int]) -> None:
        raise ValueError(f"{body} is no page")

    def none_is_held(_: object, __: float) -> None:
        assert not [body for body in held if body() is not None]

    gc.disable()
    try:
        with pytest.raises(AnswerError):
            with_retries(send, stop=Stop(), on_retry=none_is_held)
    finally:
        gc.enable()
    assert len(held) == TRIES


# Budgets


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

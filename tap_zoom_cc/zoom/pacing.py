"""When requests are sent: the pace of the whole run, and the waits between the tries of one.

Zoom counts requests per account and second over all endpoints of a label, and may disable an app
that is refused too often. So requests leave about evenly spaced, never in bursts, and one rate and
one cool-down are for all threads and streams. A request is sent again as the rules say, for a page
or for an access token, after growing waits. After a refusal for the rate it is the pacer that
waits, for the whole run.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter, deque
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, TypeVar

import backoff

from tap_zoom_cc.zoom.errors import AnswerError
from tap_zoom_cc.zoom.rules import LONG_WAIT_SECONDS, PATIENCE_SECONDS, TRIES, Action

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tap_zoom_cc.run.stopping import Stop

Result = TypeVar("Result")

FIRST_MARGIN = 0.04
"""Seconds by which one request may travel longer than another without being too many in a second.

Measured: machine, network and server delay one request by up to some 30 ms more than another.
"""

LONGEST_MARGIN = 0.2

EVENNESS = 0.9
"""The share of the mean interval that must lie between two requests.

Threads wake up late. With room to catch up that costs no throughput, and makes no bursts.
"""

SLOW_DOWN = 1.25
WIDEN_MARGIN = 0.01
"""Factor on the interval after a refusal; seconds added to the margin."""

SPEED_UP = 0.995
"""Factor on the interval after each answer, until the configured rate is reached again."""

SLOWEST = 8.0

LONGEST_SLEEP_SECONDS = 0.5

NEAR_SECONDS = 2.0
"""How long before its turn a request may open its connection (own choice).

Enough for a slow handshake, and less than any server waits for a request.
"""

SHORTEST_COOL_DOWN_SECONDS = 1.0
LONGEST_COOL_DOWN_SECONDS = 60.0
"""When refusals do not say how long to wait, cool-downs double up to this (own choice)."""

FIRST_BACKOFF_SECONDS = 0.5
"""The longest wait before the second try; it doubles with each further one."""

LONGEST_BACKOFF_SECONDS = 30.0
"""What it grows to, where Zoom does not ask for another wait."""

SENT_AGAIN = (Action.RETRY, Action.COOL_DOWN, Action.RENEW_TOKEN)


class LastRequest(threading.local):
    """The last request of each thread."""

    sent_at = -inf
    """When it left, in seconds, by the pacer's clock."""


class Pacer:
    """Lets one request after another through, at most ``requests_per_second``. Thread-safe.

    With n being that number, rounded down, a request waits until the n-th before it left at least
    one second and the margin ago. Each refusal slows the run down for a while, and widens the
    margin for good: how unevenly requests travel, and how many other apps share the limit, shows
    only in practice (own choice).
    """

    def __init__(
        self,
        requests_per_second: float,
        stop: Stop,
        clock: Callable[[], float] = time.monotonic,
        *,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        """Start at the full rate.

        Args:
            requests_per_second: how many requests may leave in a second.
            stop: ends every wait.
            clock: gives seconds that only grow.
            on_turn: called whenever a request may be sent.
        """
        count = max(1, int(requests_per_second))
        self._shortest_period = max(1.0, count / requests_per_second)
        self._stop = stop
        self._clock = clock
        self._on_turn = on_turn
        self._near = threading.Semaphore(max(1, int(requests_per_second * NEAR_SECONDS)))
        self._turn = threading.Lock()
        self.last = LastRequest()
        self._state = threading.Lock()
        self._sent: deque[float] = deque([-inf] * count, maxlen=count)
        self._margin = FIRST_MARGIN
        self._slowness = 1.0
        self._cooled_until = 0.0
        self._cooled_at = 0.0
        self._unasked_wait = 0.0

    @property
    def interval(self) -> float:
        """The mean seconds between two requests at present."""
        return (self._shortest_period + self._margin) * self._slowness / len(self._sent)

    @contextmanager
    def approach(self) -> Iterator[None]:
        """Wait until the turn is at most some `NEAR_SECONDS` away, and keep a place until then.

        As many places are given as turns come within that time.

        Raises:
            StoppedError: when the run is to end, or nothing more is to be sent.
        """
        with self._near:
            self._wait_for_turn(NEAR_SECONDS)
            yield

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until the next request may be sent, and let nobody else send it meanwhile.

        Send it within the context, and do nothing else there: the time counts from its end.

        Raises:
            StoppedError: when the run is to end, or nothing more is to be sent.
        """
        with self._turn:
            self._wait_for_turn()
            self._on_turn()
            yield
            with self._state:
                self.last.sent_at = self._clock()
                self._sent.append(self.last.sent_at)

    def _wait_for_turn(self, seconds_before: float = 0.0) -> None:
        """Wait until so many seconds before the next turn."""
        left = inf
        while left > 0:
            with self._state:
                turn = max(
                    self._cooled_until,
                    self._sent[-1] + self.interval * EVENNESS,
                    self._sent[0] + self.interval * len(self._sent),
                )
            left = max(0.0, turn - seconds_before - self._clock())
            # Looked at again after each wait: a refusal meanwhile moves the next turn.
            self._stop.sleep(min(left, LONGEST_SLEEP_SECONDS))

    def cool_down(self, seconds: float | None) -> float:
        """Hold back everything after the calling thread's request was refused as one too many.

        Requests that were on their way when another was refused are refused for the same reason:
        they count once. Each further refusal without an answer in between doubles the wait.

        Args:
            seconds: what Zoom asks for, even if it is not in the future, or None when it does not
                say.

        Returns:
            The seconds that the run waits.
        """
        with self._state:
            now = self._clock()
            if self.last.sent_at > self._cooled_at:
                self._slowness = min(self._slowness * SLOW_DOWN, SLOWEST)
                self._margin = min(self._margin + WIDEN_MARGIN, LONGEST_MARGIN)
                self._cooled_at = now
                self._unasked_wait = min(
                    max(self._unasked_wait * 2, SHORTEST_COOL_DOWN_SECONDS),
                    LONGEST_COOL_DOWN_SECONDS,
                )
            wait = self._unasked_wait if seconds is None else min(seconds, LONG_WAIT_SECONDS)
            wait = max(wait, SHORTEST_COOL_DOWN_SECONDS)
            self._cooled_until = max(self._cooled_until, now + wait)
            return wait

    def speed_up(self) -> None:
        """Come back towards the full rate, a little with each request that was answered."""
        if self._slowness > 1.0:  # As it is after each refusal.
            with self._state:
                self._unasked_wait = 0.0
                self._slowness = max(1.0, self._slowness * SPEED_UP)


def with_retries(
    send: Callable[[], Result], *, stop: Stop, on_retry: Callable[[AnswerError, float], None]
) -> Result:
    """Return what ``send`` returns, calling it again after answers whose rules ask for it.

    Between two tries it waits as long as Zoom asks; else, with some chance in it, up to twice as
    long each time. A cool-down is the pacer's, which holds back the whole run.

    Args:
        send: sends the request; raises `AnswerError` for an answer that is not what was asked for.
        stop: ends every wait.
        on_retry: called before each wait with the error and the seconds.

    Raises:
        AnswerError: the last one, when there is to be no other try.
        StoppedError: when the run is to end, or nothing more is to be sent.
    """
    tries: Counter[str] = Counter()
    first_refused_at = inf
    slept = 0.0

    def is_final(error: Exception) -> bool:
        nonlocal first_refused_at
        _let_go_of_bodies(error)
        if not isinstance(error, AnswerError) or error.rule.action not in SENT_AGAIN:
            return True
        rule, asked_wait = error.rule, error.answer.wait or 0.0
        if rule.tries is None:
            now = time.monotonic()
            first_refused_at = min(first_refused_at, now)
            return now - first_refused_at + asked_wait > PATIENCE_SECONDS
        # Waits for a turn or for a token do not count: they say nothing of this request.
        tries[rule.meaning] += 1
        is_last = tries[rule.meaning] >= rule.tries or tries.total() >= TRIES
        return is_last or slept + asked_wait > PATIENCE_SECONDS

    def waits() -> Generator[float, AnswerError, None]:
        """Wait before each further try; backoff itself would sleep on when the run is to end."""
        nonlocal slept
        error = yield 0.0
        longest = FIRST_BACKOFF_SECONDS
        while True:
            seconds = backoff.full_jitter(longest)
            if error.rule.action is Action.COOL_DOWN:
                seconds = 0.0
            elif error.answer.wait is not None:
                seconds = error.answer.wait
            on_retry(error, seconds)
            stop.sleep(seconds)
            slept += seconds
            longest = min(longest * 2, LONGEST_BACKOFF_SECONDS)
            error = yield 0.0

    tried: Callable[[], Result] = backoff.on_exception(
        waits, AnswerError, jitter=None, giveup=is_final, logger=None
    )(send)
    return tried()


def _let_go_of_bodies(error: BaseException | None) -> None:
    """Clear the frames that an error came through, and those of its causes.

    They refer to the error, and it to them, so they would stay until garbage is collected, with
    all that was read of the answer: of some retries that is hundreds of megabytes.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__

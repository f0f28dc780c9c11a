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
from typing_extensions import ParamSpec

from tap_zoom_cc.run.stopping import StoppedError
from tap_zoom_cc.zoom.errors import AnswerError
from tap_zoom_cc.zoom.rules import PATIENCE_SECONDS, TRIES, Action

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from backoff.types import Details

    from tap_zoom_cc.run.stopping import Stop
    from tap_zoom_cc.zoom.rules import Rule

Parameters = ParamSpec("Parameters")
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

LONGEST_ASKED_SECONDS = 300.0
"""The longest wait that a refusal can ask for."""

FIRST_WAIT_SECONDS = 0.5
"""The longest wait before the second try; it doubles with each further one."""

LONGEST_WAIT_SECONDS = 30.0
"""What it grows to, where Zoom does not ask for another wait."""

SENT_AGAIN = (Action.RETRY, Action.COOL_DOWN, Action.RENEW_TOKEN)


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
    ) -> None:
        """Start at the full rate; ``stop`` ends every wait, ``clock`` gives seconds that grow."""
        count = max(1, int(requests_per_second))
        self._shortest_period = max(1.0, count / requests_per_second)
        self._stop = stop
        self._clock = clock
        self._near = threading.Semaphore(max(1, int(requests_per_second * NEAR_SECONDS)))
        self._turn = threading.Lock()
        self._turns = threading.local()
        self._state = threading.Lock()
        self._sent: deque[float] = deque([-inf] * count, maxlen=count)
        self._margin = FIRST_MARGIN
        self._slowness = 1.0
        self._cooled_until = 0.0
        self._cooled_at = 0.0
        self._unasked_wait = 0.0
        self._closed = False

    @property
    def interval(self) -> float:
        """The mean seconds between two requests at present."""
        return self._period / len(self._sent)

    @property
    def _period(self) -> float:
        """The seconds that must lie between a request and the one ``count`` before it."""
        return (self._shortest_period + self._margin) * self._slowness

    @property
    def sent_at(self) -> float:
        """When the calling thread's last request left, on `time.monotonic`'s clock, in seconds."""
        last: float = getattr(self._turns, "last", -inf)
        return last

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
            yield
            with self._state:
                self._turns.last = self._clock()
                self._sent.append(self._turns.last)

    def _wait_for_turn(self, seconds_before: float = 0.0) -> None:
        # Looked at again after each wait: a refusal meanwhile moves the next turn.
        while (wait := self._next_turn() - seconds_before - self._clock()) > 0 and not self._closed:
            self._stop.sleep(min(wait, LONGEST_SLEEP_SECONDS))
        self._stop.check()
        if self._closed:
            raise StoppedError("nothing more is sent in this run")

    def _next_turn(self) -> float:
        with self._state:
            return max(
                self._cooled_until,
                self._sent[-1] + self.interval * EVENNESS,
                self._sent[0] + self._period,
            )

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
            if self.sent_at > self._cooled_at:
                self._slowness = min(self._slowness * SLOW_DOWN, SLOWEST)
                self._margin = min(self._margin + WIDEN_MARGIN, LONGEST_MARGIN)
                self._cooled_at = now
                self._unasked_wait = min(
                    max(self._unasked_wait * 2, SHORTEST_COOL_DOWN_SECONDS),
                    LONGEST_COOL_DOWN_SECONDS,
                )
            wait = self._unasked_wait if seconds is None else min(seconds, LONGEST_ASKED_SECONDS)
            wait = max(wait, SHORTEST_COOL_DOWN_SECONDS)
            self._cooled_until = max(self._cooled_until, now + wait)
            return wait

    def close(self) -> None:
        """Send nothing more; what was read already can still be emitted."""
        self._closed = True

    def speed_up(self) -> None:
        """Come back towards the full rate, a little with each request that was answered."""
        if self._slowness > 1.0:  # As it is after each refusal.
            with self._state:
                self._unasked_wait = 0.0
                self._slowness = max(1.0, self._slowness * SPEED_UP)


def retrying(
    send: Callable[Parameters, Result],
    *,
    stop: Stop,
    on_retry: Callable[[AnswerError, float], None],
) -> Callable[Parameters, Result]:
    """Return a function that calls ``send`` again after answers whose rules ask for it.

    It is for one request: its tries are counted over all calls. It raises the last `AnswerError`
    when there is to be no other try.

    Args:
        send: sends the request; raises `AnswerError` for an answer that is not what was asked for.
        stop: when the run is to end, nothing is sent again.
        on_retry: called before each wait with the error and the seconds.
    """
    tries: Counter[Rule] = Counter()
    first_refused_at = inf
    slept = 0.0

    def is_final(error: Exception) -> bool:
        nonlocal first_refused_at
        _let_go_of_bodies(error)
        if not isinstance(error, AnswerError) or stop.asked:
            return True
        rule = error.rule
        if rule.action not in SENT_AGAIN:
            return True
        now = time.monotonic()
        first_refused_at = min(first_refused_at, now)
        if rule.tries is None:
            return now - first_refused_at + (error.answer.wait or 0.0) > PATIENCE_SECONDS
        # Waits for a turn or for a token do not count: they say nothing of this request.
        tries[rule] += 1
        is_last = tries[rule] >= rule.tries or tries.total() >= TRIES
        return is_last or slept + (error.answer.wait or 0.0) > PATIENCE_SECONDS

    def notice(details: Details) -> None:
        nonlocal slept
        slept += details["wait"]
        error = details.get("exception")
        if isinstance(error, AnswerError):
            on_retry(error, details["wait"])

    decorated: Callable[Parameters, Result] = backoff.on_exception(
        waits, AnswerError, jitter=None, giveup=is_final, on_backoff=notice, logger=None
    )(send)
    return decorated


def _let_go_of_bodies(error: BaseException | None) -> None:
    """Clear the frames that an error came through, and those of its causes.

    They refer to the error, and it to them, so they would stay until garbage is collected, with
    all that was read of the answer: of some retries that is hundreds of megabytes.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__


def waits() -> Generator[float, object, None]:
    """Yield the seconds to wait before each further try.

    As long as Zoom asks; else, with some chance in it, up to twice as long each time. A cool-down
    is the pacer's, which holds back the whole run, and so not waited for here.
    """
    error: object = yield 0.0
    longest = FIRST_WAIT_SECONDS
    while True:
        wait = backoff.full_jitter(longest)
        if isinstance(error, AnswerError) and error.rule.action is Action.COOL_DOWN:
            wait = 0.0
        elif isinstance(error, AnswerError) and error.answer.wait is not None:
            wait = error.answer.wait
        error = yield wait
        longest = min(longest * 2, LONGEST_WAIT_SECONDS)

"""Sends a request again as the rules say, for a page or for an access token, after growing waits.

After a refusal for the rate it is the pacer that waits, for the whole run.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from math import inf
from typing import TYPE_CHECKING, TypeVar

import backoff
from typing_extensions import ParamSpec

from tap_zoom_cc.zoom.errors import AnswerError
from tap_zoom_cc.zoom.rules import PATIENCE_SECONDS, TRIES, Action

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from backoff.types import Details

    from tap_zoom_cc.run.stopping import Stop
    from tap_zoom_cc.zoom.rules import Rule

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

FIRST_WAIT_SECONDS = 0.5
"""The longest wait before the second try; it doubles with each further one."""

LONGEST_WAIT_SECONDS = 30.0
"""What it grows to, where Zoom does not ask for another wait."""

SENT_AGAIN = (Action.RETRY, Action.COOL_DOWN, Action.RENEW_TOKEN)


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

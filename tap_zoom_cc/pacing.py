"""The pace of the whole run: one rate, one cool-down, one budget for all threads and streams.

Zoom counts requests per account and second over all endpoints of a label, and may disable an app
that is refused too often. So requests leave evenly spaced, never in bursts.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tap_zoom_cc.stopping import Stop

SPACING_MARGIN = 1.02
"""Requests are this much further apart than the rate demands: some travel faster than others."""

SLOWEST_SHARE = 8.0
"""Repeated refusals slow the run down to an eighth of the configured rate, no further."""

LONGEST_COOL_DOWN_SECONDS = 60.0


class BudgetSpentError(Exception):
    """Raised instead of sending a request that ``max_requests_per_run`` has no room for."""


class Pacer:
    """Lets one request after another through, at most ``requests_per_second``. Thread-safe."""

    def __init__(self, requests_per_second: float, stop: Stop) -> None:
        """Start at the full rate; ``stop`` ends every wait."""
        self._interval = SPACING_MARGIN / requests_per_second
        self._stop = stop
        self._turn = threading.Lock()
        self._state = threading.Lock()
        self._next = 0.0
        self._slowness = 1.0
        self.sent = 0

    def wait_for_turn(self) -> None:
        """Return when the next request may be sent. Call it right before sending.

        Raises:
            StoppedError: when the run is to end.
        """
        with self._turn:
            # Looked at again after each wait: a refusal meanwhile moves the next turn.
            while (wait := self._next - time.monotonic()) > 0:
                self._stop.sleep(wait)
            self._stop.sleep(0)
            with self._state:
                self._next = time.monotonic() + self._interval * self._slowness
                self.sent += 1

    def cool_down(self, seconds: float | None) -> float:
        """Hold back everything after a refusal for the per-second limit, then go on more slowly.

        Args:
            seconds: what Zoom asks for, or None when it does not say.

        Returns:
            The seconds that the run waits.
        """
        with self._state:
            self._slowness = min(self._slowness * 2, SLOWEST_SHARE)
            wait = min(max(seconds or 0.0, self._slowness), LONGEST_COOL_DOWN_SECONDS)
            self._next = max(self._next, time.monotonic() + wait)
            return wait

    def speed_up(self) -> None:
        """Come back towards the full rate, a little with each request that was answered."""
        if self._slowness > 1.0:
            with self._state:
                self._slowness = max(1.0, self._slowness * 0.97)


class Budget:
    """How many requests a stream may send, when ``max_requests_per_run`` is set. Thread-safe.

    Windows reserve the pages that they still need before they read on, in the order in which they
    are emitted: what is begun can be finished, and nothing is read that cannot be kept.
    """

    def __init__(self, allowed: int | None) -> None:
        """Allow that many requests; None is no limit."""
        self._allowed = allowed
        self._lock = threading.Lock()
        self.spent_requests = 0
        self.exhausted = False

    def reserve(self, requests: int, *, begins: bool = False) -> None:
        """Take that many requests out of the budget.

        Args:
            requests: how many are about to be sent.
            begins: whether a window begins with them; none does after one could not go on.

        Raises:
            BudgetSpentError: when fewer are left.
        """
        with self._lock:
            if self._allowed is not None and requests:
                lacks = self.spent_requests + requests > self._allowed
                if lacks or (begins and self.exhausted):
                    self.exhausted = True
                    raise BudgetSpentError
            self.spent_requests += requests

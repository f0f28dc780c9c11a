"""The budget: how many requests a run may send, when ``max_requests_per_run`` is set."""

from __future__ import annotations

import threading


class BudgetSpentError(Exception):
    """Raised instead of sending a request that ``max_requests_per_run`` has no room for."""


class Budget:
    """How many requests a stream may send, when ``max_requests_per_run`` is set. Thread-safe.

    Windows reserve the pages that they still need before they read on. While there is plenty they
    do so side by side; what is left for the last ones is reserved in the order in which they are
    emitted (`suffices_for`), so that nothing is read that cannot be kept.
    """

    def __init__(self, allowed: int | None) -> None:
        """Allow that many requests; None is no limit."""
        self._allowed = allowed
        self._lock = threading.Lock()
        self.spent_requests = 0
        self.exhausted = False

    def suffices_for(self, requests: int) -> bool:
        """Say whether that many requests are left."""
        return self._allowed is None or self.spent_requests + requests <= self._allowed

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

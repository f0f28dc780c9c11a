"""The budget: how many requests a run may send, when ``max_requests_per_run`` is set."""

from __future__ import annotations

import threading


class BudgetSpentError(Exception):
    """Raised instead of sending a request that ``max_requests_per_run`` has no room for."""


class Budget:
    """How many requests a stream may send, when ``max_requests_per_run`` is set. Thread-safe.

    A window reserves the pages that it still needs before it reads on. Windows do so side by side
    while there is plenty (`suffices_for`); the last requests go to the windows that are emitted
    next, since a window that is not read whole is not kept.
    """

    def __init__(self, allowed: int | None) -> None:
        """Allow that many requests; None is no limit."""
        self._allowed = allowed
        self._lock = threading.Lock()
        self.spent_requests = 0
        self.sent_again = 0
        """How many of them were sent before, and got no page."""
        self.exhausted = False

    def suffices_for(self, requests: int) -> bool:
        """Say whether that many requests are left."""
        return self._allowed is None or self.spent_requests + requests <= self._allowed

    def reserve(self, requests: int, *, begins: bool = False, again: bool = False) -> None:
        """Take that many requests out of the budget.

        Args:
            requests: how many are about to be sent; negative for those that were reserved and are
                not needed.
            begins: whether a window begins with them; none does after one could not go on.
            again: whether they were sent before.

        Raises:
            BudgetSpentError: when fewer are left.
        """
        with self._lock:
            if self._allowed is not None and requests > 0:
                lacks = self.spent_requests + requests > self._allowed
                if lacks or (begins and self.exhausted):
                    self.exhausted = True
                    raise BudgetSpentError
            self.spent_requests += requests
            self.sent_again += requests if again else 0


class Budgets:
    """Shares ``max_requests_per_run`` evenly between the streams that are read."""

    def __init__(self, allowed: int | None) -> None:
        """Have that many requests for the whole run; None is no limit."""
        self._allowed = allowed
        self._opened: list[Budget] = []

    def open(self, *, streams_to_come: int) -> Budget:
        """Return a stream's even share of what earlier streams have left.

        Args:
            streams_to_come: how many streams are still to be read, this one included.
        """
        share = self._allowed
        if share is not None:
            spent = sum(budget.spent_requests for budget in self._opened)
            share = -(-(share - spent) // streams_to_come)
        self._opened.append(Budget(share))
        return self._opened[-1]

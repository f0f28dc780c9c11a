"""Zoom's two rate limits: requests per second and requests per day, over all accounts."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

from simulator.errors import coded
from simulator.instants import DAY, UTC_Z

if TYPE_CHECKING:
    from simulator.errors import ApiError
    from simulator.scenario import Limits

_CATEGORY = "Heavy"


class RateLimiter:
    """Counts requests, and says which are too many.

    The second is a sliding one, on the machine's steady clock. The day is a day of UTC on the
    simulated clock. A request that was refused counts towards neither.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._recent: deque[float] = deque()
        self._day = 0
        self._of_day = 0

    def admit(self, now: int) -> tuple[ApiError | None, dict[str, str]]:
        """Count one request at the simulated instant ``now`` (seconds since 1970, UTC).

        Returns:
            The refusal, or None; and the headers of the answer in case it is none.
        """
        limits = self._limits
        if now // DAY != self._day:
            self._day, self._of_day = now // DAY, 0
        if limits.requests_per_day is not None and self._of_day >= limits.requests_per_day:
            return daily_limit(now, limits.requests_per_day, headers=True), {}
        if limits.requests_per_second is not None:
            arrival = time.monotonic()
            while self._recent and self._recent[0] <= arrival - 1:
                self._recent.popleft()
            if len(self._recent) >= limits.requests_per_second:
                return per_second_limit(limits.requests_per_second, headers=True), {}
            self._recent.append(arrival)
        self._of_day += 1
        return None, self._headers()

    def _headers(self) -> dict[str, str]:
        limits = self._limits
        if limits.requests_per_day is not None:
            return _headers("Daily-limit", limits.requests_per_day, self._of_day)
        if limits.requests_per_second is not None:
            return _headers("QPS", limits.requests_per_second, len(self._recent))
        return {}


def per_second_limit(limit: int, *, headers: bool, reset: float | None = None) -> ApiError:
    """Give the answer to a request too many within a second.

    ``reset`` is what ``X-RateLimit-Reset`` says: in so many seconds, as unix time by the machine's
    clock (rounded up); None for no such header.
    """
    given = _headers("QPS", limit, limit) if headers else {}
    if reset is not None:
        given["X-RateLimit-Reset"] = str(math.ceil(time.time() + reset))
    return coded(
        429,
        429,
        "You have reached the maximum per-second rate limit for this API. Try again later.",
        given,
    )


def daily_limit(now: int, limit: int, *, headers: bool) -> ApiError:
    """Give the answer to a request too many within a day; it may go on at midnight UTC."""
    midnight = UTC_Z.text(now - now % DAY + DAY).decode()
    return coded(
        429,
        429,
        "You have reached the maximum daily rate limit for this API. Refer to the response "
        "header for details on when you can make another request.",
        {**_headers("Daily-limit", limit, limit), "Retry-After": midnight} if headers else None,
    )


def _headers(kind: str, limit: int, used: int) -> dict[str, str]:
    return {
        "X-RateLimit-Category": _CATEGORY,
        "X-RateLimit-Type": kind,
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(max(0, limit - used)),
    }

"""What the simulator has seen: every request, and counts over all of them."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field

from simulator.scenario import Endpoint  # noqa: TC001 - msgspec reads the annotation

HEAVY = frozenset({"sms", "voice_calls"})
"""The endpoints that the rate limits count."""


@dataclass
class Entry:
    """One request.

    ``status`` is 0 while there is no answer, and for good if none was given. ``rows`` is how many
    the answer held, and ``faults`` are the kinds that struck.
    """

    endpoint: Endpoint
    account_id: str | None
    path: str
    query: str
    status: int = 0
    rows: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Counts since the start or the last reset.

    ``requests`` and ``rows`` are by endpoint and then by account (empty for none). ``statuses``
    are by HTTP status. ``most_requests_in_one_second`` is over the rate-limited endpoints, in any
    sliding second. ``bearer_requests`` says how many requests to an endpoint carried a bearer
    token, ``bearer_tokens`` how many different ones. ``log`` is in order of arrival.
    """

    requests: dict[str, dict[str, int]]
    rows: dict[str, dict[str, int]]
    statuses: dict[str, int]
    faults: dict[str, int]
    most_requests_in_one_second: int
    tokens_issued: int
    rate_limited: int
    bearer_requests: dict[str, int]
    bearer_tokens: dict[str, int]
    log: list[Entry]


class Recorder:
    """Collects the statistics."""

    def __init__(self) -> None:
        self.tokens_issued = 0
        self._log: list[Entry] = []
        self._bearers: dict[str, Counter[str]] = {}
        self._recent: deque[float] = deque()
        self._most_recent = 0

    def arrive(
        self, endpoint: Endpoint, account_id: str | None, path: str, query: str, bearer: str
    ) -> Entry:
        """Note a request; the entry is completed when it is answered."""
        entry = Entry(endpoint, account_id, path, query)
        self._log.append(entry)
        if bearer:
            self._bearers.setdefault(endpoint, Counter())[bearer] += 1
        if endpoint in HEAVY:
            arrival = time.monotonic()
            while self._recent and self._recent[0] <= arrival - 1:
                self._recent.popleft()
            self._recent.append(arrival)
            self._most_recent = max(self._most_recent, len(self._recent))
        return entry

    def leave(self, entry: Entry, status: int) -> None:
        """Note that a request has been dealt with."""
        entry.status = status

    def statistics(self) -> Statistics:
        """Give the counts of what was seen so far."""
        requests: dict[str, Counter[str]] = {}
        rows: dict[str, Counter[str]] = {}
        for entry in self._log:
            account = entry.account_id or ""
            requests.setdefault(entry.endpoint, Counter())[account] += 1
            rows.setdefault(entry.endpoint, Counter())[account] += entry.rows
        statuses = Counter(str(entry.status) for entry in self._log)
        return Statistics(
            requests={endpoint: dict(counts) for endpoint, counts in requests.items()},
            rows={endpoint: dict(counts) for endpoint, counts in rows.items()},
            statuses=dict(statuses),
            faults=dict(Counter(kind for entry in self._log for kind in entry.faults)),
            most_requests_in_one_second=self._most_recent,
            tokens_issued=self.tokens_issued,
            rate_limited=statuses["429"],
            bearer_requests={name: seen.total() for name, seen in self._bearers.items()},
            bearer_tokens={name: len(seen) for name, seen in self._bearers.items()},
            log=self._log,
        )

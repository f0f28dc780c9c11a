"""What a run tells its reader: progress, warnings once each, what failed, and the summary."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, cast

from singer_sdk import metrics

if TYPE_CHECKING:
    import logging
    from datetime import datetime

PROGRESS_SECONDS = 10.0

MOST_FIELDS = 100
"""How many changes of fields a stream's tally tells apart."""

MOST_FIELDS_SHOWN = 10
"""How many fields of a stream the summary names."""


class SyncFailedError(Exception):
    """Something could not be read; what could is emitted, and its state is final."""


@dataclass(slots=True)
class Tally:
    """How far a stream has come."""

    began: float = field(default_factory=time.monotonic)
    windows_planned: int = 0
    windows_done: int = 0
    windows_begun: int = 0
    pages_expected: int = 0
    """How many pages the windows have that were begun, as far as Zoom has said."""
    pages_read: int = 0
    rows: int = 0
    longest: timedelta = timedelta(0)
    """How long the longest engagement was open."""
    without_rows: set[str] = field(default_factory=set)
    """The accounts of which there is nothing to read: their bookmarks stay, and are not late."""
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many rows were changed: by what was done, and to which field."""

    def seconds_left(self, now: float) -> float | None:
        """Return how long the rest takes at the pace so far; None before the first page.

        Windows that were not begun are taken to have as many pages as those that were.
        """
        if not self.pages_read:
            return None
        pages = self.pages_expected / self.windows_begun * self.windows_planned
        return max(0.0, pages - self.pages_read) * (now - self.began) / self.pages_read

    def is_first(self, change: tuple[str, str]) -> bool:
        """Count a change of a row, and return whether it is the first of its kind.

        Fields beyond `MOST_FIELDS` are counted as one, so that ever new names cost no memory.
        """
        if change not in self.changes and len(self.changes) >= MOST_FIELDS:
            change = (change[0], "(others)")
        self.changes[change] += 1
        return self.changes[change] == 1

    def unmapped(self) -> list[tuple[str, int]]:
        """Return the fields of which most rows have unmapped values, with the number of rows."""
        rows: Counter[str] = Counter()
        for (what, name), count in self.changes.items():
            if what in {"undeclared", "unfit"}:
                rows[name] += count
        return rows.most_common(MOST_FIELDS_SHOWN)


class Gauge(str, Enum):
    """What METRIC lines tell besides the SDK's own; a ``gauge`` is a value as of the run's end."""

    BOOKMARK_AGE = "oldest_bookmark_age"
    """Seconds from the oldest bookmark of a stream to where it should be."""

    ACCOUNTS_BEHIND = "accounts_behind"
    """How many accounts of a stream are behind by more than a day."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a stream is behind at the end of a run, in UTC.

    ``end`` is up to where it should be read, ``oldest`` the oldest bookmark, None without any, and
    ``account_id`` whose it is. ``behind`` counts the accounts that lack more than a day, those
    without a bookmark among them, which are ``not_begun``.
    """

    end: datetime
    oldest: datetime | None
    account_id: str
    behind: int
    not_begun: int = 0

    def points(self, stream: str) -> list[metrics.Point[float]]:
        """Return what METRIC lines tell of it."""
        values: list[tuple[Gauge, float, dict[str, object]]] = [
            (Gauge.ACCOUNTS_BEHIND, self.behind, {})
        ]
        if self.oldest is not None:
            whose: dict[str, object] = {
                metrics.Tag.CONTEXT.value: {"account_id": self.account_id},
                "bookmark": self.oldest.isoformat(),
            }
            values.append((Gauge.BOOKMARK_AGE, (self.end - self.oldest).total_seconds(), whose))
        # The SDK's points take any enumeration of texts, though they are typed for its own.
        return [
            metrics.Point(
                "gauge",
                cast("metrics.Metric", gauge),
                value,
                {metrics.Tag.STREAM.value: stream, **tags, metrics.Tag.PID.value: os.getpid()},
            )
            for gauge, value, tags in values
        ]


@dataclass
class Report:
    """Collects what happens. Thread-safe where workers report; the main thread prints."""

    logger: logging.Logger
    requests_per_second: float
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    failures: list[str] = field(default_factory=list)
    lags: dict[str, Lag] = field(default_factory=dict)
    """How far each stream is behind, once the run has ended."""

    def __post_init__(self) -> None:
        """Start the clock."""
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._printed = self._began
        self._printed_requests = 0
        self._warned: set[str] = set()
        self.requests = 0
        self.retries = 0
        self.accounts = 0

    def count_request(self) -> None:
        """Count a request that is about to be sent."""
        with self._lock:
            self.requests += 1

    def count_retry(self) -> None:
        """Count a request that has to be sent again."""
        with self._lock:
            self.retries += 1

    def begin(self, stream: str, accounts: int, span: str, windows: int) -> None:
        """Say what a stream is about to read.

        Args:
            stream: its name.
            accounts: how many there are.
            span: the range of time, from the account that reaches back the farthest; empty when
                all were read up to its end before.
            windows: how many there are; each takes a request at least.
        """
        if not span:
            self.logger.info("%s: %s, nothing to read", stream, counted(accounts, "account"))
            return
        self.logger.info(
            "%s: %s, %s, expected: %s or more, which take %s at %g a second",
            stream,
            counted(accounts, "account"),
            span,
            counted(windows, "request"),
            _duration(windows / self.requests_per_second),
            self.requests_per_second,
        )

    def plan_more(self, stream: str, windows: int) -> None:
        """Count windows that a stream is to read in addition."""
        with self._lock:
            self.tallies[stream].windows_planned += windows

    def read_page(self, stream: str, *, more: int, begins: bool) -> None:
        """Count a page that a stream has read.

        Args:
            stream: its name.
            more: how many more pages its window has than was known before.
            begins: whether it is the window's first.
        """
        with self._lock:
            tally = self.tallies[stream]
            tally.pages_read += 1
            tally.pages_expected += more
            tally.windows_begun += begins

    def warn_once(self, about: str, message: str) -> None:
        """Log a warning, unless there was one about the same thing in this run."""
        with self._lock:
            if about in self._warned:
                return
            self._warned.add(about)
        self.logger.warning(message)

    def retry(self, url: str, reason: str, seconds: float) -> None:
        """Say that a request is sent again in some seconds: a warning once, else debug lines."""
        message = f"{url}: {reason}; trying again in {seconds:.1f} s"
        self.logger.debug(message)
        self.warn_once(f"retry {url}", f"{message}; further retries are logged at level debug")

    def fail(self, message: str) -> None:
        """Note something that could not be read: the run will end with exit code 1."""
        with self._lock:
            self.failures.append(message)
        self.logger.error(message)

    def fail_run(self, message: str) -> None:
        """Note what ends the run; it is said once, as the last line of the log."""
        with self._lock:
            self.failures.append(message)

    @property
    def verdict(self) -> str:
        """How many failures there were, and the first of them, in one line."""
        return f"{len(self.failures)} could not be read; the first: {self.failures[0]}"

    def raise_if_failed(self) -> None:
        """Do nothing, unless something could not be read.

        Raises:
            SyncFailedError: with the verdict.
        """
        if self.failures:
            raise SyncFailedError(self.verdict)

    def show_progress(self, stream: str) -> None:
        """Log a line of progress, at most every `PROGRESS_SECONDS`."""
        now = time.monotonic()
        since = now - self._printed
        if since < PROGRESS_SECONDS:
            return
        rate = (self.requests - self._printed_requests) / since
        self._printed, self._printed_requests = now, self.requests
        tally = self.tallies[stream]
        seconds = tally.seconds_left(now)
        left = "not known yet" if seconds is None else f"about {_duration(seconds)}"
        self.logger.info(
            "%s: %d of %d windows, %d rows, %.1f of %g requests a second, time left: %s",
            stream,
            tally.windows_done,
            tally.windows_planned,
            tally.rows,
            rate,
            self.requests_per_second,
            left,
        )

    def log_lag(self, stream: str, lag: Lag) -> None:
        """Keep for the summary how far a stream is behind, and log it as METRIC lines.

        They are logged from here, and not by the SDK, so that they are shown at the default level:
        `tap_zoom_cc.run.log` leaves out what the SDK says there.
        """
        self.lags[stream] = lag
        for point in lag.points(stream):
            metrics.get_metrics_logger().info("METRIC: %s", point)

    def _bookmarks(self) -> str:
        """Return how old the bookmarks are, and how many accounts are behind, by stream."""
        return ", ".join(
            f"{name} {lag.oldest.isoformat() if lag.oldest else 'none'} "
            f"({counted(lag.behind, 'account')} behind by more than a day"
            f"{f', {lag.not_begun} of them not begun' if lag.not_begun else ''})"
            for name, lag in sorted(self.lags.items())
        )

    def summary(self) -> str:
        """Return the run in one line."""
        windows = sum(tally.windows_done for tally in self.tallies.values())
        rows = ", ".join(f"{name} {tally.rows}" for name, tally in sorted(self.tallies.items()))
        longest = ", ".join(
            f"{name} {_duration(tally.longest.total_seconds())}"
            for name, tally in sorted(self.tallies.items())
            if tally.longest
        )
        unmapped = ", ".join(
            f"{name} {field} {count}"
            for name, tally in sorted(self.tallies.items())
            for field, count in tally.unmapped()
        )
        bookmarks = self._bookmarks()
        seconds = time.monotonic() - self._began
        return (
            f"Summary: {counted(self.accounts, 'account')}, {counted(windows, 'window')}, "
            f"{counted(self.requests, 'request')}, rows: {rows or 'none'}, "
            f"{f'longest open: {longest}, ' if longest else ''}"
            f"{counted(self.retries, 'retry', 'retries')}, "
            f"{counted(len(self.failures), 'failure')}, {_duration(seconds)}"
            f"{f', oldest bookmarks: {bookmarks}' if bookmarks else ''}"
            f"{f', rows with unmapped values: {unmapped}' if unmapped else ''}"
        )


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 account``, ``2 accounts``."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004 (a minute)
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"

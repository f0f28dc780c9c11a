"""What a run tells its reader while it goes on: progress, warnings once each, and what failed.

What it tells at its end is made of this by `tap_zoom_cc.run.summary`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Collection
    from datetime import datetime

PROGRESS_SECONDS = 10.0

MOST_FIELDS = 100
"""How many changes of fields a stream's tally tells apart."""


class SyncFailedError(Exception):
    """Something could not be read; what could is emitted, and its state is final."""


@dataclass(slots=True)
class Tally:
    """How far a stream has come."""

    accounts: int = 0
    windows_planned: int = 0
    windows_done: int = 0
    windows_begun: int = 0
    pages_expected: int = 0
    """How many pages the windows have that were begun, as far as Zoom has said."""
    pages_read: int = 0
    has_ended: bool = False
    rows: int = 0
    newest: datetime | None = None
    """The latest start of an engagement that was read."""
    longest: timedelta = timedelta(0)
    """How long the longest engagement was open."""
    without_rows: set[str] = field(default_factory=set)
    """The accounts of which there is nothing to read: their bookmarks stay, and are not late."""
    skipped: set[str] = field(default_factory=set)
    """Those of them that Zoom refuses, so that they may have rows all the same."""
    at_rest: frozenset[str] | None = None
    """The accounts that are not asked, since they are quiet; None where none may rest."""
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many rows were changed: by what was done, and to which field."""

    @property
    def pages(self) -> float | None:
        """How many pages there are to read; None before the first one says.

        Windows that were not begun are taken to have as many pages as those that were.
        """
        if self.has_ended:
            return self.pages_read
        if not self.windows_begun:
            return None
        pages = self.pages_expected / self.windows_begun * self.windows_planned
        return max(pages, self.pages_read)

    def is_first(self, change: tuple[str, str]) -> bool:
        """Count a change of a row, and return whether it is the first of its kind.

        Fields beyond `MOST_FIELDS` are counted as one, so that ever new names cost no memory.
        """
        if change not in self.changes and len(self.changes) >= MOST_FIELDS:
            change = (change[0], "(others)")
        self.changes[change] += 1
        return self.changes[change] == 1


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a stream is behind at the end of a run, in UTC.

    ``account_id`` is the account that waits the longest to be read, ``oldest`` its bookmark, None
    without any, and ``age`` how long it waits: since its bookmark, or since the end of its rest.
    ``behind`` are the accounts that wait for more than a day; those without a bookmark are among
    them, and so many are ``not_begun``.
    """

    oldest: datetime | None
    account_id: str
    age: timedelta
    behind: frozenset[str]
    not_begun: int


class Report:
    """Collects what happens. Thread-safe where workers report; the main thread prints."""

    def __init__(
        self,
        logger: logging.Logger,
        requests_per_second: float,
        most_requests: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin a run.

        Args:
            logger: where lines go.
            requests_per_second: how many requests the run may send in a second.
            most_requests: how many it may send at all; None is no limit.
            clock: gives seconds that only grow.
        """
        self.logger = logger
        self.requests_per_second = requests_per_second
        self.most_requests = most_requests
        self.clock = clock
        self.tallies: defaultdict[str, Tally] = defaultdict(Tally)
        self.failures: list[str] = []
        self.streams: Collection[str] = ()
        """What the run reads, so that progress is that of all of them."""
        self.unit = "page"
        """What is read one by one; in ``--reconcile`` a day is counted."""
        self.accounts: int | None = None
        """How many accounts the run reads; None before that is known."""
        self.requests = 0
        self.retries = 0
        self.began = clock()
        self._reading_since: float | None = None
        self._last_retry = ("", self.began)
        """Why, and when the next try is."""
        self._printed = self.began
        self._printed_requests = 0
        self._printed_retries = 0
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    def count_request(self) -> None:
        """Count a request that is about to be sent."""
        with self._lock:
            self.requests += 1

    def count_retry(self) -> None:
        """Count a request that has to be sent again."""
        with self._lock:
            self.retries += 1

    def plan_more(self, stream: str, windows: int) -> None:
        """Count windows that a stream is to read in addition; fewer if the number is negative."""
        with self._lock:
            if self._reading_since is None:
                self._reading_since = self.clock()
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
        """Say that a request is sent again in some seconds: at once if it is the first to that URL.

        `show_retries` tells of the others.
        """
        message = f"{url}: {reason}; trying again in {seconds:.1f} s"
        self.logger.debug(message)
        self._last_retry = (f"{url}: {reason}", self.clock() + seconds)
        self.warn_once(f"retry {url}", message)

    def fail(self, message: str) -> None:
        """Note something that could not be read: the run will end with exit code 1."""
        self.fail_run(message)
        self.logger.error(message)

    def fail_run(self, message: str) -> None:
        """Note what ends the run; it is said once, as the last line of the log."""
        with self._lock:
            self.failures.append(message)

    @property
    def verdict(self) -> str:
        """How many failures there were, and the first of them, in one line."""
        return f"{len(self.failures)} could not be read; the first: {self.failures[0]}"

    def show_progress(self) -> None:
        """Log a line about the progress of the whole run, at most every `PROGRESS_SECONDS`."""
        since = self.clock() - self._printed
        if since < PROGRESS_SECONDS:
            return
        progress, time_left = self._progress()
        self.logger.info(
            "Progress: %s, %.1f of %g requests a second, time left: %s",
            progress,
            (self.requests - self._printed_requests) / since,
            self.requests_per_second,
            time_left,
        )
        self.show_retries()
        self._printed, self._printed_requests = self.clock(), self.requests

    def show_retries(self) -> None:
        """Log a line about requests that were sent again, at most every `PROGRESS_SECONDS`.

        By itself it is for those who wait while there is no progress to show.
        """
        if self.clock() - self._printed < PROGRESS_SECONDS:
            return
        retries = self.retries - self._printed_retries
        reason, next_try_at = self._last_retry
        seconds = next_try_at - self.clock()
        if retries or seconds > 0:
            were = f"{counted(retries, 'request')} {'was' if retries == 1 else 'were'}"
            self.logger.warning(
                "%s sent again; the last: %s%s",
                were if retries else "A request waits to be",
                reason or "refused for the rate, or for a token that ran out",
                f"; next try in {seconds:.1f} s" if seconds > 0 else "",
            )
            self._printed, self._printed_requests = self.clock(), self.requests
            self._printed_retries += retries

    def _progress(self) -> tuple[str, str]:
        """Return how much of the run was read, and how long the rest takes at the pace so far.

        Streams that have yet to begin are taken to have as many pages as the others on average.
        """
        tallies = {name: self.tallies[name] for name in self.streams}
        counts_days = self.unit == "day"
        pages = {
            name: tally.windows_planned if counts_days else tally.pages
            for name, tally in tallies.items()
        }
        read = sum(tally.pages_read for tally in tallies.values())
        if not read or self._reading_since is None:
            return "nothing read yet", "not known yet"
        known = [number for number in pages.values() if number is not None]
        unknown = [name for name, number in pages.items() if number is None]
        expected = sum(known) / len(known) * len(pages)
        progress = (
            f"{100 * read / expected:.0f} % of {'' if counts_days else 'about '}"
            f"{counted(round(expected), self.unit)}"
        )
        rows = [f"{name} {each.rows}" for name, each in sorted(self.tallies.items()) if each.rows]
        if rows:
            progress += f", rows: {', '.join(rows)}"
        if read >= expected:
            return progress, "what the target needs for the rows that were read"
        per_page = (self.clock() - self._reading_since) / read
        seconds = (expected - read) * per_page
        # A page takes a request. What a stream does not use of its share may stay unused.
        if self.most_requests is not None and not counts_days:
            until_spent = max(self.most_requests - self.requests, 0) * per_page
            if until_spent < seconds:
                spent = "then max_requests_per_run is spent"
                return progress, f"at most about {duration(until_spent)}: {spent}"
        guess = f", if {' and '.join(unknown)} is as long as what was begun" if unknown else ""
        return progress, f"about {duration(seconds)}{guess}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 account``, ``2 accounts``."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def duration(seconds: float) -> str:
    """Return a number of seconds for people: ``5.2 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 60:  # noqa: PLR2004 (a minute)
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"

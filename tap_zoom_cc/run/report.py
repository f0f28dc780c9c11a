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

MOST_FIELDS_SHOWN = 10
"""How many fields of a stream the summary names."""


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

    def unmapped(self) -> list[tuple[str, int]]:
        """Return the fields of which most rows have unmapped values, with the number of rows."""
        rows: Counter[str] = Counter()
        for (what, name), count in self.changes.items():
            if what in {"undeclared", "unfit"}:
                rows[name] += count
        return rows.most_common(MOST_FIELDS_SHOWN)


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


@dataclass
class Report:
    """Collects what happens. Thread-safe where workers report; the main thread prints."""

    logger: logging.Logger
    requests_per_second: float
    most_requests: int | None = None
    """How many requests the run may send; None is no limit."""
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    failures: list[str] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    """Gives seconds that only grow."""
    unit: str = "page"
    """What is read one by one; in ``--reconcile`` a day is counted."""

    def __post_init__(self) -> None:
        """Start the clock."""
        self._lock = threading.Lock()
        self.began = self.clock()
        self._printed = self.began
        self._printed_requests = 0
        self._printed_retries = 0
        self._last_retry = ""
        self._next_try_at = self.began
        self._reading_since: float | None = None
        self._warned: set[str] = set()
        self._streams: tuple[str, ...] = ()
        self.requests = 0
        self.retries = 0
        self.accounts: int | None = None
        """How many accounts the run reads; None before that is known."""

    def count_request(self) -> None:
        """Count a request that is about to be sent."""
        with self._lock:
            self.requests += 1

    def count_retry(self) -> None:
        """Count a request that has to be sent again."""
        with self._lock:
            self.retries += 1

    def expect(self, streams: Collection[str]) -> None:
        """Say which streams the run reads, so that progress is that of all of them."""
        self._streams = tuple(streams)

    def begin(self, stream: str, accounts: int, span: str, windows: int) -> None:
        """Say what a stream is about to read.

        Args:
            stream: its name.
            accounts: how many there are.
            span: the range of time, from the account that reaches back the farthest; empty when
                all were read up to its end before.
            windows: how many there are; each takes a request at least.
        """
        self.tallies[stream].accounts = accounts
        at_rest = self.tallies[stream].at_rest
        which = counted(accounts, "account") + (f" ({len(at_rest)} at rest)" if at_rest else "")
        if not span:
            self.logger.info("%s: %s, nothing to read", stream, which)
            return
        self.logger.info(
            "%s: %s, %s, expected: %s or more, at %g a second",
            stream,
            which,
            span,
            counted(windows, "request"),
            self.requests_per_second,
        )

    def end(self, stream: str) -> None:
        """Note that nothing more is read of a stream."""
        with self._lock:
            self.tallies[stream].has_ended = True

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
        with self._lock:
            self._last_retry = f"{url}: {reason}"
            self._next_try_at = self.clock() + seconds
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

    def raise_if_failed(self) -> None:
        """Do nothing, unless something could not be read.

        Raises:
            SyncFailedError: with the verdict.
        """
        if self.failures:
            raise SyncFailedError(self.verdict)

    def show_progress(self) -> None:
        """Log a line about the progress of the whole run, at most every `PROGRESS_SECONDS`."""
        since = self.clock() - self._printed
        if since < PROGRESS_SECONDS:
            return
        self.logger.info(
            "Progress: %s, %.1f of %g requests a second, time left: %s",
            self._progress(),
            (self.requests - self._printed_requests) / since,
            self.requests_per_second,
            self._time_left(),
        )
        self._log_retries()

    def show_retries(self) -> None:
        """Log a line about requests that were sent again, at most every `PROGRESS_SECONDS`.

        It is for those who wait while there is no progress to show.
        """
        with self._lock:
            is_due = self.clock() - self._printed >= PROGRESS_SECONDS
            if is_due and (self.retries > self._printed_retries or self._seconds_to_next_try > 0):
                self._log_retries()

    @property
    def _seconds_to_next_try(self) -> float:
        return self._next_try_at - self.clock()

    def _log_retries(self) -> None:
        """Log a line about requests sent again since the line before, or waiting for it, if any."""
        retries, seconds = self.retries - self._printed_retries, self._seconds_to_next_try
        if retries or seconds > 0:
            were = f"{counted(retries, 'request')} {'was' if retries == 1 else 'were'}"
            self.logger.warning(
                "%s sent again; the last: %s%s",
                were if retries else "A request waits to be",
                self._last_retry or "refused for the rate, or for a token that ran out",
                f"; next try in {seconds:.1f} s" if seconds > 0 else "",
            )
        self._printed = self.clock()
        self._printed_requests, self._printed_retries = self.requests, self.retries

    def _pages(self) -> tuple[int, float | None, list[str]]:
        """Return the pages read, those of the whole run, and the streams that have yet to begin.

        These are taken to have as many as the others have on average; None before the first page.
        """
        tallies = {name: self.tallies[name] for name in self._streams}
        pages = {
            name: tally.windows_planned if self.unit == "day" else tally.pages
            for name, tally in tallies.items()
        }
        read = sum(tally.pages_read for tally in tallies.values())
        unknown = [name for name, known in pages.items() if known is None]
        if not read:
            return read, None, unknown
        known = [number for number in pages.values() if number is not None]
        return read, sum(known) / len(known) * len(pages), unknown

    def _progress(self) -> str:
        read, pages, _ = self._pages()
        if pages is None:
            return "nothing read yet"
        about = "" if self.unit == "day" else "about "
        rows = ", ".join(
            f"{name} {tally.rows}" for name, tally in sorted(self.tallies.items()) if tally.rows
        )
        return (
            f"{100 * read / pages:.0f} % of {about}{counted(round(pages), self.unit)}"
            f"{f', rows: {rows}' if rows else ''}"
        )

    def _time_left(self) -> str:
        """Return how long the rest takes at the pace so far."""
        read, pages, unknown = self._pages()
        if pages is None or self._reading_since is None:
            return "not known yet"
        if read >= pages and not unknown:
            return "what the target needs for the rows that were read"
        per_page = (self.clock() - self._reading_since) / read
        seconds = (pages - read) * per_page
        # A page takes a request. What a stream does not use of its share may stay unused.
        if self.most_requests is not None and self.unit == "page":
            until_spent = max(self.most_requests - self.requests, 0) * per_page
            if until_spent < seconds:
                return f"at most about {duration(until_spent)}: then max_requests_per_run is spent"
        guess = f", if {' and '.join(unknown)} is as long as what was begun" if unknown else ""
        return f"about {duration(seconds)}{guess}"


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

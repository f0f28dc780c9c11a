"""Fetch: reads the pages of one range, pass by pass, until the check is content.

The second of four stages: plan, fetch, check, emit. Windows of all accounts are fetched side by
side in worker threads; what comes out is a window's rows as a whole, or the parts that take its
place. The list of sub accounts is read by the same passes.
"""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tap_zoom_cc.run.stopping import StoppedError
from tap_zoom_cc.sync.prefetch import Fetched, Parts
from tap_zoom_cc.sync.window_rows import MOST_PASSES, Pass, WindowRows, pages_for
from tap_zoom_cc.sync.windows import (
    Answered,
    Parent,
    answered,
    asked_and_named,
    halves,
    is_too_much,
    parts_of,
    request_range,
    samples_of,
    would_come_twice,
)
from tap_zoom_cc.zoom.answers import Answer
from tap_zoom_cc.zoom.errors import AccountError, WindowExpiredError
from tap_zoom_cc.zoom.pages import NextPageTokenPaginator
from tap_zoom_cc.zoom.rules import OK, Condition, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from datetime import datetime

    import requests

    from tap_zoom_cc.sync.window_rows import KeyType, RangeRows
    from tap_zoom_cc.sync.windows import Window
    from tap_zoom_cc.zoom.client import Client
    from tap_zoom_cc.zoom.pages import Account, EngagementLog, Page, PageReader, Request

MOST_EXPIRIES = 4
"""How often a page token may expire before the range is given up."""


class BudgetSpentError(Exception):
    """Raised instead of sending a request that ``max_requests_per_run`` has no room for."""


@dataclass(slots=True)
class Budget:
    """How many requests a stream may send, when ``max_requests_per_run`` is set. Thread-safe.

    A window reserves the pages that it still needs before it reads on. Windows do so side by side
    while there is plenty (`suffices_for`); the last requests go to the windows that are emitted
    next, since a window that is not read whole is not kept.
    """

    allowed: int | None
    """None is no limit."""
    spent_requests: int = 0
    sent_again: int = 0
    """How many of them were sent before, and got no page."""
    exhausted: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def suffices_for(self, requests: int) -> bool:
        """Say whether that many requests are left."""
        return self.allowed is None or self.spent_requests + requests <= self.allowed

    def reserve(self, requests: int, *, begins: bool = False, again: bool = False) -> None:
        """Take that many requests out of the budget; a negative number gives them back.

        No window may begin (``begins``) after one could not go on. ``again`` says that they were
        sent before.

        Raises:
            BudgetSpentError: when fewer are left.
        """
        with self._lock:
            if self.allowed is not None and requests > 0:
                lacks = self.spent_requests + requests > self.allowed
                if lacks or (begins and self.exhausted):
                    self.exhausted = True
                    raise BudgetSpentError
            self.spent_requests += requests
            self.sent_again += requests if again else 0


@dataclass(slots=True)
class Budgets:
    """Shares ``max_requests_per_run`` evenly between the streams that are read."""

    allowed: int | None
    """For the whole run; None is no limit."""
    streams: int
    """How many streams are read."""
    _opened: list[Budget] = field(default_factory=list)

    def open(self) -> Budget:
        """Return the next stream's even share of what the streams before it have left."""
        share = self.allowed
        if share is not None:
            spent = sum(budget.spent_requests for budget in self._opened)
            streams_to_come = self.streams - len(self._opened)
            share = -(-(share - spent) // streams_to_come)
        self._opened.append(Budget(share))
        return self._opened[-1]


def read_in_passes(  # noqa: PLR0913 (what may be left out by name)
    client: Client,
    request: Request,
    reader: PageReader,
    rows: RangeRows[KeyType],
    *,
    budget: Budget,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Generator[Page, None, None]:
    """Read a range from its first page to its last until a pass is whole, at most `MOST_PASSES`.

    Yields each page once ``rows`` has taken it in; who asks for no more of them has to close the
    generator. Pages are reserved before they are asked for; what is not sent in the end is given
    back. Nothing more is sent when nobody waits for the range (``is_wanted``).

    Raises:
        AccountError: if the pages cannot be had.
        BudgetSpentError: if the budget has no room for the range.
        RunError: if nothing can be read any more.
        StoppedError: if the run is to end, or nobody waits for the range.
    """

    def reserve(requests: int, *, begins: bool = False, again: bool = False) -> None:
        if not is_wanted():
            message = "the account was given up"
            raise StoppedError(message)
        budget.reserve(requests, begins=begins, again=again)

    def read(response: requests.Response) -> requests.Response:
        has_news = rows.add(paginator.read(response))
        paginator.pages_without_news = 0 if has_news else paginator.pages_without_news + 1
        return response

    passes = expiries = 0
    while passes < MOST_PASSES and not rows.is_whole:
        rows.this_pass = Pass()
        paginator = NextPageTokenPaginator(reader)
        reserved = sent = 0
        try:
            while not paginator.finished:
                parameters = {**request.parameters, "next_page_token": paginator.current_value}
                needed = max(sent + 1, pages_for(rows.this_pass.last_total or 0))
                reserve(max(0, needed - reserved), begins=not sent)
                reserved = max(reserved, needed)
                sent += 1
                response = client.get(
                    replace(request, parameters=parameters),
                    read,
                    before_retry=lambda: reserve(1, again=True),
                )
                paginator.advance(response)
                yield paginator.read(response)
        except WindowExpiredError as error:
            expiries += 1
            if expiries == MOST_EXPIRIES:
                raise AccountError(error.rule, error.answer, request.where) from error
        else:
            passes += 1
            rows.end_pass(passes)
        finally:
            budget.reserve(sent - reserved)


@dataclass(frozen=True, slots=True)
class WindowJob:
    """A window of an account to be read.

    ``sync`` is the whole range that is read of the account. ``accepts_less`` says that an answer
    for less than what was asked for is taken when cutting does not help. ``parent`` is the window
    that this one was cut from because it held too much.
    """

    account: Account
    window: Window
    sync: Window
    accepts_less: bool = False
    parent: Parent | None = None


@dataclass(slots=True)
class WindowFetcher:
    """Fetches the windows of one log, as far as the budget goes. Thread-safe.

    ``now`` is the start of the run.
    """

    log: EngagementLog
    client: Client
    budget: Budget
    now: datetime
    _miscounted: set[str] = field(default_factory=set)
    """Accounts of which a window had fewer rows than announced."""

    def fetch(
        self, job: WindowJob, is_wanted: Callable[[], bool]
    ) -> Fetched[WindowRows] | Parts[WindowJob]:
        """Read a window to its end, several times if need be, or say which parts replace it.

        Raises:
            AccountError: if the account cannot be read, or answers for another range.
            Exception: what else `read_in_passes` raises.
        """
        report, rows = self.client.report, WindowRows(job.window, now=self.now)
        pages_known = 0
        may_be_cut = True
        with closing(self._pages(job, rows, is_wanted)) as pages:
            for page in pages:
                parts = self._halves_if_not_answered(job, page)
                # A window of which no further page is announced is never cut.
                if not parts and may_be_cut and not rows.this_pass.has_ended:
                    parts = self._smaller(job, rows)
                    if parts and self._would_come_twice(job, rows, len(parts), is_wanted):
                        may_be_cut, parts = False, []
                if parts:
                    report.plan_more(self.log.name, len(parts) - 1)
                    return Parts(parts)
                known, pages_known = pages_known, pages_for(rows.this_pass.last_total or 0)
                report.read_page(self.log.name, more=pages_known - known, begins=not known)
        if not rows.is_whole:
            self._miscounted.add(job.account.account_id)
        return Fetched(rows, rows.size)

    def _pages(
        self, job: WindowJob, rows: WindowRows, is_wanted: Callable[[], bool]
    ) -> Generator[Page, None, None]:
        asked = request_range(job.window, job.sync)
        request = self.log.request(job.account, asked.begin, asked.end)
        return read_in_passes(
            self.client, request, self.log.reader, rows, budget=self.budget, is_wanted=is_wanted
        )

    def _smaller(self, job: WindowJob, rows: WindowRows) -> list[WindowJob]:
        """Return the parts of a window that holds too much, else nothing.

        Where the account has given fewer rows than it announced before, the rows that have come
        must be too much. Otherwise totals that are wrong would have a month cut into seconds.
        """
        is_miscounted = job.account.account_id in self._miscounted
        if is_miscounted and not is_too_much(len(rows.rows), rows.size):
            return []
        total = rows.expected_rows
        windows = parts_of(job.window, rows=total, size=rows.expected_size, parent=job.parent)
        parent = Parent(job.window, total)
        return [replace(job, window=window, parent=parent) for window in windows]

    def _would_come_twice(
        self, job: WindowJob, rows: WindowRows, parts: int, is_wanted: Callable[[], bool]
    ) -> bool:
        """Ask for samples of a window, and say whether its parts would bring most rows twice."""
        total = rows.expected_rows
        samples: list[int] = []
        for window in samples_of(job.window, rows=total, parts=parts, parent=job.parent):
            sample = WindowRows(window, now=self.now)
            with closing(self._pages(replace(job, window=window), sample, is_wanted)) as pages:
                next(pages)
            samples.append(sample.expected_rows)
            verdict = would_come_twice(total, parts=parts, samples=samples)
            if verdict is not None:
                return verdict
        return False

    def _halves_if_not_answered(self, job: WindowJob, page: Page) -> list[WindowJob]:
        """Return both halves of a window, each to be asked for by itself, if less was answered.

        Raises:
            AccountError: if something else was answered, or the window cannot be cut.
        """
        asked = request_range(job.window, job.sync)
        answer = answered(asked, page)
        if answer is Answered.ASKED:
            return []
        if answer is Answered.LESS and (parts := halves(job.window)):
            return [replace(job, window=window) for window in parts]
        where = self.log.where(job.account.account_id)
        said = asked_and_named(asked, page)
        if answer is Answered.ANOTHER or not job.accepts_less:
            is_another = answer is Answered.ANOTHER
            condition = Condition.OTHER_RANGE if is_another else Condition.NARROWER_RANGE
            refused = Answer(OK, message=said)
            raise AccountError(decide(refused, {condition}), refused, where)
        self.client.report.warn_once(
            f"narrower {self.log.name} {job.account.account_id}",
            f"{where}: {said}; accepted, on_count_mismatch is warn",
        )
        return []

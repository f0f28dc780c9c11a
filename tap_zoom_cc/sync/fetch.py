"""Fetch: reads the pages of one range, pass by pass, until the check is content.

The second of four stages: plan, fetch, check, emit. Windows of all accounts are fetched side by
side in worker threads; what comes out is a window's rows as a whole, or the parts that take its
place. The list of sub accounts is read by the same passes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from tap_zoom_cc.run.stopping import StoppedError
from tap_zoom_cc.sync.check import Answered, WindowRows, answered, pages_for
from tap_zoom_cc.sync.prefetch import Fetched, Parts
from tap_zoom_cc.sync.windows import halves, is_too_much, parts_of, samples_of, would_come_twice
from tap_zoom_cc.zoom.answers import Answer
from tap_zoom_cc.zoom.errors import AccountError, WindowExpiredError
from tap_zoom_cc.zoom.pages import NextPageTokenPaginator
from tap_zoom_cc.zoom.rules import OK, Condition, decide

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import requests

    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.sync.check import (
        KeyType,
        RangeRows,
    )
    from tap_zoom_cc.sync.plan import WindowJob
    from tap_zoom_cc.zoom.client import Client
    from tap_zoom_cc.zoom.errors import AnswerError
    from tap_zoom_cc.zoom.pages import EngagementLog, Page, PageReader, Request

MOST_PASSES = 3
"""How often a range is read to its end while no pass is whole."""

MOST_EXPIRIES = 4
"""How often a page token may expire before the range is given up."""


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


class Reserve(Protocol):
    """Is called before requests are sent, as `Budget.reserve` is; what it raises ends the range."""

    def __call__(self, requests: int, *, begins: bool = False, again: bool = False) -> None:
        """Take that many requests out of what is allowed; give them back if negative."""


def _without_limit(requests: int, *, begins: bool = False, again: bool = False) -> None:
    del requests, begins, again


def read_in_passes(  # noqa: PLR0913 (what may be left out by name)
    client: Client,
    request: Request,
    reader: PageReader,
    rows: RangeRows[KeyType],
    *,
    reserve: Reserve = _without_limit,
    after_page: Callable[[Page], bool] = lambda _: False,
) -> None:
    """Read a range from its first page to its last until a pass is whole, at most `MOST_PASSES`.

    Args:
        client: sends the requests.
        request: asks for the first page.
        reader: decodes the pages.
        rows: takes in the pages, and then says whether it is whole.
        reserve: called before each request, with 0 for one that was reserved before, and after a
            pass with what is given back, as a negative number.
        after_page: called with each page; says whether the range is not to be read on.

    Raises:
        AccountError: if the pages cannot be had.
        RunError: if nothing can be read any more.
        StoppedError: if the run is to end.
    """
    passes = expiries = 0
    while passes < MOST_PASSES and not rows.is_whole:
        try:
            if not _read_pass(
                client, request, reader, rows, reserve=reserve, after_page=after_page
            ):
                return
        except WindowExpiredError as error:
            expiries += 1
            if expiries == MOST_EXPIRIES:
                raise AccountError(error.rule, error.answer, request.where) from error
            continue
        passes += 1
        rows.end_pass(passes)


def _read_pass(  # noqa: PLR0913 (as `read_in_passes`)
    client: Client,
    request: Request,
    reader: PageReader,
    rows: RangeRows[KeyType],
    *,
    reserve: Reserve,
    after_page: Callable[[Page], bool],
) -> bool:
    """Read all pages once, and say whether the pass came to its end."""
    paginator = NextPageTokenPaginator(reader)

    def read(response: requests.Response) -> requests.Response:
        has_news = rows.add(paginator.read(response))
        paginator.pages_without_news = 0 if has_news else paginator.pages_without_news + 1
        return response

    rows.begin_pass()
    reserved = 0
    is_read_on = True
    while is_read_on and not paginator.finished:
        is_first = paginator.count == 0
        needed = 1 if is_first else max(paginator.count + 1, pages_for(rows.total or 0))
        reserve(max(0, needed - reserved), begins=is_first)
        reserved = max(reserved, needed)
        page_request = request.with_parameters({"next_page_token": paginator.current_value})
        response = client.get(page_request, read, before_retry=lambda: reserve(1, again=True))
        paginator.advance(response)
        is_read_on = not after_page(paginator.read(response))
    reserve(paginator.count - reserved)
    return is_read_on


class WindowFetcher:
    """Fetches the windows of one log. Thread-safe."""

    def __init__(self, log: EngagementLog, client: Client, budget: Budget, now: datetime) -> None:
        """Fetch through a client, as far as the budget goes.

        Args:
            log: says how the endpoint is asked.
            client: sends the requests.
            budget: of the stream.
            now: the start of the run.
        """
        self._log = log
        self._client = client
        self._budget = budget
        self._report: Report = client.report
        self._now = now
        self._miscounted: set[str] = set()
        """Accounts of which a window had fewer rows than announced."""

    def fetch(
        self, job: WindowJob, is_wanted: Callable[[], bool] = lambda: True
    ) -> Fetched[WindowRows] | Parts[WindowJob]:
        """Read a window to its end, several times if need be, or say which parts replace it.

        Args:
            job: the window.
            is_wanted: whether anybody waits for it; nothing more is sent for it if not.

        Raises:
            AccountError: if the account cannot be read.
            BudgetSpentError: if ``max_requests_per_run`` has no room for the window.
            RunError: if nothing can be read any more.
            StoppedError: if the run is to end, or nobody waits for the window.
        """
        rows = WindowRows(job.window, self._now)
        parts: list[WindowJob] = []
        pages = 0
        may_be_cut = True

        def reserve(requests: int, *, begins: bool = False, again: bool = False) -> None:
            if not is_wanted():
                message = "the account was given up"
                raise StoppedError(message)
            self._budget.reserve(requests, begins=begins, again=again)

        def note_page(page: Page) -> bool:
            nonlocal pages, may_be_cut
            parts[:] = self._halves_if_not_answered(job, page)
            if not parts and may_be_cut:
                parts[:] = self._smaller(job, rows)
                if parts and self._would_come_twice(job, rows, len(parts), reserve):
                    may_be_cut = False
                    parts.clear()
            if not parts:
                known, pages = pages, pages_for(rows.total or 0)
                self._report.read_page(self._log.name, more=pages - known, begins=not known)
            return bool(parts)

        read_in_passes(
            self._client,
            job.request(self._log),
            self._log.reader,
            rows,
            reserve=reserve,
            after_page=note_page,
        )
        if not (parts or rows.is_whole):
            self._miscounted.add(job.account.account_id)
        if parts:
            self._report.plan_more(self._log.name, len(parts) - 1)
            return Parts(parts)
        return Fetched(rows, rows.size)

    def _smaller(self, job: WindowJob, rows: WindowRows) -> list[WindowJob]:
        """Return the parts of a window that holds too much, else nothing.

        A window of which no further page is announced is never cut. Where the account has given
        fewer rows than it announced before, the rows that have come must be too much. Otherwise
        totals that are wrong would have a month cut into seconds.
        """
        is_miscounted = job.account.account_id in self._miscounted
        if rows.has_ended or (is_miscounted and not is_too_much(len(rows.rows), rows.size)):
            return []
        total = rows.expected_rows
        windows = parts_of(job.window, rows=total, size=rows.expected_size, parent=job.parent)
        return [job.part(window, total=total) for window in windows]

    def _would_come_twice(
        self, job: WindowJob, rows: WindowRows, parts: int, reserve: Reserve
    ) -> bool:
        """Ask for samples of a window, and say whether its parts would bring most rows twice."""
        total = rows.expected_rows
        samples: list[int] = []
        for window in samples_of(job.window, rows=total, parts=parts, parent=job.parent):
            sample = WindowRows(window, self._now)
            read_in_passes(
                self._client,
                job.part(window).request(self._log),
                self._log.reader,
                sample,
                reserve=reserve,
                after_page=lambda _: True,
            )
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
        answer = answered(job.asked, page)
        if answer is Answered.ASKED:
            return []
        said = f"asked for {job.asked}, Zoom answered for {page.begin} to {page.end}"
        if answer is Answered.ANOTHER:
            raise self._refusal(job, said, Condition.OTHER_RANGE)
        if answer is Answered.LESS and (parts := halves(job.window)):
            return [job.part(window) for window in parts]
        if not job.accepts_less:
            raise self._refusal(job, said, Condition.NARROWER_RANGE)
        self._report.warn_once(
            f"narrower {self._log.name} {job.account.account_id}",
            f"{self._log.where(job.account.account_id)}: {said}; "
            "accepted, on_count_mismatch is warn",
        )
        return []

    def _refusal(self, job: WindowJob, said: str, condition: Condition) -> AnswerError:
        answer = Answer(OK, message=said)
        where = self._log.where(job.account.account_id)
        return AccountError(decide(answer, {condition}), answer, where)

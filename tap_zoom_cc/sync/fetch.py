"""Fetch: reads the pages of one range, pass by pass, until the check is content.

The second of four stages: plan, fetch, check, emit. Windows of all accounts are fetched side by
side in worker threads; what comes out is a window's rows as a whole, or the parts that take its
place. The list of sub accounts is read by the same passes.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tap_zoom_cc.sync.check import (
    WindowRows,
    answered_range,
    pages_for,
    parts_of,
)
from tap_zoom_cc.sync.prefetch import Fetched, Parts
from tap_zoom_cc.sync.windows import Window
from tap_zoom_cc.zoom.answers import Answer
from tap_zoom_cc.zoom.errors import AccountError, WindowExpiredError
from tap_zoom_cc.zoom.rules import OK, Condition, decide

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import requests

    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.sync.budget import Budget
    from tap_zoom_cc.sync.check import (
        KeyType,
        RangeRows,
    )
    from tap_zoom_cc.sync.plan import WindowJob
    from tap_zoom_cc.zoom.client import Client, Request
    from tap_zoom_cc.zoom.engagement_log import EngagementLog
    from tap_zoom_cc.zoom.errors import AnswerError
    from tap_zoom_cc.zoom.pagination import NextPageTokenPaginator, Page

MOST_PASSES = 3
"""How often a range is read to its end while no pass is whole."""

MOST_EXPIRIES = 4
"""How often a page token may expire before the range is given up."""


def read_in_passes(  # noqa: PLR0913 (what may be left out by name)
    client: Client,
    request: Request,
    paginator: NextPageTokenPaginator,
    rows: RangeRows[KeyType],
    *,
    budget: Budget | None = None,
    after_page: Callable[[Page], bool] = lambda _: False,
) -> None:
    """Read a range from its first page to its last until a pass is whole, at most `MOST_PASSES`.

    Args:
        client: sends the requests.
        request: asks for the first page.
        paginator: each pass takes one like it.
        rows: takes in the pages, and then says whether it is whole.
        budget: has room for every page that is asked for; None is no limit.
        after_page: called with each page; says whether the range is not to be read on.

    Raises:
        AccountError: if the pages cannot be had.
        BudgetSpentError: if the budget has no room for the range.
        RunError: if nothing can be read any more.
        StoppedError: if the run is to end.
    """
    passes = expiries = 0
    while passes < MOST_PASSES and not rows.is_whole:
        try:
            if not _read_pass(
                client, request, paginator.anew(), rows, budget=budget, after_page=after_page
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
    paginator: NextPageTokenPaginator,
    rows: RangeRows[KeyType],
    *,
    budget: Budget | None,
    after_page: Callable[[Page], bool],
) -> bool:
    """Read all pages once, and say whether the pass came to its end."""

    def read(response: requests.Response) -> requests.Response:
        has_news = rows.add(paginator.read(response))
        paginator.pages_without_news = 0 if has_news else paginator.pages_without_news + 1
        return response

    def reserve(requests: int, *, begins: bool = False) -> None:
        if budget is not None:
            budget.reserve(requests, begins=begins)

    rows.begin_pass()
    reserved = 0
    while not paginator.finished:
        is_first = paginator.count == 0
        needed = 1 if is_first else max(paginator.count + 1, pages_for(rows.total or 0))
        reserve(max(0, needed - reserved), begins=is_first)
        reserved = max(reserved, needed)
        page_request = request.with_parameters({"next_page_token": paginator.current_value})
        response = client.get(page_request, read, before_retry=lambda: reserve(1))
        paginator.advance(response)
        if after_page(paginator.read(response)):
            return False
    return True


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

    def fetch(self, job: WindowJob) -> Fetched[WindowRows] | Parts[WindowJob]:
        """Read a window to its end, several times if need be, or say which parts replace it.

        Raises:
            AccountError: if the account cannot be read.
            BudgetSpentError: if ``max_requests_per_run`` has no room for the window.
            RunError: if nothing can be read any more.
            StoppedError: if the run is to end.
        """
        rows = WindowRows(job.window, self._now)
        parts: list[WindowJob] = []
        pages = 0

        def note_page(page: Page) -> bool:
            nonlocal pages
            parts[:] = self._parts_after_narrower_answer(job, page) or _smaller(job, rows)
            if not parts:
                known, pages = pages, pages_for(rows.total or 0)
                self._report.read_page(self._log.name, more=pages - known, begins=not known)
            return bool(parts)

        read_in_passes(
            self._client,
            job.request(self._log),
            self._log.paginator,
            rows,
            budget=self._budget,
            after_page=note_page,
        )
        if parts:
            self._report.plan_more(self._log.name, len(parts) - 1)
            return Parts(parts)
        return Fetched(rows, rows.size)

    def _parts_after_narrower_answer(self, job: WindowJob, page: Page) -> list[WindowJob]:
        """Return what was answered and what is left on either side, if an answer is for less.

        Each is read by itself; none where the whole window was answered.

        Raises:
            AccountError: if it is for something else, or if that happens to such a part again.
        """
        answered = answered_range(job.window, page)
        if answered == job.window:
            return []
        said = f"asked for {job.window}, Zoom answered for {page.begin} to {page.end}"
        if job.is_asked_again:
            if job.accepts_less:
                self._report.warn_once(
                    f"narrower {self._log.name} {job.account.account_id}",
                    f"{self._log.where(job.account.account_id)}: {said}; "
                    "accepted, on_count_mismatch is warn",
                )
                return []
            raise self._refusal(job, said, Condition.NARROWER_RANGE)
        if answered is None:
            raise self._refusal(job, said, Condition.OTHER_RANGE)
        cuts = (job.window.begin, answered.begin, answered.end, job.window.end)
        return [
            job.part(Window(begin, end), is_asked_again=True)
            for begin, end in itertools.pairwise(cuts)
            if begin < end
        ]

    def _refusal(self, job: WindowJob, said: str, condition: Condition) -> AnswerError:
        answer = Answer(OK, message=said)
        where = self._log.where(job.account.account_id)
        return AccountError(decide(answer, {condition}), answer, where)


def _smaller(job: WindowJob, rows: WindowRows) -> list[WindowJob]:
    """Return the parts of a window that holds too much, else nothing."""
    total = rows.expected_rows
    windows = parts_of(
        job.window, rows=total, size=rows.expected_size, parent_total=job.parent_total
    )
    return [job.part(window, parent_total=total) for window in windows] if len(windows) > 1 else []

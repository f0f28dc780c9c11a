"""Fetch: reads the pages of one window, in a worker thread, until the check is content.

The second of four stages: plan, fetch, check, emit. Windows of all accounts are fetched side by
side; what comes out is a window's rows as a whole, or the parts that take its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_zoom_cc.sync.check import MOST_PASSES, WindowRows, pages_for, parts_of
from tap_zoom_cc.sync.plan import WindowJob
from tap_zoom_cc.sync.prefetch import Fetched, Parts
from tap_zoom_cc.zoom.errors import AccountError, RunError, WindowExpiredError

if TYPE_CHECKING:
    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.sync.budget import Budget
    from tap_zoom_cc.zoom.client import ZoomStream

MOST_EXPIRIES = 4
"""How often a window's page token may expire before its account is given up."""


class WindowFetcher:
    """Fetches the windows of one stream. Thread-safe."""

    def __init__(self, stream: ZoomStream, budget: Budget, report: Report) -> None:
        """Fetch through a stream's requests, as far as the budget goes."""
        self._stream = stream
        self._budget = budget
        self._report = report

    def fetch(self, job: WindowJob) -> Fetched[WindowRows] | Parts[WindowJob]:
        """Read a window to its end, several times if need be, or say which parts replace it.

        Raises:
            AccountError: if the account cannot be read.
            BudgetSpentError: if ``max_requests_per_run`` has no room for the window.
            RunError: if nothing can be read any more.
            StoppedError: if the run is to end.
        """
        try:
            return self._fetch(job)
        except RunError as error:
            self._stream.zoom.give_up(error)
            raise

    def _fetch(self, job: WindowJob) -> Fetched[WindowRows] | Parts[WindowJob]:
        rows = WindowRows(job.window)
        passes = expiries = 0
        while passes < MOST_PASSES and not (passes and rows.complete):
            try:
                parts = self._read_pass(job, rows)
            except WindowExpiredError as error:
                expiries += 1
                if expiries == MOST_EXPIRIES:
                    where = self._stream.where({"account_id": job.account.account_id})
                    raise AccountError(error.rule, error.answer, where) from error
                continue
            if parts:
                self._report.plan_more(self._stream.name, len(parts) - 1)
                return Parts(parts)
            passes += 1
        return Fetched(rows, rows.size)

    def _read_pass(self, job: WindowJob, rows: WindowRows) -> list[WindowJob]:
        """Read a window's pages once, or return the parts that it must be read in."""
        context = {"account_id": job.account.account_id, "window": job.window}
        paginator = self._stream.get_new_paginator()
        rows.begin_pass()
        reserved = 0
        while not paginator.finished:
            needed = max(paginator.count + 1, pages_for(rows.total or 0))
            needed = 1 if paginator.count == 0 else needed
            self._budget.reserve(max(0, needed - reserved), begins=paginator.count == 0)
            reserved = max(reserved, needed)
            self._stream.next_page(
                context, paginator, rows.add, before_retry=lambda: self._budget.reserve(1)
            )
            windows = parts_of(rows, job.parent_total)
            if len(windows) > 1:
                total = max(rows.total or 0, len(rows.rows))
                return [WindowJob(job.account, window, total) for window in windows]
        return []

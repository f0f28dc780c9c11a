"""Outcome: what became of a stream's accounts, and what can only be said after the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_zoom_cc.zoom.rules import Action

if TYPE_CHECKING:
    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.sync.budget import Budget
    from tap_zoom_cc.zoom.errors import AccountError


class Outcome:
    """Collects what became of each account of one stream."""

    def __init__(self, stream_name: str, report: Report) -> None:
        """Start with no account read."""
        self._stream_name = stream_name
        self._report = report
        self._accounts_not_refused = 0
        self._accounts_without_rows = 0
        self._has_advanced = False
        self._is_stuck = False

    def advanced(self) -> None:
        """Note that a bookmark moved forward."""
        self._has_advanced = True

    def was_read(self) -> None:
        """Note that an account was read to its end."""
        self._accounts_not_refused += 1

    def ran_out_of_budget(self) -> None:
        """Note that the budget ended an account.

        Accounts come with the oldest bookmark first. If none has moved before the first one that
        the budget ends, the next run will begin there again, and no run comes any further.
        """
        self._accounts_not_refused += 1
        self._is_stuck = self._is_stuck or not self._has_advanced

    def refused(self, account_id: str, error: AccountError) -> None:
        """Note an account that cannot be read, as the rule of its last answer says."""
        action = error.rule.last_word
        if action in {Action.NO_ROWS, Action.SKIP_ACCOUNT}:
            self._accounts_without_rows += 1
            self._report.tallies[self._stream_name].without_rows.add(account_id)
        if action is Action.NO_ROWS:
            self._report.logger.info("%s", error)
        elif action is Action.SKIP_ACCOUNT:
            self._report.tallies[self._stream_name].skipped.add(account_id)
            self._report.logger.warning("%s. The account is skipped", error)
        else:
            self._report.fail(str(error))

    def conclude(self, budget: Budget, *, full_table: bool) -> None:
        """Report what only the end shows: nothing was read, or the budget leaves no way forward."""
        name = self._stream_name
        self._report.end(name)
        if self._accounts_without_rows and not self._accounts_not_refused:
            self._report.fail(
                f"{name}: not one account could be read: refused, or without what the filters "
                "name; see the lines above, and correct the filters or the app's permissions"
            )
        if not budget.exhausted:
            return
        if full_table:
            self._report.fail(
                f"{name}: max_requests_per_run was spent before all was read, and a "
                "full-table sync cannot go on in the next run; raise it or sync incrementally"
            )
        elif self._is_stuck and not self._report.failures:
            self._report.fail(
                f"{name}: max_requests_per_run does not suffice to read one window of the "
                f"account with the oldest bookmark, {_why_stuck(budget)}"
            )
        else:
            self._report.logger.info(
                "%s: max_requests_per_run is spent; the next run goes on from here", name
            )


def _why_stuck(budget: Budget) -> str:
    """Say what follows from a budget that did not suffice for one window."""
    if not budget.sent_again:
        return "so that no run would ever come further; raise it"
    return (
        f"because {budget.sent_again} of {budget.spent_requests} requests had to be sent again; "
        "run again when Zoom's fault has passed, or raise it"
    )

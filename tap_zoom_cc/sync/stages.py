"""The stages of a stream's sync put together: plan, fetch, check, emit.

All accounts are planned at once and fetched side by side in worker threads. The main thread emits
one account after another, and keeps how far each was read in its state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_zoom_cc.run.report import counted
from tap_zoom_cc.run.stopping import SECONDS_TO_END, OutputError, StoppedError
from tap_zoom_cc.sync.bookmarks import MOST_AHEAD, progress_of, rest_after
from tap_zoom_cc.sync.check import pages_for
from tap_zoom_cc.sync.emit import Emitter
from tap_zoom_cc.sync.fetch import BudgetSpentError, WindowFetcher
from tap_zoom_cc.sync.prefetch import Prefetcher
from tap_zoom_cc.sync.windows import DAY, LONGEST_REQUEST, MOST_ROWS, Window
from tap_zoom_cc.zoom.errors import AccountError, RunError
from tap_zoom_cc.zoom.instants import format_instant
from tap_zoom_cc.zoom.rules import Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_zoom_cc.rows.decoder import RowDecoder
    from tap_zoom_cc.rows.types import Record
    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.sync.bookmarks import Bookmarks
    from tap_zoom_cc.sync.check import WindowRows
    from tap_zoom_cc.sync.fetch import Budget
    from tap_zoom_cc.sync.plan import AccountPlan, SyncRange, WindowJob
    from tap_zoom_cc.zoom.client import Client
    from tap_zoom_cc.zoom.pages import Account, EngagementLog

MEMORY_BYTES = 56 * 1024 * 1024
"""Rows, as JSON, that may wait for their turn to be emitted, or are being read for it."""

FIRST_WINDOW_BYTES = 6 * 1024 * 1024
"""Assumed size of the first window: 1,800 voice calls of 3.5 kB."""


class StreamSync:
    """One sync of one stream."""

    def __init__(  # noqa: PLR0913 (all by name)
        self,
        log: EngagementLog,
        client: Client,
        *,
        accounts: Mapping[str, Account],
        sync_range: SyncRange,
        bookmarks: Bookmarks,
        budget: Budget,
        decoder: RowDecoder,
        workers: int,
    ) -> None:
        """Plan all accounts and begin to fetch.

        Args:
            log: says how the endpoint is asked.
            client: sends the requests; ends the sync early when it is told to stop.
            accounts: the accounts by ID.
            sync_range: what is read, whatever the account.
            bookmarks: how far the accounts were read, in the order in which they are emitted.
            budget: the requests that the stream may send.
            decoder: turns rows into records.
            workers: the number of threads that fetch.
        """
        self._log = log
        self._client = client
        self._range = sync_range
        self._bookmarks = bookmarks
        self._decoder = decoder
        self._report: Report = client.report
        self._tally = self._report.tallies[log.name]
        self._outcome = Outcome(log.name, self._report, budget)
        self._unread = set(bookmarks.states)
        self._plans = self._plan(accounts)
        self._prefetcher: Prefetcher[WindowJob, WindowRows] = Prefetcher(
            WindowFetcher(log, client, budget, sync_range.now).fetch,
            self._plans,
            workers=workers,
            capacity=MEMORY_BYTES,
            assumed_size=FIRST_WINDOW_BYTES,
            may_run_ahead=lambda: budget.suffices_for(workers * pages_for(MOST_ROWS)),
        )

    def _plan(self, accounts: Mapping[str, Account]) -> dict[str, AccountPlan]:
        """Plan the windows of all accounts, and say how much there is to read."""
        plans = {}
        new_accounts = 0
        for account_id, state in self._bookmarks.states.items():
            progress = None if self._bookmarks.full_table else progress_of(state)
            rest = rest_after(state, self._range.longest_rest)
            plans[account_id] = self._range.jobs_for(accounts[account_id], progress, rest)
            new_accounts += progress is None
            if progress and progress.bookmark > self._range.now + MOST_AHEAD:
                self._report.fail(
                    f"{self._log.where(account_id)}: its bookmark lies after the present by Zoom's "
                    f"clock, {format_instant(self._range.now)}, so nothing was read; if that is "
                    "right, set the bookmark back"
                )
        windows = sum(map(len, plans.values()))
        self._report.plan_more(self._log.name, windows)
        begin = min((plan.windows.begin for plan in plans.values() if plan), default=None)
        span = str(Window(begin, self._range.end)) if begin else ""
        at_rest = frozenset(name for name, plan in plans.items() if plan.rests)
        self._tally.at_rest = at_rest if self._range.longest_rest else None
        self._report.begin(self._log.name, len(plans), span, windows)
        if new_accounts and not self._range.start_date:
            self._report.logger.info(
                "%s: start_date is not set, so of %s without a bookmark only the last %d days are "
                "read; for more, set start_date and begin without state",
                self._log.name,
                counted(new_accounts, "account"),
                LONGEST_REQUEST.days,
            )
        read_already = sum(not jobs for jobs in plans.values()) - len(at_rest)
        if read_already and self._range.end_date:
            self._report.warn_once(
                f"end_date {self._log.name}",
                f"{self._log.name}: {read_already} of {len(plans)} accounts were read up to "
                "end_date or later, so nothing is read of them; to read it again, use a state of "
                "its own",
            )
        return plans

    def records(self, account_id: str) -> Iterator[Record]:
        """Yield an account's engagements, window by window, and move its bookmark after each.

        What goes wrong with an account is reported, and ends its rows but not the run.

        Raises:
            RunError: after the last account, if an error ended the run meanwhile.
            RuntimeError: if a program asks for them again: they would be none, without a word.
        """
        where = self._log.where(account_id)
        if account_id not in self._unread:
            message = (
                f"{where}: was read already; a tap syncs once, so make another one, with the state "
                "of this one, for the next sync"
            )
            raise RuntimeError(message)
        self._unread.remove(account_id)
        try:
            yield from self._records(account_id, where)
            self._outcome.was_read()
        except AccountError as error:
            self._outcome.refused(account_id, error)
            if account_id in self._tally.without_rows:
                self._report.plan_more(self._log.name, -len(self._plans[account_id]))
        except BudgetSpentError:
            progress = progress_of(self._bookmarks.states[account_id])
            is_at_end = progress is not None and progress.bookmark >= self._range.end
            self._outcome.ran_out_of_budget(is_at_end=is_at_end)
        except (RunError, StoppedError):
            self._report.logger.debug("%s: stopped", where)
        except (GeneratorExit, OutputError):
            # No more rows of any account are wanted.
            self.close()
            raise
        except Exception as error:
            self._report.fail(
                f"{where}: {type(error).__name__} - a fault of the tap; report it, with the "
                "traceback that LOGLEVEL=DEBUG shows"
            )
            self._report.logger.debug("the fault:", exc_info=True)
        if not self._unread and not self._client.stop.asked:
            self._conclude()

    def _records(self, account_id: str, where: str) -> Iterator[Record]:
        emitter = Emitter(
            account_id=account_id,
            where=where,
            decoder=self._decoder,
            report=self._report,
            stop=self._client.stop,
            accepts_less=self._range.accepts_less,
        )
        try:
            for rows in self._prefetcher.results(account_id, self._while_waiting):
                emitted = self._tally.rows
                for record in emitter.records(rows):
                    self._tally.rows += 1
                    yield record
                if emitter.judge(rows) and self._bookmarks.move(
                    account_id,
                    rows.window,
                    end=self._range.end,
                    last_end=emitter.last_end,
                    rows=self._tally.rows - emitted,
                ):
                    self._outcome.has_advanced = True
                self._tally.windows_done += 1
                self._tally.longest = max(self._tally.longest, emitter.longest)
                if emitter.newest:
                    self._tally.newest = max(emitter.newest, self._tally.newest or emitter.newest)
                self._report.show_progress()
        finally:
            # Whatever ends an account, nothing more is read of it.
            self._prefetcher.drop(account_id)

    def _while_waiting(self) -> None:
        self._client.stop.check()
        self._report.show_progress()

    def close(self) -> None:
        """Read nothing more, and let go of what was read; for a run that ends early."""
        self._prefetcher.close()

    def _conclude(self) -> None:
        """Say, after the last account, what only the end shows.

        Raises:
            RunError: what ended the run. What was read before it has been emitted by now.
        """
        # Their connections end with them, and should not do so while the process ends.
        self._prefetcher.join(SECONDS_TO_END)
        if self._client.fatal_error is not None:
            raise self._client.fatal_error
        self._outcome.conclude(full_table=self._bookmarks.full_table)
        name, longest, lookback = self._log.name, self._tally.longest, self._range.lookback
        if longest > lookback / 2:
            self._report.warn_once(
                f"lookback {name}",
                f"{name}: an engagement was open for {longest / DAY:.1f} days, more than half of "
                f"{name}_lookback_days ({lookback / DAY:g}), and one that is open for longer than "
                f"the whole may be missed: set it to {-(-longest * 2 // DAY)} or more",
            )


class Outcome:
    """Collects what became of each account of one stream."""

    def __init__(self, stream_name: str, report: Report, budget: Budget) -> None:
        """Start with no account read."""
        self._stream_name = stream_name
        self._report = report
        self._budget = budget
        self._accounts_not_refused = 0
        self._accounts_without_rows = 0
        self._is_stuck = False
        self.has_advanced = False
        """Whether any bookmark has moved forward."""

    def was_read(self) -> None:
        """Note that an account was read to its end."""
        self._accounts_not_refused += 1

    def ran_out_of_budget(self, *, is_at_end: bool) -> None:
        """Note that the budget ended an account.

        Accounts come with the oldest bookmark first. If none has moved before the first one that
        the budget ends, the next run will begin there again, and no run comes any further. There is
        nothing to come to where an account was read up to ``end_date`` before.
        """
        self._accounts_not_refused += 1
        self._is_stuck = self._is_stuck or not (self.has_advanced or is_at_end)

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

    def conclude(self, *, full_table: bool) -> None:
        """Report what only the end shows: nothing was read, or the budget leaves no way forward."""
        name = self._stream_name
        self._report.end(name)
        if self._accounts_without_rows and not self._accounts_not_refused:
            self._report.fail(
                f"{name}: not one account could be read: refused, or without what the filters "
                "name; see the lines above, and correct the filters or the app's permissions"
            )
        if not self._budget.exhausted:
            return
        if full_table:
            self._report.fail(
                f"{name}: max_requests_per_run was spent before all was read, and a "
                "full-table sync cannot go on in the next run; raise it or sync incrementally"
            )
        elif self._is_stuck and not self._report.failures:
            self._report.fail(
                f"{name}: max_requests_per_run does not suffice to read one window of the "
                f"account with the oldest bookmark, {_why_stuck(self._budget)}"
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

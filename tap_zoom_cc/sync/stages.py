"""The stages of a stream's sync put together: plan, fetch, check, emit.

All accounts are planned at once and fetched side by side in worker threads. The main thread emits
one account after another, and keeps how far each was read in its state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_zoom_cc.run.report import counted
from tap_zoom_cc.run.stopping import SECONDS_TO_END, OutputError, StoppedError
from tap_zoom_cc.sync.bookmarks import MOST_AHEAD, is_at_rest, progress_of
from tap_zoom_cc.sync.fetch import BudgetSpentError, WindowFetcher, WindowJob
from tap_zoom_cc.sync.lookback import begin_of_reread, phase_of
from tap_zoom_cc.sync.prefetch import Prefetcher
from tap_zoom_cc.sync.window_rows import Emitter, pages_for
from tap_zoom_cc.sync.windows import (
    DAY,
    LONGEST_REQUEST,
    MOST_ROWS,
    Cut,
    Window,
    end_of_sync,
    first_begin,
)
from tap_zoom_cc.zoom.errors import AccountError, RunError
from tap_zoom_cc.zoom.instants import format_instant
from tap_zoom_cc.zoom.rules import Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from tap_zoom_cc.rows.decoder import RowDecoder
    from tap_zoom_cc.rows.types import Record
    from tap_zoom_cc.run.settings import Settings
    from tap_zoom_cc.sync.bookmarks import Bookmarks
    from tap_zoom_cc.sync.fetch import Budget
    from tap_zoom_cc.sync.window_rows import WindowRows
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
        settings: Settings,
        now: datetime,
        accounts: Mapping[str, Account],
        bookmarks: Bookmarks,
        budget: Budget,
        decoder: RowDecoder,
    ) -> None:
        """Plan all accounts and begin to fetch; ``now`` is the start of the run, in UTC.

        Accounts are emitted in the order of the bookmarks. The client's stop ends the sync early.
        """
        self._log = log
        self._client = client
        self._settings = settings
        self._now = now
        self._end = end_of_sync(end_date=settings.end_date, now=now)
        self._bookmarks = bookmarks
        self._budget = budget
        self._decoder = decoder
        self._report = client.report
        self._tally = client.report.tallies[log.name]
        self._unread = set(bookmarks.states)
        self._can_be_read = False
        """Whether any account was not refused."""
        self._has_advanced = False
        """Whether any bookmark has moved forward."""
        self._is_stuck = False
        """Whether the budget did not suffice for the first window of the run."""
        self._plans = self._plan()
        self._prefetcher: Prefetcher[WindowJob, WindowRows] = Prefetcher(
            WindowFetcher(log, client, budget, now).fetch,
            {name: self._jobs(accounts[name], cut) for name, cut in self._plans.items()},
            workers=settings.max_concurrency,
            capacity=MEMORY_BYTES,
            assumed_size=FIRST_WINDOW_BYTES,
            may_run_ahead=lambda: budget.suffices_for(
                settings.max_concurrency * pages_for(MOST_ROWS)
            ),
        )

    def _plan(self) -> dict[str, Cut]:
        """Return the windows of each account, none while it rests, and say how much there is.

        An account without a bookmark is read from the start, one that has a bookmark from there on,
        less what `tap_zoom_cc.sync.lookback` says.
        """
        name, settings, end = self._log.name, self._settings, self._end
        plans: dict[str, Cut] = {}
        at_rest: set[str] = set()
        new_accounts = 0
        for account_id, state in self._bookmarks.states.items():
            progress = None if self._bookmarks.full_table else progress_of(state)
            if progress is None:
                new_accounts += 1
                begin = first_begin(start_date=settings.start_date, now=self._now)
            elif is_at_rest(state, settings.longest_rest, end=end):
                at_rest.add(account_id)
                begin = end
            else:
                begin = begin_of_reread(
                    progress,
                    end=end,
                    lookback=settings.lookbacks[name],
                    phase=phase_of(name, account_id),
                    start_date=settings.start_date,
                )
            plans[account_id] = Cut(begin, end)
            if progress and progress.bookmark > self._now + MOST_AHEAD:
                self._report.fail(
                    f"{self._log.where(account_id)}: its bookmark lies after the present by Zoom's "
                    f"clock, {format_instant(self._now)}, so nothing was read; if that is "
                    "right, set the bookmark back"
                )
        windows = sum(map(len, plans.values()))
        self._report.plan_more(name, windows)
        self._tally.accounts = len(plans)
        self._tally.at_rest = frozenset(at_rest) if settings.longest_rest else None
        accounts = counted(len(plans), "account")
        if at_rest:
            accounts += f" ({len(at_rest)} at rest)"
        first = min((cut.begin for cut in plans.values() if len(cut)), default=None)
        if first is None:
            self._report.logger.info("%s: %s, nothing to read", name, accounts)
        else:
            self._report.logger.info(
                "%s: %s, %s, expected: %s or more, at %g a second",
                name,
                accounts,
                Window(first, end),
                counted(windows, "request"),
                settings.requests_per_second,
            )
        if new_accounts and not settings.start_date:
            self._report.logger.info(
                "%s: start_date is not set, so of %s without a bookmark only the last %d days are "
                "read; for more, set start_date and begin without state",
                name,
                counted(new_accounts, "account"),
                LONGEST_REQUEST.days,
            )
        read_already = sum(not len(cut) for cut in plans.values()) - len(at_rest)
        if read_already and settings.end_date:
            self._report.warn_once(
                f"end_date {name}",
                f"{name}: {read_already} of {len(plans)} accounts were read up to "
                "end_date or later, so nothing is read of them; to read it again, use a state of "
                "its own",
            )
        return plans

    def _jobs(self, account: Account, cut: Cut) -> Iterator[WindowJob]:
        """Make the jobs of an account, each when it is asked for."""
        sync = Window(cut.begin, cut.end)
        for window in cut:
            yield WindowJob(account, window, sync, self._settings.accepts_less)

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
        tally = self._tally
        emitter = Emitter(
            account_id=account_id,
            where=where,
            decoder=self._decoder,
            report=self._report,
            tally=tally,
            stop=self._client.stop,
            accepts_less=self._settings.accepts_less,
        )
        try:
            for rows in self._prefetcher.results(account_id, self._while_waiting):
                emitted = tally.rows
                yield from emitter.records(rows)
                if emitter.judge(rows) and self._bookmarks.move(
                    account_id,
                    rows.window,
                    end=self._end,
                    last_end=emitter.last_end,
                    rows=tally.rows - emitted,
                ):
                    self._has_advanced = True
                tally.windows_done += 1
                self._report.show_progress()
                # They would be kept while the next window is waited for.
                del rows
            self._can_be_read = True
        except AccountError as error:
            self._tell_of_refusal(account_id, error)
        except BudgetSpentError:
            self._can_be_read = True
            # Accounts come with the oldest bookmark first. If none has moved before the first one
            # that the budget ends, the next run will begin there again, and no run comes any
            # further. There is nothing to come to where it was read up to ``end_date`` before.
            progress = progress_of(self._bookmarks.states[account_id])
            is_at_end = progress is not None and progress.bookmark >= self._end
            self._is_stuck = self._is_stuck or not (self._has_advanced or is_at_end)
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
        finally:
            # Whatever ends an account, nothing more is read of it.
            self._prefetcher.drop(account_id)
        if not self._unread and not self._client.stop.asked:
            self._conclude()

    def _while_waiting(self) -> None:
        self._client.stop.check()
        self._report.show_progress()

    def _tell_of_refusal(self, account_id: str, error: AccountError) -> None:
        """Report an account that cannot be read, as the rule of its last answer says."""
        action = error.rule.last_word
        if action not in {Action.NO_ROWS, Action.SKIP_ACCOUNT}:
            self._report.fail(str(error))
            return
        self._tally.without_rows.add(account_id)
        self._report.plan_more(self._log.name, -len(self._plans[account_id]))
        if action is Action.NO_ROWS:
            self._report.logger.info("%s", error)
        else:
            self._tally.skipped.add(account_id)
            self._report.logger.warning("%s. The account is skipped", error)

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
        name, report = self._log.name, self._report
        self._tally.has_ended = True
        if self._tally.without_rows and not self._can_be_read:
            report.fail(
                f"{name}: not one account could be read: refused, or without what the filters "
                "name; see the lines above, and correct the filters or the app's permissions"
            )
        if self._budget.exhausted:
            if self._bookmarks.full_table:
                report.fail(
                    f"{name}: max_requests_per_run was spent before all was read, and a "
                    "full-table sync cannot go on in the next run; raise it or sync incrementally"
                )
            elif self._is_stuck and not report.failures:
                report.fail(
                    f"{name}: max_requests_per_run does not suffice to read one window of the "
                    f"account with the oldest bookmark, {_why_stuck(self._budget)}"
                )
            else:
                report.logger.info(
                    "%s: max_requests_per_run is spent; the next run goes on from here", name
                )
        longest, lookback = self._tally.longest, self._settings.lookbacks[name]
        if longest > lookback / 2:
            report.warn_once(
                f"lookback {name}",
                f"{name}: an engagement was open for {longest / DAY:.1f} days, more than half of "
                f"{name}_lookback_days ({lookback / DAY:g}), and one that is open for longer than "
                f"the whole may be missed: set it to {-(-longest * 2 // DAY)} or more",
            )


def _why_stuck(budget: Budget) -> str:
    """Say what follows from a budget that did not suffice for one window."""
    if not budget.sent_again:
        return "so that no run would ever come further; raise it"
    return (
        f"because {budget.sent_again} of {budget.spent_requests} requests had to be sent again; "
        "run again when Zoom's fault has passed, or raise it"
    )

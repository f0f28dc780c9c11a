"""The Singer side of an engagement stream: partitions, state, and the records of each account.

What a sync does with an account's windows is in `tap_zoom_cc.sync`: they are planned, fetched in
worker threads, checked and emitted. This class puts these stages together for the SDK.
"""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from typing_extensions import override

from tap_zoom_cc.run.stopping import EXIT_FAILED, StoppedError
from tap_zoom_cc.sync.bookmarks import REPLICATION_KEY, StateSchedule, advance, bookmark_of
from tap_zoom_cc.sync.budget import BudgetSpentError
from tap_zoom_cc.sync.check import MOST_ROWS, PAGE_SIZE, pages_for
from tap_zoom_cc.sync.emit import Emitter, decoder_for
from tap_zoom_cc.sync.fetch import WindowFetcher
from tap_zoom_cc.sync.outcome import Outcome
from tap_zoom_cc.sync.plan import Reach, in_order
from tap_zoom_cc.sync.prefetch import Prefetcher
from tap_zoom_cc.sync.rows import UnfitRowError
from tap_zoom_cc.zoom.client import ZoomStream
from tap_zoom_cc.zoom.errors import AccountError, RunError
from tap_zoom_cc.zoom.filters import query_parameters
from tap_zoom_cc.zoom.instants import format_instant
from tap_zoom_cc.zoom.rules import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_zoom_cc.accounts import Accounts
    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.run.settings import FilterValue
    from tap_zoom_cc.run.stopping import Stop
    from tap_zoom_cc.services import Services
    from tap_zoom_cc.sync.budget import Budget, Budgets
    from tap_zoom_cc.sync.check import WindowRows
    from tap_zoom_cc.sync.plan import Account, WindowJob
    from tap_zoom_cc.sync.rows import RowDecoder
    from tap_zoom_cc.sync.windows import Window
    from tap_zoom_cc.zoom.api import ZoomApi

MEMORY_BYTES = 56 * 1024 * 1024
"""Rows, as JSON, that may wait for their turn to be emitted, or are being read for it."""

FIRST_WINDOW_BYTES = 6 * 1024 * 1024
"""What a window is taken to need before one has been read: 1,800 voice calls of 3.5 kB."""


class EngagementStream(ZoomStream):
    """Finished engagements of one channel, of every account, in windows of time."""

    # The SDK declares it for instances; the registry reads it from the class.
    name: str = ""
    title: ClassVar[str]
    """The stream's name in titles."""

    engagement: ClassVar[str]
    """What a row is, in a sentence."""

    default_lookback_days: ClassVar[float]

    primary_keys: ClassVar[tuple[str, ...]] = ("account_id", "engagement_id")
    replication_key = REPLICATION_KEY

    STATE_MSG_FREQUENCY = sys.maxsize
    """Within a window there is no state worth writing."""

    def __init__(
        self, tap: Tap, services: Callable[[], Services], accounts: Accounts, budgets: Budgets
    ) -> None:
        """Belong to a tap, as the SDK wants it; what the stream itself uses is handed to it.

        Args:
            tap: for the SDK.
            services: gives what the run shares; discovery has none, and does not ask.
            accounts: the accounts to read.
            budgets: shares out the requests of a run.
        """
        self._services = services
        self._accounts = accounts
        self._budgets = budgets
        self._state_schedule = StateSchedule()
        budgets.join(self)
        super().__init__(tap)

    @property
    @override
    def zoom(self) -> ZoomApi:
        return self._services().zoom

    # Requests

    @override
    def get_url(self, context: Context | None) -> str:
        account = self._account(context)
        scope = "" if account.own else f"/accounts/{quote(account.account_id, safe='')}"
        return f"{self.url_base}{scope}{self.path}"

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, object]:
        window: Window = (context or {})["window"]
        return {
            "from": format_instant(window.begin),
            "to": format_instant(window.end),
            "page_size": PAGE_SIZE,
            **self._query,
            "next_page_token": next_page_token,
        }

    @cached_property
    def _query(self) -> Mapping[str, FilterValue]:
        return self.query()

    def query(self) -> Mapping[str, FilterValue]:
        """Return the query parameters besides range and page."""
        return query_parameters(self.name, self._services().settings.filters[self.name])

    @override
    def conditions(self, context: Context | None) -> set[Condition]:
        if self.zoom.has_answered(self.where(context)):
            return set()
        account = self._account(context)
        found = set()
        if self._services().settings.filters[self.name]:
            found.add(Condition.FILTERED)
        if account.listed and not bookmark_of(self._states.get(account.account_id)):
            found.add(Condition.NEVER_READ)
        return found

    def _account(self, context: Context | None) -> Account:
        return self._accounts.by_id[(context or {})["account_id"]]

    # Partitions and their state

    @cached_property
    @override
    def partitions(self) -> list[dict[str, str]]:
        """One for each account, that with the oldest bookmark first."""
        bookmarks = {name: bookmark_of(state) for name, state in self._states.items()}
        if self._services().settings.sub_account_ids is None:
            for account_id in bookmarks.keys() - self._accounts.by_id.keys():
                if bookmarks[account_id]:
                    self._report.warn_once(
                        f"not listed {self.name} {account_id}",
                        f"{self.name}, account {account_id}: has a bookmark, but Zoom does not "
                        "list it any more; what came after the bookmark is not read",
                    )
        return [{"account_id": name} for name in in_order(self._accounts.by_id, bookmarks)]

    @cached_property
    def _states(self) -> dict[str, dict[str, object]]:
        """The part of the state that belongs to each account which has one."""
        partitions = self.state_manager.get_state_partitions() or []
        return {state["context"]["account_id"]: state for state in partitions}

    @override
    def get_context_state(self, context: Context | None) -> dict[str, object]:
        """Return the writable state of an account; the SDK would look through those of all."""
        if context is None:
            return super().get_context_state(context)
        account_id: str = context["account_id"]
        if account_id not in self._states:
            self._states[account_id] = super().get_context_state(context)
        return self._states[account_id]

    @override
    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        """Leave the state alone: a row moves no bookmark.

        The SDK has no public way to say so. Its own method also searches all partitions for each
        row, which 1,000 accounts make costly. It would be needless if the SDK asked the stream
        whether rows move the bookmark.
        """

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Bookmarks are set by windows alone, so there is nothing to cap them with."""

    # The stages

    @property
    def _report(self) -> Report:
        return self.zoom.report

    @property
    def _full_table(self) -> bool:
        return bool(self.replication_method == REPLICATION_FULL_TABLE)

    @cached_property
    def _outcome(self) -> Outcome:
        return Outcome(self.name, self._report)

    @cached_property
    def _budget(self) -> Budget:
        return self._budgets.open(self, self._services().settings.max_requests_per_run)

    @cached_property
    def decoder(self) -> RowDecoder:
        """What turns this stream's rows into records."""
        return decoder_for(self, self._report)

    def _plan(self) -> dict[str, list[WindowJob]]:
        services = self._services()
        settings = services.settings
        reach = Reach(
            start_date=settings.start_date,
            end_date=settings.end_date,
            lookback=settings.lookbacks[self.name],
            now=services.present,
            accepts_less=not settings.mismatch_fails,
        )
        plans = {}
        for context in self.partitions:
            bookmark = None if self._full_table else bookmark_of(self.get_context_state(context))
            plans[context["account_id"]] = reach.jobs_for(self._account(context), bookmark)
        read_already = sum(not jobs for jobs in plans.values())
        if read_already and settings.end_date:
            self._report.warn_once(
                f"end_date {self.name}",
                f"{self.name}: {read_already} of {len(plans)} accounts were read up to end_date or "
                "later, so nothing is read of them; to read it again, use a state of its own",
            )
        return plans

    @cached_property
    def _prefetcher(self) -> Prefetcher[WindowJob, WindowRows]:
        plans = self._plan()
        self._report.plan_more(self.name, sum(map(len, plans.values())))
        services = self._services()
        workers = services.settings.max_concurrency
        return Prefetcher(
            WindowFetcher(self, self._budget, self._report, services.present).fetch,
            plans,
            workers=workers,
            capacity=MEMORY_BYTES,
            assumed_size=FIRST_WINDOW_BYTES,
            may_run_ahead=lambda: self._budget.suffices_for(workers * pages_for(MOST_ROWS)),
        )

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Yield an account's engagements, window by window, and move its bookmark after each.

        What goes wrong with an account is reported, and ends its rows but not the run. There must
        be no progress markers then: the SDK would move the bookmark to them.
        """
        stop = self._services().stop
        if context is None or stop.asked:
            return
        state = self.get_context_state(context)
        # Left over by a run of another version, it would cap the bookmark.
        state.pop("replication_key_signpost", None)
        try:
            yield from self._account_records(context, state)
            self._outcome.read()
        except AccountError as error:
            self._outcome.refused(error)
        except UnfitRowError as error:
            self._report.fail(f"{self.where(context)}: {error}")
        except BudgetSpentError:
            self._outcome.ran_out_of_budget()
        except RunError as error:
            self.zoom.give_up(error)
        except StoppedError:
            self.logger.debug("%s: stopped", self.where(context))
        except GeneratorExit:
            # The SDK wants no more rows of any account.
            self._prefetcher.close()
            raise
        except Exception as error:
            self._report.fail(
                f"{self.where(context)}: {type(error).__name__} - a fault of the tap; report it, "
                "with the traceback that LOGLEVEL=DEBUG shows"
            )
            self.logger.debug("the fault:", exc_info=True)
        finally:
            state.pop("progress_markers", None)
        if context["account_id"] == self.partitions[-1]["account_id"] and not stop.asked:
            self._conclude(stop)

    def _conclude(self, stop: Stop) -> None:
        """End the stream after its last account, and the run if nothing more can be read.

        An error that ends the run ends it here: what was read whole of later accounts before it
        has been emitted by now.
        """
        fatal_error = self.zoom.fatal_error
        if fatal_error is None:
            self._outcome.conclude(self._budget, full_table=self._full_table)
        else:
            self._report.fail(str(fatal_error))
            stop.ask(str(fatal_error), EXIT_FAILED)

    def _account_records(self, context: Context, state: dict[str, object]) -> Iterator[Record]:
        services = self._services()
        tally = self._report.tallies[self.name]
        emitter = Emitter(
            account_id=context["account_id"],
            where=self.where(context),
            decoder=self.decoder,
            report=self._report,
            stop=services.stop,
            mismatch_fails=services.settings.mismatch_fails,
        )
        for rows in self._windows(context["account_id"]):
            emitted = tally.rows
            for record in emitter.records(rows):
                tally.rows += 1
                yield record
            if emitter.may_pass(rows) and not self._full_table:
                self._move_bookmark(state, rows.window.end, tally.rows - emitted)
            tally.windows_done += 1
            self._report.show_progress(self.name)

    def _windows(self, account_id: str) -> Iterator[WindowRows]:
        """Yield an account's windows in order; whatever ends that, nothing more is read of it."""
        prefetcher = self._prefetcher
        try:
            yield from prefetcher.results(account_id, self._while_waiting)
        finally:
            prefetcher.drop(account_id)

    def _while_waiting(self) -> None:
        self._services().stop.check()
        self._report.show_progress(self.name)

    def _move_bookmark(self, state: dict[str, object], end: datetime, rows: int) -> None:
        """Move an account's bookmark to a window's end, and write STATE when it is due."""
        if advance(state, end):
            self._outcome.advanced()
        self._state_schedule.count(rows)
        if self._state_schedule.is_due(len(self.partitions)):
            self._state_schedule.wrote()
            self.finalize_state_progress_markers(state)

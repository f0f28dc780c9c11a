"""The base of the two engagement streams: plan windows, fetch them, check them, emit them.

Windows of all accounts are read in worker threads (`read_window`); the main thread hands their rows
to the SDK in order and moves the bookmark after each window (`get_records`). A bookmark is the end
of the last window that is complete, never the date of a row.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote

from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from typing_extensions import override

from tap_zoom_cc.state import bookmark_of
from tap_zoom_cc.stopping import EXIT_FAILED, StoppedError
from tap_zoom_cc.sync.check import MOST_ROWS, PAGE_SIZE, Reading, Seen, pages_for, parts_of
from tap_zoom_cc.sync.prefetch import Fetched, Parts, Prefetcher
from tap_zoom_cc.sync.rows import RowDecoder
from tap_zoom_cc.sync.windows import begin_of_sync, end_of_sync, format_instant, plan
from tap_zoom_cc.zoom.client import ZoomStream
from tap_zoom_cc.zoom.errors import AccountError, Action, RunError, WindowExpiredError
from tap_zoom_cc.zoom.filters import query_parameters
from tap_zoom_cc.zoom.pacing import Budget, BudgetSpentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from singer_sdk.helpers.types import Context, Record

    from tap_zoom_cc.run import Account
    from tap_zoom_cc.sync.windows import Window
    from tap_zoom_cc.tap import TapZoomCC
    from tap_zoom_cc.zoom.filters import FilterValue

MOST_PASSES = 3
"""How often a window is read to its end while rows are missing."""

MOST_EXPIRIES = 4
"""How often a window's page token may expire before its account is given up."""

MEMORY_BYTES = 56 * 1024 * 1024
"""Rows, as JSON, that may wait for their turn to be emitted, or are being read for it."""

FIRST_WINDOW_BYTES = 6 * 1024 * 1024
"""What a window is taken to need before one has been read: 1,800 voice calls of 3.5 kB."""

SECONDS_BETWEEN_STATES = 1.0
ROWS_PER_WINDOW = 20
"""What a window is worth in rows when state is due.

State holds every account, so a message after each window, or in each second, would make the output
of many accounts quadratic. It is due when as many rows were emitted as it has accounts.
"""


@dataclass(frozen=True, slots=True)
class WindowJob:
    """A window of an account to be read; ``parent_total`` is set for a part of a split window."""

    account: Account
    window: Window
    parent_total: int | None = None


class EngagementStream(ZoomStream):
    """Finished engagements of one channel, of every account, in windows of time."""

    primary_keys = ("account_id", "engagement_id")
    replication_key = "start_time"

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    """Rows are conformed by `RowDecoder`, which does it in C."""

    STATE_MSG_FREQUENCY = sys.maxsize
    """Within a window there is no state worth writing."""

    def __init__(self, tap: TapZoomCC) -> None:
        """Belong to a tap, and so to its run."""
        super().__init__(tap)
        self._writer = tap.writer
        self._budget = Budget(None)
        self._state_written = 0.0
        self._progress_since_state = 0
        self._accounts_read = 0
        self._answered: set[str] = set()
        self._has_advanced = False
        self._is_stuck = False
        self._accounts_without_rows: list[str] = []

    # What differs between the streams

    def query(self) -> Mapping[str, FilterValue]:
        """Return the query parameters besides range and page."""
        return query_parameters(self.name, self.run.settings.filters[self.name])

    # Requests

    @override
    def get_url(self, context: Context | None) -> str:
        account = self.run.accounts[(context or {})["account_id"]]
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

    # Plan

    @cached_property
    @override
    def partitions(self) -> list[dict[str, str]]:
        """One for each account, that with the oldest bookmark first."""
        contexts = [{"account_id": account_id} for account_id in self.run.accounts]
        if self.run.settings.sub_account_ids is None:
            for account_id in self._states.keys() - self.run.accounts.keys():
                if not self._bookmark({"account_id": account_id}):
                    continue
                self.run.report.warn_once(
                    f"not listed {self.name} {account_id}",
                    f"{self.name}, account {account_id}: has a bookmark, but Zoom does not list it "
                    "any more; what came after the bookmark is not read",
                )
        never = self.run.started.min.replace(tzinfo=self.run.started.tzinfo)
        return sorted(contexts, key=lambda context: self._bookmark(context) or never)

    @cached_property
    def _states(self) -> dict[str, dict[str, object]]:
        """The part of the state that belongs to each account which has one."""
        partitions = self.state_manager.get_state_partitions() or []
        return {state["context"]["account_id"]: state for state in partitions}

    def _bookmark(self, context: Mapping[str, str]) -> datetime | None:
        return bookmark_of(self._states.get(context["account_id"]))

    @override
    def get_context_state(self, context: Context | None) -> dict[str, object]:
        """Return the writable state of an account; the SDK would look through those of all."""
        if context is None:
            return super().get_context_state(context)
        account_id: str = context["account_id"]
        if account_id not in self._states:
            self._states[account_id] = super().get_context_state(context)
        return self._states[account_id]

    def _plan(self, context: Mapping[str, str]) -> list[WindowJob]:
        settings = self.run.settings
        now = self.run.present
        full_table = self.replication_method == REPLICATION_FULL_TABLE
        begin = begin_of_sync(
            bookmark=None if full_table else self._bookmark(context),
            lookback=settings.lookbacks[self.name],
            start_date=settings.start_date,
            now=now,
        )
        end = end_of_sync(end_date=settings.end_date, now=now)
        account = self.run.accounts[context["account_id"]]
        return [WindowJob(account, window) for window in plan(begin, end)]

    @cached_property
    def _prefetcher(self) -> Prefetcher[WindowJob, Reading]:
        lanes = {context["account_id"]: self._plan(context) for context in self.partitions}
        self.run.report.tallies[self.name].windows_planned = sum(map(len, lanes.values()))
        read_already = sum(not windows for windows in lanes.values())
        if read_already and self.run.settings.end_date:
            self.run.report.warn_once(
                f"end_date {self.name}",
                f"{self.name}: {read_already} of {len(lanes)} accounts were read up to end_date or "
                "later, so nothing is read of them; to read it again, use a state of its own",
            )
        self._budget = self.run.budget_for(self.name, self._streams_to_come())
        return Prefetcher(
            self.read_window,
            lanes,
            workers=self.run.settings.max_concurrency,
            capacity=MEMORY_BYTES,
            assumed_size=FIRST_WINDOW_BYTES,
            may_run_ahead=lambda: self._budget.suffices_for(
                self.run.settings.max_concurrency * pages_for(MOST_ROWS)
            ),
        )

    def _streams_to_come(self) -> int:
        """Return how many engagement streams are yet to be read, this one included."""
        streams = self._zoom_tap.streams.values()
        return sum(
            isinstance(stream, EngagementStream) and stream.selected and stream.name >= self.name
            for stream in streams
        )

    # Fetch: in worker threads

    def read_window(self, job: WindowJob) -> Fetched[Reading] | Parts[WindowJob]:
        """Read a window to its end, several times if need be, or say which parts replace it.

        Raises:
            AccountError: if the account cannot be read.
            BudgetSpentError: if ``max_requests_per_run`` has no room for the window.
            RunError: if nothing can be read any more.
            StoppedError: if the run is to end.
        """
        try:
            return self._read_window(job)
        except RunError as error:
            self.run.give_up(error)
            raise

    def _read_window(self, job: WindowJob) -> Fetched[Reading] | Parts[WindowJob]:
        reading = Reading(job.window)
        passes = expiries = 0
        while passes < MOST_PASSES and not (passes and reading.complete):
            try:
                parts = self._read_pass(job, reading)
            except WindowExpiredError as error:
                expiries += 1
                if expiries == MOST_EXPIRIES:
                    where = self.where({"account_id": job.account.account_id})
                    raise AccountError(error.rule, error.answer, where) from error
                continue
            if parts:
                self.run.report.plan_more(self.name, len(parts) - 1)
                return Parts(parts)
            passes += 1
        return Fetched(reading, reading.size)

    def _read_pass(self, job: WindowJob, reading: Reading) -> list[WindowJob]:
        """Read a window's pages once, or return the parts that it must be read in."""
        context = {"account_id": job.account.account_id, "window": job.window}
        paginator = self.get_new_paginator()
        reading.begin_pass()
        reserved = 0
        while not paginator.finished:
            needed = max(paginator.count + 1, pages_for(reading.total or 0))
            needed = 1 if paginator.count == 0 else needed
            self._budget.reserve(max(0, needed - reserved), begins=paginator.count == 0)
            reserved = max(reserved, needed)
            self.next_page(
                context,
                paginator,
                before_retry=lambda: self._budget.reserve(1),
                check=reading.add,
            )
            self._answered.add(job.account.account_id)
            windows = parts_of(reading, job.parent_total)
            if len(windows) > 1:
                total = max(reading.total or 0, len(reading.rows))
                return [WindowJob(job.account, window, total) for window in windows]
        return []

    # Check and emit: in the main thread

    @override
    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        """Leave the state alone: a row moves no bookmark.

        It also saves the SDK's search through all partitions for each row, which 1,000 accounts
        make costly. `get_records` takes away what markers there are in any case.
        """

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Bookmarks are set by windows alone, so there is nothing to cap them with."""

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Yield an account's engagements, window by window, and move its bookmark after each.

        What goes wrong with an account is reported, and ends its rows but not the run. There must
        be no progress markers then: the SDK would move the bookmark to them.
        """
        if context is None or self.run.stop.asked:
            return
        account = self.run.accounts[context["account_id"]]
        state = self.get_context_state(context)
        # Left over by a run of another version, it would cap the bookmark.
        state.pop("replication_key_signpost", None)
        try:
            yield from self._account_records(context, state)
            self._accounts_read += 1
        except AccountError as error:
            self._cannot_read(account, error, has_bookmark=bookmark_of(state) is not None)
        except BudgetSpentError:
            self._accounts_read += 1
            # Accounts come with the oldest bookmark first, so the next run would begin here again.
            self._is_stuck = self._is_stuck or not self._has_advanced
        except (RunError, StoppedError) as error:
            fatal_error = self.run.fatal_error or (error if isinstance(error, RunError) else None)
            if fatal_error is not None and not self.run.stop.asked:
                self.run.report.fail(str(fatal_error))
                self.run.stop.ask(str(fatal_error), EXIT_FAILED)
        except GeneratorExit:
            # The SDK wants no more rows of any account.
            self._prefetcher.close()
            raise
        finally:
            state.pop("progress_markers", None)
        self._writer.flush()

    def _account_records(self, context: Context, state: dict[str, object]) -> Iterator[Record]:
        account_id: str = context["account_id"]
        tally = self.run.report.tallies[self.name]
        seen = Seen()
        stop = self.run.stop
        complete = True
        for reading in self._readings(account_id):
            stop.check()
            seen.forget_before(reading.window)
            for key, row in reading.in_order_of_start():
                stop.check()
                if not seen.is_new(key, reading.window):
                    continue
                record = self.decoder.decode(row)
                record["account_id"] = account_id
                tally.rows += 1
                self._progress_since_state += 1
                yield record
            self._remark(reading, context)
            complete = complete and self._is_complete(reading, context)
            if complete:
                self._checkpoint(state, reading.window)
            tally.windows_done += 1
            self.run.report.show_progress(self.name)

    def _readings(self, account_id: str) -> Iterator[Reading]:
        """Yield an account's windows in order; whatever ends that, nothing more is read of it."""
        prefetcher = self._prefetcher
        try:
            yield from prefetcher.results(account_id, self._while_waiting)
        finally:
            prefetcher.drop(account_id)

    def _while_waiting(self) -> None:
        self.run.stop.check()
        self.run.report.show_progress(self.name)

    @cached_property
    def decoder(self) -> RowDecoder:
        """What turns this stream's rows into records."""
        return RowDecoder(
            self.effective_schema,
            lambda name: self.mask[("properties", name)],
            self.notice,
            added=("account_id",),
        )

    def _remark(self, reading: Reading, context: Context) -> None:
        """Warn, once for each stream and account, of what is odd but no reason to fail."""
        where = self.where(context)
        if reading.surplus:
            self.run.report.warn_once(
                f"surplus {where}",
                f"{where}: {len(reading.rows)} engagements came where Zoom announced "
                f"{reading.total}, from {reading.window}; all are loaded",
            )
        if reading.narrower:
            self.run.report.warn_once(
                f"narrower {where}",
                f"{where}: asked for {reading.window}, Zoom answered for {reading.narrower}; does "
                "Zoom keep less history?",
            )

    def _is_complete(self, reading: Reading, context: Context) -> bool:
        """Say whether the bookmark may pass a window, and report it if not."""
        if reading.complete:
            return True
        announced = reading.total if reading.total is not None else "an unknown number of"
        message = (
            f"{self.where(context)}: Zoom announced {announced} engagements from {reading.window} "
            f"but delivered {len(reading.rows)} in {MOST_PASSES} passes"
        )
        if self.run.settings.mismatch_fails:
            self.run.report.fail(
                f"{message}; the bookmark stays, run again; on_count_mismatch: warn accepts it"
            )
            return False
        self.run.report.warn_once(message, f"{message}; accepted, on_count_mismatch is warn")
        return True

    def _checkpoint(self, state: dict[str, object], window: Window) -> None:
        """Move an account's bookmark to a window's end, and write state once in a while."""
        if self.replication_method == REPLICATION_FULL_TABLE:
            return
        before = bookmark_of(state)
        self._has_advanced = self._has_advanced or before is None or before < window.end
        bookmark = max(window.end, before or window.end)
        state["replication_key"] = self.replication_key
        state["replication_key_value"] = format_instant(bookmark)
        self._progress_since_state += ROWS_PER_WINDOW
        now = time.monotonic()
        is_due = now - self._state_written >= SECONDS_BETWEEN_STATES
        if is_due and self._progress_since_state >= len(self.partitions):
            self._state_written, self._progress_since_state = now, 0
            self.finalize_state_progress_markers(state)

    def _cannot_read(self, account: Account, error: AccountError, *, has_bookmark: bool) -> None:
        # Who has answered is there, whatever a refusal says, so what it refuses is missing.
        action = error.rule.action
        has_answered = account.account_id in self._answered
        if has_answered:
            self.run.report.fail(str(error))
        elif action is Action.NO_ROWS and self.run.settings.filters[self.name]:
            self._accounts_without_rows.append(account.account_id)
            self.logger.info("%s", error)
        elif action is Action.REFUSED and account.listed and not has_bookmark:
            self._accounts_without_rows.append(account.account_id)
            self.logger.warning("%s. The account is skipped", error)
        else:
            self.run.report.fail(str(error))

    def conclude(self) -> None:
        """Report what can only be said at the end of a run: nothing read, or no way forward."""
        if self._accounts_without_rows and not self._accounts_read:
            self.run.report.fail(
                f"{self.name}: not one account could be read: refused, or without what the filters "
                "name; see the lines above, and correct the filters or the app's permissions"
            )
        if not self._budget.exhausted:
            return
        if self.replication_method == REPLICATION_FULL_TABLE:
            self.run.report.fail(
                f"{self.name}: max_requests_per_run was spent before all was read, and a "
                "full-table sync cannot go on in the next run; raise it or sync incrementally"
            )
        elif self._is_stuck and not self.run.report.failures:
            self.run.report.fail(
                f"{self.name}: max_requests_per_run does not suffice to read the lookback and one "
                "window of the account with the oldest bookmark, so that no run would ever come "
                "further; raise it"
            )
        else:
            self.logger.info(
                "%s: max_requests_per_run is spent; the next run goes on from here", self.name
            )

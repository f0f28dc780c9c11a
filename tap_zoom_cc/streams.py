"""The streams: a class for each endpoint, with all that differs between them, and their registry.

Catalog, settings, state, budget and discovery read `ENGAGEMENT_STREAMS`. A further endpoint of the
same shape is a class here and a schema in ``schemas/``; CONTRIBUTING.md has the steps.

`EngagementStream` is what the SDK sees of such a stream: partitions, state, and the records of each
account. What a sync does with an account's windows is in `tap_zoom_cc.sync`: they are planned,
fetched in worker threads, checked and emitted.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from typing_extensions import override

from tap_zoom_cc.run.stopping import EXIT_FAILED, SdkChangedError
from tap_zoom_cc.services import LISTING, LISTING_READER, ZoomStream
from tap_zoom_cc.sync.bookmarks import (
    REPLICATION_KEY,
    Bookmarks,
    in_order,
    lag_of,
    progress_of,
)
from tap_zoom_cc.sync.stages import StreamSync
from tap_zoom_cc.sync.windows import end_of_sync
from tap_zoom_cc.zoom import pages
from tap_zoom_cc.zoom.pages import EngagementLog, NextPageTokenPaginator, PageReader
from tap_zoom_cc.zoom.rules import Condition

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.streams._state import StreamStateManager

    from tap_zoom_cc.run.report import Lag
    from tap_zoom_cc.zoom.pages import Account


class EngagementStream(ZoomStream):
    """Finished engagements of one channel, of every account, in windows of time."""

    # The SDK declares it for instances; the registry reads it from the class.
    name: str = ""
    rows_key: ClassVar[str]
    """The key of an answer that holds the rows."""

    engagement: ClassVar[str]
    """What a row is, in a sentence."""

    default_lookback_days: ClassVar[float]

    details: ClassVar[str | None] = None
    """The field that comes only with ``view_type=detail``, where the endpoint has one."""

    primary_keys: ClassVar[tuple[str, ...]] = ("account_id", "engagement_id")
    replication_key = REPLICATION_KEY

    STATE_MSG_FREQUENCY = sys.maxsize
    """Within a window there is no state worth writing."""

    _sync: StreamSync | None = None
    _rows_are_left_to_windows = False
    """Whether the SDK has asked the stream what a row does to its state."""

    # Requests

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, object]:
        """Return what all requests ask for, the filters included; each adds its window's range.

        Details are asked for only when they are selected, unless a filter says which view is.
        """
        parameters: dict[str, object] = {"page_size": pages.PAGE_SIZE}
        if self.details:
            is_selected = self.mask["properties", self.details]
            parameters["view_type"] = "detail" if is_selected else "summary"
        filters = self._services.settings.filters[self.name]
        return {**parameters, **filters, "next_page_token": next_page_token}

    @override
    def get_new_paginator(self) -> NextPageTokenPaginator:
        return NextPageTokenPaginator(self.log_endpoint.reader)

    @cached_property
    def log_endpoint(self) -> EngagementLog:
        """How the endpoint is asked, as values for those who ask."""
        return EngagementLog(
            self.name, self.path, self.get_url_params(None, None), PageReader(self.rows_key)
        )

    @cached_property
    def accounts(self) -> dict[str, Account]:
        """The accounts by ID, with what holds of each for this stream as the run begins.

        Raises:
            RunError: if there is none, or the list cannot be had.
            StoppedError: when the run is to end first.
        """
        services, found = self._services, {}
        for account_id, account in services.accounts.items():
            conditions = set()
            if services.settings.filters[self.name]:
                conditions.add(Condition.FILTERED)
            if account.listed and not progress_of(self._states.get(account_id)):
                conditions.add(Condition.NEVER_READ)
            found[account_id] = replace(account, conditions=frozenset(conditions))
        return found

    # Partitions and their state

    @cached_property
    @override
    def partitions(self) -> list[dict[str, str]]:
        """One for each account, that which waits the longest first."""
        bookmarks = {name: progress_of(state) for name, state in self._states.items()}
        if self._services.settings.sub_account_ids is None:
            for account_id in bookmarks.keys() - self.accounts.keys():
                if bookmarks[account_id]:
                    self._services.report.warn_once(
                        f"not listed {self.name} {account_id}",
                        f"{self.name}, account {account_id}: has a bookmark, but Zoom does not "
                        "list it any more; what came after the bookmark is not read",
                    )
        ordered = in_order(self.accounts, self._states, self._services.settings.longest_rest)
        return [{"account_id": name} for name in ordered]

    @cached_property
    def _states(self) -> dict[str, dict[str, object]]:
        """The part of the state that belongs to each account which has one."""
        partitions = self.state_manager.get_state_partitions() or []
        return {state["context"]["account_id"]: state for state in partitions}

    @cached_property
    @override
    def state_manager(self) -> StreamStateManager:
        """The SDK's, which twice in a sync asks for the state of each account."""
        manager = super().state_manager
        manager.get_context_state = self.get_context_state  # type: ignore[method-assign]
        return manager

    @override
    def get_context_state(self, context: Context | None) -> dict[str, object]:
        """Return the writable state of an account; the SDK would look through those of all."""
        if context is None:
            return self.stream_state
        account_id: str = context["account_id"]
        if account_id not in self._states:
            self._states[account_id] = {"context": dict(context)}
            self.stream_state.setdefault("partitions", []).append(self._states[account_id])
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
        self._rows_are_left_to_windows = True

    @override
    def generate_child_contexts(self, record: Record, context: Context | None) -> Iterable[Context]:
        """Return nothing: the stream has no children, so that no row is asked for them."""
        return ()

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Bookmarks are set by windows alone, so there is nothing to cap them with."""

    def lag(self, account_ids: Collection[str], now: datetime) -> Lag | None:
        """Return how far the bookmarks are behind, or None if they do not count.

        Args:
            account_ids: the accounts to read; if they could not be found, those of the state count.
            now: the present by which the sync went, in UTC.
        """
        if self.replication_method == REPLICATION_FULL_TABLE:
            return None
        settings = self._services.settings
        without_rows = self._services.report.tallies[self.name].without_rows
        to_read = [name for name in account_ids or self._states if name not in without_rows]
        return lag_of(
            {name: self._states.get(name, {}) for name in to_read},
            end=end_of_sync(end_date=settings.end_date, now=now),
            longest_rest=settings.longest_rest,
        )

    # The sync

    def _begin(self) -> StreamSync:
        """Plan the sync of all accounts, and begin to fetch.

        Raises:
            RunError: when there is no token, or no list of accounts.
            StoppedError: when the run is to end first.
        """
        services = self._services
        bookmarks = Bookmarks(
            {each["account_id"]: self.get_context_state(each) for each in self.partitions},
            # The SDK's public way to write STATE now.
            self.finalize_state_progress_markers,
            full_table=self.replication_method == REPLICATION_FULL_TABLE,
        )
        return StreamSync(
            self.log_endpoint,
            services.client,
            settings=services.settings,
            now=services.present,
            accounts=self.accounts,
            bookmarks=bookmarks,
            budget=services.budgets.open(),
            decoder=self.decoder,
        )

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Yield the engagements of a partition; when the run is to end, nothing more is fetched.

        There are no progress markers when it ends: the SDK would move the bookmark to them.

        Raises:
            SdkChangedError: after the first row, if rows would move bookmarks.
        """
        if context is None:
            return
        state = self.get_context_state(context)
        # Left over by a run of another version, it would cap the bookmark.
        state.pop("replication_key_signpost", None)
        try:
            with self._ending_with_the_run():
                self._services.stop.check()
                if self._sync is None:
                    self._sync = self._begin()
                for record in self._sync.records(context["account_id"]):
                    yield record
                    if not self._rows_are_left_to_windows:
                        error = SdkChangedError("_increment_stream_state")
                        self._services.stop.ask(str(error), EXIT_FAILED)
                        raise error
        finally:
            state.pop("progress_markers", None)
            if self._sync is not None and self._services.stop.asked:
                self._sync.close()


class SmsStream(EngagementStream):
    """SMS engagements: one row each, when it is over."""

    name = "sms"
    path = "/accounts/{account_id}/contact_center/sms"
    rows_key = "sms"
    engagement = "an SMS engagement"
    default_lookback_days = 14


class VoiceCallsStream(EngagementStream):
    """Voice call engagements: one row each, when it is over, with the legs of the call."""

    name = "voice_calls"
    path = "/accounts/{account_id}/contact_center/voice_calls"
    rows_key = "voice_calls"
    engagement = "a call"
    default_lookback_days = 2
    details = "voice_call_details"


class SubAccountsStream(ZoomStream):
    """The sub accounts that Zoom lists; also what the other streams read when none are named."""

    name = "sub_accounts"
    path = LISTING.path
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, object]:
        return {**LISTING.parameters, "next_page_token": next_page_token}

    @override
    def get_new_paginator(self) -> NextPageTokenPaginator:
        return NextPageTokenPaginator(LISTING_READER)

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Yield the sub accounts; without the list the run ends."""
        tally = self._services.report.tallies[self.name]
        with self._ending_with_the_run():
            self._services.stop.check()
            for row in self._services.sub_accounts.values():
                tally.rows += 1
                yield self.decoder.decode(row)


ENGAGEMENT_STREAMS: tuple[type[EngagementStream], ...] = (SmsStream, VoiceCallsStream)

KEYS: Mapping[str, tuple[str, ...]] = {
    **{stream.name: stream.primary_keys for stream in ENGAGEMENT_STREAMS},
    SubAccountsStream.name: SubAccountsStream.primary_keys,
}
"""The key properties of every stream, by its name."""

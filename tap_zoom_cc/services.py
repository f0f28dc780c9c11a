"""What the streams of one run share: its accounts, its client, and their base class.

The accounts are those that the settings name, or every one that Zoom lists.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from singer_sdk import RESTStream, Tap
from singer_sdk.helpers.conform import TypeConformanceLevel
from typing_extensions import override

from tap_zoom_cc.rows.decoder import RowDecoder
from tap_zoom_cc.rows.misfits import fields_of, remark, text_of
from tap_zoom_cc.run.report import SyncFailedError
from tap_zoom_cc.run.stopping import EXIT_FAILED, StoppedError, in_background
from tap_zoom_cc.sync.fetch import Budget, read_in_passes
from tap_zoom_cc.sync.window_rows import MOST_PASSES, RangeRows
from tap_zoom_cc.zoom.errors import AccountError, RunError
from tap_zoom_cc.zoom.filters import SCHEMAS
from tap_zoom_cc.zoom.pages import Account, PageReader, Request
from tap_zoom_cc.zoom.rules import NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_zoom_cc.rows.misfits import FieldChange
    from tap_zoom_cc.rows.types import Record
    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.run.settings import Settings
    from tap_zoom_cc.run.stopping import Stop
    from tap_zoom_cc.sync.fetch import Budgets
    from tap_zoom_cc.zoom.client import Client
    from tap_zoom_cc.zoom.pages import NextPageTokenPaginator

CLOCK_TOLERANCE = timedelta(minutes=5)

LISTING = Request("/accounts", {"page_size": 300}, where="sub_accounts")
"""The request for Zoom's list of sub accounts, with the most rows that a page of it has."""

LISTING_READER = PageReader("accounts")


class _Id(msgspec.Struct):
    # A path of dots alone would lead to the account's own endpoint.
    row_id: Annotated[str, msgspec.Meta(pattern=r"[^.]")] = msgspec.field(name="id")
    end_time: ClassVar[None] = None


_id_decoder = msgspec.json.Decoder(_Id)


def _read_id(row: msgspec.Raw) -> _Id:
    """Return the ID in a row.

    Raises:
        ValueError: if it has none.
    """
    try:
        return _id_decoder.decode(row)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return msgspec.convert({"id": text_of(fields_of(row), "id")}, _Id)


@dataclass(frozen=True, eq=False)
class Services:
    """One run's services, all for all threads; what has to be requested is, when it is asked for.

    ``started`` is the start of the run by this machine's clock, in UTC.
    """

    settings: Settings
    started: datetime
    stop: Stop
    report: Report
    client: Client
    budgets: Budgets

    @cached_property
    def present(self) -> datetime:
        """The start of the run by this clock or Zoom's, whichever is earlier, in UTC.

        A clock that is ahead would move bookmarks past engagements that have yet to happen (own
        choice; Zoom's clock is the ``Date`` header of the token's answer).

        Raises:
            RunError: when no token is granted.
            StoppedError: when the run is to end first.
        """
        authenticator = self.client.authenticator
        in_background(authenticator.token, self.stop, self.report.show_retries)
        present = min(authenticator.server_time or self.started, self.started)
        ahead = self.started - present
        if ahead > CLOCK_TOLERANCE:
            self.report.warn_once(
                "clock",
                f"this machine's clock is {ahead.total_seconds():.0f} s ahead of Zoom's; the run "
                "ends at Zoom's time; set the clock",
            )
        return present

    @cached_property
    def accounts(self) -> dict[str, Account]:
        """The accounts to read by ID, found once: the same for the whole run.

        Raises:
            RunError: if there is none, or the list cannot be had.
            StoppedError: when the run is to end first.
        """
        settings = self.settings
        named = settings.sub_account_ids
        ids = self.sub_accounts if named is None else named
        accounts = {account_id: Account(account_id, listed=named is None) for account_id in ids}
        if settings.include_own_account:
            accounts[settings.account_id] = Account(settings.account_id, own=True)
        if not accounts:
            message = (
                "Zoom lists no sub account, so nothing would be read; name accounts in "
                "sub_account_ids, or set include_own_account to read the app's own account"
            )
            raise RunError(message)
        self.report.accounts = len(accounts)
        return accounts

    @cached_property
    def sub_accounts(self) -> dict[str, msgspec.Raw]:
        """Every sub account that Zoom lists by its ID, as undecoded JSON; listed once a run.

        Raises:
            RunError: if the list cannot be had, or lacks accounts that Zoom counts.
            StoppedError: if the run is to end.
        """
        return in_background(self._list, self.stop, self.report.show_retries)

    def _list(self) -> dict[str, msgspec.Raw]:
        where = LISTING.where
        rows = RangeRows(read_key=_read_id)
        try:
            for _ in read_in_passes(
                self.client, LISTING, LISTING_READER, rows, budget=Budget(None)
            ):
                """Each page was taken in by `rows`."""
        except AccountError as error:
            # Without an answer the accounts could not be read either, whoever names them.
            is_refused = error.answer.status != NO_ANSWER
            advice = "; or name the accounts in sub_account_ids" if is_refused else ""
            message = f"{error}{advice}"
            raise RunError(message) from error
        if not rows.is_whole:
            announced = rows.this_pass.first_total or "an unknown number of"
            message = (
                f"{where}: Zoom announced {announced} sub accounts but listed {len(rows.rows)} in "
                f"{MOST_PASSES} passes; run again, or name the accounts in sub_account_ids"
            )
            if not self.settings.accepts_less:
                raise RunError(message)
            self.report.warn_once(message, f"{message}; accepted, on_count_mismatch is warn")
        self.report.logger.info("%s: Zoom lists %d", where, len(rows.rows))
        return {account_id: row for account_id, (_, row, _) in rows.rows.items()}


class ServingTap(Tap):
    """A tap that has services for its streams."""

    @cached_property
    @abstractmethod
    def services(self) -> Services:
        """The services of the run. Discovery asks for none: its settings may be wrong."""


class ZoomStream(RESTStream[str | None]):
    """A stream of rows that one Zoom endpoint lists page by page.

    The tap's own client reads it. Of the SDK's HTTP side only what says how the endpoint is asked
    is there, and true: `path`, `url_base`, `get_url_params` and `get_new_paginator`.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    """Rows are conformed by the tap's own decoder, which does it in C."""

    def __init__(self, tap: ServingTap) -> None:
        """Belong to a tap, whose services are asked for when the run begins."""
        # The SDK asks for the schema with every row, so it is looked up once.
        super().__init__(tap, schema=SCHEMAS.get_schema(self.name))
        self._serving_tap = tap

    @property
    def _services(self) -> Services:
        return self._serving_tap.services

    @property
    @override
    def url_base(self) -> str:
        return self._services.settings.api_url

    @abstractmethod
    @override
    def get_new_paginator(self) -> NextPageTokenPaginator: ...

    @cached_property
    def decoder(self) -> RowDecoder:
        """What turns the endpoint's rows into records."""
        schema = self.effective_schema
        return RowDecoder(
            schema,
            self._warn_of,
            added=self.primary_keys[:-1],
            deselected=[name for name in schema["properties"] if not self.mask["properties", name]],
        )

    def _warn_of(self, record: Record, changes: set[FieldChange]) -> None:
        """Warn of what had to be changed in a row, once for each field."""
        report = self._services.report
        for change in changes:
            if report.tallies[self.name].is_first(change):
                said = remark(change, record, self.primary_keys[-1])
                report.logger.warning("%s: %s", self.name, said)

    @contextmanager
    def _ending_with_the_run(self) -> Iterator[None]:
        """Report what ends the run, and raise nothing: the SDK then keeps what was read before."""
        services = self._services
        try:
            yield
        except RunError as error:
            services.client.give_up(error)
            services.report.fail_run(str(error))
            services.stop.ask(str(error), EXIT_FAILED)
        except StoppedError:
            self.logger.debug("%s: stopped", self.name)

    @override
    def log_sync_costs(self) -> None:
        """Say what the stream took, and that the sync failed if it did.

        The SDK calls this for each stream once the state of all is final, and there is no later
        hook: here `sync_all` can tell the truth to a program that calls it.

        Raises:
            SyncFailedError: if something could not be read, of any stream.
        """
        super().log_sync_costs()
        report = self._services.report
        if report.failures:
            raise SyncFailedError(report.verdict)

"""What the streams of one run share, and the base class that has it for them."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from singer_sdk import RESTStream, Tap
from singer_sdk.helpers.conform import TypeConformanceLevel
from typing_extensions import override

from tap_zoom_cc.accounts import Accounts
from tap_zoom_cc.rows.decoder import RowDecoder
from tap_zoom_cc.run.report import Report
from tap_zoom_cc.run.stopping import EXIT_FAILED, StoppedError, in_background
from tap_zoom_cc.sync.fetch import Budgets
from tap_zoom_cc.zoom.client import Client
from tap_zoom_cc.zoom.errors import RunError
from tap_zoom_cc.zoom.filters import SCHEMAS

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator
    from datetime import datetime

    from tap_zoom_cc.rows.misfits import Notices
    from tap_zoom_cc.run.settings import Settings
    from tap_zoom_cc.run.stopping import Stop
    from tap_zoom_cc.zoom.pages import NextPageTokenPaginator

CLOCK_TOLERANCE = timedelta(minutes=5)


class Services:
    """One run's services. Everything in it may be used by all threads."""

    def __init__(
        self, settings: Settings, started: datetime, stop: Stop, logger: logging.Logger
    ) -> None:
        """Set up what follows from the checked settings; nothing is requested yet."""
        self.settings = settings
        self.started = started
        self.stop = stop
        self.report = Report(logger, settings.requests_per_second, settings.max_requests_per_run)
        self.client = Client(settings, stop, self.report)
        self.accounts = Accounts(settings, self.client)
        self.budgets = Budgets(settings.max_requests_per_run)

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
        server_time = authenticator.server_time
        if server_time is None or server_time >= self.started:
            return self.started
        ahead = self.started - server_time
        if ahead > CLOCK_TOLERANCE:
            self.report.warn_once(
                "clock",
                f"this machine's clock is {ahead.total_seconds():.0f} s ahead of Zoom's; the run "
                "ends at Zoom's time; set the clock",
            )
        return server_time


class ServingTap(Tap):
    """A tap that has services for its streams."""

    @property
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
        self._serving_tap = tap
        super().__init__(tap)

    @property
    def _services(self) -> Services:
        return self._serving_tap.services

    @cached_property
    @override
    def schema(self) -> dict[str, object]:
        """The JSON schema of a row; looked up once, for the SDK asks for it with every row."""
        return SCHEMAS.get_schema(self.name)

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
        return RowDecoder(
            self.effective_schema,
            lambda name: self.mask[("properties", name)],
            self._warn_of,
            added=self.primary_keys[:-1],
        )

    def _warn_of(self, notices: Notices) -> None:
        """Warn of what had to be changed in a row, once for each field."""
        report, row_id = self._services.report, self.primary_keys[-1]
        for change in notices.changes:
            if report.tallies[self.name].is_first(change):
                report.logger.warning("%s: %s", self.name, notices.remark(change, row_id))

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
        self._services.report.raise_if_failed()

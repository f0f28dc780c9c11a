"""What the streams of one run share: settings, report, stop, the client, accounts and budgets."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from singer_sdk import Tap

from tap_zoom_cc.accounts import Accounts
from tap_zoom_cc.run.report import Report
from tap_zoom_cc.run.stopping import in_background
from tap_zoom_cc.sync.budget import Budgets
from tap_zoom_cc.zoom.client import Client

if TYPE_CHECKING:
    import logging
    from datetime import datetime

    from tap_zoom_cc.run.settings import Settings
    from tap_zoom_cc.run.stopping import Stop

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

"""What the streams of one run share: settings, report, stop, the client, and the present."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from tap_zoom_cc.run.report import Report
from tap_zoom_cc.run.stopping import in_background
from tap_zoom_cc.zoom.client import Client

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from datetime import datetime

    from tap_zoom_cc.run.settings import Settings
    from tap_zoom_cc.run.stopping import Stop

CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass
class Services:
    """One run's services. Everything in it may be used by all threads.

    Each is made when it is first asked for: discovery has no settings, and asks for none.
    """

    started: datetime
    stop: Stop
    logger: logging.Logger
    read_settings: Callable[[], Settings]

    @cached_property
    def settings(self) -> Settings:
        """The checked settings.

        Raises:
            InputError: if they are wrong.
        """
        return self.read_settings()

    @cached_property
    def report(self) -> Report:
        """What the run tells its reader."""
        settings = self.settings
        return Report(self.logger, settings.requests_per_second, settings.max_requests_per_run)

    @cached_property
    def client(self) -> Client:
        """The way to Zoom: one token, one pace, a session for each thread."""
        return Client(self.settings, self.stop, self.report)

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

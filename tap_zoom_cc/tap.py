"""The tap: its streams, what they share, and how they are synced."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from singer_sdk import RESTStream, Tap
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from typing_extensions import override

from tap_zoom_cc.command_line import CommandLineTap
from tap_zoom_cc.configuration import CONFIG_SCHEMA
from tap_zoom_cc.inputs import settings_from
from tap_zoom_cc.run.report import Report, SyncFailedError
from tap_zoom_cc.run.stopping import EXIT_FAILED, SdkChangedError, StoppedError
from tap_zoom_cc.run.summary import log_end
from tap_zoom_cc.services import Services
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS, EngagementStream, SubAccountsStream
from tap_zoom_cc.sync.fetch import Budgets
from tap_zoom_cc.writer import BufferedWriter
from tap_zoom_cc.zoom.client import Client
from tap_zoom_cc.zoom.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from singer_sdk.helpers.capabilities import CapabilitiesEnum


OVERRIDDEN = ((RESTStream, "_increment_stream_state"), (Tap, "_setup_signal_handlers"))
"""Private methods of the SDK that streams and tap override, since it has no public ones for that.

Without the first, rows would move bookmarks; without the second, a signal could end a run with 0.
So a run ends at once when the SDK lacks one of them.
"""


class TapZoomCC(CommandLineTap):
    """Engagement logs of Zoom Contact Center master accounts: SMS and voice calls."""

    name = "tap-zoom-cc"
    package_name = "tap-zoom-cc"
    config_jsonschema = CONFIG_SCHEMA
    message_writer_class = BufferedWriter
    message_writer: BufferedWriter

    # Not ACTIVATE_VERSION (it could delete good rows when one account fails) and not BATCH (it
    # would put STATE before the rows).
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    @override
    def discover_streams(self) -> Sequence[EngagementStream | SubAccountsStream]:
        """Return the streams; sub accounts only when they are listed anyway, for its scope."""
        lists_accounts = self.config.get("sub_account_ids") is None
        return [
            *(stream(self) for stream in ENGAGEMENT_STREAMS),
            *([SubAccountsStream(self)] if lists_accounts else []),
        ]

    @cached_property
    @override
    def services(self) -> Services:
        """What the streams of a run share; settings that were not checked before are checked.

        Raises:
            InputError: if they are wrong.
        """
        started = datetime.fromtimestamp(self.initialized_at / 1000, tz=timezone.utc)
        settings = self._settings or settings_from(self.config, now=started)
        most_requests = settings.max_requests_per_run
        report = Report(self.logger, settings.requests_per_second, most_requests)
        client = Client(settings, self._stop, report)
        budgets = Budgets(most_requests, streams=len(self.engagement_streams()))
        return Services(settings, started, self._stop, report, client, budgets)

    @override
    def sync(self) -> int:
        """Sync every selected stream and return the exit code: 0 only if nothing was missed.

        Raises:
            OutputError: if the target is gone.
        """
        services, streams = self.services, self.engagement_streams()
        report, now = services.report, services.started
        account_ids: Collection[str] = ()
        try:
            for owner, method in OVERRIDDEN:
                if not hasattr(owner, method):
                    raise SdkChangedError(method)  # noqa: TRY301 (ends the run as below)
            report.streams = [stream.name for stream in streams]
            if streams:
                # Known before the first stream: without them there is nothing to read.
                account_ids, now = services.accounts, services.present
            self.sync_all()
        except SyncFailedError:
            self.logger.debug("what failed was reported")
        except (RunError, SdkChangedError) as error:
            report.fail_run(str(error))
            self._stop.ask(str(error), EXIT_FAILED)
        except StoppedError:
            self.logger.debug("stopped before the first stream")
        self.message_writer.flush()
        lags = {stream.name: stream.lag(account_ids, now) for stream in streams}
        log_end(report, {name: lag for name, lag in lags.items() if lag})
        if self._stop.asked:
            self.logger.error(self._stop.reason)
            return self._stop.exit_code
        if report.failures:
            self.logger.error(report.verdict)
            return EXIT_FAILED
        return 0

    @override
    def engagement_streams(self) -> list[EngagementStream]:
        return [
            stream
            for stream in self.streams.values()
            if isinstance(stream, EngagementStream) and stream.selected
        ]

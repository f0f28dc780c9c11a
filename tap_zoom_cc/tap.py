"""The tap: its streams, what they share, and how they are synced."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from singer_sdk import RESTStream, Tap
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from typing_extensions import override

from tap_zoom_cc.command_line import CommandLineTap
from tap_zoom_cc.configuration import CONFIG_SCHEMA
from tap_zoom_cc.run.report import SyncFailedError
from tap_zoom_cc.run.stopping import EXIT_FAILED, SdkChangedError, StoppedError
from tap_zoom_cc.run.summary import log_end
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS, EngagementStream, SubAccountsStream
from tap_zoom_cc.writer import BufferedWriter
from tap_zoom_cc.zoom.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from singer_sdk.helpers.capabilities import CapabilitiesEnum


OVERRIDDEN = ((RESTStream, "_increment_stream_state"), (Tap, "_setup_signal_handlers"))
"""Private methods of the SDK that streams and tap override, since it has no public ones for that.

Without the first, rows would move bookmarks; without the second, a signal could end a run with 0.
"""


def check_sdk() -> None:
    """Do nothing, unless the SDK lacks a method of `OVERRIDDEN`.

    Raises:
        SdkChangedError: if it does.
    """
    for owner, method in OVERRIDDEN:
        if not hasattr(owner, method):
            raise SdkChangedError(method)


class TapZoomCC(CommandLineTap):
    """Engagement logs of Zoom Contact Center master accounts: SMS and voice calls."""

    name = "tap-zoom-cc"
    package_name = "tap-zoom-cc"
    config_jsonschema = CONFIG_SCHEMA
    message_writer_class = BufferedWriter

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

    @override
    def sync(self) -> int:
        """Sync every selected stream and return the exit code: 0 only if nothing was missed.

        Raises:
            OutputError: if the target is gone.
        """
        report, streams = self.services.report, self.engagement_streams()
        account_ids: Collection[str] = ()
        try:
            check_sdk()
            report.expect([stream.name for stream in streams])
            if streams:
                # Listed before the first stream: without a list there is nothing to read.
                account_ids = self.services.accounts.by_id
            self.sync_all()
        except SyncFailedError:
            self.logger.debug("what failed was reported")
        except (RunError, SdkChangedError) as error:
            report.fail_run(str(error))
            self._stop.ask(str(error), EXIT_FAILED)
        except StoppedError:
            self.logger.debug("stopped before the first stream")
        self._flush()
        lags = {stream.name: stream.lag(account_ids) for stream in streams}
        log_end(report, {name: lag for name, lag in lags.items() if lag})
        if self._stop.asked:
            self.logger.error(self._stop.reason)
            return self._stop.exit_code
        if report.failures:
            self.logger.error(report.verdict)
            return EXIT_FAILED
        return 0

    def _flush(self) -> None:
        """Send off the messages that were collected."""
        cast("BufferedWriter", self.message_writer).flush()

    @override
    def engagement_streams(self) -> list[EngagementStream]:
        return [
            stream
            for stream in self.streams.values()
            if isinstance(stream, EngagementStream) and stream.selected
        ]

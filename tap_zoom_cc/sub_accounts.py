"""The stream of sub accounts: what Zoom's list tells of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_zoom_cc.accounts import LISTING, LISTING_PAGINATOR
from tap_zoom_cc.run.stopping import EXIT_FAILED, StoppedError
from tap_zoom_cc.sync.emit import decoder_for
from tap_zoom_cc.zoom.errors import RunError
from tap_zoom_cc.zoom_stream import ZoomStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_zoom_cc.accounts import Accounts
    from tap_zoom_cc.services import Services
    from tap_zoom_cc.zoom.pages import NextPageTokenPaginator


class SubAccountsStream(ZoomStream):
    """The sub accounts that Zoom lists; also what the other streams read when none are named."""

    name = "sub_accounts"
    path = LISTING.path
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)

    def __init__(self, tap: Tap, services: Services, accounts: Accounts) -> None:
        """Belong to a tap, as the SDK wants it; what the stream itself uses is handed to it.

        Args:
            tap: for the SDK.
            services: what the run shares.
            accounts: have the list.
        """
        self._accounts = accounts
        super().__init__(tap, services)

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, object]:
        return {**LISTING.parameters, "next_page_token": next_page_token}

    @override
    def get_new_paginator(self) -> NextPageTokenPaginator:
        return LISTING_PAGINATOR.anew()

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Yield the sub accounts; without the list the run ends."""
        report, stop = self._services.report, self._services.stop
        if stop.asked:
            return
        decoder = decoder_for(self, report)
        tally = report.tallies[self.name]
        try:
            for row in self._accounts.rows().values():
                tally.rows += 1
                yield decoder.decode(row)
        except RunError as error:
            message = str(error)
            report.fail_run(message)
            stop.ask(message, EXIT_FAILED)
        except StoppedError:
            self.logger.debug("stopped")

"""The streams of engagements: one class for each endpoint, and all that differs between them.

This is the one registry: catalog, settings, state, budget and discovery read `ENGAGEMENT_STREAMS`.
A further endpoint of the same shape is a class here and a schema in ``schemas/``; CONTRIBUTING.md
has the steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_zoom_cc.accounts import LISTING, LISTING_PAGINATOR
from tap_zoom_cc.engagements import EngagementStream
from tap_zoom_cc.services import ZoomStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.helpers.types import Context, Record

    from tap_zoom_cc.run.settings import FilterValue
    from tap_zoom_cc.zoom.pages import NextPageTokenPaginator


class SmsStream(EngagementStream):
    """SMS engagements: one row each, when it is over."""

    name = "sms"
    path = "/accounts/{account_id}/contact_center/sms"
    rows_key = "sms"
    title = "SMS"
    engagement = "an SMS engagement"
    default_lookback_days = 14


class VoiceCallsStream(EngagementStream):
    """Voice call engagements: one row each, when it is over, with the legs of the call."""

    name = "voice_calls"
    path = "/accounts/{account_id}/contact_center/voice_calls"
    rows_key = "voice_calls"
    title = "Voice calls"
    engagement = "a call"
    default_lookback_days = 2

    @override
    def query(self) -> Mapping[str, FilterValue]:
        """Ask for the legs of the calls only when they are selected, unless a filter says which."""
        details = self.mask[("properties", "voice_call_details")]
        return {"view_type": "detail" if details else "summary", **super().query()}


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
        return LISTING_PAGINATOR.anew()

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Yield the sub accounts; without the list the run ends."""
        tally = self._services.report.tallies[self.name]
        with self._ending_with_the_run():
            self._services.stop.check()
            for row in self._services.accounts.rows.values():
                tally.rows += 1
                yield self.decoder.decode(row)


ENGAGEMENT_STREAMS: tuple[type[EngagementStream], ...] = (SmsStream, VoiceCallsStream)

KEYS: Mapping[str, tuple[str, ...]] = {
    **{stream.name: stream.primary_keys for stream in ENGAGEMENT_STREAMS},
    SubAccountsStream.name: SubAccountsStream.primary_keys,
}
"""The key properties of every stream, by its name."""

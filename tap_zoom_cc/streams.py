"""The streams of engagements: one class for each endpoint, and all that differs between them.

This is the one registry: catalog, settings, state, budget and discovery read `ENGAGEMENT_STREAMS`.
A further endpoint of the same shape is a class here and a schema in ``schemas/``; CONTRIBUTING.md
has the steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_zoom_cc.engagements import EngagementStream
from tap_zoom_cc.sub_accounts import SubAccountsStream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_zoom_cc.run.settings import FilterValue


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


ENGAGEMENT_STREAMS: tuple[type[EngagementStream], ...] = (SmsStream, VoiceCallsStream)

KEYS: Mapping[str, tuple[str, ...]] = {
    **{stream.name: stream.primary_keys for stream in ENGAGEMENT_STREAMS},
    SubAccountsStream.name: SubAccountsStream.primary_keys,
}
"""The key properties of every stream, by its name."""

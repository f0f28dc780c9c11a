"""A tap as the SDK's template leads to: read page after page, parse and encode with the defaults.

The schema is a plain dictionary, loaded once: the SDK makes others anew for every row, which costs
many times more. Windows are partitions beside the account, as the endpoint allows a month at most.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.pagination import JSONPathPaginator
from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Auth, Context

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"


def schema_of(stream: str) -> dict[str, object]:
    """Load the JSON schema that the measured tap has too."""
    schema: dict[str, object] = json.loads((SCHEMAS / f"{stream}.json").read_text("utf-8"))
    return schema


class EngagementStream(RESTStream[str]):
    """The engagements of one channel."""

    primary_keys = ("account_id", "engagement_id")
    replication_key = "start_time"
    state_partitioning_keys = ["account_id"]  # noqa: RUF012 (as in the SDK)
    next_page_token_jsonpath = "$.next_page_token"

    @property
    @override
    def url_base(self) -> str:
        """The API's URL."""
        return str(self.config["api_url"])

    @property
    @override
    def authenticator(self) -> Auth:
        """Sign with the token that was fetched at the start."""
        return BearerTokenAuthenticator(token=self.config["token"])

    @property
    @override
    def partitions(self) -> list[dict[str, str]]:
        """Every window of every account."""
        return [
            {"account_id": account_id, "begin": begin, "end": end}
            for account_id in self.config["sub_account_ids"]
            for begin, end in self.config["windows"]
        ]

    @override
    def get_new_paginator(self) -> JSONPathPaginator:
        """Follow the token in each answer."""
        return JSONPathPaginator(self.next_page_token_jsonpath)

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, object]:
        """Ask for a page of the window."""
        window = context or {}
        params: dict[str, object] = {
            "from": window["begin"],
            "to": window["end"],
            "page_size": 100,
            **self.view,
        }
        if next_page_token:
            params["next_page_token"] = next_page_token
        return params

    view: dict[str, str] = {}  # noqa: RUF012


class SmsStream(EngagementStream):
    """SMS engagements."""

    name = "sms"
    path = "/accounts/{account_id}/contact_center/sms"
    records_jsonpath = "$.sms[*]"
    schema = schema_of("sms")


class VoiceCallsStream(EngagementStream):
    """Voice call engagements."""

    name = "voice_calls"
    path = "/accounts/{account_id}/contact_center/voice_calls"
    records_jsonpath = "$.voice_calls[*]"
    schema = schema_of("voice_calls")
    view = {"view_type": "detail"}  # noqa: RUF012


class PlainTap(Tap):
    """The tap."""

    name = "plain-sdk-tap"
    config_jsonschema = th.PropertiesList(th.Property("api_url", th.StringType)).to_dict()

    @override
    def discover_streams(self) -> list[EngagementStream]:
        """Return the streams that the job asks for."""
        streams = {"sms": SmsStream, "voice_calls": VoiceCallsStream}
        return [streams[name](self) for name in self.config["streams"]]


job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
grant = requests.post(
    job["token_url"],
    data={"grant_type": "account_credentials", "account_id": job["account_id"]},
    auth=(job["client_id"], job["client_secret"]),
    timeout=60,
)
PlainTap(config={**job, "token": grant.json()["access_token"]}).sync_all()

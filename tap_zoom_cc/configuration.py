"""The settings as they are declared: types, ranges, choices and formats stand here alone.

`CONFIG_SCHEMA` is what ``--about``, Meltano and MeltanoHub show, and what `tap_zoom_cc.inputs`
checks a configuration by.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from singer_sdk.helpers.capabilities import FLATTENING_CONFIG, STREAM_MAPS_CONFIG

from tap_zoom_cc.streams import ENGAGEMENT_STREAMS
from tap_zoom_cc.zoom.instants import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable

JsonSchema: TypeAlias = dict[str, Any]

VARIABLE_PREFIX = "TAP_ZOOM_CC_"
"""What the name of an environment variable begins with that holds a setting."""

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

FORMATS = {
    "credential": (
        "text without spaces or characters beyond ASCII, as the Zoom app's page 'App Credentials' "
        "shows it"
    ),
    "account-id": "an account ID (letters, digits, '-', '_', '='), such as TQTvjT52Tmi_wrhASNNOEw",
    "header": "text of Latin letters, digits and signs, on one line",
    "date-time": "a date (2026-01-31) or a date-time (2026-01-31T08:00:00+00:00)",
    "uri": (
        "a URL such as https://api.zoom.us/v2, without user, password, query or fragment; only "
        "the host of this machine may go without https"
    ),
}
"""What is right, by the formats that the declarations use."""

PATTERNS = {
    "credential": r"[!-~]+",
    "account-id": r"[A-Za-z0-9_=-]{2,128}",
    # The value of a header is Latin-1.
    "header": r"[!-~\xa1-\xff](?:[ -~\xa1-\xff]*[!-~\xa1-\xff])?",
}
"""The formats that a regular expression describes."""


def _is_url_for_a_token(value: str) -> bool:
    """Say whether a token may be sent there: encrypted, or to this machine."""
    parts = urlsplit(value)
    host = parts.hostname or ""
    # As for the look-up of its address: a ValueError if a part of the name is empty or too long.
    host.encode("idna")
    return (
        bool(re.fullmatch(r"[!-~]+", value) and re.fullmatch(r"[A-Za-z0-9._:-]+", host))
        and parts.port != 0
        and not (parts.query or parts.fragment or parts.username or parts.password)
        and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS))
    )


def format_checker(**checks: Callable[[str], object]) -> FormatChecker:
    """Return what checks formats; values that are no text are left to the check of types."""
    checker = FormatChecker(formats=())
    for name, check in checks.items():
        checker.checks(name, raises=ValueError)(
            lambda value, check=check: not isinstance(value, str) or bool(check(value))
        )
    return checker


FORMAT_CHECKER = format_checker(
    **{name: partial(re.fullmatch, pattern) for name, pattern in PATTERNS.items()},
    **{"date-time": parse_instant, "uri": _is_url_for_a_token},
)


def _said(schema: JsonSchema, description: str) -> JsonSchema:
    return {**schema, "description": description}


ACCOUNT_ID: JsonSchema = {"type": "string", "format": "account-id"}
CREDENTIAL = {"type": "string", "format": "credential", "secret": True, "writeOnly": True}
INSTANT = {"type": "string", "format": "date-time"}
URL = {"type": "string", "format": "uri"}
LOOKBACK = {"type": "number", "minimum": 0, "maximum": 3650}
FILTERS = {"type": "object", "properties": {}, "additionalProperties": True, "default": {}}

REQUIRED = ("account_id", "client_id", "client_secret")

DECLARED = {
    "account_id": _said(ACCOUNT_ID, "ID of the account that owns the Server-to-Server OAuth app."),
    "client_id": _said(CREDENTIAL, "Client ID of the Server-to-Server OAuth app."),
    "client_secret": _said(CREDENTIAL, "Client secret of the Server-to-Server OAuth app."),
    "sub_account_ids": _said(
        {"type": "array", "items": {**ACCOUNT_ID, "type": ["string"]}},
        "IDs of the sub accounts to read. Without it every sub account that Zoom lists is read, "
        "and the stream sub_accounts is offered.",
    ),
    "include_own_account": _said(
        {"type": "boolean", "default": False},
        "Also read the account that owns the app, through the ordinary endpoints. With an empty "
        "list of sub accounts only that account is read.",
    ),
    "start_date": _said(
        INSTANT,
        "Engagements from this date or date-time on are read. A bare date is midnight UTC. Without "
        "it, an account without a bookmark is read from 28 days ago.",
    ),
    "end_date": _said(
        INSTANT,
        "Nothing after this date or date-time is read. A bare date is midnight UTC. Without it, "
        "the start of the run is the end.",
    ),
    **{
        f"{stream.name}_lookback_days": _said(
            {**LOOKBACK, "default": stream.default_lookback_days},
            f"How many days {stream.engagement} may stay open and still be found: Zoom lists it "
            "only after its end. Each doubling of this number adds the same small cost.",
        )
        for stream in ENGAGEMENT_STREAMS
    },
    **{
        f"{stream.name}_filters": _said(
            FILTERS,
            f"Query parameters of the endpoint of the stream {stream.name}, by name, to read only "
            "some engagements. Not range, page or account.",
        )
        for stream in ENGAGEMENT_STREAMS
    },
    "requests_per_second": _said(
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1000, "default": 5},
        "The most requests that are sent in a second, over all streams and accounts. Zoom allows 5 "
        "on the Pro plan and 10 on Business and above, shared by all apps of the account.",
    ),
    "max_concurrency": _said(
        {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
        "The most requests in flight at a time. 10 requests a second at 0.8 s latency need 8.",
    ),
    "max_requests_per_run": _said(
        {"type": "integer", "minimum": 1},
        "A share of Zoom's daily limit, divided evenly between the selected streams. When it is "
        "spent the run ends well, and the next one goes on. The list of sub accounts comes on top.",
    ),
    "quiet_accounts_hours": _said(
        {"type": "number", "minimum": 0, "maximum": 168, "default": 0},
        "How many hours an account that is quiet may go without being asked: an eighth of the time "
        "for which nothing has come from it, and at most this. 0 asks all in each sync.",
    ),
    "on_count_mismatch": _said(
        {"type": "string", "enum": ["fail", "warn"], "default": "fail"},
        "What to do when Zoom announces more engagements than it delivers: fail keeps the bookmark "
        "and ends the run with an error; warn accepts it. The same goes for the list of sub "
        "accounts.",
    ),
    "api_url": _said(
        {**URL, "default": "https://api.zoom.us/v2"},
        "Base URL of the API, for regional and government clouds or for tests.",
    ),
    "token_url": _said(
        {**URL, "default": "https://zoom.us/oauth/token"},
        "URL that grants access tokens, for the government cloud or for tests.",
    ),
}
"""What each setting takes, and what it means, in the order of the README."""

TITLES = {"id": "ID", "ids": "IDs", "api": "API", "url": "URL", "sms": "SMS"}
"""How words of names are written in titles; others stay as they are."""


def _with_title(name: str, schema: JsonSchema) -> JsonSchema:
    """Return a setting's schema with a title; what need not be given may be null."""
    title = " ".join(TITLES.get(word, word) for word in name.split("_"))
    types = [schema["type"]] if name in REQUIRED else [schema["type"], "null"]
    return {**schema, "type": types, "title": title[0].upper() + title[1:]}


CONFIG_SCHEMA: JsonSchema = {
    "$schema": Draft202012Validator.META_SCHEMA["$id"],
    "type": "object",
    "properties": {name: _with_title(name, schema) for name, schema in DECLARED.items()}
    | STREAM_MAPS_CONFIG["properties"]
    | FLATTENING_CONFIG["properties"],
    "required": list(REQUIRED),
}

"""The settings as they are declared: types, ranges, choices and formats stand here alone.

`CONFIG_SCHEMA` is what ``--about``, Meltano and MeltanoHub show, and what `tap_zoom_cc.inputs`
checks a configuration by.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jsonschema import FormatChecker
from singer_sdk import typing as th
from singer_sdk.helpers.capabilities import FLATTENING_CONFIG, STREAM_MAPS_CONFIG

from tap_zoom_cc.streams import ENGAGEMENT_STREAMS
from tap_zoom_cc.zoom.instants import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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


def _text(text_format: str) -> th.CustomType:
    return th.CustomType({"type": ["string"], "format": text_format})


def _of_each_stream() -> Iterable[th.Property[Any]]:
    for stream in ENGAGEMENT_STREAMS:
        yield th.Property(
            f"{stream.name}_lookback_days",
            th.NumberType(minimum=0, maximum=3650),
            default=stream.default_lookback_days,
            title=f"{stream.title} lookback days",
            description=(
                f"How many days {stream.engagement} may stay open and still be found: Zoom lists "
                "it only after its end. Each doubling of this number adds the same small cost."
            ),
        )
    for stream in ENGAGEMENT_STREAMS:
        yield th.Property(
            f"{stream.name}_filters",
            th.ObjectType(additional_properties=True),
            default={},
            title=f"{stream.title} filters",
            description=(
                f"Query parameters of the endpoint of the stream {stream.name}, by name, to read "
                "only some engagements. Not range, page or account."
            ),
        )


CONFIG_SCHEMA: dict[str, dict[str, Any]] = th.PropertiesList(
    th.Property(
        "account_id",
        _text("account-id"),
        required=True,
        title="Account ID",
        description="ID of the account that owns the Server-to-Server OAuth app.",
    ),
    th.Property(
        "client_id",
        _text("credential"),
        required=True,
        secret=True,
        title="Client ID",
        description="Client ID of the Server-to-Server OAuth app.",
    ),
    th.Property(
        "client_secret",
        _text("credential"),
        required=True,
        secret=True,
        title="Client secret",
        description="Client secret of the Server-to-Server OAuth app.",
    ),
    th.Property(
        "sub_account_ids",
        th.ArrayType(_text("account-id")),
        title="Sub account IDs",
        description=(
            "IDs of the sub accounts to read. Without it every sub account that Zoom lists is "
            "read, and the stream sub_accounts is offered."
        ),
    ),
    th.Property(
        "include_own_account",
        th.BooleanType,
        default=False,
        title="Include own account",
        description=(
            "Also read the account that owns the app, through the ordinary endpoints. With an "
            "empty list of sub accounts only that account is read."
        ),
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description=(
            "Engagements from this date or date-time on are read. A bare date is midnight UTC. "
            "Without it, an account without a bookmark is read from 28 days ago."
        ),
    ),
    th.Property(
        "end_date",
        th.DateTimeType,
        title="End date",
        description=(
            "Nothing after this date or date-time is read. A bare date is midnight UTC. Without "
            "it, the start of the run is the end."
        ),
    ),
    *_of_each_stream(),
    th.Property(
        "requests_per_second",
        th.NumberType(exclusive_minimum=0, maximum=1000),
        default=5,
        title="Requests per second",
        description=(
            "The most requests that are sent in a second, over all streams and accounts. Zoom "
            "allows 5 on the Pro plan and 10 on Business and above, shared by all apps of the "
            "account."
        ),
    ),
    th.Property(
        "max_concurrency",
        th.IntegerType(minimum=1, maximum=100),
        default=10,
        title="Max concurrency",
        description=(
            "The most requests in flight at a time. 10 requests a second at 0.8 s latency need 8."
        ),
    ),
    th.Property(
        "max_requests_per_run",
        th.IntegerType(minimum=1),
        title="Max requests per run",
        description=(
            "A share of Zoom's daily limit, divided evenly between the selected streams. When it "
            "is spent the run ends well, and the next one goes on. The list of sub accounts comes "
            "on top."
        ),
    ),
    th.Property(
        "quiet_accounts_hours",
        th.NumberType(minimum=0, maximum=168),
        default=0,
        title="Quiet accounts hours",
        description=(
            "How many hours an account that is quiet may go without being asked: an eighth of the "
            "time for which nothing has come from it, and at most this. 0 asks all in each sync."
        ),
    ),
    th.Property(
        "on_count_mismatch",
        th.StringType,
        default="fail",
        allowed_values=["fail", "warn"],
        title="On count mismatch",
        description=(
            "What to do when Zoom announces more engagements than it delivers: fail keeps the "
            "bookmark and ends the run with an error; warn accepts it. The same goes for the list "
            "of sub accounts."
        ),
    ),
    th.Property(
        "api_url",
        th.URIType,
        default="https://api.zoom.us/v2",
        title="API URL",
        description="Base URL of the API, for regional and government clouds or for tests.",
    ),
    th.Property(
        "token_url",
        th.URIType,
        default="https://zoom.us/oauth/token",
        title="Token URL",
        description="URL that grants access tokens, for the government cloud or for tests.",
    ),
).to_dict()

CONFIG_SCHEMA["properties"] |= STREAM_MAPS_CONFIG["properties"] | FLATTENING_CONFIG["properties"]

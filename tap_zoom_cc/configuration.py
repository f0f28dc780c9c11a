"""The settings: their declaration for the SDK and Meltano, and their check in full.

`CONFIG_SCHEMA` is what ``--about``, Meltano and MeltanoHub show. `Settings.from_config` turns a
configuration into typed values, or says everything that is wrong with it at once, one line each,
before anything is requested. No message repeats the value of a secret.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from singer_sdk import typing as th
from singer_sdk.exceptions import ConfigValidationError

from tap_zoom_cc.sync.windows import LONGEST_WINDOW
from tap_zoom_cc.zoom import filters
from tap_zoom_cc.zoom.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from tap_zoom_cc.zoom.filters import FilterValue

Value: TypeAlias = object
"""A value as it came from a configuration file: of any type until it is checked."""

ENGAGEMENT_STREAMS = ("sms", "voice_calls")

DEFAULT_LOOKBACK_DAYS = {"sms": 3, "voice_calls": 1}
ADVISED_LOOKBACK = timedelta(days=1)
DEFAULT_REQUESTS_PER_SECOND = 5
DEFAULT_MAX_CONCURRENCY = 10
MOST_CONCURRENCY = 100
DEFAULT_API_URL = "https://api.zoom.us/v2"
DEFAULT_TOKEN_URL = "https://zoom.us/oauth/token"  # noqa: S105 (an address, not a password)
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

SDK_SETTINGS_NOT_DECLARED = frozenset({"user_agent"})
"""Read by the SDK without being declared, and harmless."""

REFUSED_SETTINGS = {
    "batch_config": "BATCH messages are not offered: state would overtake the rows; remove it",
    "emit_activate_version_messages": (
        "ACTIVATE_VERSION is not offered: when one account fails, a target would delete "
        "good rows; remove it"
    ),
}

_ACCOUNT_ID = re.compile(r"[A-Za-z0-9_=-]{2,128}")

CONFIG_SCHEMA: dict[str, dict[str, object]] = th.PropertiesList(
    th.Property(
        "account_id",
        th.StringType,
        required=True,
        title="Account ID",
        description="ID of the account that owns the Server-to-Server OAuth app.",
    ),
    th.Property(
        "client_id",
        th.StringType,
        required=True,
        secret=True,
        title="Client ID",
        description="Client ID of the Server-to-Server OAuth app.",
    ),
    th.Property(
        "client_secret",
        th.StringType,
        required=True,
        secret=True,
        title="Client secret",
        description="Client secret of the Server-to-Server OAuth app.",
    ),
    th.Property(
        "sub_account_ids",
        th.ArrayType(th.StringType),
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
            "Nothing before this date or date-time is read. A bare date is midnight UTC. Without "
            "it, an account without a bookmark is read from 28 days ago."
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
    th.Property(
        "sms_lookback_days",
        th.NumberType,
        default=DEFAULT_LOOKBACK_DAYS["sms"],
        title="SMS lookback days",
        description=(
            "How many days before its bookmark the stream sms reads again: how long an SMS "
            "engagement may stay open and still be caught."
        ),
    ),
    th.Property(
        "voice_calls_lookback_days",
        th.NumberType,
        default=DEFAULT_LOOKBACK_DAYS["voice_calls"],
        title="Voice calls lookback days",
        description=(
            "How many days before its bookmark the stream voice_calls reads again: how long a "
            "call may last and still be caught."
        ),
    ),
    th.Property(
        "sms_filters",
        th.ObjectType(additional_properties=True),
        default={},
        title="SMS filters",
        description=(
            "Query parameters of the SMS endpoint, by name, to read only some engagements. Not "
            "range, page or account."
        ),
    ),
    th.Property(
        "voice_calls_filters",
        th.ObjectType(additional_properties=True),
        default={},
        title="Voice calls filters",
        description=(
            "Query parameters of the voice call endpoint, by name, to read only some engagements. "
            "Not range, page or account."
        ),
    ),
    th.Property(
        "requests_per_second",
        th.NumberType,
        default=DEFAULT_REQUESTS_PER_SECOND,
        title="Requests per second",
        description=(
            "The most requests that are sent in a second, over all streams and accounts. Zoom "
            "allows 5 on the Pro plan and 10 on Business and above, shared by all apps of the "
            "account."
        ),
    ),
    th.Property(
        "max_concurrency",
        th.IntegerType,
        default=DEFAULT_MAX_CONCURRENCY,
        title="Max concurrency",
        description=(
            "The most requests in flight at a time. 10 requests a second at 0.8 s latency need 8."
        ),
    ),
    th.Property(
        "max_requests_per_run",
        th.IntegerType,
        title="Max requests per run",
        description=(
            "A share of Zoom's daily limit, divided evenly between the selected streams. When it "
            "is spent the run ends well, and the next one goes on."
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
        th.StringType,
        default=DEFAULT_API_URL,
        title="API URL",
        description="Base URL of the API, for regional and government clouds or for tests.",
    ),
    th.Property(
        "token_url",
        th.StringType,
        default=DEFAULT_TOKEN_URL,
        title="Token URL",
        description="URL that grants access tokens, for the government cloud or for tests.",
    ),
).to_dict()


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked configuration, with instants in UTC."""

    account_id: str
    client_id: str
    client_secret: str
    sub_account_ids: tuple[str, ...] | None
    include_own_account: bool
    start_date: datetime | None
    end_date: datetime | None
    lookbacks: Mapping[str, timedelta]
    filters: Mapping[str, Mapping[str, FilterValue]]
    requests_per_second: float
    max_concurrency: int
    max_requests_per_run: int | None
    mismatch_fails: bool
    api_url: str
    token_url: str

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Value],
        *,
        now: datetime,
        known: Iterable[str] = (),
    ) -> Settings:
        """Check a configuration in full.

        Args:
            config: the settings by name.
            now: the start of the run, in UTC.
            known: settings that others declare (the SDK's stream maps and so on).

        Raises:
            ConfigValidationError: with one line for each thing that is wrong.
        """
        reader = _Reader(config)
        settings = cls(
            account_id=reader.account_id("account_id"),
            client_id=reader.credential("client_id"),
            client_secret=reader.credential("client_secret"),
            sub_account_ids=reader.account_ids("sub_account_ids"),
            include_own_account=reader.boolean("include_own_account", default=False),
            start_date=reader.instant("start_date"),
            end_date=reader.instant("end_date"),
            lookbacks=MappingProxyType(
                {
                    name: reader.lookback(f"{name}_lookback_days", name)
                    for name in ENGAGEMENT_STREAMS
                }
            ),
            filters=MappingProxyType(
                {name: reader.filters(f"{name}_filters", name) for name in ENGAGEMENT_STREAMS}
            ),
            requests_per_second=reader.rate("requests_per_second"),
            max_concurrency=reader.whole_number(
                "max_concurrency", default=DEFAULT_MAX_CONCURRENCY, most=MOST_CONCURRENCY
            )
            or DEFAULT_MAX_CONCURRENCY,
            max_requests_per_run=reader.whole_number("max_requests_per_run"),
            mismatch_fails=reader.one_of("on_count_mismatch", ("fail", "warn")) == "fail",
            api_url=reader.url("api_url", DEFAULT_API_URL),
            token_url=reader.url("token_url", DEFAULT_TOKEN_URL),
        )
        reader.problems += _unknown_settings(config, known)
        if not reader.problems:
            reader.problems += _contradictions(settings, now)
        if reader.problems:
            summary = "The configuration is not valid"
            raise ConfigValidationError(summary, errors=reader.problems, schema=CONFIG_SCHEMA)
        return settings

    def advice(self) -> list[str]:
        """Return what is allowed but unwise, one line each."""
        return [
            f"{name}_lookback_days: {lookback / timedelta(days=1):g} is less than 1 day; Zoom may "
            "shift ranges by the account's time zone, and engagements could be missed"
            for name, lookback in self.lookbacks.items()
            if lookback < ADVISED_LOOKBACK
        ]


class _Reader:
    """Takes settings out of a configuration one by one and collects what is wrong with them."""

    def __init__(self, config: Mapping[str, Value]) -> None:
        self._config = config
        self.problems: list[str] = []

    def _problem(self, name: str, wrong: str) -> None:
        self.problems.append(f"{name}: {wrong}")

    def credential(self, name: str) -> str:
        value = self._config.get(name)
        if value is None or value == "":
            self._problem(name, "is missing; copy it from the Zoom app's page 'App Credentials'")
        elif not isinstance(value, str) or value.split() != [value]:
            self._problem(name, "must be text without spaces, as the Zoom app's page shows it")
        else:
            return value
        return ""

    def account_id(self, name: str) -> str:
        value = self.credential(name)
        if value and not _ACCOUNT_ID.fullmatch(value):
            self._problem(name, f"'{value[:40]}' is not an account ID (letters, digits, '-', '_')")
        return value

    def account_ids(self, name: str) -> tuple[str, ...] | None:
        value = self._config.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self._problem(name, 'must be a list of account IDs, such as ["TQTvjT52Tmi_wrhASNNOEw"]')
            return None
        for entry in value:
            if not isinstance(entry, str) or not _ACCOUNT_ID.fullmatch(entry):
                shown = f"'{str(entry)[:40]}'"
                self._problem(name, f"{shown} is not an account ID (letters, digits, '-', '_')")
                return None
        if not value and not self._config.get("include_own_account"):
            self._problem(
                name,
                "is empty, so nothing would be read; name accounts, remove it to read every sub "
                "account, or set include_own_account",
            )
        return tuple(dict.fromkeys(value))

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self._config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._problem(name, f"must be true or false, not '{str(value)[:40]}'")
            return default
        return value

    def instant(self, name: str) -> datetime | None:
        value = self._config.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            try:
                return parse_instant(value)
            except ValueError:
                pass
        self._problem(
            name,
            f"'{str(value)[:40]}' is neither a date (2026-01-31) nor a date-time "
            "(2026-01-31T08:00:00+00:00)",
        )
        return None

    def _number(
        self, name: str, default: float, fits: Callable[[float], bool], right: str
    ) -> float:
        value = self._config.get(name)
        if value is None:
            return default
        if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            number = float(value)
            if fits(number):
                return number
        self._problem(name, f"must be {right}, not '{str(value)[:40]}'")
        return default

    def lookback(self, name: str, stream: str) -> timedelta:
        days = self._number(
            name,
            DEFAULT_LOOKBACK_DAYS[stream],
            lambda number: 0 <= number <= 3650,  # noqa: PLR2004 (ten years, said in the message)
            "a number of days from 0 to 3650",
        )
        return timedelta(days=days)

    def rate(self, name: str) -> float:
        return self._number(
            name,
            DEFAULT_REQUESTS_PER_SECOND,
            lambda number: 0 < number <= 1000,  # noqa: PLR2004 (said in the message)
            "a number above 0 and at most 1000 (Zoom: 5 on Pro, 10 on Business and above)",
        )

    def whole_number(
        self, name: str, *, default: int | None = None, most: int | None = None
    ) -> int | None:
        value = self._config.get(name)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= (most or value):
            return value
        right = f"a whole number from 1 to {most}" if most else "a whole number of at least 1"
        self._problem(name, f"must be {right}, not '{str(value)[:40]}'")
        return default

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        value = self._config.get(name)
        if value is None:
            return choices[0]
        if value not in choices:
            self._problem(name, f"must be {' or '.join(choices)}, not '{str(value)[:40]}'")
        return str(value)

    def url(self, name: str, default: str) -> str:
        value = self._config.get(name)
        if value is None:
            return default
        try:
            parts = urlsplit(value) if isinstance(value, str) else None
            host = parts.hostname if parts else None
            port_is_valid = parts is not None and (parts.port is None or parts.port > 0)
        except ValueError:
            parts, host, port_is_valid = None, None, False
        if parts is None or not host or not port_is_valid or parts.query or parts.fragment:
            self._problem(name, f"must be a URL such as {default}, without query or fragment")
            return default
        if parts.username or parts.password:
            self._problem(name, "must not contain a user or a password")
        elif parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK_HOSTS):
            self._problem(name, f"must begin with https:// (host '{host}' is not this machine)")
        return str(value).rstrip("/")

    def filters(self, name: str, stream: str) -> Mapping[str, FilterValue]:
        value = self._config.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._problem(name, 'must be an object of query parameters, such as {"direction": …}')
            return {}
        wrong = filters.problems(stream, value)
        self.problems += [f"{name}.{line}" for line in wrong]
        return {} if wrong else MappingProxyType(value)


def with_numbers(config: Mapping[str, Value]) -> dict[str, Value]:
    """Return settings from the environment with numbers as numbers: the SDK leaves them as text."""
    values = dict(config)
    for name, value in config.items():
        declared = CONFIG_SCHEMA["properties"].get(name)
        if isinstance(declared, dict) and "number" in declared["type"] and isinstance(value, str):
            try:
                values[name] = float(value)
            except ValueError:
                continue
    return values


BOOLEANS = ("true", "1", "yes", "on", "false", "0", "no", "off")
"""What is taken in the environment; the SDK would take any other text for false."""


def unreadable_variables(
    declared: Mapping[str, Mapping[str, Value]], prefix: str, environment: Mapping[str, str]
) -> list[str]:
    """Say which settings in the environment are not of their type, one line each."""
    problems = []
    for name, schema in declared.items():
        variable = f"{prefix}{name.upper()}"
        text, types = environment.get(variable), schema.get("type", ())
        if text is None or not isinstance(types, (list, tuple)):
            continue
        try:
            if "integer" in types:
                int(text)
            elif "boolean" in types:
                BOOLEANS.index(text.lower())
            elif "object" in types:
                json.loads(text)
        except ValueError:
            rights = {"integer": "a whole number", "boolean": "true or false"}
            right = next((rights[name] for name in rights if name in types), "a JSON object")
            problems.append(f"{name}: {variable} must be {right}, not '{text[:40]}'")
    return problems


def _unknown_settings(config: Mapping[str, Value], known: Iterable[str]) -> list[str]:
    names = {*CONFIG_SCHEMA["properties"], *known, *SDK_SETTINGS_NOT_DECLARED}
    problems = []
    for name in config:
        if name in REFUSED_SETTINGS:
            problems.append(f"{name}: {REFUSED_SETTINGS[name]}")
        elif name not in names:
            problems.append(f"{name}: there is no such setting{filters.nearest(name, names)}")
    return problems


def _contradictions(settings: Settings, now: datetime) -> list[str]:
    start, end = settings.start_date, settings.end_date
    if start and start > now:
        return [f"start_date: {format_instant(start)} lies in the future; nothing could be read"]
    if start and end and end <= start:
        return [
            (
                f"end_date: {format_instant(end)} is not after start_date {format_instant(start)}; "
                "nothing could be read"
            )
        ]
    if end and not start and end <= now - LONGEST_WINDOW:
        return [
            (
                f"end_date: {format_instant(end)} lies more than 28 days back; set start_date as "
                "well, or accounts without a bookmark would not be read"
            )
        ]
    return []

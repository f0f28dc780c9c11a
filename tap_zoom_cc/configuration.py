"""The settings: their declaration, and their check by it.

`CONFIG_SCHEMA` is what ``--about``, Meltano and MeltanoHub show, and what `settings_from` checks a
configuration against: types, ranges, choices and formats stand in the declaration alone, and what a
message says is right is read from there. Only what spans several settings is checked by hand.
Everything that is wrong is said at once, one line each, before anything is requested. No message
repeats the value of a secret.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fnmatch import fnmatch
from ipaddress import IPv6Address
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from singer_sdk import typing as th
from singer_sdk.exceptions import ConfigValidationError

from tap_zoom_cc.run.log import excerpt
from tap_zoom_cc.run.settings import Settings
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS, KEYS
from tap_zoom_cc.sync.windows import LONGEST_WINDOW
from tap_zoom_cc.zoom import filters
from tap_zoom_cc.zoom.filters import SCHEMAS
from tap_zoom_cc.zoom.instants import BEFORE_ZOOM, format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from jsonschema.exceptions import ValidationError

Value: TypeAlias = object
"""A value as it came from a configuration file: of any type until it is checked."""

Declaration: TypeAlias = "Mapping[str, Any]"
"""The JSON schema of a setting."""

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

MOST_CHARACTERS_OF_A_HOST = 253
"""The domain name system's bound."""

REFUSED_SETTINGS = {
    "batch_config": "BATCH messages are not offered: state would overtake the rows; remove it",
    "emit_activate_version_messages": (
        "ACTIVATE_VERSION is not offered: when one account fails, a target would delete "
        "good rows; remove it"
    ),
}

LEFT_OUT = (None, "__NULL__")
"""What a stream map gives a field, or a stream, that is not to be loaded."""

FORMATS = {
    "credential": (
        "text without spaces or characters beyond ASCII, as the Zoom app's page 'App Credentials' "
        "shows it"
    ),
    "account-id": "an account ID (letters, digits, '-', '_', '='), such as TQTvjT52Tmi_wrhASNNOEw",
    "date-time": "a date (2026-01-31) or a date-time (2026-01-31T08:00:00+00:00)",
    "uri": (
        "a URL such as https://api.zoom.us/v2, without user, password, query or fragment; only "
        "the host of this machine may go without https"
    ),
    "header": "text of Latin letters, digits and signs, on one line",
}
"""What is right, by the formats that the declaration uses; `is_of_format` checks them."""

format_checker = FormatChecker(formats=())


@format_checker.checks("credential")
def _is_credential(value: Value) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(r"[!-~]+", value))


@format_checker.checks("account-id")
def _is_account_id(value: Value) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(r"[A-Za-z0-9_=-]{2,128}", value))


@format_checker.checks("date-time", raises=ValueError)
def _is_instant(value: Value) -> bool:
    return not isinstance(value, str) or bool(parse_instant(value))


@format_checker.checks("uri", raises=ValueError)
def _is_url_for_a_token(value: Value) -> bool:
    """Say whether a token may be sent there: encrypted, or to this machine."""
    if not isinstance(value, str):
        return True
    parts = urlsplit(value)
    host = parts.hostname or ""
    return (
        bool(re.fullmatch(r"[!-~]+", value))
        and _is_host(host)
        and parts.port != 0
        and not (parts.query or parts.fragment or parts.username or parts.password)
        and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS))
    )


def _is_host(host: str) -> bool:
    if ":" in host:
        return bool(IPv6Address(host))
    return len(host) <= MOST_CHARACTERS_OF_A_HOST and all(
        re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", label)
        for label in host.removesuffix(".").split(".")
    )


@format_checker.checks("header")
def _is_header(value: Value) -> bool:
    """Say whether a text can be the value of a header, which is Latin-1."""
    return not isinstance(value, str) or bool(
        re.fullmatch(r"[!-~\xa1-\xff](?:[ -~\xa1-\xff]*[!-~\xa1-\xff])?", value)
    )


def _text(text_format: str) -> th.StringType:
    """Return the type of a text of one of our `FORMATS`, or of the standard ones."""

    class Text(th.StringType):
        string_format = text_format

    return Text()


def _of_each_stream() -> Iterable[th.Property[Any]]:
    for stream in ENGAGEMENT_STREAMS:
        yield th.Property(
            f"{stream.name}_lookback_days",
            th.NumberType(minimum=0, maximum=3650),
            default=stream.default_lookback_days,
            title=f"{stream.title} lookback days",
            description=(
                f"How many days {stream.engagement} may stay open and still be found: Zoom lists "
                "it only after its end. The cost grows with the logarithm of this number."
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

DECLARED: Mapping[str, Declaration] = MappingProxyType(dict(CONFIG_SCHEMA["properties"]))
"""The tap's own settings by name; the SDK adds those of its capabilities to the schema."""

NOT_DECLARED: Mapping[str, Declaration] = MappingProxyType(
    {"user_agent": _text("header").to_dict()}
)
"""What the SDK reads without declaring it, and what is harmless."""


def settings_from(
    config: Mapping[str, Value], *, now: datetime, known: Iterable[str] = ()
) -> Settings:
    """Check a configuration in full and return its values.

    Args:
        config: the settings by name.
        now: the start of the run, in UTC.
        known: settings that others declare (the SDK's stream maps and so on).

    Raises:
        ConfigValidationError: with one line for each thing that is wrong.
    """
    required = CONFIG_SCHEMA["required"]
    given = {
        name: value
        for name, value in config.items()
        if value is not None and not (value == "" and name in required)
    }
    problems = [
        *_misfits(given),
        *_filter_problems(given),
        *_stream_map_problems(given),
        *_stream_map_config_problems(given),
        *_unknown_settings(given, known),
    ]
    if not problems:
        settings = _settings({**_defaults(), **given})
        problems = _contradictions(settings, now)
        if not problems:
            return settings
    summary = "The configuration is not valid"
    raise ConfigValidationError(summary, errors=problems, schema=CONFIG_SCHEMA)


def _defaults() -> dict[str, Any]:
    return {name: schema["default"] for name, schema in DECLARED.items() if "default" in schema}


def _settings(values: Mapping[str, Any]) -> Settings:
    """Give the values their types; they are known to fit the declaration."""
    account_ids = values.get("sub_account_ids")
    start, end, most = (
        values.get(name) for name in ("start_date", "end_date", "max_requests_per_run")
    )
    return Settings(
        account_id=values["account_id"],
        client_id=values["client_id"],
        client_secret=values["client_secret"],
        sub_account_ids=None if account_ids is None else tuple(dict.fromkeys(account_ids)),
        include_own_account=values["include_own_account"],
        start_date=max(parse_instant(start), BEFORE_ZOOM) if start else None,
        end_date=parse_instant(end) if end else None,
        lookbacks=MappingProxyType(
            {
                stream.name: timedelta(days=float(values[f"{stream.name}_lookback_days"]))
                for stream in ENGAGEMENT_STREAMS
            }
        ),
        filters=MappingProxyType(
            {stream.name: values[f"{stream.name}_filters"] for stream in ENGAGEMENT_STREAMS}
        ),
        requests_per_second=float(values["requests_per_second"]),
        max_concurrency=int(values["max_concurrency"]),
        max_requests_per_run=None if most is None else int(most),
        quiet_accounts=timedelta(hours=float(values["quiet_accounts_hours"])),
        mismatch_fails=values["on_count_mismatch"] == "fail",
        api_url=values["api_url"].rstrip("/"),
        token_url=values["token_url"].rstrip("/"),
        user_agent=values.get("user_agent") or "",
    )


# What is wrong with one setting, by its declaration


def _misfits(given: Mapping[str, Value]) -> list[str]:
    validator = Draft202012Validator(
        {
            "type": "object",
            "properties": {**DECLARED, **NOT_DECLARED},
            "required": CONFIG_SCHEMA["required"],
        },
        format_checker=format_checker,
    )
    lines = [line for error in validator.iter_errors(dict(given)) for line in _said(error, given)]
    return list(dict.fromkeys(lines))


def _said(error: ValidationError, given: Mapping[str, Value]) -> list[str]:
    """Say what an error of the validator means: the setting, the value, and what is right."""
    if not error.absolute_path:
        missing = [name for name in CONFIG_SCHEMA["required"] if name not in given]
        page = "copy it from the Zoom app's page 'App Credentials' into"
        file = "or into the file that --config names"
        return [
            f"{name}: is missing; {page} TAP_ZOOM_CC_{name.upper()}, {file}" for name in missing
        ]
    name = str(error.absolute_path[0])
    declaration = {**DECLARED, **NOT_DECLARED}[name]
    if error.instance == "":
        return [f"{name}: is empty; remove it, or set {what_is_right(declaration)}"]
    shown = f"'{excerpt(error.instance)}'"
    if len(error.absolute_path) > 1:
        return [f"{name}: {shown} is not {what_is_right(declaration['items'])}"]
    # A URL may hold a password.
    is_private = declaration.get("secret") or declaration.get("format") == "uri"
    is_text = error.validator == "type" and isinstance(error.instance, str)
    found = "" if is_private else f", not {'the text ' if is_text else ''}{shown}"
    return [f"{name}: must be {what_is_right(declaration)}{found}"]


def what_is_right(declaration: Declaration) -> str:
    """Say in words what a declaration takes."""
    types = declaration["type"]
    kind = next(name for name in ([types] if isinstance(types, str) else types) if name != "null")
    if "enum" in declaration:
        return " or ".join(declaration["enum"])
    if declaration.get("format") in FORMATS:
        return FORMATS[declaration["format"]]
    if kind == "array":
        return f"a list; each entry {what_is_right(declaration['items'])}"
    if kind in {"integer", "number"}:
        noun = "a whole number" if kind == "integer" else "a number"
        least, most = declaration.get("minimum"), declaration.get("maximum")
        if least is None:
            return f"{noun} above {declaration['exclusiveMinimum']} and at most {most}"
        return f"{noun} of at least {least}" if most is None else f"{noun} from {least} to {most}"
    return {"boolean": "true or false", "object": "an object of query parameters"}.get(kind, "text")


def _filter_problems(given: Mapping[str, Value]) -> list[str]:
    return [
        f"{stream.name}_filters.{line}"
        for stream in ENGAGEMENT_STREAMS
        if isinstance(values := given.get(f"{stream.name}_filters"), dict)
        for line in filters.problems(stream.name, values)
    ]


def _stream_map_problems(given: Mapping[str, Value]) -> list[str]:
    """Say which stream maps would do nothing: what they were to hide would be loaded as it is."""
    maps = given.get("stream_maps")
    problems = []
    for key, definition in maps.items() if isinstance(maps, dict) else ():
        options = definition if isinstance(definition, dict) else {}
        source = options.get("__source__", key)
        if key == "__else__":
            options = {key: definition}
        elif not isinstance(source, str):
            problems.append(f"stream_maps.{key}.__source__: must be the name of a stream")
        elif not any(fnmatch(name, source) for name in KEYS):
            option = "" if source == key else ".__source__"
            meant = filters.nearest(source, KEYS)
            problems.append(f"stream_maps.{key}{option}: there is no stream '{source}'{meant}")
        else:
            problems += [f"stream_maps.{key}.{line}" for line in _left_out(options, source)]
        if options.get("__else__") not in LEFT_OUT:
            problems.append(f"stream_maps.{key}: __else__ must be null")
    return problems


def _left_out(options: Mapping[str, Value], source: str) -> list[str]:
    """Say which fields a stream map is to leave out that none of its streams has."""
    fields = {
        field
        for stream in KEYS
        if fnmatch(stream, source)
        for field in SCHEMAS.get_schema(stream)["properties"]
    }
    return [
        f"{name}: there is no such field to leave out{filters.nearest(name, fields)}"
        for name, value in options.items()
        if value in LEFT_OUT and name not in fields and not name.startswith("__")
    ]


def _stream_map_config_problems(given: Mapping[str, Value]) -> list[str]:
    """Name the values for stream maps that are not there: a hash without its salt hides nothing.

    Meltano makes null of an environment variable that is not set.
    """
    values = given.get("stream_map_config")
    return [
        f"stream_map_config.{name}: is empty; set it, or the environment variable it is taken from"
        for name, value in (values.items() if isinstance(values, dict) else ())
        if value is None or value == ""
    ]


# What spans several settings


def _unknown_settings(config: Mapping[str, Value], known: Iterable[str]) -> list[str]:
    names = {*DECLARED, *known, *NOT_DECLARED}
    problems = []
    for name in config:
        if name in REFUSED_SETTINGS:
            problems.append(f"{name}: {REFUSED_SETTINGS[name]}")
        elif name not in names:
            problems.append(f"{name}: there is no such setting{filters.nearest(name, names)}")
    return problems


def _contradictions(settings: Settings, now: datetime) -> list[str]:
    """Say what would make a run that reads nothing, or not what was meant."""
    start, end = settings.start_date, settings.end_date
    problems = []
    if settings.sub_account_ids == () and not settings.include_own_account:
        problems.append(
            "sub_account_ids: is empty, so nothing would be read; name accounts, remove it to read "
            "every sub account, or set include_own_account"
        )
    if start and start > now:
        problems.append(
            f"start_date: {format_instant(start)} lies in the future; nothing could be read"
        )
    elif start and end and end <= start:
        problems.append(
            f"end_date: {format_instant(end)} is not after start_date {format_instant(start)}; "
            "nothing could be read"
        )
    elif end and not start and end <= now - LONGEST_WINDOW:
        problems.append(
            f"end_date: {format_instant(end)} lies more than 28 days back; set start_date as "
            "well, or accounts without a bookmark would not be read"
        )
    return problems

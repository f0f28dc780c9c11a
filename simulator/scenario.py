"""All that can be chosen about a simulated Zoom, as one tree of frozen dataclasses.

A scenario is plain data: it comes from a JSON file or from a test, and `dataclasses.replace` makes
a variation of it. Nothing here acts.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, get_args

import msgspec

from simulator.profile import Profile  # noqa: TC001 - msgspec reads the annotation

Stream = Literal["sms", "voice_calls"]
Endpoint = Literal["token", "accounts", "sms", "voice_calls"]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A datetime with an offset."""

Told = Literal[
    "instants",
    "instants_z",
    "instants_of_account",
    "clock_of_account_z",
    "clock_of_account",
    "days",
    "days_of_account",
    "unreadable",
    "nothing",
]
"""What an answer says of its range; `Readings` says what each means."""

STREAMS: tuple[Stream, ...] = get_args(Stream)

SCOPES = (
    "account:read:list_sub_accounts:master",
    "contact_center:read:sms_log:master",
    "contact_center:read:voice_call_log:master",
    "contact_center:read:sms_log:admin",
    "contact_center:read:voice_call_log:admin",
)
"""The granular scopes that reach every endpoint of the simulator, as Zoom's documents name them."""

FaultKind = Literal[
    "429_per_second",
    "429_daily",
    "500_json",
    "500_html",
    "502_html",
    "503_json",
    "503_html",
    "reset_before_body",
    "reset_inside_body",
    "byte_order_mark",
    "truncated_json",
    "invalid_json",
    "slow",
    "401_code_124",
    "401_status_false",
    "access_token_expired",
    "account_refuses",
    "redirect",
    "page_token_expired",
    "page_token_repeated",
    "page_repeated",
    "token_after_last_page",
    "missing_next_page_token",
    "missing_total_records",
    "total_too_high",
    "total_too_low",
    "duplicate_rows",
    "rows_shift",
    "new_field",
    "null_fields",
    "wrong_type",
    "other_value",
    "missing_engagement_id",
]
"""Every way of misbehaving; `simulator.faults` says what each does and when it can."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The error that an account answers instead of rows."""

    status: int = 403
    code: int = 200
    message: str = "No permission."


@dataclass(frozen=True, kw_only=True)
class Account:
    """One Zoom account and its engagements.

    ``sms`` and ``voice_calls`` are numbers of generated engagements. ``explicit_sms`` and
    ``explicit_voice_calls`` are rows given word by word, served beside the generated ones: each
    needs ``engagement_id``, ``start_time`` and ``end_time`` (with ``Z`` or an offset). A refusal
    stands for a stream whose every request is refused. ``listed`` says whether the account is
    among the sub accounts that Zoom lists. ``utc_offset_hours`` is the account's time zone.
    ``listed_until`` is when the account drops out of that list. With ``ignores_range`` every answer
    is for the last 24 hours, whatever was asked for. ``hours_shifted`` moves each range that is
    asked for (back, if negative), ``hours_answered`` keeps only its first hours; what an answer
    says of its range is what was answered.
    """

    id: str
    name: str = ""
    sms: int = 0
    voice_calls: int = 0
    explicit_sms: tuple[dict[str, Any], ...] = ()
    explicit_voice_calls: tuple[dict[str, Any], ...] = ()
    sms_refusal: Refusal | None = None
    voice_calls_refusal: Refusal | None = None
    listed: bool = True
    utc_offset_hours: float = 0.0
    listed_until: Moment | None = None
    ignores_range: bool = False
    hours_shifted: float = 0.0
    hours_answered: float | None = None

    def generated(self, stream: Stream) -> int:
        """Give the number of generated engagements of a stream."""
        return self.sms if stream == "sms" else self.voice_calls

    def explicit(self, stream: Stream) -> tuple[dict[str, Any], ...]:
        """Give the rows of a stream that the scenario holds word by word."""
        return self.explicit_sms if stream == "sms" else self.explicit_voice_calls

    def refusal(self, stream: Stream) -> Refusal | None:
        """Give the error that this account answers for a stream, if it refuses."""
        return self.sms_refusal if stream == "sms" else self.voice_calls_refusal


@dataclass(frozen=True, kw_only=True)
class Readings:
    """One reading of everything that Zoom's documents leave open.

    ``selects_on``: the time of an engagement that must lie between ``from`` and ``to``.
    ``from_inclusive``, ``to_inclusive``: whether an engagement at exactly ``from`` or ``to``
    belongs to the range. Whole days have no edge.
    ``order``: of the rows. ``month``: the longest range, in days or as a calendar month.
    ``days_only``: only the days of ``from`` and ``to`` are looked at, and both are whole.
    ``offset_ignored``: the written time is read as a wall clock in the account's own zone, whatever
    its ``Z`` or offset; answers are still written in the offset asked for.
    ``sms_times``: sms rows with ``Z`` in UTC, or in the offset of ``from`` as voice calls are.
    ``history_days_kept``: older engagements are gone, and the answer's ``from`` says so.
    ``days_answered``: of a longer range only its last days are answered, and the answer says so.
    ``range_told``: what an answer says of its range: instants as they were asked for (with their
    offset, or ``Z``), instants in UTC with ``Z``, instants in the account's own zone (with its
    offset; as its clock shows them, with a ``Z`` that means nothing; as its clock shows them,
    without anything), days, days in the account's own zone, what nobody can read, or nothing.
    ``seconds_between_pages``: None for a list that stands still while its pages are read. Else it
    lives: each page is cut out of the list as it is at that moment, and each request for a page
    comes so many simulated seconds after the one before.
    """

    selects_on: Literal["start", "end", "overlap"] = "start"
    from_inclusive: bool = True
    to_inclusive: bool = True
    order: Literal["start_ascending", "start_descending", "end_ascending", "shuffled"] = (
        "start_descending"
    )
    month: Literal[28, 30, 31, "calendar"] = "calendar"
    days_only: bool = False
    offset_ignored: bool = False
    sms_times: Literal["Z", "offset"] = "Z"
    history_days_kept: int | None = None
    days_answered: int | None = None
    range_told: Told = "instants"
    seconds_between_pages: int | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What Zoom allows, and how fast it answers. Times are in seconds.

    The two rate limits count requests to ``sms`` and ``voice_calls``, over all accounts; None means
    no limit. Every answer takes ``latency_seconds``. With ``one_live_token`` a new access token
    kills the one before it.
    """

    requests_per_second: int | None = None
    requests_per_day: int | None = None
    latency_seconds: float = 0.0
    page_token_seconds: float = 900.0
    access_token_seconds: int = 3600
    one_live_token: bool = False


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The simulated now: a fixed instant, or that of the machine's own clock.

    ``told`` says whether the ``Date`` of an answer tells it, rather than the machine's own clock.
    """

    now: Moment | None = None
    told: bool = False


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A way of misbehaving, and when.

    The requests that reach ``endpoint`` (and ``account_id``, if given), and to which the kind can
    apply at all, are counted from 1. The fault strikes at the numbers in ``requests`` if there are
    any, else with ``probability``, drawn from the scenario's seed; ``limit`` bounds how often.

    ``seconds`` is the delay of ``slow``; ``url`` where ``redirect`` points; ``headers`` whether a
    429 carries its headers; ``reset`` the ``X-RateLimit-Reset`` of ``429_per_second``: so many
    seconds from now by the machine's clock; ``refusal`` what ``account_refuses`` answers; ``by``
    how far ``total_too_high`` and ``total_too_low`` are off, and ``times`` by what
    ``total_too_high`` multiplies besides.
    """

    kind: FaultKind
    endpoint: Literal[Endpoint, "any"] = "any"
    account_id: str | None = None
    probability: float = 1.0
    requests: tuple[int, ...] = ()
    limit: int | None = None
    seconds: float = 5.0
    url: str = "http://127.0.0.1:9/elsewhere"
    headers: bool = True
    reset: float | None = None
    refusal: Refusal = Refusal()
    by: int = 1
    times: int = 1


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A simulated Zoom, whole.

    ``account_id`` is the account that owns the app; its own engagements are those of the account of
    that id in ``accounts``, and only the ordinary endpoints serve them. Generated engagements start
    between ``history_begin`` and ``history_end``. An engagement is visible once its end plus
    ``completion_delay_seconds`` has passed. With ``nulls`` off no value is null, as the document
    has it. ``scopes`` are those of the access token. A disabled app gets no token. ``profile``
    makes the accounts look like contact centers at work.
    """

    seed: int = 1
    account_id: str = "mAsTeRaCcOuNt000000000"
    client_id: str = "simulated_client_id"
    client_secret: str = "simulated_client_secret"
    accounts: tuple[Account, ...] = ()
    history_begin: Moment = datetime(2024, 1, 1, tzinfo=timezone.utc)
    history_end: Moment = datetime(2024, 2, 12, tzinfo=timezone.utc)
    completion_delay_seconds: int = 60
    nulls: bool = True
    readings: Readings = Readings()
    limits: Limits = Limits()
    clock: Clock = Clock()
    scopes: tuple[str, ...] = SCOPES
    faults: tuple[Fault, ...] = ()
    profile: Profile | None = None


def load(document: bytes) -> Scenario:
    """Read a scenario from JSON.

    Raises:
        ValueError: it is not JSON, a value is of the wrong type, or a name is unknown.
    """
    scenario = msgspec.json.decode(document, type=Scenario)
    _refuse_unknown(msgspec.json.decode(document), scenario, "scenario")
    return scenario


def dump(scenario: Scenario) -> bytes:
    """Write a scenario as JSON."""
    return msgspec.json.encode(scenario)


def _refuse_unknown(given: object, understood: object, where: str) -> None:
    """Refuse a name that decoding passed over: it would be a choice that has no effect."""
    if dataclasses.is_dataclass(understood) and isinstance(given, dict):
        known = {field.name for field in dataclasses.fields(understood)}
        unknown = sorted(given.keys() - known)
        if unknown:
            _refuse(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        for name, value in given.items():
            _refuse_unknown(value, getattr(understood, name), f"{where}.{name}")
    elif isinstance(understood, tuple) and isinstance(given, list):
        for number, (value, item) in enumerate(zip(given, understood, strict=True)):
            _refuse_unknown(value, item, f"{where}[{number}]")


def _refuse(message: str) -> None:
    raise ValueError(message)

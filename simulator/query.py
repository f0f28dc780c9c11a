"""What a request asks for: pure functions from its parameters to a range and filters.

The parameters are as strict as Zoom's document and text together: a value outside of an enum, a
list where one value belongs, a list in the wrong style and a parameter that the endpoint does not
have are all refused, so that a client cannot be wrong unnoticed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from simulator import errors
from simulator.instants import (
    DAY,
    UTC_OFFSET,
    UTC_Z,
    TimeFormat,
    month_later,
    offset_format,
    parse_written,
)
from simulator.row_maker import DIRECTIONS, DISTRIBUTIONS, NUMBER_TYPES, SUB_TYPES, TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from simulator.instants import WrittenTime
    from simulator.row_maker import Row
    from simulator.scenario import Account, Readings, Stream

PAGE_SIZE_DEFAULT = 10
PAGE_SIZE_MOST = 100
ACCOUNTS_PAGE_SIZE_DEFAULT = 30
ACCOUNTS_PAGE_SIZE_MOST = 300
NO_QUEUE = "none"

_LAST_SECOND = DAY - 1
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)

Parameters = list[tuple[str, str]]
"""Decoded names and values of a query string, in order."""


@dataclass(frozen=True)
class Rule:
    """What a filter's values may be, and which rows they let through.

    ``style``: one value, a comma-separated list, or a repeated parameter. ``of``: what of a row is
    compared with the values.
    """

    of: Callable[[Row], frozenset[str]]
    style: Literal["one", "comma", "repeated"] = "one"
    enum: frozenset[str] | None = None
    most: int | None = None
    unique: bool = False


def _values(*names: str) -> Callable[[Row], frozenset[str]]:
    """Give a function that collects a row's values under any of the names."""

    def collect(row: Row) -> frozenset[str]:
        found: set[str] = set()
        for name in names:
            value = row.get(name)
            found.update(value if isinstance(value, list) else [value] if value else [])
        return frozenset(found)

    return collect


def _nested(listed: str, *names: str) -> Callable[[Row], frozenset[str]]:
    """Give a function that collects values of the row's agents or queues."""
    collect = _values(*names)

    def collect_all(row: Row) -> frozenset[str]:
        return frozenset().union(*(collect(item) for item in row.get(listed) or ()))

    return collect_all


def _queues(name: str) -> Callable[[Row], frozenset[str]]:
    collect = _nested("queues", name)
    return lambda row: collect(row) if row.get("queues") else frozenset({NO_QUEUE})


_DIRECTION = Rule(_values("direction"), enum=frozenset(DIRECTIONS))
_COUNTRY = Rule(_values("country_name"), "repeated")
_CONSUMER = Rule(_values("consumer_number"))

FILTERS: dict[Stream, dict[str, Rule]] = {
    "sms": {
        "country_iso_codes": _COUNTRY,
        "direction": _DIRECTION,
        "user_id": Rule(_nested("agents", "user_id")),
        "consumer_number": _CONSUMER,
    },
    "voice_calls": {
        "types": Rule(_values("types"), "repeated", frozenset(TYPES)),
        "distribution": Rule(_values("distributions"), enum=frozenset(DISTRIBUTIONS)),
        "consumer_number": _CONSUMER,
        "direction": _DIRECTION,
        "user_ids": Rule(_nested("agents", "user_id"), "comma", most=20),
        "queue_ids": Rule(_queues("queue_id"), "comma", most=20),
        "cc_queue_ids": Rule(_queues("cc_queue_id"), "comma", most=20),
        "country_iso_codes": _COUNTRY,
        "number_types": Rule(
            _values("caller_number_type", "callee_number_type"), "repeated", frozenset(NUMBER_TYPES)
        ),
        "region_ids": Rule(_nested("agents", "user_region"), "comma", most=20, unique=True),
        "region_names": Rule(_nested("agents", "user_region"), "comma", most=20, unique=True),
        "team_ids": Rule(_nested("agents", "team_ids"), "comma", most=20, unique=True),
        "team_names": Rule(_nested("agents", "team_names"), "comma", most=20, unique=True),
        "sub_types": Rule(_values("sub_types"), "comma", frozenset(SUB_TYPES)),
    },
}
"""The filters of both endpoints; the id of one engagement is a selection of its own."""

_VIEW_TYPES = {"summary": False, "detail": True}


@dataclass(frozen=True)
class Query:
    """A request for engagements, checked as far as it can be without knowing the account.

    ``identity`` is what must not change while a page token is followed.
    """

    stream: Stream
    identity: tuple[tuple[str, str], ...]
    page_size: int
    page_token: str
    written: tuple[WrittenTime, WrittenTime] | None
    engagement_id: str | None
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    detail: bool = False


@dataclass(frozen=True)
class Range:
    """The instants that a request selects between, and how its answer writes times.

    ``begin`` and ``end`` are seconds since 1970 in UTC; each may belong to the range or not.
    ``label`` writes the answer's ``from`` and ``to``; ``times`` those of the rows.
    """

    begin: int
    end: int
    begin_inclusive: bool
    end_inclusive: bool
    label: TimeFormat
    times: TimeFormat


def parse_query(stream: Stream, parameters: Parameters) -> Query:
    """Check the parameters of an engagement endpoint.

    Raises:
        ApiError: as the document says, for the first parameter that is wrong.
    """
    given = _grouped(parameters)
    once = _taker(given)
    page_size = _number(once("page_size"), "page_size", PAGE_SIZE_DEFAULT, PAGE_SIZE_MOST)
    page_token = once("next_page_token") or ""
    written = _written(once("from"), once("to"))
    engagement_id = once("engagement_id")
    detail = False
    if stream == "voice_calls" and (view_type := once("view_type")) is not None:
        if view_type not in _VIEW_TYPES:
            raise errors.invalid_field("view_type")
        detail = _VIEW_TYPES[view_type]
    filters = {
        name: _filter_values(name, rule, given.pop(name))
        for name, rule in FILTERS[stream].items()
        if name in given
    }
    if given:
        raise errors.invalid_field(min(given))
    identity = tuple(sorted(pair for pair in parameters if pair[0] != "next_page_token"))
    return Query(stream, identity, page_size, page_token, written, engagement_id, filters, detail)


@dataclass(frozen=True)
class AccountsQuery:
    """A request for the list of sub accounts."""

    identity: tuple[tuple[str, str], ...]
    page_size: int
    page_token: str


def parse_accounts_query(parameters: Parameters) -> AccountsQuery:
    """Check the parameters of the account list.

    Its filters, and pages by number, are not played.

    Raises:
        ApiError: for the first parameter that is wrong.
    """
    given = _grouped(parameters)
    once = _taker(given)
    page_size = _number(
        once("page_size"), "page_size", ACCOUNTS_PAGE_SIZE_DEFAULT, ACCOUNTS_PAGE_SIZE_MOST
    )
    page_token = once("next_page_token") or ""
    if given:
        raise errors.invalid_field(min(given))
    identity = tuple(sorted(pair for pair in parameters if pair[0] != "next_page_token"))
    return AccountsQuery(identity, page_size, page_token)


def resolve_range(query: Query, readings: Readings, *, account: Account, now: int) -> Range:
    """Read ``from`` and ``to`` as instants, under one reading of what the document leaves open.

    Without ``from``, or where the account ignores it, the range is the 24 hours before now. The
    month is measured on the times as written. A ``to`` that is a bare date ends with that day.

    Args:
        query: the request.
        readings: how to read it.
        account: has a time zone, and may ignore the range.
        now: seconds since 1970, UTC.

    Raises:
        ApiError: the range runs backwards or is longer than a month.
    """
    times = UTC_OFFSET
    if query.written is None or account.ignores_range:
        begin, end = now - DAY, now
        label = UTC_OFFSET
        whole_days = False
    else:
        zone = round(account.utc_offset_hours * 3600)
        first, last = query.written
        _check_length(first, last, readings)
        whole_days = readings.days_only or first.form == "date"
        first_wall, last_wall = first.wall, last.wall
        if whole_days:
            first_wall -= first_wall % DAY
            last_wall += _LAST_SECOND - last_wall % DAY
        begin = first_wall - (zone if readings.offset_ignored else first.offset)
        end = last_wall - (zone if readings.offset_ignored else last.offset)
        begin, end = _answered_instead(begin, end, account)
        times = offset_format(first.offset)
        label = times if first.form == "offset" else UTC_Z
        if readings.offset_ignored:
            label = TimeFormat(zone, label.suffix)
    if query.stream == "sms" and readings.sms_times == "Z":
        times = UTC_Z
    first_kept = begin
    if readings.days_answered is not None:
        first_kept = max(first_kept, end - readings.days_answered * DAY)
    if readings.history_days_kept is not None:
        first_kept = max(first_kept, now - readings.history_days_kept * DAY)
        end = max(first_kept, end)
    return Range(
        first_kept,
        end,
        begin_inclusive=readings.from_inclusive or whole_days or first_kept > begin,
        end_inclusive=readings.to_inclusive or whole_days,
        label=label,
        times=times,
    )


def _answered_instead(begin: int, end: int, account: Account) -> tuple[int, int]:
    """Give the range that an account answers instead of the one that was asked for."""
    shift = round(account.hours_shifted * 3600)
    begin, end = begin + shift, end + shift
    if account.hours_answered is not None:
        end = min(end, begin + round(account.hours_answered * 3600))
    return begin, end


def _check_length(first: WrittenTime, last: WrittenTime, readings: Readings) -> None:
    end = last.wall - last.offset + first.offset
    if end < first.wall:
        raise errors.invalid_field("to")
    longest = (
        month_later(first.wall)
        if readings.month == "calendar"
        else first.wall + readings.month * DAY
    )
    if end > longest:
        raise errors.range_too_long()


def _written(begin: str | None, end: str | None) -> tuple[WrittenTime, WrittenTime] | None:
    """Read ``from`` and ``to``; ``to`` is needed with ``from``, and in the same form."""
    try:
        first = None if begin is None else parse_written(begin)
        last = None if end is None else parse_written(end)
    except ValueError as error:
        raise errors.bad_date() from error
    if first is None:
        return None
    if last is None:
        raise errors.invalid_field("to")
    if last.form != first.form:
        raise errors.bad_date()
    return first, last


def _grouped(parameters: Parameters) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    for name, value in parameters:
        given.setdefault(name, []).append(value)
    return given


def _taker(given: dict[str, list[str]]) -> Callable[[str], str | None]:
    """Give a function that takes a parameter out, which may stand there once."""

    def take(name: str) -> str | None:
        values = given.pop(name, None)
        if values is None:
            return None
        if len(values) > 1:
            raise errors.invalid_field(name)
        return values[0]

    return take


def _number(text: str | None, name: str, default: int, most: int) -> int:
    if text is None:
        return default
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= most:
        raise errors.invalid_field(name)
    return number


def _filter_values(name: str, rule: Rule, given: list[str]) -> tuple[str, ...]:
    if rule.style != "repeated" and len(given) > 1:
        raise errors.invalid_field(name)
    values: Iterable[str] = given[0].split(",") if rule.style == "comma" else given
    checked = tuple(values)
    if (
        not all(checked)
        or (rule.enum is not None and not rule.enum.issuperset(checked))
        or (rule.most is not None and len(checked) > rule.most)
        or (rule.unique and len(set(checked)) < len(checked))
    ):
        raise errors.invalid_field(name)
    return checked

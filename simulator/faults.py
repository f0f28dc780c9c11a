"""Every way in which the simulator misbehaves, and when it does.

Faults come in four phases of an answer: a delay before it, an answer instead of it, a page with
something wrong in it, and a body that is spoiled on its way. When a fault strikes is a matter of
counting and of the scenario's seed alone (`FaultSchedule`); what it does is one entry in
the table of its phase.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import RedirectResponse, Response

from simulator import errors, limits
from simulator.answers import CutResponse, NoResponse, error_response, html_response

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from simulator.pages import Page
    from simulator.scenario import Endpoint, Fault, FaultKind, Scenario


@dataclass(frozen=True)
class Exchange:
    """What a fault may know of a request. ``now`` is seconds since 1970, UTC."""

    endpoint: Endpoint
    account_id: str | None
    bearer: str
    page_token: str
    now: int


@dataclass(frozen=True)
class Strike:
    """A fault that strikes now, with randomness of its own."""

    fault: Fault
    random: Random


class FaultSchedule:
    """Decides which faults strike which requests."""

    def __init__(self, scenario: Scenario) -> None:
        self._plans = [
            _Plan(fault, Random(f"{scenario.seed}/fault/{number}"))
            for number, fault in enumerate(scenario.faults)
        ]

    def strikes(
        self, kinds: Collection[FaultKind], exchange: Exchange, page: Page | None = None
    ) -> Iterator[Strike]:
        """Give the faults among ``kinds`` that strike this request, in the scenario's order.

        A fault is only counted, and only strikes, where it can apply. Each is asked when the one
        before it has done its work.
        """
        for plan in self._plans:
            if (
                plan.fault.kind in kinds
                and plan.concerns(exchange)
                and _can_apply(plan.fault.kind, exchange, page)
                and plan.strikes_next()
            ):
                yield Strike(plan.fault, plan.random)


@dataclass
class _Plan:
    """One fault of the scenario, and what it has done so far."""

    fault: Fault
    random: Random
    seen: int = 0
    struck: int = 0

    def concerns(self, exchange: Exchange) -> bool:
        fault = self.fault
        return fault.endpoint in ("any", exchange.endpoint) and (
            fault.account_id is None or fault.account_id == exchange.account_id
        )

    def strikes_next(self) -> bool:
        fault = self.fault
        self.seen += 1
        if fault.requests:
            due = self.seen in fault.requests
        else:
            due = self.random.random() < fault.probability
        if not due or (fault.limit is not None and self.struck >= fault.limit):
            return False
        self.struck += 1
        return True


def _can_apply(kind: FaultKind, exchange: Exchange, page: Page | None) -> bool:
    if kind in ON_PAGE:
        return page is not None and ON_PAGE[kind].applies(page)
    if kind == "page_token_expired":
        return bool(exchange.page_token)
    if kind == "account_refuses":
        return exchange.endpoint in ("sms", "voice_calls")
    if kind in _OF_ACCESS_TOKENS:
        return exchange.endpoint != "token"
    return True


_OF_ACCESS_TOKENS = frozenset({"401_code_124", "401_status_false", "access_token_expired"})

DELAY: frozenset[FaultKind] = frozenset({"slow"})
"""Faults that only make the answer late."""


def _gateway_error(status: int, *, html: bool) -> Response:
    if html:
        page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>"
        return html_response(status, page)
    return error_response(errors.coded(status, status, "Internal error, please try again later."))


def _rate_limited(strike: Strike, exchange: Exchange) -> Response:
    fault = strike.fault
    if fault.kind == "429_daily":
        return error_response(limits.daily_limit(exchange.now, 30_000, headers=fault.headers))
    return error_response(limits.per_second_limit(10, headers=fault.headers, reset=fault.reset))


def _refused(strike: Strike, _: Exchange) -> Response:
    refusal = strike.fault.refusal
    return error_response(errors.coded(refusal.status, refusal.code, refusal.message))


def _page_token_expired(strike: Strike, _: Exchange) -> Response:
    other = strike.random.random() < 0.5  # noqa: PLR2004 - even odds
    return error_response(errors.page_token_expired(other_wording=other))


def _fixed(make: Callable[[], Response]) -> Callable[[Strike, Exchange], Response]:
    return lambda _strike, _exchange: make()


INSTEAD: dict[FaultKind, Callable[[Strike, Exchange], Response]] = {
    "429_per_second": _rate_limited,
    "429_daily": _rate_limited,
    "500_json": _fixed(lambda: _gateway_error(500, html=False)),
    "500_html": _fixed(lambda: _gateway_error(500, html=True)),
    "502_html": _fixed(lambda: _gateway_error(502, html=True)),
    "503_json": _fixed(lambda: _gateway_error(503, html=False)),
    "503_html": _fixed(lambda: _gateway_error(503, html=True)),
    "reset_before_body": _fixed(NoResponse),
    "401_code_124": _fixed(lambda: error_response(errors.access_token_refused())),
    "401_status_false": _fixed(
        lambda: error_response(
            errors.ApiError(
                401, {"status": False, "errorCode": 401, "errorMessage": "Invalid access token."}
            )
        )
    ),
    "access_token_expired": _fixed(
        lambda: error_response(errors.access_token_refused("Access token is expired."))
    ),
    "account_refuses": _refused,
    "redirect": lambda strike, _: RedirectResponse(strike.fault.url, 302),
    "page_token_expired": _page_token_expired,
}
"""Faults that answer in place of the endpoint, whatever the request was."""


@dataclass(frozen=True)
class _PageFault:
    """A fault within a page: what it does, and to which pages it can happen."""

    spoil: Callable[[Page, Strike], None]
    applies: Callable[[Page], bool]


def _always(_: Page) -> bool:
    return True


def _has_rows(page: Page) -> bool:
    return bool(page.rows)


def _has_engagements(page: Page) -> bool:
    return bool(page.rows) and page.listing.key != "accounts"


def _is_last(page: Page) -> bool:
    return page.next_offset is None


def _is_later_with_rows(page: Page) -> bool:
    return page.offset > 0 and bool(page.rows)


def _repeat_token(page: Page, _: Strike) -> None:
    page.same_token = True


def _repeat_page(page: Page, _: Strike) -> None:
    page.next_offset = page.offset


def _lead_on(page: Page, _: Strike) -> None:
    page.next_offset = page.listing.size


def _drop_token(page: Page, _: Strike) -> None:
    page.without_token = True


def _drop_total(page: Page, _: Strike) -> None:
    page.total_records = None


def _raise_total(page: Page, strike: Strike) -> None:
    page.total_records = page.listing.size * strike.fault.times + strike.fault.by


def _lower_total(page: Page, strike: Strike) -> None:
    page.total_records = max(0, page.listing.size - strike.fault.by)


def _duplicate(page: Page, strike: Strike) -> None:
    """Show a row twice: one of this page, or the last one of the page before it."""
    if page.offset > 0 and strike.random.random() < 0.5:  # noqa: PLR2004 - even odds
        page.rows[:0] = page.listing.rows(page.offset - 1, page.offset)
    else:
        page.rows.append(strike.random.choice(page.rows))


def _shift(page: Page, strike: Strike) -> None:
    """Move one row across the page's edge: one is skipped, and another may come twice.

    Nothing but this page is wrong: who reads the listing again gets all of it.
    """
    follows = page.next_offset
    if strike.random.random() < 0.5:  # noqa: PLR2004 - even odds
        page.turn_to(page.offset + 1)
        return
    page.turn_to(page.offset - 1)
    page.next_offset = follows
    del page.rows[page.page_size :]
    if follows is None:
        del page.rows[page.listing.size - page.offset :]


def _edit_row(edit: Callable[[dict[str, Any]], None]) -> Callable[[Page, Strike], None]:
    """Give a fault that edits one row of the page."""

    def spoil(page: Page, strike: Strike) -> None:
        number = strike.random.randrange(len(page.rows))
        row = msgspec.json.decode(page.rows[number], type=dict[str, Any])
        edit(row)
        page.rows[number] = msgspec.json.encode(row)

    return spoil


def _add_fields(row: dict[str, Any]) -> None:
    row["new_field"] = {"since": "today"}
    for value in row.values():
        if isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    item["new_nested_field"] = 1


def _null_fields(row: dict[str, Any]) -> None:
    for name in row.keys() - {"engagement_id", "start_time", "end_time"}:
        row[name] = None


def _write_numbers_as_text(row: dict[str, Any]) -> None:
    """Give numbers as strings, and where there are none the direction as a number."""
    numbers = [name for name, value in row.items() if type(value) is int]
    for name in numbers:
        row[name] = str(row[name])
    if not numbers:
        row["direction"] = 1


def _change_value(row: dict[str, Any]) -> None:
    """Give another version of the row."""
    row["consumer_display_name"] = "Another Name"


def _drop_id(row: dict[str, Any]) -> None:
    row.pop("engagement_id", None)


ON_PAGE: dict[FaultKind, _PageFault] = {
    "page_token_repeated": _PageFault(_repeat_token, lambda page: bool(page.asked_with)),
    "page_repeated": _PageFault(_repeat_page, _has_rows),
    "token_after_last_page": _PageFault(_lead_on, _is_last),
    "missing_next_page_token": _PageFault(_drop_token, _is_last),
    "missing_total_records": _PageFault(_drop_total, _always),
    "total_too_high": _PageFault(_raise_total, _always),
    "total_too_low": _PageFault(_lower_total, _always),
    "duplicate_rows": _PageFault(_duplicate, _has_rows),
    "rows_shift": _PageFault(_shift, _is_later_with_rows),
    "new_field": _PageFault(_edit_row(_add_fields), _has_engagements),
    "null_fields": _PageFault(_edit_row(_null_fields), _has_engagements),
    "wrong_type": _PageFault(_edit_row(_write_numbers_as_text), _has_engagements),
    "other_value": _PageFault(_edit_row(_change_value), _has_engagements),
    "missing_engagement_id": _PageFault(_edit_row(_drop_id), _has_engagements),
}
"""Faults within a page that is otherwise right. ``page_token_repeated`` answers a page token with
that very token again, so that the same page follows for ever if the fault strikes for ever;
``page_repeated`` does so with new tokens."""


def _truncate(body: bytes) -> Response:
    return Response(body[: len(body) // 2], media_type="application/json")


def _garble(body: bytes) -> Response:
    return Response(body.replace(b":", b"=", 1), media_type="application/json")


ON_BODY: dict[FaultKind, Callable[[bytes], Response]] = {
    "truncated_json": _truncate,
    "invalid_json": _garble,
    "byte_order_mark": lambda body: Response(BOM_UTF8 + body, media_type="application/json"),
    "reset_inside_body": lambda body: CutResponse(body, media_type="application/json"),
}
"""Faults that spoil the body of a good answer."""

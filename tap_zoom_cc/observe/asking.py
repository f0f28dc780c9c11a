"""How a log is asked while it is observed: one page of any range, and nothing is hidden.

Requests leave as those of a sync do, with its token, at its pace, and sent again by its rules. Only
the settings' filters are left out, and `from` and `to` may be written in any offset.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypedDict

import msgspec
from typing_extensions import override

from tap_zoom_cc.observe.sightings import OK, Engagement, Seen
from tap_zoom_cc.zoom.answers import date_of, read_answer
from tap_zoom_cc.zoom.engagement_log import EngagementLogStream
from tap_zoom_cc.zoom.errors import AnswerError
from tap_zoom_cc.zoom.instants import parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_zoom_cc.engagements import EngagementStream
    from tap_zoom_cc.observe.sightings import Asked
    from tap_zoom_cc.run.settings import FilterValue
    from tap_zoom_cc.services import Services
    from tap_zoom_cc.sync.plan import Account
    from tap_zoom_cc.zoom.api import ZoomApi
    from tap_zoom_cc.zoom.pagination import Page


class AskedContext(TypedDict):
    """What a request is about, as the stream is told."""

    account_id: str
    own: bool
    asked: Asked


@dataclass
class Traffic:
    """What all answers have in common: statuses with codes, and headers about limits."""

    statuses: Counter[tuple[int, int | None]] = field(default_factory=Counter)
    headers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def note(self, response: requests.Response, code: int | None) -> None:
        """Note an answer."""
        self.statuses[response.status_code, code] += 1
        for name, value in response.headers.items():
            if name.lower().startswith("x-ratelimit") or name.lower() == "retry-after":
                self.headers[name.lower()].append(value)


class ObservedStream(EngagementLogStream):
    """An engagement stream of the tap, asked without its filters."""

    def __init__(
        self, tap: Tap, stream: EngagementStream, services: Services, traffic: Traffic
    ) -> None:
        """Observe a stream.

        Args:
            tap: for the SDK.
            stream: says which endpoint, and what is asked for besides filters.
            services: what the run shares.
            traffic: takes note of each answer.
        """
        filters = services.settings.filters[stream.name]
        self._services = services
        self._traffic = traffic
        self._besides_filters = {
            name: value for name, value in stream.query().items() if name not in filters
        }
        self._date: datetime | None = None
        self.rows_key = stream.rows_key
        super().__init__(tap, name=stream.name, path=stream.path)

    @property
    @override
    def zoom(self) -> ZoomApi:
        return self._services.zoom

    @override
    def query(self) -> Mapping[str, FilterValue]:
        return self._besides_filters

    @override
    def where(self, context: Context | None) -> str:
        """Return the stream alone: what is said of an observation names no account."""
        return self.name

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, object]:
        asked: Asked = (context or {})["asked"]
        begin, end = asked.written
        return {
            "from": begin,
            "to": end,
            "page_size": asked.page_size,
            **self.query(),
            "next_page_token": asked.page_token or None,
        }

    @override
    def validate_response(self, response: requests.Response) -> None:
        self._date = date_of(response)
        is_error = response.status_code != OK
        code = read_answer(response, datetime.now(timezone.utc)).code if is_error else None
        self._traffic.note(response, code)
        super().validate_response(response)

    def see(self, account: Account, asked: Asked) -> Seen:
        """Ask for one page, and return what was seen of the answer that settled it.

        Raises:
            RunError: if nothing can be read at all.
            StoppedError: if the run is to end.
        """
        context = AskedContext(account_id=account.account_id, own=account.own, asked=asked)
        pages: list[Page] = []

        def take_in(page: Page) -> bool:
            pages[:] = [page]
            return True

        try:
            self.next_page(context, self.get_new_paginator(), take_in)
        except AnswerError as error:
            return Seen(asked, error.answer.status, error.answer.code, date=self._date)
        return _seen(asked, pages[0], self._date)


def _seen(asked: Asked, page: Page, date: datetime | None) -> Seen:
    rows = [engagement(row) for row in page.rows or []]
    return Seen(
        asked,
        OK,
        rows=tuple(row for row in rows if row is not None),
        token=page.next_page_token,
        total=page.total_records,
        told=(_text(page.begin), _text(page.end)),
        date=date,
    )


def _text(told: object) -> str | None:
    return None if told is None else str(told)


def engagement(row: msgspec.Raw) -> Engagement | None:
    """Return the engagement in a row; none if it has no ID, or no start and end."""
    try:
        values = msgspec.json.decode(row, type=dict[str, object])
        start, end = str(values.pop("start_time")), str(values.pop("end_time"))
        return Engagement(
            row_id=str(values["engagement_id"]),
            start=parse_instant(start),
            end=parse_instant(end),
            zone=start[len("2026-01-31T00:00:00") :],
            values=values,
        )
    except (KeyError, ValueError, msgspec.MsgspecError, RecursionError):
        return None

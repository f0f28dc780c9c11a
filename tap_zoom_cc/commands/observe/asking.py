"""How a log is asked while it is observed: one page of any range, and nothing is hidden.

Requests leave as those of a sync do, with its token, at its pace, and sent again by its rules. Only
the settings' filters are left out, and `from` and `to` may be written in any offset.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from tap_zoom_cc.commands.observe.sightings import OK, Engagement, Seen
from tap_zoom_cc.zoom.answers import read_answer
from tap_zoom_cc.zoom.errors import AnswerError
from tap_zoom_cc.zoom.instants import date_of, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from tap_zoom_cc.commands.observe.sightings import Asked
    from tap_zoom_cc.run.settings import FilterValue
    from tap_zoom_cc.zoom.client import Client
    from tap_zoom_cc.zoom.pages import Account, EngagementLog, Page


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


class ObservedLog:
    """A log of the tap, asked without its filters."""

    def __init__(
        self,
        log: EngagementLog,
        filters: Mapping[str, FilterValue],
        client: Client,
        traffic: Traffic,
    ) -> None:
        """Observe a log.

        Args:
            log: says which endpoint, and what is asked for besides filters.
            filters: are left out.
            client: sends the requests.
            traffic: takes note of each answer.
        """
        self._log = replace(
            log,
            parameters={
                name: value for name, value in log.parameters.items() if name not in filters
            },
        )
        self._client = client
        self._traffic = traffic
        self._date: datetime | None = None

    def _note(self, response: requests.Response) -> None:
        self._date = date_of(response)
        is_error = response.status_code != OK
        code = read_answer(response, datetime.now(timezone.utc)).code if is_error else None
        self._traffic.note(response, code)

    def see(self, account: Account, asked: Asked) -> Seen:
        """Ask for one page, and return what was seen of the answer that settled it.

        Raises:
            RunError: if nothing can be read at all.
            StoppedError: if the run is to end.
        """
        begin, end = asked.written
        request = self._log.request(account, asked.begin, asked.end).with_parameters(
            {
                "from": begin,
                "to": end,
                "page_size": asked.page_size,
                "next_page_token": asked.page_token or None,
            }
        )
        # What is said of an observation names no account.
        request = replace(request, where=self._log.name)
        try:
            page = self._client.get(request, self._log.reader.read, notice=self._note)
        except AnswerError as error:
            return Seen(asked, error.answer.status, error.answer.code, date=self._date)
        return _seen(asked, page, self._date)


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

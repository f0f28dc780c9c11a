"""How a log is asked while it is observed: one page of any range, and nothing is hidden.

Requests leave as those of a sync do, with its token, at its pace, and sent again by its rules. But
``from`` and ``to`` may be written in any offset, and no more are sent than were promised.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from tap_zoom_cc.commands.observe.sightings import Engagement, Seen
from tap_zoom_cc.zoom.answers import read_answer
from tap_zoom_cc.zoom.errors import AnswerError
from tap_zoom_cc.zoom.instants import parse_instant
from tap_zoom_cc.zoom.rules import OK

if TYPE_CHECKING:
    import requests

    from tap_zoom_cc.commands.observe.sightings import Asked
    from tap_zoom_cc.zoom.client import Client
    from tap_zoom_cc.zoom.pages import Account, EngagementLog, Page

MOST_REQUESTS = 25
"""To the logs of all accounts together, with those that are sent again."""


class NoRequestLeftError(Exception):
    """As many requests were sent as an observation may send."""


@dataclass
class Traffic:
    """All requests of an observation: how many are left, and what their answers have in common."""

    client: Client
    left: int = MOST_REQUESTS
    statuses: Counter[tuple[int, int | None]] = field(default_factory=Counter)
    """How often each HTTP status came, with Zoom's code."""
    headers: dict[str, str] = field(default_factory=dict)
    """The last value of each header about limits."""

    def ask(self, log: EngagementLog, account: Account, asked: Asked) -> Seen | None:
        """Ask a log for one page, and return what was seen of the answer that settled it.

        Returns:
            None if no request was left for it.

        Raises:
            RunError: if nothing can be read at all.
            StoppedError: if the run is to end.
        """
        begin, end = asked.written
        request = log.request(account, asked.window.begin, asked.window.end).with_parameters(
            {"from": begin, "to": end, "next_page_token": asked.page_token or None}
        )
        # What is said of an observation names no account.
        request = replace(request, where=log.name)
        try:
            self._spend()
            page = self.client.get(
                request, log.reader.read, before_retry=self._spend, notice=self._note
            )
        except NoRequestLeftError:
            return None
        except AnswerError as error:
            return Seen(asked, error.answer.status, error.answer.code)
        return seen_in(page, asked)

    def _spend(self) -> None:
        if not self.left:
            raise NoRequestLeftError
        self.left -= 1

    def _note(self, response: requests.Response) -> None:
        is_error = response.status_code != OK
        code = read_answer(response, datetime.now(timezone.utc)).code if is_error else None
        self.statuses[response.status_code, code] += 1
        for name, value in response.headers.items():
            if name.lower().startswith("x-ratelimit") or name.lower() == "retry-after":
                self.headers[name.lower()] = value


def seen_in(page: Page, asked: Asked) -> Seen:
    """Return what is seen in a page that was asked for."""
    rows = [_engagement(row) for row in page.rows or []]
    begin, end = (None if told is None else str(told) for told in (page.begin, page.end))
    return Seen(
        asked,
        OK,
        rows=tuple(row for row in rows if row is not None),
        token=page.next_page_token,
        total=page.total_records,
        told=(begin, end),
    )


class _Row(msgspec.Struct):
    engagement_id: str
    start_time: str
    end_time: str


def _engagement(row: msgspec.Raw) -> Engagement | None:
    """Return the engagement in a row; none if it has no ID, or no start and end."""
    try:
        read = msgspec.json.decode(row, type=_Row)
        start, end = parse_instant(read.start_time), parse_instant(read.end_time)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return None
    return Engagement(read.engagement_id, start, end, read.start_time[len("2026-01-31T00:00:00") :])

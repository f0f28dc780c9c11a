"""A log that is observed: how it is asked, and what is seen in its answers.

Requests leave as those of a sync do, with its token, at its pace, and sent again by its rules. But
``from`` and ``to`` may be written in any offset, and no more are sent than were promised.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from tap_zoom_cc.sync.windows import LONGEST_REQUEST, Window
from tap_zoom_cc.zoom.answers import read_answer
from tap_zoom_cc.zoom.errors import AnswerError
from tap_zoom_cc.zoom.instants import BEFORE_ZOOM, parse_instant
from tap_zoom_cc.zoom.rules import OK

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from tap_zoom_cc.zoom.client import Client
    from tap_zoom_cc.zoom.pages import Account, EngagementLog, Page

MOST_REQUESTS = 25
"""To the logs of all accounts together, with those that are sent again."""

Purpose: TypeAlias = Literal["base", "range", "width", "history", "living"]
"""Why a request is sent: the verdict for which its answer is meant. Others may use it too."""

UTC_OFFSET = timedelta(0)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a page of a range; ``from`` and ``to`` are written in ``offset`` from UTC."""

    purpose: Purpose
    window: Window
    offset: timedelta = UTC_OFFSET
    page_token: str = ""

    @property
    def written(self) -> tuple[str, str]:
        """``from`` and ``to`` as they stand in the request."""
        zone = timezone(self.offset)
        begin, end = self.window.begin.astimezone(zone), self.window.end.astimezone(zone)
        # isoformat and not the tap's own form: other offsets than UTC are asked for here.
        return begin.isoformat(), end.isoformat()


@dataclass(frozen=True, slots=True)
class Engagement:
    """A row: its ID, and its times in UTC."""

    row_id: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer. ``told`` is the range that it names, ``token`` leads to the next page."""

    asked: Asked
    status: int
    code: int | None = None
    rows: tuple[Engagement, ...] = ()
    token: str | None = None
    total: int | None = None
    told: tuple[str | None, ...] = (None, None)

    @property
    def is_page(self) -> bool:
        """Whether it is the page that was asked for."""
        return self.status == OK

    @property
    def in_range(self) -> list[Engagement]:
        """The engagements of about the time that was asked for, within two days."""
        margin = timedelta(days=2)
        begin, end = self.asked.window.begin - margin, self.asked.window.end + margin
        return [row for row in self.rows if begin <= row.end and row.start <= end]


@dataclass
class Log:
    """One log of one account: how it is asked, and what has been seen of it.

    ``ask_for`` returns None when no request is left; ``present`` is the end of all ranges.
    """

    name: str
    ask_for: Callable[[Asked], Seen | None]
    present: datetime
    seen: list[Seen] = field(default_factory=list)

    def ask(self, asked: Asked) -> Seen | None:
        """Ask, and keep what was seen; nothing if no request is left."""
        answer = self.ask_for(asked)
        if answer is not None:
            self.seen.append(answer)
        return answer

    def ask_for_newest(self) -> None:
        """Ask for what is asked first: the newest engagements, in as long a range as is sure."""
        self.ask(Asked("base", Window(self.present - LONGEST_REQUEST, self.present)))

    def of(self, *purposes: Purpose) -> list[Seen]:
        """Return the pages that were asked for these purposes, in order."""
        return [each for each in self.seen if each.is_page and each.asked.purpose in purposes]

    @property
    def size(self) -> int:
        """How many engagements its first range has; -1 if it could not be read."""
        return max((max(page.total or 0, len(page.rows)) for page in self.of("base")), default=-1)

    @property
    def is_readable(self) -> bool:
        """Whether its first range could be read."""
        return self.size >= 0

    @property
    def refusal(self) -> str:
        """The HTTP status, and Zoom's code, that its first range was answered with."""
        if not self.seen or not self.seen[0].status:
            return "nothing"
        code = self.seen[0].code
        return f"HTTP {self.seen[0].status}{'' if code is None else f', code {code}'}"


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
        """Ask a log for one page; return what was seen in the end, None if no request was left.

        Raises:
            RunError: if nothing can be read at all.
            StoppedError: if the run is to end.
        """
        request = log.request(account, asked.window.begin, asked.window.end)
        begin, end = asked.written
        parameters = {"from": begin, "to": end, "next_page_token": asked.page_token or None}
        # What is said of an observation names no account.
        request = replace(request, parameters={**request.parameters, **parameters}, where=log.name)
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
            if name.lower().startswith(("x-ratelimit", "retry-after")):
                self.headers[name.lower()] = value


class _Row(msgspec.Struct):
    engagement_id: str
    start_time: str
    end_time: str


def seen_in(page: Page, asked: Asked) -> Seen:
    """Return what is seen in a page: of its rows those with an ID, a start and an end.

    A program that has no time may write the year 1: what lies before Zoom is no time of a row.
    """
    rows = []
    for raw in page.rows or []:
        try:
            row = msgspec.json.decode(raw, type=_Row)
            start, end = parse_instant(row.start_time), parse_instant(row.end_time)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            continue
        if min(start, end) >= BEFORE_ZOOM:
            rows.append(Engagement(row.engagement_id, start, end))
    return Seen(
        asked,
        OK,
        rows=tuple(rows),
        token=page.next_page_token,
        total=page.total_records,
        told=tuple(None if told is None else str(told) for told in (page.begin, page.end)),
    )

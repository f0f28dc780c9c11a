"""Pages: how they are asked for, read once each, and followed by ``next_page_token`` to the end.

What happens in the wild (seen on sibling endpoints): a token although nothing follows, no token key
on the last page, the same rows again for a new token. So an empty page ends a range, and so do two
pages in a row without anything new; whether rows are missing is decided by their count. An empty
page that announces no count does not end it by itself: nothing would tell that rows follow.
"""

from __future__ import annotations

import mmap
from codecs import BOM_UTF8
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import quote

import msgspec
from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from tap_zoom_cc.zoom import json_text
from tap_zoom_cc.zoom.instants import format_instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import requests

    from tap_zoom_cc.zoom.rules import Condition

PAGE_SIZE = 100
"""The most rows that these endpoints give in a page (document)."""

PAGES_WITHOUT_NEWS = 2

LARGE_BODY_BYTES = 32 * 1024
"""A body from this size on is kept in memory that goes back to the system when it is let go of.

Rows keep their page's body until they are emitted. Ten threads that take such bodies from the
allocator's heaps leave some 50 MB there that nobody uses (measured with glibc).
"""


@dataclass(frozen=True, slots=True)
class Account:
    """An account to read.

    ``own`` says that it owns the app and is read through the ordinary endpoints, ``listed`` that
    Zoom's list named it, rather than the settings. ``conditions`` are what holds of it for the
    rules, until it has answered in this run.
    """

    account_id: str
    own: bool = False
    listed: bool = False
    conditions: frozenset[Condition] = frozenset()


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, and about whom.

    ``path`` follows ``api_url``. A parameter that is None is left out, and one that is a list is
    repeated. ``where`` names stream and account in messages. ``conditions`` are what holds of the
    account for the rules, until it has answered in this run.
    """

    path: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    where: str = ""
    account_id: str = ""
    conditions: frozenset[Condition] = frozenset()


class Page(Protocol):
    """One page of an answer; rows are still undecoded JSON."""

    rows: list[msgspec.Raw] | None
    next_page_token: str | None
    total_records: int | None
    begin: object
    end: object


class PageReader:
    """Decodes the envelope of a page. One decoder per endpoint, shared by all threads."""

    def __init__(self, rows_key: str) -> None:
        """Read rows from that key of the answer."""
        self._rows_key = rows_key
        self._names = (rows_key, "next_page_token", "total_records", "from", "to")
        page = msgspec.defstruct(
            "Page",
            [
                ("rows", list[msgspec.Raw] | None, msgspec.field(name=rows_key)),
                ("next_page_token", object, None),
                ("total_records", int | None, None),
                ("begin", object, msgspec.field(default=None, name="from")),
                ("end", object, msgspec.field(default=None, name="to")),
            ],
        )
        self._decoder: msgspec.json.Decoder[Page] = msgspec.json.Decoder(
            cast("type[Page]", page), strict=False
        )

    def read(self, response: requests.Response) -> Page:
        """Decode a response's envelope.

        Raises:
            msgspec.MsgspecError: if the body is no such page.
            ValueError: if it is no UTF-8, or leads on from a page without rows.
        """
        with response.raw as raw:  # Read already, and closed here to keep the body once only.
            body = raw.read().removeprefix(BOM_UTF8)
        kept: bytes | memoryview = body
        if len(body) >= LARGE_BODY_BYTES:
            pages = mmap.mmap(-1, len(body))
            pages.write(body)
            kept = memoryview(pages)
        try:
            page = self._decoder.decode(kept)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, RecursionError):
            # A value that msgspec cannot pass over is for the row's own decoder to judge.
            page = self._read_slowly(body)
        token = cast("object", page.next_page_token)
        if token and not isinstance(token, str):
            raise ValueError("next_page_token is neither a text nor empty")
        # What other languages take for empty, such as 0 and false, can only mean the end, too.
        page.next_page_token = page.next_page_token or None
        if page.rows is None and page.next_page_token and page.total_records is None:
            raise ValueError("the answer names a next page but neither rows nor their total")
        return page

    def _read_slowly(self, body: bytes) -> Page:
        """Read a page whose rows are left as they came: they are in the page's third level."""
        members = json_text.read(body, levels=2)
        if not isinstance(members, dict):
            raise ValueError("the answer is no JSON object")  # noqa: TRY004 (it is the answer's fault)
        rows = members.get(self._rows_key)
        envelope = {name: members[name] for name in self._names if name in members}
        if isinstance(rows, list):
            envelope[self._rows_key] = []
        try:
            page = self._decoder.decode(msgspec.json.encode(json_text.repaired(envelope)))
        except RecursionError as error:
            raise ValueError("the answer's range is nested too deeply to be one") from error
        if isinstance(rows, list):
            page.rows = [msgspec.Raw(msgspec.json.encode(json_text.repaired(row))) for row in rows]
        return page


class NextPageTokenPaginator(BaseAPIPaginator[str | None]):
    """Follows ``next_page_token`` through the pages of one range; keeps the page read last."""

    def __init__(self, reader: PageReader) -> None:
        """Start before the first page."""
        super().__init__(None)
        self.reader = reader
        self._response: requests.Response | None = None
        self._page: Page | None = None
        self.pages_without_news = 0

    def read(self, response: requests.Response) -> Page:
        """Return the page in a response, decoded once.

        Raises:
            msgspec.MsgspecError, ValueError: if the body is no such page.
        """
        if self._page is None or response is not self._response:
            self._response, self._page = response, self.reader.read(response)
        return self._page

    @override
    def has_more(self, response: requests.Response) -> bool:
        page = self.read(response)
        may_lead_on = bool(page.rows) or page.total_records is None
        return may_lead_on and self.pages_without_news < PAGES_WITHOUT_NEWS

    @override
    def get_next(self, response: requests.Response) -> str | None:
        token = self.read(response).next_page_token
        return token if token != self.current_value else None


@dataclass(frozen=True, slots=True)
class EngagementLog:
    """One endpoint: the stream's name, the path, what every request asks for, and its pages."""

    name: str
    path: str
    parameters: Mapping[str, object]
    reader: PageReader

    def where(self, account_id: str) -> str:
        """Return stream and account for a message."""
        return f"{self.name}, account {account_id}"

    def request(self, account: Account, begin: datetime, end: datetime) -> Request:
        """Return the request for the first page of a range.

        Args:
            account: whose engagements.
            begin: in UTC and whole seconds.
            end: in UTC and whole seconds.
        """
        # The account that owns the app is asked through the ordinary endpoints.
        scope = "" if account.own else f"/accounts/{quote(account.account_id, safe='')}"
        return Request(
            path=self.path.replace("/accounts/{account_id}", scope),
            parameters={"from": format_instant(begin), "to": format_instant(end)}
            | dict(self.parameters),
            where=self.where(account.account_id),
            account_id=account.account_id,
            conditions=account.conditions,
        )

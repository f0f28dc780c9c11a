"""How a log endpoint of engagements is asked: values, made when a sync is planned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from tap_zoom_cc.zoom.client import Request
from tap_zoom_cc.zoom.instants import format_instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tap_zoom_cc.zoom.pagination import NextPageTokenPaginator, PageReader
    from tap_zoom_cc.zoom.rules import Condition

PAGE_SIZE = 100
"""The most rows that these endpoints give in a page (document)."""

SCOPE = "/accounts/{account_id}"
"""What a path begins with for a sub account; the account that owns the app is asked without it."""


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
class EngagementLog:
    """One endpoint: the stream's name, the path, what every request asks for, and its paginator.

    The paginator has not begun; each reading of a range takes one of its own from it.
    """

    name: str
    path: str
    parameters: Mapping[str, object]
    paginator: NextPageTokenPaginator

    @property
    def reader(self) -> PageReader:
        """What reads a page of it."""
        return self.paginator.reader

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
        scope = "" if account.own else f"/accounts/{quote(account.account_id, safe='')}"
        return Request(
            path=f"{scope}{self.path.removeprefix(SCOPE)}",
            parameters={"from": format_instant(begin), "to": format_instant(end)}
            | dict(self.parameters),
            where=self.where(account.account_id),
            account_id=account.account_id,
            conditions=account.conditions,
        )

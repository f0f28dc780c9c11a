"""How the log endpoints of engagements are asked: account, range of time, filters."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import quote

from typing_extensions import override

from tap_zoom_cc.zoom.client import ZoomStream
from tap_zoom_cc.zoom.instants import format_instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from singer_sdk.helpers.types import Context
    from typing_extensions import NotRequired

    from tap_zoom_cc.run.settings import FilterValue

PAGE_SIZE = 100
"""The most rows that these endpoints give in a page (document)."""


class LogContext(TypedDict):
    """What a request to a log endpoint is about; instants are in UTC and whole seconds.

    ``own`` says that the account owns the app: it is asked through the ordinary endpoint.
    ``page_size`` is given where fewer rows than `PAGE_SIZE` are wanted.
    """

    account_id: str
    own: bool
    begin: datetime
    end: datetime
    page_size: NotRequired[int]


class EngagementLogStream(ZoomStream):
    """A stream of an endpoint that lists the engagements of one account in a range of time."""

    @abstractmethod
    def query(self) -> Mapping[str, FilterValue]:
        """Return the query parameters besides range and page."""

    @cached_property
    def _query(self) -> Mapping[str, FilterValue]:
        return self.query()

    @override
    def get_url(self, context: Context | None) -> str:
        asked = context or {}
        scope = "" if asked["own"] else f"/accounts/{quote(asked['account_id'], safe='')}"
        return f"{self.url_base}{scope}{self.path}"

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, object]:
        asked = context or {}
        return {
            "from": format_instant(asked["begin"]),
            "to": format_instant(asked["end"]),
            "page_size": asked.get("page_size", PAGE_SIZE),
            **self._query,
            "next_page_token": next_page_token,
        }

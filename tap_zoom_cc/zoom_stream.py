"""What both kinds of streams are to the SDK: a `RESTStream` that the tap's own client reads.

Of the SDK's HTTP side only what says how an endpoint is asked is there, and true: `path`,
`url_base`, `get_url_params` and `get_new_paginator`.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from singer_sdk import RESTStream
from singer_sdk.helpers.conform import TypeConformanceLevel
from typing_extensions import override

from tap_zoom_cc.zoom.filters import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_zoom_cc.services import Services
    from tap_zoom_cc.zoom.pages import NextPageTokenPaginator


class ZoomStream(RESTStream[str | None]):
    """A stream of rows that one Zoom endpoint lists page by page."""

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    """Rows are conformed by the tap's own decoder, which does it in C."""

    def __init__(self, tap: Tap, services: Services) -> None:
        """Belong to a tap, as the SDK wants it, and use what the run shares."""
        self._services = services
        super().__init__(tap)

    @cached_property
    @override
    def schema(self) -> dict[str, object]:
        """The JSON schema of a row; looked up once, for the SDK asks for it with every row."""
        return SCHEMAS.get_schema(self.name)

    @property
    @override
    def url_base(self) -> str:
        return self._services.settings.api_url

    @abstractmethod
    @override
    def get_new_paginator(self) -> NextPageTokenPaginator: ...

    @override
    def log_sync_costs(self) -> None:
        """Say what the stream took, and that the sync failed if it did.

        The SDK calls this for each stream once the state of all is final, and there is no later
        hook: here `sync_all` can tell the truth to a program that calls it.

        Raises:
            SyncFailedError: if something could not be read, of any stream.
        """
        super().log_sync_costs()
        self._services.report.raise_if_failed()

    @override
    def generate_child_contexts(self, record: Record, context: Context | None) -> Iterable[Context]:
        """Return nothing: no stream has children, so that no row is asked for them."""
        return ()

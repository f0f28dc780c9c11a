"""The list of sub accounts: a stream of its own, and the accounts of the other streams."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from typing_extensions import override

from tap_zoom_cc.run.stopping import EXIT_FAILED, StoppedError, in_background
from tap_zoom_cc.sync.emit import decoder_for
from tap_zoom_cc.sync.rows import UnfitRowError
from tap_zoom_cc.zoom.client import ZoomStream
from tap_zoom_cc.zoom.errors import AccountError, RunError, WindowExpiredError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_zoom_cc.services import Services
    from tap_zoom_cc.zoom.api import ZoomApi
    from tap_zoom_cc.zoom.pagination import Page

LISTING_PAGE_SIZE = 300
MOST_LISTINGS = 4


class SubAccountsStream(ZoomStream):
    """The sub accounts that Zoom lists; also what the other streams read when none are named."""

    name = "sub_accounts"
    path = "/accounts"
    rows_key = "accounts"
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)

    def __init__(self, tap: Tap, services: Callable[[], Services]) -> None:
        """Belong to a tap, as the SDK wants it; what the stream itself uses is handed to it.

        Args:
            tap: for the SDK.
            services: gives what the run shares; discovery has none, and does not ask.
        """
        self._services = services
        self._rows: dict[str, msgspec.Raw] | None = None
        self._listing = threading.Lock()
        super().__init__(tap)

    @property
    @override
    def zoom(self) -> ZoomApi:
        return self._services().zoom

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, object]:
        return {"page_size": LISTING_PAGE_SIZE, "next_page_token": next_page_token}

    def list_rows(self) -> dict[str, msgspec.Raw]:
        """Return every sub account by its ID, as undecoded JSON; listed once a run.

        Raises:
            RunError: if the list cannot be had, or lacks accounts that Zoom counts.
            StoppedError: if the run is to end.
        """
        with self._listing:
            if self._rows is None:
                self._rows = self._list_rows()
            return self._rows

    def _list_rows(self) -> dict[str, msgspec.Raw]:
        rows: dict[str, msgspec.Raw] = {}
        announced: int | None = None
        ended_in_order = False
        for _ in range(MOST_LISTINGS):
            try:
                announced, ended_in_order = self._read_pass(rows)
            except WindowExpiredError:
                ended_in_order = False
                continue
            except AccountError as error:
                message = f"{error}; or name the accounts in sub_account_ids"
                raise RunError(message) from error
            if len(rows) >= (announced or 0) and (ended_in_order or announced is not None):
                return rows
        message = (
            f"{self.name}: Zoom announced {announced or 'an unknown number of'} sub accounts "
            f"but listed {len(rows)} in {MOST_LISTINGS} passes; run again, or name the accounts in "
            "sub_account_ids"
        )
        if self._services().settings.mismatch_fails or not ended_in_order:
            raise RunError(message)
        self.zoom.report.warn_once(message, f"{message}; accepted, on_count_mismatch is warn")
        return rows

    def _read_pass(self, rows: dict[str, msgspec.Raw]) -> tuple[int | None, bool]:
        """Add the accounts of all pages.

        Returns:
            How many Zoom announced, and whether the pages came to an end of their own.
        """
        paginator = self.get_new_paginator()
        announced: int | None = None
        ended_in_order = False
        passed: set[str] = set()

        def take_in(page: Page) -> bool:
            nonlocal announced, ended_in_order
            listed = {_id_decoder.decode(row).id: row for row in page.rows or []}
            news = listed.keys() - passed
            passed.update(listed)
            rows.update(listed)
            announced = page.total_records or announced
            ended_in_order = not page.rows or not page.next_page_token
            return bool(news)

        while not paginator.finished:
            self.next_page(None, paginator, take_in)
        return announced, ended_in_order

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Yield the sub accounts; without the list the run ends."""
        services = self._services()
        report, stop = services.report, services.stop
        if stop.asked:
            return
        decoder = decoder_for(self, report)
        tally = report.tallies[self.name]
        try:
            for row in in_background(self.list_rows, stop).values():
                tally.rows += 1
                yield decoder.decode(row)
        except UnfitRowError as error:
            report.fail(f"{self.name}: {error}")
        except RunError as error:
            message = str(error)
            report.fail(message)
            stop.ask(message, EXIT_FAILED)
        except StoppedError:
            self.logger.debug("stopped")


class _Id(msgspec.Struct):
    # A path of dots alone would lead to the account's own endpoint.
    id: Annotated[str, msgspec.Meta(pattern=r"[^.]")]


_id_decoder = msgspec.json.Decoder(_Id)

"""The streams: what differs between them, and nothing else."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated

import msgspec
from singer_sdk.helpers.conform import TypeConformanceLevel
from typing_extensions import override

from tap_zoom_cc import json_text
from tap_zoom_cc.engagements import EngagementStream
from tap_zoom_cc.stopping import EXIT_FAILED, StoppedError
from tap_zoom_cc.sync.rows import RowDecoder, text_of
from tap_zoom_cc.zoom.client import ZoomStream
from tap_zoom_cc.zoom.errors import AccountError, RunError, WindowExpiredError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.helpers.types import Context, Record

    from tap_zoom_cc.zoom.filters import FilterValue
    from tap_zoom_cc.zoom.pagination import Page


LISTING_PAGE_SIZE = 300
MOST_LISTINGS = 4


class SmsStream(EngagementStream):
    """SMS engagements: one row each, when it is over."""

    name = "sms"
    path = "/contact_center/sms"
    rows_key = "sms"


class VoiceCallsStream(EngagementStream):
    """Voice call engagements: one row each, when it is over, with the legs of the call."""

    name = "voice_calls"
    path = "/contact_center/voice_calls"
    rows_key = "voice_calls"

    @override
    def query(self) -> Mapping[str, FilterValue]:
        """Ask for the legs of the calls only when they are selected, unless a filter says which."""
        details = self.mask[("properties", "voice_call_details")]
        return {"view_type": "detail" if details else "summary", **super().query()}


class SubAccountsStream(ZoomStream):
    """The sub accounts that Zoom lists; also what the other streams read when none are named."""

    name = "sub_accounts"
    path = "/accounts"
    rows_key = "accounts"
    primary_keys = ("id",)

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    """Rows are conformed by `RowDecoder`, which does it in C."""

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, object]:
        return {"page_size": LISTING_PAGE_SIZE, "next_page_token": next_page_token}

    @cached_property
    def listing(self) -> dict[str, msgspec.Raw]:
        """Every sub account by its ID, as undecoded JSON; listed once a run.

        Raises:
            RunError: if the list cannot be had, or lacks accounts that Zoom counts.
            StoppedError: if the run is to end.
        """
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
        if self.run.settings.mismatch_fails or not ended_in_order:
            raise RunError(message)
        self.run.report.warn_once(message, f"{message}; accepted, on_count_mismatch is warn")
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
            listed = {_id_of(row): row for row in page.rows or []}
            news = listed.keys() - passed
            passed.update(listed)
            rows.update(listed)
            return bool(news)

        while not paginator.finished:
            page = self.next_page(None, paginator, check=take_in)
            announced = page.total_records or announced
            ended_in_order = not page.rows or not page.next_page_token
        return announced, ended_in_order

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Yield the sub accounts; without the list the run ends."""
        if self.run.stop.asked:
            return
        decoder = RowDecoder(
            self.effective_schema, lambda name: self.mask[("properties", name)], self.notice
        )
        tally = self.run.report.tallies[self.name]
        try:
            for row in self.run.in_background(lambda: self.listing).values():
                tally.rows += 1
                yield decoder.decode(row)
        except RunError as error:
            message = str(error)
            self.run.report.fail(message)
            self.run.stop.ask(message, EXIT_FAILED)
        except StoppedError:
            self.logger.debug("stopped")


class _Id(msgspec.Struct):
    # A path of dots alone would lead to the account's own endpoint.
    id: Annotated[str, msgspec.Meta(pattern=r"[^.]")]


_id_decoder = msgspec.json.Decoder(_Id)


def _id_of(row: msgspec.Raw) -> str:
    """Return the ID in a row.

    Raises:
        msgspec.MsgspecError, ValueError: if it has none.
    """
    try:
        return _id_decoder.decode(row).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = text_of(json_text.members(bytes(row)), "id")
        return _id_decoder.decode(msgspec.json.encode({"id": text})).id

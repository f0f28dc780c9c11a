"""The list of sub accounts: a stream of its own, and the accounts of the other streams."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from typing_extensions import override

from tap_zoom_cc.rows.misfits import fields_of, text_of
from tap_zoom_cc.run.stopping import EXIT_FAILED, StoppedError, in_background
from tap_zoom_cc.sync.check import RangeRows
from tap_zoom_cc.sync.emit import decoder_for
from tap_zoom_cc.sync.fetch import MOST_PASSES, read_in_passes
from tap_zoom_cc.zoom.client import ZoomStream
from tap_zoom_cc.zoom.errors import AccountError, RunError
from tap_zoom_cc.zoom.rules import NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_zoom_cc.services import Services
    from tap_zoom_cc.zoom.api import ZoomApi

LISTING_PAGE_SIZE = 300


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
        rows = RangeRows(_read_id)
        try:
            read_in_passes(self, None, rows)
        except AccountError as error:
            # Without an answer the accounts could not be read either, whoever names them.
            is_refused = error.answer.status != NO_ANSWER
            advice = "; or name the accounts in sub_account_ids" if is_refused else ""
            message = f"{error}{advice}"
            raise RunError(message) from error
        if not rows.is_whole:
            message = (
                f"{self.name}: Zoom announced {rows.expected or 'an unknown number of'} sub "
                f"accounts but listed {len(rows.rows)} in {MOST_PASSES} passes; run again, or name "
                "the accounts in sub_account_ids"
            )
            if self._services().settings.mismatch_fails:
                raise RunError(message)
            self.zoom.report.warn_once(message, f"{message}; accepted, on_count_mismatch is warn")
        self.zoom.report.logger.info("%s: Zoom lists %d", self.name, len(rows.rows))
        return {account_id: row for account_id, (_, row, _) in rows.rows.items()}

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
            for row in in_background(self.list_rows, stop, report.show_retries).values():
                tally.rows += 1
                yield decoder.decode(row)
        except RunError as error:
            message = str(error)
            report.fail_run(message)
            stop.ask(message, EXIT_FAILED)
        except StoppedError:
            self.logger.debug("stopped")


class _Id(msgspec.Struct):
    # A path of dots alone would lead to the account's own endpoint.
    id: Annotated[str, msgspec.Meta(pattern=r"[^.]")]

    @property
    def row_id(self) -> str:
        """What tells the account from all others."""
        return self.id


_id_decoder = msgspec.json.Decoder(_Id)


def _read_id(row: msgspec.Raw) -> _Id:
    """Return the ID in a row.

    Raises:
        ValueError: if it has none.
    """
    try:
        return _id_decoder.decode(row)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = text_of(fields_of(row), "id")
        return msgspec.convert({"id": text}, _Id)

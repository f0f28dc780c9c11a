"""The accounts that a run reads: those that the settings name, or every one that Zoom lists."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec

from tap_zoom_cc.rows.misfits import fields_of, text_of
from tap_zoom_cc.run.stopping import in_background
from tap_zoom_cc.sync.check import RangeRows
from tap_zoom_cc.sync.fetch import MOST_PASSES, Budget, read_in_passes
from tap_zoom_cc.zoom.errors import AccountError, RunError
from tap_zoom_cc.zoom.pages import Account, PageReader, Request
from tap_zoom_cc.zoom.rules import NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_zoom_cc.run.settings import Settings
    from tap_zoom_cc.zoom.client import Client

LISTING = Request("/accounts", {"page_size": 300}, where="sub_accounts")
"""The request for Zoom's list of sub accounts, with the most rows that a page of it has."""

LISTING_READER = PageReader("accounts")


class Accounts:
    """The accounts to read, found when they are first asked for, and then the same for the run."""

    def __init__(self, settings: Settings, client: Client) -> None:
        """Know which accounts are wanted, and who can list them; nothing is listed yet."""
        self._settings = settings
        self._client = client

    @cached_property
    def by_id(self) -> dict[str, Account]:
        """The accounts by ID.

        Raises:
            RunError: if there is none, or the list cannot be had.
            StoppedError: when the run is to end first.
        """
        settings = self._settings
        named = settings.sub_account_ids
        ids: Iterable[str] = self.rows if named is None else named
        accounts = {account_id: Account(account_id, listed=named is None) for account_id in ids}
        if settings.include_own_account:
            accounts[settings.account_id] = Account(settings.account_id, own=True)
        if not accounts:
            message = (
                "Zoom lists no sub account, so nothing would be read; name accounts in "
                "sub_account_ids, or set include_own_account to read the app's own account"
            )
            raise RunError(message)
        self._client.report.accounts = len(accounts)
        return accounts

    @cached_property
    def rows(self) -> dict[str, msgspec.Raw]:
        """Every sub account that Zoom lists by its ID, as undecoded JSON; listed once a run.

        Raises:
            RunError: if the list cannot be had, or lacks accounts that Zoom counts.
            StoppedError: if the run is to end.
        """
        return in_background(self._list, self._client.stop, self._client.report.show_retries)

    def _list(self) -> dict[str, msgspec.Raw]:
        report, where = self._client.report, LISTING.where
        rows = RangeRows(_read_id)
        try:
            for _ in read_in_passes(
                self._client, LISTING, LISTING_READER, rows, budget=Budget(None)
            ):
                """Each page was taken in by `rows`."""
        except AccountError as error:
            # Without an answer the accounts could not be read either, whoever names them.
            is_refused = error.answer.status != NO_ANSWER
            advice = "; or name the accounts in sub_account_ids" if is_refused else ""
            message = f"{error}{advice}"
            raise RunError(message) from error
        if not rows.is_whole:
            message = (
                f"{where}: Zoom announced {rows.first_total or 'an unknown number of'} sub "
                f"accounts but listed {len(rows.rows)} in {MOST_PASSES} passes; run again, or name "
                "the accounts in sub_account_ids"
            )
            if self._settings.mismatch_fails:
                raise RunError(message)
            report.warn_once(message, f"{message}; accepted, on_count_mismatch is warn")
        report.logger.info("%s: Zoom lists %d", where, len(rows.rows))
        return {account_id: row for account_id, (_, row, _) in rows.rows.items()}


class _Id(msgspec.Struct):
    # A path of dots alone would lead to the account's own endpoint.
    row_id: Annotated[str, msgspec.Meta(pattern=r"[^.]")] = msgspec.field(name="id")
    end_time: ClassVar[None] = None


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

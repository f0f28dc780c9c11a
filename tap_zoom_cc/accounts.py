"""The accounts that a run reads: those that the settings name, or every one that Zoom lists."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tap_zoom_cc.run.stopping import in_background
from tap_zoom_cc.sync.plan import Account
from tap_zoom_cc.zoom.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_zoom_cc.services import Services
    from tap_zoom_cc.sub_accounts import SubAccountsStream


class Accounts:
    """The accounts to read, found when they are first asked for, and then the same for the run."""

    def __init__(self, services: Callable[[], Services], directory: SubAccountsStream) -> None:
        """Know where to look.

        Args:
            services: gives what the run shares; discovery has none, and does not ask.
            directory: lists the sub accounts where the settings name none.
        """
        self._services = services
        self._directory = directory

    @cached_property
    def by_id(self) -> dict[str, Account]:
        """The accounts by ID.

        Raises:
            RunError: if there is none, or the list cannot be had.
            StoppedError: when the run is to end first.
        """
        services = self._services()
        settings = services.settings
        named = settings.sub_account_ids
        ids: Iterable[str] = (
            in_background(self._directory.list_rows, services.stop, services.report.show_retries)
            if named is None
            else named
        )
        accounts = {account_id: Account(account_id, listed=named is None) for account_id in ids}
        if settings.include_own_account:
            accounts[settings.account_id] = Account(settings.account_id, own=True)
        if not accounts:
            message = (
                "Zoom lists no sub account, so nothing would be read; name accounts in "
                "sub_account_ids, or set include_own_account to read the app's own account"
            )
            raise RunError(message)
        services.report.accounts = len(accounts)
        return accounts

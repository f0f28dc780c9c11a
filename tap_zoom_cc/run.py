"""What one run of the tap shares between its streams: settings, token, pace, report, accounts."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from tap_zoom_cc.report import Report
from tap_zoom_cc.zoom.auth import ServerToServerOAuth
from tap_zoom_cc.zoom.connections import session_for
from tap_zoom_cc.zoom.errors import RunError
from tap_zoom_cc.zoom.pacing import Budget, Pacer

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    import requests

    from tap_zoom_cc.settings import Settings
    from tap_zoom_cc.stopping import Stop

Result = TypeVar("Result")

CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Account:
    """An account to read.

    ``own`` says that it owns the app and is read through the ordinary endpoints, ``listed`` that
    Zoom's list named it, rather than the settings.
    """

    account_id: str
    own: bool = False
    listed: bool = False


@dataclass
class Run:
    """One run. Everything in it may be used by all threads."""

    settings: Settings
    started: datetime
    logger: logging.Logger
    stop: Stop
    list_sub_accounts: Callable[[], Iterable[str]]

    def __post_init__(self) -> None:
        """Set up what follows from the settings; nothing is requested yet."""
        self.report = Report(self.logger, self.settings.requests_per_second)
        self.authenticator = ServerToServerOAuth(self.settings, self.stop, self.report)
        self.pacer = Pacer(self.settings.requests_per_second, self.stop)
        self.budgets: dict[str, Budget] = {}
        self.fatal_error: RunError | None = None
        self._sessions = threading.local()
        self._without_answer: set[str] = set()

    @property
    def session(self) -> requests.Session:
        """The calling thread's HTTP session, paced: one must not be shared between threads."""
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = self._sessions.session = session_for(
                self.settings.api_url, self._turn, self.pacer.approach
            )
        return session

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self.pacer.turn():
            self.report.count_request()
            yield

    def answered(self) -> None:
        """Note that a request was answered."""
        self._without_answer.clear()
        self.pacer.speed_up()

    def is_cut_off(self, place: str) -> bool:
        """Note a stream and account without an answer, and say whether that is true of all of them.

        One may be sick; a second one without any answer in between is an outage (own choice).
        """
        self._without_answer.add(place)
        return len(self._without_answer) > 1

    def give_up(self, error: RunError) -> None:
        """Send nothing more because of an error; what was read before it is still emitted."""
        self.fatal_error = self.fatal_error or error
        self.pacer.close()

    def in_background(self, function: Callable[[], Result]) -> Result:
        """Call a function that waits for Zoom, in a thread that a stop need not wait for.

        Raises:
            StoppedError: when the run is to end first.
            Exception: what the function raises.
        """
        future: Future[Result] = Future()

        def call() -> None:
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001 (raised again in the caller's thread)
                future.set_exception(error)

        threading.Thread(target=call, daemon=True).start()
        while not future.done():
            wait([future], timeout=0.5)
            self.stop.sleep(0)
        return future.result()

    def budget_for(self, stream: str, streams_to_come: int) -> Budget:
        """Return a stream's even share of what earlier streams left of ``max_requests_per_run``.

        Args:
            stream: the stream that begins.
            streams_to_come: how many streams the rest is for, this one included.
        """
        allowed = self.settings.max_requests_per_run
        if allowed is not None:
            spent = sum(budget.spent_requests for budget in self.budgets.values())
            allowed = -(-(allowed - spent) // streams_to_come)
        budget = self.budgets[stream] = Budget(allowed)
        return budget

    @cached_property
    def accounts(self) -> dict[str, Account]:
        """The accounts to read, by ID: those of the settings, or every one that Zoom lists.

        Raises:
            RunError: if there is none, or the list cannot be had.
            StoppedError: when the run is to end first.
        """
        settings = self.settings
        listed = settings.sub_account_ids is None
        ids: Iterable[str] = settings.sub_account_ids or ()
        if listed:
            ids = self.in_background(self.list_sub_accounts)
        accounts = {account_id: Account(account_id, listed=listed) for account_id in ids}
        if settings.include_own_account:
            accounts[settings.account_id] = Account(settings.account_id, own=True)
        if not accounts:
            message = (
                "Zoom lists no sub account, so nothing would be read; name accounts in "
                "sub_account_ids, or set include_own_account to read the app's own account"
            )
            raise RunError(message)
        self.report.accounts = len(accounts)
        return accounts

    @cached_property
    def present(self) -> datetime:
        """The start of the run by this clock or Zoom's, whichever is earlier, in UTC.

        A clock that is ahead would move bookmarks past engagements that have yet to happen (own
        choice; Zoom's clock is the ``Date`` header of the token's answer).

        Raises:
            RunError: when no token is granted.
            StoppedError: when the run is to end first.
        """
        self.in_background(self.authenticator.token)
        server_time = self.authenticator.server_time
        if server_time is None or server_time >= self.started:
            return self.started
        ahead = self.started - server_time
        if ahead > CLOCK_TOLERANCE:
            self.report.warn_once(
                "clock",
                f"this machine's clock is {ahead.total_seconds():.0f} s ahead of Zoom's; the run "
                "ends at Zoom's time; set the clock",
            )
        return server_time

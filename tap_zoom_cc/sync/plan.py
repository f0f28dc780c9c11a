"""Plan: which windows of which accounts a sync reads, and in which order.

The first of four stages: plan, fetch, check, emit. Everything here is pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tap_zoom_cc.sync.bookmarks import NO_REST
from tap_zoom_cc.sync.lookback import begin_of_reread, phase_of
from tap_zoom_cc.sync.windows import (
    Cut,
    Parent,
    Window,
    end_of_sync,
    first_begin,
    request_range,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    from tap_zoom_cc.sync.lookback import Progress
    from tap_zoom_cc.zoom.pages import Account, EngagementLog, Request

BEGINNING_OF_TIME = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class WindowJob:
    """A window of an account to be read.

    ``sync`` is the whole range that is read of the account; without it, the request asks for the
    window alone. ``accepts_less`` says that an answer for less than what was asked for is taken
    when cutting does not help.
    """

    account: Account
    window: Window
    sync: Window | None = None
    accepts_less: bool = False
    parent: Parent | None = None

    @property
    def asked(self) -> Window:
        """The range that its requests ask for."""
        return request_range(self.window, self.sync) if self.sync else self.window

    def request(self, log: EngagementLog) -> Request:
        """Return the request for its first page."""
        return log.request(self.account, self.asked.begin, self.asked.end)

    def part(self, window: Window, *, total: int | None = None) -> WindowJob:
        """Return the job for a part of this window.

        Args:
            window: the part.
            total: the rows of this window, if they are why it is cut.
        """
        parent = self.parent if total is None else Parent(self.window, total)
        return replace(self, window=window, parent=parent)


@dataclass(frozen=True, slots=True)
class SyncRange:
    """How far a stream's sync reaches, whatever the account: instants in UTC."""

    stream: str
    start_date: datetime | None
    end_date: datetime | None
    lookback: timedelta
    now: datetime
    accepts_less: bool = False
    longest_rest: timedelta = NO_REST

    @property
    def end(self) -> datetime:
        """The end of the sync."""
        return end_of_sync(end_date=self.end_date, now=self.now)

    def jobs_for(
        self, account: Account, progress: Progress | None, rest: timedelta = NO_REST
    ) -> AccountPlan:
        """Return the windows of an account, oldest first; none while it rests.

        Args:
            account: the account.
            progress: how far it was read; None to read everything from the start.
            rest: how long it rests after its bookmark, see `tap_zoom_cc.sync.bookmarks`.
        """
        if progress is not None and rest and self.end - progress.bookmark < rest:
            return AccountPlan(account, Cut(self.end, self.end), self.accepts_less, rests=True)
        begin = first_begin(start_date=self.start_date, now=self.now)
        if progress is not None:
            begin = begin_of_reread(
                progress,
                end=self.end,
                lookback=self.lookback,
                phase=phase_of(self.stream, account.account_id),
                start_date=self.start_date,
            )
        return AccountPlan(account, Cut(begin, self.end), self.accepts_less)


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """The jobs of an account, oldest first, each made when it is asked for."""

    account: Account
    windows: Cut
    accepts_less: bool
    rests: bool = False

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.windows)

    def __getitem__(self, number: int) -> WindowJob:
        """Return one of them, the first being number 0."""
        sync = Window(self.windows.begin, self.windows.end)
        return WindowJob(self.account, self.windows[number], sync, self.accepts_less)


def in_order(account_ids: Iterable[str], waiting: Mapping[str, datetime | None]) -> list[str]:
    """Return the accounts, that which waits the longest first, those without a bookmark before all.

    A run that ends early has then served those that wait the longest, and the next one goes on.

    Args:
        account_ids: the accounts.
        waiting: from when each waits, its bookmark or the end of its rest: quiet accounts do not
            push in before busy ones when a rest ends.
    """
    return sorted(account_ids, key=lambda name: waiting.get(name) or BEGINNING_OF_TIME)

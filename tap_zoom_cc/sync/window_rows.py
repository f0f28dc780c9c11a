"""A window's rows: which have come, whether they are all, and which of them are emitted.

The last two of four stages: plan, fetch, check, emit. The check is bookkeeping, page by page. The
list that is read lives on meanwhile: engagements end and are added, old ones go. So a range is read
in passes from its first page to its last, and it is whole when one pass is whole by itself. The
rows of all passes are kept.

The main thread emits window by window, in order, each version of an engagement once. Between two
windows the caller moves the bookmark if `Emitter.judge` says so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from tap_zoom_cc.rows.decoder import RowKey, read_key
from tap_zoom_cc.run.stopping import StoppedError
from tap_zoom_cc.zoom import pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_zoom_cc.rows.decoder import RowDecoder
    from tap_zoom_cc.rows.types import Record
    from tap_zoom_cc.run.report import Report, Tally
    from tap_zoom_cc.run.stopping import Stop
    from tap_zoom_cc.sync.windows import Window
    from tap_zoom_cc.zoom.pages import Page

MOST_PASSES = 3
"""How often a range is read to its end while no pass is whole."""

BYTES_PER_KEY = 400
"""What a row takes in memory besides its JSON, roughly."""

RETURN_PERIOD = timedelta(hours=48)
"""How long after its end an engagement can come again: whole-day ranges, any time zone."""


class Key(Protocol):
    """What must be known of a row while its range is read."""

    @property
    def row_id(self) -> str:
        """What tells the row from all others of its range."""

    @property
    def end_time(self) -> datetime | None:
        """When what the row is about ended; None if it does not say."""


KeyType = TypeVar("KeyType", bound=Key)


@dataclass(slots=True)
class Pass:
    """What has come since the range was last begun to be read from its first page."""

    ids: set[str] = field(default_factory=set)
    has_news: bool = False
    """Whether there were rows that earlier passes lacked, and that this run should have."""
    has_shrunk: bool = False
    """Whether a total was less than the one before."""
    least_total: int = 0
    first_total: int | None = None
    """How many rows Zoom announced first; None before it did."""
    last_total: int | None = None
    """How many it announced last."""
    has_ended: bool = False
    """Whether nothing follows on the page that came last."""


@dataclass(kw_only=True, eq=False)
class RangeRows(Generic[KeyType]):
    """The rows of one range, by ID, over as many passes as it takes."""

    read_key: Callable[[msgspec.Raw], KeyType]
    """Raises ``ValueError`` or ``msgspec.MsgspecError`` if a row has no key."""
    now: datetime | None = None
    """The start of the run: what ends after it is left to the next one."""
    rows: dict[str, tuple[KeyType, msgspec.Raw, float]] = field(default_factory=dict)
    """By ID: the key, the row, and when it came, by the steady clock in seconds."""
    size: int = 0
    """The bytes that they take."""
    expected_rows: int = 0
    """How many rows the range has, as far as known."""
    expected_size: int = 0
    """How many bytes they take, as far as known."""
    is_whole: bool = False
    """Whether all rows of the range are there, as far as its pages can tell."""
    this_pass: Pass = field(default_factory=Pass)
    """Is replaced where the range is read from its first page again."""

    def add(self, page: Page) -> bool:
        """Take in a page; of two rows with one ID the later counts.

        Returns:
            Whether it held rows that this pass had not seen yet.

        Raises:
            msgspec.MsgspecError, ValueError: if a row lacks its key; nothing is taken in.
        """
        this = self.this_pass
        keys = [self.read_key(row) for row in page.rows or []]
        came_at = time.monotonic()
        seen = len(this.ids)
        for key, row in zip(keys, page.rows or [], strict=True):
            known = self.rows.get(key.row_id)
            if known is None:
                self.size += BYTES_PER_KEY
                is_news = self.now is None or key.end_time is None or key.end_time <= self.now
                this.has_news = this.has_news or is_news
            self.size += len(memoryview(row)) - (len(memoryview(known[1])) if known else 0)
            self.rows[key.row_id] = (key, row, came_at)
            this.ids.add(key.row_id)
        total = page.total_records
        # An empty page after others may announce none: that takes nothing back.
        if total is not None and (keys or not seen):
            if this.first_total is None:
                this.first_total = this.least_total = total
            this.has_shrunk = this.has_shrunk or total < (this.last_total or 0)
            this.least_total = min(total, this.least_total)
            this.last_total = total
        this.has_ended = not keys or not page.next_page_token
        self.expected_rows = max(this.last_total or 0, len(self.rows))
        self.expected_size = self.expected_rows * self.size // max(1, len(self.rows))
        return len(this.ids) > seen

    def end_pass(self, number: int) -> None:
        """Judge a pass that came to its end, the first being number 1.

        It is whole if it has as many rows as its first page announced; what ended since then
        belongs to a later sync. And the total has not shrunk: a row that goes away moves the others
        forward, and one of them may have slipped from a page that was to come to one that was read
        already. Without any total, the pass must end in order.

        That is exact where the newest rows come first. Where they come last, an addition and a
        removal within the same few seconds cancel out in the total; a later lookback finds the row.

        No pass is whole where totals flicker, or where old rows go away one by one. There it is
        enough that a later pass reaches its least total, and brings nothing that earlier ones
        lacked. The least, because where totals flicker the one on the last page may be too high.
        """
        this = self.this_pass
        if this.first_total is None:
            self.is_whole = this.has_ended
            return
        is_whole = len(this.ids) >= this.first_total and not this.has_shrunk
        is_settled = number > 1 and not this.has_news and len(this.ids) >= this.least_total
        self.is_whole = is_whole or is_settled


@dataclass(eq=False)
class WindowRows(RangeRows[RowKey]):
    """The rows of one window of an account."""

    window: Window
    read_key: Callable[[msgspec.Raw], RowKey] = field(default=read_key, kw_only=True)


def pages_for(rows: int) -> int:
    """Return how many pages that many rows take; an empty range takes one."""
    return max(1, -(-rows // pages.PAGE_SIZE))


class _Version(msgspec.Struct, gc=False):
    """What is kept of an engagement: its end, a hash of its row, and when that came."""

    end: datetime
    content: int
    came_at: float


@dataclass(slots=True)
class Emitted:
    """The engagements of an account that were emitted in this run and may come again."""

    _versions: dict[str, _Version] = field(default_factory=dict)

    def news(self, rows: WindowRows) -> Iterator[tuple[RowKey, msgspec.Raw]]:
        """Yield a window's rows that were not emitted yet so, earliest start first.

        That is an engagement's first row, and each that differs and came after the one before:
        windows are fetched side by side, so a later one may hold the older version. What may come
        again is remembered; an engagement without an end, or with an end before its start, may
        come again after each time it came.
        """
        window, versions = rows.window, self._versions
        # What cannot come again in this window or a later one is forgotten.
        earliest = window.begin - RETURN_PERIOD
        if any(known.end < earliest for known in versions.values()):
            versions = {name: known for name, known in versions.items() if known.end >= earliest}
            self._versions = versions
        keys = [key for key, _, _ in rows.rows.values()]
        for key in sorted(keys, key=attrgetter("start_time", "row_id")):
            _, row, came_at = rows.rows[key.row_id]
            end = key.end_time
            if end is None or end < key.start_time:
                end = max(window.end, key.start_time)
            known = versions.get(key.row_id)
            if known is None:
                if end >= window.end - RETURN_PERIOD:
                    versions[key.row_id] = _Version(end, hash(bytes(row)), came_at)
                yield key, row
                continue
            known.end = max(known.end, end)
            if came_at >= known.came_at:
                before, known.content = known.content, hash(bytes(row))
                known.came_at = came_at
                if known.content != before:
                    yield key, row


@dataclass(slots=True, kw_only=True)
class Emitter:
    """Emits the windows of one account.

    ``account_id`` is added to each record, ``where`` names stream and account in messages, and
    ``accepts_less`` says that missing rows are a warning, and no failure.
    """

    account_id: str
    where: str
    decoder: RowDecoder
    report: Report
    tally: Tally
    stop: Stop
    accepts_less: bool
    last_end: datetime | None = None
    """The latest end of an engagement, where one without an end counts as its window's end."""
    _emitted: Emitted = field(default_factory=Emitted)
    _all_whole: bool = True

    def records(self, rows: WindowRows) -> Iterator[Record]:
        """Yield a window's engagements that were not emitted yet so, earliest start first.

        Raises:
            StoppedError: when the run is to end.
        """
        tally, window = self.tally, rows.window
        self.stop.check()
        for key, row in self._emitted.news(rows):
            if self.stop.asked:
                raise StoppedError(self.stop.reason)
            record = self.decoder.decode(row)
            record["account_id"] = self.account_id
            ended = max(key.end_time or window.end, key.start_time)
            self.last_end = max(ended, self.last_end or ended)
            tally.rows += 1
            tally.newest = max(key.start_time, tally.newest or key.start_time)
            if key.end_time:
                tally.longest = max(tally.longest, key.end_time - key.start_time)
            yield record

    def judge(self, rows: WindowRows) -> bool:
        """Say whether the bookmark may move to a window's end, and report what is odd about it.

        It may not pass a window that lacks rows, nor any window after that.
        """
        came, totals = len(rows.rows), rows.this_pass
        if totals.last_total is not None and came > totals.last_total:
            self.report.warn_once(
                f"surplus {self.where}",
                f"{self.where}: {came} engagements came where Zoom announced {totals.last_total}, "
                f"from {rows.window}; all are loaded",
            )
        if rows.is_whole:
            return self._all_whole
        announced = "an unknown number of" if totals.first_total is None else totals.first_total
        message = (
            f"{self.where}: Zoom announced {announced} engagements from {rows.window} "
            f"but delivered {came} in {MOST_PASSES} passes, none of which was whole"
        )
        if self.accepts_less:
            self.report.warn_once(message, f"{message}; accepted, on_count_mismatch is warn")
        else:
            self._all_whole = False
            self.report.fail(
                f"{message}; the bookmark stays, run again; on_count_mismatch: warn accepts it"
            )
        return self._all_whole

"""Check: which rows of a range have come, whether they are all, and into which parts it is split.

The third of four stages: plan, fetch, check, emit. Pure bookkeeping, page by page. The list that is
read lives on meanwhile: engagements end and are added, old ones go. So a range is read in passes
from its first page to its last, and it is whole when one pass is whole by itself. The rows of all
passes are kept.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from typing_extensions import override

from tap_zoom_cc.rows.decoder import read_key
from tap_zoom_cc.sync.windows import SECOND, Window, split, whole_second
from tap_zoom_cc.zoom import engagement_log
from tap_zoom_cc.zoom.instants import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import msgspec

    from tap_zoom_cc.rows.decoder import RowKey
    from tap_zoom_cc.zoom.pagination import Page

MOST_ROWS = 2_500
"""A window with more rows is split. It bounds memory, redo after a crash and a token's age."""

AIMED_ROWS = 1_800
"""The rows that parts of a split window should have on average: few are then split again."""

MOST_BYTES = 16 * 1024 * 1024
"""A window with more bytes of rows is split: rows of 20 kB are seven times as large as usual."""

AIMED_BYTES = 6 * 1024 * 1024
"""The bytes that parts of a split window should have on average."""

MOST_PARTS = 64
"""More are not made at once: a count of something else must not cost thousands of requests."""

MOST_OF_PARENT = 0.75
"""With more of its parent's rows than this, a part shows that splitting does not help."""

BYTES_PER_KEY = 400
"""What a row takes in memory besides its JSON, roughly."""

DAY = timedelta(days=1)

RANGE_TOLERANCE = DAY
"""How far the range that an answer names may be off: it may be in days, or in a zone."""


class Key(Protocol):
    """What must be known of a row while its range is read."""

    @property
    def row_id(self) -> str:
        """What tells the row from all others of its range."""


KeyType = TypeVar("KeyType", bound=Key)


@dataclass(slots=True)
class Pass:
    """What one pass through the pages of a range has brought so far."""

    ids: set[str] = field(default_factory=set)
    first_total: int | None = None
    last_total: int | None = None
    has_shrunk: bool = False
    has_ended_in_order: bool = False

    def add(self, ids: list[str], page: Page) -> bool:
        """Take in a page, and say whether it had rows that this pass had not seen yet."""
        before = len(self.ids)
        self.ids.update(ids)
        total = page.total_records
        # An empty page after others may announce none: that takes nothing back.
        if total is not None and (ids or not before):
            if self.first_total is None:
                self.first_total = total
            self.has_shrunk = self.has_shrunk or total < (self.last_total or 0)
            self.last_total = total
        self.has_ended_in_order = not ids or not page.next_page_token
        return len(self.ids) > before

    @property
    def reaches_its_total(self) -> bool:
        """Whether it has as many rows as its last total; without one, whether it ended in order."""
        if self.last_total is None:
            return self.has_ended_in_order
        return len(self.ids) >= self.last_total

    @property
    def is_whole(self) -> bool:
        """Whether all rows of the range are there, as far as its pages can tell.

        It has as many rows as its first page announced; what ended since then belongs to a later
        sync. The total has not shrunk: a row that goes away moves the others forward, and one of
        them may have slipped from a page that was to come to one that was read already.

        That is exact where the newest rows come first. Where they come last, one that ends and one
        that goes away in the same few seconds hide each other; a later lookback finds the row.
        """
        if self.first_total is None:
            return self.has_ended_in_order
        return len(self.ids) >= self.first_total and not self.has_shrunk


class RangeRows(Generic[KeyType]):
    """The rows of one range, by ID, over as many passes as it takes."""

    def __init__(self, read_key: Callable[[msgspec.Raw], KeyType]) -> None:
        """Start without rows.

        Args:
            read_key: reads a row's key; raises ``ValueError`` or ``msgspec.MsgspecError``.
        """
        self._read_key = read_key
        self._pass = Pass()
        self._news_of_pass = 0
        self.rows: dict[str, tuple[KeyType, msgspec.Raw, float]] = {}
        """By ID: the key, the row, and when it came, by the steady clock in seconds."""
        self.size = 0
        self.is_whole = False

    def begin_pass(self) -> None:
        """Begin to read the range from its first page."""
        self._pass = Pass()
        self._news_of_pass = 0

    def add(self, page: Page) -> bool:
        """Take in a page; of two rows with one ID the later counts.

        Returns:
            Whether it held rows that this pass had not seen yet.

        Raises:
            msgspec.MsgspecError, ValueError: if a row lacks its key; nothing is taken in.
        """
        keys = [self._read_key(row) for row in page.rows or []]
        came_at = time.monotonic()
        for key, row in zip(keys, page.rows or [], strict=True):
            known = self.rows.get(key.row_id)
            if known is None:
                self.size += BYTES_PER_KEY
                self._news_of_pass += self._counts_as_news(key)
            self.size += len(memoryview(row)) - (len(memoryview(known[1])) if known else 0)
            self.rows[key.row_id] = (key, row, came_at)
        return self._pass.add([key.row_id for key in keys], page)

    def end_pass(self, number: int) -> None:
        """Judge a pass that came to its end, the first being number 1.

        No pass is whole where totals flicker, or where old rows go away one by one. There it is
        enough that a later pass reaches its own total and brings nothing that earlier ones lacked.
        """
        settled = number > 1 and not self._news_of_pass and self._pass.reaches_its_total
        self.is_whole = self._pass.is_whole or settled

    def _counts_as_news(self, key: KeyType) -> bool:
        """Say whether a row that is new in this pass shows that earlier passes missed rows."""
        del key
        return True

    @property
    def total(self) -> int | None:
        """How many rows Zoom announced last in this pass; None before it did."""
        return self._pass.last_total

    @property
    def expected(self) -> int | None:
        """How many rows a whole pass must have."""
        return self._pass.first_total


class WindowRows(RangeRows["RowKey"]):
    """The rows of one window of an account."""

    def __init__(self, window: Window, now: datetime | None = None) -> None:
        """Start without rows.

        Args:
            window: what is read.
            now: the start of the run: what ends later is left to the next one.
        """
        super().__init__(read_key)
        self.window = window
        self._now = now

    @override
    def _counts_as_news(self, key: RowKey) -> bool:
        return self._now is None or key.end_time is None or key.end_time <= self._now

    @property
    def expected_rows(self) -> int:
        """How many rows the window has, as far as known."""
        return max(self.total or 0, len(self.rows))

    @property
    def expected_size(self) -> int:
        """How many bytes they take, as far as known."""
        return self.expected_rows * self.size // max(1, len(self.rows))

    @property
    def surplus(self) -> int:
        """How many rows came in addition to those announced."""
        return 0 if self.total is None else max(0, len(self.rows) - self.total)

    def in_order_of_start(self) -> list[tuple[RowKey, msgspec.Raw, float]]:
        """Return the rows, earliest start first."""
        return sorted(self.rows.values(), key=lambda row: (row[0].start_time, row[0].engagement_id))


def pages_for(rows: int) -> int:
    """Return how many pages that many rows take; an empty range takes one."""
    return max(1, -(-rows // engagement_log.PAGE_SIZE))


def parts_of(window: Window, *, rows: int, size: int, parent_total: int | None) -> list[Window]:
    """Return the parts that take a window's place when it has too many rows or bytes, else nothing.

    Args:
        window: what is read.
        rows: how many it has, as far as known.
        size: their bytes, as far as known.
        parent_total: the rows of the window that this one was split from.

    A part that still has most of its parent's rows is not split again: they lie within a moment, or
    the server looks at days only, or at engagements that were open during the range, and then each
    further cut would give most of them twice.
    """
    if rows <= MOST_ROWS and size <= MOST_BYTES:
        return []
    if window.end - window.begin <= SECOND:
        return []
    if parent_total is not None and rows > parent_total * MOST_OF_PARENT:
        return []
    parts = max(2, -(-rows // AIMED_ROWS), -(-size // AIMED_BYTES))
    return split(window, min(MOST_PARTS, parts))


def answered_range(window: Window, page: Page) -> Window | None:
    """Return the part of a window that a page says it answers; None if it answers another range.

    What is off by up to a day at either end counts as the whole window: the answer may be in days,
    or in the account's zone. So does what cannot be read, and what is not said. A day as the end is
    meant as a whole: in the account's zone it may be the day before that in UTC.
    """
    try:
        begin = parse_instant(str(page.begin)) if page.begin else window.begin
        end = parse_instant(str(page.end)) if page.end else window.end
        if page.end and "T" not in str(page.end):
            end += DAY
    except (ValueError, OverflowError):
        return window
    if begin > end:
        # Nothing of what was asked for is kept.
        return Window(window.end, window.end)
    if max(begin - window.end, window.begin - end) > RANGE_TOLERANCE:
        return None
    begin, end = whole_second(begin), whole_second(end)
    return Window(
        window.begin if begin - window.begin <= RANGE_TOLERANCE else min(begin, window.end),
        window.end if window.end - end <= RANGE_TOLERANCE else max(end, window.begin),
    )

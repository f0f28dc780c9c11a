"""Check: which rows of a window have come, and whether they are all.

The third of four stages: plan, fetch, check, emit. Pure bookkeeping, page by page. A
window may be read more than once (its page token expired, rows were missing); what any pass found
is kept, so that a row which moved between pages is not lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from tap_zoom_cc.sync.rows import read_key
from tap_zoom_cc.sync.windows import SECOND, split
from tap_zoom_cc.zoom.instants import parse_instant

if TYPE_CHECKING:
    import msgspec

    from tap_zoom_cc.sync.rows import RowKey
    from tap_zoom_cc.sync.windows import Window
    from tap_zoom_cc.zoom.pagination import Page

PAGE_SIZE = 100
"""The most rows that Zoom gives in a page."""

MOST_ROWS = 2_500
"""A window with more rows is split. It bounds memory, redo after a crash and a token's age."""

AIMED_ROWS = 1_800
"""The rows that parts of a split window should have on average: few are then split again."""

MOST_PARTS = 64
"""More are not made at once: a count of something else must not cost thousands of requests."""

MOST_OF_PARENT = 0.75
"""With more of its parent's rows than this, a part shows that splitting does not help."""

BYTES_PER_KEY = 400
"""What a row takes in memory besides its JSON, roughly."""

MOST_PASSES = 3
"""How often a window is read to its end while rows are missing."""


@dataclass(slots=True)
class WindowRows:
    """The rows of one window, by engagement, and what Zoom says of them."""

    window: Window
    rows: dict[str, tuple[RowKey, msgspec.Raw]] = field(default_factory=dict)
    total: int | None = None
    narrower: str = ""
    size: int = 0
    _pass_ids: set[str] = field(default_factory=set)
    _ended_in_order: bool = False

    def begin_pass(self) -> None:
        """Begin to read the window from its first page."""
        self._pass_ids.clear()
        self._ended_in_order = False

    def add(self, page: Page) -> bool:
        """Take in a page.

        Returns:
            Whether it held rows that this pass had not seen yet.

        Raises:
            msgspec.MsgspecError, ValueError: if a row lacks its key or start; nothing is taken in.
        """
        rows = page.rows or []
        keys = [read_key(row) for row in rows]
        before = len(self._pass_ids)
        for key, row in zip(keys, rows, strict=True):
            if key.engagement_id not in self.rows:
                self.size += len(memoryview(row)) + BYTES_PER_KEY
            self.rows[key.engagement_id] = (key, row)
            self._pass_ids.add(key.engagement_id)
        if page.total_records is not None and (rows or not before):
            # An empty page after others may announce none: that takes nothing back.
            self.total = page.total_records
        self.narrower = self.narrower or narrower_range(self.window, page)
        self._ended_in_order = not rows or not page.next_page_token
        return len(self._pass_ids) > before

    @property
    def missing(self) -> int:
        """How many rows Zoom announced on the last page but did not deliver."""
        return max(0, (self.total or 0) - len(self.rows))

    @property
    def surplus(self) -> int:
        """How many rows came in addition to those announced."""
        return 0 if self.total is None else max(0, len(self.rows) - self.total)

    @property
    def complete(self) -> bool:
        """Whether all rows are there, as far as anybody can tell.

        Without a total only a pass that ended in order can be believed.
        """
        return not self.missing and (self._ended_in_order or self.total is not None)

    def in_order_of_start(self) -> list[tuple[RowKey, msgspec.Raw]]:
        """Return the rows, earliest start first."""
        return sorted(self.rows.values(), key=lambda row: (row[0].start_time, row[0].engagement_id))


def pages_for(rows: int) -> int:
    """Return how many pages that many rows take; an empty range takes one."""
    return max(1, -(-rows // PAGE_SIZE))


def parts_of(rows: WindowRows, parent_total: int | None) -> list[Window]:
    """Return the parts that take a window's place when it has too many rows, else nothing.

    A part that still has most of its parent's rows is not split again: they lie within a moment, or
    the server looks at days only, or at engagements that were open during the range, and then each
    further cut would give most of them twice.
    """
    number = max(rows.total or 0, len(rows.rows))
    if number <= MOST_ROWS or rows.window.end - rows.window.begin <= SECOND:
        return []
    if parent_total is not None and number > parent_total * MOST_OF_PARENT:
        return []
    return split(rows.window, min(MOST_PARTS, max(2, -(-number // AIMED_ROWS))))


def narrower_range(window: Window, page: Page) -> str:
    """Say which range a page answers, if that is narrower than the window; else nothing.

    A second at either end, or an answer in days, is no narrower; nor is what cannot be read.
    """
    try:
        begin = parse_instant(page.begin) if page.begin else window.begin
        end = parse_instant(page.end) if page.end else window.end
    except ValueError:
        return ""
    tolerance = timedelta(days=1)
    if begin - window.begin > tolerance or window.end - end > tolerance:
        return f"{page.begin} to {page.end}"
    return ""

"""Check: which rows of a range have come, whether they are all, and which range was answered.

The third of four stages: plan, fetch, check, emit. Pure bookkeeping, page by page. The list that is
read lives on meanwhile: engagements end and are added, old ones go. So a range is read in passes
from its first page to its last, and it is whole when one pass is whole by itself. The rows of all
passes are kept.
"""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from tap_zoom_cc.rows.decoder import RowKey, read_key
from tap_zoom_cc.sync.windows import DAY, MINUTE, SECOND, WIDEST_ZONE
from tap_zoom_cc.zoom import pages
from tap_zoom_cc.zoom.instants import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from tap_zoom_cc.sync.windows import Window
    from tap_zoom_cc.zoom.pages import Page

BYTES_PER_KEY = 400
"""What a row takes in memory besides its JSON, roughly."""

_LATEST = datetime.max.replace(tzinfo=timezone.utc)

_NAMED = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?:[Tt ](?P<minute>\d\d:\d\d)(?P<second>:\d\d(?:\.\d+)?)?)?"
    r"(?P<zone>[Zz]|(?P<offset>[+-]\d\d:\d\d))?",
    re.ASCII,
)
"""The forms in which an answer may name an end of its range."""


class Key(Protocol):
    """What must be known of a row while its range is read."""

    @property
    def row_id(self) -> str:
        """What tells the row from all others of its range."""

    @property
    def end_time(self) -> datetime | None:
        """When what the row is about ended; None if it does not say."""


KeyType = TypeVar("KeyType", bound=Key)


class RangeRows(Generic[KeyType]):
    """The rows of one range, by ID, over as many passes as it takes."""

    def __init__(
        self, read_key: Callable[[msgspec.Raw], KeyType], now: datetime | None = None
    ) -> None:
        """Start without rows; what ends after ``now``, the start of the run, is left to the next.

        ``read_key`` raises ``ValueError`` or ``msgspec.MsgspecError`` if a row has no key.
        """
        self._read_key = read_key
        self._now = now
        self.rows: dict[str, tuple[KeyType, msgspec.Raw, float]] = {}
        """By ID: the key, the row, and when it came, by the steady clock in seconds."""
        self.size = 0
        """The bytes that they take."""
        self.expected_rows = 0
        """How many rows the range has, as far as known."""
        self.expected_size = 0
        """How many bytes they take, as far as known."""
        self.is_whole = False
        """Whether all rows of the range are there, as far as its pages can tell."""
        self.begin_pass()

    def begin_pass(self) -> None:
        """Begin to read the range from its first page."""
        self._ids: set[str] = set()
        self._has_news = False
        self._has_shrunk = False
        self._least_total = 0
        self.first_total: int | None = None
        """How many rows Zoom announced first in this pass; None before it did."""
        self.last_total: int | None = None
        """How many it announced last in this pass."""
        self.has_ended = False
        """Whether nothing follows on the page that came last in this pass."""

    def add(self, page: Page) -> bool:
        """Take in a page; of two rows with one ID the later counts.

        Returns:
            Whether it held rows that this pass had not seen yet.

        Raises:
            msgspec.MsgspecError, ValueError: if a row lacks its key; nothing is taken in.
        """
        keys = [self._read_key(row) for row in page.rows or []]
        came_at = time.monotonic()
        seen = len(self._ids)
        for key, row in zip(keys, page.rows or [], strict=True):
            known = self.rows.get(key.row_id)
            if known is None:
                self.size += BYTES_PER_KEY
                is_news = self._now is None or key.end_time is None or key.end_time <= self._now
                self._has_news = self._has_news or is_news
            self.size += len(memoryview(row)) - (len(memoryview(known[1])) if known else 0)
            self.rows[key.row_id] = (key, row, came_at)
            self._ids.add(key.row_id)
        total = page.total_records
        # An empty page after others may announce none: that takes nothing back.
        if total is not None and (keys or not seen):
            if self.first_total is None:
                self.first_total = self._least_total = total
            self._has_shrunk = self._has_shrunk or total < (self.last_total or 0)
            self._least_total = min(total, self._least_total)
            self.last_total = total
        self.has_ended = not keys or not page.next_page_token
        self.expected_rows = max(self.last_total or 0, len(self.rows))
        self.expected_size = self.expected_rows * self.size // max(1, len(self.rows))
        return len(self._ids) > seen

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
        if self.first_total is None:
            self.is_whole = self.has_ended
            return
        is_whole = len(self._ids) >= self.first_total and not self._has_shrunk
        is_settled = number > 1 and not self._has_news and len(self._ids) >= self._least_total
        self.is_whole = is_whole or is_settled


class WindowRows(RangeRows[RowKey]):
    """The rows of one window of an account."""

    def __init__(self, window: Window, now: datetime | None = None) -> None:
        """Start without rows of a window; ``now`` is the start of the run."""
        super().__init__(read_key, now)
        self.window = window


def pages_for(rows: int) -> int:
    """Return how many pages that many rows take; an empty range takes one."""
    return max(1, -(-rows // pages.PAGE_SIZE))


class Answered(Enum):
    """Which range an answer names."""

    ASKED = "the range that was asked for, or more"
    LESS = "less, or a range beside it"
    NOTHING = "an empty range: nothing is kept of what was asked for"
    ANOTHER = "a range that does not meet it"


def answered(request: Window, page: Page) -> Answered:
    """Compare the range that a page names with the one that was asked for.

    An end covers the unit in which it is written: day, minute or second. A time with a numeric
    offset is an instant. Any other may be in the account's zone, since ``Z`` is a literal character
    in the document; so may be a day. Less than a minute may lack at either end: the next sync looks
    at the end again. What is missing or cannot be read counts as asked.

    A range that is as long as the one asked for, and moved by up to 14 hours, cannot be told from
    a zone (docs/promises.md).
    """
    begin, begin_zone = request.begin, timedelta(0)
    end, end_zone = request.end, timedelta(0)
    if named := _named(page.begin):
        begin, _, begin_zone = named
    if named := _named(page.end):
        end, unit, end_zone = named
        end += min(unit, _LATEST - end)
    if end - begin <= SECOND and request.end - request.begin > MINUTE:
        return Answered.NOTHING
    if begin - request.end > begin_zone or request.begin - end > end_zone:
        return Answered.ANOTHER
    lacking = (
        (request.end - request.begin) - (end - begin),
        begin - request.begin - begin_zone,
        request.end - end - end_zone,
    )
    return Answered.ASKED if max(lacking) < MINUTE else Answered.LESS


def _named(text: object) -> tuple[datetime, timedelta, timedelta] | None:
    """Return an instant that an answer names, its unit, and how far its zone may be from UTC."""
    found = _NAMED.fullmatch(str(text))
    if found is None:
        return None
    try:
        clock = f"{found['minute'] or '00:00'}{found['second'] or ':00'}"
        instant = parse_instant(f"{found['day']}T{clock}{found['zone'] or ''}")
    except ValueError:
        return None
    unit = SECOND if found["second"] else MINUTE if found["minute"] else DAY
    return instant, unit, timedelta(0) if found["offset"] else WIDEST_ZONE

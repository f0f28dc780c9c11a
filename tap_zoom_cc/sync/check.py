"""Check: which rows of a range have come, whether they are all, and which range was answered.

The third of four stages: plan, fetch, check, emit. Pure bookkeeping, page by page. The list that is
read lives on meanwhile: engagements end and are added, old ones go. So a range is read in passes
from its first page to its last, and it is whole when one pass is whole by itself. The rows of all
passes are kept.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from typing_extensions import override

from tap_zoom_cc.rows.decoder import read_key
from tap_zoom_cc.sync.windows import DAY, MINUTE, SECOND, WIDEST_ZONE
from tap_zoom_cc.zoom import pages
from tap_zoom_cc.zoom.instants import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from tap_zoom_cc.rows.decoder import RowKey
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


KeyType = TypeVar("KeyType", bound=Key)


@dataclass(slots=True)
class Pass:
    """What one pass through the pages of a range has brought so far."""

    ids: set[str] = field(default_factory=set)
    first_total: int | None = None
    last_total: int | None = None
    least_total: int | None = None
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
            self.least_total = total if self.least_total is None else min(total, self.least_total)
        self.has_ended_in_order = not ids or not page.next_page_token
        return len(self.ids) > before

    @property
    def reaches_its_total(self) -> bool:
        """Whether it has as many rows as its least total; without one, whether it ended in order.

        The least, because where totals flicker the one on the last page may be too high.
        """
        if self.least_total is None:
            return self.has_ended_in_order
        return len(self.ids) >= self.least_total

    @property
    def is_whole(self) -> bool:
        """Whether all rows of the range are there, as far as its pages can tell.

        It has as many rows as its first page announced; what ended since then belongs to a later
        sync. The total has not shrunk: a row that goes away moves the others forward, and one of
        them may have slipped from a page that was to come to one that was read already.

        That is exact where the newest rows come first. Where they come last, an addition and a
        removal within the same few seconds cancel out in the total; a later lookback finds the row.
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
        ids = [key.row_id for key in keys]
        came_at = time.monotonic()
        for row_id, key, row in zip(ids, keys, page.rows or [], strict=True):
            known = self.rows.get(row_id)
            if known is None:
                self.size += BYTES_PER_KEY
                self._news_of_pass += self._counts_as_news(key)
            self.size += len(memoryview(row)) - (len(memoryview(known[1])) if known else 0)
            self.rows[row_id] = (key, row, came_at)
        return self._pass.add(ids, page)

    def end_pass(self, number: int) -> None:
        """Judge a pass that came to its end, the first being number 1.

        No pass is whole where totals flicker, or where old rows go away one by one. There it is
        enough that a later pass reaches its least total, and brings nothing that earlier ones
        lacked.
        """
        settled = number > 1 and not self._news_of_pass and self._pass.reaches_its_total
        self.is_whole = self._pass.is_whole or settled

    def _counts_as_news(self, key: KeyType) -> bool:
        """Say whether a row that is new in this pass shows that earlier passes missed rows."""
        del key
        return True

    @property
    def has_ended(self) -> bool:
        """Whether nothing follows on the page that came last in this pass."""
        return self._pass.has_ended_in_order

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

"""Pages: what one answer of a list holds, up to the moment at which it becomes bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


@dataclass(frozen=True)
class Listing:
    """All that one query found: the same for each of its pages.

    ``key`` is the name under which an answer has its rows, ``rows`` gives those from one number to
    before another as JSON, and ``head`` is what the answer says besides.
    """

    key: str
    size: int
    rows: Callable[[int, int], list[bytes]]
    head: dict[str, object]


@dataclass
class Page:
    """One page of a listing, still open to being spoiled by a fault.

    ``owner`` is the query, which alone may use the page's tokens. ``asked_with`` is the page token
    of the request, empty for the first page. ``next_offset`` is where the next page begins, None
    after the last one.
    """

    listing: Listing
    owner: Hashable
    asked_with: str
    offset: int
    page_size: int
    rows: list[bytes] = field(init=False)
    next_offset: int | None = field(init=False)
    total_records: int | None = field(init=False)
    same_token: bool = False
    without_token: bool = False

    def __post_init__(self) -> None:
        """Cut the page out of the listing."""
        self.turn_to(self.offset)
        self.total_records = self.listing.size

    def turn_to(self, offset: int) -> None:
        """Hold the rows from ``offset`` on, and lead on behind them."""
        end = min(offset + self.page_size, self.listing.size)
        self.rows = self.listing.rows(offset, end)
        self.next_offset = end if end < self.listing.size else None

    def encode(self, issue_token: Callable[[int], str]) -> bytes:
        """Give the answer's body; ``issue_token`` makes the token of a page by its offset."""
        head: dict[str, object] = {}
        if not self.without_token:
            if self.same_token:
                head["next_page_token"] = self.asked_with
            else:
                follows = self.next_offset
                head["next_page_token"] = "" if follows is None else issue_token(follows)
        head["page_size"] = self.page_size
        if self.total_records is not None:
            head["total_records"] = self.total_records
        head |= self.listing.head
        opening = msgspec.json.encode(head)[:-1]
        return b'%b,"%b":[%b]}' % (opening, self.listing.key.encode(), b",".join(self.rows))

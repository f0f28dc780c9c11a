"""What was asked of a log, and what was seen in answer: the data on which all verdicts rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

Purpose: TypeAlias = Literal[
    "base", "range", "page", "page again", "after the end", "width", "history", "living"
]
"""Why a request is sent: the verdict for which its answer is meant. Others may use it too."""

OK = 200

UTC_OFFSET = timedelta(0)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: a range of whole seconds in UTC, and a page of it.

    ``offset`` is the offset from UTC in which ``from`` and ``to`` are written.
    """

    purpose: Purpose
    begin: datetime
    end: datetime
    offset: timedelta = UTC_OFFSET
    page_size: int = 100
    page_token: str = ""

    @property
    def written(self) -> tuple[str, str]:
        """``from`` and ``to`` as they stand in the request."""
        zone = timezone(self.offset)
        begin, end = self.begin.astimezone(zone), self.end.astimezone(zone)
        # isoformat and not the tap's own form: other offsets than UTC are asked for here.
        return begin.isoformat(), end.isoformat()


@dataclass(frozen=True, slots=True)
class Engagement:
    """A row: what tells it from others, its times in UTC, how they are written, and all it holds.

    ``zone`` is the end of its written start: ``Z``, or an offset such as ``+00:00``. ``values``
    are without the times.
    """

    row_id: str
    start: datetime
    end: datetime
    zone: str
    values: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer.

    ``token`` is None where the answer has no such key. ``told`` is the range that it names, word by
    word. ``date`` is Zoom's clock as the header says, in UTC.
    """

    asked: Asked
    status: int
    code: int | None = None
    rows: tuple[Engagement, ...] = ()
    token: str | None = None
    total: int | None = None
    told: tuple[str | None, str | None] = (None, None)
    date: datetime | None = None

    @property
    def is_page(self) -> bool:
        """Whether it is the page that was asked for."""
        return self.status == OK

    @property
    def is_whole(self) -> bool:
        """Whether it holds all engagements of its range."""
        return (
            self.is_page
            and not self.asked.page_token
            and not self.token
            and self.total in {None, len(self.rows)}
        )


Ask: TypeAlias = "Callable[[Asked], Seen]"
"""Sends a request and returns what was seen. An answer that is an error is seen too."""

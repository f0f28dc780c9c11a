"""What was asked of a log, and what was seen in answer: the data on which all verdicts rest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Literal, TypeAlias

from tap_zoom_cc.zoom.rules import OK

if TYPE_CHECKING:
    from datetime import datetime

    from tap_zoom_cc.sync.windows import Window

Purpose: TypeAlias = Literal["base", "range", "width", "history", "living"]
"""Why a request is sent: the verdict for which its answer is meant. Others may use it too."""

UTC_OFFSET = timedelta(0)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a page of a range; ``from`` and ``to`` are written in ``offset`` from UTC."""

    purpose: Purpose
    window: Window
    offset: timedelta = UTC_OFFSET
    page_token: str = ""

    @property
    def written(self) -> tuple[str, str]:
        """``from`` and ``to`` as they stand in the request."""
        zone = timezone(self.offset)
        begin, end = self.window.begin.astimezone(zone), self.window.end.astimezone(zone)
        # isoformat and not the tap's own form: other offsets than UTC are asked for here.
        return begin.isoformat(), end.isoformat()


@dataclass(frozen=True, slots=True)
class Engagement:
    """A row: its ID, its times in UTC, and the zone of its written start: ``Z``, ``+00:00``."""

    row_id: str
    start: datetime
    end: datetime
    zone: str


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer. ``told`` is the range that it names, ``token`` leads to the next page."""

    asked: Asked
    status: int
    code: int | None = None
    rows: tuple[Engagement, ...] = ()
    token: str | None = None
    total: int | None = None
    told: tuple[str | None, str | None] = (None, None)

    @property
    def is_page(self) -> bool:
        """Whether it is the page that was asked for."""
        return self.status == OK

    @property
    def is_whole(self) -> bool:
        """Whether it holds all engagements of its range."""
        has_all = self.total in {None, len(self.rows)}
        return self.is_page and has_all and not self.asked.page_token and not self.token

    @property
    def in_range(self) -> list[Engagement]:
        """The engagements of about the time that was asked for, within two days."""
        margin = timedelta(days=2)
        begin, end = self.asked.window.begin - margin, self.asked.window.end + margin
        return [row for row in self.rows if begin <= row.end and row.start <= end]

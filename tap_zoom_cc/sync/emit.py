"""Emit: turns checked windows into records, each version once, and says how far they reach.

The last of four stages: plan, fetch, check, emit. It runs in the main thread, window by window, in
order; between two windows the caller moves the bookmark if `Emitter.judge` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from tap_zoom_cc.run.stopping import StoppedError
from tap_zoom_cc.sync.fetch import MOST_PASSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_zoom_cc.rows.decoder import RowDecoder, RowKey
    from tap_zoom_cc.rows.types import Record
    from tap_zoom_cc.run.report import Report, Tally
    from tap_zoom_cc.run.stopping import Stop
    from tap_zoom_cc.sync.check import WindowRows
    from tap_zoom_cc.sync.windows import Window

RETURN_PERIOD = timedelta(hours=48)
"""How long after its end an engagement can come again: whole-day ranges, any time zone."""


class _Version(msgspec.Struct, gc=False):
    """What is kept of an engagement: its end, a hash of its row, and when that came."""

    end: datetime
    content: int
    came_at: float


@dataclass(slots=True)
class Emitted:
    """The engagements of an account that were emitted in this run and may come again."""

    _versions: dict[str, _Version] = field(default_factory=dict)

    def lacks(self, key: RowKey, row: msgspec.Raw, came_at: float, window: Window) -> bool:
        """Say whether a version was not emitted yet, and remember it if it may come again.

        That is so for an engagement's first row, and for each that differs and came after the one
        before: windows are fetched side by side, so a later one may hold the older version. An
        engagement without an end, or with an end before its start, may come again after each time
        it came.
        """
        end = key.end_time
        if end is None or end < key.start_time:
            end = max(window.end, key.start_time)
        known = self._versions.get(key.row_id)
        if known is None:
            if end >= window.end - RETURN_PERIOD:
                self._versions[key.row_id] = _Version(end, hash(bytes(row)), came_at)
            return True
        known.end = max(known.end, end)
        if came_at < known.came_at:
            return False
        before, known.content = known.content, hash(bytes(row))
        known.came_at = came_at
        return known.content != before

    def forget_before(self, window: Window) -> None:
        """Forget what cannot come again in this window or a later one."""
        earliest = window.begin - RETURN_PERIOD
        if any(known.end < earliest for known in self._versions.values()):
            self._versions = {
                name: known for name, known in self._versions.items() if known.end >= earliest
            }


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
        self._emitted.forget_before(window)
        for key, row, came_at in sorted(
            rows.rows.values(), key=lambda row: (row[0].start_time, row[0].row_id)
        ):
            if self.stop.asked:
                raise StoppedError(self.stop.reason)
            if not self._emitted.lacks(key, row, came_at, window):
                continue
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
        came = len(rows.rows)
        if rows.last_total is not None and came > rows.last_total:
            self.report.warn_once(
                f"surplus {self.where}",
                f"{self.where}: {came} engagements came where Zoom announced {rows.last_total}, "
                f"from {rows.window}; all are loaded",
            )
        if rows.is_whole:
            return self._all_whole
        announced = "an unknown number of" if rows.first_total is None else rows.first_total
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

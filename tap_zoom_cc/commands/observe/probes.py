"""Which ranges and pages of one log are asked for, each for the question that it settles.

The order matters: the first answer shows how many engagements there are, the next ones what a range
selects. With that known, the others can be asked for so that their answers mean something.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tap_zoom_cc.commands.observe.ranges import (
    MOST_ROWS,
    OTHER_OFFSET,
    READINGS,
    Witnesses,
    left_over,
    near,
    next_range,
)
from tap_zoom_cc.commands.observe.sightings import Asked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tap_zoom_cc.commands.observe.ranges import (
        Reading,
    )
    from tap_zoom_cc.commands.observe.sightings import Ask, Engagement, Purpose, Seen

BASE = timedelta(days=28)
"""The range that is asked for first: the longest that a month can be read as."""

SETTLED = timedelta(hours=1)
"""How long after its end an engagement is surely listed (own choice).

What ended later may be missing in one answer and there in the next one.
"""

WEEK = timedelta(days=7)

HISTORY_DAYS = (365, 730, 90)
"""How far back history is asked for: a year, then two if there is something, else a quarter."""

LONG_MONTHS, SHORT_MONTHS = (1, 3, 5, 7, 8, 10, 12), (4, 6, 9, 11)

RANGE_REQUESTS = 6
"""The most requests about what ranges select."""

CONFIRMATIONS = 1
"""How many of them are sent when one reading is left, to see that it holds."""


@dataclass
class Log:
    """One log of one account: how it is asked, and what has been seen of it.

    ``left`` counts down the requests that may still be sent; ``present`` is the end of all ranges.
    """

    ask_for: Ask
    present: datetime
    left: int
    seen: list[Seen] = field(default_factory=list)

    def ask(self, asked: Asked) -> Seen | None:
        """Ask, and keep what was seen; nothing if no request is left."""
        if self.left <= 0:
            return None
        self.left -= 1
        answer = self.ask_for(asked)
        self.seen.append(answer)
        return answer

    def of(self, *purposes: Purpose) -> list[Seen]:
        """Return the pages that were asked for these purposes, in order."""
        return [each for each in self.seen if each.is_page and each.asked.purpose in purposes]

    @property
    def witnesses(self) -> Witnesses:
        """The engagements that are known to exist, and that every answer could have held."""
        last_end = self.present - SETTLED
        return Witnesses(
            row for each in self.seen for row in each.rows if row.start <= row.end <= last_end
        )

    @property
    def readings(self) -> list[Reading]:
        """What the answers leave of all readings of ranges."""
        return left_over(READINGS, self.of("range"), self.witnesses)


def base(present: datetime) -> Asked:
    """Return the first request: the newest engagements of a log."""
    return Asked("base", present - BASE, present)


def look_closely(log: Log, *, ranges: int = RANGE_REQUESTS) -> None:
    """Ask what decides about ranges and pages; the first page of the log has been seen.

    Args:
        log: is asked, and keeps what was seen.
        ranges: the most requests about what ranges select.
    """
    _ask_about_ranges(log, ranges)
    _ask_about_pages(log)


def look_far(log: Log) -> None:
    """Ask how long a range may be and how far back history goes, and whether the list lives."""
    _ask_about_width(log)
    _ask_about_history(log)
    _ask_again(log)


def _ask_about_ranges(log: Log, most: int) -> None:
    first = log.seen[0]
    total = first.total or len(first.rows)
    longest = max(timedelta(hours=1), BASE * MOST_ROWS / 2 / max(total, 1))
    # A week before the newest ones: the same hour of such a day should have some, and all settled.
    # It also shows whether the range matters at all.
    newest = max((row.end for row in first.rows), default=log.present).replace(microsecond=0)
    middle = min(newest, log.present) - WEEK
    half = timedelta(seconds=min(longest, WEEK) // timedelta(seconds=2))
    log.ask(Asked("range", middle - half, middle + half))
    confirmed = 0
    for _ in range(most - 1):
        left = log.readings
        asked = _next_range(log, left, longest)
        if asked is None and left and confirmed < CONFIRMATIONS:
            # A reading that is wrong, and has come through by chance, would hardly do so again.
            confirmed += 1
            asked = _next_range(log, near(left[0]), longest)
        if asked is None or log.ask(asked) is None:
            return


def _next_range(log: Log, readings: Sequence[Reading], longest: timedelta) -> Asked | None:
    return next_range(
        readings,
        log.witnesses,
        longest=longest,
        present=log.present,
        asked_before=[each.asked for each in log.seen],
    )


def _ask_about_pages(log: Log) -> None:
    """Ask for a range in two pages, for the second one twice, and for what follows it."""
    whole = [each for each in log.of("range", "base") if each.is_whole and len(each.rows) > 1]
    if not whole:
        return
    known = max(whole, key=lambda each: (each.asked.purpose == "range", len(each.rows)))
    half = (len(known.rows) + 1) // 2
    asked = replace(_in_other_offset(known.asked, log.readings), purpose="page", page_size=half)
    first = log.ask(asked)
    if first is None or not first.token:
        return
    second = log.ask(replace(asked, page_token=first.token))
    log.ask(replace(asked, purpose="page again", page_token=first.token))
    if second is not None and second.token and second.token != first.token:
        log.ask(replace(asked, purpose="after the end", page_token=second.token))


def _in_other_offset(asked: Asked, readings: list[Reading]) -> Asked:
    """Return the same range in another offset, if it is known how to write that."""
    zones = {reading.zone is None for reading in readings}
    if zones == {True}:
        return replace(asked, offset=OTHER_OFFSET)
    if zones == {False}:
        moved = asked.offset - OTHER_OFFSET
        return replace(asked, begin=asked.begin + moved, end=asked.end + moved, offset=OTHER_OFFSET)
    return asked


def _ask_about_width(log: Log) -> None:
    """Ask for ranges about as long as months are, from days on which months differ in length.

    A refusal means the length only where a shorter range from the same day is accepted.
    """
    long_month = _fifteenth(log.present, LONG_MONTHS)
    short_month = _fifteenth(log.present, SHORT_MONTHS)
    if _is_accepted(log, long_month, 30.5):
        if _is_accepted(log, short_month, 30.5):
            _is_accepted(log, long_month, 31.5)
        else:
            _is_accepted(log, short_month, 29.5)
    elif not _is_accepted(log, long_month, 29.5):
        _is_accepted(log, long_month, 28)


def _fifteenth(present: datetime, months: tuple[int, ...]) -> datetime:
    """Return the last 15th of one of these months from which more than a month has passed."""
    day = (present - timedelta(days=33)).replace(hour=0, minute=0, second=0, microsecond=0)
    while day.day != 15 or day.month not in months:  # noqa: PLR2004 (the fifteenth)
        day -= timedelta(days=1)
    return day


def _is_accepted(log: Log, begin: datetime, days: float) -> bool:
    answer = log.ask(Asked("width", begin, begin + timedelta(days=days), page_size=1))
    return answer is not None and answer.is_page


def _ask_about_history(log: Log) -> None:
    a_year, two_years, a_quarter = HISTORY_DAYS
    answer = _ask_at(log, a_year)
    if answer is not None:
        _ask_at(log, two_years if lies_in_range(answer) else a_quarter)


def _ask_at(log: Log, days: int) -> Seen | None:
    end = log.present - timedelta(days=days)
    return log.ask(Asked("history", end - BASE, end, page_size=1))


def lies_in_range(answer: Seen) -> Engagement | None:
    """Return an engagement of an answer that is of about the time asked for, if there is one."""
    margin = timedelta(days=2)
    begin, end = answer.asked.begin - margin, answer.asked.end + margin
    return next((row for row in answer.rows if begin <= row.end and row.start <= end), None)


def _ask_again(log: Log) -> None:
    """Ask for the newest engagements again, and then for the second page by the first token."""
    first = log.seen[0]
    if first.token:
        log.ask(replace(first.asked, purpose="living"))
        log.ask(replace(first.asked, purpose="living", page_token=first.token))

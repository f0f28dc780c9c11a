"""From what was seen of a log to verdicts: `QUESTIONS` is the table of them.

Everything here is pure. A verdict is given only where the answers exclude every other reading that
is known. Texts are this module's own, with counts and times in them.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from tap_zoom_cc.commands.observe.ranges import READINGS, WIDTHS, accepted, readings_left
from tap_zoom_cc.run.report import counted
from tap_zoom_cc.sync.windows import DAY, LONGEST_REQUEST, SECOND, Window
from tap_zoom_cc.zoom.instants import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tap_zoom_cc.commands.observe.asking import Log
    from tap_zoom_cc.commands.observe.ranges import Reading

UNDETERMINED = "undetermined"


def verdicts(log: Log) -> dict[str, str]:
    """Return by question what was found of a log; `UNDETERMINED` begins what is not known."""
    return {
        question: find(log) or f"{UNDETERMINED}; it takes {takes}"
        for question, (find, takes) in QUESTIONS.items()
    }


def advice(log: Log, lookback: timedelta) -> Iterator[str]:
    """Give what follows for the settings of an account, of which syncs look so far back."""
    left, longest, setting = readings_left(log), _longest_seen(log), f"{log.name}_lookback_days"
    selected = {reading.selects_on for reading in left}
    if selected in ({"end"}, {"overlap"}):
        if all(reading.zone is None and not reading.days for reading in left):
            by = SELECTED[selected.pop()].partition(":")[0]
            yield (
                f"Zoom selects `{log.name}` by {by} here, so that a lookback of 1 hour would do "
                f"(`{setting}: 0.05`)"
            )
    elif longest is not None and longest > lookback:
        days = -(-longest // DAY)
        was_open = f"an engagement in `{log.name}` was open for {longest}"
        yield f"{was_open}: set `{setting}` to {days} at least"
    if kept := _kept_for(log):
        yield f"a `start_date` further back than about {_days(kept)} has nothing to read"
    if _total(log).startswith(TOTAL_DIFFERS):
        yield "`on_count_mismatch: warn`, if the totals stay wrong"


def _agreed(findings: Iterable[str]) -> str:
    """Return the one finding that there is; nothing if there are several, or none."""
    different = set(findings)
    return different.pop() if len(different) == 1 else ""


def _days(length: timedelta) -> str:
    return counted(round(length / DAY), "day")


# Ranges

SELECTED: Mapping[str, str] = {
    "start": "start time",
    "end": "end time",
    "overlap": "overlap: any part of it lies in the range",
}


def _readings(log: Log) -> str:
    left = len(readings_left(log))
    return f"{left} of {len(READINGS)}{'' if left else ': what came fits none that is known'}"


def _all(tell: Callable[[Reading], str]) -> Callable[[Log], str]:
    """Return what finds what all readings agree on that are left."""
    return lambda log: _agreed(map(tell, readings_left(log)))


def _edge(reading: Reading, is_included: bool) -> str:  # noqa: FBT001 (of one edge or the other)
    if reading.days:
        return ""
    return "is in the range" if is_included else "is not in the range"


def _offset(reading: Reading) -> str:
    if reading.zone is None:
        return "decides which engagements are selected"
    return "does not decide: times are read in a zone of the account's own"


# Pages

FEWEST_IN_ORDER = 10
"""Rows that a page must have for its order to be no accident: ten have 3.6 million orders."""


def _order(log: Log) -> str:
    pages = [each.rows for each in log.seen]
    if max(map(len, pages)) < FEWEST_IN_ORDER:
        return ""
    fitting = []
    for name, key in (("start", attrgetter("start")), ("end", attrgetter("end"))):
        for order, is_reverse in (("oldest first", False), ("newest first", True)):
            if all(list(rows) == sorted(rows, key=key, reverse=is_reverse) for rows in pages):
                fitting.append(f"by {name} time, {order}")
    return _agreed(fitting or ["neither by start nor by end time"])


TOTAL_DIFFERS = "differs from the rows that come"


def _total(log: Log) -> str:
    """Compare the totals of ranges that were read whole with the rows that came."""
    counts = [
        (each.total, len({row.row_id for row in each.rows}))
        for each in log.of("range", "base")
        if not each.token and each.total is not None
    ]
    wrong = [f"{told} for {rows}" for told, rows in counts if told != rows]
    if not any(rows for _, rows in counts):
        return ""
    return f"{TOTAL_DIFFERS}, such as {wrong[0]}" if wrong else "agrees with the rows"


def _living(log: Log) -> str:
    totals = [each.total for each in log.of("base", "living")]
    if len(totals) < 3 or None in totals:  # noqa: PLR2004 (the first page, it again, the second)
        return ""
    first, fresh, second = (each or 0 for each in totals)
    if first != second:
        return "lives: the total grows from page to page"
    return "stands still" if fresh > first + 1 else ""


# The ranges that answers name

ZONE_SHIFT = timedelta(hours=15)
"""By how much a range that is named may differ, only because it is given in another zone."""

A_DAY_OR_SO = timedelta(hours=36)
CLEARLY_APART = timedelta(days=3)


def _told(log: Log) -> str:
    return _agreed(_form(text) for each in log.seen if each.is_page for text in each.told)


def _form(text: str | None) -> str:
    if text is None:
        return "is not there"
    try:
        parse_instant(text)
    except ValueError:
        return "is in a form that cannot be read"
    return "is given in days" if len(text) == len("2026-01-31") else "is given as date-times"


class _Named(NamedTuple):
    """The range that an answer names, and the one that was asked for."""

    told: Window
    asked: Window

    @property
    def is_short(self) -> bool:
        return self.told.begin > self.asked.begin + ZONE_SHIFT


def _named(log: Log) -> list[_Named]:
    """Return the ranges that answers name; none where answers are for other ranges than asked."""
    found = []
    for each in log.seen:
        if each.rows and not each.in_range:
            return []
        if each.is_page and not each.asked.page_token:
            with suppress(ValueError):
                told = Window(*(parse_instant(text or "") for text in each.told))
                found.append(_Named(told, each.asked.window))
    return found


def _shared(log: Log, length: Callable[[_Named], timedelta]) -> timedelta | None:
    """Return a length that short answers to ranges far apart have in common, a day more or less."""
    short = [each for each in _named(log) if each.is_short]
    lengths, ends = [length(each) for each in short], [each.asked.end for each in short]
    if not short or max(ends) - min(ends) <= CLEARLY_APART:
        return None
    return max(lengths) if max(lengths) - min(lengths) <= A_DAY_OR_SO else None


def _kept_for(log: Log) -> timedelta | None:
    """Return how far back answers begin, whatever is asked for; None if some do not."""
    age = _shared(log, lambda each: log.present - each.told.begin)
    whole = (log.present - each.asked.begin for each in _named(log) if not each.is_short)
    return age if age and max(whole, default=timedelta(0)) <= age + A_DAY_OR_SO else None


def _covered(log: Log) -> str:
    if _kept_for(log):
        return "what history there is"
    if length := _shared(log, lambda each: each.told.end - each.told.begin):
        return f"only its last {_days(length)}"
    named = _named(log)
    longest = max((each.asked.end - each.asked.begin for each in named), default=timedelta(0))
    is_all = longest >= LONGEST_REQUEST and not any(each.is_short for each in named)
    return "all of it, as answers say" if is_all else ""


def _history(log: Log) -> str:
    if kept := _kept_for(log):
        return f"about {_days(kept)}: answers begin there"
    ends = [row.end for each in log.of("history", "width") for row in each.in_range]
    return f"at least {counted((log.present - min(ends)) // DAY, 'day')}" if ends else ""


def _longest_seen(log: Log) -> timedelta | None:
    """Return how long the longest engagement was open, in whole seconds."""
    lengths = [row.end - row.start for each in log.seen for row in each.rows]
    return max(lengths) // SECOND * SECOND if lengths else None


def _longest(log: Log) -> str:
    ids = {row.row_id for each in log.seen for row in each.rows}
    return f"{_longest_seen(log)}, of {counted(len(ids), 'engagement')} seen" if ids else ""


# The table

MORE = "more engagements that ended over an hour ago, some of them minutes long or longer"
EDGES = f"{MORE}, in ranges that are not read as whole days"

QUESTIONS: Mapping[str, tuple[Callable[[Log], str], str]] = {
    "readings of ranges that are left": (_readings, ""),
    "what `from` and `to` select on": (_all(lambda each: SELECTED[each.selects_on]), MORE),
    "an engagement at exactly `from`": (_all(lambda each: _edge(each, each.from_inclusive)), EDGES),
    "an engagement at exactly `to`": (_all(lambda each: _edge(each, each.to_inclusive)), EDGES),
    "precision of `from` and `to`": (
        _all(lambda each: "whole days" if each.days else "the second"),
        MORE,
    ),
    "the offset of `from` and `to`": (_all(_offset), MORE),
    "order of rows": (_order, f"a page of {FEWEST_IN_ORDER} rows, of which some overlap"),
    "`total_records`": (_total, "a range with 1 to 100 engagements, and a total"),
    "the list, while its pages are read": (
        _living,
        "over 100 engagements in 28 days, and some that end meanwhile",
    ),
    "the range that an answer names": (_told, "answers that agree"),
    "what of a range is answered": (_covered, "more answers that name their range"),
    "the longest engagement seen": (_longest, "engagements"),
    "how far back history goes": (_history, "an account that is older than these ranges"),
    "the longest range": (
        lambda log: WIDTHS.get(accepted(log), ""),
        "ranges of up to 31 days, some of them refused",
    ),
}

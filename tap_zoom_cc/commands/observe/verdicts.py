"""From what was seen of a log to verdicts: each with its evidence, or what it would take.

Everything here is pure. A verdict is given only where the answers exclude every other reading that
is known. Texts are this module's own, with counts and times in them, and names of fields.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from tap_zoom_cc.commands.observe.fields import A_NAME, surprises
from tap_zoom_cc.commands.observe.probes import lies_in_range
from tap_zoom_cc.commands.observe.ranges import READINGS, SECOND, milliseconds
from tap_zoom_cc.commands.observe.sightings import UTC_OFFSET
from tap_zoom_cc.run.report import counted
from tap_zoom_cc.zoom.instants import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from tap_zoom_cc.commands.observe.probes import Log
    from tap_zoom_cc.commands.observe.ranges import Reading
    from tap_zoom_cc.commands.observe.sightings import Engagement, Seen

UNDETERMINED = "undetermined"

SELECTS_ON = "what `from` and `to` select on"
AT_FROM = "an engagement at exactly `from`"
AT_TO = "an engagement at exactly `to`"
PRECISION = "precision of `from` and `to`"
OFFSET = "the offset of `from` and `to`"
DATE_TIMES = "date-times in `from` and `to`"
WRITTEN_TIMES = "times in rows"
ORDER = "order of rows"
TOKEN_AGAIN = "a page token that is used again"  # noqa: S105 (no password)
LAST_TOKEN = "the page token of the last page"  # noqa: S105 (no password)
TOTAL = "`total_records`"
LIVING = "the list, while its pages are read"
TOLD = "the range that an answer names"
COVERED = "what of a range is answered"
DELAY = "an engagement is listed"
LONGEST = "the longest engagement seen"
HISTORY = "how far back history goes"
WIDTH = "the longest range"
CHANGES = "rows that were read twice"
FIELDS = "fields, compared with the schema"

SELECTED: Mapping[str, str] = {
    "start": "start time",
    "end": "end time",
    "overlap": "overlap: any part of it lies in the range",
}

FEWEST_IN_ORDER = 10
"""Rows that a page must have for its order to be no accident: ten have 3.6 million orders."""

ZONE_SHIFT = timedelta(hours=15)
"""By how much a range that is named may differ, only because it is given in another zone."""

A_DAY_OR_SO = timedelta(hours=36)
CLEARLY_APART = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about a question now; ``finding`` is `UNDETERMINED` where nothing is."""

    question: str
    finding: str
    evidence: str

    @property
    def is_known(self) -> bool:
        """Whether there is a finding."""
        return self.finding != UNDETERMINED


def undetermined(question: str, evidence: str, takes: str) -> Verdict:
    """Return that a question stays open, and what data it would take."""
    return Verdict(question, UNDETERMINED, f"{evidence}; it takes {takes}")


def verdicts(log: Log, schema: Mapping[str, object]) -> list[Verdict]:
    """Return a verdict on each question about a log.

    Args:
        log: what was seen of it.
        schema: of its rows.
    """
    return [
        *_of_ranges(log),
        _date_times(log),
        _written_times(log),
        _order(log),
        _token_again(log),
        _last_token(log),
        _total(log),
        _living(log),
        _told(log),
        _covered(log),
        _delay(log),
        _longest(log),
        _history(log),
        _width(log),
        _changes(log),
        _fields(log, schema),
    ]


# Ranges


def _of_ranges(log: Log) -> list[Verdict]:
    answers, left = log.of("range"), log.readings
    known = log.witnesses.engagements
    evidence = (
        f"{counted(len(answers), 'range')}, {counted(len(known), 'engagement')}; "
        f"{len(READINGS) - len(left)} of {len(READINGS)} readings excluded"
    )
    takes = "more engagements that ended over an hour ago, some of them minutes long or longer"
    if not left:
        evidence = f"{evidence}: what came fits none that is known"
        takes = "a closer look at the answers"
    questions: tuple[tuple[str, Callable[[Reading], str]], ...] = (
        (SELECTS_ON, lambda reading: SELECTED[reading.selects_on]),
        (AT_FROM, lambda reading: _at_edge(reading, inclusive=reading.from_inclusive)),
        (AT_TO, lambda reading: _at_edge(reading, inclusive=reading.to_inclusive)),
        (PRECISION, lambda reading: "whole days" if reading.days else THE_SECOND),
        (OFFSET, _offset),
    )
    found = []
    for question, finding in questions:
        findings = {finding(reading) for reading in left}
        if (
            question == OFFSET
            and len(findings) > 1
            and all(reading.zone is not None for reading in left)
        ):
            findings = {OFFSET_IGNORED}
        if len(findings) == 1 and UNDETERMINED not in findings:
            found.append(Verdict(question, findings.pop(), evidence))
        elif findings == {UNDETERMINED}:
            found.append(undetermined(question, evidence, "ranges that are not read as whole days"))
        else:
            found.append(undetermined(question, evidence, takes))
    return found


THE_SECOND = "the second"
OFFSET_DECIDES = "decides which engagements are selected"
OFFSET_IGNORED = "does not decide: times are read in a zone of the account's own"


def _at_edge(reading: Reading, *, inclusive: bool) -> str:
    if reading.days:
        return UNDETERMINED
    return "is in the range" if inclusive else "is not in the range"


def _offset(reading: Reading) -> str:
    if reading.zone is None:
        return OFFSET_DECIDES
    minutes = reading.zone // (60 * SECOND)
    sign = "-" if minutes < 0 else "+"
    return f"{OFFSET_IGNORED}, UTC{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def _date_times(log: Log) -> Verdict:
    pages = [each for each in log.seen if each.is_page]
    return Verdict(
        DATE_TIMES, "accepted", f"{counted(len(pages), 'page')} of ranges with date-times"
    )


def _written_times(log: Log) -> Verdict:
    seen = {
        (each.asked.written[0][len("2026-01-31T00:00:00") :], row.zone)
        for each in log.seen
        for row in each.rows
    }
    asked = {offset for offset, _ in seen}
    evidence = f"asked for in {counted(len(asked), 'offset')}"
    if len(asked) > 1 and {zone for _, zone in seen} == {"Z"}:
        return Verdict(WRITTEN_TIMES, "with `Z`", evidence)
    if len(asked) > 1 and all(offset == zone for offset, zone in seen):
        return Verdict(WRITTEN_TIMES, "in the offset of `from`", evidence)
    if len(asked) > 1:
        return Verdict(WRITTEN_TIMES, "in neither one way nor the other", evidence)
    return undetermined(WRITTEN_TIMES, evidence, "engagements in ranges of two offsets")


# Pages

ORDERS: Mapping[str, Callable[[Engagement], float]] = {
    "by start time, oldest first": lambda row: milliseconds(row.start),
    "by start time, newest first": lambda row: -milliseconds(row.start),
    "by end time, oldest first": lambda row: milliseconds(row.end),
    "by end time, newest first": lambda row: -milliseconds(row.end),
}
NO_ORDER = "neither by start nor by end time"


def _order(log: Log) -> Verdict:
    pages = [each.rows for each in log.seen if len(each.rows) > 1]
    fitting = [
        name
        for name, key in ORDERS.items()
        if all(key(one) <= key(next_one) for rows in pages for one, next_one in pairwise(rows))
    ]
    largest = max(map(len, pages), default=0)
    evidence = f"{counted(len(pages), 'page')} of up to {counted(largest, 'row')}"
    if largest >= FEWEST_IN_ORDER and len(fitting) <= 1:
        return Verdict(ORDER, fitting[0] if fitting else NO_ORDER, evidence)
    if fitting and largest >= FEWEST_IN_ORDER:
        evidence = f"{evidence} fit {counted(len(fitting), 'order')}"
    takes = f"a page of {FEWEST_IN_ORDER} rows, of which some overlap"
    return undetermined(ORDER, evidence, takes)


def _pair(log: Log) -> tuple[Seen, Seen] | None:
    """Return the two pages into which a range was divided, if there are two."""
    pages = log.of("page")
    return (pages[0], pages[1]) if len(pages) > 1 else None


TWO_PAGES = "a range with 2 to 100 engagements"


def _token_again(log: Log) -> Verdict:
    pair = _pair(log)
    again = next((each for each in log.seen if each.asked.purpose == "page again"), None)
    if not pair or not again:
        return undetermined(TOKEN_AGAIN, "no range was read in two pages", TWO_PAGES)
    if not again.is_page:
        return Verdict(TOKEN_AGAIN, "is refused", f"1 page; {status_of(again)}")
    same = _ids(again) == _ids(pair[1])
    finding = "gives the same rows again" if same else "gives other rows"
    return Verdict(TOKEN_AGAIN, finding, f"1 page of {counted(len(again.rows), 'row')}")


def _last_token(log: Log) -> Verdict:
    pair = _pair(log)
    if not pair or len({*_ids(pair[0]), *_ids(pair[1])}) != pair[0].total:
        return undetermined(LAST_TOKEN, "no last page was seen", TWO_PAGES)
    first, last = pair
    evidence = f"{len(first.rows)} and {counted(len(last.rows), 'row')} of {first.total}"
    if last.token is None:
        return Verdict(LAST_TOKEN, "is left out", evidence)
    if not last.token:
        return Verdict(LAST_TOKEN, "is an empty text", evidence)
    if last.token == first.token:
        return Verdict(LAST_TOKEN, "is the one before it", evidence)
    after = next((each for each in log.seen if each.asked.purpose == "after the end"), None)
    gives = "was not used"
    if after is not None:
        gives = "is refused" if not after.is_page else "gives an empty page"
        gives = "gives rows again" if after.rows else gives
        evidence = f"{evidence}; then {status_of(after)}"
    return Verdict(LAST_TOKEN, f"is another one, which {gives}", evidence)


TOTAL_DIFFERS = "differs from the rows that come"


def _total(log: Log) -> Verdict:
    counts = [
        (each.total, len(set(_ids(each))))
        for each in log.of("range", "base")
        if not each.token and each.total is not None
    ]
    pair = _pair(log)
    if pair and pair[0].total is not None and not pair[1].token:
        counts.append((pair[0].total, len({*_ids(pair[0]), *_ids(pair[1])})))
    wrong = [(total, rows) for total, rows in counts if total != rows]
    evidence = (
        f"{counted(len(counts), 'range')} read whole, of up to "
        f"{counted(max((rows for _, rows in counts), default=0), 'row')}"
    )
    if not any(rows for _, rows in counts):
        return undetermined(TOTAL, evidence, "a range with 1 to 100 engagements, and a total")
    if wrong:
        evidence = f"{evidence}; {len(wrong)} wrong, such as {wrong[0][0]} for {wrong[0][1]}"
        return Verdict(TOTAL, TOTAL_DIFFERS, evidence)
    return Verdict(TOTAL, "agrees with the rows", evidence)


STANDS_STILL, LIVES = "stands still", "lives: the total grows from page to page"


def _living(log: Log) -> Verdict:
    base, again = log.of("base"), log.of("living")
    takes = "over 100 engagements in 28 days, and some that end while their pages are read"
    if not base or len(again) < 2 or None in (totals := [each.total for each in (*base, *again)]):  # noqa: PLR2004
        return undetermined(LIVING, "the newest engagements were not read again", takes)
    first, fresh, second = base[0], *again[:2]
    seconds = _seconds_between(first, second)
    evidence = (
        f"first page {totals[0]}, asked for again {totals[1]}, then the second page {totals[2]}"
        + (f", within {seconds} s" if seconds is not None else "")
    )
    repeated = len(set(_ids(first)) & set(_ids(second)))
    new = len(set(_ids(fresh)) - set(_ids(first)))
    if first.total != second.total:
        if repeated:
            finding = f"{LIVES}, and a token is an offset into it"
            return Verdict(LIVING, finding, f"{evidence}; {counted(repeated, 'row')} came twice")
        return Verdict(LIVING, LIVES, f"{evidence}; no row came twice, {new} new on the first page")
    if (fresh.total or 0) > (first.total or 0) + 1:
        return Verdict(LIVING, STANDS_STILL, evidence)
    return undetermined(LIVING, evidence, takes)


# Answers about ranges


def _told(log: Log) -> Verdict:
    answers = [each.told for each in log.seen if each.is_page]
    forms = {_form(text) for told in answers for text in told}
    evidence = counted(len(answers), "answer")
    if len(forms) == 1:
        return Verdict(TOLD, forms.pop(), evidence)
    return Verdict(TOLD, "differs from answer to answer", evidence)


def _form(text: str | None) -> str:
    if text is None:
        return "is not there"
    try:
        parse_instant(text)
    except ValueError:
        return "is in a form that cannot be read"
    return "is given in days" if len(text) == len("2026-01-31") else "is given as date-times"


@dataclass(frozen=True, slots=True)
class _Named:
    """The range that an answer names, and the one that was asked for."""

    begin: datetime
    end: datetime
    asked_begin: datetime
    asked_end: datetime

    @property
    def is_short(self) -> bool:
        """Whether the beginning was not answered."""
        return self.begin > self.asked_begin + ZONE_SHIFT


def _named(log: Log) -> list[_Named]:
    """Return the ranges that answers name; none where answers are for other ranges than asked."""
    if any(each.rows and lies_in_range(each) is None for each in log.seen):
        return []
    found = []
    for each in log.seen:
        begin, end = each.told
        if each.is_page and not each.asked.page_token and begin and end:
            try:
                edges = parse_instant(begin), parse_instant(end)
            except ValueError:
                continue
            found.append(_Named(*edges, each.asked.begin, each.asked.end))
    return found


def _kept_from(log: Log) -> datetime | None:
    """Return when answers begin whatever is asked for, if several agree and no other disagrees."""
    named = _named(log)
    short = [each for each in named if each.is_short]
    begins = [each.begin for each in short]
    if not _far_apart(short) or max(begins) - min(begins) > A_DAY_OR_SO:
        return None
    whole = [each for each in named if not each.is_short]
    if any(each.asked_begin < min(begins) - A_DAY_OR_SO for each in whole):
        return None
    return min(begins)


def _far_apart(short: Sequence[_Named]) -> bool:
    """Return whether two of these ranges end far apart, so that what they share is no accident."""
    return any(
        abs(one.asked_end - other.asked_end) > CLEARLY_APART
        and abs(one.asked_begin - other.asked_begin) > CLEARLY_APART
        for one, other in combinations(short, 2)
    )


def _covered(log: Log) -> Verdict:
    named = _named(log)
    short = [each for each in named if each.is_short]
    evidence = f"{len(short)} of {counted(len(named), 'answer')} name a shorter range"
    takes = "answers that name their range"
    if _kept_from(log) is not None:
        return Verdict(COVERED, "what history there is", evidence)
    lengths = [each.end - each.begin for each in short]
    if short:
        alike = max(lengths) - min(lengths) <= A_DAY_OR_SO
        if alike and _far_apart(short):
            days = round(max(lengths) / timedelta(days=1))
            return Verdict(COVERED, f"only its last {counted(days, 'day')}", evidence)
        return undetermined(COVERED, evidence, "more answers that do")
    longest = max((each.asked_end - each.asked_begin for each in named), default=UTC_OFFSET)
    if longest >= timedelta(days=28):
        days = longest // timedelta(days=1)
        return Verdict(COVERED, "all of it, as answers say", f"{evidence}; up to {days} days")
    return undetermined(COVERED, evidence, takes)


# Times


def _delay(log: Log) -> Verdict:
    lags = [
        each.date - row.end
        for each in log.of("base", "living")
        for row in each.rows
        if each.date is not None
    ]
    evidence = f"{counted(len(lags), 'engagement')}, the newest against Zoom's clock"
    shortest = min(lags, default=None)
    if shortest is None or not UTC_OFFSET <= shortest <= timedelta(hours=1):
        return undetermined(DELAY, evidence, "an engagement that ended within the last hour")
    seconds = math.ceil(shortest / timedelta(seconds=1))
    finding = f"at most {seconds} s after its end, where it was newest"
    return Verdict(DELAY, finding, evidence)


def longest_seen(log: Log) -> timedelta | None:
    """Return how long the longest engagement was open."""
    return max((row.end - row.start for each in log.seen for row in each.rows), default=None)


def _longest(log: Log) -> Verdict:
    longest = longest_seen(log)
    ids = {row.row_id for each in log.seen for row in each.rows}
    evidence = counted(len(ids), "engagement")
    if longest is None:
        return undetermined(LONGEST, evidence, "engagements")
    return Verdict(LONGEST, in_words(longest), evidence)


def in_words(duration: timedelta) -> str:
    """Return a duration in days, hours, minutes and seconds, without what is zero."""
    seconds = duration // timedelta(seconds=1)
    parts = []
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number, seconds = divmod(seconds, length)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts) or "0 s"


BEGINS_THERE = ": answers begin there"


def _history(log: Log) -> Verdict:
    kept = _kept_from(log)
    answers = log.of("history")
    if kept is not None:
        days = round((log.present - kept) / timedelta(days=1))
        evidence = f"{sum(each.is_short for each in _named(log))} answers begin there"
        return Verdict(HISTORY, f"about {counted(days, 'day')}{BEGINS_THERE}", evidence)
    ages = [
        (log.present - row.end) // timedelta(days=1)
        for each in log.of("history", "width")
        for row in [lies_in_range(each)]
        if row is not None
    ]
    evidence = f"{counted(len(answers), 'range')} of 28 days asked for, further and further back"
    if ages:
        return Verdict(HISTORY, f"at least {counted(max(ages), 'day')}", evidence)
    return undetermined(HISTORY, evidence, "an account that is older than these ranges")


def _width(log: Log) -> Verdict:
    asked = [each for each in log.seen if each.asked.purpose == "width"]
    accepted = {
        (index, days): each.is_page
        for each in asked
        for days in [(each.asked.end - each.asked.begin) / timedelta(days=1)]
        for index in [each.asked.begin.month]
    }
    words = ", ".join(
        f"{days:g} days from month {month} {'accepted' if good else 'refused'}"
        for (month, days), good in accepted.items()
    )
    takes = "ranges of up to 31 days that are accepted or refused for their length"
    if not asked or any(each.status not in {200, 400} for each in asked):
        return undetermined(WIDTH, words or "not asked for in this log", takes)
    outcome = "".join(f"{days:g}{'+' if good else '-'} " for (_, days), good in accepted.items())
    return (
        Verdict(WIDTH, WIDTHS[outcome.strip()], words)
        if outcome.strip() in WIDTHS
        else undetermined(WIDTH, words, takes)
    )


WIDTHS: Mapping[str, str] = {
    "30.5- 29.5- 28+": "28 days",
    "30.5- 29.5+": "30 days",
    "30.5+ 30.5+ 31.5-": "31 days",
    "30.5+ 30.5- 29.5+": "a calendar month",
    "30.5+ 30.5+ 31.5+": "more than 31 days",
}
"""What follows from which lengths were accepted, in the order in which they are asked for."""


# Rows


def _changes(log: Log) -> Verdict:
    first: dict[str, tuple[Seen, Engagement]] = {}
    twice: set[str] = set()
    changed: dict[str, set[str]] = {}
    seconds = 0
    for each in log.seen:
        for row in each.rows:
            before, old = first.setdefault(row.row_id, (each, row))
            if before is each:
                continue
            twice.add(row.row_id)
            seconds = max(seconds, _seconds_between(before, each) or 0)
            if names := _changed_fields(old, row):
                changed.setdefault(row.row_id, set()).update(names)
    evidence = f"{counted(len(twice), 'engagement')}, within {seconds} s"
    if changed:
        names = {name for each in changed.values() for name in each if A_NAME.match(name)}
        listed = ", ".join(f"`{name}`" for name in sorted(names))
        return Verdict(CHANGES, f"{len(changed)} changed: {listed}", evidence)
    if twice:
        return Verdict(CHANGES, "none had changed", evidence)
    return undetermined(CHANGES, evidence, "engagements that are in two answers")


def _changed_fields(old: Engagement, new: Engagement) -> set[str]:
    names = {
        name
        for name in {*old.values, *new.values}
        for before, after in [(old.values.get(name), new.values.get(name))]
        if before != after and _without_offsets(before) != _without_offsets(after)
    }
    if old.start != new.start:
        names.add("start_time")
    if old.end != new.end:
        names.add("end_time")
    return names


def _without_offsets(value: object) -> object:
    """Return a value with instants for its times: one can be written in several offsets."""
    if isinstance(value, dict):
        return {name: _without_offsets(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_offsets(inner) for inner in value]
    if isinstance(value, str):
        try:
            return parse_instant(value)
        except ValueError:
            return value
    return value


MOST_FIELDS = 20


def _fields(log: Log, schema: Mapping[str, object]) -> Verdict:
    rows = {row.row_id: row.values for each in log.seen for row in each.rows}
    evidence = counted(len(rows), "engagement")
    if not rows:
        return undetermined(FIELDS, evidence, "engagements")
    found = surprises(rows.values(), schema)
    if not found:
        return Verdict(FIELDS, "all as declared", evidence)
    listed = [f"{what} ({count})" for what, count in sorted(found.items())]
    more = f"; and {len(listed) - MOST_FIELDS} more" if len(listed) > MOST_FIELDS else ""
    return Verdict(FIELDS, "; ".join(listed[:MOST_FIELDS]) + more, evidence)


def _ids(answer: Seen) -> tuple[str, ...]:
    return tuple(row.row_id for row in answer.rows)


def status_of(answer: Seen) -> str:
    """Return the HTTP status of an answer, and Zoom's code."""
    code = "" if answer.code is None else f", code {answer.code}"
    return f"HTTP {answer.status}{code}"


def _seconds_between(one: Seen, other: Seen) -> int | None:
    if one.date is None or other.date is None:
        return None
    return (milliseconds(other.date) - milliseconds(one.date)) // SECOND

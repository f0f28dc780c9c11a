"""What syncs of a thousand accounts cost when those that are quiet rest, and what is later.

Most of them are as most accounts of a partner are: little comes from them. Nothing is requested
here, as in `benchmark.steady`: the tap's own functions say who rests, and from when the others are
read; histories say what is found there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

from benchmark.listed import LISTING_SECONDS, Cost, Listed
from benchmark.table import Row
from simulator.engagements import History
from simulator.scenario import STREAMS, Account, Scenario
from tap_zoom_cc.services import LISTING
from tap_zoom_cc.sync.bookmarks import rest_of, silent_from
from tap_zoom_cc.sync.lookback import Progress, begin_of_reread, phase_of
from tap_zoom_cc.sync.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from simulator.scenario import Stream

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)

BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)

LOOKBACKS = {"sms": timedelta(days=14), "voice_calls": timedelta(days=2)}
"""The defaults."""

BEFORE = 6 * WEEK
"""What lies before the first sync that is counted: more than the deepest read."""

Kind: TypeAlias = "tuple[int, float, str]"

SPAN = WEEK
"""Of the syncs that are counted."""

KINDS: Sequence[Kind] = (
    (50, 144 * 7, "an engagement every 5 minutes"),
    (200, 14, "4 a day"),
    (750, 0.5, "1 a week"),
)
"""How many accounts, how many engagements a week in each of their two streams, and in words."""

SCHEDULES = (HOUR, 2 * HOUR, 4 * HOUR)
RESTS = (6 * HOUR, 24 * HOUR)
"""The settings that are compared with 0."""

MOST_REQUESTS = 18_000


@dataclass(slots=True)
class Syncs:
    """What some syncs took, and when each new engagement was found."""

    cost: Cost = field(default_factory=Cost)
    waited: dict[tuple[str, Stream, int], timedelta] = field(default_factory=dict)
    """From the listing until a sync found it: by account, stream and number of the engagement."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Regular syncs of all accounts: what they took for each kind, and to list the accounts."""

    by_kind: Sequence[Syncs]
    listing_requests: int

    @property
    def waited(self) -> dict[tuple[str, Stream, int], timedelta]:
        """How long each new engagement waited."""
        return {name: time for each in self.by_kind for name, time in each.waited.items()}

    def row(self, what: str, numbers: Sequence[int], *, aimed: bool = False) -> Row:
        """Return a row that says what they take in a day.

        Args:
            what: names the schedule.
            numbers: how many accounts there are of each kind.
            aimed: whether the number has a target.
        """
        days = SPAN / DAY
        requests = sum(each.cost.requests for each in self.by_kind) + self.listing_requests
        sent = sum(each.cost.rows for each in self.by_kind)
        hours = [time / HOUR for time in self.waited.values()]
        of_each = (
            f"{each.cost.requests / days / number:.1f}"
            for each, number in zip(self.by_kind, numbers, strict=True)
        )
        return Row(
            what,
            requests / days,
            MOST_REQUESTS if aimed else None,
            0,
            detail=f"for an account of each kind {', '.join(of_each)}; "
            f"{len(hours) / days:,.0f} new rows a day, each sent {sent / len(hours):.1f} times; "
            f"found {median(hours):.1f} h after their listing in the median, {max(hours):.0f} h at "
            "most",
        )


def measure(*, quick: bool) -> Iterator[Row]:
    """Count a week of regular syncs, in which all accounts are asked each time, or some rest."""
    kinds = [(number // (10 if quick else 1), a_week, words) for number, a_week, words in KINDS]
    numbers = [number for number, _, _ in kinds]
    accounts = accounts_of(kinds)
    scenario = scenario_of(accounts)
    listing = -(-len(accounts) // int(str(LISTING.parameters["page_size"])))
    remaining = iter(accounts)
    histories = [
        [
            (account.id, stream, Listed(History(scenario, account, stream)))
            for account in islice(remaining, number)
            for stream in STREAMS
        ]
        for number in numbers
    ]

    def syncs(every: timedelta, longest: timedelta) -> Schedule:
        by_kind = []
        for accounts_of_kind in histories:
            found = Syncs()
            for account_id, stream, listed in accounts_of_kind:
                add_syncs(found, listed, stream, account_id, every=every, longest=longest)
            by_kind.append(found)
        return Schedule(by_kind, listing * (SPAN // every))

    words = ", ".join(f"{number} with {words}" for number, _, words in kinds)
    who = f", {len(accounts):,} accounts ({words})"
    for every in SCHEDULES:
        each = syncs(every, timedelta(0))
        hours = f"{every / HOUR:g} hours" if every > HOUR else "hour"
        yield each.row(f"Requests a day: a sync every {hours}{who}, none at rest", numbers)
        who = ", the same accounts"
        for longest in RESTS:
            rested = syncs(every, longest)
            aimed = every == HOUR and longest == RESTS[0] and not quick
            yield rested.row(
                f"— with quiet_accounts_hours {longest / HOUR:g}", numbers, aimed=aimed
            )
            yield _later(each, rested, (longest + every) / HOUR)


def _later(each: Schedule, rested: Schedule, promised: float) -> Row:
    """Return a row that says how much later rows are found, of those that are found in both."""
    found = rested.waited
    later = [(found[name] - time) / HOUR for name, time in each.waited.items() if name in found]
    delays = [hours for hours in later if hours]
    return Row(
        "— — rows found later than with none at rest, at most",
        max(later),
        promised,
        1,
        " h",
        detail=f"{len(delays) / len(later):.1%} of all rows are later, by "
        f"{median(delays or [0]):.1f} h in the median",
    )


def accounts_of(kinds: Iterable[Kind]) -> tuple[Account, ...]:
    """Return the accounts; generated numbers are those of the whole history."""
    weeks = (BEFORE + WEEK) / WEEK
    found: list[Account] = []
    for accounts, a_week, _ in kinds:
        for _ in range(accounts):
            number = len(found)
            # An odd number of engagements falls to one stream and then to the other.
            sms, voice_calls = (
                round(weeks * a_week + by) for by in (0.25, -0.25)[:: (-1) ** number]
            )
            found.append(Account(id=f"bEnChMaRk{number:013d}", sms=sms, voice_calls=voice_calls))
    return tuple(found)


def scenario_of(accounts: Sequence[Account]) -> Scenario:
    """Return the Zoom in which they are."""
    return Scenario(
        accounts=tuple(accounts), history_begin=BEGIN, history_end=BEGIN + BEFORE + WEEK
    )


def add_syncs(  # noqa: PLR0913 (the last two are the schedule)
    syncs: Syncs,
    listed: Listed,
    stream: Stream,
    account_id: str,
    *,
    every: timedelta,
    longest: timedelta,
) -> None:
    """Add regular syncs of an account's stream, of which all was read when they begin.

    Args:
        syncs: what is added to.
        listed: the engagements.
        stream: their stream.
        account_id: their account.
        every: the distance of two syncs.
        longest: the most that the account may rest.
    """
    ends = listed.history.ends
    first = bookmark = BEGIN + BEFORE
    seen = first.timestamp() - LISTING_SECONDS
    quiet_since = silent_from(
        None, Window(BEGIN, first), _latest(end for end in ends if end <= seen), end=first
    )
    unread = {number for number, end in enumerate(ends) if end > seen}
    for number in range(1, SPAN // every + 1):
        end = first + number * every
        if end - bookmark < rest_of(bookmark, quiet_since, longest):
            continue
        begin = begin_of_reread(
            Progress(bookmark),
            end=end,
            lookback=LOOKBACKS[stream],
            phase=phase_of(stream, account_id),
            start_date=None,
        )
        listed.look_at(end)
        syncs.cost.add(listed, begin, end, split=True)
        read = _listed_in(listed, begin, end)
        last_end = _latest(ends[name] for name in read)
        quiet_since = silent_from(quiet_since, Window(begin, end), last_end, end=end)
        for name in unread.intersection(read):
            since_end = timedelta(seconds=end.timestamp() - ends[name] - LISTING_SECONDS)
            syncs.waited[account_id, stream, name] = since_end
        unread.difference_update(read)
        bookmark = end


def _latest(ends: Iterable[int]) -> datetime | None:
    latest = max(ends, default=None)
    return None if latest is None else datetime.fromtimestamp(latest, timezone.utc)


def _listed_in(listed: Listed, begin: datetime, end: datetime) -> list[int]:
    """Return the numbers of the engagements that a sync from ``begin`` to ``end`` reads."""
    starts, ends = listed.history.starts, listed.history.ends
    numbers = range(bisect_left(starts, begin.timestamp()), bisect_right(starts, end.timestamp()))
    return [n for n in numbers if ends[n] <= end.timestamp() - LISTING_SECONDS]

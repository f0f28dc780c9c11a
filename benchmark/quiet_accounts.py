"""What hourly syncs of a thousand accounts cost when those that are quiet rest, and what is later.

Most of them are as most accounts of a partner are: little comes from them. Nothing is requested
here, as in `benchmark.steady`: the tap's own functions say who rests, and from when the others are
read; histories say what is found there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

from benchmark.listed import LISTING_SECONDS, Cost, Listed
from benchmark.table import Row
from simulator.engagements import History
from simulator.scenario import STREAMS, Account, Scenario
from tap_zoom_cc.accounts import LISTING
from tap_zoom_cc.sync.lookback import Progress, begin_of_reread, phase_of
from tap_zoom_cc.sync.quiet import rest_of, silent_from
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

SYNCS = WEEK // HOUR
KINDS: Sequence[Kind] = (
    (50, 144 * 7, "an engagement every 5 minutes"),
    (200, 14, "4 a day"),
    (750, 0.5, "1 a week"),
)
"""How many accounts, how many engagements a week in each of their two streams, and in words."""

LONGEST_REST = 6 * HOUR
MOST_REQUESTS = 18_000


@dataclass(slots=True)
class Week:
    """What a week of hourly syncs took, and when each new engagement was found."""

    cost: Cost = field(default_factory=Cost)
    waited: dict[tuple[str, Stream, int], timedelta] = field(default_factory=dict)
    """From the listing until a sync found it: by account, stream and number of the engagement."""

    @property
    def hours_waited(self) -> list[float]:
        """The same without names, in hours."""
        return [time / HOUR for time in self.waited.values()]


def measure(*, quick: bool) -> Iterator[Row]:
    """Count a week of hourly syncs, in which all accounts are asked each time, or some rest."""
    accounts = accounts_of(
        (number // (10 if quick else 1), a_week, words) for number, a_week, words in KINDS
    )
    listing = SYNCS * -(-len(accounts) // int(str(LISTING.parameters["page_size"])))
    scenario = scenario_of(accounts)
    histories = [
        (account.id, stream, Listed(History(scenario, account, stream)))
        for account in accounts
        for stream in STREAMS
    ]
    weeks = {}
    for longest in (timedelta(0), LONGEST_REST):
        week = Week()
        for account_id, stream, listed in histories:
            add_week(week, listed, stream, account_id, longest)
        weeks[longest] = week
    each, rested = weeks.values()
    days = WEEK / DAY
    kinds = ", ".join(f"{number} with {words}" for number, _, words in KINDS)
    for longest, week in weeks.items():
        requests = (week.cost.requests + listing) / days
        waited = week.hours_waited
        yield Row(
            f"Requests a day: a week of hourly syncs, {len(accounts):,} accounts ({kinds}), "
            f"quiet_accounts_hours {longest / HOUR:g}",
            requests,
            MOST_REQUESTS * len(accounts) / 1_000 if longest else None,
            0,
            detail=f"{len(waited) / days:,.0f} new rows a day, each sent "
            f"{week.cost.rows / len(waited):.1f} times; found {median(waited):.1f} h after their "
            f"listing in the median, {max(waited):.0f} h at most",
        )
    later = [
        (rested.waited[name] - time) / HOUR
        for name, time in each.waited.items()
        if name in rested.waited
    ]
    delays = [hours for hours in later if hours]
    yield Row(
        "— rows found later than with 0, at most",
        max(later),
        (LONGEST_REST + HOUR) / HOUR,
        1,
        " h",
        detail=f"{len(delays) / len(later):.1%} of all rows are later, by {median(delays):.1f} h "
        "in the median",
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


def add_week(
    week: Week, listed: Listed, stream: Stream, account_id: str, longest: timedelta
) -> None:
    """Add hourly syncs of an account's stream, of which all was read at the first one's bookmark.

    Args:
        week: what is added to.
        listed: the engagements.
        stream: their stream.
        account_id: their account.
        longest: the most that the account may rest.
    """
    ends = listed.history.ends
    first = bookmark = BEGIN + BEFORE
    seen = first.timestamp() - LISTING_SECONDS
    quiet_since = silent_from(
        None, Window(BEGIN, first), _latest(end for end in ends if end <= seen), end=first
    )
    unread = {number for number, end in enumerate(ends) if end > seen}
    for number in range(1, SYNCS + 1):
        end = first + number * HOUR
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
        week.cost.add(listed, begin, end, split=True)
        read = _listed_in(listed, begin, end)
        last_end = _latest(ends[name] for name in read)
        quiet_since = silent_from(quiet_since, Window(begin, end), last_end, end=end)
        for name in unread.intersection(read):
            since_end = timedelta(seconds=end.timestamp() - ends[name] - LISTING_SECONDS)
            week.waited[account_id, stream, name] = since_end
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

"""What regular syncs cost, long after the first: how often a row is read again, and for how much.

Nothing is requested here: the tap's own functions say from when each sync reads, how that is cut
into windows and which of them are split, and the simulator's histories say how many engagements are
listed there by then. A sync without mishaps is nothing else, and so a week can be had for each of
many phases: how often the deepest read comes into that week depends on the account's phase.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from benchmark import quiet_accounts
from benchmark.job import BEGIN
from benchmark.listed import Cost, Listed
from benchmark.rate_bound import SHARES
from benchmark.table import Row
from simulator.engagements import History
from simulator.scenario import STREAMS, Account, Scenario
from tap_zoom_cc.sync.lookback import Progress, begin_of_reread
from tap_zoom_cc.sync.window_rows import pages_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.scenario import Stream

A_DAY: dict[Stream, int] = {"sms": 2_000, "voice_calls": 5_000}
"""Engagements of all accounts."""

LOOKBACKS = {"sms": timedelta(days=14), "voice_calls": timedelta(days=2)}
"""The defaults."""

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PHASES = [number * timedelta(hours=9, minutes=7) for number in range(64)]
"""They are spread over the longest steps, 512 hours at 14 days and 64 at two, and over an hour."""

EARLIER = timedelta(days=42)
"""What lies before the first sync that is counted: more than the deepest read."""


def measure(*, quick: bool) -> Iterator[Row]:
    """Count a week of hourly syncs and a month of daily ones, of one account, several and many."""
    phases = PHASES[::8] if quick else PHASES
    for name, every, syncs in (("a week of hourly", HOUR, 7 * 24), ("a month of daily", DAY, 30)):
        for shares in ((1.0,), SHARES):
            accounts = "one account" if len(shares) == 1 else f"{len(shares)} accounts"
            aimed = every == HOUR
            ruler, fixed, peers, fewest = _syncs(shares, every, syncs, phases)
            yield Row(
                f"Requests ÷ fewest: {name} syncs, {accounts}, {sum(A_DAY.values()):,} rows a day",
                ruler.requests / fewest.requests,
                8.0 if aimed and len(shares) == 1 else None,
                1,
                detail=f"{ruler.requests * DAY / (syncs * every):,.0f} a day; the whole lookback "
                f"each time: {fixed.requests / fewest.requests:,.1f}, "
                f"in dlt or Airbyte: {peers.requests / fewest.requests:,.1f}",
            )
            yield Row(
                "— rows sent ÷ new rows",
                ruler.rows / fewest.rows,
                11.0 if aimed else None,
                1,
                detail=f"the whole lookback each time: {fixed.rows / fewest.rows:,.1f}, "
                f"in dlt or Airbyte: {peers.rows / fewest.rows:,.1f}",
            )
    yield from quiet_accounts.measure(quick=quick)


def _syncs(
    shares: Sequence[float], every: timedelta, syncs: int, phases: Sequence[timedelta]
) -> tuple[Cost, Cost, Cost, Cost]:
    """Count regular syncs of both streams.

    Returns:
        What they take on average over the phases, what they would take with a fixed lookback and
        in dlt or Airbyte, and the least of all.
    """
    costs = ruler, fixed, peers, fewest = Cost(), Cost(), Cost(), Cost()
    for stream in STREAMS:
        lookback = LOOKBACKS[stream]
        for listed in _accounts(stream, shares, EARLIER + every * syncs):
            for number in range(syncs):
                bookmark = BEGIN + EARLIER + every * number
                end = bookmark + every
                listed.look_at(bookmark)
                newest_start = listed.newest_start(bookmark)
                listed.look_at(end)
                new = listed.new(bookmark, end)
                fewest.requests += pages_for(new)
                fewest.rows += new
                fixed.add(listed, bookmark - lookback, end, split=True)
                peers.add(listed, newest_start - lookback, end, split=False)
                for phase in phases:
                    begin = begin_of_reread(
                        Progress(bookmark), end=end, lookback=lookback, phase=phase, start_date=None
                    )
                    ruler.add(listed, begin, end, split=True)
    ruler.requests = round(ruler.requests / len(phases))
    ruler.rows = round(ruler.rows / len(phases))
    return costs


def _accounts(stream: Stream, shares: Sequence[float], span: timedelta) -> Iterator[Listed]:
    """Yield the histories of accounts, together so many engagements a day."""
    sms, voice_calls = (A_DAY[name] * (span / DAY) for name in ("sms", "voice_calls"))
    accounts = tuple(
        Account(
            id=f"bEnChMaRk{number:013d}",
            sms=round(sms * share),
            voice_calls=round(voice_calls * share),
        )
        for number, share in enumerate(shares)
    )
    scenario = Scenario(accounts=accounts, history_begin=BEGIN, history_end=BEGIN + span)
    for account in accounts:
        yield Listed(History(scenario, account, stream))

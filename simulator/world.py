"""A scenario while it runs: its clock, its engagements, its tokens and what was seen of it.

Replacing the scenario makes a new world; nothing of the old one lives on in it but the engagements,
if they are the same.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from datetime import timedelta, timezone
from email.utils import formatdate
from random import Random
from typing import TYPE_CHECKING

import msgspec

from simulator import errors
from simulator.directory import random_id
from simulator.engagements import History
from simulator.faults import FaultSchedule
from simulator.instants import DAY, UTC_OFFSET, UTC_Z, TimeFormat, instant_of, offset_format
from simulator.limits import RateLimiter
from simulator.pages import Listing, Page
from simulator.query import Range, parse_accounts_query, parse_query, resolve_range
from simulator.scenario import (
    STREAMS,
    Account,
    Stream,  # noqa: TC001 - msgspec reads the annotation
)
from simulator.selection import check_names, in_range, select
from simulator.statistics import Recorder
from simulator.tokens import AccessTokens, PageTokens

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from datetime import datetime

    from simulator.query import AccountsQuery, Parameters, Query
    from simulator.scenario import Clock, Readings, Scenario


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many engagements an account has in a stream, and when the first and last start."""

    stream: Stream
    account_id: str
    rows: int
    first_start_time: str | None
    last_start_time: str | None


class World:
    """Everything that changes while a scenario is served.

    It begins with fresh tokens, limits and statistics; ``previous`` is the world that it replaces.
    """

    def __init__(self, scenario: Scenario, previous: World | None = None) -> None:
        self.scenario = scenario
        self.set_clock(scenario.clock)
        self.access_tokens = AccessTokens(scenario.limits)
        self.page_tokens: PageTokens[Listing] = PageTokens(scenario.limits)
        self.limiter = RateLimiter(scenario.limits)
        self.faults = FaultSchedule(scenario)
        self.recorder = Recorder()
        self._accounts = {account.id: account for account in scenario.accounts}
        self._accounts.setdefault(scenario.account_id, Account(id=scenario.account_id))
        kept = previous is not None and _same_engagements(previous.scenario, scenario)
        self._histories: dict[tuple[str, Stream], History] = (
            previous._histories if previous is not None and kept else {}  # noqa: SLF001 - its own kind
        )

    def set_clock(self, clock: Clock) -> None:
        """Set the simulated now."""
        self._clock = clock
        self._seconds_passed = 0

    def now(self) -> int:
        """Give the simulated now in seconds since 1970, UTC."""
        if self._clock.now is not None:
            return instant_of(self._clock.now) + self._seconds_passed
        return math.floor(time.time()) + self._seconds_passed

    def date(self) -> str:
        """Give the time that an answer tells, as HTTP writes it."""
        return formatdate(self.now() if self._clock.told else None, usegmt=True)

    def engagement_page(self, stream: Stream, account_id: str, parameters: Parameters) -> Page:
        """Give one page of an account's engagements.

        Raises:
            ApiError: the account refuses, or a parameter is wrong.
        """
        account = self._accounts[account_id]
        refusal = account.refusal(stream)
        if refusal is not None:
            raise errors.coded(refusal.status, refusal.code, refusal.message)
        query = parse_query(stream, parameters)
        owner = (stream, account_id, query.identity)
        return self._page(query, owner, lambda: self._engagements(stream, account, query))

    def _engagements(self, stream: Stream, account: Account, query: Query) -> Listing:
        """Give what a query finds at this moment."""
        history = self._history(account, stream)
        check_names(history, query)
        readings = self.scenario.readings
        chosen = resolve_range(query, readings, account=account, now=self.now())
        found = select(history, query, chosen, readings, newest_end=self._newest_end())
        return Listing(
            key=stream,
            size=len(found),
            rows=lambda begin, end: history.rows(
                found[begin:end], chosen.times, detail=query.detail
            ),
            head=_told(chosen, readings, account),
        )

    def accounts_page(self, parameters: Parameters) -> Page:
        """Give one page of the list of sub accounts.

        Raises:
            ApiError: a parameter is wrong.
        """
        query = parse_accounts_query(parameters)
        owner = ("accounts", query.identity)
        return self._page(query, owner, lambda: self._accounts_found(query))

    def _accounts_found(self, query: AccountsQuery) -> Listing:
        """Give the sub accounts that a query finds at this moment."""
        rows = [msgspec.json.encode(self._listed_account(one)) for one in self._sub_accounts()]
        return Listing(
            key="accounts",
            size=len(rows),
            rows=lambda begin, end: rows[begin:end],
            head={
                "page_count": max(1, math.ceil(len(rows) / query.page_size)),
                "page_number": 1,
            },
        )

    def _page(
        self,
        query: Query | AccountsQuery,
        owner: Hashable,
        find: Callable[[], Listing],
    ) -> Page:
        """Give a page: of the list as the first page found it, or as it is now where lists live.

        Raises:
            ApiError: the page token does not hold.
        """
        seconds = self.scenario.readings.seconds_between_pages
        listing: Listing | None = None
        offset = 0
        if query.page_token:
            listing, offset = self.page_tokens.redeem(query.page_token, owner)
        if listing is None or seconds is not None:
            listing = find()
        self._seconds_passed += seconds or 0
        return Page(listing, owner, query.page_token, offset, query.page_size)

    def is_sub_account(self, account_id: str) -> bool:
        """Say whether the master account has a sub account of that id."""
        return account_id in self._accounts and account_id != self.scenario.account_id

    def truth(self, stream: Stream, account_id: str | None) -> Iterator[bytes]:
        """Give the engagements that a perfect client would have, one JSON object a line.

        Each is the row as the API gives it with all details, its times in UTC as ``+00:00``, and
        with ``account_id``; by account and start time. What Zoom no longer keeps is left out.
        """
        for account in self._accounts.values():
            if account_id in (None, account.id):
                history = self._history(account, stream)
                opening = b'{"account_id":%b,' % msgspec.json.encode(account.id)
                for position in self._existing(history):
                    row = history.rows([position], UTC_OFFSET, detail=True)[0]
                    yield opening + row[1:] + b"\n"

    def counts(self) -> list[Count]:
        """Count the visible engagements of every stream and account."""
        counts = []
        for stream in STREAMS:
            for account in self._accounts.values():
                history = self._history(account, stream)
                found = self._existing(history)
                first, last = (
                    UTC_OFFSET.text(history.starts[found[edge]]).decode() if found else None
                    for edge in (0, -1)
                )
                counts.append(
                    Count(
                        stream=stream,
                        account_id=account.id,
                        rows=len(found),
                        first_start_time=first,
                        last_start_time=last,
                    )
                )
        return counts

    def warm_up(self) -> None:
        """Make up now what is otherwise made up when it is first asked for."""
        for stream in STREAMS:
            for account in self._accounts.values():
                self._history(account, stream).make_bodies()

    def _existing(self, history: History) -> Sequence[int]:
        readings = self.scenario.readings
        begin = history.starts[0] if history.starts else 0
        if readings.history_days_kept is not None:
            begin = self.now() - readings.history_days_kept * DAY
        everything = Range(
            begin,
            history.last_end,
            begin_inclusive=True,
            end_inclusive=True,
            label=UTC_OFFSET,
            times=UTC_OFFSET,
        )
        positions = in_range(history, everything, readings)
        newest_end = self._newest_end()
        if history.last_end <= newest_end:
            return positions
        return [position for position in positions if history.ends[position] <= newest_end]

    def _newest_end(self) -> int:
        return self.now() - self.scenario.completion_delay_seconds

    def _history(self, account: Account, stream: Stream) -> History:
        history = self._histories.get((account.id, stream))
        if history is None:
            history = self._histories[account.id, stream] = History(self.scenario, account, stream)
        return history

    def _sub_accounts(self) -> Iterator[Account]:
        return (
            account
            for account in self._accounts.values()
            if account.listed
            and account.id != self.scenario.account_id
            and (account.listed_until is None or self.now() < instant_of(account.listed_until))
        )

    def _listed_account(self, account: Account) -> dict[str, object]:
        """Give an account as the list has it, every field of the document with a value."""
        random = Random(f"{self.scenario.seed}/{account.id}/listed")
        begin = self.scenario.history_begin
        return {
            "account_name": account.name or account.id,
            "account_number": random.randrange(10**10, 10**11),
            "account_type": random.choice(("Pro", "Business", "Enterprise")),
            "created_at": _second(begin - timedelta(days=random.randrange(400))),
            "id": account.id,
            "owner_email": f"owner-{random_id(random)}@example.com",
            "seats": random.randrange(500),
            "subscription_end_time": _second(begin + timedelta(days=365)),
            "subscription_start_time": _second(begin),
            "reseller": False,
            "bulk_license": random.random() < 0.5,  # noqa: PLR2004 - even odds
        }


def _told(chosen: Range, readings: Readings, account: Account) -> dict[str, object]:
    """Give what an answer says of its range."""
    told = readings.range_told
    if told == "nothing":
        return {}
    if told == "unreadable":
        return {"from": "the day before", "to": 12}
    zone = round(account.utc_offset_hours * 3600)
    label = {
        "instants_z": UTC_Z,
        "instants_of_account": offset_format(zone),
        "clock_of_account_z": TimeFormat(zone, b"Z"),
        "clock_of_account": TimeFormat(zone, b""),
        "days_of_account": TimeFormat(zone, b""),
    }.get(told, chosen.label)
    texts = {
        "from": label.text(chosen.begin).decode(),
        "to": label.text(chosen.end).decode(),
    }
    if told in ("days", "days_of_account"):
        return {name: text.partition("T")[0] for name, text in texts.items()}
    return {**texts}


def _second(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _same_engagements(old: Scenario, new: Scenario) -> bool:
    """Say whether two scenarios hold the same engagements, so that they need not be made again."""
    return old == dataclasses.replace(
        new,
        account_id=old.account_id,
        client_id=old.client_id,
        client_secret=old.client_secret,
        completion_delay_seconds=old.completion_delay_seconds,
        readings=old.readings,
        limits=old.limits,
        clock=old.clock,
        scopes=old.scopes,
        faults=old.faults,
    )

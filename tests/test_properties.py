"""Nothing is lost and nothing is invented, whatever happens: random schedules of mishaps.

A `Schedule` is a random history under a random reading of what Zoom leaves open, and a few runs of
the tap's command line, each at its own time, with faults of Zoom's and perhaps a violent end. After
each run a target keeps what a target keeps, and the next run goes on from there. At the end comes
one run without mishaps; then what the target has must be what the simulator knows to be true.

`pytest tests/test_properties.py` plays a small, always equal set of schedules. The long variant,
``pytest tests/test_properties.py -m long``, plays new ones for an hour, or for as many seconds as
the environment variable `PROPERTY_SECONDS` says, and then prints how much it played.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, TypeAlias, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st
from typing_extensions import override

from simulator.scenario import (
    STREAMS,
    Account,
    Clock,
    Fault,
    FaultKind,
    Limits,
    Readings,
    Refusal,
    Scenario,
)
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import requests_sent
from tests.harness.rows import key_of, keys_of, truth_of
from tests.harness.singer import all_bookmarks
from tests.harness.tap import sync
from tests.harness.warm import Kill

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from simulator.process import SimulatorProcess
    from simulator.scenario import Endpoint
    from tests.harness.constants import Constants
    from tests.harness.rows import Key
    from tests.harness.singer import Place, Record
    from tests.harness.tap import TapRun

    State: TypeAlias = dict[str, Any]
    FaultEndpoint: TypeAlias = Endpoint | Literal["any"]

BEGIN = datetime(2024, 2, 1, tzinfo=timezone.utc)
"""The first second of every history; instants in a schedule are seconds after it."""

OWN_ACCOUNT = Scenario().account_id
QUARTER, HOUR, DAY = 900, 3600, 86_400
WINDOW = 28 * DAY

SCHEMA_BYTES = 25_000
"""What the tap writes before its first row, roughly."""

_ENDS_BY_SIGNAL = {"SIGKILL": {-9}, "SIGTERM": {143, -15}}
"""Exit codes; a signal that comes before the tap has handlers ends it by itself."""

_NO_LIMITS = Limits()
_USUAL_READINGS = Readings()


# Schedules


@dataclass(frozen=True)
class Engagement:
    """An engagement that a schedule names one by one; times in seconds, the start after `BEGIN`."""

    start: int
    duration: int


@dataclass(frozen=True)
class History:
    """An account: numbers of generated engagements, and those named one by one."""

    utc_offset_hours: float = 0.0
    sms: int = 0
    voice_calls: int = 0
    named_sms: tuple[Engagement, ...] = ()
    named_voice_calls: tuple[Engagement, ...] = ()


@dataclass(frozen=True)
class Death:
    """A run's violent end (see `tests.harness.warm.Kill`).

    It comes after a share of the bytes of a full output, or after some seconds. The target then
    keeps all that it got, or only what came before one of the STATE messages, counted from the
    last one: those after it may have stood in a batch that was lost.
    """

    signal_name: str
    after_share: float | None = None
    after_seconds: float | None = None
    keeps_up_to_state: int | None = None


@dataclass(frozen=True)
class Run:
    """One run of the tap, so many seconds after the one before.

    ``absent`` is the number of an account that this run does not see: Zoom does not list it, or the
    settings do not name it. With ``quiet_hours`` accounts may rest; where the list lives they may
    not, for then the run has an ``end_date``: Zoom's clock goes on while the tap asks for it.
    """

    seconds_later: int = 0
    faults: tuple[Fault, ...] = ()
    limits: Limits = _NO_LIMITS
    death: Death | None = None
    max_requests: int | None = None
    absent: int | None = None
    quiet_hours: float = 0


@dataclass(frozen=True)
class Sizes:
    """Constants of the tap: smaller ones make a small history as eventful as a large one."""

    page_size: int = 100
    most_rows: int = 2_500
    memory_bytes: int = 80 << 20
    flush_bytes: int = 1 << 16
    seconds_between_states: float = 1.0

    def constants(self, *, impatient: bool) -> Constants:
        """Return them with short waits; ``impatient`` is a short time-out."""
        return replace(
            SHORT_WAITS,
            timeout_seconds=(5.0, 0.3 if impatient else 30.0),
            page_size=self.page_size,
            most_rows=self.most_rows,
            aimed_rows=self.most_rows * 18 // 25,
            memory_bytes=self.memory_bytes,
            flush_bytes=self.flush_bytes,
            seconds_between_states=self.seconds_between_states,
        )


@dataclass(frozen=True)
class Schedule:
    """A history, a reading of what Zoom leaves open, and what happens.

    ``span``: seconds over which generated engagements start. ``start_date``: in seconds after
    `BEGIN`. ``extra_lookback``: seconds beyond the longest engagement. ``listed``: whether the
    accounts are found by listing; the last account is the app's own if ``own``.
    """

    accounts: tuple[History, ...]
    span: int = 10 * DAY
    seed: int = 1
    readings: Readings = _USUAL_READINGS
    completion_delay: int = 60
    start_date: int = -2 * DAY
    extra_lookback: int = 0
    listed: bool = True
    own: bool = False
    concurrency: int = 2
    sizes: Sizes = Sizes()
    runs: tuple[Run, ...] = (Run(),)


COUNTS_LIE: frozenset[FaultKind] = frozenset({"missing_total_records", "total_too_low"})
PLACES_LIE: frozenset[FaultKind] = frozenset(
    {"rows_shift", "page_repeated", "page_token_repeated", "missing_next_page_token"}
)
"""A client finds out by the count that rows are not where they should be, so a Zoom that lies about
both at once cannot be read right by anybody: a schedule has faults of one of the two sets only."""

VALUES_LIE: frozenset[FaultKind] = frozenset({"null_fields", "wrong_type", "other_value"})
CHANGES_ROWS = VALUES_LIE | {"new_field"}
"""What makes another version of a row: it may come once more in a run."""

SPOILED_FIELDS = {"direction", "consumer_display_name"}
"""The fields that get another value than null from those faults."""

_DURATIONS = st.sampled_from([0, 1, 59, HOUR, 6 * HOUR, 47 * HOUR]) | st.integers(0, 2 * DAY)


def _instants(span: int) -> st.SearchStrategy[int]:
    """Draw instants of a history, often at the edges of days and of windows."""
    edges = sorted(
        {
            edge + by
            for edge in (0, span // 2, span // 2 // DAY * DAY, WINDOW - 2 * DAY, WINDOW, span)
            for by in (-1, 0, 1)
            if 0 <= edge + by <= span
        }
    )
    return st.sampled_from(edges) | st.integers(0, span)


def _engagements(span: int) -> st.SearchStrategy[tuple[Engagement, ...]]:
    """Draw a few engagements, sometimes many within one second."""
    one = st.builds(Engagement, _instants(span), _DURATIONS)
    burst = st.builds(lambda engagement, count: (engagement,) * count, one, st.integers(2, 40))
    return st.lists(one, max_size=6).map(tuple) | burst


_COUNT = st.just(0) | st.integers(1, 60) | st.integers(60, 400)


def _histories(span: int) -> st.SearchStrategy[History]:
    return st.builds(
        History,
        utc_offset_hours=st.sampled_from([0.0, 0.0, 14.0, -12.0, 5.75, -3.5]),
        sms=_COUNT,
        voice_calls=_COUNT,
        named_sms=_engagements(span),
        named_voice_calls=_engagements(span),
    )


_READINGS = st.builds(
    Readings,
    selects_on=st.sampled_from(["start", "end", "overlap"]),
    to_inclusive=st.booleans(),
    order=st.sampled_from(["start_ascending", "start_descending", "end_ascending", "shuffled"]),
    month=st.sampled_from([28, 30, 31, "calendar"]),
    days_only=st.booleans(),
    offset_ignored=st.booleans(),
    sms_times=st.sampled_from(["Z", "offset"]),
    history_days_kept=st.sampled_from([None, None, None, 20, 60]),
    range_told=st.sampled_from(["instants", "days", "days_of_account", "nothing"]),
    seconds_between_pages=st.sampled_from([None, None, 0, 1, 7, 60]),
)

_REFUSALS = st.sampled_from(
    [
        Refusal(),
        Refusal(status=404, code=2001, message="Account does not exist."),
        Refusal(status=404, code=1001, message="User does not exist."),
        Refusal(status=400, code=300, message="Invalid field."),
        Refusal(status=409, code=1, message="Conflict."),
        Refusal(status=400, code=4711, message="Invalid token, does not contain scopes:[a:b]."),
    ]
)


_TIMES = st.one_of(
    st.builds(Fault, kind=st.just("slow"), probability=st.sampled_from([0.03, 0.1, 0.3])),
    st.builds(
        Fault,
        kind=st.just("slow"),
        requests=st.lists(st.integers(1, 20), min_size=1, max_size=6).map(tuple),
    ),
    st.builds(Fault, kind=st.just("slow"), limit=st.integers(1, 12)),
    st.just(Fault(kind="slow")),
)
"""When a fault strikes: now and then, at certain requests, a few times, or always."""


def _faults(kinds: frozenset[FaultKind]) -> st.SearchStrategy[Fault]:
    """Draw a fault of one of the kinds."""

    def build(times: Fault, kind: FaultKind, endpoint: FaultEndpoint, refusal: Refusal) -> Fault:
        limit = 3 if kind == "slow" else times.limit
        return replace(
            times, kind=kind, endpoint=endpoint, refusal=refusal, limit=limit, seconds=0.5
        )

    return st.builds(
        build,
        _TIMES,
        st.sampled_from(sorted(kinds)),
        st.sampled_from(["any", "sms", "voice_calls", "token", "accounts"]),
        _REFUSALS,
    )


_LIMITS = st.builds(
    Limits,
    page_token_seconds=st.sampled_from([900.0, 900.0, 0.02]),
    access_token_seconds=st.sampled_from([3600, 3600, 1]),
    one_live_token=st.booleans(),
    latency_seconds=st.sampled_from([0.0, 0.0, 0.02]),
)

_DEATHS = st.builds(
    lambda signal_name, when, keeps: Death(signal_name, keeps_up_to_state=keeps, **when),
    st.sampled_from(["SIGKILL", "SIGKILL", "SIGTERM", ""]),
    st.one_of(
        st.fixed_dictionaries({"after_share": st.floats(0, 1)}),
        st.fixed_dictionaries({"after_seconds": st.floats(0.05, 1)}),
    ),
    st.none() | st.integers(0, 5),
)


def _runs(kinds: frozenset[FaultKind]) -> st.SearchStrategy[tuple[Run, ...]]:
    run = st.builds(
        Run,
        seconds_later=st.sampled_from([0, 0, 1, 30, HOUR, DAY]) | st.integers(0, 20 * DAY),
        faults=st.lists(_faults(kinds), max_size=3).map(tuple),
        limits=_LIMITS,
        death=st.none() | _DEATHS,
        max_requests=st.sampled_from([None, None, None, 2, 7, 30]),
        absent=st.sampled_from([None, None, None, 0, 1]),
        quiet_hours=st.sampled_from([0, 0, 0.5, 6, 168]),
    )
    return st.lists(run, min_size=1, max_size=4).map(tuple)


_SIZES = st.just(Sizes()) | st.builds(
    Sizes,
    page_size=st.sampled_from([3, 10, 100]),
    most_rows=st.sampled_from([20, 100, 2_500]),
    memory_bytes=st.sampled_from([1, 80 << 20]),
    flush_bytes=st.sampled_from([1, 1 << 16]),
    seconds_between_states=st.sampled_from([0.0, 0.05, 1.0]),
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Draw a schedule."""
    span = draw(st.sampled_from([HOUR, 3 * DAY, 10 * DAY, 40 * DAY, 90 * DAY]))
    kinds = frozenset(get_args(FaultKind)) - draw(st.sampled_from([COUNTS_LIE, PLACES_LIE]))
    sizes = draw(_SIZES)
    accounts = draw(st.lists(_histories(span), min_size=1, max_size=4))
    if draw(st.integers(0, 19)) == 0:
        # More than a window may have, with the constants that users have.
        accounts[0] = replace(accounts[0], sms=3_000)
        sizes = replace(sizes, page_size=100, most_rows=2_500)
    return Schedule(
        accounts=tuple(accounts),
        span=span,
        seed=draw(st.integers(0, 1_000)),
        readings=draw(_READINGS),
        completion_delay=draw(st.sampled_from([0, 60, HOUR])),
        start_date=draw(st.sampled_from([-2 * DAY, -2 * DAY, -2 * DAY, 0, span // 2])),
        extra_lookback=draw(st.sampled_from([0, 0, 1, DAY])),
        listed=draw(st.booleans()),
        own=draw(st.booleans()),
        concurrency=draw(st.sampled_from([1, 2, 10])),
        sizes=sizes,
        runs=draw(_runs(kinds)),
    )


# What must come of a schedule


@dataclass
class Tally:
    """How much was played."""

    schedules: int = 0
    runs: int = 0
    engagements: int = 0
    rests: int = 0
    deaths: Counter[str] = field(default_factory=Counter)
    exit_codes: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    @override
    def __str__(self) -> str:
        """Return it in one line."""
        deaths = ", ".join(f"{name or 'closed pipe'} {n}" for name, n in self.deaths.items())
        codes = ", ".join(f"{code}: {n}" for code, n in sorted(self.exit_codes.items()))
        return (
            f"{self.schedules} schedules, {self.runs} runs (exit codes {codes}), "
            f"{self.deaths.total()} violent ends ({deaths}), {self.faults.total()} faults of "
            f"{len(self.faults)} kinds, {self.engagements} engagements emitted, "
            f"{self.rests} accounts at rest"
        )


def _scenario(schedule: Schedule) -> Scenario:
    """Return the simulated Zoom of a schedule, before anything happens to it."""

    def rows(engagements: tuple[Engagement, ...]) -> tuple[dict[str, Any], ...]:
        return tuple(
            {
                "engagement_id": f"named/{number}+é",
                "direction": "inbound",
                "start_time": _text(engagement.start),
                "end_time": _text(engagement.start + engagement.duration),
            }
            for number, engagement in enumerate(engagements)
        )

    ids = [f"Account{number}" for number in range(len(schedule.accounts))]
    if schedule.own:
        ids[-1] = OWN_ACCOUNT
    return Scenario(
        seed=schedule.seed,
        accounts=tuple(
            Account(
                id=account_id,
                sms=history.sms,
                voice_calls=history.voice_calls,
                explicit_sms=rows(history.named_sms),
                explicit_voice_calls=rows(history.named_voice_calls),
                utc_offset_hours=history.utc_offset_hours,
            )
            for account_id, history in zip(ids, schedule.accounts, strict=True)
        ),
        history_begin=BEGIN,
        history_end=BEGIN + timedelta(seconds=schedule.span),
        completion_delay_seconds=schedule.completion_delay,
        readings=schedule.readings,
    )


def _text(seconds: int) -> str:
    return (BEGIN + timedelta(seconds=seconds)).isoformat()


def _seconds(text: str) -> int:
    return round((datetime.fromisoformat(text) - BEGIN).total_seconds())


class Play:
    """A schedule being played: the simulator, and a target with what it has kept so far."""

    def __init__(self, simulator: SimulatorProcess, schedule: Schedule, tally: Tally) -> None:
        """Set the stage, at a time when everything is over."""
        self.simulator = simulator
        self.schedule = schedule
        self.tally = tally
        self.scenario = _scenario(schedule)
        self.account_ids = [account.id for account in self.scenario.accounts]
        forgetful = replace(self.scenario.readings, history_days_kept=None)
        simulator.replace(
            replace(self.scenario, readings=forgetful, clock=_clock(schedule.span + 400 * DAY))
        )
        self.truth = truth_of(simulator)
        self.kept: dict[Key, Record] = {}
        self.state: State | None = None
        self._to_be_read: set[Key] | None = None
        self.now = max(schedule.span // 2, schedule.start_date + 1)

    # How the server sees an engagement, under the schedule's reading

    def selected_between(self, key: Key) -> tuple[int, int]:
        """Return the first and last instant of which a range selects an engagement."""
        row = self.truth[key]
        start, end = _seconds(row["start_time"]), _seconds(row["end_time"])
        shift = 0
        if self.schedule.readings.offset_ignored:
            history = self.schedule.accounts[self.account_ids.index(key[1])]
            shift = round(history.utc_offset_hours * HOUR)
        by = self.schedule.readings.selects_on
        return (end if by == "end" else start) + shift, (start if by == "start" else end) + shift

    def lookback(self, stream: str) -> int:
        """Return how many seconds the longest engagement is open, or a little more."""
        lengths = [
            _seconds(row["end_time"]) - _seconds(row["start_time"])
            for key, row in self.truth.items()
            if key[0] == stream
        ]
        return max([0, *lengths]) + self.schedule.extra_lookback

    def due(self, key: Key) -> int:
        """Return the instant from which a bookmark promises that an engagement was read.

        It appears when it is listed, and when its place in a range has come. After that it takes up
        to twice as long as it appeared too late, and at least 15 minutes (see the tap's lookback).
        """
        place = self.selected_between(key)[1]
        appears = max(place, self._end(key) + self.schedule.completion_delay)
        return appears + max(2 * (appears - place), 900)

    @property
    def start_date(self) -> int:
        """The setting of that name; what Zoom is about to drop is not asked for."""
        kept = self.schedule.readings.history_days_kept
        oldest = self.now - (kept - 2) * DAY if kept else self.schedule.start_date
        return max(self.schedule.start_date, oldest)

    def to_be_read(self) -> set[Key]:
        """Return what a run must have read that began at the present, and has just ended.

        That is what the server had then and still has, and is not before ``start_date``.
        """
        if self._to_be_read is None:
            stayed = keys_of(self.simulator)
            self.simulator.set_clock(_clock(self.now).now)
            had = keys_of(self.simulator)
            self._to_be_read = {
                key for key in had & stayed if self.selected_between(key)[1] >= self.start_date
            }
        return self._to_be_read

    @property
    def _goes_away(self) -> bool:
        """Whether engagements go away while pages are read."""
        readings = self.scenario.readings
        return bool(readings.history_days_kept and readings.seconds_between_pages)

    # One run

    def present(self, run: Run) -> list[str]:
        """Return the accounts that a run sees; the app's own is always there."""
        if run.absent is None or len(self.account_ids) == 1:
            return self.account_ids
        absent = self.account_ids[run.absent]
        return [name for name in self.account_ids if name != absent or name == OWN_ACCOUNT]

    def may_rest(self, run: Run) -> bool:
        """Say whether accounts may rest in a run."""
        return run.quiet_hours > 0 and self.scenario.readings.seconds_between_pages is None

    def zoom(self, run: Run) -> Scenario:
        """Return the simulated Zoom as it is during a run."""
        accounts = tuple(
            account if account.id in self.present(run) else replace(account, listed=False)
            for account in self.scenario.accounts
        )
        return replace(
            self.scenario,
            accounts=accounts,
            clock=replace(_clock(self.now), told=self.may_rest(run)),
            faults=run.faults,
            limits=run.limits,
        )

    def settings(self, run: Run) -> dict[str, Any]:
        """Return the tap's settings for a run that happens now."""
        schedule = self.schedule
        named = [name for name in self.present(run) if name != OWN_ACCOUNT]
        listed = schedule.listed and named
        return {
            "start_date": _text(self.start_date),
            **({} if listed else {"sub_account_ids": named}),
            "include_own_account": schedule.own,
            "max_concurrency": schedule.concurrency,
            **({"max_requests_per_run": run.max_requests} if run.max_requests else {}),
            "quiet_accounts_hours": run.quiet_hours,
            **{f"{stream}_lookback_days": self.lookback(stream) / DAY for stream in STREAMS},
        }

    def play(self, run: Run) -> TapRun:
        """Let a run happen, check what it did, keep what a target keeps, and return it."""
        self.now += run.seconds_later
        self._to_be_read = None
        simulator = self.simulator
        simulator.replace(self.zoom(run))
        impatient = any(fault.kind == "slow" for fault in run.faults)
        ended = sync(
            simulator,
            state=self.state,
            constants=self.schedule.sizes.constants(impatient=impatient),
            kill=self._kill(run.death),
            **self.settings(run),
        )
        faults = Counter(simulator.stats().faults)
        try:
            self._check(run, ended, faults)
        except AssertionError as error:
            # Told at once: the next time the signal may come at another moment.
            states = "\n".join(str(state) for state in ended.states[-2:])
            message = (
                f"{error}\nseconds: {self.now}, {run}\nexit code {ended.exit_code}, state before: "
                f"{self.state}\nlast states:\n{states}\n{ended.stderr}"
            )
            raise AssertionError(message) from error
        self._keep(run, ended)
        self.tally.runs += 1
        self.tally.exit_codes[ended.exit_code] += 1
        self.tally.faults += faults
        self.tally.engagements += len(ended.engagements)
        if run.death and _was_violent(run.death, ended):
            self.tally.deaths[run.death.signal_name] += 1
        return ended

    def _kill(self, death: Death | None) -> Kill | None:
        if death is None:
            return None
        after_bytes = None
        if death.after_share is not None:
            rows = sum(len(msgspec.json.encode(row)) for row in self.truth.values())
            after_bytes = round(death.after_share * (SCHEMA_BYTES + rows))
        return Kill(death.signal_name, after_bytes, death.after_seconds)

    def _check(self, run: Run, ended: TapRun, faults: Counter[str]) -> None:
        if run.max_requests is not None:
            assert requests_sent(self.simulator) <= run.max_requests
        self._check_end(run, ended)
        self._check_rows(ended, faults)
        self._check_states(ended)
        if ended.exit_code == 0 and run.max_requests is None and _got_everything(run.death):
            self._check_complete(run, ended, excused="account_refuses" in faults)

    def _check_end(self, run: Run, ended: TapRun) -> None:
        expected = {0, 1}
        if run.death and run.death.signal_name:
            expected |= _ENDS_BY_SIGNAL[run.death.signal_name]
        assert ended.exit_code in expected
        assert "Traceback" not in ended.stderr
        assert self.scenario.client_secret not in ended.stderr
        if ended.exit_code > 0:
            assert ended.logged("ERROR")
        calm = Run(seconds_later=run.seconds_later, quiet_hours=run.quiet_hours)
        if run == calm and not self._goes_away:
            assert ended.exit_code == 0, "nothing happened but that a list lived"

    def _check_rows(self, ended: TapRun, faults: Counter[str]) -> None:
        """Each engagement at most once, if Zoom gave one version, and with its own values."""
        assert ended.repeated == [] or CHANGES_ROWS & faults.keys()
        spoiled = VALUES_LIE & faults.keys()
        for key, row in ended.engagements:
            assert key in self.truth, f"{key} does not exist"
            true_row = self.truth[key]
            if row != true_row and spoiled:
                names = true_row.keys() | row.keys()
                spoilable = {name for name in names if row.get(name) is None}
                compared = names - spoilable - SPOILED_FIELDS
                assert all(row[name] == true_row.get(name) for name in compared), key
            else:
                assert row == true_row

    def _check_states(self, ended: TapRun) -> None:
        """No bookmark goes back, and none passes what was neither kept before nor just emitted.

        That is what lies between it and the bookmark before, and what is due before it. And the
        silence of an account that was read begins with the latest end that it has brought.
        """
        to_be_read = self.to_be_read()
        got = set(self.kept)
        bookmarks = all_bookmarks(self.state) if self.state else {}
        silences = _partitions(self.state)
        ends: dict[Place, int] = {}
        for message in ended.messages:
            if message["type"] == "RECORD" and message["stream"] in STREAMS:
                key = key_of(message["stream"], message["record"])
                got.add(key)
                ends[key[:2]] = max(ends.get(key[:2], 0), min(self._end(key), self.now))
            if message["type"] != "STATE":
                continue
            moved = all_bookmarks(message["value"])
            for place, partition in _partitions(message["value"]).items():
                if partition != silences.get(place):
                    self._check_silence(place, partition, silences.get(place), ends.get(place))
            silences = _partitions(message["value"])
            for place, bookmark in moved.items():
                before = bookmarks.get(place)
                assert before is None or _seconds(bookmark) >= _seconds(before), place
                assert _seconds(bookmark) <= self.now
                if bookmark != before:
                    passed = {
                        key
                        for key in to_be_read
                        if key[:2] == place and self._is_passed(key, before, bookmark)
                    }
                    assert passed <= got, f"{place} passed {len(passed - got)} to {bookmark}"
            assert bookmarks.keys() <= moved.keys()
            bookmarks = moved

    def _check_silence(
        self, place: Place, after: Record, before: Record | None, last_end: int | None
    ) -> None:
        silent = _seconds(after["quiet_since"])
        if before:
            known = _seconds(before["quiet_since"])
            assert silent == max(known, known if last_end is None else last_end), place
        elif silent != last_end:
            # The begin of the first window: nothing ended after it, for a server that gives whole
            # days gives what came before it as well.
            assert self.schedule.start_date <= silent < _seconds(after["replication_key_value"])
            assert last_end is None or last_end < silent, place

    def _is_passed(self, key: Key, before: str | None, bookmark: str) -> bool:
        first, last = self.selected_between(key)
        is_between = first < _seconds(bookmark) and (before is None or last > _seconds(before))
        return is_between or self.due(key) <= _seconds(bookmark)

    def _check_complete(self, run: Run, ended: TapRun, *, excused: bool) -> None:
        """A run that ends with exit code 0 has brought every account that it saw to the present.

        Those that rest have stayed where they were, for an eighth of their silence at most.

        Args:
            run: what happened.
            ended: what became of it.
            excused: whether accounts refused, which a run may pass over.
        """
        for stream in STREAMS:
            for account_id in self.present(run):
                bookmark = ended.bookmarks.get((stream, account_id))
                if bookmark and _seconds(bookmark) < self.now and self.may_rest(run):
                    place = (stream, account_id)
                    before = _partitions(self.state)[place]
                    silence = _seconds(bookmark) - _seconds(before["quiet_since"])
                    rest = min(run.quiet_hours * HOUR, silence / 8)
                    if self.now - _seconds(bookmark) < rest:
                        assert _partitions(ended.state)[place] == before
                        self.tally.rests += 1
                        continue
                assert excused or (bookmark and _seconds(bookmark) == self.now), account_id

    def _keep(self, run: Run, ended: TapRun) -> None:
        """Keep what a target keeps: all, or what came up to one of the STATE messages."""
        messages = ended.messages
        if run.death and run.death.keeps_up_to_state is not None:
            states = [n for n, message in enumerate(messages) if message["type"] == "STATE"]
            place = len(states) - 1 - run.death.keeps_up_to_state
            messages = messages[: states[place] + 1] if place >= 0 else []
        for message in messages:
            if message["type"] == "STATE":
                self.state = message["value"]
            elif message["type"] == "RECORD" and message["stream"] in STREAMS:
                row = message["record"]
                self.kept[key_of(message["stream"], row)] = row

    def end_well(self) -> None:
        """Run once more, late and without mishaps, and while nothing goes away: all is there.

        It is so late that nothing rests, whatever the setting was.
        """
        if self._goes_away:
            standing = replace(self.scenario.readings, seconds_between_pages=None)
            self.scenario = replace(self.scenario, readings=standing)
        quiet_hours = max(run.quiet_hours for run in self.schedule.runs)
        self.now = max([self.now, self.schedule.span + DAY, *map(self.due, self.truth)])
        last = self.play(Run(round(quiet_hours * HOUR), quiet_hours=quiet_hours))
        assert last.exit_code == 0, last.stderr
        missing = self.to_be_read() - self.kept.keys()
        assert not missing, f"{len(missing)} lost, such as {min(missing)}"
        self.tally.schedules += 1

    def _end(self, key: Key) -> int:
        return _seconds(self.truth[key]["end_time"])


def _partitions(state: State | None) -> dict[Place, Record]:
    """Return what a state says of each stream and account."""
    return {
        (stream, part["context"]["account_id"]): part
        for stream in STREAMS
        for part in (state or {}).get("bookmarks", {}).get(stream, {}).get("partitions", [])
        if "replication_key_value" in part
    }


def _clock(seconds: int) -> Clock:
    return Clock(now=BEGIN + timedelta(seconds=seconds))


def _got_everything(death: Death | None) -> bool:
    """Say whether the reader of a run's output got all of it, if it ended by itself."""
    return death is None or bool(death.signal_name)


def _was_violent(death: Death, ended: TapRun) -> bool:
    """Say whether a run came to its violent end before it had ended by itself."""
    if not death.signal_name:
        return "read the output has closed it" in ended.stderr
    return ended.exit_code in _ENDS_BY_SIGNAL[death.signal_name]


def play(simulator: SimulatorProcess, schedule: Schedule, tally: Tally) -> None:
    """Play a schedule to its good end."""
    performance = Play(simulator, schedule, tally)
    try:
        for run in schedule.runs:
            performance.play(run)
        performance.end_well()
    except (AssertionError, TimeoutError) as error:
        message = f"{error}\n{schedule}"
        raise AssertionError(message) from error


# Found once, or hard from the start

_SMALL = Sizes(page_size=3, most_rows=20, memory_bytes=1, flush_bytes=1, seconds_between_states=0)

EXAMPLES = (
    # A burst that cannot be split, on a server that looks at days only, in the farthest zone.
    Schedule(
        accounts=(
            History(
                utc_offset_hours=14.0,
                named_sms=(Engagement(DAY - 1, 47 * HOUR),) * 45,
                named_voice_calls=(Engagement(DAY, 0),) * 45,
            ),
        ),
        span=3 * DAY,
        readings=Readings(selects_on="overlap", days_only=True, offset_ignored=True),
        sizes=_SMALL,
        runs=(Run(), Run(seconds_later=HOUR)),
    ),
    # Engagements at the very second at which windows and runs meet, where `to` does not count.
    Schedule(
        accounts=(
            History(
                named_sms=tuple(Engagement(WINDOW - 2 * DAY + by, 0) for by in (-1, 0, 1)),
                named_voice_calls=tuple(Engagement(40 * DAY + by, 0) for by in (-1, 0, 1)),
            ),
        ),
        span=40 * DAY,
        readings=Readings(to_inclusive=False),
        completion_delay=0,
        runs=(Run(seconds_later=20 * DAY), Run(seconds_later=DAY)),
    ),
    # A window that lacks rows, however often it is read, is followed by one that is complete.
    Schedule(
        accounts=(History(sms=50), History(sms=5)),
        span=40 * DAY,
        concurrency=1,
        sizes=Sizes(page_size=10),
        runs=(
            Run(
                seconds_later=20 * DAY,
                faults=(Fault(kind="page_repeated", endpoint="sms", limit=9),),
            ),
            Run(absent=0),
        ),
    ),
    # Requests that nobody could count before: they are sent again, or no total says how many come.
    Schedule(
        accounts=(History(sms=60, voice_calls=60), History(sms=30)),
        sizes=Sizes(page_size=3),
        runs=(
            Run(
                seconds_later=10 * DAY,
                faults=(Fault(kind="503_json", probability=0.5),),
                max_requests=30,
            ),
            Run(faults=(Fault(kind="missing_total_records"),), max_requests=30),
        ),
    ),
    # More engagements are open at any time than a window may have.
    Schedule(
        accounts=(
            History(named_sms=tuple(Engagement(HOUR * n, 2 * DAY) for n in range(100))),
            History(named_voice_calls=(Engagement(HOUR, 9 * HOUR),) * 40),
        ),
        readings=Readings(selects_on="overlap"),
        sizes=Sizes(page_size=10, most_rows=20),
        concurrency=10,
    ),
    # Killed again and again between many small windows, by targets that forget.
    Schedule(
        accounts=(History(sms=120, voice_calls=80), History(sms=60, utc_offset_hours=-12.0)),
        span=40 * DAY,
        readings=Readings(selects_on="end", to_inclusive=False, offset_ignored=True),
        sizes=_SMALL,
        runs=(
            Run(death=Death("SIGKILL", after_share=0.3, keeps_up_to_state=3)),
            Run(seconds_later=DAY, death=Death("", after_share=0.2)),
            Run(seconds_later=1, death=Death("SIGTERM", after_share=0.2, keeps_up_to_state=0)),
            Run(max_requests=30),
        ),
    ),
    # Silent for a month, then one engagement after the other, with runs that are killed meanwhile.
    Schedule(
        accounts=(
            History(
                named_sms=(Engagement(HOUR, 60), Engagement(40 * DAY, 60)),
                named_voice_calls=tuple(Engagement(40 * DAY + n * HOUR, 60) for n in range(9)),
            ),
            History(voice_calls=200),
            History(),
        ),
        span=60 * DAY,
        runs=(
            Run(seconds_later=10 * DAY - HOUR, quiet_hours=6),
            Run(seconds_later=HOUR, quiet_hours=6),
            Run(seconds_later=HOUR, quiet_hours=168, death=Death("SIGKILL", after_share=0.1)),
            *(Run(seconds_later=2 * HOUR, quiet_hours=6) for _ in range(4)),
            Run(seconds_later=DAY, quiet_hours=168, max_requests=3),
            Run(seconds_later=DAY, quiet_hours=0.5),
        ),
    ),
    # The app's own account alone, late completion, and rows that are not where they should be.
    Schedule(
        accounts=(History(sms=250, voice_calls=250, named_sms=(Engagement(5 * DAY, 2 * DAY),)),),
        own=True,
        completion_delay=HOUR,
        concurrency=10,
        runs=(
            Run(faults=(Fault(kind="rows_shift", probability=0.3), Fault(kind="duplicate_rows"))),
            Run(seconds_later=30, faults=(Fault(kind="page_repeated", limit=2),)),
        ),
    ),
)


def _with_examples(test: Callable[..., None]) -> Callable[..., None]:
    for schedule in EXAMPLES:
        test = example(schedule)(test)
    return test


_SLOW = settings(
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@_with_examples
@given(schedule=schedules())
@settings(_SLOW, max_examples=15, derandomize=True)
def test_nothing_is_lost_and_nothing_invented(
    simulator_process: SimulatorProcess, schedule: Schedule
) -> None:
    play(simulator_process, schedule, Tally())


@pytest.mark.long
@pytest.mark.timeout(0)
def test_nothing_is_lost_and_nothing_invented_for_an_hour(
    simulator_process: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    end = time.monotonic() + float(os.environ.get("PROPERTY_SECONDS", "3600"))
    first = int(os.environ.get("PROPERTY_SEED", str(time.time_ns())))
    tally = Tally()
    number = first
    while time.monotonic() < end:

        @seed(number)
        @settings(_SLOW, max_examples=25, database=None)
        @given(schedule=schedules())
        def play_some(schedule: Schedule) -> None:
            play(simulator_process, schedule, tally)

        play_some()
        number += 1
        with capsys.disabled():
            sys.stdout.write(f"seeds {first} to {number - 1}: {tally}\n")
            sys.stdout.flush()

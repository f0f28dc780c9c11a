"""Schedules of mishaps: a history under a reading of what Zoom leaves open, and what happens to it.

A `Schedule` is played by `tests.harness.play`. `schedules` draws random ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, get_args

from hypothesis import strategies as st

from simulator.scenario import Account, Fault, FaultKind, Limits, Readings, Refusal, Scenario
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import engagement

if TYPE_CHECKING:
    from tests.harness.constants import Constants
    from tests.harness.singer import Record

BEGIN = datetime(2024, 2, 1, tzinfo=timezone.utc)
"""The first second of every history; instants in a schedule are seconds after it."""

OWN_ACCOUNT = Scenario().account_id
HOUR, DAY = 3600, 86_400
WINDOW = 28 * DAY

_NO_LIMITS = Limits()


@dataclass(frozen=True)
class Death:
    """A run's violent end, by a signal or, without a name, by a target that closes the pipe.

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
class Schedule:
    """What Zoom has, which account may be the app's own, and the runs that read it.

    ``start_date``: in seconds after `BEGIN`. ``extra_lookback``: seconds beyond the longest
    engagement. ``listed``: whether the accounts are found by listing.
    """

    zoom: Scenario
    start_date: int = -2 * DAY
    extra_lookback: int = 0
    listed: bool = True
    concurrency: int = 2
    constants: Constants = SHORT_WAITS
    runs: tuple[Run, ...] = (Run(),)

    @property
    def account_ids(self) -> list[str]:
        """All accounts, in the order of the scenario."""
        return [account.id for account in self.zoom.accounts]

    def seen_by(self, run: Run) -> list[str]:
        """Return the accounts that a run sees; the app's own is always there."""
        names = self.account_ids
        if run.absent is None or len(names) == 1:
            return names
        return [name for name in names if name != names[run.absent] or name == OWN_ACCOUNT]

    def may_rest(self, run: Run) -> bool:
        """Say whether accounts may rest in a run."""
        return run.quiet_hours > 0 and self.zoom.readings.seconds_between_pages is None

    @property
    def goes_away(self) -> bool:
        """Whether engagements go away while pages are read."""
        readings = self.zoom.readings
        return bool(readings.history_days_kept and readings.seconds_between_pages)


def moment(seconds: int) -> datetime:
    """Return an instant of a schedule."""
    return BEGIN + timedelta(seconds=seconds)


def seconds_of(text: str) -> int:
    """Return how many seconds after `BEGIN` an instant is."""
    return round((datetime.fromisoformat(text) - BEGIN).total_seconds())


def named(*times: tuple[int, int]) -> tuple[Record, ...]:
    """Return engagements that a schedule names one by one, by start and duration in seconds."""
    return tuple(
        engagement(f"é+/{number}", moment(start), moment(start + length), direction="inbound")
        for number, (start, length) in enumerate(times)
    )


def zoom_with(*accounts: Account, span: int = 10 * DAY, **options: Any) -> Scenario:  # noqa: ANN401 (Scenario's)
    """Return a Zoom whose generated engagements start within so many seconds after `BEGIN`."""
    return Scenario(
        accounts=accounts, history_begin=BEGIN, history_end=moment(span), **{"seed": 1, **options}
    )


# Random ones

COUNTS_LIE: frozenset[FaultKind] = frozenset({"missing_total_records", "total_too_low"})
PLACES_LIE: frozenset[FaultKind] = frozenset(
    {"rows_shift", "page_repeated", "page_token_repeated", "missing_next_page_token"}
)
"""A client finds out by the count that rows are not where they should be, so a Zoom that lies about
both at once cannot be read right by anybody: a schedule has faults of one of the two sets only."""

_DURATIONS = st.sampled_from([0, 1, 59, HOUR, 6 * HOUR, 47 * HOUR]) | st.integers(0, 2 * DAY)
_COUNT = st.just(0) | st.integers(1, 60) | st.integers(60, 400)


def _accounts(span: int) -> st.SearchStrategy[Account]:
    """Draw an account with a few named engagements, sometimes many within one second.

    They are often at the edges of days and of windows.
    """
    edges = (0, span // 2, span // 2 // DAY * DAY, WINDOW - 2 * DAY, WINDOW, span)
    near = [edge + by for edge in edges for by in (-1, 0, 1) if 0 <= edge + by <= span]
    instants = st.sampled_from(sorted({*near})) | st.integers(0, span)
    one = st.tuples(instants, _DURATIONS)
    burst = st.builds(lambda times, count: [times] * count, one, st.integers(2, 40))
    few = (st.lists(one, max_size=6) | burst).map(lambda times: named(*times))
    return st.builds(
        Account,
        id=st.just("named later"),
        utc_offset_hours=st.sampled_from([0.0, 0.0, 14.0, -12.0, 5.75, -3.5]),
        sms=_COUNT,
        voice_calls=_COUNT,
        explicit_sms=few,
        explicit_voice_calls=few,
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


def _faults(kinds: frozenset[FaultKind]) -> st.SearchStrategy[Fault]:
    """Draw a fault of one of the kinds: now and then, at certain requests, a few times, or always.

    What is slow is so three times at most.
    """
    requests = st.lists(st.integers(1, 20), min_size=1, max_size=6).map(tuple)
    what: dict[str, Any] = {
        "kind": st.sampled_from(sorted(kinds)),
        "endpoint": st.sampled_from(["any", "sms", "voice_calls", "token", "accounts"]),
        "refusal": _REFUSALS,
        "seconds": st.just(0.5),
    }
    return st.one_of(
        st.builds(Fault, probability=st.sampled_from([0.03, 0.1, 0.3]), **what),
        st.builds(Fault, requests=requests, **what),
        st.builds(Fault, limit=st.integers(1, 12), **what),
        st.builds(Fault, **what),
    ).map(lambda drawn: replace(drawn, limit=3) if drawn.kind == "slow" else drawn)


_LIMITS = st.builds(
    Limits,
    page_token_seconds=st.sampled_from([900.0, 900.0, 0.02]),
    access_token_seconds=st.sampled_from([3600, 3600, 1]),
    one_live_token=st.booleans(),
    latency_seconds=st.sampled_from([0.0, 0.0, 0.02]),
)

_DEATH: dict[str, Any] = {
    "signal_name": st.sampled_from(["SIGKILL", "SIGKILL", "SIGTERM", ""]),
    "keeps_up_to_state": st.none() | st.integers(0, 5),
}
_DEATHS = st.builds(Death, after_share=st.floats(0, 1), **_DEATH) | st.builds(
    Death, after_seconds=st.floats(0.05, 1), **_DEATH
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


def small(most_rows: int, **sizes: Any) -> Constants:  # noqa: ANN401 (those of `Constants`)
    """Return constants that make a small history as eventful as a large one."""
    aimed_rows = most_rows * 18 // 25
    return replace(SHORT_WAITS, most_rows=most_rows, aimed_rows=aimed_rows, **sizes)


_CONSTANTS = st.just(SHORT_WAITS) | st.builds(
    small,
    st.sampled_from([20, 100, 2_500]),
    page_size=st.sampled_from([3, 10, 100]),
    memory_bytes=st.sampled_from([1, 80 << 20]),
    flush_bytes=st.sampled_from([1, 1 << 16]),
    seconds_between_states=st.sampled_from([0.0, 0.05, 1.0]),
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Draw a schedule."""
    span = draw(st.sampled_from([HOUR, 3 * DAY, 10 * DAY, 40 * DAY, 90 * DAY]))
    kinds = frozenset(get_args(FaultKind)) - draw(st.sampled_from([COUNTS_LIE, PLACES_LIE]))
    constants = draw(_CONSTANTS)
    drawn = draw(st.lists(_accounts(span), min_size=1, max_size=4))
    accounts = [replace(account, id=f"Account{number}") for number, account in enumerate(drawn)]
    if draw(st.booleans()):
        accounts[-1] = replace(accounts[-1], id=OWN_ACCOUNT)
    if draw(st.integers(0, 19)) == 0:
        # More than a window may have, with the sizes that users have.
        accounts[0] = replace(accounts[0], sms=3_000)
        constants = SHORT_WAITS
    return Schedule(
        zoom_with(
            *accounts,
            span=span,
            seed=draw(st.integers(0, 1_000)),
            readings=draw(_READINGS),
            completion_delay_seconds=draw(st.sampled_from([0, 60, HOUR])),
        ),
        start_date=draw(st.sampled_from([-2 * DAY, -2 * DAY, -2 * DAY, 0, span // 2])),
        extra_lookback=draw(st.sampled_from([0, 0, 1, DAY])),
        listed=draw(st.booleans()),
        concurrency=draw(st.sampled_from([1, 2, 10])),
        constants=constants,
        runs=draw(_runs(kinds)),
    )

"""What is listed late comes in time: syncs by a moving clock, through the command line.

`test_lookback.py` plays the same promises without a server, and so far more often. Here a
`Warehouse` is loaded by many syncs of a simulated Zoom, in which engagements are open for seconds
up to the lookback. No bookmark may come to where an engagement is due that the warehouse has not
got. A sync that is complete brings every bookmark to its own end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Literal

import pytest

from simulator.scenario import STREAMS, Account, Clock, Readings
from tests.harness.constants import Constants
from tests.harness.history import BEGIN, DAY, HOUR, engagement, scenario
from tests.harness.rows import key_of, truth_of
from tests.harness.singer import bookmarks
from tests.harness.tap import sync
from tests.harness.warm import Kill

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.process import SimulatorProcess
    from simulator.scenario import Scenario
    from tests.harness.rows import Key
    from tests.harness.singer import Record, State
    from tests.harness.tap import TapRun

    Selects = Literal["start", "end", "overlap"]

SECOND, QUARTER = timedelta(seconds=1), timedelta(minutes=15)
LISTED_AFTER = timedelta(minutes=1)
"""When the simulator lists an engagement that is over."""

LOOKBACKS = {"sms": 2 * DAY, "voice_calls": 8 * HOUR}
SETTINGS: Mapping[str, Any] = {
    f"{stream}_lookback_days": lookback / DAY for stream, lookback in LOOKBACKS.items()
}
FIRST = BEGIN + 3 * DAY
"""The first sync; engagements are still open then."""

SMALL = Constants(page_size=2, most_rows=6, aimed_rows=4)
"""Few rows give many windows and many requests."""

SCHEMA_BYTES = 25_000
"""What the tap writes before its first row, roughly."""


def engagements(random: Random, lookback: timedelta, span: timedelta) -> tuple[Record, ...]:
    """Return some that are open for a second up to the lookback, and end before the span does."""
    found = []
    for number in range(40):
        length = random.choice([lookback, lookback * random.random(), lookback / 2 ** (number / 4)])
        length = max(SECOND, timedelta(seconds=int(length / SECOND)))
        start = FIRST - lookback + random.random() * (span + lookback - length)
        start = start.replace(microsecond=0)
        found.append(engagement(f"{number:03}", start, start + length))
    return tuple(found)


def accounts(
    zones: tuple[float, ...], span: timedelta, lookbacks: Mapping[str, timedelta] = LOOKBACKS
) -> list[Account]:
    """Return an account in each zone, by hours from UTC."""
    random = Random(11)
    return [
        Account(
            id=f"zone{number}",
            utc_offset_hours=hours,
            explicit_sms=engagements(random, lookbacks["sms"], span),
            explicit_voice_calls=engagements(random, lookbacks["voice_calls"], span),
        )
        for number, hours in enumerate(zones)
    ]


class Warehouse:
    """What a target has got of a simulated Zoom, and the state of the sync before."""

    def __init__(
        self, simulator: SimulatorProcess, zoom: Scenario, settings: Mapping[str, Any] = SETTINGS
    ) -> None:
        """Start with nothing.

        Args:
            simulator: what stands in for Zoom.
            zoom: what it serves; its time is set by each sync.
            settings: of the tap.
        """
        simulator.replace(zoom)
        self._simulator = simulator
        self._settings = {
            "sub_account_ids": [account.id for account in zoom.accounts],
            "start_date": (BEGIN - DAY).isoformat(),
            **settings,
        }
        simulator.set_clock(BEGIN + 365 * DAY)
        self.due = {key: self._due(key, row, zoom) for key, row in truth_of(simulator).items()}
        """The bookmark that may not be reached before an engagement is read."""
        self.state: State | None = None
        self.got: set[Key] = set()

    def _due(self, key: Key, row: Record, zoom: Scenario) -> datetime:
        """Return its listing, and twice the time from its place to that, or 15 minutes later.

        Where Zoom takes written times for those of the account's zone, an engagement's place is as
        much later than its time as the zone is ahead of UTC.
        """
        start, end = (datetime.fromisoformat(row[name]) for name in ("start_time", "end_time"))
        (zone,) = {each.utc_offset_hours for each in zoom.accounts if each.id == key[1]}
        shift = zone * HOUR if zoom.readings.offset_ignored else timedelta(0)
        first = (end if zoom.readings.selects_on == "end" else start) + shift
        last = (start if zoom.readings.selects_on == "start" else end) + shift
        appears = max(end + LISTED_AFTER, first)
        return appears + max(QUARTER, 2 * (appears - last))

    def load(self, now: datetime, *, keeps_states: int | None = None, **options: Any) -> TapRun:  # noqa: ANN401 (those of `sync`)
        """Sync, keep the rows, and see that no bookmark came to where something is missing.

        Args:
            now: the present.
            keeps_states: after how many STATE messages the target loses what comes; None for never.
            options: of `sync`, besides the warehouse's own.
        """
        run = sync(self._simulator, now, state=self.state, **{**self._settings, **options})
        states = 0
        for message in run.messages:
            if states == keeps_states:
                break
            if message["type"] == "RECORD" and message["stream"] in STREAMS:
                self.got.add(key_of(message["stream"], message["record"]))
            elif message["type"] == "STATE":
                self.state = message["value"]
                states += 1
        late = {key for key, due in self.due.items() if due <= self._bookmark(key)} - self.got
        assert not late, f"{len(late)} are late, such as {min(late)}, due {self.due[min(late)]}"
        return run

    def _bookmark(self, key: Key) -> datetime:
        stream, account_id, _ = key
        values = bookmarks(self.state or {}, stream)
        return datetime.fromisoformat(values.get(account_id, BEGIN.isoformat()))

    def load_the_rest(self) -> None:
        """Sync once more when all is due: then nothing is missing."""
        end = max(self.due.values()) + SECOND
        self.load(end).check()
        assert {self._bookmark(key) for key in self.due} == {end}
        assert self.got == self.due.keys()


def zoom_of(
    accounts: list[Account],
    *,
    told: bool = False,
    **readings: Any,  # noqa: ANN401 (Readings')
) -> Scenario:
    return scenario(
        *accounts,
        clock=Clock(now=FIRST, told=told),
        readings=Readings(**readings),
        completion_delay_seconds=LISTED_AFTER // SECOND,
    )


# Schedules


def test_all_comes_in_time_by_hourly_syncs(simulator: SimulatorProcess) -> None:
    warehouse = Warehouse(simulator, zoom_of(accounts((0, 0), 2 * DAY)))
    for hour in range(2 * 24):
        warehouse.load(FIRST + hour * HOUR).check()
    warehouse.load_the_rest()


@pytest.mark.parametrize(
    ("selects_on", "to_inclusive"), [("start", False), ("end", True), ("overlap", True)]
)
def test_all_comes_in_time_by_irregular_syncs_in_every_zone(
    simulator: SimulatorProcess, selects_on: Selects, *, to_inclusive: bool
) -> None:
    zones = (-12, -3.5, 5.75, 14)
    warehouse = Warehouse(
        simulator,
        zoom_of(
            accounts(zones, 5 * DAY),
            selects_on=selects_on,
            to_inclusive=to_inclusive,
            offset_ignored=True,
        ),
    )
    random = Random(selects_on)
    now = FIRST
    while now < FIRST + 6 * DAY:
        warehouse.load(now).check()
        now += timedelta(minutes=round(2 ** (12 * random.random())))
    warehouse.load_the_rest()


def test_all_comes_in_time_by_syncs_of_which_most_are_killed(simulator: SimulatorProcess) -> None:
    """The target has what came before the kill, or only what came up to some STATE."""
    warehouse = Warehouse(simulator, zoom_of(accounts((-12, 0, 14), 4 * DAY), offset_ignored=True))
    random = Random(4)
    constants = replace(SMALL, flush_bytes=1_000, seconds_between_states=0.0)
    ends: Counter[int] = Counter()
    went_on = 0
    for number in range(40):
        after = SCHEMA_BYTES + round(20_000 * random.random() ** 2)
        run = warehouse.load(
            FIRST + number * 3 * HOUR,
            keeps_states=random.choice([None, None, 1, 2, 4]),
            constants=constants,
            kill=Kill("SIGKILL", after_bytes=after) if random.random() < 0.8 else None,
        )
        ends[run.exit_code] += 1
        went_on += "reread_to" in str(warehouse.state)
    assert ends.keys() == {0, -9}
    assert went_on > 5, "few rereads were cut short"
    warehouse.load_the_rest()


def test_all_comes_in_time_with_a_budget_smaller_than_the_deepest_read(
    simulator: SimulatorProcess,
) -> None:
    warehouse = Warehouse(simulator, zoom_of(accounts((-12, 14), 4 * DAY), offset_ignored=True))
    went_on = 0
    for number in range(40):
        now = FIRST + number * 3 * HOUR
        warehouse.load(now, constants=SMALL, max_requests_per_run=20).check()
        went_on += "reread_to" in str(warehouse.state)
    assert went_on > 5, "few rereads were cut short"
    warehouse.load_the_rest()


def test_nothing_is_later_by_more_than_a_rest_and_the_distance_of_two_syncs(
    simulator: SimulatorProcess,
) -> None:
    """Accounts from which little comes rest; `Warehouse` sees that nothing else is different."""
    longest = 2 * HOUR
    sparse = [
        replace(
            account,
            explicit_sms=account.explicit_sms[-4:],
            explicit_voice_calls=account.explicit_voice_calls[-4:],
        )
        for account in accounts((-12, 0, 14), 5 * DAY)
    ]
    warehouse = Warehouse(
        simulator,
        zoom_of(sparse, told=True, offset_ignored=True),
        {**SETTINGS, "quiet_accounts_hours": longest / HOUR},
    )
    now, requests, syncs = FIRST, 0, 0
    while now < FIRST + 6 * DAY:
        warehouse.load(now).check()
        late = {key for key, due in warehouse.due.items() if due + longest + HOUR <= now}
        assert late <= warehouse.got, f"{min(late - warehouse.got)} is later than promised"
        asked = simulator.stats().requests
        requests += sum(len(asked.get(stream, {})) for stream in STREAMS)
        now, syncs = now + HOUR, syncs + 1
    assert requests < 0.7 * syncs * len(sparse) * len(STREAMS), "many were meant to rest"
    warehouse.load_the_rest()


# Examples


@pytest.mark.parametrize(
    ("length", "lookback", "zone"),
    [
        (17 * HOUR, DAY, -8),
        (17 * HOUR, 17 * HOUR, -8),
        (17 * HOUR, 17 * HOUR, 14),
        (DAY - LISTED_AFTER, DAY, 0),
        (DAY, DAY, -12),
    ],
    ids=[
        "17 hours at UTC-8",
        "as long as the lookback at UTC-8",
        "as long as the lookback at UTC+14",
        "listed when the lookback is over",
        "as long as the lookback at UTC-12",
    ],
)
def test_a_call_that_is_open_for_at_most_the_lookback_is_found(
    simulator: SimulatorProcess, length: timedelta, lookback: timedelta, zone: float
) -> None:
    """A range may be meant in the account's zone; accounts differ in when they look far back."""
    call = engagement("call", FIRST - HOUR, FIRST - HOUR + length)
    same = [
        Account(id=f"same{number}", utc_offset_hours=zone, explicit_voice_calls=(call,))
        for number in range(6)
    ]
    settings = {"voice_calls_lookback_days": lookback / DAY}
    warehouse = Warehouse(simulator, zoom_of(same, offset_ignored=True), settings)
    now = FIRST
    while now < max(warehouse.due.values()):
        warehouse.load(now).check()
        now += 7 * HOUR
    warehouse.load_the_rest()


def test_an_idle_account_costs_one_request_a_stream_except_at_its_deepest_step(
    simulator: SimulatorProcess,
) -> None:
    """At 14 days that is every 512 hours, and more than 28 days; at 2 days it is less."""
    warehouse = Warehouse(simulator, zoom_of([Account(id="idle")]), {})
    warehouse.load(FIRST + 40 * DAY).check()
    requests: dict[str, Counter[int]] = {stream: Counter() for stream in STREAMS}
    pause = 16 * HOUR
    for number in range(512 * HOUR // pause):
        warehouse.load(FIRST + 40 * DAY + (number + 1) * pause).check()
        for stream in STREAMS:
            requests[stream][simulator.stats().requests[stream]["idle"]] += 1
    assert requests["sms"] == {1: 31, 2: 1}
    assert requests["voice_calls"] == {1: 32}

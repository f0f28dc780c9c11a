"""Nothing is lost, late or invented, whatever happens: schedules of mishaps.

A schedule is a history under a reading of what Zoom leaves open, and runs of the tap's command
line, each at its own time, with faults of Zoom's and perhaps a violent end. `Play` sees after each
that no bookmark comes to where an engagement is due that the target has not got.

`pytest tests/test_properties.py` plays a small, always equal set of schedules. The long variant,
``pytest tests/test_properties.py -m long``, plays new random ones for an hour, or for as many
seconds as the environment variable `PROPERTY_SECONDS` says, and prints how much it played.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, seed, settings

from simulator.scenario import Account, Fault, Readings
from tests.harness.play import Play
from tests.harness.schedules import (
    DAY,
    HOUR,
    Death,
    Run,
    Schedule,
    named,
    schedules,
    small,
    zoom_with,
)

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import Scenario
    from tests.harness.singer import Record

SMALL = small(20, page_size=3, memory_bytes=1, flush_bytes=1, seconds_between_states=0)

HARD_ONES = {
    "a burst that cannot be split, by days only, in the farthest zone": Schedule(
        zoom_with(
            Account(
                id="one",
                utc_offset_hours=14.0,
                explicit_sms=named(*[(DAY - 1, 47 * HOUR)] * 45),
                explicit_voice_calls=named(*[(DAY, 0)] * 45),
            ),
            span=3 * DAY,
            readings=Readings(selects_on="overlap", days_only=True, offset_ignored=True),
        ),
        constants=SMALL,
        runs=(Run(), Run(seconds_later=HOUR)),
    ),
    "a window that lacks rows, before one that is complete": Schedule(
        zoom_with(Account(id="one", sms=50), Account(id="two", sms=5), span=40 * DAY),
        concurrency=1,
        constants=small(2_500, page_size=10),
        runs=(
            Run(20 * DAY, faults=(Fault(kind="page_repeated", endpoint="sms", limit=9),)),
            Run(absent=0),
        ),
    ),
    "killed again and again between many small windows, by targets that forget": Schedule(
        zoom_with(
            Account(id="one", sms=120, voice_calls=80),
            Account(id="two", sms=60, utc_offset_hours=-12.0),
            span=40 * DAY,
            readings=Readings(selects_on="end", to_inclusive=False, offset_ignored=True),
        ),
        constants=SMALL,
        runs=(
            Run(death=Death("SIGKILL", after_share=0.3, keeps_up_to_state=3)),
            Run(seconds_later=DAY, death=Death("", after_share=0.2)),
            Run(seconds_later=1, death=Death("SIGTERM", after_share=0.2, keeps_up_to_state=0)),
            Run(max_requests=30),
        ),
    ),
    "silent for a month, then one after the other, with runs that are killed": Schedule(
        zoom_with(
            Account(
                id="one",
                explicit_sms=named((HOUR, 60), (40 * DAY, 60)),
                explicit_voice_calls=named(*((40 * DAY + n * HOUR, 60) for n in range(9))),
            ),
            Account(id="two", voice_calls=200),
            Account(id="three"),
            span=60 * DAY,
        ),
        runs=(
            Run(seconds_later=10 * DAY - HOUR, quiet_hours=6),
            Run(seconds_later=HOUR, quiet_hours=6),
            Run(seconds_later=HOUR, quiet_hours=168, death=Death("SIGKILL", after_share=0.1)),
            *(Run(seconds_later=2 * HOUR, quiet_hours=6) for _ in range(4)),
            Run(seconds_later=DAY, quiet_hours=168, max_requests=3),
            Run(seconds_later=DAY, quiet_hours=0.5),
        ),
    ),
}
"""Each was found once, or is hard from the start."""


@pytest.mark.parametrize("name", HARD_ONES)
def test_nothing_is_lost_and_nothing_invented_where_it_is_hard(
    simulator_process: SimulatorProcess, name: str
) -> None:
    Play(simulator_process, HARD_ONES[name]).to_the_end()


@pytest.mark.parametrize("part", range(4))
@settings(max_examples=4, derandomize=True)
@given(schedule=schedules())
def test_nothing_is_lost_and_nothing_invented(
    simulator_process: SimulatorProcess, part: int, schedule: Schedule
) -> None:
    """Each part plays other schedules, and several workers of pytest can play them."""
    del part
    Play(simulator_process, schedule).to_the_end()


@pytest.mark.long
@pytest.mark.timeout(0)
def test_nothing_is_lost_and_nothing_invented_for_an_hour(
    simulator_process: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    end = time.monotonic() + float(os.environ.get("PROPERTY_SECONDS", "3600"))
    first = number = int(os.environ.get("PROPERTY_SEED", str(time.time_ns())))
    tally: Counter[str] = Counter()
    while time.monotonic() < end:

        @seed(number)
        @settings(max_examples=25, database=None, print_blob=True)
        @given(schedule=schedules())
        def play_some(schedule: Schedule) -> None:
            tally.update(Play(simulator_process, schedule).to_the_end())

        play_some()
        number += 1
        with capsys.disabled():
            played = ", ".join(f"{name}: {count}" for name, count in tally.most_common())
            sys.stdout.write(f"seeds {first} to {number - 1}: {played}\n")
            sys.stdout.flush()


# What is listed late comes in time. `test_lookback.py` plays the same promise without a server, so
# far more often.

FIRST_SYNC, SPAN = 3 * DAY, 4 * DAY
SYNCS = 40


def engagements(random: Random, longest: int) -> tuple[Record, ...]:
    """Return some that are open for up to the longest, and end before the span does."""
    lengths = [int(longest * random.random() ** random.choice([0, 1, 9])) for _ in range(40)]
    begin = FIRST_SYNC - longest
    return named(
        *((begin + random.randint(0, SPAN + longest - length), length) for length in lengths)
    )


def zoom_in(random: Random, *zones: float) -> Scenario:
    """Return a Zoom with an account in each zone, by hours from UTC, which decides what is read."""
    accounts = [
        Account(
            id=f"zone{hours}",
            utc_offset_hours=hours,
            explicit_sms=engagements(random, 2 * DAY),
            explicit_voice_calls=engagements(random, 8 * HOUR),
        )
        for hours in zones
    ]
    readings = Readings(offset_ignored=True, selects_on="end", to_inclusive=False)
    # A play begins in the middle of its history.
    return zoom_with(*accounts, span=2 * FIRST_SYNC, readings=readings)


def cut_short(random: Random) -> Run:
    """Return a run that may be killed, or has a budget smaller than the deepest read."""
    if random.random() < 0.3:
        return Run(3 * HOUR, max_requests=20)
    share = 0.4 + 0.35 * random.random() ** 2
    kept = random.choice([None, None, 0, 1, 3])
    death = Death("SIGKILL", after_share=share, keeps_up_to_state=kept)
    return Run(3 * HOUR, death=death if random.random() < 0.8 else None)


def test_all_comes_in_time_by_syncs_of_which_most_are_cut_short(
    simulator_process: SimulatorProcess,
) -> None:
    random = Random(11)
    schedule = Schedule(
        zoom_in(random, -12, 0, 14),
        constants=small(6, page_size=2, flush_bytes=1_000, seconds_between_states=0.0),
        runs=tuple(cut_short(random) for _ in range(SYNCS)),
    )
    tally = Play(simulator_process, schedule).to_the_end()
    assert tally["rereads cut short"] > 5
    assert tally["exit code -9"] > SYNCS / 4
    assert tally["exit code 0"] > SYNCS / 4

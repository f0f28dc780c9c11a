"""What is listed late comes in time, by syncs that are cut short or in which accounts rest.

`test_lookback.py` plays the same promise without a server, so far more often: by hourly and by
irregular syncs, in every zone. Here it is the command line, with engagements that are open for
seconds up to the lookback. `Play` sees that no bookmark comes to where an engagement is due that
the target has not got, and that a sync that is complete brings every bookmark to its own end.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from simulator.scenario import Account, Readings
from tests.harness.play import Play
from tests.harness.schedules import (
    DAY,
    HOUR,
    Death,
    Run,
    Schedule,
    named,
    small,
    zoom_with,
)

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import Scenario
    from tests.harness.singer import Record

FIRST = 3 * DAY
"""The first sync; engagements are still open then."""

SPAN = 4 * DAY
SYNCS = 40


def engagements(random: Random, longest: int, count: int) -> tuple[Record, ...]:
    """Return some that are open for a second up to the longest, and end before the span does."""
    times = []
    for number in range(count):
        drawn = [longest, longest * random.random(), longest / 2 ** (number / 4)]
        length = max(1, int(random.choice(drawn)))
        start = int(FIRST - longest + random.random() * (SPAN + longest - length))
        times.append((start, length))
    return named(*times)


def zoom_in(
    *zones: float,
    count: int = 40,
    **readings: Any,  # noqa: ANN401 (Readings')
) -> Scenario:
    """Return a Zoom with an account in each zone, by hours from UTC, which decides what is read."""
    random = Random(11)
    accounts = [
        Account(
            id=f"zone{number}",
            utc_offset_hours=hours,
            explicit_sms=engagements(random, 2 * DAY, count),
            explicit_voice_calls=engagements(random, 8 * HOUR, count),
        )
        for number, hours in enumerate(zones)
    ]
    # A play begins in the middle of its history.
    return zoom_with(*accounts, span=2 * FIRST, readings=Readings(offset_ignored=True, **readings))


def rereads_cut_short(play: Play) -> int:
    """Play a schedule to its end, and return after how many runs a reread is to be gone on with."""
    found = 0
    for run in play.schedule.runs:
        play.run(run)
        found += "reread_to" in str(play.state)
    play.end_well()
    return found


def test_all_comes_in_time_by_syncs_of_which_most_are_killed(simulator: SimulatorProcess) -> None:
    """The target has what came before the kill, or only what came up to some STATE."""
    random = Random(4)

    def death() -> Death:
        share = 0.4 + 0.35 * random.random() ** 2
        keeps = random.choice([None, None, 0, 1, 3])
        return Death("SIGKILL", after_share=share, keeps_up_to_state=keeps)

    schedule = Schedule(
        zoom_in(-12, 0, 14, selects_on="end", to_inclusive=False),
        constants=small(6, page_size=2, flush_bytes=1_000, seconds_between_states=0.0),
        runs=tuple(
            Run(3 * HOUR, death=death() if random.random() < 0.8 else None) for _ in range(SYNCS)
        ),
    )
    play = Play(simulator, schedule)
    assert rereads_cut_short(play) > 5
    assert play.tally["exit code -9"] > SYNCS / 3
    assert play.tally["exit code 0"] > SYNCS / 10


def test_all_comes_in_time_with_a_budget_smaller_than_the_deepest_read(
    simulator: SimulatorProcess,
) -> None:
    schedule = Schedule(
        zoom_in(-12, 14),
        constants=small(6, page_size=2),
        runs=(Run(3 * HOUR, max_requests=20),) * SYNCS,
    )
    play = Play(simulator, schedule)
    assert rereads_cut_short(play) > 5
    assert play.tally["exit code 0"] == SYNCS + 1


def test_nothing_is_later_by_more_than_a_rest_and_the_distance_of_two_syncs(
    simulator: SimulatorProcess,
) -> None:
    """Accounts from which little comes rest, and `Play` sees that nothing else is different."""
    schedule = Schedule(
        zoom_in(-12, 0, 14, count=4, selects_on="overlap"),
        runs=(Run(HOUR, quiet_hours=2),) * 60,
    )
    play = Play(simulator, schedule)
    play.to_the_end()
    assert play.tally["rests"] > 0.3 * len(schedule.runs) * 3 * 2, "many were meant to rest"
    assert play.tally["exit code 0"] == len(schedule.runs) + 1

"""With a profile the simulator plays a contact center at work: each queue by its rhythm."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from simulator.profile import Lengths, Profile, Queue, Rhythm
from simulator.scenario import Account, Clock, Scenario, dump, load

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream
    from tests.harness.singer import Record

NOTHING = "0" * 24
MORNING = "000000009900000000000000"
EVENING = "000000000000000000019000"
OFFSET_HOURS = 9.5
PROFILE = Profile(
    queues=(
        Queue(name="Early", voice_calls=Rhythm(share=3, week=(*[MORNING] * 5, NOTHING, NOTHING))),
        Queue(
            name="Late",
            voice_calls=Rhythm(share=1, week=(*[NOTHING] * 5, EVENING, EVENING)),
            sms=Rhythm(share=1, week=(EVENING,) * 7),
        ),
    ),
    agents=("Agent 1", "Agent 2", "Agent 3", "Agent 4"),
    teams=("Team 1", "Team 2"),
    flows=("Flow 1", "Flow 2"),
    regions=("Region 1", "Region 2"),
    voice_calls_lengths=Lengths(mean=60, longest_usual=100, longest=200, long_every=10),
    sms_lengths=Lengths(mean=3600, longest_usual=7200, longest=5 * 86400, long_every=10),
)
BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
SCENARIO = Scenario(
    accounts=(
        Account(
            id="pRoFiLeDaCcOuNt000001", sms=200, voice_calls=2000, utc_offset_hours=OFFSET_HOURS
        ),
    ),
    history_begin=BEGIN,
    history_end=BEGIN + timedelta(weeks=4),
    clock=Clock(now=BEGIN + timedelta(weeks=8)),
    profile=PROFILE,
)


def rows_of(simulator: SimulatorProcess, stream: Stream) -> list[Record]:
    """Give the engagements of the scenario."""
    simulator.replace(SCENARIO)
    return simulator.truth(stream)


def test_each_queue_has_the_hours_the_share_and_the_agents_that_the_profile_gives_it(
    simulator: SimulatorProcess,
) -> None:
    zone = timezone(timedelta(hours=OFFSET_HOURS))
    hours: defaultdict[str, Counter[tuple[bool, int]]] = defaultdict(Counter)
    agents: defaultdict[str, set[str]] = defaultdict(set)
    rows = rows_of(simulator, "voice_calls")
    for row in rows:
        start = datetime.fromisoformat(row["start_time"]).astimezone(zone)
        queue = row["queues"][0]["queue_name"]
        hours[queue][start.isoweekday() > 5, start.hour] += 1
        agents[queue] |= {agent.get("display_name") for agent in row.get("agents") or ()} - {None}

    # An hour begins at half past in this zone, so half of what began in one lies in the next.
    assert set(hours["Early"]) == {(False, 8), (False, 9), (False, 10)}
    assert {hour for _, hour in hours["Late"]} == {19, 20, 21}
    assert hours["Late"].total() == pytest.approx(500, rel=0.15)
    assert hours["Late"][True, 20] > 4 * hours["Late"][True, 19]
    assert agents == {"Early": {"Agent 1", "Agent 3"}, "Late": {"Agent 2", "Agent 4"}}
    completed = [row for row in rows if row.get("result") == "completed"]
    assert len(completed) > 0.7 * len(rows), "most calls are ordinary ones"
    texts = rows_of(simulator, "sms")
    assert {row["queues"][0]["queue_name"] for row in texts} == {"Late"}, "Early has no rhythm"


@pytest.mark.parametrize(
    ("stream", "usual", "longest"), [("voice_calls", 100, 200), ("sms", 7200, 5 * 86400)]
)
def test_one_of_so_many_engagements_is_open_for_long(
    stream: Stream, usual: int, longest: int, simulator: SimulatorProcess
) -> None:
    seconds = [
        (
            datetime.fromisoformat(row["end_time"]) - datetime.fromisoformat(row["start_time"])
        ).total_seconds()
        for row in rows_of(simulator, stream)
    ]
    assert sum(length > usual for length in seconds) == pytest.approx(len(seconds) / 10, abs=2)
    assert longest * 0.8 < max(seconds) <= longest


def test_a_scenario_with_a_profile_survives_a_file() -> None:
    assert load(dump(SCENARIO)) == SCENARIO

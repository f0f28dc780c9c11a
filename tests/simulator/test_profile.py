"""With a profile the simulator plays a contact center at work: each queue by its rhythm."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from simulator.profile import Lengths, Profile, Queue, Rhythm
from simulator.scenario import STREAMS, Account, Clock, Scenario, dump, load

if TYPE_CHECKING:
    from collections.abc import Callable

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


def test_each_queue_has_the_hours_and_the_share_that_its_rhythm_gives_it(
    simulator: SimulatorProcess,
) -> None:
    zone = timezone(timedelta(hours=OFFSET_HOURS))
    hours: defaultdict[str, Counter[tuple[bool, int]]] = defaultdict(Counter)
    for row in rows_of(simulator, "voice_calls"):
        start = datetime.fromisoformat(row["start_time"]).astimezone(zone)
        hours[row["queues"][0]["queue_name"]][start.isoweekday() > 5, start.hour] += 1

    # An hour begins at half past in this zone, so half of what began in one lies in the next.
    assert set(hours["Early"]) == {(False, 8), (False, 9), (False, 10)}
    assert {hour for _, hour in hours["Late"]} == {19, 20, 21}
    assert hours["Late"].total() == pytest.approx(500, rel=0.15)
    assert hours["Late"][True, 20] > 4 * hours["Late"][True, 19]


def test_a_queue_without_a_rhythm_gets_nothing_of_that_stream(simulator: SimulatorProcess) -> None:
    rows = rows_of(simulator, "sms")
    assert {row["queues"][0]["queue_name"] for row in rows} == {"Late"}


@pytest.mark.parametrize(
    ("stream", "usual", "longest"), [("voice_calls", 100, 200), ("sms", 7200, 5 * 86400)]
)
def test_one_of_so_many_engagements_is_open_for_long(
    stream: Stream, usual: int, longest: int, simulator: SimulatorProcess
) -> None:
    rows = rows_of(simulator, stream)
    seconds = [
        (
            datetime.fromisoformat(row["end_time"]) - datetime.fromisoformat(row["start_time"])
        ).total_seconds()
        for row in rows
    ]
    assert sum(length > usual for length in seconds) == pytest.approx(len(rows) / 10, abs=2)
    assert longest * 0.8 < max(seconds) <= longest


@pytest.mark.parametrize("stream", STREAMS)
def test_all_names_are_those_of_the_profile_and_each_queue_has_agents_of_its_own(
    stream: Stream, simulator: SimulatorProcess
) -> None:
    agents: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows_of(simulator, stream):
        names = [agent.get("display_name") for agent in row.get("agents") or ()]
        agents[row["queues"][0]["queue_name"]].update(name for name in names if name)
        for agent in row.get("agents") or ():
            assert set(agent.get("team_names") or ()) <= set(PROFILE.teams)
        assert (row.get("consumer_display_name") or "Consumer").startswith("Consumer")
    assert agents["Late"] == {"Agent 2", "Agent 4"}
    assert agents["Early"] == ({"Agent 1", "Agent 3"} if stream == "voice_calls" else set())


def test_most_calls_are_ordinary_ones(simulator: SimulatorProcess) -> None:
    results = Counter(row.get("result") for row in rows_of(simulator, "voice_calls"))
    assert results["completed"] > 0.7 * results.total()
    assert len(results) > 10


def test_a_scenario_with_a_profile_survives_a_file() -> None:
    assert load(dump(SCENARIO)) == SCENARIO


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Rhythm(share=1, week=(MORNING,) * 6), "seven days of 24 digits"),
        (lambda: Rhythm(share=1, week=(*[MORNING] * 6, "12")), "seven days of 24 digits"),
        (lambda: Rhythm(share=1, week=(NOTHING,) * 7), "without engagements"),
        (lambda: replace(PROFILE, agents=("Agent 1", "Agent 2")), "two agents for each queue"),
        (lambda: replace(PROFILE, flows=("Flow",)), "two of everything"),
        (
            lambda: replace(
                PROFILE, queues=tuple(replace(queue, sms=None) for queue in PROFILE.queues)
            ),
            "a rhythm of sms",
        ),
    ],
)
def test_a_profile_that_could_not_be_played_is_refused(
    make: Callable[[], object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        make()

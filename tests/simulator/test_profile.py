"""With a profile, here the demo's, the simulator plays contact centers at work."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from simulator.demo import demo_scenario
from simulator.scenario import STREAMS, dump, load

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream

SCENARIO = demo_scenario(datetime(2026, 3, 2, tzinfo=timezone.utc))


@pytest.mark.parametrize("stream", STREAMS)
def test_each_queue_has_the_hours_and_the_agents_that_the_profile_gives_it(
    simulator: SimulatorProcess, stream: Stream
) -> None:
    simulator.replace(SCENARIO)
    profile = SCENARIO.profile
    assert profile
    hours: defaultdict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    agents: defaultdict[str, set[str]] = defaultdict(set)
    seconds = []
    for row in simulator.truth(stream):
        start, end = (datetime.fromisoformat(row[name]) for name in ("start_time", "end_time"))
        queue = row["queues"][0]["queue_name"]
        hours[queue][start.weekday(), start.hour] += 1
        agents[queue] |= {agent.get("display_name") for agent in row.get("agents") or ()} - {None}
        seconds.append((end - start).total_seconds())

    for number, queue in enumerate(profile.queues):
        rhythm = queue.rhythm(stream)
        weights = rhythm.weights() if rhythm else []
        busy = {divmod(hour, 24) for hour, weight in enumerate(weights) if weight}
        assert hours[queue.name].keys() <= busy
        assert agents[queue.name] == set(
            profile.agents[number :: len(profile.queues)] if rhythm else ()
        )
    lengths = profile.lengths(stream)
    long = sum(length > lengths.longest_usual for length in seconds)
    assert long == pytest.approx(len(seconds) / lengths.long_every, rel=0.1)
    assert lengths.longest * 0.8 < max(seconds) <= lengths.longest


def test_a_scenario_with_a_profile_survives_a_file() -> None:
    assert load(dump(SCENARIO)) == SCENARIO

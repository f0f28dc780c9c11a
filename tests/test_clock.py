"""A clock that is ahead of Zoom's moves no bookmark past engagements that have yet to happen."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from simulator.scenario import Account, Clock, Scenario
from tests.harness.history import DAY, HOUR
from tests.harness.singer import bookmarks, state_of
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun
    from tests.harness.singer import State


def now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)


def run(zoom: SimulatorProcess, time: datetime, state: State | None = None) -> TapRun:
    """Read an account without rows of a Zoom that tells a time of its own."""
    zoom.replace(Scenario(accounts=(Account(id="one"),), clock=Clock(now=time, told=True)))
    config = {**zoom.tap_config(), "sub_account_ids": ["one"], "requests_per_second": 1000}
    return run_tap(config, state=state)


def test_a_clock_that_is_ahead_moves_bookmarks_to_zooms_time_only_and_nobody_looks_behind(
    simulator: SimulatorProcess,
) -> None:
    earlier = now() - 2 * DAY
    result = run(simulator, earlier).check()
    assert bookmarks(result.state, "sms") == {"one": earlier.isoformat()}
    (warning,) = [line for line in result.logged("WARNING") if "clock" in line]
    assert "ahead of Zoom's" in warning
    said = f"0 behind by more than a day, oldest bookmark {earlier.isoformat()}"
    assert ["Summary of " in line for line in result.lines if said in line] == [True] * 2


@pytest.mark.parametrize("time", [now() + HOUR, now().replace(year=1970, day=2)])
def test_a_clock_that_is_behind_or_told_an_impossible_time_is_believed(
    simulator: SimulatorProcess, time: datetime
) -> None:
    began = now()
    result = run(simulator, time).check()
    (bookmark,) = bookmarks(result.state, "sms").values()
    assert began <= datetime.fromisoformat(bookmark) <= datetime.now(timezone.utc)
    assert not [line for line in result.logged("WARNING") if "clock" in line]


def test_a_run_that_reads_nothing_because_zooms_clock_lies_before_the_bookmark_is_not_green(
    simulator: SimulatorProcess,
) -> None:
    bookmark = now().isoformat()
    state = {"bookmarks": state_of("sms", {"one": bookmark})}
    result = run(simulator, now() - 3 * DAY, state).check(1)
    assert any("sms, account one" in line and "clock" in line for line in result.logged("ERROR"))
    assert bookmarks(result.state, "sms") == {"one": bookmark}

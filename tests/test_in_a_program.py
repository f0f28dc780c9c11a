"""A program that runs the tap itself: a second sync says what is wrong, and a stop leaves nothing.

Elsewhere the command line runs, which ends with its process.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from simulator.scenario import Account, Limits
from tap_zoom_cc.run.stopping import Stop
from tap_zoom_cc.sync import stages
from tap_zoom_cc.tap import TapZoomCC
from tests.harness.history import scenario
from tests.harness.tap import settings_for

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import Scenario

PATIENCE_SECONDS = 60


def tap(simulator: SimulatorProcess, world: Scenario, stop: Stop | None = None) -> TapZoomCC:
    simulator.replace(world)
    return TapZoomCC(config=settings_for(simulator), stop=stop)


def test_a_second_sync_of_one_object_is_refused(
    simulator: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    once = tap(simulator, scenario(Account(id="one", sms=20)))
    before = set(threading.enumerate())
    once.sync_all()
    assert set(threading.enumerate()) <= before, "a thread may end while the process does"
    assert '"RECORD"' in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="make another one, with the state of this one"):
        once.sync_all()


def test_no_thread_is_left_by_a_run_that_was_stopped(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has read a window, and waits for room to read the next."""
    monkeypatch.setattr(stages, "MEMORY_BYTES", 1)
    before = set(threading.enumerate())
    stop = Stop()
    accounts = [Account(id=f"account{number}", sms=300) for number in range(20)]
    stopped = tap(simulator, scenario(*accounts, limits=Limits(latency_seconds=0.1)), stop)
    sync = threading.Thread(target=stopped.sync_all)
    sync.start()
    while simulator.stats().requests.get("sms", {}).keys() < {"account0", "account1"}:
        assert sync.is_alive()
    stop.ask("enough", 1)
    sync.join(PATIENCE_SECONDS)
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), thread.name

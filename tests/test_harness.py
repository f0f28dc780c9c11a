"""The short cut that most tests take is the tap's command line all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.scenario import Account
from tests.harness.constants import OWN
from tests.harness.history import scenario
from tests.harness.tap import settings_for, start_cold_tap, sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun


def without_times(run: TapRun) -> tuple[list[object], list[str]]:
    messages: list[object] = [{**message, "time_extracted": None} for message in run.messages]
    return messages, [line.rpartition("|")[2] for line in run.logged("ERROR")]


def test_a_warm_run_is_the_command_line(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="one", sms=150, voice_calls=50)))
    for secret, exit_code in ((simulator.scenario.client_secret, 0), ("wrong", 1)):
        with start_cold_tap(settings_for(simulator, client_secret=secret)) as tap:
            cold = tap.finish().check(exit_code)
        warm = sync(simulator, constants=OWN, client_secret=secret).check(exit_code)
        assert without_times(warm) == without_times(cold)

"""The short cut that most tests take is the tap's command line all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.scenario import Account, Fault
from tests.harness.constants import OWN
from tests.harness.history import scenario
from tests.harness.tap import run_tap, settings_for, start_cold_tap, start_tap, sync

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.harness.singer import Message


def _without_times(messages: list[Message]) -> list[Message]:
    """Return messages without the instant at which each was made."""
    return [{**message, "time_extracted": None} for message in messages]


def test_a_warm_run_is_the_command_line(simulator: SimulatorProcess) -> None:
    simulator.replace(
        scenario(Account(id="one", sms=150, voice_calls=50), Account(id="two", sms=5))
    )
    for secret, exit_code in ((simulator.scenario.client_secret, 0), ("wrong", 1)):
        with start_cold_tap(settings_for(simulator, client_secret=secret)) as tap:
            cold = tap.finish().check(exit_code)
        warm = sync(simulator, constants=OWN, client_secret=secret).check(exit_code)
        assert _without_times(warm.messages) == _without_times(cold.messages)
        assert _texts(warm.logged("ERROR")) == _texts(cold.logged("ERROR"))


def _texts(lines: list[str]) -> list[str]:
    return [line.rpartition("|")[2] for line in lines]


def test_a_run_that_a_test_gave_up_is_over_and_disturbs_no_other(
    simulator: SimulatorProcess,
) -> None:
    hanging = Fault(kind="slow", seconds=600)
    simulator.replace(scenario(Account(id="one", sms=5), faults=(hanging,)))
    with start_tap(settings_for(simulator)) as tap:
        assert run_tap(None, arguments=["--version"]).check().stdout.startswith(b"tap-zoom-cc v")
        runs = tap.running
    assert (runs, tap.running) == (True, False)
    assert run_tap(None, arguments=["--version"]).check().stdout.startswith(b"tap-zoom-cc v")

"""An output that cannot be written to ends each command with one line, and nothing is requested."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulator.scenario import Account, Scenario
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess

COMMANDS = {
    "sync": [],
    "discover": ["--discover"],
    "about": ["--about"],
    "version": ["--version"],
    "test": ["--test=schema"],
    "check": ["--check"],
    "observe": ["--observe"],
    "reconcile": ["--reconcile=2026-01-01/2026-01-02"],
}
CLOSED = "import os, sys; os.close(1); sys.stdout = sys.__stdout__ = None"
"""As a shell starts it with ``>&-``."""


@pytest.fixture
def config(simulator: SimulatorProcess) -> dict[str, object]:
    """Give settings for a Zoom that has a little to read."""
    simulator.replace(Scenario(accounts=(Account(id="one", sms=5, voice_calls=5),)))
    dates = {"start_date": "2024-01-01", "end_date": "2024-02-20"}
    return {**simulator.tap_config(), **dates, "requests_per_second": 1000}


@pytest.mark.parametrize("options", COMMANDS.values(), ids=COMMANDS)
def test_an_output_without_space_ends_the_run_with_one_line(
    config: dict[str, object], options: list[str]
) -> None:
    with Path("/dev/full").open("wb") as full:
        run = run_tap(config, arguments=options, output=full.fileno()).check(1)
    (error,) = run.logged("ERROR")
    assert "No space left" in error


@pytest.mark.parametrize("options", COMMANDS.values(), ids=COMMANDS)
def test_an_output_that_is_closed_ends_the_run_before_anything_is_requested(
    simulator: SimulatorProcess, config: dict[str, object], options: list[str]
) -> None:
    (error,) = run_tap(config, arguments=options, prelude=CLOSED).check(1).logged("ERROR")
    assert "Standard output is closed" in error
    assert not simulator.stats().log


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"version"}))
def test_an_output_that_nobody_reads_ends_the_run_with_one_line(
    config: dict[str, object], command: str
) -> None:
    read, write = os.pipe()
    os.close(read)
    run = run_tap(config, arguments=COMMANDS[command], output=write).check(1)
    os.close(write)
    (error,) = run.logged("ERROR")
    assert "read the output has closed it" in error

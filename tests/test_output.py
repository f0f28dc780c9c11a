"""An output that cannot be written to ends each command with one line, and nothing is requested."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulator.scenario import Account, Scenario
from tests.harness.tap import TapRun, run_tap

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


@pytest.fixture
def config(simulator: SimulatorProcess) -> dict[str, object]:
    """Give settings for a Zoom that has a little to read."""
    simulator.replace(Scenario(accounts=(Account(id="one", sms=5, voice_calls=5),)))
    dates = {"start_date": "2024-01-01", "end_date": "2024-02-20"}
    return {**simulator.tap_config(), **dates, "requests_per_second": 1000}


def assert_said_once(run: TapRun, what: str) -> None:
    (error,) = run.check(1).logged("ERROR")
    assert what in error


@pytest.mark.parametrize("options", COMMANDS.values(), ids=COMMANDS)
def test_an_output_without_space_ends_the_run_with_one_line(
    config: dict[str, object], options: list[str]
) -> None:
    with Path("/dev/full").open("wb") as full:
        run = run_tap(config, arguments=options, output=full.fileno())
    assert_said_once(run, "No space left")


@pytest.mark.parametrize("options", COMMANDS.values(), ids=COMMANDS)
def test_an_output_that_is_closed_ends_the_run_before_anything_is_requested(
    simulator: SimulatorProcess, config: dict[str, object], options: list[str]
) -> None:
    closed = "import os, sys; os.close(1); sys.stdout = sys.__stdout__ = None"
    run = run_tap(config, arguments=options, prelude=closed)
    assert_said_once(run, "Standard output is closed")
    assert not simulator.stats().log


def test_a_shell_that_closes_the_output_gets_the_same_line(
    simulator: SimulatorProcess, config: dict[str, object], tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    command = shlex.join([sys.executable, "-m", "tap_zoom_cc", f"--config={file}"])
    ended = subprocess.run(
        ["sh", "-c", f"exec {command} >&-"], check=False, capture_output=True, text=True
    )
    run = TapRun(ended.returncode, b"", ended.stderr)
    assert_said_once(run, "Standard output is closed")
    assert not simulator.stats().log


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"version"}))
def test_an_output_that_nobody_reads_ends_the_run_with_one_line(
    config: dict[str, object], command: str
) -> None:
    read, write = os.pipe()
    os.close(read)
    run = run_tap(config, arguments=COMMANDS[command], output=write)
    os.close(write)
    assert_said_once(run, "read the output has closed it")

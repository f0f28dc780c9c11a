"""However a run ends, it ends soon, says why, and the next one goes on without a gap."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Fault
from tests.harness.constants import MANY_WINDOWS, Constants
from tests.harness.history import scenario
from tests.harness.process import TapProcess
from tests.harness.rows import assert_complete, key_of
from tests.harness.singer import all_bookmarks
from tests.harness.tap import run_tap, settings_for, start_cold_tap, start_tap, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.process import SimulatorProcess
    from simulator.scenario import Endpoint, FaultKind, Scenario
    from tests.harness.process import TapRun
    from tests.harness.rows import Key

LITTLE_AHEAD = replace(MANY_WINDOWS, flush_bytes=1_000)
"""With it the tap is ahead of its reader by what fits in the pipe, a part of any history here."""

LONG_GRACE = Constants(grace_seconds=600.0, shortest_cool_down_seconds=60.0)
"""With it a run that does not end by itself makes its test fail."""

NO_GRACE = Constants(grace_seconds=0.0, last_words_seconds=600.0)
"""With it a run is ended at once, but for its last line."""

TERM, INT = signal.SIGTERM, signal.SIGINT


def history(rows: int = 200, **options: Any) -> Scenario:  # noqa: ANN401 (Scenario's)
    names = ("stop0", "stop1", "stop2")
    accounts = (Account(id=name, sms=rows, voice_calls=rows) for name in names)
    return scenario(*accounts, **options)


start_little_ahead = partial(start_tap, constants=LITTLE_AHEAD)


def start_unbuffered(config: Mapping[str, object]) -> TapProcess:
    """Start a tap that writes each message by itself."""
    return start_cold_tap(config, environment={"PYTHONUNBUFFERED": "1"})


def assert_goes_on(simulator: SimulatorProcess, stopped: TapRun) -> None:
    """Assert that the next run, from the last STATE that the target has, completes the truth."""
    assert_state_never_runs_ahead(simulator, stopped)
    state = stopped.states[-1] if stopped.states else None
    resumed = sync(simulator, state=state, sms_lookback_days=1).check()
    assert_complete(simulator, stopped, resumed)


def assert_state_never_runs_ahead(simulator: SimulatorProcess, run: TapRun) -> None:
    """Assert of each STATE that every row up to its bookmarks was written before it."""
    truth = {key_of(stream, row): row for stream in STREAMS for row in simulator.truth(stream)}
    written: set[Key] = set()
    for message in run.messages:
        if message["type"] == "RECORD" and message["stream"] in STREAMS:
            written.add(key_of(message["stream"], message["record"]))
        elif message["type"] == "STATE":
            bookmarks = all_bookmarks(message["value"])
            for key in truth.keys() - written:
                assert truth[key]["start_time"] >= bookmarks.get(key[:2], ""), key


# Signals


@pytest.mark.parametrize(
    ("numbers", "exit_codes"),
    [([TERM], {143}), ([INT], {130}), ([TERM, INT], {143, 130})],
    ids=["SIGTERM", "SIGINT", "both"],
)
def test_a_signal_ends_the_run_after_complete_rows_with_its_exit_code(
    simulator: SimulatorProcess, numbers: list[signal.Signals], exit_codes: set[int]
) -> None:
    simulator.replace(history())
    with start_little_ahead(settings_for(simulator, max_concurrency=2)) as tap:
        tap.read_until("STATE")
        tap.read_until("RECORD")
        for number in numbers:
            tap.signal(number)
        run = tap.finish()
    assert run.exit_code in exit_codes
    assert "Traceback" not in run.stderr
    assert run.stdout.endswith(b"\n"), "a message was cut off"
    assert any(number.name in line for line in run.logged("ERROR") for number in numbers)
    assert any("Summary" in line for line in run.lines)
    assert 0 < len(run.records("sms")) < len(simulator.truth("sms"))
    assert_goes_on(simulator, run)


@pytest.mark.parametrize(
    ("kind", "endpoint", "number", "exit_code"),
    [
        ("slow", "token", TERM, 143),
        ("slow", "accounts", INT, 130),
        ("slow", "sms", TERM, 143),
        ("429_per_second", "sms", TERM, 143),
    ],
)
def test_a_signal_does_not_wait_for_a_request_or_a_cool_down(
    simulator: SimulatorProcess,
    kind: FaultKind,
    endpoint: Endpoint,
    number: signal.Signals,
    exit_code: int,
) -> None:
    simulator.replace(history(faults=(Fault(kind=kind, endpoint=endpoint, seconds=600),)))
    with start_tap(settings_for(simulator), constants=LONG_GRACE) as tap:
        while endpoint not in simulator.stats().requests:
            assert tap.running
        while kind == "429_per_second" and "the whole run waits" not in tap.stderr_so_far():
            assert tap.running
        tap.signal(number)
        run = tap.finish().check(exit_code)
    assert any(number.name in line for line in run.logged("ERROR"))
    assert not run.records("sms")


def test_a_signal_ends_a_run_whose_target_does_not_read(simulator: SimulatorProcess) -> None:
    simulator.replace(history())
    with start_tap(settings_for(simulator), constants=NO_GRACE) as tap:
        tap.wait_until_blocked()
        tap.signal(INT)
        tap.wait_unread()
        run = tap.finish().check(130)
    assert any("does not read" in line for line in run.logged("ERROR"))
    assert_goes_on(simulator, run)


@pytest.mark.parametrize("start", [start_tap, start_unbuffered], ids=["", "unbuffered"])
def test_a_signal_while_the_pipe_is_full_cuts_no_message_off(
    simulator: SimulatorProcess, start: Callable[..., TapProcess]
) -> None:
    """The target reads on after the signal, and must find whole messages only."""
    simulator.replace(history())
    with start(settings_for(simulator)) as tap:
        tap.wait_until_blocked()
        tap.signal(TERM)
        tap.wait_until_signalled()  # It has broken into the write that waits.
        run = tap.finish().check(143)
    assert run.stdout.endswith(b"\n")
    assert run.messages
    assert_goes_on(simulator, run)


@pytest.mark.parametrize(
    ("step", "number", "exit_code"),
    [
        ("load_state", TERM, 143),
        ("load_streams", INT, 130),
        ("setup_mapper", TERM, 143),
        ("setup_mapper", INT, 130),
    ],
)
def test_a_signal_while_the_tap_starts_loses_no_bookmark(
    simulator: SimulatorProcess, step: str, number: signal.Signals, exit_code: int
) -> None:
    # The signal comes from within, at the moment at which it would do most harm: while the tap is
    # being made its state is still empty, and to write that would be to lose every bookmark.
    prelude = f"""
import os, signal
from tap_zoom_cc.tap import TapZoomCC
real = TapZoomCC.{step}
def signalled(*arguments, **more):
    os.kill(os.getpid(), signal.{number.name})
    return real(*arguments, **more)
TapZoomCC.{step} = signalled
"""
    simulator.replace(history(20))
    before = sync(simulator).check()
    run = run_tap(settings_for(simulator), state=before.state, prelude=prelude)
    assert run.exit_code in (exit_code, -number), run.stderr
    assert all(all_bookmarks(state) == before.bookmarks for state in run.states)
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("states", [0, 5])
def test_a_kill_loses_nothing(simulator: SimulatorProcess, states: int) -> None:
    simulator.replace(history())
    with start_little_ahead(settings_for(simulator, max_concurrency=3)) as tap:
        for _ in range(states):
            tap.read_until("STATE")
        tap.read_until("RECORD")
        tap.kill()
        run = tap.finish().check(-signal.SIGKILL)
    assert_goes_on(simulator, run)


# A target that dies


def read_some(tap: TapProcess) -> None:
    tap.read_until("STATE")
    tap.read_until("RECORD")


@pytest.mark.parametrize(
    ("start", "read"),
    [
        (start_little_ahead, read_some),
        (start_unbuffered, read_some),
        (start_little_ahead, TapProcess.wait_until_blocked),
    ],
    ids=["reads some", "reads some, unbuffered", "reads nothing"],
)
def test_a_target_that_dies_ends_the_run_with_one_line(
    simulator: SimulatorProcess,
    start: Callable[..., TapProcess],
    read: Callable[[TapProcess], object],
) -> None:
    simulator.replace(history())
    with start(settings_for(simulator)) as tap:
        read(tap)
        tap.close_stdout()
        run = tap.wait_unread().check(1)
    assert sum("read the output has closed it" in line for line in run.logged("ERROR")) == 1
    assert "BrokenPipeError" not in run.stderr
    assert "An unhandled error" not in run.stderr
    assert_goes_on(simulator, run)


# An output that cannot be written to

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
    simulator.replace(history(5))
    return settings_for(simulator)


@pytest.mark.parametrize("options", COMMANDS.values(), ids=COMMANDS)
def test_an_output_that_takes_nothing_ends_the_run_with_one_line(
    config: dict[str, object], options: list[str]
) -> None:
    read, unread = os.pipe()
    os.close(read)
    said = {os.open("/dev/full", os.O_WRONLY): "No space left", unread: "closed it"}
    for output, words in said.items():
        run = run_tap(config, arguments=options, output=output)
        os.close(output)
        # The library that prints the version ends without a word where nobody reads it.
        if output != unread or options != ["--version"]:
            (error,) = run.check(1).logged("ERROR")
            assert words in error


@pytest.mark.parametrize("options", COMMANDS.values(), ids=COMMANDS)
def test_an_output_that_is_closed_ends_the_run_before_anything_is_requested(
    simulator: SimulatorProcess, config: dict[str, object], options: list[str]
) -> None:
    (error,) = run_tap(config, arguments=options, prelude=CLOSED).check(1).logged("ERROR")
    assert "Standard output is closed" in error
    assert not simulator.stats().log

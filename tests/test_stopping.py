"""However a run ends, it ends soon, says why, and the next one goes on without a gap."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from simulator.process import SimulatorProcess
from simulator.scenario import STREAMS, Account, Clock, Fault, Scenario
from tests.harness.constants import MANY_WINDOWS, Constants
from tests.harness.raw_server import free_port
from tests.harness.rows import assert_complete
from tests.harness.singer import all_bookmarks, bookmarks
from tests.harness.tap import settings_for, start_cold_tap, start_tap, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.scenario import Endpoint
    from tests.harness.process import TapProcess
    from tests.harness.singer import Record
    from tests.harness.tap import TapRun

DAY = timedelta(days=1)
BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
END = datetime(2024, 2, 20, tzinfo=timezone.utc)
NOW = END + 3 * DAY

LITTLE_AHEAD = replace(MANY_WINDOWS, flush_bytes=1_000)
"""With it the tap is ahead of its reader by what fits in the pipe, a part of any history here."""

LONG_GRACE = Constants(grace_seconds=600.0)
"""With it a run that does not end by itself makes its test fail."""

NO_GRACE = Constants(grace_seconds=0.0, last_words_seconds=600.0)
"""With it a run is ended at once, but for its last line."""

SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]


def history(rows: int = 200, **options: Any) -> Scenario:  # noqa: ANN401 (Scenario's)
    return Scenario(
        accounts=tuple(
            Account(id=f"stop{number}", sms=rows, voice_calls=rows) for number in range(3)
        ),
        history_begin=BEGIN,
        history_end=END,
        **{"clock": Clock(now=NOW), **options},
    )


def start_unbuffered(config: Mapping[str, object]) -> TapProcess:
    """Start a tap that writes each message by itself."""
    return start_cold_tap(config, environment={"PYTHONUNBUFFERED": "1"})


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    while not is_so():
        time.sleep(0.02)


def assert_goes_on(simulator: SimulatorProcess, stopped: TapRun) -> TapRun:
    """Assert that the next run, from the last STATE that the target has, completes the truth."""
    assert_state_never_runs_ahead(simulator, stopped)
    state = stopped.states[-1] if stopped.states else None
    resumed = sync(simulator, state=state, sms_lookback_days=1).check()
    assert_complete(simulator, stopped, resumed)
    return resumed


def assert_state_never_runs_ahead(simulator: SimulatorProcess, run: TapRun) -> None:
    """Assert of each STATE that every row up to its bookmarks was written before it."""
    truth = {stream: simulator.truth(stream) for stream in STREAMS}
    written: set[tuple[str, str]] = set()
    for message in run.messages:
        if message["type"] == "RECORD" and message["stream"] in truth:
            record: Record = message["record"]
            written.add((message["stream"], record["engagement_id"]))
        elif message["type"] == "STATE":
            for stream, rows in truth.items():
                bookmark = bookmarks(message["value"], stream)
                for row in rows:
                    if row["start_time"] < bookmark.get(row["account_id"], ""):
                        assert (stream, row["engagement_id"]) in written, (bookmark, row)


# Signals


@pytest.mark.parametrize(("number", "exit_code"), SIGNALS)
def test_a_signal_ends_the_run_after_complete_rows_with_its_exit_code(
    simulator: SimulatorProcess, number: signal.Signals, exit_code: int
) -> None:
    simulator.replace(history())
    with start_tap(settings_for(simulator, max_concurrency=2), constants=LITTLE_AHEAD) as tap:
        tap.read_until("STATE")
        tap.read_until("RECORD")
        tap.signal(number)
        run = tap.finish().check(exit_code)
    assert run.stdout.endswith(b"\n"), "a message was cut off"
    assert any(number.name in line for line in run.logged("ERROR"))
    assert any("Summary" in line for line in run.lines)
    assert 0 < len(run.records("sms")) < len(simulator.truth("sms"))
    assert_goes_on(simulator, run)


@pytest.mark.parametrize(
    ("endpoint", "number", "exit_code"),
    [("token", *SIGNALS[0]), ("accounts", *SIGNALS[1]), ("sms", *SIGNALS[0])],
)
def test_a_signal_does_not_wait_for_a_request(
    simulator: SimulatorProcess, endpoint: Endpoint, number: signal.Signals, exit_code: int
) -> None:
    slow = Fault(kind="slow", endpoint=endpoint, seconds=600)
    simulator.replace(history(faults=(slow,)))
    with start_tap(settings_for(simulator), constants=LONG_GRACE) as tap:
        until(lambda: endpoint in simulator.stats().requests)
        tap.signal(number)
        run = tap.finish().check(exit_code)
    assert any(number.name in line for line in run.logged("ERROR"))
    assert not run.records("sms")


def test_a_signal_does_not_wait_for_a_cool_down(simulator: SimulatorProcess) -> None:
    refused = Fault(kind="429_per_second", endpoint="sms")
    simulator.replace(history(faults=(refused,)))
    long_waits = replace(LONG_GRACE, shortest_cool_down_seconds=60.0)
    with start_tap(settings_for(simulator), constants=long_waits) as tap:
        until(lambda: bool(simulator.stats().rate_limited))
        tap.signal(signal.SIGTERM)
        tap.finish().check(143)


def test_a_signal_ends_a_run_whose_target_does_not_read(simulator: SimulatorProcess) -> None:
    simulator.replace(history())
    with start_tap(settings_for(simulator), constants=NO_GRACE) as tap:
        tap.wait_until_blocked()
        tap.signal(signal.SIGINT)
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
        tap.signal(signal.SIGTERM)
        tap.wait_until_signalled()  # It has broken into the write that waits.
        run = tap.finish().check(143)
    assert run.stdout.endswith(b"\n")
    assert run.messages
    assert_goes_on(simulator, run)


@pytest.mark.parametrize(
    ("step", "number", "exit_code"),
    [
        ("load_state", *SIGNALS[0]),
        ("load_streams", *SIGNALS[1]),
        ("setup_mapper", *SIGNALS[0]),
        ("setup_mapper", *SIGNALS[1]),
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
    with start_tap(settings_for(simulator), state=before.state, prelude=prelude) as tap:
        run = tap.finish()
    assert run.exit_code in (exit_code, -number), run.stderr
    assert all(all_bookmarks(state) == before.bookmarks for state in run.states)
    assert "Traceback" not in run.stderr


def test_two_signals_end_a_run_like_one(simulator: SimulatorProcess) -> None:
    simulator.replace(history())
    with start_tap(settings_for(simulator), constants=LITTLE_AHEAD) as tap:
        tap.read_until("RECORD")
        tap.signal(signal.SIGTERM)
        tap.signal(signal.SIGINT)
        run = tap.finish()
    assert run.exit_code in {143, 130}
    assert "Traceback" not in run.stderr
    assert_goes_on(simulator, run)


@pytest.mark.parametrize("states", [0, 5])
def test_a_kill_loses_nothing(simulator: SimulatorProcess, states: int) -> None:
    simulator.replace(history())
    with start_tap(settings_for(simulator, max_concurrency=3), constants=LITTLE_AHEAD) as tap:
        for _ in range(states):
            tap.read_until("STATE")
        tap.read_until("RECORD")
        tap.kill()
        run = tap.finish().check(-signal.SIGKILL)
    resumed = assert_goes_on(simulator, run)
    before = {row["engagement_id"] for row in run.records("sms")}
    bookmark = bookmarks(run.states[-1], "sms") if run.states else {}
    for row in (row for row in resumed.records("sms") if row["engagement_id"] in before):
        oldest = datetime.fromisoformat(bookmark.get(row["account_id"], BEGIN.isoformat()))
        assert row["start_time"] >= (oldest - DAY).isoformat(), "read again without need"


# A server that refuses connections in the middle


HANGS_IN_THE_MIDDLE = Fault(
    kind="slow", endpoint="sms", requests=tuple(range(20, 1_000)), seconds=600
)
"""With it a server that goes away has not answered everything before."""


def test_a_server_that_goes_away_ends_the_run_and_the_next_goes_on() -> None:
    scenario = history()
    impatient = replace(MANY_WINDOWS, first_wait_seconds=0.001, patience_seconds=0.0)
    with (
        SimulatorProcess(replace(scenario, faults=(HANGS_IN_THE_MIDDLE,))) as first,
        start_tap(settings_for(first, max_concurrency=3), constants=impatient) as tap,
    ):
        tap.read_until("STATE")
        first.close()
        run = tap.finish().check(1)
    assert any("check the network, api_url" in line for line in run.logged("ERROR"))
    with SimulatorProcess(scenario) as second:
        assert 0 < len(run.records("sms")) < len(second.truth("sms"))
        assert_goes_on(second, run)


def test_a_server_that_comes_back_is_read_to_the_end() -> None:
    scenario = history()
    port = free_port()
    with SimulatorProcess(replace(scenario, faults=(HANGS_IN_THE_MIDDLE,)), port=port) as first:
        config = settings_for(first, max_concurrency=3)
        with start_tap(config, constants=MANY_WINDOWS) as tap:
            tap.read_until("STATE")
            first.close()
            with SimulatorProcess(scenario, port=port) as second:
                run = tap.finish().check()
                assert_complete(second, run)
    assert any("trying again" in line for line in run.logged("WARNING"))


# A target that dies


@pytest.mark.parametrize(
    "start", [partial(start_tap, constants=LITTLE_AHEAD), start_unbuffered], ids=["", "unbuffered"]
)
def test_a_target_that_dies_ends_the_run_with_one_line(
    simulator: SimulatorProcess, start: Callable[..., TapProcess]
) -> None:
    simulator.replace(history())
    with start(settings_for(simulator)) as tap:
        tap.read_until("STATE")
        tap.read_until("RECORD")
        tap.close_stdout()
        run = tap.wait_unread().check(1)
    assert sum("read the output has closed it" in line for line in run.logged("ERROR")) == 1
    assert "BrokenPipeError" not in run.stderr
    assert "An unhandled error" not in run.stderr
    assert_goes_on(simulator, run)


@pytest.mark.parametrize("is_full", [False, True])
def test_a_target_that_never_reads_ends_the_run_too(
    simulator: SimulatorProcess, *, is_full: bool
) -> None:
    simulator.replace(history())
    with start_tap(settings_for(simulator), constants=MANY_WINDOWS) as tap:
        if is_full:
            tap.wait_until_blocked()
        tap.close_stdout()
        run = tap.wait_unread().check(1)
    assert any("read the output has closed it" in line for line in run.logged("ERROR"))
    assert "BrokenPipeError" not in run.stderr


def test_a_slow_target_gets_every_row(simulator: SimulatorProcess) -> None:
    simulator.replace(history())
    with start_unbuffered(settings_for(simulator)) as tap:
        tap.wait_until_blocked()
        run = tap.finish().check()
    assert_complete(simulator, run)

"""The tap as the SDK and programs use it: its standard test suite, runs within a process, a change.

Elsewhere the command line runs, which ends with its process. An SDK that no longer calls what the
tap overrides ends a run at once, before any STATE: rows would move bookmarks without a word then,
and what comes late would be lost.
"""

from __future__ import annotations

import inspect
import textwrap
import threading
from typing import TYPE_CHECKING

import pytest
from singer_sdk import Stream, Tap
from singer_sdk.streams import core
from singer_sdk.testing import get_tap_test_class
from typing_extensions import override

from simulator.process import SimulatorProcess
from simulator.scenario import STREAMS, Account, Limits
from tap_zoom_cc.run.log import Readable
from tap_zoom_cc.run.stopping import Stop
from tap_zoom_cc.sync import stages
from tap_zoom_cc.tap import TapZoomCC
from tests.harness.history import FIRST_RUN, scenario
from tests.harness.raw_server import free_port
from tests.harness.rows import assert_same_rows
from tests.harness.singer import bookmarks, parse_messages, state_of
from tests.harness.tap import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk.testing import TapTestRunner

    from simulator.scenario import Scenario

PATIENCE_SECONDS = 60

WORLD = scenario(
    Account(id="sUiTeAcCoUnT00000000001", sms=60, voice_calls=60),
    Account(id="sUiTeAcCoUnT00000000002", sms=5, voice_calls=5),
)


# The standard test suite

PORT = free_port()
"""The suite wants its settings when tests are collected, before a fixture can start anything."""


@pytest.fixture(scope="class")
def simulator_on_port() -> Iterator[SimulatorProcess]:
    """Serve the suite's engagements."""
    with SimulatorProcess(WORLD, port=PORT) as simulator:
        yield simulator


_Suite = get_tap_test_class(
    TapZoomCC,
    config={
        "account_id": WORLD.account_id,
        "client_id": WORLD.client_id,
        "client_secret": WORLD.client_secret,
        "api_url": f"http://127.0.0.1:{PORT}/v2",
        "token_url": f"http://127.0.0.1:{PORT}/oauth/token",
        "start_date": "2024-01-01",
        "end_date": FIRST_RUN.isoformat(),
        "requests_per_second": 100,
    },
)


@pytest.mark.usefixtures("simulator_on_port")
class TestTapZoomCC(_Suite):  # type: ignore[misc,valid-type] # the SDK makes the class
    """The suite, which by itself is content with a sync that reads nothing."""

    def test_every_account_was_read(
        self, runner: TapTestRunner, simulator_on_port: SimulatorProcess
    ) -> None:
        """What the suite checked are all rows that there are, with bookmarks for each account."""
        names = [account.id for account in WORLD.accounts]
        for stream in STREAMS:
            assert_same_rows(stream, runner.records[stream], simulator_on_port.truth(stream))
            assert list(bookmarks(runner.state_messages[-1]["value"], stream)) == names
        assert [row["id"] for row in runner.records["sub_accounts"]] == names


# Runs within a process


def tap(simulator: SimulatorProcess, world: Scenario, stop: Stop | None = None) -> TapZoomCC:
    simulator.replace(world)
    simulator.reset_stats()
    return TapZoomCC(config=settings_for(simulator), stop=stop)


def test_a_second_sync_of_one_object_is_refused(
    simulator: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    once = tap(simulator, WORLD)
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


class Unsearched(list[object]):
    """The states of all accounts, through which nothing looks for that of one."""

    @override
    def __iter__(self) -> Iterator[object]:
        raise AssertionError("5,000 accounts would each be looked for among all")


def test_the_sdk_finds_the_state_of_an_account_without_a_look_through_all() -> None:
    config = {"account_id": "master", "client_id": "id", "client_secret": "secret"}
    state = {"bookmarks": state_of("sms", {"one": "2026-01-31T08:00:00Z"})}
    stream = TapZoomCC(config=config, state=state).streams["sms"]
    (one,) = stream.stream_state["partitions"]
    assert stream.get_context_state({"account_id": "one"}) is one
    stream.stream_state["partitions"] = Unsearched([one])
    new = stream.state_manager.get_context_state({"account_id": "new"})
    assert stream.state_manager.get_context_state({"account_id": "one"}) is one
    assert new == {"context": {"account_id": "new"}}
    assert stream.stream_state["partitions"][1] is new


# An SDK that changed


@pytest.fixture
def assert_is_noticed(
    simulator: SimulatorProcess,
    capfdbinary: pytest.CaptureFixture[bytes],
    caplog: pytest.LogCaptureFixture,
) -> Callable[[str, int], None]:
    """Give a function that asserts that a run fails in one line about a method, after some rows."""
    caplog.handler.addFilter(Readable())
    once = tap(simulator, WORLD)

    def run(method: str, rows: int) -> None:
        assert once.sync() == 1
        (error,) = [line.getMessage() for line in caplog.records if line.levelname == "ERROR"]
        assert f"does not call {method} of a tap" in error
        types = [message["type"] for message in parse_messages(capfdbinary.readouterr().out)]
        assert types.count("RECORD") == rows
        assert "STATE" not in types

    return run


def test_an_sdk_that_does_not_ask_what_a_row_does_to_state_is_noticed_after_the_first_row(
    assert_is_noticed: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the SDK's own sync of a stream, but for the name of the method that moves the state."""
    name = "_increment_stream_state"
    source = textwrap.dedent(inspect.getsource(vars(Stream)["_sync_records"]))
    assert source.count(f"self.{name}(") == 1
    changed: dict[str, object] = dict(vars(core))
    exec(source.replace(f"self.{name}(", "self._advance("), changed)  # noqa: S102 (the SDK's own code)
    monkeypatch.setattr(Stream, "_advance", vars(Stream)[name], raising=False)
    monkeypatch.setattr(Stream, "_sync_records", changed["_sync_records"])
    assert_is_noticed(name, 1)


@pytest.mark.parametrize(
    ("owner", "method"), [(Stream, "_increment_stream_state"), (Tap, "_setup_signal_handlers")]
)
def test_an_sdk_without_a_method_that_is_overridden_is_noticed_before_the_first_request(
    assert_is_noticed: Callable[[str, int], None],
    simulator: SimulatorProcess,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
) -> None:
    holder = next(each for each in owner.__mro__ if method in vars(each))
    monkeypatch.delattr(holder, method)
    assert_is_noticed(method, 0)
    assert not simulator.stats().requests

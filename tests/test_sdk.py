"""An SDK that no longer calls what the tap overrides ends a run at once, before any STATE.

Rows would move bookmarks without a word then, and what comes late would be lost.
"""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from singer_sdk import Stream, Tap
from singer_sdk.streams import core
from typing_extensions import override

from simulator.scenario import Account
from tap_zoom_cc.run.log import Readable
from tap_zoom_cc.tap import TapZoomCC
from tests.harness.history import scenario
from tests.harness.singer import parse_messages, state_of
from tests.harness.tap import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulator.process import SimulatorProcess


class Unsearched(list[object]):
    """The states of all accounts, through which nothing looks for that of one."""

    @override
    def __iter__(self) -> Iterator[object]:
        raise AssertionError("5,000 accounts would each be looked for among all")


WORLD = scenario(Account(id="one", sms=20), Account(id="two", sms=20))


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit code, its lines at level error, and the types of its messages."""

    exit_code: int
    errors: list[str]
    types: list[str]

    def assert_is_about(self, method: str, *, rows: int) -> None:
        """Assert that the run failed in one line about a method, after so many rows."""
        assert self.exit_code == 1
        (error,) = self.errors
        assert f"does not call {method} of a tap" in error
        assert self.types.count("RECORD") == rows
        assert "STATE" not in self.types


@pytest.fixture
def sync(
    simulator: SimulatorProcess,
    capfdbinary: pytest.CaptureFixture[bytes],
    caplog: pytest.LogCaptureFixture,
) -> Callable[[], Outcome]:
    """Give a function that runs a tap, whose log shows what the command line shows."""
    simulator.replace(WORLD)
    simulator.reset_stats()
    caplog.handler.addFilter(Readable())
    tap = TapZoomCC(config=settings_for(simulator))

    def run() -> Outcome:
        exit_code = tap.sync()
        errors = [line.getMessage() for line in caplog.records if line.levelname == "ERROR"]
        messages = parse_messages(capfdbinary.readouterr().out)
        return Outcome(exit_code, errors, [message["type"] for message in messages])

    return run


def test_an_sdk_that_does_not_ask_what_a_row_does_to_state_is_noticed_after_the_first_row(
    sync: Callable[[], Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the SDK's own sync of a stream, but for the name of the method that moves the state."""
    name = "_increment_stream_state"
    source = textwrap.dedent(inspect.getsource(vars(Stream)["_sync_records"]))
    assert source.count(f"self.{name}(") == 1
    changed: dict[str, object] = dict(vars(core))
    exec(source.replace(f"self.{name}(", "self._advance("), changed)  # noqa: S102 (the SDK's own code)
    monkeypatch.setattr(Stream, "_advance", vars(Stream)[name], raising=False)
    monkeypatch.setattr(Stream, "_sync_records", changed["_sync_records"])
    sync().assert_is_about(name, rows=1)


@pytest.mark.parametrize(
    ("owner", "method"), [(Stream, "_increment_stream_state"), (Tap, "_setup_signal_handlers")]
)
def test_an_sdk_without_a_method_that_is_overridden_is_noticed_before_the_first_request(
    sync: Callable[[], Outcome],
    simulator: SimulatorProcess,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
) -> None:
    holder = next(each for each in owner.__mro__ if method in vars(each))
    monkeypatch.delattr(holder, method)
    sync().assert_is_about(method, rows=0)
    assert not simulator.stats().requests


def test_the_sdk_finds_the_state_of_an_account_without_a_look_through_all() -> None:
    config = {"account_id": "master", "client_id": "id", "client_secret": "secret"}
    tap = TapZoomCC(
        config=config, state={"bookmarks": state_of("sms", {"one": "2026-01-31T08:00:00Z"})}
    )
    stream = tap.streams["sms"]
    (one,) = stream.stream_state["partitions"]
    assert stream.get_context_state({"account_id": "one"}) is one
    stream.stream_state["partitions"] = Unsearched([one])
    new = stream.state_manager.get_context_state({"account_id": "new"})
    assert stream.state_manager.get_context_state({"account_id": "one"}) is one
    assert new == {"context": {"account_id": "new"}}
    assert stream.stream_state["partitions"][1] is new

"""One sync of the tap against the simulator, and what it left behind.

`Bench` puts the two together; `Sync` is a run as a target sees it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.tap_process import TapRun, bookmarks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream
    from tests.tap_process import Record
    from tests.warm_tap import Constant, Kill, WarmTap

Key: TypeAlias = tuple[str, str, str]
"""Stream, account and engagement."""

STREAMS: tuple[Stream, ...] = ("sms", "voice_calls")

SHORT_WAITS: Mapping[str, Constant] = {
    "tap_zoom_cc.zoom.client.FIRST_WAIT_SECONDS": 0.001,
    "tap_zoom_cc.zoom.auth.FIRST_WAIT_SECONDS": 0.001,
    "tap_zoom_cc.zoom.pacing.SHORTEST_COOL_DOWN_SECONDS": 0.02,
    "tap_zoom_cc.zoom.pacing.LONGEST_COOL_DOWN_SECONDS": 0.02,
    "tap_zoom_cc.zoom.pacing.LONGEST_ASKED_SECONDS": 0.02,
}
"""The same run with hardly any waiting between tries."""


class Sync(TapRun):
    """A run, seen by engagement."""

    @cached_property
    def engagements(self) -> list[tuple[Key, Record]]:
        """The engagements in the order in which they came, each with its key."""
        return [
            (key_of(message["stream"], message["record"]), message["record"])
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] in STREAMS
        ]

    @property
    def bookmarks(self) -> dict[tuple[str, str], str]:
        """The last STATE's bookmarks by stream and account; none without a STATE."""
        return bookmarks_of(self.states[-1]) if self.states else {}

    @property
    def repeated(self) -> list[Key]:
        """The engagements that came more than once."""
        counted = Counter(key for key, _ in self.engagements)
        return [key for key, count in counted.items() if count > 1]


def key_of(stream: str, row: Record) -> Key:
    """Return what tells an engagement from all others."""
    return stream, row["account_id"], row["engagement_id"]


def bookmarks_of(state: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return a state's bookmarks by stream and account."""
    return {
        (stream, account_id): value
        for stream in STREAMS
        for account_id, value in bookmarks(dict(state), stream).items()
    }


def truth_of(
    simulator: SimulatorProcess, accounts: Iterable[str] | None = None
) -> dict[Key, Record]:
    """Return all that a perfect client would have read of these accounts, or of all."""
    wanted = None if accounts is None else set(accounts)
    return {
        key_of(stream, row): row
        for stream in STREAMS
        for row in simulator.truth(stream)
        if wanted is None or row["account_id"] in wanted
    }


@dataclass(frozen=True)
class Bench:
    """A simulator, a tap and a folder for the tap's files."""

    simulator: SimulatorProcess
    tap: WarmTap
    folder: Path

    def sync(
        self,
        settings: Mapping[str, object],
        *,
        state: Mapping[str, object] | None = None,
        constants: Mapping[str, Constant] = SHORT_WAITS,
        kill: Kill | None = None,
    ) -> Sync:
        """Run the tap's command line against the simulator, as fast as it can.

        Args:
            settings: besides those that lead to the simulator.
            state: of the run before.
            constants: of the tap, by dotted name.
            kill: ends the run early.
        """
        config = {**self.simulator.tap_config(), "requests_per_second": 1_000, **settings}
        arguments = [f"--config={self._write('config', config)}"]
        if state is not None:
            arguments.append(f"--state={self._write('state', state)}")
        return Sync(*self.tap.run(arguments, constants=constants, kill=kill))

    def _write(self, name: str, value: Mapping[str, object]) -> Path:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(value), encoding="utf-8")
        return path

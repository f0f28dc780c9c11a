"""What the tap gives a loader, in a first and in a second run, as files of Singer messages."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.harness.tap import run_tap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from simulator.scenario import Scenario
    from tests.harness.singer import State


@dataclass(frozen=True)
class Messages:
    """The files of two runs, and the state after them.

    The second has late engagements, changed ones, and some again.
    """

    first: Path
    second: Path
    state: State

    def changed(self, folder: Path, change: Callable[[Any, dict[str, Any]], object]) -> Messages:
        """Return copies in which each row is changed by a function of the row and its schema."""
        folder.mkdir()
        first, second = (folder / path.name for path in (self.first, self.second))
        for path, copy in ((self.first, first), (self.second, second)):
            schemas: dict[str, dict[str, Any]] = {}
            with copy.open("w", encoding="utf-8") as file:
                for line in path.read_text("utf-8").rstrip("\n").split("\n"):
                    message = json.loads(line)
                    if message["type"] == "SCHEMA":
                        schemas[message["stream"]] = message["schema"]
                    if message["type"] == "RECORD":
                        schema = schemas[message["stream"]]
                        message["record"] = change(message["record"], schema)
                    file.write(json.dumps(message) + "\n")
        return Messages(first, second, self.state)


def run_twice(simulator: SimulatorProcess, folder: Path, *scenarios: Scenario) -> Messages:
    """Let the tap read what there is at the times of two runs."""
    messages = Messages(folder / "first.jsonl", folder / "second.jsonl", {})
    state = None
    for path, scenario in zip((messages.first, messages.second), scenarios, strict=True):
        simulator.replace(scenario)
        assert scenario.clock.now
        dates = {
            "start_date": scenario.history_begin.date().isoformat(),
            "end_date": scenario.clock.now.isoformat(),
        }
        settings = {**simulator.tap_config(), **dates, "requests_per_second": 100}
        run = run_tap(settings, state=state).check()
        path.write_bytes(run.stdout)
        state = run.state
    return replace(messages, state=state or {})


def without_null_elements(value: Any, schema: dict[str, Any]) -> Any:  # noqa: ANN401 (any JSON)
    """Return a value without nulls inside of arrays, which no load job of BigQuery takes."""
    if isinstance(value, list):
        items = schema.get("items", {})
        return [without_null_elements(each, items) for each in value if each is not None]
    if isinstance(value, dict):
        parts = schema.get("properties", {})
        return {
            name: without_null_elements(part, parts.get(name, {})) for name, part in value.items()
        }
    return value


def with_empty_arrays(value: Any, schema: dict[str, Any]) -> Any:  # noqa: ANN401 (any JSON)
    """Return a value as BigQuery stores it: an empty array in place of null, or of nothing."""
    if "array" in schema.get("type", ()):
        return [with_empty_arrays(each, schema["items"]) for each in value or ()]
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for name, part in schema.get("properties", {}).items():
        if name in value or "array" in part.get("type", ()):
            filled[name] = with_empty_arrays(value.get(name), part)
    return filled

"""Runs the tap as its users do: the real command line, in a process of its own.

`sync` reads what a simulator holds, and is what most tests want. `run_tap` runs any command line to
its end; `start_tap` gives the running process. Config, state and catalog are given as dicts (or as
text, to be wrong on purpose) and written to files.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.harness.constants import OWN, SHORT_WAITS
from tests.harness.process import TapProcess, TapRun, without_unmapped
from tests.harness.warm import Order

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from simulator.process import SimulatorProcess
    from tests.harness.constants import Constants
    from tests.harness.process import Kill
    from tests.harness.singer import Catalog, State

__all__ = [
    "TapRun",
    "run_tap",
    "settings_for",
    "start_cold_tap",
    "start_tap",
    "sync",
    "without_unmapped",
]

Content: TypeAlias = "Mapping[str, Any] | str | bytes"
"""What a file holds: an object to be written as JSON, a text, or bytes."""


def start_tap(  # noqa: PLR0913 (each is an option of a run)
    config: Content | None,
    *,
    state: Content | None = None,
    catalog: Content | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    constants: Constants = OWN,
    prelude: str = "",
    output: int | None = None,
    cold: bool = False,
) -> TapProcess:
    """Start the tap's command line in a process of its own.

    It is a fork of one that has imported the tap already, see `tests.harness.warm`: most of these
    runs take less time than that import. `tests/test_harness.py` says that it makes no difference.

    Args:
        config: what ``--config`` names; None leaves the option out.
        state: what ``--state`` names; None leaves the option out.
        catalog: what ``--catalog`` names; None leaves the option out.
        arguments: further options.
        environment: variables added to this process's.
        constants: of the tap.
        prelude: Python code that is run before the command line.
        output: a descriptor for the output, in place of the pipe that is read here.
        cold: starts a new interpreter, for what a fork cannot show.
    """
    folder = tempfile.TemporaryDirectory(prefix="tap-zoom-cc-test-")
    options = _write_files(Path(folder.name), config=config, state=state, catalog=catalog)
    order = Order(
        folder=Path(folder.name),
        arguments=[*options, *arguments],
        environment=environment or {},
        constants=constants.by_name(),
        prelude=prelude,
        cold=cold,
    )
    return TapProcess(order, folder, output)


start_cold_tap = partial(start_tap, cold=True)


def run_tap(config: Content | None, *, kill: Kill | None = None, **options: Any) -> TapRun:  # noqa: ANN401 (those of `start_tap`)
    """Run the tap's command line to its end, which ``kill`` makes an early one."""
    with start_tap(config, **options) as tap:
        return tap.finish(kill)


def sync(  # noqa: PLR0913 (each is an option of a run)
    simulator: SimulatorProcess,
    now: datetime | None = None,
    *,
    state: State | None = None,
    catalog: Catalog | None = None,
    constants: Constants = SHORT_WAITS,
    kill: Kill | None = None,
    **settings: object,
) -> TapRun:
    """Read what a simulator holds, as fast as it can, and count its requests from here.

    Args:
        simulator: what stands in for Zoom.
        now: the simulator's present; None is that of its scenario.
        state: of the run before.
        catalog: None selects everything.
        constants: of the tap.
        kill: ends the run early.
        settings: besides those of `settings_for`.
    """
    now = now or simulator.scenario.clock.now
    simulator.set_clock(now)
    simulator.reset_stats()
    config = settings_for(simulator, now, **settings)
    return run_tap(config, state=state, catalog=catalog, constants=constants, kill=kill)


def settings_for(
    simulator: SimulatorProcess, now: datetime | None = None, **settings: object
) -> dict[str, object]:
    """Return settings with which the tap reads the whole history of a simulator.

    The tap's own clock cannot be set, so the simulator's present, ``now`` or that of its scenario,
    is the ``end_date``, unless the simulator tells its time: then that is the tap's present too.
    What ``settings`` say counts besides these, or instead of them; None leaves one out.
    """
    scenario = simulator.scenario
    now = now or scenario.clock.now
    config = {
        **simulator.tap_config(),
        "start_date": scenario.history_begin.isoformat(),
        "end_date": None if now is None or scenario.clock.told else now.isoformat(),
        "requests_per_second": 1000,
        **settings,
    }
    return {name: value for name, value in config.items() if value is not None}


def _write_files(folder: Path, **contents: Content | None) -> list[str]:
    """Write the files that are given, and return the options that name them."""
    options = []
    for name, content in contents.items():
        if content is not None:
            path = folder / f"{name}.json"
            text = json.dumps(content) if isinstance(content, Mapping) else content
            path.write_bytes(text.encode() if isinstance(text, str) else text)
            options.append(f"--{name}={path}")
    return options

"""Runs the tap as its users do: the real command line, in a process of its own.

`sync` reads what a simulator holds, and is what most tests want. `run_tap` runs any command line to
its end; `start_tap` gives the running process. Config, state and catalog are given as dicts (or as
text, to be wrong on purpose) and written to files.

Importing the SDK takes a second, a sync of a small history a tenth of that; tests that sync
hundreds of times would do little else than import. So the fork server of `multiprocessing` imports
`tap_zoom_cc.tap`, and each run is a fork of it that calls the same function as the installed
command ``tap-zoom-cc``. `tests/test_harness.py` says that it makes no difference.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from functools import cache, partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from unittest.mock import patch

from tests.harness.constants import OWN, SHORT_WAITS
from tests.harness.process import LOG, TapProcess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from multiprocessing.context import ForkServerContext

    from simulator.process import SimulatorProcess
    from tests.harness.constants import Constants, Value
    from tests.harness.process import TapRun
    from tests.harness.singer import Catalog, State

Content: TypeAlias = "Mapping[str, Any] | str | bytes"
"""What a file holds: an object to be written as JSON, a text, or bytes."""

LONGEST_RUN_SECONDS = 240
"""After it a run says where its threads stand, and ends: sooner than pytest would end the test."""

_IMPORTED = ["tests.harness.tap", "tap_zoom_cc.tap", "email.parser", "importlib.metadata"]
"""The last two are what each run needs to look up the versions of the tap and of the SDK."""

_FOREIGN = ("CURL_CA", "LOGLEVEL", "PYTHOND", "PYTHONU", "REQUESTS_CA", "SSL_CERT", "TAP_ZOOM_CC")
"""How those variables begin that would change what the tap does."""


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

    ``config``, ``state``, ``catalog``: what the options of these names name; None leaves an option
    out. ``arguments``: further options. ``environment``: variables added to this process's.
    ``constants``: of the tap. ``prelude``: Python code that is run before the command line.
    ``output``: a descriptor for the output, in place of the pipe that is read here. ``cold`` starts
    a new interpreter, for what a fork cannot show.
    """
    folder = tempfile.TemporaryDirectory(prefix="tap-zoom-cc-test-")
    files = _write_files(Path(folder.name), config=config, state=state, catalog=catalog)
    pipe = os.pipe()
    written = Connection(os.dup(pipe[1] if output is None else output), readable=False)
    options = {
        "arguments": [*files, *arguments],
        "environment": environment or {},
        "constants": constants.by_name(),
        "prelude": prelude,
        "cold": cold,
    }
    run = _server().Process(target=_run, args=(folder.name, written), kwargs=options, daemon=True)
    run.start()
    written.close()
    return TapProcess(run, folder, pipe)


start_cold_tap = partial(start_tap, cold=True)


def run_tap(config: Content | None, **options: Any) -> TapRun:  # noqa: ANN401 (those of `start_tap`)
    """Run the tap's command line to its end."""
    with start_tap(config, **options) as tap:
        return tap.finish()


def sync(
    simulator: SimulatorProcess,
    now: datetime | None = None,
    *,
    state: State | None = None,
    catalog: Catalog | None = None,
    constants: Constants = SHORT_WAITS,
    **settings: object,
) -> TapRun:
    """Read what a simulator holds, as fast as it can, and count its requests from here.

    ``now`` is the simulator's present; None is that of its scenario. ``state`` is that of the run
    before. Without a ``catalog`` everything is selected. ``settings``: besides `settings_for`.
    """
    now = now or simulator.scenario.clock.now
    simulator.set_clock(now)
    simulator.reset_stats()
    config = settings_for(simulator, now, **settings)
    return run_tap(config, state=state, catalog=catalog, constants=constants)


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


@cache
def _server() -> ForkServerContext:
    """Start the process that all runs are forks of; it ends with this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")
    }
    with patch.dict(os.environ, own, clear=True):
        forkserver.ensure_running()
    return context


def _run(  # noqa: PLR0913 (each is an option of a run)
    folder: str,
    output: Connection,
    *,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    constants: Mapping[str, Value],
    prelude: str,
    cold: bool,
) -> None:
    """Become the command line, in a process of its own."""
    os.chdir(folder)
    os.dup2(output.fileno(), 1)
    output.close()
    with Path(LOG).open("ab") as log:
        os.dup2(log.fileno(), 2)
    os.environ.update(environment)
    if cold:
        os.set_inheritable(0, True)  # noqa: FBT003 (the standard library's)
        command = [sys.executable, "-m", "tap_zoom_cc", *arguments]
        os.execv(command[0], command)  # noqa: S606 (a shell is not wanted)
    # To collect what was imported would be to copy all of it.
    gc.freeze()
    for name, value in constants.items():
        module_name, _, constant = name.rpartition(".")
        module = importlib.import_module(module_name)
        assert hasattr(module, constant), f"the tap has no constant {name}"
        setattr(module, constant, value)
    sys.argv = ["tap-zoom-cc", *arguments]
    faulthandler.dump_traceback_later(LONGEST_RUN_SECONDS, exit=True)
    exec(prelude, {})  # noqa: S102 (a test's own code)
    importlib.import_module("tap_zoom_cc.tap").TapZoomCC.cli()

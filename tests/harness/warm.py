"""Runs the tap's command line in a fork of a process that has imported it already.

Importing the SDK takes a second, a sync of a small history a tenth of that; tests that sync
hundreds of times would do little else than import. So the fork server of `multiprocessing` imports
`tap_zoom_cc.tap`, and each run is a fork of it that calls the same function as the installed
command ``tap-zoom-cc``: with arguments, folder, output, log, signals and exit code of its own.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import multiprocessing
import os
import sys
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.context import ForkServerContext, ForkServerProcess

    from tests.harness.constants import Value

ROOT = Path(__file__).parents[2]

LOG = "stderr"
"""The file in a run's folder that is its standard error."""

LONGEST_RUN_SECONDS = 240
"""After it a run says where its threads stand, and ends: sooner than pytest would end the test."""

_IMPORTED = ["tests.harness.warm", "tap_zoom_cc.tap", "email.parser", "importlib.metadata"]
"""The last two are what each run needs to look up the versions of the tap and of the SDK."""

_FOREIGN_VARIABLES = (
    "CURL_CA_BUNDLE",
    "LOGLEVEL",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_",
    "TAP_ZOOM_CC_",
)
"""How those variables begin that would change what the tap does."""


@dataclass(frozen=True)
class Order:
    """What a run is given.

    ``folder`` becomes its current one. ``environment``: variables added to this process's.
    ``constants``: values for constants of the tap, by dotted name. ``prelude``: Python code that is
    run before the command line. A ``cold`` run begins a new interpreter, without these two.
    """

    folder: Path
    arguments: Sequence[str]
    environment: Mapping[str, str]
    constants: Mapping[str, Value]
    prelude: str
    cold: bool


def start(order: Order, output: int) -> ForkServerProcess:
    """Start a run that writes to a descriptor; others may run at the same time."""
    connection = Connection(os.dup(output), readable=False)
    process = _server().Process(target=_run, args=(order, connection), daemon=True)
    process.start()
    connection.close()
    return process


@cache
def _server() -> ForkServerContext:
    """Start the process that all runs are forks of; it ends with this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN_VARIABLES) and not name.lower().endswith("_proxy")
    }
    with patch.dict(os.environ, own, clear=True):
        forkserver.ensure_running()
    return context


def _run(order: Order, output: Connection) -> None:
    """Become the command line, in a process of its own."""
    os.dup2(output.fileno(), 1)
    output.close()
    with (order.folder / LOG).open("ab") as log:
        os.dup2(log.fileno(), 2)
    os.chdir(order.folder)
    os.environ.update(order.environment)
    if order.cold:
        os.set_inheritable(0, True)  # noqa: FBT003 (the standard library's)
        command = [sys.executable, "-m", "tap_zoom_cc", *order.arguments]
        os.execv(command[0], command)  # noqa: S606 (a shell is not wanted)
    # To collect what was imported would be to copy all of it.
    gc.freeze()
    for name, value in order.constants.items():
        module_name, _, constant = name.rpartition(".")
        module = importlib.import_module(module_name)
        assert hasattr(module, constant), f"the tap has no constant {name}"
        setattr(module, constant, value)
    sys.argv = ["tap-zoom-cc", *order.arguments]
    faulthandler.dump_traceback_later(LONGEST_RUN_SECONDS, exit=True)
    exec(order.prelude, {})  # noqa: S102 (a test's own code)
    importlib.import_module("tap_zoom_cc.tap").TapZoomCC.cli()

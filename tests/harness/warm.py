"""Runs the tap's command line in a fork of a process that has imported it already.

Importing the SDK takes a second, a sync of a small history a tenth of that; tests that sync
hundreds of times would do little else than import. So one process imports `tap_zoom_cc.tap` and
does nothing, and each run is a fork of it that calls the same function as the installed command
``tap-zoom-cc``: with arguments, standard output, standard error, signals and exit code of its own.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from tests.harness.constants import Value

ROOT = Path(__file__).parents[2]
LONGEST_RUN_SECONDS = 240.0
"""After it a run counts as hung; shorter than pytest's own timeout, which says less about it."""

_BLOCK = 1 << 16


_FOREIGN_VARIABLES = (
    "CURL_CA_BUNDLE",
    "LOGLEVEL",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_",
    "TAP_ZOOM_CC_",
)


def own_environment() -> dict[str, str]:
    """Return this process's variables without those that would change what the tap does."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN_VARIABLES) and not name.lower().endswith("_proxy")
    }


@dataclass(frozen=True)
class Kill:
    """A run's early end, once it has written so many bytes or so much time has passed.

    ``signal_name`` is ``SIGKILL``, ``SIGTERM`` or ``SIGINT``; empty stands for a target that closes
    the pipe. What the tap wrote before its end is still read after a signal, and is lost after the
    pipe was closed.
    """

    signal_name: str
    after_bytes: int | None = None
    after_seconds: float | None = None


class WarmTap:
    """A process that has imported the tap. Use it as a context manager.

    The first run starts it. One that was stopped while it ran is followed by a new process.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Give what runs the tap."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process."""
        self._end()

    def _begin(self) -> None:
        self._connection, its_end = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.warm", str(its_end.fileno())],
            cwd=ROOT,
            env=own_environment(),
            pass_fds=[its_end.fileno()],
        )
        its_end.close()

    def _end(self) -> None:
        if self._process is not None:
            self._connection.close()
            self._process.wait()
            self._process = None

    def run(
        self,
        arguments: Sequence[str],
        *,
        constants: Mapping[str, Value],
        environment: Mapping[str, str] | None = None,
        kill: Kill | None = None,
    ) -> tuple[int, bytes, str]:
        """Run ``tap-zoom-cc`` to its end, or to the end that ``kill`` makes of it.

        Args:
            arguments: of the command line.
            constants: values for constants of the tap, by dotted name.
            environment: variables added to this process's.
            kill: ends the run early.

        Returns:
            The exit code (negative for a signal), the output and the log.

        Raises:
            TimeoutError: the run did not end; the message has the log and where its threads stood.
        """
        order = json.dumps(
            {
                "arguments": list(arguments),
                "constants": dict(constants),
                "environment": dict(environment or {}),
            }
        )
        if self._process is None:
            self._begin()
        reading, writing = os.pipe()
        pid = None
        with tempfile.TemporaryFile() as log:
            socket.send_fds(self._connection, [order.encode()], [writing, log.fileno()])
            os.close(writing)
            try:
                pid = int(self._reply())
                output, ended = _read(pid, reading, kill)
                exit_code = int(self._reply())
            except BaseException:
                # The test was stopped. What this run replies later is not for the next one.
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
                self._end()
                raise
            log.seek(0)
            text = log.read().decode(errors="replace")
            if not ended:
                message = f"the tap did not end within {LONGEST_RUN_SECONDS:.0f} s\n{text}"
                raise TimeoutError(message)
            return exit_code, output, text

    def _reply(self) -> str:
        reply = b""
        while not reply.endswith(b"\n"):
            part = self._connection.recv(1)
            if not part:
                message = "the process that starts the tap has ended"
                raise RuntimeError(message)
            reply += part
        return reply.decode()


def _read(pid: int, reading: int, kill: Kill | None) -> tuple[bytes, bool]:
    """Read a run's output to its end, and let ``kill`` strike on the way.

    Returns:
        The output, and whether the run ended by itself or by ``kill``.
    """
    output = bytearray()
    begin = time.monotonic()
    is_open = True
    try:
        while is_open and time.monotonic() - begin < LONGEST_RUN_SECONDS:
            wanted = _BLOCK
            if kill and kill.after_bytes is not None:
                wanted = min(wanted, kill.after_bytes - len(output))
            if kill and _is_due(kill, len(output), time.monotonic() - begin):
                if not kill.signal_name:
                    break
                os.kill(pid, getattr(signal, kill.signal_name))
                kill = None
            elif select.select([reading], [], [], 0.005)[0]:
                block = os.read(reading, wanted)
                output += block
                is_open = bool(block)
        ended = time.monotonic() - begin < LONGEST_RUN_SECONDS
        if not ended:
            # Its fault handler writes where all threads stand.
            os.kill(pid, signal.SIGABRT)
    finally:
        # A tap that still writes ends by this.
        os.close(reading)
    return bytes(output), ended


def _is_due(kill: Kill, written: int, seconds: float) -> bool:
    return (kill.after_bytes is not None and written >= kill.after_bytes) or (
        kill.after_seconds is not None and seconds >= kill.after_seconds
    )


def _serve(connection: socket.socket) -> None:
    """Fork a run for each order, and tell its process id and then its exit code."""
    while True:
        order, descriptors, _, _ = socket.recv_fds(connection, _BLOCK, 2)
        if not order:
            return
        pid = os.fork()
        if pid == 0:
            connection.close()
            _run(json.loads(order), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        connection.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _run(order: dict[str, object], descriptors: Sequence[int]) -> None:
    """Become the command line; ends the process."""
    for descriptor, standard in zip(descriptors, (1, 2), strict=True):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    constants = order["constants"]
    assert isinstance(constants, dict)
    set_constants(constants)
    environment = order["environment"]
    assert isinstance(environment, dict)
    os.environ.update(environment)
    arguments = order["arguments"]
    assert isinstance(arguments, list)
    sys.argv = ["tap-zoom-cc", *arguments]
    faulthandler.enable()
    try:
        importlib.import_module("tap_zoom_cc.tap").TapZoomCC.cli()
    except SystemExit as ended:
        _Leaving.exit_code = ended.code
        raise


class _Leaving:
    """The end of a run, without taking apart, piece by piece, what the first process imported."""

    exit_code: object = None

    @classmethod
    def leave(cls) -> None:
        """End the process with the command line's exit code; threads have ended before this."""
        if isinstance(cls.exit_code, int):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(cls.exit_code)


def set_constants(values: Mapping[str, object]) -> None:
    """Give constants of the tap, by dotted name, other values.

    Raises:
        AttributeError: if the tap has no such constant.
    """
    for name, value in values.items():
        module_name, _, constant = name.rpartition(".")
        module = importlib.import_module(module_name)
        getattr(module, constant)
        setattr(module, constant, tuple(value) if isinstance(value, list) else value)


if __name__ == "__main__":
    # What is registered first is called last, after all that the tap and the SDK have registered.
    atexit.register(_Leaving.leave)
    tap = importlib.import_module("tap_zoom_cc.tap").TapZoomCC
    # Each run looks the versions up, and would import what that needs.
    assert tap.plugin_version
    assert tap.sdk_version
    # What is imported lives as long as a run. Collecting it at a run's end would copy all of it.
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))

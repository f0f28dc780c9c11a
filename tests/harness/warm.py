"""Runs the tap's command line in a fork of a process that has imported it already.

Importing the SDK takes a second, a sync of a small history a tenth of that; tests that sync
hundreds of times would do little else than import. So one process imports `tap_zoom_cc.tap` and
does nothing, and each run is a fork of it that calls the same function as the installed command
``tap-zoom-cc``: with arguments, folder, output, log, signals and exit code of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from tests.harness.constants import Value

ROOT = Path(__file__).parents[2]
_ORDER = "order.json"
_LONGEST_PATH = 4096


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


@dataclass(frozen=True)
class Order:
    """What a run is given.

    ``constants`` are values for constants of the tap, by dotted name; ``environment`` are variables
    added to this process's; ``prelude`` is Python code that is run before the command line.
    """

    arguments: Sequence[str]
    constants: Mapping[str, Value]
    environment: Mapping[str, str]
    prelude: str


class WarmTap:
    """A process that has imported the tap. Use it as a context manager; the first run starts it."""

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
        if self._process is not None:
            self._orders.close()
            self._process.wait()
            self._process = None

    def start(self, order: Order, folder: Path, output: int, log: int) -> WarmRun:
        """Start a run; others may run at the same time.

        Args:
            order: what it is given.
            folder: its current one, in which its order is written.
            output: the descriptor that becomes its standard output; it stays open here.
            log: the same for its standard error.
        """
        (folder / _ORDER).write_text(json.dumps(asdict(order)), encoding="utf-8")
        if self._process is None:
            self._orders, its_end = socket.socketpair()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.harness.warm", str(its_end.fileno())],
                cwd=ROOT,
                env=own_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=[its_end.fileno()],
            )
            its_end.close()
        replies, its_end = socket.socketpair()
        with its_end:
            descriptors = [output, log, its_end.fileno()]
            socket.send_fds(self._orders, [os.fsencode(folder)], descriptors)
        return WarmRun(replies)


class WarmRun:
    """A run that was started, as `subprocess.Popen` shows a process."""

    def __init__(self, replies: socket.socket) -> None:
        """Wait until it has begun."""
        self._replies = replies
        self._exit_code: int | None = None
        self.pid = self._reply()

    def poll(self) -> int | None:
        """Return the exit code (negative for a signal), or None while it runs."""
        if self._exit_code is None and select.select([self._replies], [], [], 0)[0]:
            self.wait()
        return self._exit_code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit code.

        Raises:
            TimeoutError: if it does not come within so many seconds.
        """
        if self._exit_code is None:
            self._replies.settimeout(timeout)
            self._exit_code = self._reply()
            self._replies.close()
        return self._exit_code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _reply(self) -> int:
        reply = b""
        while not reply.endswith(b"\n"):
            part = self._replies.recv(1)
            if not part:
                message = "the process that starts the tap has ended"
                raise RuntimeError(message)
            reply += part
        return int(reply)


def _serve(orders: socket.socket) -> None:
    """Fork a run for each order; tell its process id and, when it has ended, its exit code."""
    with selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not orders:
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    _tell_the_end(*key.data)
                    continue
                folder, descriptors, _, _ = socket.recv_fds(orders, _LONGEST_PATH, 3)
                if not folder:
                    return
                output, log, reply = descriptors
                ended, lives = os.pipe()
                pid = os.fork()
                if pid == 0:
                    orders.close()
                    # What is left open, the end of the pipe that lives, is closed by its end.
                    for descriptor in (ended, reply):
                        os.close(descriptor)
                    _run(Path(os.fsdecode(folder)), output, log)
                for descriptor in (output, log, lives):
                    os.close(descriptor)
                replies = socket.socket(fileno=reply)
                _tell(replies, pid)
                selector.register(ended, selectors.EVENT_READ, (pid, replies))


def _tell_the_end(pid: int, replies: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    with replies:
        _tell(replies, os.waitstatus_to_exitcode(status))


def _tell(replies: socket.socket, number: int) -> None:
    # A test that was stopped does not listen any more.
    with contextlib.suppress(OSError):
        replies.sendall(f"{number}\n".encode())


def _run(folder: Path, output: int, log: int) -> None:
    """Become the command line; ends the process."""
    order = Order(**json.loads((folder / _ORDER).read_text(encoding="utf-8")))
    for descriptor, standard in ((output, 1), (log, 2)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.chdir(folder)
    set_constants(order.constants)
    os.environ.update(order.environment)
    sys.argv = ["tap-zoom-cc", *order.arguments]
    faulthandler.enable()
    exec(order.prelude, {})  # noqa: S102 (a test's own code)
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
            for stream in (sys.stdout, sys.stderr):
                # One that was closed from the start is none.
                if stream is not None:
                    stream.flush()
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

"""Ending a run early, in one way: a signal, a limit or a fatal answer asks, everybody complies.

A stop is a flag that is only ever set. The streams stop giving rows when they see it, so the SDK
finishes in its ordinary way and writes the state of the last complete window.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from concurrent.futures import Future, wait
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

Result = TypeVar("Result")

GRACE_SECONDS = 5.0
"""How long a signalled run may take to end by itself; a full pipe can block it for ever."""

LAST_WORDS_SECONDS = 1.0
"""How long a run that is ended where it stands may take to say so; nobody may read that either."""

SECONDS_TO_END = 1.0
"""How long a thread is waited for that has nothing left to do (own choice)."""

EXIT_FAILED = 1
EXIT_TERMINATED = 143
EXIT_INTERRUPTED = 130


class StoppedError(Exception):
    """Raised in a thread that was waiting or about to send when the run was stopped."""

    def __init__(self, reason: str, exit_code: int = EXIT_FAILED) -> None:
        """Keep the exit code of a run that ends with nothing but this error."""
        super().__init__(reason)
        self.exit_code = exit_code


class OutputError(Exception):
    """Standard output takes nothing any more; the message says why, and what to do."""


class SdkChangedError(Exception):
    """The installed SDK does not call what the tap relies on; the message says what to do."""

    def __init__(self, method: str) -> None:
        """Name the method."""
        super().__init__(
            f"singer-sdk {version('singer-sdk')} does not call {method} of a tap as it did: rows "
            "could be lost without a word, so nothing more is read; install a version of "
            "singer-sdk that tap-zoom-cc asks for, or a newer tap-zoom-cc"
        )


class Stop:
    """The one place where a run is told to end. Thread-safe; the first reason is kept.

    An error may end its requests before: what was read until then is still emitted.
    """

    def __init__(self) -> None:
        """Start with nothing asked for."""
        self._requests_ended = threading.Event()
        self._first_call = threading.Lock()
        self.asked = False
        """Whether the run is to end."""
        self.reason = ""
        self.exit_code = EXIT_FAILED

    def ask(self, reason: str, exit_code: int) -> None:
        """Ask the run to end, with a one-line reason and an exit code; the first call counts."""
        # The lock is never let go of, so only the first call gets it. A signal handler may run in
        # the thread that has it: nobody waits for it.
        if self._first_call.acquire(blocking=False):
            self.reason, self.exit_code = reason, exit_code
            self.asked = True
            self._requests_ended.set()

    def check(self) -> None:
        """Do nothing, unless the run is to end.

        Raises:
            StoppedError: when it is.
        """
        if self.asked:
            raise StoppedError(self.reason, self.exit_code)

    def end_requests(self) -> None:
        """Let nothing more be sent, and nobody wait to send it."""
        self._requests_ended.set()

    def sleep(self, seconds: float) -> None:
        """Wait that many seconds before something is sent.

        Raises:
            StoppedError: at once when the run, or its requests, are to end.
        """
        if self._requests_ended.wait(seconds):
            reason = self.reason or "nothing more is sent in this run"
            raise StoppedError(reason, self.exit_code)


def in_background(
    function: Callable[[], Result], stop: Stop, while_waiting: Callable[[], None]
) -> Result:
    """Call a function in a thread of its own, which a stop need not wait for.

    Args:
        function: what is called.
        stop: ends the wait when it is asked.
        while_waiting: called about twice a second meanwhile.

    Raises:
        StoppedError: when the run is to end first.
        Exception: what the function raises.
    """
    future: Future[Result] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # noqa: BLE001 (raised again in the caller's thread)
            future.set_exception(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    while not future.done():
        wait([future], timeout=0.5)
        stop.check()
        while_waiting()
    # Its connections end with it, and should not do so while the process ends.
    thread.join(SECONDS_TO_END)
    return future.result()


def end_on_signals(stop: Stop, logger: logging.Logger) -> None:
    """Let SIGTERM and SIGINT ask for a stop, with exit codes 143 and 130.

    The handlers only set the flag. When the run has not ended `GRACE_SECONDS` later, because it is
    blocked in writing to a target that does not read, the process is ended where it stands: rows
    that were not followed by a STATE message are read again by the next run.
    """

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (signal's signature)
        name = signal.Signals(number).name
        exit_code = EXIT_TERMINATED if number == signal.SIGTERM else EXIT_INTERRUPTED
        # First of all: whatever the signal has interrupted may hold what the next step waits for.
        watchdog = threading.Timer(GRACE_SECONDS, _end_blocked_process, (logger, name, exit_code))
        watchdog.daemon = True
        watchdog.start()
        stop.ask(
            f"{name} received: the run was ended; the next one goes on from its state", exit_code
        )

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)


def _end_blocked_process(logger: logging.Logger, name: str, exit_code: int) -> None:
    def say_so() -> None:
        logger.error(
            "%s received: something blocks the run, perhaps a target that does not read, so it was "
            "ended within a window; the next one goes on from the last state written",
            name,
        )
        logging.shutdown()

    # Whoever does not read standard error either would block this too.
    speaker = threading.Thread(target=say_so, daemon=True)
    speaker.start()
    speaker.join(LAST_WORDS_SECONDS)
    os._exit(exit_code)

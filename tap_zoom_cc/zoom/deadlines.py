"""Deadlines: a request is given up as a whole, wherever it hangs.

A socket's timeout begins anew with each byte, so a server that sends one byte now and then is never
too slow for it. Here one watchdog thread shuts the request's socket down when the time is over, and
the thread that reads from it gets an error at once.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from typing_extensions import Self

DEADLINE_SECONDS = 60.0
"""How long a request may take, from being sent to the last byte of the answer (own choice).

To connect may take as long. A page comes within a few seconds, a slow one within some twenty.
"""


class DeadlineError(requests.Timeout):
    """A request was given up because its deadline had passed."""

    def __init__(self) -> None:
        super().__init__(f"the answer was not complete after {DEADLINE_SECONDS:g} s")


class Deadline:
    """The deadline of one request. Use it as a context manager around all that the request takes.

    It passes only within `running`, so that the wait for a turn does not count. Whatever came out
    of a request after its deadline, the context raises `DeadlineError` instead: a body that was cut
    off can look like one that ended.
    """

    def __init__(self) -> None:
        self.passed = False
        self._find_socket: Callable[[], object] = lambda: None

    def start(self, find_socket: Callable[[], object]) -> None:
        """Let the time begin, in place of one that began before.

        Args:
            find_socket: returns the socket that is then shut down, or None while there is none.
        """
        self._find_socket = find_socket
        _WATCHDOG.watch(self, time.monotonic() + DEADLINE_SECONDS)

    @contextmanager
    def running(self, find_socket: Callable[[], object]) -> Iterator[None]:
        """Let the time run within this context only.

        Raises:
            DeadlineError: at the end, if it has passed.
        """
        self.start(find_socket)
        try:
            yield
        finally:
            _WATCHDOG.forget(self)
        if self.passed:
            raise DeadlineError

    def cut(self) -> None:
        """Shut the socket down; called by the watchdog.

        The methods of TLS sockets are passed by: theirs may only be called by the thread that uses
        them.
        """
        self.passed = True
        found = self._find_socket()
        while found is not None and not isinstance(found, socket.socket):
            found = getattr(found, "socket", None)  # TLS within the TLS of a proxy.
        if found is not None:
            with suppress(OSError):
                socket.socket.shutdown(found, socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        """Begin; no time passes yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End.

        Raises:
            DeadlineError: if the time has passed.
        """
        _WATCHDOG.forget(self)
        if self.passed and (error is None or isinstance(error, Exception)):
            raise DeadlineError from error


class _Watchdog:
    """A thread that looks after all deadlines of the process, and ends when there is none."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: dict[Deadline, float] = {}
        self._wakes_at: float | None = None

    def watch(self, deadline: Deadline, ends: float) -> None:
        with self._changed:
            self._deadlines[deadline] = ends
            if self._wakes_at is None:
                threading.Thread(target=self._run, name="deadlines", daemon=True).start()
            if self._wakes_at is None or ends < self._wakes_at:
                self._wakes_at = ends
                self._changed.notify()

    def forget(self, deadline: Deadline) -> None:
        # The thread is not woken: it finds out when it wakes anyway.
        with self._changed:
            self._deadlines.pop(deadline, None)

    def _run(self) -> None:
        with self._changed:
            while self._deadlines:
                now = time.monotonic()
                for deadline in [one for one, ends in self._deadlines.items() if ends <= now]:
                    del self._deadlines[deadline]
                    deadline.cut()
                self._wakes_at = min(self._deadlines.values(), default=now)
                self._changed.wait(self._wakes_at - now)
            self._wakes_at = None


_WATCHDOG = _Watchdog()

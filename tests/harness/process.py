"""A running tap, to be read from, signalled or killed, and what it leaves behind at its end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.scenario import STREAMS
from tests.harness.rows import key_of, without_nulls
from tests.harness.singer import all_bookmarks, parse_messages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.process import BaseProcess
    from tempfile import TemporaryDirectory

    from typing_extensions import Self

    from tests.harness.rows import Key
    from tests.harness.singer import Message, Place, Record, State

LOG = "stderr"
"""The file in a run's folder that is its standard error."""

_BLOCK = 1 << 16
_LOOK_SECONDS = 0.01
_PENDING = re.compile(r"^(?:Sig|Shd)Pnd:.*[1-9a-f]", re.MULTILINE)


@dataclass(frozen=True)
class TapRun:
    """What a run of the tap left behind.

    ``exit_code`` is that of the process, negative for a signal that ended it by force.
    """

    exit_code: int
    stdout: bytes
    stderr: str

    @cached_property
    def messages(self) -> list[Message]:
        """The Singer messages; a last line that a kill has cut off is none, as for a target."""
        return parse_messages(self.stdout)

    def _rows(self) -> Iterator[tuple[str, Record]]:
        for message in self.messages:
            if message["type"] == "RECORD":
                yield message["stream"], without_unmapped(message["record"])

    @cached_property
    def engagements(self) -> list[tuple[Key, Record]]:
        """The engagements in the order in which they came, `without_unmapped`, `without_nulls`."""
        rows = ((stream, row) for stream, row in self._rows() if stream in STREAMS)
        return [(key_of(stream, row), without_nulls(row)) for stream, row in rows]

    @property
    def repeated(self) -> list[Key]:
        """The engagements that came more than once."""
        counted = Counter(key for key, _ in self.engagements)
        return [key for key, count in counted.items() if count > 1]

    def records(self, stream: str) -> list[Record]:
        """Return the rows of a stream, in order, `without_unmapped`."""
        return [row for of, row in self._rows() if of == stream]

    @property
    def states(self) -> list[State]:
        """The values of all STATE messages, in order."""
        return [message["value"] for message in self.messages if message["type"] == "STATE"]

    @property
    def state(self) -> State:
        """The value of the last STATE message, which is what the next run gets."""
        assert self.states, f"no STATE was written; stderr:\n{self.stderr}"
        return self.states[-1]

    @property
    def bookmarks(self) -> dict[Place, str]:
        """The last STATE's bookmarks by stream and account; none without a STATE."""
        return all_bookmarks(self.states[-1]) if self.states else {}

    @property
    def lines(self) -> list[str]:
        """The lines of standard error."""
        return self.stderr.splitlines()

    def logged(self, level: str) -> list[str]:
        """Return the log lines of a level, such as ``ERROR``."""
        return [line for line in self.lines if f"| {level} " in line]

    def check(self, exit_code: int = 0) -> Self:
        """Assert how the run ended, and that nobody was shown a traceback."""
        assert self.exit_code == exit_code, f"exit code {self.exit_code}; stderr:\n{self.stderr}"
        assert "Traceback" not in self.stderr, self.stderr
        return self


def without_unmapped(record: Record) -> Record:
    """Return a row's own columns: `test_unmapped_values.py` looks at the one that is left out."""
    return {name: value for name, value in record.items() if name != "unmapped_values"}


class TapProcess:
    """A running tap. Use it as a context manager: it is killed at the end if it still runs."""

    def __init__(
        self, process: BaseProcess, folder: TemporaryDirectory[str], output: tuple[int, int]
    ) -> None:
        """Take a process, its folder, and both ends of the pipe that it writes to."""
        self._process = process
        self._folder = folder
        self._log = Path(folder.name) / LOG
        self._log.touch()
        self._read = bytearray()
        self._told = 0
        self._output = os.fdopen(output[0], "rb", buffering=0)
        self._writing = os.fdopen(output[1], "wb", buffering=0)
        self.pid = process.pid or 0

    def __enter__(self) -> Self:
        """Give the running tap."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, in whatever state it is."""
        self.kill()
        self._process.join()
        self.close_stdout()
        self._folder.cleanup()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.exitcode is None

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.signal(signal.SIGKILL)

    def read_until(self, kind: str) -> Message:
        """Read output up to the first message of a type, and give that."""
        while True:
            end = self._read.find(b"\n", self._told) + 1
            if end:
                message: Message = json.loads(self._read[self._told : end])
                self._told = end
                if message["type"] == kind:
                    return message
            else:
                assert self._read_some(), f"no {kind} came; stderr:\n{self.stderr_so_far()}"

    def wait_until_blocked(self) -> None:
        """Wait until nothing more can be written to the output, which nobody has read."""
        while select.select([], [self._writing], [], 0)[1]:
            assert self.running, self.stderr_so_far()
            time.sleep(_LOOK_SECONDS)

    def wait_until_signalled(self) -> None:
        """Wait until no signal that was sent is still on its way; at once where nobody can know."""
        status = Path(f"/proc/{self.pid}/status")
        while status.exists() and _PENDING.search(status.read_text()):
            time.sleep(_LOOK_SECONDS)

    def close_stdout(self) -> None:
        """Read no more: the tap gets a broken pipe."""
        self._writing.close()
        self._output.close()

    def stderr_so_far(self) -> str:
        """Give what was logged by now."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def read_for(self, most_bytes: int = sys.maxsize, seconds: float | None = None) -> None:
        """Read so many bytes, or for so long, or to the end of the output."""
        end = None if seconds is None else time.monotonic() + seconds
        while len(self._read) < most_bytes:
            self._writing.close()
            wait = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._output], [], [], wait)[0]:
                return
            if not self._read_some(min(_BLOCK, most_bytes - len(self._read))):
                return

    def finish(self) -> TapRun:
        """Read the rest of the output, and wait for the end."""
        while self._read_some():
            pass
        return self.wait_unread()

    def wait_unread(self) -> TapRun:
        """Wait for the end without reading any more of the output."""
        self._process.join()
        exit_code, log = self._process.exitcode, self.stderr_so_far()
        assert exit_code is not None
        assert "Timeout (0:" not in log, f"the tap hung\n{log}"
        return TapRun(exit_code, bytes(self._read), log)

    def _read_some(self, most: int = _BLOCK) -> bool:
        """Read what has come, or wait for it; false at the end of the output."""
        # The pipe ends when the tap does, once nobody else can write to it.
        self._writing.close()
        block = b"" if self._output.closed else self._output.read(most)
        self._read += block
        return bool(block)

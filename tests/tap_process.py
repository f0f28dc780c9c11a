"""Runs the tap as its users do: the real command line, in a process of its own.

`run_tap` waits for the end of a run; `start_tap` gives the running process, to be read from,
signalled or killed. Both take config, state and catalog as dicts (or as text, to be wrong on
purpose) and write them to files of their own.
"""

from __future__ import annotations

import atexit
import copy
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.warm_tap import WarmTap

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from tests.warm_tap import Constant

Record: TypeAlias = dict[str, Any]
Message: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Any]
Content: TypeAlias = "Mapping[str, Any] | str"
"""What a file holds: an object to be written as JSON, or a text."""

KEYS = {
    "sms": ("account_id", "engagement_id"),
    "voice_calls": ("account_id", "engagement_id"),
    "sub_accounts": ("id",),
}

PATIENCE_SECONDS = 120.0
"""How long a run may take before the test gives up; far more than any of them needs."""

_PREFIX = "tap-zoom-cc-test-"
_FOREIGN_VARIABLES = ("TAP_ZOOM_CC_", "LOGLEVEL", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")


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

    def records(self, stream: str) -> list[Record]:
        """Return the rows of a stream, in order, `without_unmapped`."""
        return [
            without_unmapped(message["record"])
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] == stream
        ]

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


def parse_messages(output: bytes) -> list[Message]:
    """Return the complete messages of an output."""
    complete = output[: output.rfind(b"\n") + 1]
    return [json.loads(line) for line in complete.splitlines()]


def bookmarks(state: State, stream: str) -> dict[str, str]:
    """Return a stream's bookmarks by account; accounts without one are left out."""
    partitions = state.get("bookmarks", {}).get(stream, {}).get("partitions", [])
    return {
        partition["context"]["account_id"]: partition["replication_key_value"]
        for partition in partitions
        if "replication_key_value" in partition
    }


def state_of(stream: str, values: Mapping[str, str]) -> State:
    """Return the entry of a stream in ``bookmarks``, with these bookmarks by account."""
    return {
        stream: {
            "partitions": [
                {
                    "context": {"account_id": account_id},
                    "replication_key": "start_time",
                    "replication_key_value": value,
                }
                for account_id, value in values.items()
            ]
        }
    }


def by_key(stream: str, rows: Iterable[Record]) -> dict[tuple[str, ...], Record]:
    """Return rows by their key; of several with one key the last, as a target keeps them."""
    return {tuple(row[name] for name in KEYS[stream]): row for row in rows}


def assert_same_rows(stream: str, rows: Sequence[Record], truth: Sequence[Record]) -> None:
    """Assert that rows, in any order and by key, are exactly those of the truth, values too."""
    found, expected = by_key(stream, rows), by_key(stream, truth)
    missing, surplus = expected.keys() - found.keys(), found.keys() - expected.keys()
    assert not missing, f"{stream}: {len(missing)} of {len(expected)} lost, such as {min(missing)}"
    assert not surplus, f"{stream}: {len(surplus)} that do not exist, such as {min(surplus)}"
    different = [key for key, row in expected.items() if found[key] != row]
    assert not different, (
        f"{stream}: {len(different)} of {len(expected)} changed on the way, such as\n"
        f"{found[different[0]]}\nwhich is\n{expected[different[0]]}"
    )


def assert_nothing_twice(stream: str, rows: Sequence[Record]) -> None:
    """Assert that no row of a run has the key of another."""
    assert len(by_key(stream, rows)) == len(rows), f"{stream}: rows came twice in one run"


class TapProcess:
    """A running tap. Use it as a context manager: it is killed at the end if it still runs."""

    def __init__(
        self,
        folder: tempfile.TemporaryDirectory[str],
        command: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        """Start it; the folder is removed with it."""
        self._folder = folder
        self._stderr = Path(folder.name) / "stderr"
        self._read = bytearray()
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                cwd=folder.name,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def __enter__(self) -> Self:
        """Give the running tap."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, in whatever state it is."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self.close_stdout()
        self._folder.cleanup()

    def readline(self) -> bytes:
        """Read a line of output, waiting for it; empty at the end."""
        assert self._process.stdout is not None
        line: bytes = self._process.stdout.readline()
        self._read += line
        return line

    def read_until(self, kind: str) -> Message:
        """Read output up to the first message of a type, and give that."""
        while line := self.readline():
            message: Message = json.loads(line)
            if message["type"] == kind:
                return message
        message_ = f"the run ended without a {kind}; stderr:\n{self._stderr.read_text()}"
        raise AssertionError(message_)

    def close_stdout(self) -> None:
        """Read no more: the tap gets a broken pipe."""
        if self._process.stdout is not None:
            self._process.stdout.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def stderr_so_far(self) -> str:
        """Give what was logged by now."""
        return self._stderr.read_text(encoding="utf-8", errors="replace")

    def wait_unread(self, timeout: float = PATIENCE_SECONDS) -> TapRun:
        """Wait for the end without reading any more of the output."""
        exit_code = self._process.wait(timeout)
        return TapRun(exit_code, bytes(self._read), self.stderr_so_far())

    def finish(self, timeout: float = PATIENCE_SECONDS) -> TapRun:
        """Read the rest of the output and wait for the end."""
        if self._process.stdout is not None:
            self._read += self._process.stdout.read()
        return self.wait_unread(timeout)


def start_tap(
    config: Content | None,
    *,
    state: Content | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    prelude: str = "",
) -> TapProcess:
    """Start the tap's command line in a new interpreter.

    Args:
        config: what ``--config`` names; None leaves the option out.
        state: what ``--state`` names; None leaves the option out.
        arguments: further options.
        environment: variables added to this process's.
        prelude: Python code run before the command line, to shorten the tap's constants.
    """
    folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
    command = [sys.executable, "-m", "tap_zoom_cc"]
    if prelude:
        code = f"{prelude}\nfrom tap_zoom_cc.tap import TapZoomCC\nTapZoomCC.cli()"
        command = [sys.executable, "-c", code]
    command += _write_files(Path(folder.name), config=config, state=state)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN_VARIABLES) and not name.lower().endswith("_proxy")
    }
    return TapProcess(folder, [*command, *arguments], {**kept, **(environment or {})})


def run_tap(
    config: Content | None,
    *,
    state: Content | None = None,
    catalog: Content | None = None,
    arguments: Sequence[str] = (),
    constants: Mapping[str, Constant] | None = None,
) -> TapRun:
    """Run the tap's command line to its end.

    It runs in a fork of a process that has imported the tap already, see `WarmTap`: most of these
    runs take less time than that import.

    Args:
        config: what ``--config`` names; None leaves the option out.
        state: what ``--state`` names; None leaves the option out.
        catalog: what ``--catalog`` names; None leaves the option out.
        arguments: further options.
        constants: values for constants of the tap, by dotted name.
    """
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        files = _write_files(Path(folder), config=config, state=state, catalog=catalog)
        return TapRun(*_warm_tap().run([*files, *arguments], constants=constants))


@cache
def _warm_tap() -> WarmTap:
    """Start the process that all runs are forks of; it ends with this one."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(WarmTap())


def _write_files(folder: Path, **contents: Content | None) -> list[str]:
    """Write the files that are given, and return the options that name them."""
    options = []
    for name, content in contents.items():
        if content is not None:
            path = folder / f"{name}.json"
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8")
            options.append(f"--{name}={path}")
    return options


def selecting(
    catalog: Mapping[str, Any],
    streams: Iterable[str],
    *,
    without: Iterable[str] = (),
    replication_method: str | None = None,
) -> dict[str, Any]:
    """Return a catalog with only some streams selected.

    Args:
        catalog: as `--discover` prints it.
        streams: the streams to select.
        without: fields of theirs to deselect.
        replication_method: forced upon them; None leaves the tap's own.
    """
    changed = copy.deepcopy(dict(catalog))
    for entry in changed["streams"]:
        selected = entry["tap_stream_id"] in set(streams)
        for part in entry["metadata"]:
            if not part["breadcrumb"]:
                part["metadata"]["selected"] = selected
            elif part["breadcrumb"][-1] in set(without):
                part["metadata"]["selected"] = False
        if selected and replication_method:
            entry["replication_method"] = replication_method
    return changed

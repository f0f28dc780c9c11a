"""Runs the tap as its users do: the real command line, in a process of its own.

`sync` reads what a simulator holds, and is what most tests want. `run_tap` runs any command line to
its end; `start_tap` gives the running process, to be read from, signalled or killed. Config, state
and catalog are given as dicts (or as text, to be wrong on purpose) and written to files.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from simulator.scenario import STREAMS
from tests.harness.constants import OWN, SHORT_WAITS
from tests.harness.rows import key_of, without_nulls
from tests.harness.singer import all_bookmarks, parse_messages
from tests.harness.warm import ROOT, WarmTap, own_environment

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence
    from datetime import datetime
    from types import TracebackType

    from typing_extensions import Self

    from simulator.process import SimulatorProcess
    from tests.harness.constants import Constants
    from tests.harness.rows import Key
    from tests.harness.singer import Catalog, Message, Place, Record, State
    from tests.harness.warm import Kill

Content: TypeAlias = "Mapping[str, Any] | str | bytes"
"""What a file holds: an object to be written as JSON, a text, or bytes."""

PATIENCE_SECONDS = 120.0
"""How long a run may take before the test gives up; far more than any of them needs."""

_PREFIX = "tap-zoom-cc-test-"


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

    @cached_property
    def engagements(self) -> list[tuple[Key, Record]]:
        """The engagements in the order in which they came, `without_unmapped`, `without_nulls`."""
        return [
            (
                key_of(message["stream"], message["record"]),
                without_nulls(without_unmapped(message["record"])),
            )
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] in STREAMS
        ]

    @property
    def repeated(self) -> list[Key]:
        """The engagements that came more than once."""
        counted = Counter(key for key, _ in self.engagements)
        return [key for key, count in counted.items() if count > 1]

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


def start_tap(  # noqa: PLR0913 (each is an option of a run)
    config: Content | None,
    *,
    state: Content | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    constants: Constants = OWN,
    prelude: str = "",
) -> TapProcess:
    """Start the tap's command line in a new interpreter.

    Args:
        config: what ``--config`` names; None leaves the option out.
        state: what ``--state`` names; None leaves the option out.
        arguments: further options.
        environment: variables added to this process's.
        constants: of the tap.
        prelude: Python code that is run before the command line.
    """
    folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
    command = [sys.executable, "-m", "tap_zoom_cc"]
    if prelude or constants != OWN:
        code = (
            f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            "from tests.harness.warm import set_constants\n"
            f"set_constants({constants.by_name()!r})\n{prelude}\n"
            "from tap_zoom_cc.tap import TapZoomCC\nTapZoomCC.cli()"
        )
        command = [sys.executable, "-c", code]
    command += _write_files(Path(folder.name), config=config, state=state)
    environment = {**own_environment(), **(environment or {})}
    return TapProcess(folder, [*command, *arguments], environment)


def run_tap(  # noqa: PLR0913 (each is an option of a run)
    config: Content | None,
    *,
    state: Content | None = None,
    catalog: Content | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    constants: Constants = OWN,
    kill: Kill | None = None,
) -> TapRun:
    """Run the tap's command line to its end.

    It runs in a fork of a process that has imported the tap already, see `WarmTap`: most of these
    runs take less time than that import.

    Args:
        config: what ``--config`` names; None leaves the option out.
        state: what ``--state`` names; None leaves the option out.
        catalog: what ``--catalog`` names; None leaves the option out.
        arguments: further options.
        environment: variables added to this process's.
        constants: of the tap.
        kill: ends the run early.
    """
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        files = _write_files(Path(folder), config=config, state=state, catalog=catalog)
        ended = _warm_tap().run(
            [*files, *arguments],
            constants=constants.by_name(),
            environment=environment,
            kill=kill,
        )
        return TapRun(*ended)


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

    The tap's own clock cannot be set, so the simulator's present is its ``end_date``, unless the
    simulator tells its time: then that is the tap's present too.

    Args:
        simulator: what stands in for Zoom.
        now: the simulator's present; None is that of its scenario.
        settings: besides these, or instead of them; None leaves one out.
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
            text = json.dumps(content) if isinstance(content, Mapping) else content
            path.write_bytes(text.encode() if isinstance(text, str) else text)
            options.append(f"--{name}={path}")
    return options

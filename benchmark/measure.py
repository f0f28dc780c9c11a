"""Runs a program and measures it from outside: processor time, wall time, peak memory, output."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent

RECORD_OPENING = b'{"type":"RECORD"'

BYTES_PER_MAXRSS = 1 if sys.platform == "darwin" else 1024
"""What `ru_maxrss` counts in: bytes on macOS, KiB elsewhere."""


class ProgramFailedError(Exception):
    """A measured program ended with an error; the message holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of a program took, and what it wrote to its standard output.

    ``processor_seconds`` are user and system time of all its threads, and of the processes that it
    waited for, from its start to its end: interpreter start and imports are in it.
    """

    processor_seconds: float
    wall_seconds: float
    peak_bytes: int
    output_bytes: int
    lines: int
    records: int
    last_line: bytes


def clean_environ() -> dict[str, str]:
    """Return the environment variables without Python's own.

    Some of them change what is measured: unbuffered output, no cached bytecode.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(command: Sequence[str | Path]) -> Measured:
    """Run a program to its end; its output is read as it comes, counted and thrown away.

    Raises:
        ProgramFailedError: when it does not exit with 0.
    """
    output_bytes = lines = records = 0
    line = b""
    with tempfile.TemporaryFile() as log:
        begin = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=1 << 20,
        )
        with process.stdout or sys.stdin.buffer as output:
            for line in output:
                output_bytes += len(line)
                lines += 1
                if line.startswith(RECORD_OPENING):
                    records += 1
        _, status, usage = os.wait4(process.pid, 0)
        wall_seconds = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            message = f"{' '.join(map(str, command))} ended with {process.returncode}:\n"
            raise ProgramFailedError(message + log.read()[-3000:].decode(errors="replace"))
    return Measured(
        processor_seconds=usage.ru_utime + usage.ru_stime,
        wall_seconds=wall_seconds,
        peak_bytes=usage.ru_maxrss * BYTES_PER_MAXRSS,
        output_bytes=output_bytes,
        lines=lines,
        records=records,
        last_line=line,
    )

"""Starts the measured programs on a job: the tap, the bare loop, and the peers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmark.measure import ROOT, ProgramFailedError, clean_environ, run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from benchmark.job import Job
    from benchmark.measure import Measured
    from simulator.process import SimulatorProcess

TAP = (sys.executable, "-m", "tap_zoom_cc")
BARE_LOOP = (sys.executable, ROOT / "benchmark" / "bare_loop.py")


def run_tap(
    job: Job, simulator: SimulatorProcess, *, state: bytes = b"", **settings: object
) -> Measured:
    """Run the tap on a job.

    Args:
        job: what is to be read.
        simulator: serves the job's scenario.
        state: the state to go on from, as JSON.
        settings: settings besides the job's own.

    Raises:
        ProgramFailedError: when the tap fails, or emits more or fewer rows than there are.
    """
    config = {**job.tap_config(simulator), **settings}
    with _file(msgspec.json.encode(config)) as config_path:
        arguments: list[str | Path] = ["--config", config_path]
        with _file(_catalog(config_path, job.streams)) as catalog, _file(state) as state_path:
            arguments += ["--catalog", catalog]
            arguments += ["--state", state_path] if state else []
            measured = run([*TAP, *arguments])
    return _complete("the tap", measured, measured.records, job)


def run_bare_loop(job: Job, simulator: SimulatorProcess) -> Measured:
    """Run the bare loop on a job.

    Raises:
        ProgramFailedError: when it fails, or emits more or fewer rows than there are.
    """
    with _file(job.document(simulator)) as path:
        measured = run([*BARE_LOOP, path])
    return _complete("the bare loop", measured, measured.lines, job)


def run_peer(name: str, python: Path, job: Job, simulator: SimulatorProcess) -> Measured:
    """Run a peer in its environment.

    It writes a RECORD message for each row, or says on its last line how many it has loaded.

    Raises:
        ProgramFailedError: when it fails, or reads more or fewer rows than there are.
    """
    with _file(job.document(simulator)) as path:
        measured = run([python, ROOT / "benchmark" / "peers" / f"{name}.py", path])
    if measured.records:
        return _complete(name, measured, measured.records, job)
    return _complete(name, measured, msgspec.json.decode(measured.last_line)["rows"], job)


def _complete(name: str, measured: Measured, rows: int, job: Job) -> Measured:
    if rows != job.expected_rows():
        raise ProgramFailedError(f"{name} gave {rows} rows of {job.expected_rows()}")
    return measured


def _catalog(config: Path, streams: Collection[str]) -> bytes:
    """Return the tap's own catalog with just those streams selected."""
    discovery = subprocess.run(
        [*TAP, "--config", config, "--discover"],
        cwd=ROOT,
        env=clean_environ(),
        capture_output=True,
        check=True,
    )
    catalog: Mapping[str, list[dict[str, object]]] = msgspec.json.decode(
        discovery.stdout, type=dict[str, list[dict[str, object]]]
    )
    return msgspec.json.encode(
        {"streams": [s for s in catalog["streams"] if s["tap_stream_id"] in streams]}
    )


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    """Put content into a file for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.json"
        path.write_bytes(content)
        yield path

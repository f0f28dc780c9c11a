"""What people would otherwise use, on the same jobs as the tap."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.job import Job
from benchmark.measure import ROOT, clean_environ
from benchmark.programs import run_peer, run_tap
from benchmark.table import Row
from simulator.process import SimulatorProcess
from simulator.scenario import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEERS = ROOT / "benchmark" / "peers"
ENVIRONMENTS = ROOT / ".tools" / "benchmark"

LIMIT = 10
LATENCY_SECONDS = 0.3
SHARES = (0.6, 0.4)


@dataclass(frozen=True, slots=True)
class _Peer:
    program: str
    name: str


ALL_PEERS = (
    _Peer("plain_sdk_tap", "plain SDK tap"),
    _Peer("dlt_rest_api", "dlt `rest_api`, to JSON lines"),
    _Peer("airbyte_declarative", "airbyte-cdk declarative source"),
)


def measure(*, quick: bool) -> Iterator[Row]:
    """Measure processor time for each stream, and wall time at Zoom's limit."""
    pythons = {peer: _environment(peer.program) for peer in ALL_PEERS}
    rows = 2_000 if quick else 30_000
    for stream in STREAMS:
        job = Job(rows=rows, shares=SHARES, streams=(stream,))
        with SimulatorProcess(job.scenario()) as simulator:
            tap = run_tap(job, simulator)
            for peer, python in pythons.items():
                measured = run_peer(peer.program, python, job, simulator)
                yield Row(
                    f"{peer.name} ÷ tap, processor time: {stream}, {rows:,} rows",
                    measured.processor_seconds / tap.processor_seconds,
                    detail=f"{measured.processor_seconds / rows * 1e6:,.0f} against "
                    f"{tap.processor_seconds / rows * 1e6:,.0f} µs a row; wall time "
                    f"{measured.wall_seconds / tap.wall_seconds:.1f} times",
                )
    rows = 1_000 if quick else 6_000
    job = Job(rows=rows, shares=SHARES, latency=LATENCY_SECONDS, limit=LIMIT)
    floor = job.fewest_requests() / LIMIT
    with SimulatorProcess(job.scenario()) as simulator:
        tap = run_tap(job, simulator)
        for peer, python in pythons.items():
            simulator.reset_stats()
            measured = run_peer(peer.program, python, job, simulator)
            yield Row(
                f"{peer.name} ÷ tap, wall time: {rows * len(STREAMS):,} rows, 10 requests/s, 0.3 s",
                measured.wall_seconds / tap.wall_seconds,
                detail=f"{measured.wall_seconds:.1f} against {tap.wall_seconds:.1f} s, floor "
                f"{floor:.1f} s; {simulator.stats().rate_limited} refused (429)",
            )


def _environment(program: str) -> Path:
    """Return the Python of a peer's environment, made anew when its requirements have changed."""
    requirements = PEERS / f"{program}.requirements.txt"
    folder = ENVIRONMENTS / f"{program}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    stamp = folder / "requirements.txt"
    if not stamp.exists() or stamp.read_bytes() != requirements.read_bytes():
        print(f"Installing {requirements.name} ...", file=sys.stderr, flush=True)
        _uv("venv", "--clear", "--python", sys.executable, folder)
        _uv("pip", "install", "--compile-bytecode", "--python", python, "-r", requirements)
        shutil.copyfile(requirements, stamp)
    return python


def _uv(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *arguments], env=clean_environ(), check=True
    )

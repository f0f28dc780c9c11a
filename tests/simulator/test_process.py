"""The simulator as a process: it leaves with its parent, and says in one line what it refuses."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and waits to be reaped does not."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_leaves_when_its_parent_dies() -> None:
    program = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'simulator'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    while is_alive(int(parent.stdout)):
        time.sleep(0.02)


def test_a_file_that_holds_no_scenario_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "scenario.json"
    path.write_text('{"sede": 1}')
    ended = subprocess.run(
        [sys.executable, "-m", "simulator", f"--scenario={path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "unknown sede" in line

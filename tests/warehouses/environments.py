"""Environments for programs that cannot share one: made by uv under `.venv/`, from pins."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
PROGRAMS = FOLDER / "programs"
PINS = FOLDER / "pins"
ENVIRONMENTS = FOLDER.parents[1] / ".venv" / "warehouses"
INSTALLATION_SECONDS = 300

needs_python_3_11 = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11),
    reason="target-bigquery runs on no newer Python than 3.11, and the emulators on no older one",
)
"""For every test that needs an environment: there, whatever cannot be installed is a failure."""


def environment(name: str) -> Path:
    """Return the folder with an environment's programs, installed if it is missing or has changed.

    Args:
        name: of the file in `pins/`, without its ending.
    """
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    folder = ENVIRONMENTS / name
    stamp = folder / "stamp"
    pins = PINS / f"{name}.txt"
    wanted = f"{ENVIRONMENTS} {sys.version}\n{pins.read_text('utf-8')}"
    # Two files of tests may need it at the same time, in two processes.
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            _uv("venv", "--clear", f"--python={sys.executable}", str(folder))
            python = folder / "bin" / "python"
            _uv("pip", "sync", "--require-hashes", f"--python={python}", str(pins))
            stamp.write_text(wanted, "utf-8")
    return folder / "bin"


def _uv(*arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *arguments],
        timeout=INSTALLATION_SECONDS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout

"""For tests that build, install or load: a copy of the repository, and programs that end."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent.parent

MADE_LOCALLY = shutil.ignore_patterns(
    *(".git", ".hypothesis", ".meltano", ".*_cache", ".tools", ".venv"),
    *("*.egg-info", "__pycache__", "build", "dist", "output"),
)


def copy_checkout(folder: Path) -> Path:
    """Copy the repository as a fresh clone has it, and return the copy's folder."""
    shutil.copytree(ROOT, folder, ignore=MADE_LOCALLY)
    return folder


def run_program(
    *command: str | Path,
    folder: Path = ROOT,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    exit_code: int = 0,
) -> str:
    """Run a program to its end, and return what it wrote; its errors, too, if it is to fail.

    ``env`` is all that it sees, None our own; ``exit_code`` is what it has to end with.
    """
    result = subprocess.run(
        command, cwd=folder, env=env, input=stdin, capture_output=True, text=True, check=False
    )
    assert result.returncode == exit_code, result.stdout + result.stderr
    return result.stdout + (result.stderr if exit_code else "")

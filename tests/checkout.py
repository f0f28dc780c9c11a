"""A copy of the repository as a fresh clone has it, for tests that build, install or load there."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent

MADE_LOCALLY = shutil.ignore_patterns(
    ".git",
    ".hypothesis",
    ".meltano",
    ".*_cache",
    ".tools",
    ".venv",
    "*.egg-info",
    "__pycache__",
    "build",
    "dist",
    "output",
)


def copy_checkout(folder: Path) -> Path:
    """Copy the repository without what work on it leaves behind, and return the copy's folder."""
    shutil.copytree(ROOT, folder, ignore=MADE_LOCALLY)
    return folder

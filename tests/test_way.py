"""A window's way through the code is as short as it was made: few files, and few functions."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.checkout import ROOT

MOST_FILES = 22
MOST_FUNCTIONS = 142


def test_a_sync_of_one_account_passes_few_files_and_functions() -> None:
    """More of them are no error, but the reader's loss: `python -m dev.way --list` names them."""
    command = [sys.executable, "-m", "dev.way", "--rows", "30"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = re.fullmatch(r"30 rows: (\d+) files, (\d+) functions, \d+ changes\n", told)
    assert found, told
    files, functions = map(int, found.groups())
    assert files <= MOST_FILES
    assert functions <= MOST_FUNCTIONS

"""Installs all that is needed and runs the tests: `python3 dev/test.py`.

Arguments are passed on to pytest: `python3 dev/test.py -k lookback`.
"""

from __future__ import annotations

import sys

import bootstrap

if __name__ == "__main__":
    # A file of tests stays in one process: many share a simulator, or the plugins of Meltano. The
    # order of the files is that of tests/conftest.py.
    spread = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    sys.exit(bootstrap.call(["-m", "pytest", *spread, *sys.argv[1:]]))

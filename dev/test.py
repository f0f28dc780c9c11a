"""Installs all that is needed and runs the tests: `python3 dev/test.py`.

With `--all` it also runs those that install or run other programs, such as Meltano and the loaders.
Other arguments are passed on to pytest: `python3 dev/test.py -k lookback`.
"""

from __future__ import annotations

import sys

import bootstrap

# A marker expression takes the place of the one in pyproject.toml.
ALL = ["-m", "not long"]

if __name__ == "__main__":
    arguments = [part for each in sys.argv[1:] for part in (ALL if each == "--all" else [each])]
    # A process takes the next test when it is done with one; tests/conftest.py says which stay
    # together and which come first. A third process works while two wait for what they started.
    spread = ["-n", "3", "--no-loadscope-reorder"]
    sys.exit(bootstrap.call(["-m", "pytest", *spread, *arguments]))

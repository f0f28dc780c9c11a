"""Installs all that is needed and shows the tap at work: `python3 dev/demo.py`.

The simulator stands in for Zoom. `--again` goes on from the last demo, as the next scheduled run
would. What happens is in demo_steps.py, which runs in the environment that is made here.
"""

from __future__ import annotations

import sys

import bootstrap

if __name__ == "__main__":
    sys.exit(bootstrap.call(["dev/demo_steps.py", *sys.argv[1:]]))

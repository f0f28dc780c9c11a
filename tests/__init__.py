"""Tests that read like the promises which they check; `python3 dev/test.py` runs them.

They can import the scripts of `dev/`, which find their neighbours in their own folder.
"""

import sys
from pathlib import Path

# As the last place: test.py there must not hide a module of Python's.
sys.path.append(str(Path(__file__).parent.parent / "dev"))

"""Runs target-bigquery without its waits: it gives BigQuery half a minute to know its new tables.

Started as `target-bigquery` is.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

from target_bigquery import core
from target_bigquery.target import TargetBigQuery

# The emulator knows a table at once.
core.time = SimpleNamespace(strftime=time.strftime, time=time.time, sleep=lambda _: None)

if __name__ == "__main__":
    TargetBigQuery.cli()

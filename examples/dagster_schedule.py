"""Loads the Zoom Contact Center every hour, under Dagster.

One worker reaches Zoom's rate limit by itself. For more of them, see WORKERS below. In the
project's folder, with Dagster installed:

    dagster dev -f examples/dagster_schedule.py
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import (
    DefaultScheduleStatus,
    Definitions,
    GraphDefinition,
    ScheduleDefinition,
    op,
)

if TYPE_CHECKING:
    from dagster import OpDefinition

PROJECT = Path(__file__).resolve().parent.parent
# Where the target is slow, more of them run side by side, as docs/scaling-out.md says:
# ("tap-zoom-cc-shard-1", "tap-zoom-cc-shard-2").
WORKERS = ("tap-zoom-cc",)
LOADER = "target-postgres"


def worker(extractor: str) -> OpDefinition:
    """Return the step that runs one extractor; a run that missed something fails it."""

    def load() -> None:
        subprocess.run(["meltano", "run", extractor, LOADER], cwd=PROJECT, check=True)

    return op(name=extractor.replace("-", "_"))(load)


load_zoom_cc = GraphDefinition(
    name="load_zoom_cc", node_defs=[worker(extractor) for extractor in WORKERS]
).to_job()

hourly = ScheduleDefinition(
    name="zoom_cc_hourly",
    job=load_zoom_cc,
    cron_schedule="@hourly",
    default_status=DefaultScheduleStatus.RUNNING,
)

definitions = Definitions(jobs=[load_zoom_cc], schedules=[hourly])

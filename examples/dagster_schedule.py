"""Loads the Zoom Contact Center every hour with two workers side by side, under Dagster.

The workers are the extractors tap-zoom-cc-shard-1 and tap-zoom-cc-shard-2 of meltano.yml: each has
accounts and state of its own, and a part of the rate limit that they share. What they load into has
to take several writers at a time. In the project's folder, with Dagster installed:

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
WORKERS = ("tap-zoom-cc-shard-1", "tap-zoom-cc-shard-2")
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

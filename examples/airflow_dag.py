"""Loads the Zoom Contact Center every hour, under Airflow 3.

One worker reaches Zoom's rate limit by itself. For more of them, see WORKERS below. Copy this file
into Airflow's folder of DAGs, and name the folder of meltano.yml in the variable
MELTANO_PROJECT_ROOT of Airflow's environment. Meltano needs an environment of its own: its `bin`
has to be on Airflow's PATH.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PROJECT = os.environ["MELTANO_PROJECT_ROOT"]
# Where the target is slow, more of them run side by side, as docs/scaling-out.md says:
# ("tap-zoom-cc-shard-1", "tap-zoom-cc-shard-2").
WORKERS = ("tap-zoom-cc",)
LOADER = "target-postgres"

with DAG(
    dag_id="zoom_cc_hourly",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    # The state knows what has been read: a run that was missed is made up for by the next one.
    catchup=False,
    # Two runs of one worker at a time would read the same and write its state by turns.
    max_active_runs=1,
):
    for worker in WORKERS:
        BashOperator(
            task_id=worker.replace("-", "_"),
            # A run that missed something ends with an exit code other than 0, which fails the task.
            bash_command=f"meltano run {worker} {LOADER}",
            cwd=PROJECT,
            append_env=True,
            # The tap itself sends requests again. A task that failed goes on from the state.
            retries=1,
            retry_delay=timedelta(minutes=10),
        )

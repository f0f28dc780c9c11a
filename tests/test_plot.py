"""The picture shows what was loaded: each engagement in its hour and in each of its queues.

A field of the picture is an hour of the week, and has the mean of all weeks that were loaded.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from simulator.scenario import STREAMS, Account, Scenario
from tests.meltano_project import ROOT, MeltanoProject, shared_plugins

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from tests.harness.singer import Record

pytestmark = pytest.mark.programs

HOUR = timedelta(hours=1)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HISTORY_END = datetime(2024, 1, 15, tzinfo=timezone.utc)
SCENARIO = Scenario(
    accounts=(Account(id="pLoTtEdAcCoUnT0000001", sms=50, voice_calls=200),),
    history_end=HISTORY_END,
)
COUNT = """
import json, sys, pathlib, plot
counts = plot.read(pathlib.Path(sys.argv[1]), sys.argv[2])
print(json.dumps([[count.hour.isoformat(), count.queue, count.engagements] for count in counts]))
"""
WEEKS = """
import json, sys, pathlib, datetime, plot
counts = plot.read(pathlib.Path(sys.argv[1]), "voice_calls")
begin, end = (datetime.datetime.fromisoformat(text) for text in sys.argv[2:])
week = plot.week_of((count for count in counts if begin <= count.hour < end), begin, end)
print(json.dumps([week.means, week.total, week.busiest]))
"""


@pytest.fixture
def folder(simulator: SimulatorProcess, tmp_path: Path) -> Path:
    """Give a folder with what target-jsonl writes; some rows twice, as after a lookback."""
    simulator.replace(SCENARIO)
    for stream in STREAMS:
        rows = simulator.truth(stream)
        lines = [json.dumps(row) + "\n" for row in [*rows, *rows[-5:]]]
        (tmp_path / f"{stream}.jsonl").write_text("".join(lines), "utf-8")
    return tmp_path


def run_plot(*arguments: str | Path, folder: Path) -> str:
    """Run the script, or Python with what the script needs, and return what it wrote."""
    result = subprocess.run(
        [sys.executable, "-m", "uv", "run", "--no-project", *arguments],
        cwd=ROOT / "dev",
        env={**os.environ, "MPLCONFIGDIR": str(folder / "matplotlib")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def queues_of(row: Record) -> list[str]:
    """Return the names under which a row is counted."""
    queues = row.get("queues") or [{"queue_name": "no queue"}]
    return [queue.get("queue_name") or "unnamed queue" for queue in queues]


def test_a_picture_is_drawn_and_counts_each_engagement_once_in_each_of_its_queues(
    folder: Path, simulator: SimulatorProcess
) -> None:
    picture = folder / "picture.png"

    run_plot("plot.py", folder, picture, folder=folder)

    assert picture.read_bytes().startswith(b"\x89PNG")
    for stream in STREAMS:
        packages = ("--with=duckdb", "--with=matplotlib")
        output = run_plot(*packages, "python", "-c", COUNT, folder, stream, folder=folder)
        expected = Counter(
            (f"{row['start_time'][:13]}:00:00", queue)
            for row in simulator.truth(stream)
            for queue in queues_of(row)
        )
        assert {(hour, queue): count for hour, queue, count in json.loads(output)} == expected


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (datetime(2024, 1, 1), datetime(2024, 1, 15)),  # noqa: DTZ001 - as the database has them
        (datetime(2024, 1, 3, 7), datetime(2024, 1, 13, 20)),  # noqa: DTZ001
        (datetime(2024, 1, 5, 9), datetime(2024, 1, 6, 15)),  # noqa: DTZ001
    ],
    ids=["two weeks", "ten days", "thirty hours"],
)
def test_a_field_is_the_mean_of_the_weeks_that_were_loaded(
    begin: datetime, end: datetime, folder: Path, simulator: SimulatorProcess
) -> None:
    program = ("--with=duckdb", "--with=matplotlib", "python", "-c", WEEKS)
    output = run_plot(*program, folder, begin.isoformat(), end.isoformat(), folder=folder)
    means, total, (mean, name) = json.loads(output)

    came: Counter[tuple[int, int]] = Counter()
    for row in simulator.truth("voice_calls"):
        start = datetime.fromisoformat(row["start_time"]).replace(tzinfo=None)
        if begin <= start < end:
            came[start.weekday(), start.hour] += len(queues_of(row))
    loaded = Counter(
        (hour.weekday(), hour.hour)
        for hour in (begin + number * HOUR for number in range((end - begin) // HOUR))
    )
    for day in range(7):
        for hour in range(24):
            if loaded[day, hour]:
                assert means[day][hour] == came[day, hour] / loaded[day, hour]
            else:
                assert math.isnan(means[day][hour])
    assert total == came.total()
    busiest = {field: came[field] / loaded[field] for field in came}
    first = min(field for field in busiest if busiest[field] == max(busiest.values()))
    assert (mean, name) == (busiest[first], f"{DAYS[first[0]]} {first[1]:02}:00")


def test_the_picture_can_be_one_of_the_last_days(folder: Path) -> None:
    picture = folder / "picture.svg"

    run_plot("plot.py", folder, picture, "--days", "2", folder=folder)

    assert "2024-01-12 to 2024-01-14" in picture.read_text("utf-8")


def test_meltano_draws_what_was_loaded(
    folder: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = MeltanoProject(tmp_path / "project", shared_plugins(tmp_path_factory))
    (project.folder / "dev").symlink_to(ROOT / "dev")
    project.configure("plot", {"store": folder})

    # `meltano invoke plot:hours` is run by tests/test_commands.py.
    project.meltano("run", "plot:hours")

    picture = project.output / "engagements_per_hour.png"
    assert picture.read_bytes().startswith(b"\x89PNG")

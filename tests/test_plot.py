"""The picture shows what was loaded: each engagement in its hour and in each of its queues.

A field of the picture is an hour of the week, and has the mean of all weeks that were loaded.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import sys
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from simulator.scenario import STREAMS, Account, Scenario
from tests.checkout import ROOT, run_program
from tests.harness.pages import run_block
from tests.postgres_server import DATABASE, HOST, USER, loader_settings

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream
    from tests.meltano_project import MeltanoProject

pytestmark = pytest.mark.programs

HOUR = timedelta(hours=1)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SCENARIO = Scenario(
    accounts=(Account(id="pLoTtEdAcCoUnT0000001", sms=50, voice_calls=2500),),
    history_end=datetime(2024, 10, 30, tzinfo=timezone.utc),
)
# The picture's script needs what the environment of the tests has not.
PACKAGES = ("--with=duckdb", "--with=matplotlib", "--with=psycopg[binary]")
WEEKS = """
import json, sys, datetime, zoneinfo, plot, queue_counts
counts = queue_counts.read(sys.argv[1], "zoom_cc", "voice_calls")
for case in json.loads(sys.argv[2]):
    begin, end = (datetime.datetime.fromisoformat(text) for text in case[:2])
    shown = [count for count in counts if begin <= count.begin < end]
    week = plot.week_of(shown, begin, end, zoneinfo.ZoneInfo(case[2]))
    print(json.dumps([week.means, week.total, week.busiest]))
"""
WEEKS_SHOWN = (
    ("2024-01-05T09:00+00:00", "2024-01-06T15:00+00:00", "UTC"),
    # Its hours begin at a quarter past those of UTC.
    ("2024-01-01T00:15+00:00", "2024-01-14T23:15+00:00", "Asia/Kathmandu"),
    # Clocks were set forward on 31 March, and back on 27 October.
    ("2024-03-25T00:00+00:00", "2024-04-02T00:00+00:00", "Europe/Berlin"),
    ("2024-10-21T00:00+00:00", "2024-10-29T00:00+00:00", "Europe/Berlin"),
)
"""Ranges of whole hours of a time zone: begin, end and zone."""


@pytest.fixture
def folder(simulator: SimulatorProcess, tmp_path: Path) -> Path:
    """Give a folder with what target-jsonl writes; some rows twice, as after a lookback."""
    simulator.replace(SCENARIO)
    for stream in STREAMS:
        rows = simulator.truth(stream)
        lines = [json.dumps(row) + "\n" for row in [*rows, *rows[-5:]]]
        (tmp_path / f"{stream}.jsonl").write_text("".join(lines), "utf-8")
    return tmp_path


def run_plot(*arguments: str | Path, folder: Path, exit_code: int = 0) -> str:
    """Run the script, or Python with what the script needs, and return what it wrote."""
    uv = (sys.executable, "-m", "uv", "run", "--no-project")
    env = {**os.environ, "MPLCONFIGDIR": str(folder / "matplotlib")}
    return run_program(*uv, *arguments, folder=ROOT / "dev", env=env, exit_code=exit_code)


def visits(simulator: SimulatorProcess, stream: Stream) -> list[tuple[datetime, str]]:
    """Return when each engagement began, in UTC, and its queue, once for each of its queues."""
    return [
        (instant.astimezone(timezone.utc), queue.get("queue_name") or "unnamed queue")
        for row in simulator.truth(stream)
        for instant in (datetime.fromisoformat(row["start_time"]),)
        for queue in row.get("queues") or [{"queue_name": "no queue"}]
    ]


def assert_counted(store: str | Path, simulator: SimulatorProcess) -> None:
    """Assert that the script counts in a store what the simulator has, by quarter of an hour."""
    import queue_counts  # noqa: PLC0415 (it imports psycopg, which takes a third of a second)

    for stream in STREAMS:
        counts = queue_counts.read(str(store), "zoom_cc", stream)
        assert {(count.begin, count.queue): count.engagements for count in counts} == Counter(
            (begin.replace(minute=begin.minute // 15 * 15, second=0, microsecond=0), queue)
            for begin, queue in visits(simulator, stream)
        )


def test_an_engagement_counts_once_in_each_of_its_queues_and_a_field_is_the_mean_of_its_weeks(
    folder: Path, simulator: SimulatorProcess
) -> None:
    assert_counted(folder, simulator)

    program = (*PACKAGES, "python", "-c", WEEKS)
    output = run_plot(*program, folder, json.dumps(WEEKS_SHOWN), folder=folder)

    instants = [begin for begin, _ in visits(simulator, "voice_calls")]
    for (begin, end, zone), line in zip(WEEKS_SHOWN, output.splitlines(), strict=True):
        first, last = datetime.fromisoformat(begin), datetime.fromisoformat(end)
        hours = [first + number * HOUR for number in range((last - first) // HOUR)]
        loaded = Counter(hour_of_week(hour, zone) for hour in hours)
        came = Counter(hour_of_week(each, zone) for each in instants if first <= each < last)
        means, total, busiest = json.loads(line)
        fields = {field: came[field] / loaded[field] for field in loaded}
        for day, hour in itertools.product(range(7), range(24)):
            mean = fields.get((day, hour))
            assert means[day][hour] == mean or (mean is None and math.isnan(means[day][hour]))
        assert total == came.total() > 0
        day, hour = min(field for field in fields if fields[field] == max(fields.values()))
        assert busiest == [fields[day, hour], f"{DAYS[day]} {hour:02}:00"]


def hour_of_week(instant: datetime, zone: str) -> tuple[int, int]:
    """Return the weekday and the hour on the clocks of a time zone."""
    local = instant.astimezone(ZoneInfo(zone))
    return local.weekday(), local.hour


def test_the_picture_can_be_of_the_last_days_and_by_the_hours_of_a_time_zone(folder: Path) -> None:
    picture = folder / "picture.svg"
    run_plot("plot.py", folder, picture, "--days=2", "--zone=Pacific/Auckland", folder=folder)
    text = picture.read_text("utf-8")
    assert "by weekday and hour (Pacific/Auckland)" in text
    assert re.search(r"2024-10-2\d to 2024-10-[23]\d", text)


def test_what_is_not_there_or_holds_nothing_is_said_in_one_line(tmp_path: Path) -> None:
    for store, message in (
        (tmp_path / "nowhere", f"There is no {tmp_path}/nowhere: load something first."),
        (tmp_path, "Neither calls nor SMS were loaded there."),
        ("postgresql://me:secret@127.0.0.1:1/zoom", "PostgreSQL could not be read: "),
    ):
        error = run_plot("plot.py", store, tmp_path / "a.png", folder=tmp_path, exit_code=1)
        # On a slow machine Matplotlib says that it makes a cache.
        (line,) = [line for line in error.splitlines() if not line.startswith("Matplotlib ")]
        assert line.startswith(message)
        assert "secret" not in error
    error = run_plot("plot.py", ".", "a.png", "--zone=CEST+1", folder=tmp_path, exit_code=2)
    assert "there is no time zone 'CEST+1'; write it as in Europe/Berlin" in error


def test_the_picture_from_postgresql_is_drawn_as_its_page_says(
    project: MeltanoProject, simulator: SimulatorProcess, postgres_port: int
) -> None:
    account = replace(SCENARIO.accounts[0], voice_calls=200)
    simulator.replace(replace(SCENARIO, accounts=(account,)))
    dates = {"start_date": SCENARIO.history_begin.date(), "end_date": SCENARIO.history_end}
    project.configure("tap-zoom-cc", dates)
    project.configure("target-postgres", loader_settings(postgres_port))
    (project.folder / "dev").symlink_to(ROOT / "dev")
    address = f"postgresql://{USER}@{HOST}:{postgres_port}/{DATABASE}"
    project.install_named_in("plot")
    project.meltano("run", "tap-zoom-cc", "target-postgres")

    shown = f"postgresql://me@localhost/zoom={address}"
    result = run_block("picture from PostgreSQL", project.folder, project.env, address=shown)

    assert result.returncode == 0, result.stdout + result.stderr
    picture = project.output / "engagements_per_hour.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert_counted(address, simulator)

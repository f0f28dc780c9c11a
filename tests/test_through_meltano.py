"""What Meltano makes of the settings and of the log: nothing is guessed, and nothing is drowned."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from tap_zoom_cc.zoom.instants import parse_instant

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.meltano_project import MeltanoProject

pytestmark = pytest.mark.programs


def set_in_meltano_yml(project: MeltanoProject, setting: str, value: str) -> None:
    """Set a setting of the tap where most projects have theirs: under ``config``."""
    text = project.definition.read_text("utf-8")
    place = "    executable: tap-zoom-cc\n"
    assert text.count(place) == 1
    lines = f"{place}    config:\n      {setting}: {value}\n"
    project.definition.write_text(text.replace(place, lines), encoding="utf-8")


def test_a_date_that_could_be_meant_in_two_ways_is_refused(
    project: MeltanoProject, simulator: SimulatorProcess
) -> None:
    project.configure("tap-zoom-cc", {"start_date": "03.04.2026"})
    set_in_meltano_yml(project, "end_date", "yesterday")

    log = project.meltano("invoke", "tap-zoom-cc", fails=True)

    for setting, value in (("start_date", "03.04.2026"), ("end_date", "yesterday")):
        said = f"{setting}: must be a date (2026-01-31) or a date-time"
        (line,) = [line for line in log.splitlines() if said in line]
        assert f"not '{value}'" in line
    assert not simulator.stats().log, "Zoom was asked for something"


@pytest.mark.parametrize("value", ["2026-01-31", "'2026-01-31'", "'2026-01-31T01:00:00+01:00'"])
def test_a_date_in_meltano_yml_is_the_same_instant_for_the_tap(
    project: MeltanoProject, value: str
) -> None:
    # Without the quotes Meltano 4.4 drops the offset of a date-time, and keeps its clock time.
    set_in_meltano_yml(project, "start_date", value)

    printed = project.meltano("--log-level=error", "config", "print", "tap-zoom-cc")

    start_date = json.loads(printed)["start_date"]
    assert parse_instant(start_date) == datetime(2026, 1, 31, tzinfo=timezone.utc)


def test_the_streams_are_listed_without_credentials_and_without_a_warning(
    project: MeltanoProject,
) -> None:
    for setting in ("ACCOUNT_ID", "CLIENT_ID", "CLIENT_SECRET"):
        del project.env[f"TAP_ZOOM_CC_{setting}"]

    listed = project.meltano("select", "--list", "tap-zoom-cc")

    assert "sms.engagement_id" in listed
    assert "warning" not in listed.lower()
    assert "validation" not in listed

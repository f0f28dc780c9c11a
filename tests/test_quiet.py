"""The rule by which an account that is quiet rests, and what follows from it: pure."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import pytest

from tap_zoom_cc.rows.decoder import RowDecoder
from tap_zoom_cc.run.report import Report, Tally
from tap_zoom_cc.run.stopping import Stop
from tap_zoom_cc.sync.bookmarks import (
    in_order,
    is_at_rest,
    lag_of,
    longest_rest,
    rest_of,
    silent_from,
)
from tap_zoom_cc.sync.window_rows import Emitter, WindowRows
from tap_zoom_cc.sync.windows import MINUTE, SECOND, Window
from tap_zoom_cc.zoom.filters import SCHEMAS
from tests.harness.history import BEGIN, DAY, HOUR
from tests.harness.singer import state_of
from tests.test_window_rows import Page

if TYPE_CHECKING:
    from datetime import timedelta

NOW = BEGIN + 40 * DAY
LATE = datetime(2100, 1, 1, tzinfo=NOW.tzinfo)

SILENCE, REST = 16 * HOUR, 2 * HOUR
(PARTITION,) = state_of("sms", {"quiet": NOW.isoformat()})["sms"]["partitions"]
PARTITION["quiet_since"] = (NOW - SILENCE).isoformat()


@pytest.mark.parametrize(
    ("silence", "rest"),
    [
        (16 * HOUR, 2 * HOUR),
        (48 * HOUR, 6 * HOUR),
        (49 * HOUR, 6 * HOUR),
        (HOUR, 7.5 * MINUTE),
        (0 * HOUR, 0 * HOUR),
        (-HOUR, 0 * HOUR),
    ],
    ids=str,
)
def test_a_rest_is_an_eighth_of_the_silence_and_at_most_the_setting(
    silence: timedelta, rest: timedelta
) -> None:
    assert rest_of(NOW, NOW - silence, 6 * HOUR) == rest


def test_there_is_no_rest_where_nobody_knows_since_when_it_is_silent() -> None:
    assert rest_of(NOW, None, 6 * HOUR) == 0 * HOUR


def test_silence_begins_with_the_latest_end_that_was_seen() -> None:
    window = Window(NOW - DAY, NOW)
    end = NOW + HOUR
    assert silent_from(None, window, None, end=end) == NOW - DAY, "nothing has been seen yet"
    assert silent_from(None, window, NOW - HOUR, end=end) == NOW - HOUR
    assert silent_from(NOW - 2 * DAY, window, None, end=end) == NOW - 2 * DAY
    assert silent_from(NOW - 2 * DAY, window, NOW - HOUR, end=end) == NOW - HOUR
    assert silent_from(NOW - HOUR, window, NOW - 2 * HOUR, end=end) == NOW - HOUR, "found late"
    assert silent_from(NOW - HOUR, window, LATE, end=end) == end, "an end that cannot be"


@pytest.mark.parametrize(
    ("end_date", "rest"), [(None, 6 * HOUR), (NOW + SECOND, 6 * HOUR), (NOW, 0 * HOUR)]
)
def test_nothing_rests_when_the_end_date_has_passed(
    end_date: datetime | None, rest: timedelta
) -> None:
    assert longest_rest(6 * HOUR, end_date=end_date, now=NOW) == rest


@pytest.mark.parametrize(("after", "rests"), [(REST - SECOND, True), (REST, False)])
def test_a_rest_ends_to_the_second(after: timedelta, *, rests: bool) -> None:
    assert is_at_rest(PARTITION, 6 * HOUR, end=NOW + after) == rests


def test_accounts_come_in_order_of_how_long_they_wait() -> None:
    (busy,) = state_of("sms", {"busy": (NOW + HOUR).isoformat()})["sms"]["partitions"]
    states = {"rested": PARTITION, "busy": busy}
    assert in_order(["rested", "busy", "new"], states, 6 * HOUR) == ["new", "busy", "rested"]


@pytest.mark.parametrize(
    ("times", "silent_from"),
    [
        ({"end_time": NOW - HOUR}, NOW - HOUR),
        ({}, NOW),
        ({"end_time": NOW - 9 * HOUR}, NOW - 2 * HOUR),
    ],
    ids=["an end", "none", "an end before the start"],
)
def test_an_engagement_without_an_end_counts_as_its_windows_end(
    times: dict[str, datetime], silent_from: datetime
) -> None:
    row = {"engagement_id": "one", "start_time": NOW - 2 * HOUR, **times}
    rows = WindowRows(Window(NOW - DAY, NOW))
    rows.add(Page([msgspec.Raw(msgspec.json.encode(row))], 1))
    emitter = Emitter(
        account_id="quiet",
        where="sms, account quiet",
        decoder=RowDecoder(SCHEMAS.get_schema("sms"), lambda *_: None),
        report=Report(logging.getLogger(), 5),
        tally=Tally(),
        stop=Stop(),
        accepts_less=False,
    )
    assert len(list(emitter.records(rows))) == 1
    assert emitter.last_end == silent_from


@pytest.mark.parametrize(("after", "behind"), [(DAY, 0), (DAY + SECOND, 1)])
def test_an_account_is_behind_a_day_after_its_rest_has_ended(after: timedelta, behind: int) -> None:
    lag = lag_of({"quiet": PARTITION}, end=NOW + REST + after, longest_rest=6 * HOUR)
    assert len(lag.behind) == behind
    assert lag.age == after


def test_an_account_at_rest_has_no_age() -> None:
    assert lag_of({"quiet": PARTITION}, end=NOW + HOUR, longest_rest=6 * HOUR).age == 0 * HOUR

"""A clock that is ahead of Zoom's moves no bookmark past engagements that have yet to happen."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from tests.harness.raw_server import serving
from tests.harness.singer import bookmarks, state_of
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.singer import State
    from tests.harness.tap import TapRun

HOUR = timedelta(hours=1)


class Zoom(ThreadingHTTPServer):
    """Answers every page without rows, at a time of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.now = datetime.now(timezone.utc).replace(microsecond=0)
        self.expires_in: float | str | None = 3600
        self.tokens = 0
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Zoom

    @override
    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.server.now, usegmt=True)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer({"sms": [], "voice_calls": [], "next_page_token": "", "total_records": 0})

    def do_POST(self) -> None:
        self.server.tokens += 1
        self._answer({"access_token": "token", "expires_in": self.server.expires_in})

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def zoom() -> Iterator[Zoom]:
    with Zoom() as server, serving(server):
        yield server


def run(zoom: Zoom, state: State | None = None) -> TapRun:
    config = {
        "account_id": "master",
        "client_id": "id",
        "client_secret": "secret",
        "sub_account_ids": ["one"],
        "api_url": f"{zoom.url}/v2",
        "token_url": f"{zoom.url}/oauth/token",
        "requests_per_second": 1000,
    }
    return run_tap(config, state=state)


def test_a_clock_that_is_ahead_lets_no_account_look_behind(zoom: Zoom) -> None:
    zoom.now -= 48 * HOUR
    summaries = [line for line in run(zoom).lines if "Summary of " in line]
    assert len(summaries) == 2
    for line in summaries:
        assert f"0 behind by more than a day, oldest bookmark {zoom.now.isoformat()}" in line


def test_a_clock_that_is_ahead_moves_bookmarks_to_zooms_time_only(zoom: Zoom) -> None:
    zoom.now -= HOUR
    result = run(zoom).check()
    assert bookmarks(result.state, "sms") == {"one": zoom.now.isoformat()}
    (warning,) = [line for line in result.logged("WARNING") if "clock" in line]
    assert "ahead of Zoom's" in warning


def test_a_clock_that_is_behind_is_believed(zoom: Zoom) -> None:
    zoom.now += HOUR
    began = datetime.now(timezone.utc).replace(microsecond=0)
    result = run(zoom).check()
    (bookmark,) = bookmarks(result.state, "sms").values()
    assert began <= datetime.fromisoformat(bookmark) <= datetime.now(timezone.utc)
    assert not [line for line in result.logged("WARNING") if "clock" in line]


@pytest.mark.parametrize("year", [1970, 9999])
def test_a_date_that_is_no_time_is_not_believed(zoom: Zoom, year: int) -> None:
    zoom.now = zoom.now.replace(year=year, month=1, day=1)
    began = datetime.now(timezone.utc).replace(microsecond=0)
    result = run(zoom).check()
    (bookmark,) = bookmarks(result.state, "sms").values()
    assert began <= datetime.fromisoformat(bookmark) <= datetime.now(timezone.utc)


def test_a_run_that_reads_nothing_because_zooms_clock_lies_before_the_bookmark_is_not_green(
    zoom: Zoom,
) -> None:
    bookmark = zoom.now.isoformat()
    zoom.now -= 3 * 24 * HOUR
    result = run(zoom, {"bookmarks": state_of("sms", {"one": bookmark})}).check(1)
    assert any("sms, account one" in line and "clock" in line for line in result.logged("ERROR"))
    assert bookmarks(result.state, "sms") == {"one": bookmark}


@pytest.mark.parametrize("expires_in", [0, -1, None, 0.001, "3600"])
def test_a_token_is_used_for_a_while_whatever_its_answer_says(
    zoom: Zoom, expires_in: float | str | None
) -> None:
    zoom.expires_in = expires_in
    run(zoom).check()
    assert zoom.tokens == 1

"""A clock that is ahead of Zoom's moves no bookmark past engagements that have yet to happen."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from tests.harness.singer import bookmarks
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.tap import TapRun

HOUR = timedelta(hours=1)


class Zoom(ThreadingHTTPServer):
    """Answers every page without rows, at a time of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.now = datetime.now(timezone.utc).replace(microsecond=0)
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
        self._answer({"access_token": "token", "expires_in": 3600})

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def zoom() -> Iterator[Zoom]:
    with Zoom() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def run(zoom: Zoom) -> TapRun:
    config = {
        "account_id": "master",
        "client_id": "id",
        "client_secret": "secret",
        "sub_account_ids": ["one"],
        "api_url": f"{zoom.url}/v2",
        "token_url": f"{zoom.url}/oauth/token",
    }
    return run_tap(config).check()


def test_a_clock_that_is_ahead_moves_bookmarks_to_zooms_time_only(zoom: Zoom) -> None:
    zoom.now -= HOUR
    result = run(zoom)
    assert bookmarks(result.state, "sms") == {"one": zoom.now.isoformat()}
    (warning,) = [line for line in result.logged("WARNING") if "clock" in line]
    assert "ahead of Zoom's" in warning


def test_a_clock_that_is_behind_is_believed(zoom: Zoom) -> None:
    zoom.now += HOUR
    began = datetime.now(timezone.utc).replace(microsecond=0)
    result = run(zoom)
    (bookmark,) = bookmarks(result.state, "sms").values()
    assert began <= datetime.fromisoformat(bookmark) <= datetime.now(timezone.utc)
    assert not [line for line in result.logged("WARNING") if "clock" in line]

"""The SDK's standard test suite, whole, on the tap against the simulator."""

from __future__ import annotations

import socket
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest
from singer_sdk.testing import get_tap_test_class

from simulator.process import SimulatorProcess
from simulator.scenario import Account, Clock, Scenario
from tap_zoom_cc.tap import TapZoomCC

if TYPE_CHECKING:
    from collections.abc import Iterator


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on.

    The suite wants its settings when tests are collected, before a fixture can start anything.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


PORT = free_port()

SCENARIO = Scenario(
    accounts=(
        Account(id="sUiTeAcCoUnT00000000001", sms=60, voice_calls=60),
        Account(id="sUiTeAcCoUnT00000000002", sms=5, voice_calls=5),
    ),
    clock=Clock(now=datetime(2024, 2, 15, tzinfo=timezone.utc)),
)


@pytest.fixture(scope="module", autouse=True)
def simulator_on_port() -> Iterator[None]:
    """Serve the suite's engagements."""
    with SimulatorProcess(SCENARIO, port=PORT):
        yield


TestTapZoomCC = get_tap_test_class(
    TapZoomCC,
    config={
        "account_id": SCENARIO.account_id,
        "client_id": SCENARIO.client_id,
        "client_secret": SCENARIO.client_secret,
        "api_url": f"http://127.0.0.1:{PORT}/v2",
        "token_url": f"http://127.0.0.1:{PORT}/oauth/token",
        "start_date": "2024-01-01",
        "end_date": "2024-02-15",
        "requests_per_second": 100,
    },
)

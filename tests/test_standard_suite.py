"""The SDK's standard test suite, whole, on the tap against the simulator."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest
from singer_sdk.testing import get_tap_test_class

from simulator.process import SimulatorProcess
from simulator.scenario import STREAMS, Account, Clock, Scenario
from tap_zoom_cc.tap import TapZoomCC
from tests.harness.raw_server import free_port
from tests.harness.rows import assert_same_rows
from tests.harness.singer import bookmarks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.testing import TapTestRunner


PORT = free_port()
"""The suite wants its settings when tests are collected, before a fixture can start anything."""

SCENARIO = Scenario(
    accounts=(
        Account(id="sUiTeAcCoUnT00000000001", sms=60, voice_calls=60),
        Account(id="sUiTeAcCoUnT00000000002", sms=5, voice_calls=5),
    ),
    clock=Clock(now=datetime(2024, 2, 15, tzinfo=timezone.utc)),
)


@pytest.fixture(scope="module", autouse=True)
def simulator_on_port() -> Iterator[SimulatorProcess]:
    """Serve the suite's engagements."""
    with SimulatorProcess(SCENARIO, port=PORT) as simulator:
        yield simulator


_Suite = get_tap_test_class(
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


class TestTapZoomCC(_Suite):  # type: ignore[misc,valid-type] # the SDK makes the class
    """The suite, which by itself is content with a sync that reads nothing."""

    def test_every_account_was_read(
        self, runner: TapTestRunner, simulator_on_port: SimulatorProcess
    ) -> None:
        """What the suite checked are all rows that there are, with bookmarks for each account."""
        for stream in STREAMS:
            assert_same_rows(stream, runner.records[stream], simulator_on_port.truth(stream))
            accounts = bookmarks(runner.state_messages[-1]["value"], stream)
            assert accounts.keys() == {account.id for account in SCENARIO.accounts}
        listed = [row["id"] for row in runner.records["sub_accounts"]]
        assert listed == [account.id for account in SCENARIO.accounts]

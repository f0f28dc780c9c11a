"""The client works by itself, without a stream, and sends nothing that nobody waits for."""

from __future__ import annotations

import doctest
import logging
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from simulator.scenario import Account as Played
from simulator.scenario import Fault, Scenario
from tap_zoom_cc.inputs import settings_from
from tap_zoom_cc.run.report import Report
from tap_zoom_cc.run.stopping import Stop, StoppedError
from tap_zoom_cc.sync.budget import Budget
from tap_zoom_cc.sync.fetch import WindowFetcher
from tap_zoom_cc.sync.plan import WindowJob
from tap_zoom_cc.sync.windows import Window
from tap_zoom_cc.zoom import client
from tap_zoom_cc.zoom.errors import RunError
from tap_zoom_cc.zoom.pages import (
    Account,
    EngagementLog,
    NextPageTokenPaginator,
    PageReader,
    Request,
)

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess


def test_the_example_in_its_documentation_works(simulator: SimulatorProcess) -> None:
    accounts = (Played(id="one"), Played(id="two"))
    simulator.replace(replace(simulator.scenario, accounts=accounts))
    names = {
        "config": simulator.tap_config(),
        "datetime": datetime,
        "timezone": timezone,
        "logging": logging,
        "settings_from": settings_from,
        "Client": client.Client,
        "Request": Request,
        "Stop": Stop,
        "Report": Report,
        "PageReader": PageReader,
    }
    example = doctest.DocTestParser().get_doctest(client.__doc__ or "", names, "client", None, None)
    assert len(example.examples) == 3
    assert doctest.DocTestRunner().run(example).failed == 0


def test_a_request_is_not_sent_again_for_a_window_that_nobody_waits_for(
    simulator: SimulatorProcess,
) -> None:
    """An account that was given up would use up the pace of the others for minutes."""
    faults = (Fault(kind="503_json", endpoint="sms"),)
    simulator.replace(Scenario(accounts=(Played(id="one"),), faults=faults))
    settings = settings_from(simulator.tap_config(), now=datetime.now(timezone.utc))
    ours = client.Client(settings, Stop(), Report(logging.getLogger("test"), 5))
    log = EngagementLog(
        "sms",
        "/accounts/{account_id}/contact_center/sms",
        {},
        NextPageTokenPaginator(PageReader("engagements")),
    )
    now = datetime.now(timezone.utc)
    job = WindowJob(Account("one"), Window(now - timedelta(days=1), now))
    with pytest.raises(StoppedError):
        WindowFetcher(log, ours, Budget(None), now).fetch(
            job, lambda: not simulator.stats().requests.get("sms")
        )
    assert simulator.stats().requests["sms"] == {"one": 1}


def test_a_request_after_an_error_that_ended_the_run_tells_that_error(
    simulator: SimulatorProcess,
) -> None:
    settings = settings_from(simulator.tap_config(), now=datetime.now(timezone.utc))
    ours = client.Client(settings, Stop(), Report(logging.getLogger("test"), 5))
    ours.give_up(RunError("the daily limit is spent"))
    with pytest.raises(RunError, match="the daily limit is spent"):
        ours.get(Request("/accounts"), PageReader("accounts").read)

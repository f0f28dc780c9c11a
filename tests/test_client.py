"""The client works by itself, without a stream, as its documentation shows."""

from __future__ import annotations

import doctest
import logging
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from simulator.scenario import Account
from tap_zoom_cc.configuration import settings_from
from tap_zoom_cc.run.report import Report
from tap_zoom_cc.run.stopping import Stop
from tap_zoom_cc.zoom import client
from tap_zoom_cc.zoom.errors import RunError
from tap_zoom_cc.zoom.pages import PageReader, Request

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess


def test_the_example_in_its_documentation_works(simulator: SimulatorProcess) -> None:
    accounts = (Account(id="one"), Account(id="two"))
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


def test_a_request_after_an_error_that_ended_the_run_tells_that_error(
    simulator: SimulatorProcess,
) -> None:
    settings = settings_from(simulator.tap_config(), now=datetime.now(timezone.utc))
    ours = client.Client(settings, Stop(), Report(logging.getLogger("test"), 5))
    ours.give_up(RunError("the daily limit is spent"))
    with pytest.raises(RunError, match="the daily limit is spent"):
        ours.get(Request("/accounts"), PageReader("accounts").read)

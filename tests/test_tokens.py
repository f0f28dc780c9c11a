"""When the run's access token is renewed: if it may have died, not if one account refuses it."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from tap_zoom_cc.configuration import settings_from
from tap_zoom_cc.run.report import Report
from tap_zoom_cc.run.stopping import Stop
from tap_zoom_cc.zoom.api import ZoomApi

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess


@pytest.fixture
def api(simulator: SimulatorProcess) -> ZoomApi:
    """Give a run's way to Zoom."""
    config = {**simulator.tap_config(), "requests_per_second": 1000}
    settings = settings_from(config, now=datetime.now(timezone.utc))
    return ZoomApi(settings, Stop(), Report(logging.getLogger("test"), 1000))


def sent(api: ZoomApi) -> float:
    """Let a request leave, and return when it did."""
    with api.pacer.turn():
        pass
    return api.pacer.sent_at


def token_of(api: ZoomApi) -> str:
    return f"Bearer {api.authenticator.token()}"


def answered(api: ZoomApi) -> None:
    """Let another account be answered with the token of the moment."""
    sent(api)
    api.note_answer("sms, account other", token_of(api))


def test_the_first_token_that_a_request_is_refused_with_is_renewed(api: ZoomApi) -> None:
    answered(api)
    refused = token_of(api)
    sent(api)
    api.renew_token(refused, since=None)
    assert token_of(api) != refused


def test_a_token_that_has_died_since_others_were_answered_with_it_is_renewed(api: ZoomApi) -> None:
    answered(api)
    refused, first_try = token_of(api), sent(api)
    sent(api)
    api.renew_token(refused, since=first_try)
    assert token_of(api) != refused


def test_a_token_that_others_are_answered_with_meanwhile_is_kept(api: ZoomApi) -> None:
    refused, first_try = token_of(api), sent(api)
    answered(api)
    sent(api)
    api.renew_token(refused, since=first_try)
    assert token_of(api) == refused

"""When the run's access token is renewed: if it may have died, not if one account refuses it."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from tap_zoom_cc.inputs import settings_from
from tap_zoom_cc.run.report import Report
from tap_zoom_cc.run.stopping import Stop
from tap_zoom_cc.zoom.auth import RENEW_BEFORE_EXPIRY_SECONDS, ServerToServerOAuth
from tap_zoom_cc.zoom.health import Health
from tests.harness.clock import SteadyClock

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess

TOKEN = "Bearer token"


@pytest.fixture
def health() -> Health:
    """Give what is known once another account was answered with the token, at second 1."""
    health = Health()
    health.note_answer("sms, account other", TOKEN, 1.0)
    return health


def test_the_first_token_that_a_request_is_refused_with_is_renewed(health: Health) -> None:
    assert health.may_be_dead(TOKEN, since=None)


def test_a_token_that_has_died_since_others_were_answered_with_it_is_renewed(
    health: Health,
) -> None:
    assert health.may_be_dead(TOKEN, since=2.0)


def test_a_token_that_others_are_answered_with_meanwhile_is_kept(health: Health) -> None:
    assert not health.may_be_dead(TOKEN, since=0.5)


def test_a_token_that_was_renewed_meanwhile_is_not_renewed_again(
    simulator: SimulatorProcess,
) -> None:
    settings = settings_from(simulator.tap_config(), now=datetime.now(timezone.utc))
    authenticator = ServerToServerOAuth(settings, Stop(), Report(logging.getLogger("test"), 1000))
    first = authenticator.token()
    authenticator.discard(f"Bearer {first}")
    second = authenticator.token()
    assert second != first
    authenticator.discard(f"Bearer {first}")
    assert authenticator.token() == second


def test_a_token_is_renewed_before_it_expires(simulator: SimulatorProcess) -> None:
    settings = settings_from(simulator.tap_config(), now=datetime.now(timezone.utc))
    clock = SteadyClock()
    report = Report(logging.getLogger("test"), 1000)
    authenticator = ServerToServerOAuth(settings, Stop(), report, clock)
    first = authenticator.token()
    clock.now += simulator.scenario.limits.access_token_seconds - RENEW_BEFORE_EXPIRY_SECONDS - 1
    assert authenticator.token() == first
    clock.now += 1
    assert authenticator.token() != first

"""When the run's access token is renewed: if it may have died, not if one account refuses it."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from tap_zoom_cc.inputs import settings_from
from tap_zoom_cc.run.report import Report
from tap_zoom_cc.run.stopping import Stop
from tap_zoom_cc.zoom.auth import RENEW_BEFORE_EXPIRY_SECONDS, ServerToServerOAuth
from tap_zoom_cc.zoom.client import Health
from tests.harness.clock import SteadyClock
from tests.harness.raw_server import raw_server, read_head, without_proxies

if TYPE_CHECKING:
    import socket

    from simulator.process import SimulatorProcess

TOKEN = "Bearer token"


@pytest.mark.parametrize(("since", "may_be_dead"), [(None, True), (2.0, True), (0.5, False)])
def test_a_token_that_others_are_answered_with_since_it_was_refused_is_kept(
    since: float | None, *, may_be_dead: bool
) -> None:
    health = Health()
    health.note_answer("sms, account other", TOKEN, 1.0)
    assert health.may_be_dead(TOKEN, since=since) is may_be_dead


def authenticator_of(
    simulator: SimulatorProcess, clock: SteadyClock | None = None, **settings: str
) -> ServerToServerOAuth:
    given = settings_from({**simulator.tap_config(), **settings}, now=datetime.now(timezone.utc))
    report = Report(logging.getLogger("test"), 1000)
    return ServerToServerOAuth(given, Stop(), report, clock or SteadyClock())


def test_a_token_that_was_renewed_meanwhile_is_not_renewed_again(
    simulator: SimulatorProcess,
) -> None:
    authenticator = authenticator_of(simulator)
    first = authenticator.token()
    authenticator.discard(f"Bearer {first}")
    second = authenticator.token()
    assert second != first
    authenticator.discard(f"Bearer {first}")
    assert authenticator.token() == second


def test_a_token_is_renewed_before_it_expires(simulator: SimulatorProcess) -> None:
    clock = SteadyClock()
    authenticator = authenticator_of(simulator, clock)
    first = authenticator.token()
    clock.now += simulator.scenario.limits.access_token_seconds - RENEW_BEFORE_EXPIRY_SECONDS - 1
    assert authenticator.token() == first
    clock.now += 1
    assert authenticator.token() != first


@pytest.mark.parametrize("expires_in", [0, -1, None, 0.001, "3600"])
def test_a_token_is_used_for_a_while_whatever_its_answer_says(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, expires_in: float | str | None
) -> None:
    asked = []

    def grant(connection: socket.socket) -> None:
        asked.append(read_head(connection))
        body = json.dumps({"access_token": f"token{len(asked)}", "expires_in": expires_in})
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(f"{head}{body}".encode())
        read_head(connection)

    without_proxies(monkeypatch)
    clock = SteadyClock()
    with raw_server(grant) as url:
        authenticator = authenticator_of(simulator, clock, token_url=url)
        for _ in range(3):
            assert authenticator.token() == "token1"
            clock.now += 60

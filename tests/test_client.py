"""The client works by itself, without a stream, and sends nothing that nobody waits for.

Its token is renewed when it may have died, and not because one account refuses it.
"""

from __future__ import annotations

import doctest
import json
import logging
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from itertools import count
from typing import TYPE_CHECKING

import pytest

from simulator.scenario import Account as Played
from simulator.scenario import Fault, Refusal, Scenario
from tap_zoom_cc.inputs import settings_from
from tap_zoom_cc.run.report import Report
from tap_zoom_cc.run.stopping import Stop, StoppedError
from tap_zoom_cc.sync.fetch import Budget, WindowFetcher, WindowJob
from tap_zoom_cc.sync.windows import Window
from tap_zoom_cc.zoom import client, pacing
from tap_zoom_cc.zoom.auth import RENEW_BEFORE_EXPIRY_SECONDS, ServerToServerOAuth
from tap_zoom_cc.zoom.errors import AccountError, RunError
from tap_zoom_cc.zoom.pacing import Pacer
from tap_zoom_cc.zoom.pages import Account, EngagementLog, PageReader, Request
from tests.harness.clock import SteadyClock
from tests.harness.raw_server import Reply, answering, without_proxies

if TYPE_CHECKING:
    import requests

    from simulator.process import SimulatorProcess
    from tap_zoom_cc.run.settings import Settings


def play(simulator: SimulatorProcess, *faults: Fault) -> None:
    """Let the simulator have two accounts, and these faults."""
    simulator.replace(Scenario(accounts=(Played(id="one"), Played(id="two")), faults=faults))


def settings_of(simulator: SimulatorProcess, **given: object) -> Settings:
    return settings_from({**simulator.tap_config(), **given}, now=datetime.now(timezone.utc))


def client_of(
    simulator: SimulatorProcess, stop: Stop | None = None, /, **given: object
) -> client.Client:
    """Return a client of the simulator, with settings in addition."""
    report = Report(logging.getLogger("test"), 5)
    return client.Client(settings_of(simulator, **given), stop or Stop(), report)


def paced_by(clock: SteadyClock, simulator: SimulatorProcess) -> client.Client:
    """Return a client that waits for its turn, and after a refusal, on a clock of its own."""
    ours = client_of(simulator, clock)
    ours.pacer = Pacer(5, clock, clock)
    return ours


def sms_of(account_id: str) -> Request:
    where = f"sms, account {account_id}"
    path = f"/accounts/{account_id}/contact_center/sms"
    return Request(path, {"from": "2024-01-01", "to": "2024-01-02"}, where, account_id)


READ_SMS = PageReader("sms").read


def test_the_example_in_its_documentation_works(simulator: SimulatorProcess) -> None:
    play(simulator)
    names = {**globals(), "config": simulator.tap_config(), "Client": client.Client}
    example = doctest.DocTestParser().get_doctest(client.__doc__ or "", names, "client", None, None)
    assert len(example.examples) == 3
    assert doctest.DocTestRunner().run(example).failed == 0


def test_requests_bear_the_name_of_the_tap_or_that_of_the_settings(
    simulator: SimulatorProcess,
) -> None:
    answers: list[requests.Response] = []
    for given in ({}, {"user_agent": "somebody"}):
        ours = client_of(simulator, **given)
        ours.get(Request("/accounts"), PageReader("accounts").read, notice=answers.append)
    agents = [answer.request.headers["User-Agent"] for answer in answers]
    assert agents == [f"tap-zoom-cc/{version('tap-zoom-cc')}", "somebody"]


def test_a_request_is_not_sent_again_for_a_window_that_nobody_waits_for(
    simulator: SimulatorProcess,
) -> None:
    """An account that was given up would use up the pace of the others for minutes."""
    play(simulator, Fault(kind="503_json", endpoint="sms"))
    path = "/accounts/{account_id}/contact_center/sms"
    log = EngagementLog("sms", path, {}, PageReader("engagements"))
    now = datetime.now(timezone.utc)
    day = Window(now - timedelta(days=1), now)
    job = WindowJob(Account("one"), day, sync=day)
    with pytest.raises(StoppedError):
        WindowFetcher(log, client_of(simulator), Budget(None), now).fetch(
            job, lambda: not simulator.stats().requests.get("sms")
        )
    assert simulator.stats().requests["sms"] == {"one": 1}


def test_a_request_after_an_error_that_ended_the_run_tells_that_error(
    simulator: SimulatorProcess,
) -> None:
    """So does one that waits to be sent again: the wait is over when nothing more is sent."""
    play(simulator, Fault(kind="503_json", endpoint="sms"))
    clock = SteadyClock()
    ours = client_of(simulator, clock)
    clock.on_sleep = lambda: ours.give_up(RunError("the daily limit is spent"))
    for _ in range(2):
        with pytest.raises(RunError, match="the daily limit is spent"):
            ours.get(sms_of("one"), READ_SMS)
    assert simulator.stats().requests["sms"] == {"one": 1}


@pytest.mark.parametrize("faults", [(), (Fault(kind="account_refuses", endpoint="sms"),)])
def test_an_answer_makes_the_run_faster_and_one_that_is_an_error_too(
    simulator: SimulatorProcess, faults: tuple[Fault, ...]
) -> None:
    """After a refusal for the rate the run is slow: others than those for the rate show its end."""
    play(simulator, *faults)
    ours = paced_by(SteadyClock(), simulator)
    with ours.pacer.turn():
        pass
    ours.pacer.cool_down(None)
    slow = ours.pacer.interval
    with pytest.raises(AccountError) if faults else nullcontext():
        ours.get(sms_of("one"), READ_SMS)
    assert ours.pacer.interval < slow


@pytest.mark.parametrize("error", [AccountError, RunError])
def test_refusals_end_the_run_only_if_nothing_was_answered_since_the_first_of_them(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    play(simulator, Fault(kind="429_per_second", endpoint="sms", headers=False))
    ours = paced_by(SteadyClock(), simulator)
    tries = count(1)

    def before_retry() -> None:
        if next(tries) > 1:
            ours.health.note_rate_refusal("another", 0.0)
            monkeypatch.setattr(pacing, "PATIENCE_SECONDS", -1.0)
        elif error is AccountError:
            ours.health.note_other_answer()

    with pytest.raises(error):
        ours.get(sms_of("one"), READ_SMS, before_retry=before_retry)


# Tokens


def test_one_account_that_refuses_the_token_costs_one_token(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If others are answered with it: a token for each try would be many for many accounts."""
    monkeypatch.setattr(pacing, "FIRST_BACKOFF_SECONDS", 0.0)
    refusal = Refusal(status=401, code=124, message="Invalid access token.")
    play(
        simulator, Fault(kind="account_refuses", endpoint="sms", account_id="one", refusal=refusal)
    )
    ours = paced_by(SteadyClock(), simulator)

    def before_retry() -> None:
        ours.get(sms_of("two"), READ_SMS)

    with pytest.raises(AccountError, match="token was refused"):
        ours.get(sms_of("one"), READ_SMS, before_retry=before_retry)
    assert simulator.stats().tokens_issued == 2


@pytest.mark.parametrize(("since", "may_be_dead"), [(None, True), (2.0, True), (0.5, False)])
def test_a_token_that_others_are_answered_with_since_it_was_refused_is_kept(
    since: float | None, *, may_be_dead: bool
) -> None:
    health = client.Health()
    health.note_answer("sms, account other", "Bearer token", 1.0)
    assert health.may_be_dead("Bearer token", since=since) is may_be_dead


def authenticator_of(
    simulator: SimulatorProcess, clock: SteadyClock, **given: str
) -> ServerToServerOAuth:
    settings = settings_of(simulator, **given)
    return ServerToServerOAuth(settings, Stop(), Report(logging.getLogger("test"), 5), clock)


def test_a_token_is_renewed_before_it_expires_or_when_it_is_refused(
    simulator: SimulatorProcess,
) -> None:
    clock = SteadyClock()
    authenticator = authenticator_of(simulator, clock)
    first = authenticator.token()
    clock.now += simulator.scenario.limits.access_token_seconds - RENEW_BEFORE_EXPIRY_SECONDS - 1
    assert authenticator.token() == first
    clock.now += 1
    second = authenticator.token()
    authenticator.discard(f"Bearer {second}")
    third = authenticator.token()
    assert len({first, second, third}) == 3
    authenticator.discard(f"Bearer {second}")  # By another thread, which it was refused to as well.
    assert authenticator.token() == third


@pytest.mark.parametrize("expires_in", [0, None, 0.001, "3600"])
def test_a_token_is_used_for_a_while_whatever_its_answer_says(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, expires_in: float | str | None
) -> None:
    def grant(_: str) -> Reply:
        body = {"access_token": f"token{next(numbers)}", "expires_in": expires_in}
        return Reply(json.dumps(body).encode())

    without_proxies(monkeypatch)
    clock, numbers = SteadyClock(), count(1)
    with answering(grant) as url:
        authenticator = authenticator_of(simulator, clock, token_url=url)
        for _ in range(3):
            assert authenticator.token() == "token1"
            clock.now += 60

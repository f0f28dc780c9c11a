"""The client works by itself, without a stream, and sends nothing that nobody waits for."""

from __future__ import annotations

import doctest
import logging
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from itertools import count, cycle
from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from simulator.scenario import Account as Played
from simulator.scenario import Fault, Refusal, Scenario
from tap_zoom_cc.inputs import settings_from
from tap_zoom_cc.run.report import Report
from tap_zoom_cc.run.stopping import Stop, StoppedError
from tap_zoom_cc.sync.fetch import Budget, WindowFetcher, WindowJob
from tap_zoom_cc.sync.windows import Window
from tap_zoom_cc.zoom import client, pacing
from tap_zoom_cc.zoom.answers import Answer
from tap_zoom_cc.zoom.errors import AccountError, AnswerError, RunError
from tap_zoom_cc.zoom.pacing import Pacer, with_retries
from tap_zoom_cc.zoom.pages import (
    Account,
    EngagementLog,
    PageReader,
    Request,
)
from tap_zoom_cc.zoom.rules import PATIENCE_SECONDS, SLOW_TRIES, TRIES, Condition, decide
from tests.harness.clock import SleepingClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

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


def client_of(
    simulator: SimulatorProcess,
    stop: Stop | None = None,
    logger: str = "test",
    given: Mapping[str, object] | None = None,
) -> client.Client:
    """Return a client of the simulator, whose log is that of a name, with settings in addition."""
    config = {**simulator.tap_config(), **(given or {})}
    settings = settings_from(config, now=datetime.now(timezone.utc))
    return client.Client(settings, stop or Stop(), Report(logging.getLogger(logger), 5))


def paced_by(clock: SleepingClock, simulator: SimulatorProcess) -> client.Client:
    """Return a client that waits for its turn, and after a refusal, on a clock of its own."""
    ours = client_of(simulator, clock)
    ours.pacer = Pacer(5, clock, clock)
    return ours


@pytest.mark.parametrize(
    ("given", "agent"),
    [({}, f"tap-zoom-cc/{version('tap-zoom-cc')}"), ({"user_agent": "somebody"}, "somebody")],
)
def test_requests_bear_the_name_of_the_tap_or_that_of_the_settings(
    simulator: SimulatorProcess, given: dict[str, object], agent: str
) -> None:
    simulator.replace(simulator.scenario)
    answers: list[requests.Response] = []
    read = PageReader("accounts").read
    client_of(simulator, given=given).get(Request("/accounts"), read, notice=answers.append)
    assert [answer.request.headers["User-Agent"] for answer in answers] == [agent]


def test_a_request_is_not_sent_again_for_a_window_that_nobody_waits_for(
    simulator: SimulatorProcess,
) -> None:
    """An account that was given up would use up the pace of the others for minutes."""
    faults = (Fault(kind="503_json", endpoint="sms"),)
    simulator.replace(Scenario(accounts=(Played(id="one"),), faults=faults))
    ours = client_of(simulator)
    path = "/accounts/{account_id}/contact_center/sms"
    log = EngagementLog("sms", path, {}, PageReader("engagements"))
    now = datetime.now(timezone.utc)
    day = Window(now - timedelta(days=1), now)
    job = WindowJob(Account("one"), day, sync=day)
    with pytest.raises(StoppedError):
        WindowFetcher(log, ours, Budget(None), now).fetch(
            job, lambda: not simulator.stats().requests.get("sms")
        )
    assert simulator.stats().requests["sms"] == {"one": 1}


def test_a_request_after_an_error_that_ended_the_run_tells_that_error(
    simulator: SimulatorProcess,
) -> None:
    ours = client_of(simulator)
    ours.give_up(RunError("the daily limit is spent"))
    with pytest.raises(RunError, match="the daily limit is spent"):
        ours.get(Request("/accounts"), PageReader("accounts").read)


def test_a_request_that_waits_to_be_sent_again_ends_with_an_error_that_ends_the_run(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for years here: the run would wait for it, though it sends nothing more."""

    class Listener(logging.Handler):
        @override
        def emit(self, record: logging.LogRecord) -> None:
            if "trying again" in record.getMessage():
                is_waiting.set()

    def ask() -> None:
        with pytest.raises(RunError, match="the daily limit is spent"):
            ours.get(sms_of("one"), PageReader("sms").read)
        has_ended.set()

    monkeypatch.setattr(pacing, "FIRST_BACKOFF_SECONDS", 1e8)
    faults = (Fault(kind="503_json", endpoint="sms"),)
    simulator.replace(Scenario(accounts=(Played(id="one"),), faults=faults))
    is_waiting, has_ended = threading.Event(), threading.Event()
    monkeypatch.setattr(logging.getLogger(__name__), "handlers", [Listener()])
    ours = client_of(simulator, logger=__name__)
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    assert is_waiting.wait(30)
    ours.give_up(RunError("the daily limit is spent"))
    assert has_ended.wait(30), "it still waits"
    thread.join()


def sms_of(account_id: str) -> Request:
    where = f"sms, account {account_id}"
    path = f"/accounts/{account_id}/contact_center/sms"
    return Request(path, {"from": "2024-01-01", "to": "2024-01-02"}, where, account_id)


def test_an_answer_that_is_an_error_makes_the_run_faster_too(simulator: SimulatorProcess) -> None:
    """After a refusal for the rate the run is slow: others than those for the rate show its end."""
    faults = (Fault(kind="account_refuses", endpoint="sms"),)
    simulator.replace(Scenario(accounts=(Played(id="one"),), faults=faults))
    ours = paced_by(SleepingClock(), simulator)
    with ours.pacer.turn():
        pass
    ours.pacer.cool_down(None)
    slow = ours.pacer.interval
    with pytest.raises(AccountError):
        ours.get(sms_of("one"), PageReader("sms").read)
    assert ours.pacer.interval < slow


@pytest.mark.parametrize(("answered", "error"), [(True, AccountError), (False, RunError)])
def test_refusals_end_the_run_only_if_nothing_was_answered_since_the_first_of_them(
    simulator: SimulatorProcess,
    monkeypatch: pytest.MonkeyPatch,
    *,
    answered: bool,
    error: type[Exception],
) -> None:
    faults = (Fault(kind="429_per_second", endpoint="sms", headers=False),)
    simulator.replace(Scenario(accounts=(Played(id="one"),), faults=faults))
    ours = paced_by(SleepingClock(), simulator)

    tries = count(1)

    def before_retry() -> None:
        if next(tries) == 1:
            if answered:
                ours.health.note_other_answer()
        else:
            ours.health.note_rate_refusal("another", 0.0)
            monkeypatch.setattr(pacing, "PATIENCE_SECONDS", -1.0)

    with pytest.raises(error):
        ours.get(sms_of("one"), PageReader("sms").read, before_retry=before_retry)


def test_one_account_that_refuses_the_token_costs_one_token(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If others are answered with it: a token for each try would be many for many accounts."""
    monkeypatch.setattr(pacing, "FIRST_BACKOFF_SECONDS", 0.0)
    refusal = Refusal(status=401, code=124, message="Invalid access token.")
    faults = (Fault(kind="account_refuses", endpoint="sms", account_id="one", refusal=refusal),)
    accounts = (Played(id="one"), Played(id="two"))
    simulator.replace(Scenario(accounts=accounts, faults=faults))
    ours = paced_by(SleepingClock(), simulator)
    read = PageReader("sms").read

    def before_retry() -> None:
        ours.get(sms_of("two"), read)

    with pytest.raises(AccountError, match="token was refused"):
        ours.get(sms_of("one"), read, before_retry=before_retry)
    assert simulator.stats().tokens_issued == 2


def test_a_request_is_sent_a_bounded_number_of_times_even_if_its_errors_differ() -> None:
    answers = cycle([Answer(503, wait=0.0), Answer(200, wait=0.0)])
    tries = 0

    def send() -> None:
        nonlocal tries
        tries += 1
        answer = next(answers)
        raise AnswerError(decide(answer, set()), answer)

    with pytest.raises(AnswerError):
        with_retries(send, stop=Stop(), on_retry=lambda *_: None)
    assert tries == TRIES


def error_of(answer: Answer, *conditions: Condition) -> AnswerError:
    return AnswerError(decide(answer, set(conditions)), answer)


def sent_until_final(*errors: AnswerError) -> int:
    """Return how often a request was sent that ends with these errors, and then well."""
    left = iter(errors)
    sent = 0

    def send() -> None:
        nonlocal sent
        sent += 1
        for error in left:
            raise error

    with suppress(AnswerError):
        with_retries(send, stop=Stop(), on_retry=lambda *_: None)
    return sent


def test_the_patience_with_refusals_for_the_rate_begins_at_the_first_of_them() -> None:
    asked_to_wait_all_of_it = error_of(Answer(429, wait=PATIENCE_SECONDS))
    assert sent_until_final(error_of(Answer(503, wait=0.0)), asked_to_wait_all_of_it) == 3


def test_slow_answers_are_few_though_an_outage_is_seen_meanwhile() -> None:
    alone = error_of(Answer(0, wait=0.0), Condition.SLOW)
    of_many = error_of(Answer(0, wait=0.0), Condition.SLOW, Condition.OUTAGE)
    assert sent_until_final(alone, of_many, of_many, of_many) == SLOW_TRIES

"""Credentials and tokens stay secret: in no log, no message, and at no other host."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from simulator.process import SimulatorProcess
from simulator.scenario import Account, Clock, Fault, Refusal, Scenario
from tests.harness.tap import run_tap, settings_for, start_tap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulator.scenario import Endpoint


BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
END = datetime(2024, 2, 20, tzinfo=timezone.utc)
NOW = END + timedelta(days=3)


def history(rows: int = 400, **options: Any) -> Scenario:  # noqa: ANN401 (Scenario's)
    return Scenario(
        accounts=tuple(
            Account(id=f"stop{number}", sms=rows, voice_calls=rows) for number in range(3)
        ),
        history_begin=BEGIN,
        history_end=END,
        **{"clock": Clock(now=NOW), **options},
    )


@contextmanager
def token_server(grant: Callable[[], str]) -> Iterator[str]:
    """Serve access tokens that the test knows; gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.dumps({"access_token": grant(), "expires_in": 3600}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' own output clean."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/oauth/token"
    finally:
        server.shutdown()
        server.server_close()


def secrets_of(scenario: Scenario, tokens: list[str]) -> list[str]:
    pair = f"{scenario.client_id}:{scenario.client_secret}".encode()
    return [
        scenario.client_id,
        scenario.client_secret,
        base64.b64encode(pair).decode(),
        *tokens,
    ]


@pytest.mark.parametrize("level", ["debug", "INFO"])
def test_no_secret_is_ever_written(simulator: SimulatorProcess, level: str) -> None:
    faults = (
        Fault(kind="access_token_expired", endpoint="sms", requests=(2, 5)),
        Fault(kind="500_json", endpoint="sms", requests=(3,)),
        Fault(kind="truncated_json", endpoint="voice_calls", requests=(2,)),
        Fault(kind="reset_before_body", endpoint="voice_calls", requests=(3,)),
        Fault(kind="429_per_second", endpoint="voice_calls", requests=(4,)),
    )
    accounts = (
        *history(100).accounts,
        Account(id="refusing", sms_refusal=Refusal(status=400, code=300, message="No.")),
    )
    simulator.replace(
        Scenario(accounts=accounts, history_end=END, clock=Clock(now=NOW), faults=faults)
    )
    tokens: list[str] = []

    def grant() -> str:
        tokens.append(simulator.access_token())
        return tokens[-1]

    with token_server(grant) as token_url:
        config = settings_for(simulator, token_url=token_url)
        with start_tap(config, environment={"LOGLEVEL": level}) as tap:
            run = tap.finish().check(1)
    assert len(tokens) > 1, "no token was refused, so the test would miss half of it"
    assert simulator.stats().faults.keys() == {fault.kind for fault in faults}
    assert ("DEBUG" in run.stderr) == (level == "debug")
    for secret in secrets_of(simulator.scenario, tokens):
        assert secret not in run.stderr
        assert secret.encode() not in run.stdout
    assert "Bearer" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "secret", "exit_code"),
    [
        ([], "simulated_client_secret", 0),
        ([], "wRoNg-SeCrEt-0001", 1),
        ([], "wrong secret with spaces", 1),
        (["--test"], "simulated_client_secret", 0),
        (["--about", "--format=json"], "simulated_client_secret", 0),
        (["--discover"], "simulated_client_secret", 0),
    ],
)
def test_no_secret_comes_from_the_environment_into_the_log(
    simulator: SimulatorProcess, arguments: list[str], secret: str, exit_code: int
) -> None:
    simulator.replace(history(5))
    config = {**settings_for(simulator), "client_secret": secret}
    environment = {f"TAP_ZOOM_CC_{name.upper()}": str(value) for name, value in config.items()}
    environment["LOGLEVEL"] = "debug"
    with start_tap(None, arguments=["--config=ENV", *arguments], environment=environment) as tap:
        run = tap.finish().check(exit_code)
    for hidden in (secret, simulator.scenario.client_id):
        assert hidden not in run.stderr
        assert hidden.encode() not in run.stdout


@pytest.mark.parametrize("endpoint", ["token", "accounts", "sms"])
def test_no_redirect_carries_a_token_or_credentials_to_another_host(
    simulator: SimulatorProcess, endpoint: Endpoint
) -> None:
    with SimulatorProcess(history(5)) as elsewhere:
        address = elsewhere.url.replace("127.0.0.1", "localhost")
        redirect = Fault(kind="redirect", endpoint=endpoint, url=f"{address}/v2/accounts")
        simulator.replace(history(5, faults=(redirect,)))
        run = run_tap(settings_for(simulator)).check(1)
        assert not elsewhere.stats().log
    (line, *_) = run.logged("ERROR")
    assert "redirect" in line
    assert "_url" in line
    assert not run.records("sms")


def test_the_token_goes_to_the_api_and_the_credentials_to_the_token_url_only(
    simulator: SimulatorProcess,
) -> None:
    with SimulatorProcess(history(5)) as tokens:
        granted: list[str] = []

        def grant() -> str:
            granted.append(simulator.access_token())
            return granted[-1]

        simulator.replace(history(5))
        with token_server(grant) as token_url:
            run_tap(settings_for(simulator, token_url=token_url)).check()
        assert len(granted) == 1, "one token serves the whole run"
        assert simulator.stats().bearer_tokens == {"accounts": 1, "sms": 1, "voice_calls": 1}
        assert "token" not in simulator.stats().bearer_requests
        assert not tokens.stats().log

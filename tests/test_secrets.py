"""Credentials and tokens stay secret: in no log, no message, and at no other host."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from simulator.process import SimulatorProcess
from simulator.scenario import Account, Fault, Refusal
from tests.harness.history import scenario
from tests.harness.raw_server import raw_server, read_head
from tests.harness.tap import run_tap, settings_for, sync

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from simulator.scenario import Endpoint, Scenario


SMALL = scenario(Account(id="one", sms=5, voice_calls=5))


@dataclass
class Granted:
    """What grants access tokens of a simulator: its address, the tokens, and who asked for them."""

    url: str
    tokens: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)


@pytest.fixture
def granted(simulator: SimulatorProcess) -> Iterator[Granted]:
    def grant(connection: socket.socket) -> None:
        found.heads.append(read_head(connection).decode())
        found.tokens.append(simulator.access_token())
        body = json.dumps({"access_token": found.tokens[-1], "expires_in": 3600})
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(f"{head}{body}".encode())
        read_head(connection)

    with raw_server(grant) as url:
        found = Granted(f"{url}oauth/token")
        yield found


def basic(scenario: Scenario) -> str:
    """Return the credentials as they go over the wire."""
    return base64.b64encode(f"{scenario.client_id}:{scenario.client_secret}".encode()).decode()


@pytest.mark.parametrize("level", ["debug", "INFO"])
def test_no_secret_is_ever_written(
    simulator: SimulatorProcess, granted: Granted, level: str
) -> None:
    faults = (
        Fault(kind="access_token_expired", endpoint="sms", requests=(2, 5)),
        Fault(kind="500_json", endpoint="sms", requests=(3,)),
        Fault(kind="truncated_json", endpoint="voice_calls", requests=(2,)),
        Fault(kind="reset_before_body", endpoint="voice_calls", requests=(3,)),
        Fault(kind="429_per_second", endpoint="voice_calls", requests=(4,)),
    )
    accounts = (
        *(Account(id=name, sms=100, voice_calls=100) for name in ("one", "two", "three")),
        Account(id="refusing", sms_refusal=Refusal(status=400, code=300, message="No.")),
    )
    simulator.replace(scenario(*accounts, faults=faults))
    config = settings_for(simulator, token_url=granted.url)
    run = run_tap(config, environment={"LOGLEVEL": level}).check(1)
    assert len(granted.tokens) > 1, "no token was refused, so the test would miss half of it"
    assert simulator.stats().faults.keys() == {fault.kind for fault in faults}
    # At that level the SDK is heard, too.
    for said in ("DEBUG", "record_count", "Beginning sync of 'sms'"):
        assert (said in run.stderr) == (level == "debug"), said
    zoom = simulator.scenario
    for secret in (zoom.client_id, zoom.client_secret, basic(zoom), *granted.tokens):
        assert secret not in run.stderr
        assert secret.encode() not in run.stdout
    assert "Bearer" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "secret", "exit_code"),
    [
        ([], "simulated_client_secret", 0),
        ([], "wRoNg-SeCrEt-0001", 1),
        ([], "wrong secret with spaces", 1),
        (["--check"], "simulated_client_secret", 0),
        (["--about", "--format=json"], "simulated_client_secret", 0),
        (["--discover"], "simulated_client_secret", 0),
    ],
)
def test_no_secret_comes_from_the_environment_into_the_log(
    simulator: SimulatorProcess, arguments: list[str], secret: str, exit_code: int
) -> None:
    simulator.replace(SMALL)
    config = {**settings_for(simulator), "client_secret": secret}
    environment = {f"TAP_ZOOM_CC_{name.upper()}": str(value) for name, value in config.items()}
    environment["LOGLEVEL"] = "debug"
    run = run_tap(None, arguments=["--config=ENV", *arguments], environment=environment)
    run.check(exit_code)
    for hidden in (secret, simulator.scenario.client_id):
        assert hidden not in run.stderr
        assert hidden.encode() not in run.stdout
    # What the token endpoint says is shown.
    assert ("Invalid client_id or client_secret" in run.stderr) is secret.startswith("wRoNg")


QUOTED: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent-encoded": lambda text: "".join(f"%{ord(char):02x}" for char in text),
    "percent-encoded in part": lambda text: quote(text, safe=""),
    "percent-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "in base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in base64, after something": lambda text: base64.b64encode(f"x:{text}".encode()).decode(),
    "in base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "in JSON": json.dumps,
    "in JSON, as numbers": lambda text: "".join(f"\\u{ord(char):04X}" for char in text),
    "in HTML": html.escape,
    "between characters nobody sees": "\x00\u200b".join,
    "between spaces": " ".join,
    "in capitals": str.upper,
}


@pytest.mark.parametrize(
    ("name", "field"), [(name, ("reason", "message")[n % 2]) for n, name in enumerate(QUOTED)]
)
def test_a_token_endpoint_that_quotes_the_secret_does_not_get_it_into_the_log(
    simulator: SimulatorProcess, name: str, field: str
) -> None:
    simulator.replace(SMALL)
    secret = 'sEcReT-<&%+/="0001"'
    quoted = QUOTED[name](secret)
    body = json.dumps({field: f"Invalid \x1b[31mcredentials\x07: {quoted}!"}).encode()

    def refuse(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        head = f"HTTP/1.1 400 {quoted}\r\nNo-header-at-all {quoted}\r\n".encode()
        end = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        connection.sendall(head.replace(b"\0", b"") + end + body)

    with raw_server(refuse) as url:
        run = sync(simulator, client_secret=secret, token_url=f"{url}oauth/token").check(1)
    assert "HTTP 400" in run.stderr
    assert quoted not in run.stderr
    assert secret.casefold() not in "".join(run.stderr.split()).casefold()
    assert not {"\x1b", "\x07", "\x00", "\u200b"} & set(run.stderr)


@pytest.mark.parametrize("endpoint", ["token", "accounts", "sms"])
def test_no_redirect_carries_a_token_or_credentials_to_another_host(
    simulator: SimulatorProcess, endpoint: Endpoint
) -> None:
    with SimulatorProcess(SMALL) as elsewhere:
        address = elsewhere.url.replace("127.0.0.1", "localhost")
        redirect = Fault(kind="redirect", endpoint=endpoint, url=f"{address}/v2/accounts")
        simulator.replace(replace(SMALL, faults=(redirect,)))
        run = sync(simulator).check(1)
        assert not elsewhere.stats().log
    (line, *_) = run.logged("ERROR")
    assert "redirect" in line
    assert "token_url" in line if endpoint == "token" else "api_url" in line
    assert not run.records("sms")


def test_the_token_goes_to_the_api_and_the_credentials_to_the_token_url_only(
    simulator: SimulatorProcess, granted: Granted
) -> None:
    simulator.replace(SMALL)
    sync(simulator, token_url=granted.url).check()
    (head,) = granted.heads  # One token serves the whole run.
    assert f"\r\nAuthorization: Basic {basic(SMALL)}\r\n" in head
    stats = simulator.stats()
    requests = {name: sum(by_account.values()) for name, by_account in stats.requests.items()}
    assert requests.pop("token") == 1, "what grants the tokens here has asked for one"
    assert stats.bearer_requests == requests
    assert stats.bearer_tokens == {"accounts": 1, "sms": 1, "voice_calls": 1}

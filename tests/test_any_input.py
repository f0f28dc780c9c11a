"""Whatever is put in or answered, a run ends in words and with an exit code that it has promised.

Random mistakes are made in the configuration, the catalog, the state, the environment and the
answers. Most of them end a run; none may end it with a traceback, or bring a secret into the log.

`pytest tests/test_any_input.py` makes a few, always equal ones. The long variant, ``-m long``,
makes new ones for an hour, or for as many seconds as the environment variable `PROPERTY_SECONDS`
says.
"""

from __future__ import annotations

import base64
import html
import json
import os
import string
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st

from simulator.scenario import Account
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import scenario
from tests.harness.mistakes import VALUES, files
from tests.harness.raw_server import Reply, answering
from tests.harness.singer import state_of
from tests.harness.tap import run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.process import SimulatorProcess
    from tests.harness.tap import TapRun

ACCOUNT = "aNyInPuTaCcOuNt0000001"
CLIENT_ID = "tHe-cLiEnT-iD-0001"
TOKEN = "ToKeN-<&%+/=-0001"
SECRET = 'sEcReT-<&%+/="0001"'

NOWHERE = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
"""Keeps a run that has lost its ``api_url`` from leaving this machine."""

NO_PATIENCE = replace(SHORT_WAITS, patience_seconds=0.05)

_PRINTED = set(string.printable) - set("\x0b\x0c\r")


def forms(secret: str) -> set[str]:
    """Return the forms in which a server may quote a secret."""
    encoded = base64.b64encode(secret.encode()).decode()
    return {
        secret,
        quote(secret, safe=""),
        quote(secret, safe="").lower(),
        "".join(f"%{ord(char):02X}" for char in secret),
        "".join(f"\\u{ord(char):04x}" for char in secret),
        json.dumps(secret)[1:-1],
        html.escape(secret),
        "\x00".join(secret),
        encoded,
        base64.b64encode(f"x{secret}".encode()).decode(),
        quote(encoded, safe=""),
    }


FORMS = sorted(forms(SECRET) | forms(f"{CLIENT_ID}:{SECRET}"))
TOKEN_FORMS = sorted(forms(TOKEN))


def check(run: TapRun) -> None:
    """Assert what every run promises, whatever was put in."""
    assert run.exit_code in {0, 1, 2}, run.stderr
    assert "Traceback" not in run.stderr, run.stderr
    assert "a fault of the tap" not in run.stderr, run.stderr
    odd = {char for char in run.stderr if not char.isprintable()} - _PRINTED
    assert not odd, f"{odd}\n{run.stderr}"
    for form in (*FORMS, *TOKEN_FORMS, CLIENT_ID):
        assert form not in run.stderr, f"{form} is told\n{run.stderr}"
    if run.exit_code == 1:
        assert run.logged("ERROR") or run.lines, "a run that fails says why"


# Mistakes


@dataclass(frozen=True)
class Mistakes:
    """What is put in; None leaves an option out."""

    config: bytes
    state: bytes | None
    catalog: bytes | None
    environment: dict[str, str]
    arguments: tuple[str, ...]


_STREAMS = ("sms", "voice_calls")
_PARTITION = state_of("sms", {ACCOUNT: "2024-01-10T00:00:00+00:00"})["sms"]["partitions"][0] | {
    "progress_markers": {"replication_key": "start_time"}
}
_STATE = {
    "bookmarks": {name: {"partitions": [_PARTITION]} for name in _STREAMS} | {"sub_accounts": {}}
}
_MORE_SETTINGS: dict[str, object] = {
    "stream_maps": {
        "sms": {"consumer_number": None, "twice": "total_sent_messages * 2"},
        "calls": {"__source__": "voice_calls", "__filter__": "direction == 'inbound'"},
        "*": {"__alias__": "__stream_name__"},
    },
    "stream_map_config": {"salt": SECRET},
    "flattening_enabled": True,
    "flattening_max_depth": 2,
    "sms_filters": {"direction": "inbound"},
    "voice_calls_filters": {"user_ids": ["one", "two"]},
    "user_agent": "somebody",
    "sub_account_ids": [ACCOUNT],
    "include_own_account": False,
    "sms_lookback_days": 3,
    "max_requests_per_run": 50,
    "quiet_accounts_hours": 6,
    "on_count_mismatch": "warn",
}
_VARIABLES = [f"TAP_ZOOM_CC_{name.upper()}" for name in _MORE_SETTINGS]
_ODD_VALUES = ("DEBUG", "LOUD", "[", "1e999", "nan", "true", "," * 50, "[" * 10_000)
_PROXIES = ("", "/nowhere", "/dev/null", "/", "http://", "foo", "http://[", "socks5://x")
_ENVIRONMENT = st.dictionaries(
    st.sampled_from([*_VARIABLES, "LOGLEVEL", "TAP_ZOOM_CC_LOGLEVEL"]),
    st.one_of(
        VALUES.map(json.dumps),
        st.sampled_from(_ODD_VALUES),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    ),
    max_size=3,
) | st.fixed_dictionaries(
    {
        name: st.sampled_from([*_PROXIES, "http://a..b"])
        for name in ("REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "SINGER_SDK_LOG_CONFIG")
    }
)
_ARGUMENTS = [
    *[()] * 3,
    *[("--config=ENV",), ("--config=ENV", "--discover"), ("--config=/nowhere",)],
    *[("--discover",), ("--test",), ("--check",), ("--test=schema",), ("--about",)],
    ("--no-such-option",),
]


@st.composite
def mistakes(draw: st.DrawFn, config: dict[str, object], catalog: dict[str, Any]) -> Mistakes:
    """Draw what is put in, with something wrong in about half of the places."""
    elsewhere: dict[str, object] = {"api_url": "https://localhost:1"}
    full = config | draw(st.sampled_from([{}, _MORE_SETTINGS, elsewhere]))
    return Mistakes(
        draw(st.just(json.dumps(full).encode()) | files(full)),
        draw(st.none() | files(_STATE)),
        draw(st.none() | files(catalog)),
        draw(st.just({}) | _ENVIRONMENT),
        draw(st.sampled_from(_ARGUMENTS)),
    )


def put_in(wrong: Mistakes) -> None:
    """Run the command line with mistakes, and check how it ends."""
    environment = {**NOWHERE, **wrong.environment}
    options: dict[str, Any] = {
        "state": wrong.state,
        "catalog": wrong.catalog,
        "arguments": wrong.arguments,
    }
    check(run_tap(wrong.config, environment=environment, constants=NO_PATIENCE, **options))


# Answers

_GRANT = {"access_token": TOKEN, "expires_in": 3600}
_ROW = {
    "engagement_id": "e1",
    "start_time": "2024-01-15T00:00:00Z",
    "end_time": "2024-01-15T00:01:00Z",
    "direction": "inbound",
    "queues": [{"queue_id": "q", "queue_name": "n"}],
}
_PAGE = {
    "from": "2024-01-01",
    "to": "2024-01-20",
    "next_page_token": "",
    "page_size": 100,
    "total_records": 1,
    "sms": [_ROW],
    "voice_calls": [_ROW],
    "accounts": [{"id": ACCOUNT, "account_name": "one"}],
}
_STATUSES = (200, 204, 301, 400, 401, 403, 404, 429, 500, 503, 599)
_CODES = (124, 200, 300, 429, 1001, 4700, 4711, "x", None, 10**12)
_LIMITS = ("Retry-After", "Date", "X-RateLimit-Type")
_HEADER_NAMES = (*_LIMITS, "Content-Type", "Content-Encoding", "Location", "bro ken", "")
_HEADER_VALUES = ("0", "-1", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "9" * 400, "gzip")
_ON_ONE_LINE = st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])
_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(_HEADER_NAMES),
        st.sampled_from([*_HEADER_VALUES, "Daily-limit", SECRET])
        | st.text(_ON_ONE_LINE, max_size=8),
    ),
    max_size=2,
).map(tuple)


def refusals(told: list[str]) -> st.SearchStrategy[dict[str, object]]:
    """Draw what a server says that refuses, and that may quote one of some texts."""
    telling = telling_of(told)
    return st.fixed_dictionaries(
        {},
        optional={
            "code": st.sampled_from(_CODES),
            "message": telling | VALUES,
            "reason": telling,
            "errorMessage": telling,
            "errors": st.lists(st.fixed_dictionaries({"message": telling}), max_size=2) | VALUES,
        },
    )


def telling_of(told: list[str]) -> st.SearchStrategy[str]:
    """Draw a message that may quote one of some texts, in odd company."""
    quoted = st.sampled_from(told) | st.text(max_size=10)
    return quoted.map(lambda text: f"no: {text} \x1b[2J")


def on_one_line(text: str) -> str:
    """Return a text as far as the first line of an answer can have it."""
    return "".join(c for c in text if c not in "\r\n" and not "\ud800" <= c <= "\udfff")


def replies(right: dict[str, Any], told: list[str]) -> st.SearchStrategy[tuple[Reply, ...]]:
    """Draw a few replies to requests that wait for a value; they may tell what was sent."""
    good = st.just(Reply(json.dumps(right).encode()))
    odd = st.builds(Reply, files(right), headers=_HEADERS)
    refusal = st.builds(
        Reply,
        refusals(told).map(lambda body: json.dumps(body).encode()) | st.binary(max_size=20),
        st.sampled_from(_STATUSES),
        telling_of(told).map(on_one_line),
        _HEADERS,
    )
    return st.lists(good | odd | refusal, min_size=1, max_size=3).map(tuple)


Answers = tuple[tuple[Reply, ...], tuple[Reply, ...], bool]
"""The replies to requests for a token, those to all others, and whether an account is named."""

_ANSWERS: st.SearchStrategy[Answers] = st.tuples(
    st.just((Reply(json.dumps(_GRANT).encode()),)) | replies(_GRANT, FORMS),
    replies(_PAGE, TOKEN_FORMS),
    st.booleans(),
)


def _grants_another_token(reply: Reply) -> bool:
    try:
        grant = json.loads(reply.body)
    except (ValueError, RecursionError):
        return False
    return isinstance(grant, dict) and grant.get("access_token", TOKEN) != TOKEN


def answer(answers: Answers) -> None:
    """Run the command line against a server that answers so, in turn, and check how it ends.

    A server that grants another token than the one it tells of gives nothing away.
    """
    of_token, of_api, account_is_named = answers
    assume(not any(map(_grants_another_token, of_token)))
    asked: list[str] = []

    def in_turn(path: str) -> Reply:
        asked.append(path)
        these = of_token if path.startswith("/oauth") else of_api
        return these[(len(asked) - 1) % len(these)]

    with answering(in_turn) as url:
        config = {
            "account_id": "aCcOuNt-0001",
            "client_id": CLIENT_ID,
            "client_secret": SECRET,
            "api_url": f"{url}/v2",
            "token_url": f"{url}/oauth/token",
            "start_date": "2024-01-01",
            "end_date": "2024-01-20",
            "requests_per_second": 1000,
            **({"sub_account_ids": [ACCOUNT]} if account_is_named else {}),
        }
        environment = {**NOWHERE, "LOGLEVEL": "DEBUG"}
        check(run_tap(config, environment=environment, constants=NO_PATIENCE))


# The tests


@pytest.fixture
def config(simulator: SimulatorProcess) -> dict[str, object]:
    """Give settings that are right, for a Zoom that has a little to read."""
    simulator.replace(scenario(Account(id=ACCOUNT, sms=5, voice_calls=5)))
    return settings_for(simulator)


_PATIENT = settings(
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
_SHORT = settings(_PATIENT, max_examples=12, derandomize=True, phases=[Phase.generate])


def test_mistakes_in_the_input_end_in_words(
    config: dict[str, object], discovered: dict[str, Any]
) -> None:
    _SHORT(given(mistakes(config, discovered))(put_in))()


def test_odd_answers_end_in_words() -> None:
    _SHORT(given(_ANSWERS)(answer))()


@pytest.mark.long
@pytest.mark.timeout(0)
def test_mistakes_and_odd_answers_end_in_words_for_an_hour(
    config: dict[str, object], discovered: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    end = time.monotonic() + float(os.environ.get("PROPERTY_SECONDS", "3600"))
    number = first = int(os.environ.get("PROPERTY_SEED", str(time.time_ns())))

    def play(strategy: st.SearchStrategy[Any], test: Callable[[Any], None]) -> None:
        some = settings(_PATIENT, max_examples=50, database=None)
        some(seed(number)(given(strategy)(test)))()

    while time.monotonic() < end:
        play(mistakes(config, discovered), put_in)
        play(_ANSWERS, answer)
        number += 1
        with capsys.disabled():
            sys.stdout.write(f"seeds {first} to {number - 1}: {100 * (number - first)} runs\n")
            sys.stdout.flush()

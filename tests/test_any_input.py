"""Whatever is put in or answered, a run ends in words and with an exit code that it has promised.

Random mistakes are made in the configuration, the catalog, the state, the environment and the
answers. Most of them end a run; none may end it with a traceback, or bring a secret into the log.

`pytest tests/test_any_input.py` makes a few, always equal ones. The long variant, ``-m long``,
makes new ones for an hour, or for as many seconds as the environment variable `PROPERTY_SECONDS`
says.
"""

from __future__ import annotations

import base64
import json
import os
import string
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from simulator.scenario import Account
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import scenario
from tests.harness.mistakes import VALUES, files
from tests.harness.raw_server import Reply, answering
from tests.harness.singer import state_of
from tests.harness.tap import run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.process import SimulatorProcess

ACCOUNT = "aNyInPuTaCcOuNt0000001"
CLIENT_ID = "tHe-cLiEnT-iD-0001"
TOKEN = "ToKeN-<&%+/=-0001"
SECRET = 'sEcReT-<&%+/="0001"'

NOWHERE = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
"""Keeps a run that has lost its ``api_url`` from leaving this machine."""

PRINTED = set(string.printable) - set("\x0b\x0c\r")


def forms(secret: str) -> list[str]:
    """Return some forms in which a server may quote a secret; `test_secrets.py` has them all."""
    encoded = base64.b64encode(secret.encode()).decode()
    return [secret, quote(secret, safe=""), json.dumps(secret)[1:-1], "\x00".join(secret), encoded]


FORMS = forms(SECRET) + forms(f"{CLIENT_ID}:{SECRET}")
TOKEN_FORMS = forms(TOKEN)


def run(environment: dict[str, str], **options: Any) -> None:  # noqa: ANN401 (of `run_tap`)
    """Run the command line, and assert what every run promises, whatever is put in."""
    constants = replace(SHORT_WAITS, patience_seconds=0.05)
    ended = run_tap(environment={**NOWHERE, **environment}, constants=constants, **options)
    assert ended.exit_code in {0, 1, 2}, ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    assert "a fault of the tap" not in ended.stderr, ended.stderr
    odd = {char for char in ended.stderr if not char.isprintable()} - PRINTED
    assert not odd, f"{odd}\n{ended.stderr}"
    for form in (*FORMS, *TOKEN_FORMS, CLIENT_ID):
        assert form not in ended.stderr, f"{form} is told\n{ended.stderr}"
    assert ended.exit_code != 1 or ended.lines, "a run that fails says why"


# Mistakes

BOOKMARK = {ACCOUNT: "2024-01-10T00:00:00+00:00"}
STATE = {"bookmarks": {**state_of("sms", BOOKMARK), **state_of("voice_calls", BOOKMARK)}}
MORE_SETTINGS: dict[str, object] = {
    "stream_maps": {
        "sms": {"consumer_number": None, "twice": "total_sent_messages * 2"},
        "calls": {"__source__": "voice_calls", "__filter__": "direction == 'inbound'"},
        "*": {"__alias__": "__stream_name__"},
    },
    "stream_map_config": {"salt": SECRET},
    "flattening_enabled": True,
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
VARIABLES = [*(f"TAP_ZOOM_CC_{name.upper()}" for name in MORE_SETTINGS), "LOGLEVEL", "HTTPS_PROXY"]
ENVIRONMENT = st.dictionaries(
    st.sampled_from(VARIABLES),
    VALUES.map(json.dumps)
    | st.sampled_from(["DEBUG", "[", "1e999", "nan", "true", "," * 50, "[" * 10_000, "http://["])
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    max_size=3,
)
ARGUMENTS = (
    *("", "", "", "--config=ENV", "--config=ENV --discover", "--config=/nowhere", "--discover"),
    *("--test", "--check", "--test=schema", "--about", "--no-such-option"),
)


@st.composite
def mistakes(draw: st.DrawFn, config: dict[str, object], catalog: dict[str, Any]) -> dict[str, Any]:
    """Draw the options of `run`, with something wrong in about half of the places."""
    full = config | draw(st.sampled_from([{}, MORE_SETTINGS, {"api_url": "https://localhost:1"}]))
    return {
        "config": draw(st.just(json.dumps(full).encode()) | files(full)),
        "state": draw(st.none() | files(STATE)),
        "catalog": draw(st.none() | files(catalog)),
        "environment": draw(st.just({}) | ENVIRONMENT),
        "arguments": draw(st.sampled_from(ARGUMENTS)).split(),
    }


# Answers

GRANT = {"access_token": TOKEN, "expires_in": 3600}
ROW = {
    "engagement_id": "e1",
    "start_time": "2024-01-15T00:00:00Z",
    "end_time": "2024-01-15T00:01:00Z",
    "queues": [{"queue_id": "q"}],
}
PAGE = {
    "from": "2024-01-01",
    "to": "2024-01-20",
    "next_page_token": "",
    "total_records": 1,
    "sms": [ROW],
    "voice_calls": [ROW],
    "accounts": [{"id": ACCOUNT, "account_name": "one"}],
}
STATUSES = (200, 204, 301, 400, 401, 403, 404, 429, 500, 503, 599)
CODES = st.sampled_from([124, 200, 300, 429, 1001, 4700, 4711, "x", None, 10**12])
NAMES = ("code", "message", "reason", "errorMessage", "errors")
ON_ONE_LINE = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8
)
NAMES_OF_HEADERS = ("Retry-After", "Date", "X-RateLimit-Type", "Content-Encoding", "bro ken", "")
VALUES_OF_HEADERS = ("0", "-1", "soon", "9" * 400, "gzip", "Daily-limit", SECRET)
HEADERS = st.lists(
    st.tuples(st.sampled_from(NAMES_OF_HEADERS), st.sampled_from(VALUES_OF_HEADERS) | ON_ONE_LINE),
    max_size=2,
).map(tuple)


def replies(right: dict[str, Any], told: list[str]) -> st.SearchStrategy[list[Reply]]:
    """Draw a few replies to requests that wait for a value; they may quote some texts."""
    telling = (st.sampled_from(told) | ON_ONE_LINE).map("no: {} \x1b[2J".format)
    refusal = st.dictionaries(st.sampled_from(NAMES), telling | CODES | VALUES).map(json.dumps)
    body = refusal.map(str.encode) | st.binary(max_size=20)
    odd = st.builds(Reply, body, st.sampled_from(STATUSES), telling, HEADERS)
    good = st.just(Reply(json.dumps(right).encode())) | st.builds(
        Reply, files(right), headers=HEADERS
    )
    return st.lists(good | odd, min_size=1, max_size=3)


GRANTED = st.just([Reply(json.dumps(GRANT).encode())])
# A server that quotes another token than the one it granted gives nothing away.
ANSWERS = st.tuples(GRANTED, replies(PAGE, TOKEN_FORMS), st.booleans()) | st.tuples(
    replies(GRANT, FORMS), replies(PAGE, ["denied"]), st.booleans()
)


def answer(answers: tuple[Sequence[Reply], Sequence[Reply], bool]) -> None:
    """Run the command line against a server that answers so, in turn.

    The answers are those to requests for a token, those to all others, and whether an account is
    named.
    """
    of_token, of_api, account_is_named = answers
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
        run({"LOGLEVEL": "DEBUG"}, config=config)


# The tests


@pytest.fixture
def inputs(
    simulator: SimulatorProcess, discovered: dict[str, Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """Give mistakes in what is put in, for a Zoom that has a little to read."""
    simulator.replace(scenario(Account(id=ACCOUNT, sms=5, voice_calls=5)))
    return mistakes(settings_for(simulator), discovered)


PATIENT = settings(
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
SHORT = settings(PATIENT, max_examples=12, derandomize=True, phases=[Phase.generate])


def test_mistakes_in_the_input_end_in_words(inputs: st.SearchStrategy[dict[str, Any]]) -> None:
    SHORT(given(inputs)(lambda options: run(**options)))()


def test_odd_answers_end_in_words() -> None:
    SHORT(given(ANSWERS)(answer))()


@pytest.mark.long
@pytest.mark.timeout(0)
def test_mistakes_and_odd_answers_end_in_words_for_an_hour(
    inputs: st.SearchStrategy[dict[str, Any]],
) -> None:
    end = time.monotonic() + float(os.environ.get("PROPERTY_SECONDS", "3600"))
    number = int(os.environ.get("PROPERTY_SEED", str(time.time_ns())))
    some = settings(PATIENT, max_examples=50, database=None)
    while time.monotonic() < end:
        sys.stdout.write(f"PROPERTY_SEED={number}\n")
        some(seed(number)(given(inputs)(lambda options: run(**options))))()
        some(seed(number)(given(ANSWERS)(answer)))()
        number += 1

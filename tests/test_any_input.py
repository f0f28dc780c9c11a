"""Whatever is put in or answered, a run ends in words and with an exit code that it has promised.

Random mistakes are made in the configuration, the catalog, the state, the environment and the
answers. Most of them end a run; none may end it with a traceback, or bring a secret into the log.

`pytest tests/test_any_input.py` makes a few, always equal ones. The long variant, ``-m long``,
makes new ones for an hour, or for as many seconds as the environment variable `PROPERTY_SECONDS`
says.
"""

from __future__ import annotations

import base64
import copy
import html
import json
import os
import string
import sys
import time
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st
from typing_extensions import override

from simulator.scenario import Account
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import scenario
from tests.harness.raw_server import serving
from tests.harness.tap import run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

_TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "",
            "sms",
            "*",
            "__NULL__",
            "__source__",
            "__else__",
            "__alias__",
            "account_id",
            "start_time",
            "partitions",
            "2024-01-15",
            "0001-01-01",
            "9999-12-31T23:59:59-14:00",
            "https://zoom..us/",
            "https://localhost:1/v2\n",
            "https://[::1",
            "http://127.0.0.1:9/\u2026",
            "\u200b",
            "\ud800",
            "\x1b[31m\x00\r\n",
            "{",
            "INCREMENTAL",
            "record",
            "1/0",
            "'\\ud800'",
        ]
    ),
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**400]),
    st.floats(),
    _TEXTS,
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_DEEP = st.sampled_from([60, 1_000, 100_000]).map(lambda depth: b"[" * depth + b"]" * depth)


@st.composite
def mistaken(draw: st.DrawFn, value: Any) -> Any:  # noqa: ANN401 (of any JSON)
    """Draw a copy of a value in which something was replaced, added or left out."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        around, part = value, value
        key: Any = ""
        while isinstance(part, (dict, list)) and part and draw(st.integers(0, 4)):
            around = part
            key = draw(
                st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part)))
            )
            part = part[key]
        new = draw(_VALUES | st.just(part))
        match draw(st.sampled_from(["replace", "replace", "leave out", "add"])), around:
            case _, {} | []:
                continue
            case "leave out", _ if around is not part:
                del around[key]
            case "add", dict():
                around[draw(_TEXTS)] = new
            case "add", list():
                around.append(new)
            case _ if around is not part:
                around[key] = new
    return value


@st.composite
def files(draw: st.DrawFn, value: Any) -> bytes:  # noqa: ANN401 (of any JSON)
    """Draw what a file holds that should hold a value."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(_DEEP | st.binary(max_size=20))
    text = json.dumps(draw(mistaken(value)), ensure_ascii=draw(st.booleans()))
    content = text.encode(
        draw(st.sampled_from(["utf-8"] * 5 + ["utf-16", "utf-32", "utf-8-sig"])), "surrogatepass"
    )
    if kind == 1:
        place = draw(st.integers(0, len(content)))
        content = content[:place] + draw(st.binary(max_size=3)) + content[place + 1 :]
    return content


@dataclass(frozen=True)
class Mistakes:
    """What is put in; None leaves an option out."""

    config: bytes
    state: bytes | None
    catalog: bytes | None
    environment: dict[str, str]
    arguments: tuple[str, ...]


_STATE = {
    "bookmarks": {
        name: {
            "partitions": [
                {
                    "context": {"account_id": ACCOUNT},
                    "replication_key": "start_time",
                    "replication_key_value": "2024-01-10T00:00:00+00:00",
                    "progress_markers": {"replication_key": "start_time"},
                }
            ]
        }
        for name in ("sms", "voice_calls")
    }
    | {"sub_accounts": {}}
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
_ENVIRONMENT = st.dictionaries(
    st.sampled_from([*_VARIABLES, "LOGLEVEL", "TAP_ZOOM_CC_LOGLEVEL"]),
    st.one_of(
        _VALUES.map(json.dumps),
        st.sampled_from(["DEBUG", "LOUD", "[", "1e999", "nan", "true", "," * 50, "[" * 10_000]),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    ),
    max_size=3,
) | st.fixed_dictionaries(
    {
        name: st.sampled_from(
            [
                "",
                "/nowhere",
                "/dev/null",
                "/",
                "http://",
                "foo",
                "http://[",
                "socks5://x",
                "http://a..b",
            ]
        )
        for name in ("REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "SINGER_SDK_LOG_CONFIG")
    }
)


_ARGUMENTS = [
    (),
    (),
    (),
    ("--config=ENV",),
    ("--config=ENV", "--discover"),
    ("--discover",),
    ("--test",),
    ("--check",),
    ("--test=schema",),
    ("--about",),
    ("--config=/nowhere",),
    ("--no-such-option",),
]


@st.composite
def mistakes(draw: st.DrawFn, config: dict[str, object], catalog: dict[str, Any]) -> Mistakes:
    """Draw what is put in, with something wrong in about half of the places."""
    full = {
        **config,
        **draw(st.sampled_from([{}, _MORE_SETTINGS, {"api_url": "https://localhost:1"}])),
    }
    right = st.just(json.dumps(full).encode())
    return Mistakes(
        draw(right | files(full)),
        draw(st.none() | files(_STATE)),
        draw(st.none() | files(catalog)),
        draw(st.just({}) | _ENVIRONMENT),
        draw(st.sampled_from(_ARGUMENTS)),
    )


def put_in(wrong: Mistakes) -> None:
    """Run the command line with mistakes, and check how it ends."""
    check(
        run_tap(
            wrong.config,
            state=wrong.state,
            catalog=wrong.catalog,
            arguments=wrong.arguments,
            environment={**NOWHERE, **wrong.environment},
            constants=NO_PATIENCE,
        )
    )


# Answers


@dataclass(frozen=True)
class Reply:
    """What a server sends: everything after the status, headers and body as they are."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class AnsweringServer(ThreadingHTTPServer):
    """Sends replies, in turn: one list for the token, one for everything else."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.replies: dict[bool, tuple[Reply, ...]] = {}
        self.asked = 0

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep the tests' own output clean: the tap may hang up."""


class _Handler(BaseHTTPRequestHandler):
    server: AnsweringServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        replies = self.server.replies[self.path.startswith("/oauth")]
        reply = replies[self.server.asked % len(replies)]
        self.server.asked += 1
        head = [f"HTTP/1.1 {reply.status} {reply.reason}"]
        head += [f"{name}: {value}" for name, value in reply.headers]
        head += [f"Content-Length: {len(reply.body)}", "Connection: close", "", ""]
        self.wfile.write("\r\n".join(head).encode("utf-8", "replace") + reply.body)
        self.close_connection = True

    def do_POST(self) -> None:
        self.do_GET()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' own output clean."""


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
    "page_size": 100,
    "next_page_token": "",
    "total_records": 1,
    "sms": [_ROW],
    "voice_calls": [_ROW],
    "accounts": [{"id": ACCOUNT, "account_name": "one"}],
}


def refusals(told: list[str]) -> st.SearchStrategy[dict[str, object]]:
    """Draw what a server says that refuses, and that may quote one of some texts."""
    telling = telling_of(told)
    return st.fixed_dictionaries(
        {},
        optional={
            "code": st.sampled_from([124, 200, 300, 429, 1001, 4700, 4711, "x", None, 10**12]),
            "message": telling | _VALUES,
            "reason": telling,
            "errorMessage": telling,
            "errors": st.lists(st.fixed_dictionaries({"message": telling}), max_size=2) | _VALUES,
        },
    )


def telling_of(told: list[str]) -> st.SearchStrategy[str]:
    """Draw a message that may quote one of some texts, in odd company."""
    quoted = st.sampled_from(told) | st.text(max_size=10)
    return quoted.map(lambda text: f"no: {text} \x1b[2J")


_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "Retry-After",
                "Date",
                "X-RateLimit-Type",
                "Content-Type",
                "Location",
                "Content-Encoding",
                "bro ken",
                "",
            ]
        ),
        st.sampled_from(
            [
                "0",
                "-1",
                "soon",
                "Thu, 01 Jan 1970 00:00:00 GMT",
                "9" * 400,
                "gzip",
                "Daily-limit",
                SECRET,
            ]
        )
        | st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8),
    ),
    max_size=2,
).map(tuple)


def replies(right: dict[str, Any], told: list[str]) -> st.SearchStrategy[tuple[Reply, ...]]:
    """Draw a few replies to requests that wait for a value; they may tell what was sent."""
    good = st.just(Reply(200, "OK", (), json.dumps(right).encode()))
    odd = st.builds(Reply, st.just(200), st.just("OK"), _HEADERS, files(right))
    refusal = st.builds(
        Reply,
        st.sampled_from([200, 204, 301, 400, 401, 403, 404, 429, 500, 503, 599]),
        telling_of(told).map(
            lambda text: "".join(
                c for c in text if c not in "\r\n" and not "\ud800" <= c <= "\udfff"
            )
        ),
        _HEADERS,
        refusals(told).map(lambda body: json.dumps(body).encode()) | st.binary(max_size=20),
    )
    return st.lists(good | odd | refusal, min_size=1, max_size=3).map(tuple)


@pytest.fixture
def server() -> Iterator[AnsweringServer]:
    with AnsweringServer() as server, serving(server):
        yield server


Answers = tuple[tuple[Reply, ...], tuple[Reply, ...], bool]

_ANSWERS: st.SearchStrategy[Answers] = st.tuples(
    st.just((Reply(200, "OK", (), json.dumps(_GRANT).encode()),)) | replies(_GRANT, FORMS),
    replies(_PAGE, TOKEN_FORMS),
    st.booleans(),
)


def _grants_another_token(reply: Reply) -> bool:
    try:
        grant = json.loads(reply.body)
    except ValueError:
        return False
    return isinstance(grant, dict) and grant.get("access_token", TOKEN) != TOKEN


def answer(server: AnsweringServer, answers: Answers) -> None:
    """Run the command line against a server that answers so, and check how it ends.

    A server that grants another token than the one it tells of gives nothing away.
    """
    assume(not any(map(_grants_another_token, answers[0])))
    server.replies = {True: answers[0], False: answers[1]}
    server.asked = 0
    config = {
        "account_id": "aCcOuNt-0001",
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "api_url": f"{server.url}/v2",
        "token_url": f"{server.url}/oauth/token",
        "start_date": "2024-01-01",
        "end_date": "2024-01-20",
        "requests_per_second": 1000,
        **({"sub_account_ids": [ACCOUNT]} if answers[2] else {}),
    }
    check(run_tap(config, environment={**NOWHERE, "LOGLEVEL": "DEBUG"}, constants=NO_PATIENCE))


# The tests


@pytest.fixture
def config(simulator: SimulatorProcess) -> dict[str, object]:
    """Give settings that are right, for a Zoom that has a little to read."""
    little = scenario(Account(id=ACCOUNT, sms=5, voice_calls=5))
    simulator.replace(little)
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


def test_odd_answers_end_in_words(server: AnsweringServer) -> None:
    _SHORT(given(_ANSWERS)(lambda answers: answer(server, answers)))()


@pytest.mark.long
@pytest.mark.timeout(0)
def test_mistakes_and_odd_answers_end_in_words_for_an_hour(
    config: dict[str, object],
    discovered: dict[str, Any],
    server: AnsweringServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    end = time.monotonic() + float(os.environ.get("PROPERTY_SECONDS", "3600"))
    first = int(os.environ.get("PROPERTY_SEED", str(time.time_ns())))
    number = first

    def play(strategy: st.SearchStrategy[Any], test: Callable[[Any], None]) -> None:
        some = settings(_PATIENT, max_examples=50, database=None)
        some(seed(number)(given(strategy)(test)))()

    while time.monotonic() < end:
        play(mistakes(config, discovered), put_in)
        play(_ANSWERS, lambda answers: answer(server, answers))
        number += 1
        with capsys.disabled():
            sys.stdout.write(f"seeds {first} to {number - 1}: {100 * (number - first)} runs\n")
            sys.stdout.flush()

"""The table of errors: each row through the real command line, and its parts by themselves.

`CASES` holds answers as Zoom gives them. One of each row is met as a fault that stays, at one of
two accounts; `test_faults.py` has those that pass. A row without a case fails
`test_every_row_of_the_table_is_met`.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from simulator.scenario import Account, Clock, Fault, Refusal, Scenario
from tap_zoom_cc.zoom.answers import (
    LONGEST_MESSAGE,
    Answer,
    missing_scopes,
    parse_retry_after,
    read_answer,
    shorten,
)
from tap_zoom_cc.zoom.rules import NO_ANSWER, RULES, Action, Condition, decide
from tests.harness.constants import NO_PATIENCE, SHORT_WAITS
from tests.harness.raw_server import raw_server, read_head
from tests.harness.rows import assert_complete, truth_of
from tests.harness.tap import sync

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from simulator.process import SimulatorProcess
    from simulator.scenario import FaultKind
    from tap_zoom_cc.zoom.rules import Rule
    from tests.harness.constants import Constants
    from tests.harness.singer import State
    from tests.harness.tap import TapRun

MALFORMED_ANSWER = decide(Answer(200))
SILENCE = decide(Answer(NO_ANSWER))
SLOWNESS = decide(Answer(NO_ANSWER), {Condition.SLOW})

SICK, SOUND = "SickAccount", "SoundAccount"
BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
NOW = datetime(2024, 1, 20, tzinfo=timezone.utc)
NEXT_DAY = NOW + timedelta(days=1)

SCENARIO = Scenario(
    accounts=(
        Account(id=SICK, sms=150, voice_calls=20),
        Account(id=SOUND, sms=20, voice_calls=150),
    ),
    history_begin=BEGIN,
    history_end=NOW - timedelta(days=3),
    clock=Clock(now=NOW),
)
SETTINGS: Mapping[str, Any] = {
    "sub_account_ids": [SICK, SOUND],
    # The order of requests, and so the request that a fault strikes, is then always the same.
    "max_concurrency": 1,
}

PER_SECOND = "You have reached the maximum per-second rate limit for this API. Try again later."
DAILY = (
    "You have reached the maximum daily rate limit for this API. Refer to the response header for "
    "details on when you can make another request."
)
BUSY = "Internal error, please try again later."
BAD_TOKEN = "Invalid access token."
EXPIRED = "The next page token is invalid or expired."
EXPIRED_OTHERWISE = "The next page token is either invalid or has expired."
SCOPE = "contact_center:read:sms_log:master"
NO_SCOPE = f"Invalid access token, does not contain scopes:[{SCOPE}]."


@dataclass(frozen=True)
class Case:
    """An answer, what the table is to make of it, and how the simulator gives it."""

    answer: Answer
    action: Action
    meaning: str
    kind: FaultKind = "account_refuses"

    @property
    def fault(self) -> Fault:
        """The answer to every request for the sick account."""
        code = self.answer.code or 0
        refusal = Refusal(status=self.answer.status, code=code, message=self.answer.message)
        return Fault(kind=self.kind, account_id=SICK, refusal=refusal)


STOP, FAIL, RETRY = Action.STOP_RUN, Action.FAIL_ACCOUNT, Action.RETRY
RENEW = Action.RENEW_TOKEN
TABLE: Sequence[tuple[Action, str, Sequence[Answer]]] = (
    (
        STOP,
        "a scope is missing",
        [
            Answer(400, 4711, NO_SCOPE),
            Answer(401, 4700, "Invalid token."),
            *(Answer(status, 104, NO_SCOPE) for status in (400, 401, 403)),
        ],
    ),
    (STOP, "the Zoom app is disabled", [Answer(400, 4717, "Disabled.")]),
    (RENEW, "token was refused", [Answer(400, 124, BAD_TOKEN)]),
    (
        Action.READ_AGAIN,
        "the page token has expired",
        [
            Answer(400, 300, EXPIRED),
            Answer(400, 300, EXPIRED_OTHERWISE),
            Answer(400, 30101, EXPIRED),
            Answer(400, 1003100, EXPIRED_OTHERWISE),
            Answer(400, 30051005, EXPIRED),
        ],
    ),
    (
        FAIL,
        "the account is not there",
        [
            *(Answer(404, code, "User does not exist: x.") for code in (1001, 1201, 2901, 2001)),
            Answer(403, 200, "No permission."),
            Answer(400, 200, "No permission."),
            Answer(403, 40301, "Anything else."),
        ],
    ),
    (FAIL, "the endpoint does not exist", [Answer(400, 2300, "Not recognized.")]),
    (FAIL, "a parameter was refused", [Answer(400, 300, "Invalid field.")]),
    (FAIL, "a redirect", [Answer(status, 0, "Moved.") for status in (300, 301, 303, 307, 308)]),
    (RETRY, "a passing fault", [Answer(status, 0, BUSY) for status in (408, 425, 504, 599)]),
    (
        FAIL,
        "that the documents do not name",
        [Answer(status, 1, "?") for status in (409, 204, 405)],
    ),
)
"""Answers, by what the table is to make of them."""

CASES = (
    Case(Answer(429, 429, DAILY), STOP, "the daily limit is spent", "429_daily"),
    Case(Answer(429, 429, PER_SECOND), Action.COOL_DOWN, "too many requests", "429_per_second"),
    Case(Answer(401, 124, BAD_TOKEN), RENEW, "token was refused", "401_code_124"),
    Case(Answer(401, 401, BAD_TOKEN), RENEW, "token was refused", "401_status_false"),
    Case(Answer(302, None, "Found"), FAIL, "a redirect", "redirect"),
    Case(Answer(503, 503, BUSY), RETRY, "a passing fault", "503_json"),
    Case(Answer(502, None, "Bad Gateway"), RETRY, "a passing fault", "502_html"),
    *(Case(answer, action, meaning) for action, meaning, answers in TABLE for answer in answers),
)


CASES_BY_CONDITION = (
    *(
        (Answer(404, code, "Does not exist: x."), Condition.FILTERED, Action.NO_ROWS)
        for code in (1001, 1201, 2901)
    ),
    *(
        (Answer(status, 200, "No permission."), Condition.NEVER_READ, Action.SKIP_ACCOUNT)
        for status in (400, 403, 404)
    ),
    (Answer(429, 429, PER_SECOND, wait=301.0), Condition.LONG_WAIT, Action.STOP_RUN),
    (Answer(503, None, "Busy.", wait=301.0), Condition.LONG_WAIT, Action.FAIL_ACCOUNT),
    (Answer(429, 429, PER_SECOND), Condition.ALL_REFUSED, Action.STOP_RUN),
    (Answer(NO_ANSWER, message="ReadTimeout"), Condition.SLOW, Action.FAIL_ACCOUNT),
    (Answer(NO_ANSWER, message="407"), Condition.PROXY_REFUSES, Action.STOP_RUN),
    (Answer(429, None, "Slow down."), Condition.TOKEN_ENDPOINT, Action.STOP_RUN),
    (Answer(200, message="asked for …"), Condition.OTHER_RANGE, Action.FAIL_ACCOUNT),
    (Answer(200, message="asked for …"), Condition.NARROWER_RANGE, Action.FAIL_ACCOUNT),
    (Answer(NO_ANSWER, message="ReadTimeout"), Condition.OUTAGE, Action.STOP_RUN),
    (Answer(400, 124, BAD_TOKEN), Condition.OUTAGE, Action.STOP_RUN),
    (Answer(401, None, BAD_TOKEN), Condition.OUTAGE, Action.STOP_RUN),
    (Answer(302, None, "Found"), Condition.OUTAGE, Action.STOP_RUN),
    (Answer(400, 2300, "Not recognized."), Condition.OUTAGE, Action.STOP_RUN),
    (Answer(400, None, "Invalid client_id"), Condition.TOKEN_ENDPOINT, Action.STOP_RUN),
)
"""Answers that another rule is for, or that mean something else, under a condition."""


def _name(case: Case) -> str:
    code = "" if case.answer.code is None else f"-{case.answer.code}"
    return f"{case.answer.status}{code}-{case.kind}"


CASE_OF_EACH_ROW = {
    RULES.index(rule) if (rule := decide(case.answer)) in RULES else -1: case
    for case in reversed(CASES)
}.values()
"""For what takes a run of the tap: the first case of each row."""


@pytest.fixture
def zoom(simulator: SimulatorProcess) -> SimulatorProcess:
    simulator.replace(SCENARIO)
    return simulator


def _sync(
    zoom: SimulatorProcess,
    *faults: Fault,
    state: State | None = None,
    constants: Constants = SHORT_WAITS,
    **settings: object,
) -> TapRun:
    """Read both accounts of a Zoom that has these faults."""
    zoom.replace(replace(zoom.scenario, faults=faults))
    given: dict[str, Any] = {**SETTINGS, **settings}
    return sync(zoom, state=state, constants=constants, **given)


def _rows_of(zoom: SimulatorProcess, account_id: str, run: TapRun) -> bool:
    """Say whether all engagements of an account were emitted, with their values intact."""
    truth = truth_of(zoom, [account_id])
    assert truth
    return {key: row for key, row in run.engagements if key[1] == account_id} == truth


def _assert_is_named(run: TapRun, *words: str) -> None:
    """Assert that a line at level error has all these words."""
    lines = run.logged("ERROR")
    assert any(all(word in line for word in words) for line in lines), run.stderr


SOURCES = {"document", "seen", "own choice"}
"""Where a row can come from: Zoom's documents, answers that users published, or neither."""


# Every row


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_answer_is_decided_as_the_documents_say(case: Case) -> None:
    rule = decide(case.answer)
    assert rule.action is case.action
    assert case.meaning in rule.meaning


def test_every_row_of_the_table_is_met() -> None:
    met = [decide(case.answer) for case in CASES]
    met += [decide(answer, {condition}) for answer, condition, _ in CASES_BY_CONDITION]
    met += [MALFORMED_ANSWER, SILENCE, SLOWNESS]
    assert [rule for rule in RULES if rule not in met] == []


@pytest.mark.parametrize(("answer", "condition", "action"), CASES_BY_CONDITION)
def test_a_condition_decides_too(answer: Answer, condition: Condition, action: Action) -> None:
    assert decide(answer, {condition}).last_word is action
    if condition is not Condition.LONG_WAIT:
        assert decide(answer).condition is None


def test_every_row_says_what_to_do_and_where_it_comes_from() -> None:
    for rule in RULES:
        # In an error they stand in one line, "<answer> - <meaning>; <advice>".
        for words in (rule.meaning, rule.advice):
            assert " " in words, rule
            assert words == " ".join(words.split()).rstrip(".;"), rule
        assert set(re.split("; (?:any (?:other )?code: )?", rule.source)) <= SOURCES, rule


@pytest.mark.parametrize("case", CASE_OF_EACH_ROW, ids=_name)
def test_answer_that_stays(zoom: SimulatorProcess, case: Case) -> None:
    run = _sync(zoom, case.fault, constants=NO_PATIENCE).check(1)
    rule = decide(case.answer)
    _assert_is_named(run, rule.meaning, rule.advice, str(case.answer.status))
    others_are_read = case.action is not Action.STOP_RUN
    assert not any(account == SICK for _, account in run.bookmarks)
    assert _rows_of(zoom, SOUND, run) is others_are_read
    assert (("sms", SOUND) in run.bookmarks) is others_are_read
    if not others_are_read:
        assert zoom.stats().requests == {"token": {"": 1}, "sms": {SICK: 1}}, "nothing more is sent"


def test_daily_limit_is_not_run_against(zoom: SimulatorProcess) -> None:
    accounts = tuple(Account(id=f"Account{number}", sms=5) for number in range(40))
    zoom.replace(replace(SCENARIO, accounts=accounts))
    spent = Fault(kind="429_daily", endpoint="sms", requests=tuple(range(3, 100)))
    workers = 4
    _sync(zoom, spent, sub_account_ids=None, max_concurrency=workers).check(1)
    assert 1 <= zoom.stats().rate_limited <= workers


def test_fault_that_never_passes_is_given_up(zoom: SimulatorProcess) -> None:
    _sync(zoom, Fault(kind="503_html", account_id=SICK, endpoint="sms")).check(1)
    assert zoom.stats().requests["sms"][SICK] == 8


@pytest.mark.parametrize(
    ("kind", "rule"), [("invalid_json", MALFORMED_ANSWER), ("slow", SLOWNESS)], ids=["odd", "slow"]
)
def test_answer_that_is_none_is_named(zoom: SimulatorProcess, kind: FaultKind, rule: Rule) -> None:
    fault = Fault(kind=kind, account_id=SICK, endpoint="sms", seconds=600)
    # Ten times what an answer of a busy machine takes: only those that are slow may be late.
    impatient = replace(SHORT_WAITS, timeout_seconds=(30.0, 0.5))
    run = _sync(zoom, fault, constants=impatient).check(1)
    _assert_is_named(run, f"sms, account {SICK}", rule.meaning, rule.advice)
    assert _rows_of(zoom, SOUND, run)


# The endpoints besides those of the streams


def test_disabled_app_is_named(zoom: SimulatorProcess) -> None:
    zoom.replace(replace(SCENARIO, app_disabled=True))
    run = _sync(zoom).check(1)
    _assert_is_named(run, "token_url", "the Zoom app is disabled")
    assert zoom.stats().requests == {"token": {"": 1}}


@pytest.mark.parametrize("kind", ["reset_before_body", "invalid_json"])
def test_token_endpoint_gets_over_a_passing_fault(zoom: SimulatorProcess, kind: FaultKind) -> None:
    assert_complete(zoom, _sync(zoom, Fault(kind=kind, endpoint="token", requests=(1, 2))).check())


@pytest.mark.parametrize("kind", ["502_html", "invalid_json", "redirect", "429_daily"])
def test_token_endpoint_that_stays_broken_is_named(zoom: SimulatorProcess, kind: FaultKind) -> None:
    run = _sync(zoom, Fault(kind=kind, endpoint="token")).check(1)
    _assert_is_named(run, "token_url")
    assert run.states == [] or run.bookmarks == {}


@pytest.mark.parametrize(
    ("lacking", "place", "read"),
    [
        ("account:read:list_sub_accounts:master", "sub_accounts: ", set()),
        ("contact_center:read:sms_log:master", f"sms, account {SICK}: ", set()),
        ("contact_center:read:voice_call_log:master", f"voice_calls, account {SICK}: ", {"sms"}),
    ],
)
def test_missing_scope_is_named(
    zoom: SimulatorProcess, lacking: str, place: str, read: set[str]
) -> None:
    scopes = tuple(scope for scope in SCENARIO.scopes if scope != lacking)
    zoom.replace(replace(SCENARIO, scopes=scopes))
    run = _sync(zoom, sub_account_ids=None).check(1)
    _assert_is_named(run, place, f"a scope is missing: {lacking}; ")
    assert {stream for stream, _ in run.bookmarks} == read
    advice = "include_own_account to true and sub_account_ids to []"
    assert (advice in run.stderr) is (place == "sub_accounts: ")


# Limits


@pytest.mark.parametrize("headers", [True, False])
def test_daily_limit_keeps_what_was_read_and_the_next_run_goes_on(
    zoom: SimulatorProcess, *, headers: bool
) -> None:
    spent = Fault(kind="429_daily", endpoint="voice_calls", requests=(2,), headers=headers)
    run = _sync(zoom, spent).check(1)
    _assert_is_named(run, "the daily limit is spent")
    # The simulated limit is that of a day of UTC.
    assert ("Zoom opens again at 2024-01-21 00:00:00 UTC" in run.stderr) is headers
    assert set(run.bookmarks) == {("sms", SICK), ("sms", SOUND), ("voice_calls", SICK)}
    zoom.replace(SCENARIO)
    after = _sync(zoom, state=run.states[-1]).check()
    assert dict(run.engagements) | dict(after.engagements) == truth_of(zoom)


def _sync_against(zoom: SimulatorProcess, head: str, body: str) -> TapRun:
    """Read from a server that grants a token and, whatever else is asked for, answers this."""

    def serve(connection: socket.socket) -> None:
        granted = ("200 OK", '{"access_token": "granted", "expires_in": 3600}')
        while asked := read_head(connection):
            first, rest = granted if asked.startswith(b"POST") else (head, body)
            said = f"HTTP/1.1 {first}\r\nContent-Length: {len(rest)}\r\n\r\n{rest}"
            connection.sendall(said.encode())

    with raw_server(serve) as url:
        return _sync(zoom, api_url=f"{url}v2", token_url=f"{url}oauth/token").check(1)


def test_long_wait_is_the_daily_limit_whatever_it_calls_itself(zoom: SimulatorProcess) -> None:
    opens = "Retry-After: Thu, 06 May 2094 07:08:09 GMT"
    run = _sync_against(zoom, f"429 Slow\r\n{opens}", "{}")
    said = "Zoom opens again at 2094-05-06 07:08:09 UTC"
    _assert_is_named(run, "the daily limit is spent", said)


def test_body_that_is_no_error_of_zooms_is_not_shown(zoom: SimulatorProcess) -> None:
    run = _sync_against(zoom, "403 Forbidden", "<html>secret of a gateway</html>")
    _assert_is_named(run, "HTTP 403: Forbidden")
    assert "secret of a gateway" not in run.stderr


def test_a_refusal_for_the_rate_may_say_when_it_ends(zoom: SimulatorProcess) -> None:
    """The wait is that of the header, here the longest, and not that of one that says nothing."""
    soon = Fault(kind="429_per_second", endpoint="sms", requests=(1,), reset=5.0)
    waits = replace(SHORT_WAITS, longest_asked_seconds=0.2, patience_seconds=300.0)
    run = _sync(zoom, soon, constants=waits).check()
    (line,) = [line for line in run.logged("WARNING") if "the whole run waits" in line]
    assert "waits 0.2 s" in line
    assert_complete(zoom, run)


def test_a_refusal_that_ends_in_hours_is_the_daily_limit(zoom: SimulatorProcess) -> None:
    later = Fault(kind="429_per_second", endpoint="sms", requests=(1,), reset=7200.0)
    run = _sync(zoom, later).check(1)
    opens = datetime.now(timezone.utc) + timedelta(hours=2)
    assert f"Zoom opens again at {opens:%Y-%m-%d}" in run.logged("ERROR")[-1]
    assert zoom.stats().requests["sms"] == {SICK: 1}


# The parts by themselves


def _response(
    status: int, body: bytes, headers: Mapping[str, str] | None = None, reason: str = "Reason"
) -> requests.Response:
    response = requests.Response()
    response.status_code, response.reason = status, reason
    response._content = body  # noqa: SLF001 - how a response is made without a server
    response.headers.update(headers or {})
    response.request = requests.Request("GET", "http://127.0.0.1/").prepare()
    return response


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"code": 300, "message": "Bad."}', 300, "Bad."),
        (b'{"code": "300", "message": "Bad."}', 300, "Bad."),
        (b'{"code": 0, "message": ""}', 0, "Reason"),
        (b'{"code": "E-1", "message": "Bad."}', None, "Bad."),
        (b'{"status": false, "errorCode": 401, "errorMessage": "No."}', 401, "No."),
        (
            b'{"reason": "Invalid client_id or client_secret", "error": "invalid_client"}',
            None,
            "Invalid client_id or client_secret",
        ),
        (
            b'{"code": 300, "message": "Bad.", "errors": [{"field": "to", "message": "Far."}]}',
            300,
            "Bad. Far.",
        ),
        (b'{"code": 300, "message": "Bad.", "errors": null}', 300, "Bad."),
        (b'{"code": 300, "message": "Bad.", "errors": ["to"]}', 300, "Bad."),
        (b'{"code": 300, "message": "Bad.", "errors": {"field": "to"}}', 300, "Bad."),
        (b'{"code": 300, "message": "Bad.", "errors": [{"message": null}]}', 300, "Bad."),
        (b'{"code": 300, "message": null}', 300, "Reason"),
        (b'{"code": 300, "message": {"en": "Bad."}}', 300, "Reason"),
        (b'{"code": null, "message": "Bad."}', None, "Bad."),
        (b'{"code": 300, "message": "Two\\n  lines."}', 300, "Two lines."),
        (b'\xef\xbb\xbf{"code": 300, "message": "Bad."}', 300, "Bad."),
        (b"<html><body>Gateway</body></html>", None, "Reason"),
        (b"", None, "Reason"),
        (b"[]", None, "Reason"),
        (b'{"code": 300', None, "Reason"),
        (b'{"message": "\xff"}', None, "Reason"),
    ],
)
def test_any_body_is_read(body: bytes, code: int | None, message: str) -> None:
    answer = read_answer(_response(400, body), NOW)
    assert (answer.code, answer.message) == (code, message)


def test_an_endless_message_is_cut_short() -> None:
    body = b'{"code": 200, "message": "%b"}' % (b"no \\n permission " * 5000)
    message = read_answer(_response(403, body), NOW).message
    assert message.startswith("no permission no")
    assert len(message) <= LONGEST_MESSAGE + 1


def test_a_monstrous_body_is_an_answer_too() -> None:
    for number in (b'"%b"' % (b"9" * 5000), b"9" * 5000):
        assert read_answer(_response(400, b'{"code": %b}' % number), NOW).code is None
    # Python says how deep the decoder may go: 3.13.0 lets it read this.
    deep = b'{"code": 300, "more": %b%b}' % (b"[" * 5000, b"]" * 5000)
    assert read_answer(_response(400, deep), NOW).code in {None, 300}


def test_credentials_that_an_answer_quotes_are_not_passed_on() -> None:
    def quoted(text: str, authorization: str) -> str:
        response = _response(400, json.dumps({"message": text}).encode())
        response.request.headers["Authorization"] = authorization
        return read_answer(response, NOW).message

    assert quoted("Bad header: Bearer t0ken", "Bearer t0ken") == "Bad header: Bearer ***"
    basic = "Basic " + base64.b64encode(b"my-id:my-secret").decode()
    assert quoted(f"Not my-id with my-secret ({basic})", basic) == "Not *** with *** (Basic ***)"


def test_the_daily_limit_may_be_told_by_the_header_alone() -> None:
    headers = {"x-ratelimit-type": "Daily-limit"}
    assert decide(read_answer(_response(429, b"{}", headers), NOW)).action is Action.STOP_RUN


@pytest.mark.parametrize(
    ("status", "reset", "wait"),
    [
        (429, "1704067230", 30.0),
        (429, "1704067230.5", 30.5),
        (429, "1704067190", 0.0),
        (429, "30", None),
        (429, "1704067230000", None),
        (503, "1704067230", None),
        *((429, odd, None) for odd in ("soon", "0", "-1", "nan", "inf", "1e300")),
    ],
)
def test_the_end_of_a_refusal_is_waited_for_by_the_clock_of_the_answer(
    status: int, reset: str, wait: float | None
) -> None:
    headers = {"X-RateLimit-Reset": reset, "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}
    assert read_answer(_response(status, b"{}", headers), NOW).wait == wait
    asked = {**headers, "Retry-After": "7"}
    assert read_answer(_response(status, b"{}", asked), NOW).wait == 7.0


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(minutes=-10), timedelta(0)])
def test_an_instant_to_come_back_at_is_meant_by_the_clock_of_the_answer(ahead: timedelta) -> None:
    date = NOW + ahead
    for opens in (
        (date + timedelta(seconds=2)).isoformat(),
        format_datetime(date + timedelta(seconds=2), usegmt=True),
    ):
        headers = {"Date": format_datetime(date, usegmt=True), "Retry-After": opens}
        answer = read_answer(_response(429, b"{}", headers), NOW)
        assert answer.wait == 2
        assert decide(answer).action is Action.COOL_DOWN


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("0", NOW),
        ("7", NOW + timedelta(seconds=7)),
        (" 7 ", NOW + timedelta(seconds=7)),
        ("1.5", NOW + timedelta(seconds=1.5)),
        ("86400", NOW + timedelta(days=1)),
        ("2024-01-21T00:00:00Z", NEXT_DAY),
        ("2024-01-21T00:00:00.5Z", datetime(2024, 1, 21, 0, 0, 0, 500_000, timezone.utc)),
        ("2024-01-21T02:00:00+02:00", NEXT_DAY),
        ("2024-01-21T00:00:00", NEXT_DAY),
        ("2024-01-21", NEXT_DAY),
        ("Sun, 21 Jan 2024 00:00:00 GMT", NEXT_DAY),
        ("Sun, 21 Jan 2024 00:00:00 -0000", NEXT_DAY),
        ("Sun, 21 Jan 2024 02:00:00 +0200", NEXT_DAY),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.2.3", None),
        ("9" * 40, None),
        ("2024-13-45T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("Sun, 99 Jan 2024 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_every_form(text: str | None, instant: datetime | None) -> None:
    found = parse_retry_after(text, NOW)
    assert found == instant
    assert found is None or found.utcoffset() == timedelta(0)


@given(st.text() | st.datetimes(timezones=st.timezones()).map(format_datetime))
@example("Mon, 01 Jan 0001 00:00:00 +1400")
@example("\u00b2")
def test_retry_after_of_any_form_is_an_instant_or_nothing(text: str) -> None:
    found = parse_retry_after(text, NOW)
    assert found is None or found.utcoffset() == timedelta(0)


@given(st.text(min_size=LONGEST_MESSAGE // 2))
@example("word " * 1000)
@example("\x1b[31mred " * 1000)
def test_shortened_text_is_one_short_line(text: str) -> None:
    line = shorten(text)
    assert len(line) <= LONGEST_MESSAGE + 1
    assert line.isprintable()
    visible = "".join(char for char in text if char.isprintable() and not char.isspace())
    said = line.replace(" ", "")
    assert said == visible or visible.startswith(said.removesuffix("…"))


@given(
    st.builds(
        Answer,
        status=st.integers(100, 599).filter(lambda status: status != 200),
        code=st.none() | st.integers() | st.sampled_from([r for rule in RULES for r in rule.codes]),
        message=st.text() | st.sampled_from([EXPIRED, DAILY, NO_SCOPE]),
    )
)
def test_every_answer_is_decided(answer: Answer) -> None:
    rule: Rule = decide(answer)
    assert rule in RULES
    assert str(answer.status) in str(answer)


def test_every_fault_of_the_server_is_tried_again() -> None:
    assert {decide(Answer(status)).action for status in range(500, 600)} == {Action.RETRY}


@pytest.mark.parametrize(
    ("message", "scopes"),
    [
        (NO_SCOPE, SCOPE),
        ("Invalid access token, does not contain scopes:[a:b, c:d].", "a:b, c:d"),
        ("does not contain scope [a:b]", "a:b"),
        ("No permission.", ""),
    ],
)
def test_missing_scopes_are_found(message: str, scopes: str) -> None:
    assert missing_scopes(message) == scopes

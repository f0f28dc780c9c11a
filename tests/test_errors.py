"""The table of errors: what it makes of each answer, and each row through the command line.

`CASES` holds answers as Zoom gives them. One of each row is met as a fault that stays, at one of
two accounts; `test_faults.py` has those that pass. A row without a case fails
`test_every_row_of_the_table_is_met`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.scenario import Account, Clock, Fault, Refusal, Scenario
from tap_zoom_cc.zoom.answers import Answer
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

"""The table of errors: what it makes of each answer, by itself and where a condition holds.

`test_faults.py` shows what a user sees of it. A row without an answer here fails
`test_every_row_of_the_table_is_met`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tap_zoom_cc.zoom.answers import Answer
from tap_zoom_cc.zoom.rules import NO_ANSWER, RULES, Action, Condition, decide

if TYPE_CHECKING:
    from collections.abc import Sequence

PER_SECOND = "You have reached the maximum per-second rate limit for this API. Try again later."
DAILY = (
    "You have reached the maximum daily rate limit for this API. Refer to the response header for "
    "details on when you can make another request."
)
BAD_TOKEN = "Invalid access token."
EXPIRED = "The next page token is invalid or expired."
EXPIRED_OTHERWISE = "The next page token is either invalid or has expired."
NO_SCOPE = "Invalid access token, does not contain scopes:[contact_center:read:sms_log:master]."

STOP, FAIL, RETRY = Action.STOP_RUN, Action.FAIL_ACCOUNT, Action.RETRY
RENEW = Action.RENEW_TOKEN

TABLE: Sequence[tuple[Action, str, Sequence[Answer]]] = (
    (STOP, "the daily limit is spent", [Answer(429, 429, DAILY)]),
    (
        Action.COOL_DOWN,
        "too many requests in a second",
        [Answer(429, 429, PER_SECOND), Answer(429, wait=300.0)],
    ),
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
    (FAIL, "a redirect", [Answer(status, 0) for status in (300, 301, 302, 303, 307, 308)]),
    (RETRY, "a passing fault", [Answer(status) for status in (408, 425, *range(500, 600))]),
    (RETRY, "not what was asked for", [Answer(200)]),
    (RETRY, "nothing answers", [Answer(NO_ANSWER)]),
    (
        RENEW,
        "token was refused",
        [Answer(400, 124, BAD_TOKEN), Answer(401, 124, BAD_TOKEN), Answer(401, 401, BAD_TOKEN)],
    ),
    (
        Action.READ_AGAIN,
        "the page token has expired",
        [
            *(Answer(400, code, EXPIRED) for code in (300, 30101, 1003100, 30051005)),
            Answer(400, 300, EXPIRED_OTHERWISE),
        ],
    ),
    (FAIL, "the endpoint does not exist", [Answer(400, 2300, "Not recognized.")]),
    (FAIL, "a parameter was refused", [Answer(400, 300, "Invalid field.")]),
    (
        FAIL,
        "the account is not there",
        [
            *(Answer(404, code, "User does not exist: x.") for code in (1001, 1201, 2901, 2001)),
            Answer(403, 200, "No permission."),
            Answer(400, 200, "No permission."),
            Answer(403, 40301, "Anything else."),
            Answer(404, 2300, wait=301.0),
        ],
    ),
    (FAIL, "that the documents do not name", [Answer(status, 1) for status in (409, 204, 405)]),
)
"""Answers as Zoom gives them, by what is done about them at first, and what they mean."""

TABLE_OF_CONDITIONS: Sequence[tuple[set[Condition], Action, str, Sequence[Answer]]] = (
    (
        {Condition.FILTERED},
        Action.NO_ROWS,
        "a filter names",
        [Answer(404, code) for code in (1001, 1201, 2901)],
    ),
    (
        {Condition.NEVER_READ},
        Action.SKIP_ACCOUNT,
        "the account is not there",
        [Answer(status, 200) for status in (400, 403, 404)],
    ),
    (set(), STOP, "the daily limit is spent", [Answer(429, 429, PER_SECOND, wait=301.0)]),
    (set(), FAIL, "asks to wait longer", [Answer(503, wait=301.0)]),
    ({Condition.ALL_REFUSED}, STOP, "too many requests", [Answer(429, 429, PER_SECOND)]),
    ({Condition.SLOW}, FAIL, "takes too long", [Answer(NO_ANSWER)]),
    ({Condition.SLOW, Condition.OUTAGE}, STOP, "takes too long", [Answer(NO_ANSWER)]),
    ({Condition.PROXY_REFUSES}, STOP, "the proxy", [Answer(NO_ANSWER)]),
    ({Condition.TOKEN_ENDPOINT}, STOP, "too many access tokens", [Answer(429)]),
    ({Condition.TOKEN_ENDPOINT}, STOP, "the Zoom app is disabled", [Answer(400, 4717)]),
    ({Condition.TOKEN_ENDPOINT}, STOP, "the app's credentials", [Answer(400), Answer(401, 124)]),
    ({Condition.OTHER_RANGE}, FAIL, "something else", [Answer(200)]),
    ({Condition.NARROWER_RANGE}, FAIL, "the whole range", [Answer(200)]),
    ({Condition.OUTAGE}, STOP, "nothing answers", [Answer(NO_ANSWER)]),
    ({Condition.OUTAGE}, STOP, "token was refused", [Answer(400, 124), Answer(401)]),
    ({Condition.OUTAGE}, STOP, "a redirect", [Answer(302)]),
    ({Condition.OUTAGE}, STOP, "the endpoint does not exist", [Answer(400, 2300)]),
)
"""Answers under conditions, with the last word on them; a long wait is seen in the answer."""

SOURCES = {"document", "seen", "own choice"}
"""Where a row can come from: Zoom's documents, answers that users published, or neither."""


@pytest.mark.parametrize(("action", "meaning", "answers"), TABLE)
def test_answer_is_decided_as_the_documents_say(
    action: Action, meaning: str, answers: Sequence[Answer]
) -> None:
    is_tried_again = action in {RETRY, RENEW, Action.COOL_DOWN}
    for answer in answers:
        rule = decide(answer)
        assert rule.action is action, answer
        assert rule.last_word is (FAIL if is_tried_again else action), answer
        assert meaning in rule.meaning, answer


@pytest.mark.parametrize(("conditions", "last_word", "meaning", "answers"), TABLE_OF_CONDITIONS)
def test_a_condition_decides_too(
    conditions: set[Condition], last_word: Action, meaning: str, answers: Sequence[Answer]
) -> None:
    for answer in answers:
        rule = decide(answer, conditions)
        assert rule.last_word is last_word, answer
        assert meaning in rule.meaning, answer
        assert decide(replace(answer, wait=None)).condition is None, answer


def test_every_row_of_the_table_is_met() -> None:
    met = [decide(answer) for _, _, answers in TABLE for answer in answers]
    for conditions, _, _, answers in TABLE_OF_CONDITIONS:
        met += [decide(answer, conditions) for answer in answers]
    assert [rule for rule in RULES if rule not in met] == []


def test_every_row_says_what_to_do_and_where_it_comes_from() -> None:
    for rule in RULES:
        # In an error they stand in one line, "<answer> - <meaning>; <advice>".
        for words in (rule.meaning, rule.advice):
            assert " " in words, rule
            assert words == " ".join(words.split()).rstrip(".;"), rule
        assert set(re.split("; (?:any (?:other )?code: )?", rule.source)) <= SOURCES, rule

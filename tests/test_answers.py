"""What is read of an answer, whatever body and headers it has: code, message, waits, scopes."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from tap_zoom_cc.zoom.answers import (
    LONGEST_MESSAGE,
    missing_scopes,
    parse_retry_after,
    read_answer,
    shorten,
)
from tap_zoom_cc.zoom.rules import Action, decide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_zoom_cc.zoom.answers import Answer

NOW = datetime(2024, 1, 20, tzinfo=timezone.utc)
NEXT_DAY = NOW + timedelta(days=1)
NINES = b"9" * 5000


def read(
    status: int,
    body: bytes = b"{}",
    headers: Mapping[str, str] | None = None,
    authorization: str = "",
) -> Answer:
    """Read an answer to a request with such a header."""
    response = requests.Response()
    response.status_code, response.reason = status, "Reason"
    response._content = body  # noqa: SLF001 - how a response is made without a server
    response.headers.update(headers or {})
    sent = {"Authorization": authorization}
    response.request = requests.Request("GET", "http://127.0.0.1/", sent).prepare()
    return read_answer(response, NOW)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"code": 300, "message": "Bad."}', 300, "Bad."),
        (b'{"code": "300", "message": "Two\\n  lines."}', 300, "Two lines."),
        (b'{"code": 0, "message": ""}', 0, "Reason"),
        (b'{"code": "E-1", "message": {"en": "Bad."}}', None, "Reason"),
        (b'{"code": null, "errorCode": 401, "errorMessage": "No."}', 401, "No."),
        (b'{"reason": "Invalid client_id", "error": "invalid_client"}', None, "Invalid client_id"),
        (b'{"message": "Bad.", "errors": [{"field": "to", "message": "Far."}]}', None, "Bad. Far."),
        (b'{"message": "Bad.", "errors": ["to", {"message": null}]}', None, "Bad."),
        (b'{"message": "Bad.", "errors": {"field": "to"}}', None, "Bad."),
        (b'\xef\xbb\xbf{"code": 300, "message": "Bad."}', 300, "Bad."),
        (b"<html><body>Gateway</body></html>", None, "Reason"),
        (b"[]", None, "Reason"),
        (b'{"message": "\xff"}', None, "Reason"),
        (b'{"code": "%b"}' % NINES, None, "Reason"),
        (b'{"code": %b}' % NINES, None, "Reason"),
        (b'{"message": "%b"}' % NINES, None, "9" * LONGEST_MESSAGE + "…"),
        (b'{"code": 300, "more": %b%b}' % (b"[" * 100_000, b"]" * 100_000), None, "Reason"),
    ],
    ids=range(17),
)
def test_any_body_is_read(body: bytes, code: int | None, message: str) -> None:
    answer = read(400, body)
    assert (answer.code, answer.message) == (code, message)


def test_credentials_that_an_answer_quotes_are_not_passed_on() -> None:
    quoted = read(400, b'{"message": "Bad: Bearer t0ken"}', authorization="Bearer t0ken")
    assert quoted.message == "Bad: Bearer ***"
    basic = "Basic " + base64.b64encode(b"my-id:my-secret").decode()
    body = f'{{"message": "Not my-id with my-secret ({basic})"}}'
    quoted = read(400, body.encode(), authorization=basic)
    assert quoted.message == "Not *** with *** (Basic ***)"


def test_the_daily_limit_may_be_told_by_the_header_alone() -> None:
    answer = read(429, headers={"x-ratelimit-type": "Daily-limit"})
    assert decide(answer).action is Action.STOP_RUN


@pytest.mark.parametrize(
    ("status", "reset", "wait"),
    [
        (429, "1704067230.5", 30.5),
        (429, "1704067190", 0.0),
        (503, "1704067230", None),
        *((429, odd, None) for odd in ("30", "1704067230000", "soon", "-1", "nan", "inf")),
    ],
)
def test_the_end_of_a_refusal_is_waited_for_by_the_clock_of_the_answer(
    status: int, reset: str, wait: float | None
) -> None:
    headers = {"X-RateLimit-Reset": reset, "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}
    assert read(status, headers=headers).wait == wait
    assert read(status, headers={**headers, "Retry-After": "7"}).wait == 7.0


def test_an_instant_to_come_back_at_is_meant_by_the_clock_of_the_answer() -> None:
    date = NOW + timedelta(minutes=10)
    opens = date + timedelta(seconds=2)
    for text in (opens.isoformat(), format_datetime(opens, usegmt=True)):
        headers = {"Date": format_datetime(date, usegmt=True), "Retry-After": text}
        assert read(429, headers=headers).wait == 2


AT_ONCE = ("0", "2024-01-20", "2024-01-20T00:00:00", "2024-01-20T00:00:00Z")
IN_A_DAY = (
    *("86400", " 86400.0 ", "2024-01-21T02:00:00+02:00", "Sun, 21 Jan 2024 00:00:00 GMT"),
    *("Sun, 21 Jan 2024 00:00:00 -0000", "Sun, 21 Jan 2024 02:00:00 +0200"),
)
AT_NO_INSTANT = (
    *(None, "", "soon", "-5", "1.2.3", "\u00b2", "9" * 40, "2024-13-45T00:00:00Z"),
    *("0001-01-01T00:00:00+14:00", "Mon, 01 Jan 0001 00:00:00 +1400"),
    "Sun, 99 Jan 2024 00:00:00 GMT",
)


def test_retry_after_is_read_in_every_form_and_is_in_utc() -> None:
    for instant, texts in ((NOW, AT_ONCE), (NEXT_DAY, IN_A_DAY), (None, AT_NO_INSTANT)):
        read = {text: str(parse_retry_after(text, NOW)) for text in texts}
        assert read == dict.fromkeys(texts, str(instant))


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


def test_missing_scopes_are_found() -> None:
    said = "Invalid access token, does not contain scopes:[a:b, c:d]."
    assert missing_scopes(said) == "a:b, c:d"
    assert missing_scopes("does not contain scope [a:b]") == "a:b"
    assert missing_scopes("No permission.") == ""

"""What is read of an answer, whatever body and headers it has: code, message, waits, scopes."""

from __future__ import annotations

import base64
import json
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

NOW = datetime(2024, 1, 20, tzinfo=timezone.utc)
NEXT_DAY = NOW + timedelta(days=1)


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


@pytest.mark.parametrize(
    ("message", "scopes"),
    [
        ("Invalid access token, does not contain scopes:[a:b:master].", "a:b:master"),
        ("Invalid access token, does not contain scopes:[a:b, c:d].", "a:b, c:d"),
        ("does not contain scope [a:b]", "a:b"),
        ("No permission.", ""),
    ],
)
def test_missing_scopes_are_found(message: str, scopes: str) -> None:
    assert missing_scopes(message) == scopes

"""What is read of an answer: its pages to the last, or of an error what matters, whatever it has.

JSON that msgspec refuses is read whole: every text, every digit, and values at any depth.
"""

from __future__ import annotations

import base64
import json
from codecs import BOM_UTF8
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from tap_zoom_cc.sync.window_rows import Pass, WindowRows, pages_for
from tap_zoom_cc.sync.windows import Window
from tap_zoom_cc.zoom import json_text
from tap_zoom_cc.zoom.answers import (
    LONGEST_MESSAGE,
    missing_scopes,
    parse_retry_after,
    read_answer,
    shorten,
)
from tap_zoom_cc.zoom.pages import PAGES_WITHOUT_NEWS, NextPageTokenPaginator, PageReader
from tap_zoom_cc.zoom.rules import Action, decide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_zoom_cc.zoom.answers import Answer
    from tap_zoom_cc.zoom.json_text import Json

NOW = datetime(2024, 1, 20, tzinfo=timezone.utc)
NEXT_DAY = NOW + timedelta(days=1)
WINDOW = Window(NOW - timedelta(days=19), NOW)
READER = PageReader("sms")
NINES = b"9" * 5000
DEEP = b"[" * 5000 + b"]" * 5000
VERY_DEEP = b"[" * 100_000 + b"]" * 100_000


def response(content: object, status: int = 200) -> requests.Response:
    """Return a response as it comes from the network."""
    response = requests.Response()
    response.status_code, response.reason = status, "Reason"
    response.raw = BytesIO(content if isinstance(content, bytes) else json.dumps(content).encode())
    return response


# Pages


def rows(*names: str) -> list[dict[str, str]]:
    return [{"engagement_id": name, "start_time": "2024-01-02T00:00:00Z"} for name in names]


def follow(*pages: dict[str, object]) -> tuple[list[str | None], WindowRows]:
    """Read pages in order as a stream does; return the tokens that were asked with."""
    paginator, reading = NextPageTokenPaginator(READER), WindowRows(WINDOW)
    reading.this_pass = Pass()
    asked: list[str | None] = []
    for page in pages:
        assert not paginator.finished
        asked.append(paginator.current_value)
        came = response(page)
        has_news = reading.add(paginator.read(came))
        paginator.pages_without_news = 0 if has_news else paginator.pages_without_news + 1
        paginator.advance(came)
    assert paginator.finished, "it would go on"
    reading.end_pass(1)
    return asked, reading


@pytest.mark.parametrize(
    "last",
    [
        {"sms": rows("b"), "total_records": 2},
        *({"sms": rows("b"), "next_page_token": odd} for odd in ("", None, 0, False, "one")),
        {"sms": [], "next_page_token": "more", "total_records": 1},
        {"sms": None, "next_page_token": "more", "total_records": 1},
    ],
    ids=["no key", "empty", "null", "zero", "false", "the same again", "no rows", "null rows"],
)
def test_every_way_to_end_is_an_end(last: dict[str, object]) -> None:
    asked, _ = follow({"sms": rows("a"), "next_page_token": "one"}, last)
    assert asked == [None, "one"]


@pytest.mark.parametrize(
    ("between", "total"),
    [(rows("a"), {"total_records": 2}), (rows("a"), {}), ([], {})],
    ids=["the same rows", "the same rows, not counted", "no rows, not counted"],
)
def test_one_page_without_news_does_not_end_a_window(
    between: list[dict[str, str]], total: dict[str, object]
) -> None:
    asked, reading = follow(
        {"sms": rows("a"), "next_page_token": "one", **total},
        {"sms": between, "next_page_token": "two", **total},
        {"sms": rows("b"), "next_page_token": "", **total},
    )
    assert asked == [None, "one", "two"]
    assert reading.rows.keys() == {"a", "b"}
    assert reading.is_whole


@pytest.mark.parametrize(
    ("page", "is_whole"),
    [({"sms": rows("a"), "total_records": 2}, False), ({"sms": []}, True)],
    ids=["the same rows", "no rows"],
)
def test_new_tokens_without_news_are_not_followed_for_ever(
    page: dict[str, object], *, is_whole: bool
) -> None:
    pages = ({**page, "next_page_token": str(number)} for number in range(PAGES_WITHOUT_NEWS))
    _, reading = follow({**page, "sms": rows("a"), "next_page_token": "first"}, *pages)
    assert reading.is_whole is is_whole


def test_an_empty_last_page_takes_no_announced_row_back() -> None:
    _, reading = follow(
        {"sms": rows("a"), "next_page_token": "one", "total_records": 3},
        {"sms": [], "next_page_token": "", "total_records": 0},
    )
    assert reading.this_pass.first_total == 3
    assert not reading.is_whole


@pytest.mark.parametrize(
    "body",
    [
        b"<html></html>",
        b"null",
        b'{"next_page_token": ""}',
        b'{"sms": {}}',
        b'{"sms": [], "next_page_token": 7}',
        b'{"sms": [], "total_records": "many"}',
        b'{"sms": [{"x": "\xff"}]}',
        b'{"sms": null, "next_page_token": "more"}',
        b'{"sms": [], "new": ' + DEEP[:-1] + b"}",
        b'{"sms": [{}], "from": ' + VERY_DEEP + b"}",
        b'{"sms": [' + DEEP + b"]}",
        rb'{"sms": [{"x": "\ud800"}',
        rb'{"sms": [{"x": "\ud800"}]} ,',
        rb'{"sms": [{"x": "\ud800",}]}',
        rb'{"sms": [{"x": "\ud800"}], "total_records": "many"}',
    ],
    ids=range(15),
)
def test_what_is_no_page_is_not_taken_for_an_empty_one(body: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        WindowRows(WINDOW).add(READER.read(response(body)))


@pytest.mark.parametrize(
    "value", [rb'"half a pair \ud800"', rb'"\ud800\u0041"', DEEP, rb'{"\udc00": []}'], ids=range(4)
)
def test_a_page_with_a_value_that_msgspec_cannot_pass_over_is_read_as_any_other(
    value: bytes,
) -> None:
    row = b'{"engagement_id": "a", "start_time": "2024-01-02T00:00:00Z", "odd": ' + value + b"}"
    two = [row, row.replace(b'"a"', b'"b"')]
    body = b'{"next_page_token": "more", "odd": %b, "total_records": "2", "sms": [%b, %b ] }'
    page = READER.read(response(BOM_UTF8 + body % (value, *two)))
    assert [bytes(found) for found in page.rows or []] == two
    assert (page.next_page_token, page.total_records) == ("more", 2)


def test_a_page_with_a_malformed_row_is_not_taken_in_at_all() -> None:
    reading = WindowRows(WINDOW)
    page = {"sms": [*rows("a"), {"engagement_id": "b"}], "total_records": 2}
    with pytest.raises(ValueError, match="start_time"):
        reading.add(READER.read(response(page)))
    assert not reading.rows
    assert reading.this_pass.last_total is None


@pytest.mark.parametrize(("number", "pages"), [(0, 1), (100, 1), (101, 2), (2500, 25), (2501, 26)])
def test_pages_are_counted_as_zoom_fills_them(number: int, pages: int) -> None:
    assert pages_for(number) == pages


# Errors


def read(
    body: bytes, status: int, headers: Mapping[str, str] | None = None, authorization: str = ""
) -> Answer:
    """Read an answer to a request with such a header."""
    came = response(body, status)
    came.headers.update(headers or {})
    sent = {"Authorization": authorization}
    came.request = requests.Request("GET", "http://127.0.0.1/", sent).prepare()
    return read_answer(came, NOW)


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
        (b'{"code": 300, "more": %b}' % VERY_DEEP, None, "Reason"),
    ],
    ids=range(17),
)
def test_any_body_is_read(body: bytes, code: int | None, message: str) -> None:
    answer = read(body, 400)
    assert (answer.code, answer.message) == (code, message)


def test_credentials_that_an_answer_quotes_are_not_passed_on() -> None:
    quoted = read(b'{"message": "Bad: Bearer t0ken"}', 400, authorization="Bearer t0ken")
    assert quoted.message == "Bad: Bearer ***"
    basic = "Basic " + base64.b64encode(b"my-id:my-secret").decode()
    body = f'{{"message": "Not my-id with my-secret ({basic})"}}'
    quoted = read(body.encode(), 400, authorization=basic)
    assert quoted.message == "Not *** with *** (Basic ***)"


def test_the_daily_limit_may_be_told_by_the_header_alone() -> None:
    answer = read(b"{}", 429, {"x-ratelimit-type": "Daily-limit"})
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
    assert read(b"{}", status, headers).wait == wait
    assert read(b"{}", status, {**headers, "Retry-After": "7"}).wait == 7.0


def test_an_instant_to_come_back_at_is_meant_by_the_clock_of_the_answer() -> None:
    date = NOW + timedelta(minutes=10)
    opens = date + timedelta(seconds=2)
    for text in (opens.isoformat(), format_datetime(opens, usegmt=True)):
        headers = {"Date": format_datetime(date, usegmt=True), "Retry-After": text}
        assert read(b"{}", 429, headers).wait == 2


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
        found = {text: str(parse_retry_after(text, NOW)) for text in texts}
        assert found == dict.fromkeys(texts, str(instant))


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


# JSON

texts = st.text(max_size=4) | st.sampled_from(["[", '"{', "\\", "]}\\"])
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


def written(value: Json) -> Any:  # noqa: ANN401 (any JSON)
    """Return what Python's own reader makes of a value that was read and is written again."""
    return json.loads(msgspec.json.encode(json_text.repaired(value)))


@given(values, st.sampled_from([None, 1]), st.booleans(), st.integers(0, 4))
def test_what_is_read_is_written_again_however_deep_it_is_read_into(
    value: Any,  # noqa: ANN401 (any JSON)
    indent: int | None,
    is_ascii: bool,  # noqa: FBT001 (hypothesis gives it)
    levels: int,
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii).encode()
    assert written(json_text.read(text, levels)) == value


def test_what_is_too_deep_stays_as_it_came_and_costs_no_stack() -> None:
    deep = b"[ " * 200_000 + b"]" * 200_000
    for levels in (1, json_text.MOST_LEVELS):
        found = json_text.read(b'{"a": %b, "b": "\\ud800", "c": [1]}' % deep, levels)
        assert isinstance(found, dict)
        assert msgspec.json.encode(found.pop("a")).endswith(deep[2 * levels - 2 :])
        assert written(found) == {"b": "\ufffd", "c": [1]}


pieces = st.sampled_from(
    ["[", "]", "{", "}", ",", ":", '"a"', '"', "1", "-", "0", ".5", "e1", "true", "NaN", " ", "\\"]
)
noises = st.lists(pieces, max_size=12).map("".join)


@given(noises | noises.map("[{}]".format))
@example("[1],")
@example("[1 2]")
@example("[01]")
@example("NaN")
@example('[{"a" 1}]')
@example('["a\nb"]')
@example('[{"a":1]')
def test_what_is_no_json_is_refused(noise: str) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(noise, parse_constant=refuse)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            json_text.read(noise.encode())
    else:
        json_text.read(noise.encode())


@pytest.mark.parametrize(
    "text",
    [
        *(b"[[[1]]", b"[[[1]]]]", b"[[[1]], NaN]", b"[NaN, [[1]]]", b"]" * 100_000),
        *(b"[" * 100_000, b"[" * 100_000 + b"]" * 99_999, b'[[["' + b'\\"' * 1_000_000),
    ],
    ids=range(8),
)
@pytest.mark.parametrize("levels", [1, json_text.MOST_LEVELS])
def test_brackets_that_do_not_fit_together_are_refused_at_any_depth(
    text: bytes, levels: int
) -> None:
    with pytest.raises(ValueError, match=r"."):
        json_text.read(text, levels)


@given(st.text(st.characters(codec="utf-8")), st.binary(max_size=4))
def test_repaired_text_is_unicode_and_what_was_in_order_stays(text: str, noise: bytes) -> None:
    assert json_text.repaired(json_text.read(json.dumps(text).encode())) == text
    quoted = b'"' + noise.translate(None, bytes(range(32)) + b'"\\') + b'"'
    found = json_text.repaired(json_text.read(quoted))
    assert isinstance(found, str)
    found.encode()

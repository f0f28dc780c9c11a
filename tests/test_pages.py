"""Pages are followed to their end, once each, whatever a server does with its tokens."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from io import BytesIO

import msgspec
import pytest
import requests

from tap_zoom_cc.sync.window_rows import Pass, WindowRows, pages_for
from tap_zoom_cc.sync.windows import Window
from tap_zoom_cc.zoom.instants import parse_instant
from tap_zoom_cc.zoom.pages import (
    PAGES_WITHOUT_NEWS,
    NextPageTokenPaginator,
    PageReader,
)

WINDOW = Window(parse_instant("2024-01-01"), parse_instant("2024-01-29"))
READER = PageReader("sms")


def answer(content: object) -> requests.Response:
    """Return a response as it comes from the network."""
    response = requests.Response()
    response.status_code = 200
    response.raw = BytesIO(content if isinstance(content, bytes) else json.dumps(content).encode())
    return response


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
        response = answer(page)
        has_news = reading.add(paginator.read(response))
        paginator.pages_without_news = 0 if has_news else paginator.pages_without_news + 1
        paginator.advance(response)
    assert paginator.finished, "it would go on"
    reading.end_pass(1)
    return asked, reading


def test_tokens_are_followed_until_there_is_none() -> None:
    asked, reading = follow(
        {"sms": rows("a", "b"), "next_page_token": "one", "total_records": 3},
        {"sms": rows("c"), "next_page_token": "", "total_records": 3},
    )
    assert asked == [None, "one"]
    assert reading.rows.keys() == {"a", "b", "c"}
    assert reading.is_whole


@pytest.mark.parametrize(
    "last",
    [
        {"sms": rows("b"), "total_records": 2},
        *(
            {"sms": rows("b"), "next_page_token": odd, "total_records": 2}
            for odd in (None, 0, False)
        ),
        {"sms": [], "next_page_token": "more", "total_records": 1},
        {"sms": None, "next_page_token": "more", "total_records": 1},
        {"sms": rows("b"), "next_page_token": "one"},
    ],
    ids=["no key", "null", "zero", "false", "empty page", "null page", "the same token again"],
)
def test_every_way_to_end_is_an_end(last: dict[str, object]) -> None:
    asked, _ = follow({"sms": rows("a"), "next_page_token": "one"}, last)
    assert asked == [None, "one"]


def test_the_same_rows_for_ever_new_tokens_are_not_followed_for_ever() -> None:
    repeated: list[dict[str, object]] = [
        {"sms": rows("a"), "next_page_token": str(number), "total_records": 2}
        for number in range(PAGES_WITHOUT_NEWS + 1)
    ]
    _, reading = follow(*repeated)
    assert not reading.is_whole


@pytest.mark.parametrize("between", [rows("a"), []], ids=["the same rows", "no rows"])
def test_one_page_without_news_does_not_end_a_window(between: list[dict[str, str]]) -> None:
    """Neither where a total counts the rows nor where nothing does."""
    for total in ({"total_records": 2}, {}):
        if total and not between:
            continue
        asked, reading = follow(
            {"sms": rows("a"), "next_page_token": "one", **total},
            {"sms": between, "next_page_token": "two", **total},
            {"sms": rows("b"), "next_page_token": "", **total},
        )
        assert asked == [None, "one", "two"]
        assert reading.rows.keys() == {"a", "b"}
        assert reading.is_whole


def test_pages_that_are_empty_for_ever_are_not_followed_for_ever() -> None:
    empty: list[dict[str, object]] = [
        {"sms": [] if number else rows("a"), "next_page_token": str(number)}
        for number in range(PAGES_WITHOUT_NEWS + 1)
    ]
    _, reading = follow(*empty)
    assert reading.is_whole


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
        b"",
        b"<html></html>",
        b'{"sms": [{"a": 1}',
        b"[]",
        b"null",
        b'{"next_page_token": ""}',
        b'{"sms": {}}',
        b'{"sms": [], "next_page_token": 7}',
        b'{"sms": [], "next_page_token": true}',
        b'{"sms": [], "total_records": "many"}',
        b'{"voice_calls": []}',
        b'{"sms": [{"x": "\xff"}]}',
        b'{"sms": null, "next_page_token": "more"}',
        b'{"sms": [], "new": ' + b"[" * 5000 + b"]" * 4999 + b"}",
        b'{"sms": [{}], "from": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"sms": [' + b"[" * 5000 + b"]" * 5000 + b"]}",
        rb'{"sms": [{"x": "\ud800"}',
        rb'{"sms": [{"x": "\ud800"}]} ,',
        rb'{"sms": [{"x": "\ud800",}]}',
        rb'{"sms": [{"x": "\ud800"}], "total_records": "many"}',
    ],
)
def test_what_is_no_page_is_not_taken_for_an_empty_one(body: bytes) -> None:
    paginator = NextPageTokenPaginator(READER)
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        WindowRows(WINDOW).add(paginator.read(answer(body)))


@pytest.mark.parametrize(
    "value",
    [rb'"half a pair \ud800"', rb'"\ud800\u0041"', b"[" * 5000 + b"]" * 5000, b'{"\\udc00": []}'],
    ids=["lone", "followed", "deep", "name"],
)
def test_a_page_with_a_value_that_msgspec_cannot_pass_over_is_read_as_any_other(
    value: bytes,
) -> None:
    row = b'{"engagement_id": "a", "start_time": "2024-01-02T00:00:00Z", "odd": ' + value + b"}"
    body = b'{"next_page_token": "more", "odd": %b, "total_records": "2", "sms": [%b, %b ] }'
    page = READER.read(answer(body % (value, row, row.replace(b'"a"', b'"b"'))))
    assert [bytes(found) for found in page.rows or []] == [row, row.replace(b'"a"', b'"b"')]
    assert (page.next_page_token, page.total_records) == ("more", 2)
    reading = WindowRows(WINDOW)
    assert reading.add(page)
    assert reading.rows.keys() == {"a", "b"}


def test_a_byte_order_mark_before_a_page_is_skipped() -> None:
    for odd in (b"1", rb'"\ud800"'):
        body = BOM_UTF8 + b'{"sms": [], "total_records": 0, "odd": %b}' % odd
        assert READER.read(answer(body)).rows == []


def test_a_page_with_a_malformed_row_is_not_taken_in_at_all() -> None:
    reading = WindowRows(WINDOW)
    page = {"sms": [*rows("a"), {"engagement_id": "b"}], "total_records": 2}
    with pytest.raises(ValueError, match="start_time"):
        reading.add(READER.read(answer(page)))
    assert not reading.rows
    assert reading.this_pass.last_total is None


@pytest.mark.parametrize(
    ("number", "pages"), [(0, 1), (1, 1), (100, 1), (101, 2), (2500, 25), (2501, 26)]
)
def test_pages_are_counted_as_zoom_fills_them(number: int, pages: int) -> None:
    assert pages_for(number) == pages

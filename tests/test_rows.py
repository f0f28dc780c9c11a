"""Rows come through whole: each value in its declared type, nothing dropped in silence."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_zoom_cc.sync.rows import Notices, RowDecoder, UnfitRowError, read_key

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "engagement_id": {"type": "string"},
        "start_time": {"type": "string", "format": "date-time"},
        "end_time": {"type": ["string", "null"], "format": "date-time"},
        "duration": {"type": ["integer", "null"]},
        "score": {"type": ["number", "null"]},
        "recorded": {"type": ["boolean", "null"]},
        "anything": {},
        "free": {"type": ["object", "null"]},
        "names": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
        "legs": {
            "type": ["array", "null"],
            "items": {
                "type": ["object", "null"],
                "properties": {
                    "at": {"type": ["string", "null"], "format": "date-time"},
                    "seconds": {"type": ["integer", "null"]},
                },
            },
        },
        "where": {
            "type": ["object", "null"],
            "properties": {"since": {"type": ["string", "null"], "format": "date-time"}},
        },
    },
}
ROW = {"engagement_id": "one", "start_time": "2024-01-02T03:04:05Z"}
START = "2024-01-02T03:04:05+00:00"


def decode(
    row: dict[str, Any], *, deselected: tuple[str, ...] = ()
) -> tuple[dict[str, object], Notices]:
    notices = Notices()

    def notice(found: Notices) -> None:
        notices.unknown_fields |= found.unknown_fields
        notices.converted_fields |= found.converted_fields

    decoder = RowDecoder(SCHEMA, lambda name: name not in deselected, notice)
    return decoder.decode(msgspec.Raw(json.dumps({**ROW, **row}).encode())), notices


def decoded(name: str, value: object) -> object:
    return decode({name: value})[0][name]


values = st.fixed_dictionaries(
    {},
    optional={
        "duration": st.one_of(st.none(), st.integers(-(2**62), 2**62)),
        "score": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        "recorded": st.one_of(st.none(), st.booleans()),
        "names": st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text()), max_size=4)),
        "free": st.one_of(st.none(), st.dictionaries(st.text(), st.text(), max_size=3)),
        "anything": st.recursive(
            st.one_of(st.none(), st.booleans(), st.text(), st.integers(-100, 100)),
            lambda inner: st.lists(inner, max_size=3),
        ),
        "legs": st.one_of(
            st.none(),
            st.lists(
                st.fixed_dictionaries({}, optional={"seconds": st.one_of(st.none(), st.integers())})
            ),
        ),
    },
).map(lambda row: {name: value for name, value in row.items() if fits(value)})


def fits(value: object) -> bool:
    """Leave out texts that are no text in UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(values)
def test_a_row_that_fits_comes_through_unchanged(row: dict[str, Any]) -> None:
    record, notices = decode(row)
    assert record == {**ROW, **row, "start_time": START}
    assert not notices.unknown_fields
    assert not notices.converted_fields


def test_missing_fields_stay_missing_and_nulls_stay_null() -> None:
    assert decode({})[0] == {**ROW, "start_time": START}
    nulls = dict.fromkeys(SCHEMA["properties"])
    del nulls["engagement_id"], nulls["start_time"]
    assert decode(nulls)[0] == {**nulls, **ROW, "start_time": START}


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("2024-01-02T03:04:05Z", START),
        ("2024-01-02T03:04:05+00:00", START),
        ("2024-01-02T08:34:05+05:30", START),
        ("2024-01-01T19:04:05-08:00", START),
        ("2024-01-02T03:04:05", START),
        ("2024-01-02T03:04:05.500Z", "2024-01-02T03:04:05.500000+00:00"),
        ("2024-01-02", "2024-01-02T00:00:00+00:00"),
        ("", None),
        (None, None),
    ],
)
def test_instants_are_in_utc_at_every_depth(given_text: str | None, expected: str | None) -> None:
    assert decoded("end_time", given_text) == expected
    assert decoded("legs", [{"at": given_text}]) == [{"at": expected}]
    assert decoded("where", {"since": given_text}) == {"since": expected}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("duration", "42", 42),
        ("duration", 42.0, 42),
        ("score", "1.5", 1.5),
        ("recorded", "true", True),
        ("recorded", "false", False),
        ("names", [1, None, "two"], ["1", None, "two"]),
        ("engagement_id", 7, "7"),
        ("legs", [{"seconds": "3"}, None], [{"seconds": 3}, None]),
    ],
)
def test_a_value_in_another_type_is_converted_and_said(
    name: str, value: object, expected: object
) -> None:
    record, notices = decode({name: value})
    assert record[name] == expected
    assert len(notices.converted_fields) == 1
    (path,) = notices.converted_fields
    assert path.startswith(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("duration", "a while"),
        ("duration", 1.5),
        ("duration", True),
        ("duration", []),
        ("score", "high"),
        ("score", {}),
        ("recorded", "maybe"),
        ("recorded", 1),
        ("names", "one"),
        ("names", [{}]),
        ("legs", {}),
        ("legs", [3]),
        ("where", "a place"),
        ("where", []),
        ("engagement_id", {}),
        ("engagement_id", []),
        ("end_time", "soon"),
        ("end_time", "2024-99-30T00:00:00Z"),
        ("legs", [{"at": "soon"}]),
    ],
)
def test_a_value_that_cannot_be_kept_is_refused_by_its_name_but_not_shown(
    name: str, value: object
) -> None:
    with pytest.raises(UnfitRowError) as caught:
        decode({name: value})
    assert name in str(caught.value)
    if isinstance(value, str):
        assert value not in str(caught.value)


def test_a_field_that_is_not_selected_cannot_fail_a_row() -> None:
    record, _ = decode({"duration": "a while"}, deselected=("duration",))
    assert record["engagement_id"] == "one"


def test_undeclared_fields_are_left_out_and_named_with_their_place() -> None:
    row = {"new": 1, "legs": [{"seconds": 1, "fresh": {}}], "where": {"since": None, "on": True}}
    record, notices = decode(row)
    assert record == {
        **ROW,
        "start_time": START,
        "legs": [{"seconds": 1}],
        "where": {"since": None},
    }
    assert notices.unknown_fields == {"new", "legs[].fresh", "where.on"}


def test_no_row_changes_the_next_one() -> None:
    decoder = RowDecoder(SCHEMA, lambda _: True, lambda _: None)
    rows = [{**ROW, "names": [str(number)], "legs": [{"seconds": number}]} for number in range(3)]
    records = [decoder.decode(msgspec.Raw(json.dumps(row).encode())) for row in rows]
    assert [record["names"] for record in records] == [["0"], ["1"], ["2"]]


# Keys


def key(**fields: object) -> object:
    return read_key(msgspec.Raw(json.dumps({**ROW, **fields}).encode()))


@pytest.mark.parametrize(
    "fields",
    [
        {"engagement_id": None},
        {"engagement_id": ""},
        {"engagement_id": 7},
        {"start_time": None},
        {"start_time": ""},
        {"start_time": "soon"},
        {"start_time": 1704164645},
        {"end_time": "later"},
    ],
    ids=str,
)
def test_a_row_without_key_or_start_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        key(**fields)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (b'"names": ["J\xfcrgen"]', "not UTF-8"),
        (b'"score": 1e999', "out of range"),
        (b'"unknown": 1e999', "out of range"),
        (b'"duration": ' + b"9" * 5000, "out of range"),
        (b'"unknown": ' + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
    ],
    ids=["latin-1", "too large", "too large and unknown", "too long", "too deep"],
)
def test_a_row_that_cannot_be_decoded_is_named_so_and_not_shown(field: bytes, reason: str) -> None:
    row = msgspec.Raw(json.dumps(ROW).encode()[:-1] + b", " + field + b"}")
    decoder = RowDecoder(SCHEMA, lambda _: True, lambda _: None)
    with pytest.raises(UnfitRowError, match=reason) as raised:
        decoder.decode(row)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("body", [b"[]", b"null", b"{}", b'"x"', b'{"engagement_id": "one"}'])
def test_what_is_no_row_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_key(msgspec.Raw(body))


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02T03:04:05Z",
        "2024-01-02T03:04:05",
        "2024-01-02T08:34:05+05:30",
        "2024-01-01T19:04:05-08:00",
    ],
)
@pytest.mark.parametrize("end", ["2024-01-02T04:04:05Z", "2024-01-02T04:04:05", "", None])
def test_keys_have_instants_in_every_form(text: str, end: str | None) -> None:
    start = datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    found = read_key(msgspec.Raw(json.dumps({**ROW, "start_time": text, "end_time": end}).encode()))
    assert found.start_time == start
    assert found.end_time == (start + timedelta(hours=1) if end else None)

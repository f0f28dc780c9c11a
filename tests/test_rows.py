"""Rows come through whole: each value in its declared type, nothing dropped in silence."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from tap_zoom_cc.rows.decoder import MOST_LEARNED, RowDecoder, read_key
from tap_zoom_cc.zoom.instants import parse_instant
from tap_zoom_cc.zoom.json_text import MOST_LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_zoom_cc.rows.misfits import FieldChange
    from tap_zoom_cc.rows.types import Record


def of(kind: object, **more: object) -> dict[str, Any]:
    """Return the schema of a field that may be null."""
    return {"type": [kind, "null"], **more}


INSTANT = of("string", format="date-time")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "engagement_id": {"type": "string"},
        "start_time": {"type": "string", "format": "date-time"},
        "end_time": INSTANT,
        "duration": of("integer"),
        "score": of("number"),
        "recorded": of("boolean"),
        "anything": {},
        "free": of("object"),
        "names": of("array", items=of("string")),
        "legs": of(
            "array", items=of("object", properties={"at": INSTANT, "seconds": of("integer")})
        ),
        "where": of("object", properties={"since": INSTANT}),
        "unmapped_values": of("string"),
    },
}
BESIDE_KEYS = list(SCHEMA["properties"])[2:-1]
DEEP = b"[" * 5000 + b"]" * 5000
NINES = b"9" * 5000
ROW = {"engagement_id": "one", "start_time": "2024-01-02T03:04:05Z"}
START = "2024-01-02T03:04:05+00:00"
EMPTY: dict[str, object] = {**dict.fromkeys(SCHEMA["properties"]), **ROW, "start_time": START}
"""The record of a row that has nothing but its key and its start."""
EMPTY_LEG: dict[str, object] = {"at": None, "seconds": None}
LEG = {**EMPTY_LEG, "seconds": 1}


def reader(
    told: Callable[[Record, set[FieldChange]], None] = lambda *_: None,
    *,
    schema: dict[str, Any] = SCHEMA,
    deselected: tuple[str, ...] = (),
) -> Callable[[dict[str, Any] | bytes], dict[str, Any]]:
    """Return what makes records of rows, which are given as JSON or as what is beside the key."""
    decoder = RowDecoder(schema, told, deselected=deselected)

    def read(row: dict[str, Any] | bytes) -> dict[str, Any]:
        return decoder.decode(msgspec.Raw(row if isinstance(row, bytes) else in_json(row)))

    return read


def in_json(row: dict[str, Any]) -> bytes:
    return json.dumps({**ROW, **row}).encode()


def decode(
    row: dict[str, Any] | bytes, *, deselected: tuple[str, ...] = ()
) -> tuple[dict[str, Any], set[FieldChange]]:
    """Return a row's record and what was changed; once its names are learned, both are the same."""
    told: list[set[FieldChange]] = [set()]
    read = reader(lambda _, found: told.append(found), deselected=deselected)
    record = read(row)
    assert read(row) == record
    assert told[2:] == told[1:2]
    return record, told[-1]


def with_json(name: str, value: bytes) -> bytes:
    """Return a row in which a field has a value that is given as JSON."""
    return json.dumps(ROW).encode()[:-1] + b", %b: %b}" % (json.dumps(name).encode(), value)


def unmapped(record: dict[str, Any]) -> dict[str, Any]:
    """Return what is in a record's column for what has no place."""
    found: dict[str, Any] = json.loads(record["unmapped_values"])
    assert list(found) == sorted(found)
    return found


FITTING: list[dict[str, Any]] = [
    {"duration": -(2**63), "score": 5e-324, "recorded": False, "names": [], "anything": None},
    {"duration": 2**63 - 1, "score": 1e23, "names": ["", None, "🌵\x00"], "anything": [{"a": 1.5}]},
    {"score": 2**53 + 1, "recorded": True, "free": {"a": [0.1, None]}, "legs": [None, LEG]},
    {"score": -1.7976931348623157e308, "free": {}, "where": {"since": None}, "anything": "1"},
]


@pytest.mark.parametrize("row", FITTING, ids=str)
def test_a_row_that_fits_comes_through_unchanged(row: dict[str, Any]) -> None:
    assert decode(row) == ({**EMPTY, **row}, set())


def test_every_record_has_all_columns_and_what_is_missing_is_null_as_nulls_are() -> None:
    assert decode({}) == (EMPTY, set())
    assert decode(dict.fromkeys(BESIDE_KEYS)) == (EMPTY, set())


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("2024-01-02T03:04:05Z", START),
        ("2024-01-02T03:04:05+00:00", START),
        ("2024-01-02T08:34:05.500+05:30", "2024-01-02T03:04:05.500000+00:00"),
        ("2024-01-30T03:04:05", "2024-01-30T03:04:05+00:00"),
        ("", None),
        (None, None),
    ],
)
def test_instants_are_in_utc_at_every_depth(given_text: str | None, expected: str | None) -> None:
    instant = {"since": given_text}
    record, _ = decode({"end_time": given_text, "legs": [{"at": given_text}], "where": instant})
    assert record["end_time"] == expected
    assert record["legs"] == [{**EMPTY_LEG, "at": expected}]
    assert record["where"] == {"since": expected}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("duration", b'"42"', 42),
        ("duration", b"4.2e1", 42),
        ("duration", b"-9223372036854775808.0", -(2**63)),
        *(("score", b'"1.5"', 1.5), ("score", b'"15"', 15)),
        *(("recorded", b'"true"', True), ("recorded", b'"false"', False)),
        ("names", b"[1, null, 1e2, -0.10, true]", ["1", None, "1e2", "-0.10", "true"]),
        ("names", b"[%b]" % NINES, [NINES.decode()]),
        ("engagement_id", b"7", "7"),
        ("legs", b'[{"seconds": "3"}, null]', [{**EMPTY_LEG, "seconds": 3}, None]),
    ],
)
def test_a_value_in_another_type_is_converted_and_said(
    name: str, value: bytes, expected: object
) -> None:
    record, changes = decode(with_json(name, value))
    assert record[name] == expected
    assert type(record[name]) is type(expected)
    assert record["unmapped_values"] is None
    ((what, path),) = changes
    assert what == "converted"
    assert path.startswith(name)


# By field: what does not fit there.
UNFIT: list[tuple[str, list[bytes]]] = [
    ("duration", [b'"a while"', b"1.5", b"true", b"[]", b'"042"', b'"4_2"', NINES]),
    ("duration", [b"9223372036854775808", b"1e400", b"1e-999999999", b"1e99999999999999999999"]),
    ("duration", [b'{"a": ' * 5000 + b"1" + b"}" * 5000]),
    ("score", [b'"high"', b'"nan"', b'"inf"', b'"-Infinity"', b"{}", b"true", b"1e999"]),
    ("score", [b"1e-999", b"12345678901234567890.5", b'"0.12345678901234567890"']),
    ("recorded", [b'"maybe"', b"1"]),
    ("names", [b'"one"']),
    ("legs", [b"{}"]),
    ("where", [b'"a place"', b"[]"]),
    ("free", [b"[1]", b'{"digits": 0.12345678901234567890}']),
    ("engagement_id", [b"{}"]),
    ("end_time", [b'"soon"', b"1704164645", b'"0000-01-01T00:00:00Z"']),
    ("end_time", [b'"2024-99-30T00:00:00Z"', b'"2024-02-30T00:00:00Z"']),
    ("anything", [DEEP]),
]


@pytest.mark.parametrize(
    ("name", "value", "pointer", "left"),
    [
        *((name, value, f"/{name}", None) for name, values in UNFIT for value in values),
        ("names", b'["a", {"b": 1.50}]', "/names/1", ["a", None]),
        ("names", DEEP, "/names/0", [None]),
        ("legs", b"[null, 3]", "/legs/1", [None, None]),
        ("where", b'{"since": "soon"}', "/where/since", {"since": None}),
        ("legs", b'[{"seconds": 1}, {"at": "soon"}]', "/legs/1/at", [LEG, EMPTY_LEG]),
    ],
)
def test_a_value_that_does_not_fit_is_null_and_kept_as_it_came(
    name: str, value: bytes, pointer: str, left: object
) -> None:
    record, changes = decode(with_json(name, value))
    assert record[name] == left
    column = record["unmapped_values"]
    begin = f'{{"{pointer}":'
    assert column.startswith(begin)
    assert column[len(begin) : -1].replace(": ", ":") in value.decode().replace(": ", ":")
    assert len(column) > len(begin) + 1
    ((what, path),) = changes
    assert what == "unfit"
    assert path.startswith(name)


def test_how_deep_a_value_may_be_does_not_depend_on_the_version_of_python() -> None:
    deep = b"[" * MOST_LEVELS + b"]" * MOST_LEVELS
    record, changes = decode(with_json("anything", deep))
    assert (record["anything"], changes) == (json.loads(deep), set())
    record, _ = decode(with_json("anything", b"[%b]" % deep))
    assert record["anything"] is None
    assert record["unmapped_values"] == f'{{"/anything":[{deep.decode()}]}}'


def test_what_is_kept_has_every_digit_that_zoom_sent() -> None:
    value = b'{"a" : [1.50, -0, 12345678901234567890.5, 1E+2, "\\u0041\\u00fc"]}'
    record, _ = decode(with_json("new", value))
    kept = '{"/new":{"a":[1.50,-0,12345678901234567890.5,1E+2,"A\u00fc"]}}'
    assert record["unmapped_values"] == kept


def test_undeclared_fields_are_kept_with_their_place_and_named_without_positions() -> None:
    row = {
        "new": 1,
        "legs": [{"seconds": 1}, {"fresh": {"x": None}}, {"fresh": None}],
        "where": {"since": None, "a/b~c": True},
        "unmapped_values": "of Zoom",
        "": "",
    }
    record, changes = decode(row)
    assert record == {
        **EMPTY,
        "legs": [LEG, EMPTY_LEG, EMPTY_LEG],
        "where": {"since": None},
        "unmapped_values": record["unmapped_values"],
    }
    assert unmapped(record) == {
        "/": "",
        "/legs/1/fresh": {"x": None},
        "/legs/2/fresh": None,
        "/new": 1,
        "/unmapped_values": "of Zoom",
        "/where/a~1b~0c": True,
    }
    names = {"new", "legs[].fresh", "where.a/b~c", "unmapped_values", ""}
    assert changes == {("undeclared", name) for name in names}


@pytest.mark.parametrize("name", ["duration", "legs", "anything", "free", "score"])
@pytest.mark.parametrize("value", [b"1", b'"a while"', rb'"\ud800"', b'"\xff"', b"1e999", DEEP])
def test_a_field_that_is_not_selected_lands_nowhere(name: str, value: bytes) -> None:
    record, changes = decode(with_json(name, value), deselected=(name,))
    assert record == {column: null for column, null in EMPTY.items() if column != name}
    assert not changes


# Texts that are no Unicode


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb"\ud800", "\ufffd"),
        (rb"\ud800\ud83d\ude00", "\ufffd😀"),
        (rb"\\ud800", "\\ud800"),
        (b"J\xfcrgen", "J\ufffdrgen"),
    ],
)
@pytest.mark.parametrize("name", ["names", "anything", "new", "duration"])
def test_half_a_character_becomes_a_replacement_and_is_said(
    name: str, text: bytes, expected: str
) -> None:
    record, changes = decode(with_json(name, b'["%b"]' % text))
    found = record.get(name) or unmapped(record)[f"/{name}"]
    assert found == [expected]
    json.dumps(record, ensure_ascii=False).encode()
    assert any(what == "repaired" for what, _ in changes) is ("\ufffd" in expected)


NOTHING_UNDERSTOOD = [of("object", properties=[7]), of("object", properties={}), of(7), 7]


@pytest.mark.parametrize(
    ("name", "schema"),
    [(name, {}) for name in ('a"b', "a\\b", "a\nb")] + [("odd", odd) for odd in NOTHING_UNDERSTOOD],
)
def test_an_odd_name_or_schema_is_declared_and_allows_anything(name: str, schema: object) -> None:
    declared = {**SCHEMA["properties"], name: schema}
    record = reader(schema={**SCHEMA, "properties": declared})({name: {"a": [7]}})
    assert record == {**EMPTY, name: {"a": [7]}}


def test_a_name_with_half_a_character_is_one_with_a_replacement() -> None:
    record, _ = decode(with_json("na\ud800me", b"1"))
    assert unmapped(record) == {"/na\ufffdme": 1}


# Anything anywhere

LIKE_OTHER_TYPES = ("", "true", "42", "1.50", "nan", "2024-01-02", "2024-01-02T03:04:05+01:00")
ODD_NAMES = st.text(max_size=3) | st.sampled_from(["at", "seconds", "since", "a/~b"])
json_values = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.text()),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(LIKE_OTHER_TYPES),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_NAMES, inner, max_size=3),
    max_leaves=8,
)
odd_rows = st.dictionaries(
    st.sampled_from([*BESIDE_KEYS, "unmapped_values", "new", "n/~w"]) | st.text(max_size=3),
    json_values,
    max_size=6,
)


def put_back(record: dict[str, Any]) -> dict[str, Any]:
    """Return the row from which a record was made, as far as it differs from the record."""
    row = {name: value for name, value in record.items() if name != "unmapped_values"}
    for pointer, value in json.loads(record["unmapped_values"] or "{}").items():
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
        place: Any = row
        for name in way:
            place = place[int(name)] if isinstance(place, list) else place[name]
        place[int(last) if isinstance(place, list) else last] = value
    return row


def meaning(value: object) -> object:
    """Return a value without what a conversion may change: its type, its nulls, its offset."""
    if isinstance(value, dict):
        return {name: meaning(part) for name, part in value.items() if part not in (None, "")}
    if isinstance(value, list):
        return [meaning(part) for part in value]
    if isinstance(value, bool) or value is None:
        return json.dumps(value) if value is not None else ""
    try:
        return str(parse_instant(str(value)))
    except ValueError:
        pass
    try:
        return str(Decimal(str(value)).normalize())
    except InvalidOperation:
        return value


@given(st.lists(odd_rows, min_size=1, max_size=4))
def test_nothing_in_a_row_is_lost_and_nothing_ends_it(odd: list[dict[str, Any]]) -> None:
    told: list[set[FieldChange]] = []
    read = reader(lambda _, found: told.append(found))
    for row in odd:
        text = in_json(row)
        told.clear()
        # The second time, undeclared names have been learned.
        record, again = read(text), read(text)
        jsonschema.validate(record, SCHEMA)
        assert again == record
        assert told[1:] == told[:1]
        assert meaning(put_back(record)) == meaning(json.loads(text))


class CountingDecoder(RowDecoder):
    """A decoder that counts how often it is compiled."""

    compiled = 0

    @override
    def _compile(self) -> None:
        self.compiled += 1
        super()._compile()


def test_new_names_are_learned_once_and_only_up_to_a_bound() -> None:
    decoder = CountingDecoder(SCHEMA, lambda *_: None)
    for number in (0, 0, 0, *range(128)):
        new = f"new{number}"
        row = in_json({new: number, "legs": [{"seconds": 1, new: [number]}]})
        found = unmapped(decoder.decode(msgspec.Raw(row)))
        assert found == {f"/{new}": number, f"/legs/0/{new}": [number]}
    assert decoder.compiled == 1 + MOST_LEARNED // 2


# Keys


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *product(["engagement_id"], [None, "", {}, []]),
        *product(["start_time"], [None, "", "soon", 1704164645, {}]),
    ],
)
def test_a_row_without_key_or_start_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        read_key(msgspec.Raw(in_json({name: value})))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("engagement_id", b"7", "7"),
        ("engagement_id", b"12345678901234567890.5", "12345678901234567890.5"),
        ("engagement_id", rb'"a\ud800"', "a\ufffd"),
        ("engagement_id", b'"a\xff"', "a\ufffd"),
        ("other", rb'"\ud800"', "one"),
        ("other", DEEP, "one"),
        ("other", NINES, "one"),
    ],
)
def test_the_key_is_the_same_in_both_readings_of_a_row(
    name: str, value: bytes, expected: str
) -> None:
    row = with_json(name, value)
    assert read_key(msgspec.Raw(row)).row_id == expected
    assert decode(row)[0]["engagement_id"] == expected


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"7"])
def test_what_is_no_row_is_refused(body: bytes) -> None:
    for read in (read_key, RowDecoder(SCHEMA, lambda *_: None).decode):
        with pytest.raises(ValueError, match="no JSON object"):
            read(msgspec.Raw(body))


SAME_START = ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05", "2024-01-02T08:34:05+05:30")
NO_END: tuple[object, ...] = ("later", "", 7, {}, [], None, True)


@pytest.mark.parametrize("text", [*SAME_START, "2024-01-01T19:04:05-08:00"])
@pytest.mark.parametrize("end", ["2024-01-02T04:04:05Z", "2024-01-02T04:04:05", *NO_END])
def test_keys_have_instants_in_every_form_and_no_end_if_there_is_none(
    text: str, end: object
) -> None:
    start = datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    found = read_key(msgspec.Raw(in_json({"start_time": text, "end_time": end})))
    assert found.start_time == start
    assert found.end_time == (None if end in NO_END else start + timedelta(hours=1))

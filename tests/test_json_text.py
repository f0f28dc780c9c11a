"""JSON is cut and repaired in Python exactly as msgspec would, and where msgspec would not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_zoom_cc.zoom import json_text

HALF = rb'"\ud800"'
"""A text that msgspec refuses, so that whatever holds it is cut in Python."""

values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4)
    ).filter(lambda value: value not in {float("inf"), float("-inf")}),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), values, max_size=4), st.sampled_from([None, 1]))
def test_members_are_the_same_as_msgspecs(value: dict[str, Any], indent: int | None) -> None:
    text = json_text.repaired(json.dumps(value, indent=indent).encode())
    by_msgspec = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    assert json_text.members(text) == {name: bytes(raw) for name, raw in by_msgspec.items()}
    opened = text.rstrip(b"}").rstrip() if value == {} else text[:-1].rstrip() + b","
    in_python = json_text.members(opened + b'"half": ' + HALF + b"}")
    assert in_python.pop("half") == HALF
    in_python.pop("half", None)
    expected = {name: bytes(raw) for name, raw in by_msgspec.items() if name != "half"}
    assert in_python == expected


@given(st.lists(values, max_size=4), st.sampled_from([None, 1]))
def test_entries_are_the_same_as_msgspecs(value: list[Any], indent: int | None) -> None:
    text = json_text.repaired(json.dumps(value, indent=indent).encode())
    by_msgspec = [bytes(raw) for raw in msgspec.json.decode(text, type=list[msgspec.Raw])]
    assert json_text.entries(text) == by_msgspec
    assert json_text.entries(b"[" + HALF + b"," + text + b"]") == [HALF, text]


def accepted(text: bytes) -> bool:
    """Return whether Python's own reader of JSON takes a text, which takes half characters."""

    def refuse(_: str) -> None:
        raise ValueError

    try:
        return isinstance(json.loads(text.decode(), parse_constant=refuse), list)
    except ValueError:
        return False


pieces = st.sampled_from(
    ["[", "]", "{", "}", ",", ":", '"a"', '"', "1", "-", "0", ".5", "e1", "true", "nul", " ", "\\"]
)


@given(st.lists(pieces, max_size=12).map("".join))
@example("[],")
@example("[1],")
@example("[] []")
@example("[1 2]")
@example("[1,]")
@example("[01]")
@example('[{"a" 1}]')
@example('[{"a":1,}]')
@example('["a\nb"]')
@example('[{"a":1]')
def test_what_is_no_json_is_refused(noise: str) -> None:
    text = b"[" + HALF + b"," + noise.encode() + b"]"
    for candidate in (text, b"[" + HALF + noise.encode(), noise.encode()):
        if accepted(candidate):
            assert json_text.entries(candidate) is not None
        else:
            with pytest.raises(ValueError, match="JSON"):
                json_text.entries(candidate)


@pytest.mark.parametrize(
    ("text", "levels"),
    [(b"1", 0), (b"[]", 1), (b'{"a": [1]}', 2), (b'["[[[", {}, {"b": "}"}]', 2)],
)
def test_levels_are_counted_outside_of_texts(text: bytes, levels: int) -> None:
    assert not json_text.is_deeper_than(text, levels)
    assert levels == 0 or json_text.is_deeper_than(text, levels - 1)


@given(st.text(st.characters(codec="utf-8")), st.binary(max_size=4))
def test_repaired_text_is_unicode_and_what_was_in_order_stays(text: str, noise: bytes) -> None:
    good = msgspec.json.encode(text)
    assert json_text.repaired(good) == good
    escaped = json.dumps(text).encode()
    assert json_text.repaired(escaped) == escaped
    json_text.repaired(noise + escaped + noise).decode()


def test_a_million_levels_are_cut_and_cost_no_stack() -> None:
    deep = b"[" * 1_000_000 + b"]" * 1_000_000
    assert json_text.members(b'{"a": %b, "b": %b}' % (deep, HALF)) == {"a": deep, "b": HALF}

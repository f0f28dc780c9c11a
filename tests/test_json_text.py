"""JSON that msgspec refuses is read whole: every text, every digit, and values at any depth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_zoom_cc.zoom import json_text

if TYPE_CHECKING:
    from tap_zoom_cc.zoom.json_text import Json

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=4),
        st.sampled_from(["[", '"{', "\\", "]}\\"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
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


@given(st.lists(st.integers() | st.lists(st.text(max_size=3)), max_size=4))
def test_what_is_too_deep_stays_as_it_came(entries: list[Any]) -> None:
    text = json.dumps(entries, indent=3)
    found = json_text.read(text.encode(), levels=1)
    assert isinstance(found, list)
    assert [bytes(entry).decode() in text for entry in found] == [True] * len(entries)  # type: ignore[arg-type]
    assert [json.loads(bytes(entry)) for entry in found] == entries  # type: ignore[arg-type]


def accepted(text: bytes) -> bool:
    """Return whether Python's own reader of JSON takes a text."""

    def refuse(_: str) -> None:
        raise ValueError

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


pieces = st.sampled_from(
    ["[", "]", "{", "}", ",", ":", '"a"', '"', "1", "-", "0", ".5", "e1", "true", "NaN", " ", "\\"]
)


@given(st.lists(pieces, max_size=12).map("".join))
@example("[],")
@example("[1],")
@example("[] []")
@example("[1 2]")
@example("[1,]")
@example("[01]")
@example("NaN")
@example('[{"a" 1}]')
@example('[{"a":1,}]')
@example('["a\nb"]')
@example('[{"a":1]')
def test_what_is_no_json_is_refused(noise: str) -> None:
    for text in (f"[{noise}]", noise):
        if accepted(text.encode()):
            json_text.read(text.encode())
        else:
            with pytest.raises(ValueError, match=r"."):
                json_text.read(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        b"[[[1]]",
        b"[[[1]]]]",
        b"[[[1]], NaN]",
        b"[NaN, [[1]]]",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 99_999,
        b"]" * 100_000,
        b'[[["' + b'\\"' * 1_000_000,
    ],
)
@pytest.mark.parametrize("levels", [1, json_text.MOST_LEVELS])
def test_brackets_that_do_not_fit_together_are_refused_at_any_depth(
    text: bytes, levels: int
) -> None:
    with pytest.raises(ValueError, match=r"."):
        json_text.read(text, levels)


@given(st.text(st.characters(codec="utf-8")), st.binary(max_size=4))
def test_repaired_text_is_unicode_and_what_was_in_order_stays(text: str, noise: bytes) -> None:
    assert json_text.repaired(text) == text
    assert json_text.repaired(json_text.read(json.dumps(text).encode())) == text
    quoted = b'"' + noise.translate(None, bytes(range(32)) + b'"\\') + b'"'
    found = json_text.repaired(json_text.read(quoted))
    assert isinstance(found, str)
    found.encode()


def test_very_many_levels_are_kept_and_cost_no_stack() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    found = json_text.read(b'{"a": %b, "b": "\\ud800", "c": [1]}' % deep)
    assert isinstance(found, dict)
    assert msgspec.json.encode(found.pop("a")) == deep
    assert written(found) == {"b": "\ufffd", "c": [1]}

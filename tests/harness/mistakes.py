"""Draws JSON that is nearly what it should be: hypothesis' strategies for mistakes in files."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

_NAMES = ("sms", "*", "account_id", "start_time", "partitions", "record", "INCREMENTAL")
_SPECIAL = ("__NULL__", "__source__", "__else__", "__alias__", "1/0", "{", "")
_DATES = ("2024-01-15", "0001-01-01", "9999-12-31T23:59:59-14:00")
_URLS = ("https://zoom..us/", "https://[::1", "https://localhost:1/v2\n", "http://127.0.0.1:9/…")
_CHARACTERS = ("\u200b", "\ud800", "\x1b[31m\x00\r\n", "'\\ud800'")
_TEXTS = st.text(max_size=12) | st.sampled_from([*_NAMES, *_SPECIAL, *_DATES, *_URLS, *_CHARACTERS])
_LARGE = st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**400])
_NUMBERS = st.integers(-3, 3) | st.integers() | _LARGE | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_DEEP = st.sampled_from([60, 1_000, 100_000]).map(lambda depth: b"[" * depth + b"]" * depth)


@st.composite
def mistaken(draw: st.DrawFn, value: Any) -> Any:  # noqa: ANN401 (of any JSON)
    """Draw a copy of a value in which something was replaced, added or left out."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        around, part = value, value
        key: Any = ""
        while isinstance(part, (dict, list)) and part and draw(st.integers(0, 4)):
            around = part
            keys = sorted(part) if isinstance(part, dict) else range(len(part))
            key = draw(st.sampled_from(keys))
            part = part[key]
        new = draw(VALUES | st.just(part))
        match draw(st.sampled_from(["replace", "replace", "leave out", "add"])), around:
            case _, {} | []:
                continue
            case "leave out", _ if around is not part:
                del around[key]
            case "add", dict():
                around[draw(_TEXTS)] = new
            case "add", list():
                around.append(new)
            case _ if around is not part:
                around[key] = new
    return value


@st.composite
def files(draw: st.DrawFn, value: Any) -> bytes:  # noqa: ANN401 (of any JSON)
    """Draw what a file holds that should hold a value."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(_DEEP | st.binary(max_size=20))
    text = json.dumps(draw(mistaken(value)), ensure_ascii=draw(st.booleans()))
    encodings = st.sampled_from(["utf-8"] * 5 + ["utf-16", "utf-32", "utf-8-sig"])
    content = text.encode(draw(encodings), "surrogatepass")
    if kind == 1:
        place = draw(st.integers(0, len(content)))
        content = content[:place] + draw(st.binary(max_size=3)) + content[place + 1 :]
    return content

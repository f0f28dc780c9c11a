"""JSON as text: its parts are cut out as they stand, at any depth, and repaired where they must be.

msgspec does this in C, and is asked first. It refuses what is nested deeper than the interpreter
allows (which depends on the version of Python) and a text with half of a surrogate pair. Neither is
a reason to lose the values beside it, so this module can do the same in Python, without recursion.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACE = rb"[ \t\n\r]*"
_STRING = rb'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_EMPTY = rb"\[" + _SPACE + rb"\]|\{" + _SPACE + rb"\}"

_VALUE_OR_OPENING = re.compile(
    _SPACE + rb"(" + rb"|".join((_STRING, _NUMBER, rb"true|false|null", _EMPTY, rb"[\[{]")) + rb")"
)
_NAME = re.compile(_SPACE + rb"(?P<name>" + _STRING + rb")" + _SPACE + rb":")
_NEXT = {
    b"[": re.compile(_SPACE + rb"(?:,(?P<name>)|(?P<closing>\]))"),
    b"{": re.compile(_SPACE + rb"(?:," + _NAME.pattern + rb"|(?P<closing>\}))"),
}
"""What follows a value inside of each container: the way to the next value, or the end."""

_STRING_OR_BRACKET = re.compile(_STRING + rb"|(?P<opening>[\[{])|(?P<closing>[\]}])")

_ESCAPE = re.compile(
    rb"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\.",
    re.DOTALL,
)

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entries_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_text_decoder = msgspec.json.Decoder(str)


def members(json: bytes) -> dict[str, bytes]:
    """Return the members of an object by name, each value as JSON; of equal names the last counts.

    Raises:
        ValueError: if that is no JSON object.
    """
    try:
        return {name: bytes(value) for name, value in _members_decoder.decode(json).items()}
    except _UNREADABLE:
        return {read_text(name): value for name, value in _parts(json, b"{")}


def entries(json: bytes) -> list[bytes]:
    """Return the entries of an array, each as JSON.

    Raises:
        ValueError: if that is no JSON array.
    """
    try:
        return [bytes(value) for value in _entries_decoder.decode(json)]
    except _UNREADABLE:
        return [value for _, value in _parts(json, b"[")]


def read_text(json: bytes) -> str:
    """Return the text that a JSON string holds, repaired if need be."""
    return _text_decoder.decode(repaired(json))


def repaired(json: bytes) -> bytes:
    """Return JSON that every reader takes: U+FFFD where a text is no text.

    That is where half of a surrogate pair stands alone, and where the bytes are not UTF-8.
    """
    if not json.isascii():
        json = json.decode("utf-8", "replace").encode()
    if b"\\u" not in json:
        return json
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found["half"] else found[0], json)


def is_deeper_than(json: bytes, levels: int) -> bool:
    """Return whether arrays and objects are nested in more than that many levels."""
    if json.count(b"[") + json.count(b"{") <= levels:
        return False
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(json):
        depth += (found["opening"] is not None) - (found["closing"] is not None)
        if depth > levels:
            return True
    return False


def _parts(json: bytes, container: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name (as JSON; empty in an array) and value of all that is directly in a container.

    Raises:
        ValueError: if the JSON is malformed, or no such container.
    """
    if json.lstrip(b" \t\n\r")[:1] != container:
        message = f"this is no JSON {'object' if container == b'{' else 'array'}"
        raise ValueError(message)
    around: list[bytes] = []
    name = b""
    begin = at = 0
    while True:
        found = _match(_VALUE_OR_OPENING, json, at)
        at = found.end()
        begin = found.start(1) if len(around) == 1 else begin
        if found[1] in _NEXT:
            around.append(found[1])
            if found[1] == b"{":
                found = _match(_NAME, json, at)
                at = found.end()
                name = found["name"] if len(around) == 1 else name
            continue
        while around:
            if len(around) == 1:
                yield name, json[begin:at]
            found = _match(_NEXT[around[-1]], json, at)
            at = found.end()
            if found["closing"] is None:
                name = found["name"] if len(around) == 1 else name
                break
            around.pop()
        if not around:
            break
    if json[at:].strip(b" \t\n\r"):
        message = f"JSON is malformed: more follows after its end (byte {at})"
        raise ValueError(message)


def _match(pattern: re.Pattern[bytes], json: bytes, at: int) -> re.Match[bytes]:
    found = pattern.match(json, at)
    if found is None:
        message = f"JSON is malformed at byte {at}"
        raise ValueError(message)
    return found

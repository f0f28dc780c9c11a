"""JSON that msgspec refuses, read by the standard library's `json` so that nothing in it is lost.

msgspec refuses a text with half of a surrogate pair, and what is nested deeper than the interpreter
allows, which depends on the version of Python. Neither is a reason to lose the values beside it.
Numbers and what is nested too deeply stay JSON (`msgspec.Raw`) in what is read, and
``msgspec.json.encode`` writes them as they came: no digit and no level is lost.
"""

from __future__ import annotations

import re
from json import JSONDecoder
from typing import TypeAlias, cast

import msgspec

Json: TypeAlias = "bool | str | msgspec.Raw | list[Json] | dict[str, Json] | None"
"""A value as `read` returns it. Texts may have half surrogates, which `repaired` replaces."""

MOST_LEVELS = 100
"""How deep arrays and objects are read into.

That is less than `json`, msgspec and the readers of JSON in targets take, in any version of Python.
"""

_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


def read(json: bytes, levels: int = MOST_LEVELS) -> Json:
    """Read JSON; a byte that is not UTF-8 becomes half of a surrogate pair.

    Arrays and objects in more than so many levels stay JSON as it came, which is not validated.

    Raises:
        ValueError: if it is no JSON.
    """
    text, deep = cut(json.decode("utf-8", "surrogateescape"), levels)
    decoder = _decoder(deep) if deep else _ordinary
    try:
        return cast("Json", decoder.decode(text))
    except RecursionError as error:
        raise ValueError("JSON is malformed: a bracket is not closed") from error


def cut(text: str, levels: int) -> tuple[str, list[str]]:
    """Cut out of JSON the arrays and objects that are nested in more than so many levels.

    Only brackets outside of strings are looked at, without recursion.

    Returns:
        The JSON, with the constant ``NaN`` (which is no JSON) in each place, and what was cut out.
    """
    if text.count("[") + text.count("{") <= levels:
        return text, []
    kept: list[str] = []
    deep: list[str] = []
    depth = begin = end = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        mark = text[found.start()]
        if mark in "[{":
            depth += 1
            if depth == levels + 1:
                begin = found.start()
        elif mark in "]}":
            depth -= 1
            if depth == levels:
                kept += text[end:begin], "NaN"
                end = found.end()
                deep.append(text[begin:end])
    return "".join((*kept, text[end:])), deep


def _decoder(deep: list[str]) -> JSONDecoder:
    """Return a decoder that puts these values, in turn, where it finds a constant."""
    values = iter(deep)

    def constant(name: str) -> msgspec.Raw:
        value = next(values, None)
        if value is None:
            raise ValueError(f"JSON is malformed: {name} is no value")
        return msgspec.Raw(value.encode("utf-8", "surrogateescape"))

    return JSONDecoder(parse_float=msgspec.Raw, parse_int=msgspec.Raw, parse_constant=constant)


_ordinary = _decoder([])


def repaired(value: Json) -> Json:
    """Return a value with U+FFFD for each half of a surrogate pair that stands alone."""
    match value:
        case str():
            return repaired_text(value)
        case list():
            return [repaired(entry) for entry in value]
        case dict():
            return {repaired_text(name): repaired(member) for name, member in value.items()}
    return value


def repaired_text(text: str) -> str:
    """Return `repaired` of a text."""
    return _HALF_SURROGATE.sub("\ufffd", text)

"""Single values: from JSON to their declared type, where that is possible without any loss.

A value that would come out as another one is no value of that type: digits beyond those that a
float holds, an integer that no 64-bit column takes, a text that merely resembles a number.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal, DecimalException

import msgspec

from tap_zoom_cc.zoom import json_text
from tap_zoom_cc.zoom.instants import format_instant, parse_instant

SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1
"""What Zoom's documents (``int64``) and every target's integer columns hold."""

MOST_LEVELS = 100
"""How deep a value may be nested for which no schema says what is in it.

Below what msgspec and the readers of JSON in targets take, whatever the version of Python.
"""

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)

_PLAIN_UTC = re.compile(
    r"([12]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:Z|\+00:00)",
    re.ASCII,
)
"""The two forms in which nearly all instants come, on days that every month has."""


class UnfitError(ValueError):
    """A value that cannot be brought to its declared type without loss."""


def instant_in_utc(text: str) -> str | None:
    """Return the same instant in UTC with an offset; an empty text is no instant, and no loss.

    Raises:
        UnfitError: if the text is no date or date-time.
    """
    if plain := _PLAIN_UTC.fullmatch(text):
        return f"{plain[1]}+00:00"
    if not text:
        return None
    try:
        return format_instant(parse_instant(text))
    except ValueError as error:
        raise UnfitError from error


def converted(json: bytes, kind: str) -> str | int | float | bool:
    """Return a JSON value of another type in the declared one.

    Args:
        json: the value, in UTF-8.
        kind: ``string``, ``integer``, ``number`` or ``boolean``.

    Raises:
        UnfitError: if it would not be the same value.
    """
    is_text = json.startswith(b'"')
    text = json_text.read_text(json) if is_text else json.decode()
    match kind:
        case "string" if not is_text and text[:1] not in {"[", "{"}:
            return text
        case "boolean" if is_text and text in {"true", "false"}:
            return text == "true"
        case "integer":
            return _integer(text)
        case "number":
            return _number(text)
    raise UnfitError


def number(json: bytes) -> int | float | None:
    """Return the number that JSON holds, with all of its digits, or null.

    Raises:
        UnfitError: if it holds none, or one that no float holds.
    """
    return None if json == b"null" else _number(json.decode())


def anything(json: bytes) -> object:
    """Return a value of which nothing is declared.

    Raises:
        UnfitError: if it is nested too deeply, or has a number that no float holds.
        msgspec.MsgspecError, UnicodeDecodeError: if it cannot be decoded.
    """
    if json_text.is_deeper_than(json, MOST_LEVELS):
        raise UnfitError
    return _anything_decoder.decode(json)


def _integer(text: str) -> int:
    value = _decimal(text)
    if not SMALLEST_INTEGER <= value <= LARGEST_INTEGER or value != value.to_integral_value():
        raise UnfitError
    return int(value)


def _number(text: str) -> int | float:
    value = _decimal(text)
    if text.lstrip("-").isdecimal() and SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        return int(text)
    nearest = float(text)
    # The shortest decimal of a float is what every writer of JSON gives for it.
    if not math.isfinite(nearest) or Decimal(repr(nearest)) != value:
        raise UnfitError
    return nearest


def _decimal(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise UnfitError
    try:
        return Decimal(text)
    except DecimalException as error:
        raise UnfitError from error


_anything_decoder = msgspec.json.Decoder(float_hook=_number)

"""What the user gives: input files and the environment, read as JSON.

Nothing here knows what a sync does. A file that cannot be used, or a setting in the environment
that cannot be read, is said in one line. Of a file nothing is quoted, of a variable at most the
beginning of what should be a number, a boolean or a log level.
"""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotenv import find_dotenv, load_dotenv

from tap_zoom_cc.run.log import excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TextIO

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
"""What is taken for a boolean in the environment."""

DEEPEST_LEVELS = 50
"""How deep input may be nested (own choice).

The SDK and the schemas' validator call themselves for each level, and Python bounds that.
"""

LARGEST_INTEGER = 2**64 - 1
SMALLEST_INTEGER = -(2**63)
"""What the writer of messages takes: a state is sent on as it came."""


@dataclass(frozen=True, slots=True)
class ConfigInput:
    """What ``--config`` gave: the settings of all files, and whether the environment counts too."""

    config: dict[str, Any] = field(default_factory=dict)
    parse_env: bool = False


class InputError(Exception):
    """The input cannot be used.

    Attributes:
        lines: what is wrong and where, one line each; they quote no secret.
    """

    def __init__(self, *lines: str) -> None:
        """Take the lines."""
        super().__init__(*lines)
        self.lines = lines


# JSON


def parse_json(content: bytes | str) -> object:
    """Return what any JSON of the input holds: of files, and of variables in the environment.

    What the standard does not know is refused (NaN, numbers without end, half a character), and so
    is what would break something later (numbers and nesting without measure).

    Args:
        content: the text, or its bytes in UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: with what is wrong; nothing is quoted.
    """
    try:
        value = json.loads(content)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        message = f"is not valid JSON: {error.msg} in {where}"
        raise ValueError(message) from error
    except UnicodeDecodeError as error:
        message = "is not valid JSON: it is not UTF-8 text"
        raise ValueError(message) from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    level = [value]
    for _ in range(DEEPEST_LEVELS):
        level = [part for container in level for part in _parts(container)]
    if level:
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP = f"is nested deeper than {DEEPEST_LEVELS} levels"


def _parts(value: object) -> Iterable[object]:
    """Return what a value consists of.

    Raises:
        ValueError: if it is a scalar that JSON does not know.
    """
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, list):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        message = "is not valid JSON: it has a number that is none (NaN), or without end"
        raise ValueError(message)
    if isinstance(value, int) and not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        message = "has an integer of more than 64 bits"
        raise ValueError(message)
    if isinstance(value, str) and not _is_text(value):
        message = "has a text with half of a surrogate pair"
        raise ValueError(message)
    return ()


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# Files


def read_config(paths: Sequence[str]) -> ConfigInput:
    """Read configuration files; settings of later ones replace those of earlier ones.

    Args:
        paths: of JSON files; ``ENV`` stands for the environment.

    Raises:
        InputError: if one of them is no JSON object.
    """
    config: dict[str, Any] = {}
    for path in paths:
        if path == "ENV":
            continue
        value, problems = _read(lambda path=path: Path(path).read_bytes(), f"--config {path}")  # type: ignore[misc]
        if problems:
            raise InputError(*problems)
        if not isinstance(value, dict):
            raise InputError(f"--config {path}: must be a JSON object")
        config |= value
    return ConfigInput(config, parse_env="ENV" in paths)


def read_json(file: TextIO | None, name: str) -> tuple[object, list[str]]:
    """Return a JSON file's value, and what is wrong with the file."""
    return (None, []) if file is None else _read(file.buffer.read, f"--{name} {file.name}")


def _read(content: Callable[[], bytes], name: str) -> tuple[object, list[str]]:
    try:
        return parse_json(content()), []
    except OSError as error:
        return None, [f"{name}: {error.strerror or type(error).__name__}"]
    except ValueError as error:
        return None, [f"{name}: {error}"]


# The environment


def from_environment(
    declared: Mapping[str, Mapping[str, Any]], prefix: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the settings in the environment and in a file ``.env``, and what is wrong with them.

    Args:
        declared: the JSON schemas of the settings, by name.
        prefix: what the variables' names begin with.
    """
    values: dict[str, Any] = {}
    problems = []
    try:
        load_dotenv(find_dotenv(usecwd=True))
    except (OSError, ValueError) as error:
        problems.append(f".env: cannot be read: {type(error).__name__}")
    for name, declaration in declared.items():
        variable = f"{prefix}{name.upper()}"
        text = os.environ.get(variable)
        if text is None:
            continue
        types = declaration.get("type", ())
        kind = next((kind for kind in _READERS if kind in types), "string")
        try:
            values[name] = _READERS[kind](text) if kind in _READERS else text
        except ValueError as error:
            right = _RIGHT.get(kind)
            wrong = f"must be {right}, not '{excerpt(text)}'" if right else str(error)
            problems.append(f"{name}: {variable} {wrong}")
    return values, problems


def with_texts_read(
    values: Mapping[str, Any], declared: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return settings of a file with texts read as those of the environment are.

    Meltano hands on what it takes from the environment as text. A text that cannot be read stays,
    and so do objects, which Meltano reads itself: the check of the settings says what is right.

    Args:
        values: the settings by name.
        declared: the JSON schemas of the settings, by name.
    """
    read = dict(values)
    for name, text in values.items():
        types = declared.get(name, {}).get("type", ())
        kind = next((kind for kind in _READERS if kind in types), "string")
        if isinstance(text, str) and text and kind not in {"string", "object"}:
            with suppress(ValueError):
                read[name] = _READERS[kind](text)
    return read


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _boolean(text: str) -> bool:
    return (*TRUE, *FALSE).index(text.lower()) < len(TRUE)


def _list(text: str) -> object:
    """Read a JSON list, or entries with commas between them."""
    return parse_json(text) if text.lstrip().startswith("[") else text.split(",")


_READERS: dict[str, Callable[[str], object]] = {
    "integer": int,
    "number": _number,
    "boolean": _boolean,
    "array": _list,
    "object": parse_json,
}

_RIGHT = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}

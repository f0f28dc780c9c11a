"""The command line's edges: input files, the environment, and exit codes that tell the truth.

Nothing here knows what a sync does. A file that cannot be used, or a setting in the environment
that cannot be read, is said in one line and never quoted.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotenv import find_dotenv, load_dotenv
from singer_sdk.exceptions import (
    ConfigValidationError,
    MapExpressionError,
    StreamMapConfigError,
)

from tap_zoom_cc.run.stopping import EXIT_FAILED
from tap_zoom_cc.zoom.answers import shorten

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO

USER_ERRORS = (ConfigValidationError, MapExpressionError, StreamMapConfigError)

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
"""What is taken for a boolean in the environment."""

SHOWN_CHARACTERS = 40

TARGET_IS_GONE = (
    "The target closed its input, so the run was ended; see the target's own log. The next run "
    "goes on from the state that the target kept"
)


@dataclass(frozen=True, slots=True)
class ConfigInput:
    """What ``--config`` gave: the settings of all files, and whether the environment counts too."""

    config: dict[str, Any] = field(default_factory=dict)
    parse_env: bool = False


class InputError(Exception):
    """A file cannot be used; the message says which and why, and quotes nothing from it."""


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
        try:
            value = json.loads(Path(path).read_bytes())
        except (OSError, ValueError) as error:
            message = f"--config {path}: {_reason(error)}"
            raise InputError(message) from error
        if not isinstance(value, dict):
            message = f"--config {path}: must be a JSON object"
            raise InputError(message)
        config |= value
    return ConfigInput(config, parse_env="ENV" in paths)


def read_json(file: IO[str] | None, name: str) -> tuple[object, list[str]]:
    """Return a JSON file's value, and what is wrong with the file."""
    if file is None:
        return None, []
    try:
        return json.loads(file.read()), []
    except ValueError as error:
        return None, [f"{name}: {_reason(error)}"]


def _reason(error: Exception) -> str:
    """Say why a file could not be read, without quoting from it."""
    if isinstance(error, json.JSONDecodeError):
        return f"is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8 text"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)


def from_environment(
    declared: Mapping[str, Mapping[str, Any]], prefix: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the settings in the environment and in a file ``.env``, and what is wrong with them.

    Args:
        declared: the JSON schemas of the settings, by name.
        prefix: what the variables' names begin with.
    """
    load_dotenv(find_dotenv(usecwd=True))
    values: dict[str, Any] = {}
    problems = []
    for name, declaration in declared.items():
        variable = f"{prefix}{name.upper()}"
        text = os.environ.get(variable)
        if text is None:
            continue
        types = declaration.get("type", ())
        kind = next((kind for kind in _READERS if kind in types), "string")
        try:
            values[name] = _READERS[kind](text) if kind in _READERS else text
        except ValueError:
            right = {"object": "a JSON object", "boolean": "true or false"}.get(kind, "a number")
            right = "a whole number" if kind == "integer" else right
            problems.append(f"{name}: {variable} must be {right}, not '{text[:SHOWN_CHARACTERS]}'")
    return values, problems


def _boolean(text: str) -> bool:
    return (*TRUE, *FALSE).index(text.lower()) < len(TRUE)


def _list(text: str) -> object:
    """Read a JSON list, or entries with commas between them."""
    return json.loads(text) if text.lstrip().startswith("[") else text.split(",")


_READERS: dict[str, Callable[[str], object]] = {
    "integer": int,
    "number": float,
    "boolean": _boolean,
    "array": _list,
    "object": json.loads,
}


def exit_code_of(action: Callable[[], int], logger: logging.Logger) -> int:
    """Call a function that returns an exit code; what the user can mend becomes lines, and code 1.

    Args:
        action: what the command does.
        logger: for the lines, one for each thing that is wrong.

    Raises:
        Exception: what is nobody's input but a fault of the tap.
    """
    try:
        return action()
    except ConfigValidationError as error:
        lines = list(error.errors)
    except BrokenPipeError:
        # Python would write to it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        lines = [TARGET_IS_GONE]
    except Exception as error:
        if not isinstance(error, USER_ERRORS) and not _comes_from_a_stream_map(error):
            raise
        reason = f"{type(error).__name__}: {shorten(str(error))}"
        lines = [f"stream_maps: an expression fails: {reason}"]
    for line in lines:
        logger.error(line)
    return EXIT_FAILED


def _comes_from_a_stream_map(error: Exception) -> bool:
    """Say whether an error came out of an expression in ``stream_maps``: it can be of any type."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") == "singer_sdk.mapper" for frame, _ in frames)

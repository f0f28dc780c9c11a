"""What a run is given: settings of files and of the environment, state and catalog.

They are read, checked in full before anything is requested, and turned into the values that a run
uses. Everything that is wrong is said at once, one line each. Of a file that is no JSON nothing is
quoted, and of a secret neither.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotenv import find_dotenv, load_dotenv

from tap_zoom_cc.configuration import CONFIG_SCHEMA, VARIABLE_PREFIX
from tap_zoom_cc.environment import certificate_problems, proxy_problems
from tap_zoom_cc.input_schemas import catalog_mistakes, settings_mistakes, state_mistakes
from tap_zoom_cc.run.settings import Settings
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS
from tap_zoom_cc.sync.bookmarks import longest_rest
from tap_zoom_cc.sync.windows import LONGEST_WINDOW
from tap_zoom_cc.zoom.filters import query_parameters
from tap_zoom_cc.zoom.instants import BEFORE_ZOOM, format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from typing import TextIO

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
"""What is taken for a boolean in a text."""

DEEPEST_LEVELS = 50
"""How deep input may be nested (own choice).

The SDK and the schemas' validator call themselves for each level, and Python bounds that.
"""

SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**64 - 1
"""What every writer of messages takes: a state is sent on as it came."""


class InputError(Exception):
    """The input cannot be used: each argument is a line that says what is wrong, and where."""


@dataclass(frozen=True, slots=True)
class Input:
    """What a run is given, all of it in order: the tap's own settings, and the rest for the SDK."""

    settings: Settings
    config: dict[str, Any]
    state: Any
    catalog: Any


def read_input(
    config: Sequence[str], state: TextIO | None, catalog: TextIO | None, *, now: datetime
) -> Input:
    """Read and check all that a run is given: settings as of `read_config`, and both files.

    ``now`` is the start of the run, in UTC.

    Raises:
        InputError: with everything that is wrong.
    """
    lines: list[str] = []
    settings, values = None, dict[str, Any]()
    try:
        values = read_config(config)
        settings = settings_from(values, now=now)
        lines += proxy_problems((settings.api_url, settings.token_url))
    except InputError as error:
        lines += error.args
    # The file of variables, which has been read by now, may name some, too.
    lines += certificate_problems()
    given = dict[str, Any]()
    for name, file, check in (
        ("state", state, partial(state_mistakes, now=now)),
        ("catalog", catalog, catalog_mistakes),
    ):
        if file is not None:
            try:
                given[name] = _read(file.buffer.read, f"--{name} {file.name}")
                lines += check(given[name])
            except InputError as error:
                lines += error.args
    if settings is None or lines:
        raise InputError(*lines)
    return Input(settings, values, given.get("state"), given.get("catalog"))


# Files and variables


def read_config(paths: Sequence[str]) -> dict[str, Any]:
    """Read the settings of files and of the environment; later ones replace earlier ones.

    Args:
        paths: of JSON files; ``ENV`` stands for the environment, which replaces what files say.

    Raises:
        InputError: if a file cannot be read, or is no JSON object.
    """
    config: dict[str, Any] = {}
    for path in paths:
        if path != "ENV":
            value = _read(Path(path).read_bytes, f"--config {path}")
            if not isinstance(value, dict):
                raise InputError(f"--config {path}: must be a JSON object")
            config |= value
    if "ENV" in paths:
        try:
            load_dotenv(find_dotenv(usecwd=True))
        except (OSError, ValueError) as error:
            raise InputError(f".env: cannot be read: {type(error).__name__}") from error
        for name in CONFIG_SCHEMA["properties"]:
            variable = f"{VARIABLE_PREFIX}{name.upper()}"
            if variable in os.environ:
                config[name] = os.environ[variable]
    return {name: value for name, value in with_texts_read(config).items() if value is not None}


def _read(read: Callable[[], bytes], name: str) -> object:
    try:
        return parse_json(read())
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or type(error).__name__}") from error
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error


def parse_json(content: bytes | str) -> object:
    """Return what any JSON of the input holds: of files, and of variables.

    What the standard does not know is refused (NaN, numbers without end, half a character), and so
    is what would break something later (numbers and nesting without measure).

    Args:
        content: the text, or its bytes in UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: with what is wrong; nothing is quoted.
    """
    too_deep = f"is nested deeper than {DEEPEST_LEVELS} levels"
    try:
        value = json.loads(content, parse_constant=_number, parse_float=_number, parse_int=_integer)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"is not valid JSON: {error.msg} in {where}") from error
    except UnicodeDecodeError as error:
        raise ValueError("is not valid JSON: it is not UTF-8 text") from error
    except UnicodeEncodeError as error:
        raise ValueError("has a text with half of a surrogate pair") from error
    except RecursionError as error:
        raise ValueError(too_deep) from error
    level = [value]
    for _ in range(DEEPEST_LEVELS):
        lists = [list(each.values()) if isinstance(each, dict) else each for each in level]
        level = [part for each in lists if isinstance(each, list) for part in each]
    if level:
        raise ValueError(too_deep)
    return value


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("is not valid JSON: it has a number that is none (NaN), or without end")
    return number


def _integer(text: str) -> int:
    # Python reads no more than some thousand digits.
    if len(text) > len(str(SMALLEST_INTEGER)) or not (
        SMALLEST_INTEGER <= int(text) <= LARGEST_INTEGER
    ):
        raise ValueError("has an integer of more than 64 bits")
    return int(text)


def with_texts_read(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with texts read as their declarations say.

    Variables are texts, and Meltano hands on as texts what it takes from variables. A text that
    cannot be read stays, for the check of the settings says what is right; in the place of one that
    should be JSON is the ValueError that says why it is none.
    """
    read = dict(values)
    for name, text in values.items():
        for kind in CONFIG_SCHEMA["properties"].get(name, {}).get("type", ()):
            if kind in _READERS and isinstance(text, str):
                try:
                    read[name] = _READERS[kind](text)
                except ValueError as error:
                    read[name] = error if kind in {"array", "object"} else text
    return read


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


# The settings


def settings_from(config: Mapping[str, Any], *, now: datetime) -> Settings:
    """Check a configuration in full and return its values.

    Args:
        config: the settings by name.
        now: the start of the run, in UTC.

    Raises:
        InputError: with one line for each thing that is wrong.
    """
    given = {name: value for name, value in config.items() if value is not None}
    lines = settings_mistakes(given)
    if lines:
        raise InputError(*lines)
    declared: dict[str, dict[str, Any]] = CONFIG_SCHEMA["properties"]
    defaults = {name: each["default"] for name, each in declared.items() if "default" in each}
    settings = _settings_of(defaults | given, now)
    lines = _contradictions(settings, now)
    if lines:
        raise InputError(*lines)
    return settings


def _settings_of(values: Mapping[str, Any], now: datetime) -> Settings:
    """Return values as a run uses them; they fit their declarations."""
    account_ids = values.get("sub_account_ids")
    start, end, most = (
        values.get(name) for name in ("start_date", "end_date", "max_requests_per_run")
    )
    end_date = parse_instant(end) if end else None
    return Settings(
        account_id=values["account_id"],
        client_id=values["client_id"],
        client_secret=values["client_secret"],
        sub_account_ids=None if account_ids is None else tuple(dict.fromkeys(account_ids)),
        include_own_account=values["include_own_account"],
        start_date=max(parse_instant(start), BEFORE_ZOOM) if start else None,
        end_date=end_date,
        lookbacks={
            stream.name: timedelta(days=float(values[f"{stream.name}_lookback_days"]))
            for stream in ENGAGEMENT_STREAMS
        },
        filters={
            stream.name: query_parameters(stream.name, values[f"{stream.name}_filters"])
            for stream in ENGAGEMENT_STREAMS
        },
        requests_per_second=float(values["requests_per_second"]),
        max_concurrency=int(values["max_concurrency"]),
        max_requests_per_run=None if most is None else int(most),
        longest_rest=longest_rest(
            timedelta(hours=float(values["quiet_accounts_hours"])), end_date=end_date, now=now
        ),
        accepts_less=values["on_count_mismatch"] == "warn",
        api_url=values["api_url"].rstrip("/"),
        token_url=values["token_url"].rstrip("/"),
        user_agent=values.get("user_agent") or "",
    )


def _contradictions(settings: Settings, now: datetime) -> list[str]:
    """Say what would make a run that reads nothing, or not what was meant."""
    start, end = settings.start_date, settings.end_date
    lines = []
    if settings.sub_account_ids == () and not settings.include_own_account:
        lines.append(
            "sub_account_ids: is empty, so nothing would be read; name accounts, remove it to read "
            "every sub account, or set include_own_account"
        )
    if start and start > now:
        lines.append(
            f"start_date: {format_instant(start)} lies in the future; nothing could be read"
        )
    elif start and end and end <= start:
        lines.append(
            f"end_date: {format_instant(end)} is not after start_date {format_instant(start)}; "
            "nothing could be read"
        )
    elif end and not start and end <= now - LONGEST_WINDOW:
        lines.append(
            f"end_date: {format_instant(end)} lies more than 28 days back; set start_date as "
            "well, or accounts without a bookmark would not be read"
        )
    return lines

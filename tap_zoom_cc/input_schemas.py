"""Settings, state and catalog are checked here, by a JSON schema of each.

What is refused is that by which a sync could lose rows without a word, or make them twice, and what
the SDK could not work with. The schemas have two keywords that JSON Schema does not know:
``otherwise`` is said where a schema is not met, and ``things`` is what ``properties`` are.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatch
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING, Any, cast

from jsonschema import Draft202012Validator
from singer_sdk.singerlib.catalog import (
    REPLICATION_FULL_TABLE,
    REPLICATION_INCREMENTAL,
    MetadataMapping,
)

from tap_zoom_cc.configuration import (
    CONFIG_SCHEMA,
    FORMAT_CHECKER,
    FORMATS,
    VARIABLE_PREFIX,
    format_checker,
)
from tap_zoom_cc.run.log import excerpt, nearest, printable
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS, KEYS
from tap_zoom_cc.sync.bookmarks import INSTANT_FIELDS, MOST_AHEAD, REPLICATION_KEY
from tap_zoom_cc.zoom.filters import SCHEMAS, filters_schema
from tap_zoom_cc.zoom.instants import BEFORE_ZOOM, format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from jsonschema import FormatChecker
    from jsonschema.exceptions import ValidationError

    from tap_zoom_cc.configuration import JsonSchema

NOUNS = {
    "object": "an object",
    "array": "a list",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
}
"""The types of JSON in words."""

BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}


def mistakes(value: object, schema: JsonSchema, formats: FormatChecker | None = None) -> list[str]:
    """Return what is wrong with a value by a JSON schema, one line for each place in it."""
    lines: dict[str, str] = {}
    for error in Draft202012Validator(schema, format_checker=formats).iter_errors(value):
        place = error.json_path.removeprefix("$")
        if error.validator == "additionalProperties":
            lines |= {f"{place}.{name}": words for name, words in _unknown(error).items()}
        else:
            lines.setdefault(place, _words(error))
    return [f"{place.removeprefix('.')}: {words}" for place, words in lines.items()]


def _unknown(error: ValidationError) -> dict[str, str]:
    """Say of each name that is not among the ``properties`` which one may be meant."""
    schema, value = cast("JsonSchema", error.schema), cast("JsonSchema", error.instance)
    known = [name for name, each in schema["properties"].items() if "not" not in each]
    words, there_are = f"there is no such {schema['things']}", f"; there are {', '.join(known)}"
    unknown = [name for name in value if name not in schema["properties"]]
    return {excerpt(name): words + (nearest(name, known) or there_are) for name in unknown}


def _words(error: ValidationError) -> str:
    """Say what is right by the part of the schema that is not met, and what was found instead."""
    schema, value = cast("JsonSchema", error.schema), error.instance
    if isinstance(value, ValueError):
        return f"must be {_right(schema)}; the text {value}"
    if "otherwise" in schema:
        return str(schema["otherwise"])
    if error.cause and schema["format"] not in FORMATS:
        return str(error.cause)
    if error.validator not in {"enum", "format", "type", *BOUNDS}:
        return printable(error.message.replace(repr(value), f"'{excerpt(value)}'"))
    # A URL may hold a password.
    is_private = schema.get("secret") or schema.get("format") == "uri"
    return f"must be {_right(schema)}" + ("" if is_private else f", not '{excerpt(value)}'")


def _right(schema: JsonSchema) -> str:
    """Say in words what a schema takes."""
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    kind = next(kind for kind in NOUNS if kind in schema["type"])
    bounds = [f"{words} {schema[name]}" for name, words in BOUNDS.items() if name in schema]
    return ", ".join([FORMATS.get(schema.get("format", ""), NOUNS[kind]), *bounds])


LEFT_OUT = (None, "__NULL__")
"""What a stream map gives a field, or a stream, that is not to be loaded."""

WITH_BOOKMARKS = [stream.name for stream in ENGAGEMENT_STREAMS]


# Parts of schemas

TEXT: JsonSchema = {"type": "string"}
CLOSED: JsonSchema = {"additionalProperties": False}


def an_object(*required: str, **properties: JsonSchema) -> JsonSchema:
    """Return the schema of an object, with the names that it must have and what names hold."""
    return {"type": "object", "required": required, "properties": properties}


def a_list(items: JsonSchema) -> JsonSchema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def refused(words: str) -> JsonSchema:
    """Return a schema that nothing meets."""
    return {"not": {}, "otherwise": words}


# The settings

ELSE: JsonSchema = {"enum": LEFT_OUT, "otherwise": "must be null"}

STREAM_MAPS = an_object(__else__=ELSE) | {
    "additionalProperties": an_object(
        **dict.fromkeys(("__alias__", "__filter__", "__source__"), TEXT),
        __else__=ELSE,
        __key_properties__=a_list(TEXT),
    )
    | {"type": ["object", "string", "null"], "additionalProperties": {"type": ["string", "null"]}}
}
"""As the SDK declares them, whose own schema is none: it has a text in the place of a schema."""

STREAM_MAP_CONFIG = an_object() | {
    "otherwise": "must be an object",
    # Meltano makes null of a variable that is not set: a hash without its salt hides nothing.
    "additionalProperties": {
        "not": {"enum": [None, ""]},
        "otherwise": "is empty; set it, or the environment variable it is taken from",
    },
}


def _required(name: str) -> JsonSchema:
    page = "copy it from the Zoom app's page 'App Credentials' into"
    file = "or into the file that --config names"
    words = f"is missing; {page} {VARIABLE_PREFIX}{name.upper()}, {file}"
    return {"allOf": [{"minLength": 1, "otherwise": words}], **CONFIG_SCHEMA["properties"][name]}


SETTINGS = (
    an_object(
        **CONFIG_SCHEMA["properties"]
        | {name: _required(name) for name in CONFIG_SCHEMA["required"]}
        | {f"{name}_filters": filters_schema(name) for name in WITH_BOOKMARKS}
        | {
            "stream_maps": STREAM_MAPS,
            "stream_map_config": STREAM_MAP_CONFIG,
            # The SDK reads it without declaring it.
            "user_agent": {"type": "string", "format": "header"},
            "batch_config": refused(
                "BATCH messages are not offered: state would overtake the rows; remove it"
            ),
            "emit_activate_version_messages": refused(
                "ACTIVATE_VERSION is not offered: when one account fails, a target would delete "
                "good rows; remove it"
            ),
        }
    )
    | CLOSED
    | {"things": "setting"}
)


def settings_mistakes(given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with settings, none of them null: with each, not with several."""
    settings = dict.fromkeys(CONFIG_SCHEMA["required"], "") | dict(given)
    lines = mistakes(settings, SETTINGS, FORMAT_CHECKER)
    return lines or _stream_map_mistakes(given.get("stream_maps", {}))


def _stream_map_mistakes(maps: Mapping[str, Any]) -> list[str]:
    """Say which stream maps would do nothing: what they were to hide would be loaded as it is."""
    lines = []
    for key, definition in maps.items():
        options = definition if isinstance(definition, dict) else {}
        source = options.get("__source__", key)
        streams = [name for name in KEYS if fnmatch(name, source)]
        if not streams and key != "__else__":
            lines.append(f"stream_maps.{key}: there is no stream '{source}'{nearest(source, KEYS)}")
        fields = {name for each in streams for name in SCHEMAS.get_schema(each)["properties"]}
        lines += [
            f"stream_maps.{key}.{name}: there is no such field to leave out{nearest(name, fields)}"
            for name, value in options.items()
            if streams and value in LEFT_OUT and name not in fields and not name.startswith("__")
        ]
    return lines


# The state

MARKERS = an_object() | {"otherwise": "must be an object; remove them"}

BOOKMARK = {"type": ["string", "null"], "format": "bookmark"}

PARTITION = an_object(
    context=an_object("account_id", account_id=TEXT)
    | {"maxProperties": 1, "otherwise": "must be an account_id and nothing more"},
    progress_markers=MARKERS,
    replication_key={"const": REPLICATION_KEY},
    **dict.fromkeys(("replication_key_value", *INSTANT_FIELDS), BOOKMARK),
) | {
    "allOf": [{"required": ["context"], "otherwise": 'has no context such as {"account_id": "…"}'}],
    "dependentRequired": {"replication_key_value": ["replication_key"]},
}
"""An account's part of the state, as `tap_zoom_cc.sync.bookmarks` writes it."""

BOOKMARKS = an_object(
    partitions=a_list(PARTITION),
    progress_markers=MARKERS,
    replication_key_value=refused("is of no account; put it into partitions, or remove it"),
)

STATE = an_object("bookmarks", bookmarks=an_object() | {"additionalProperties": BOOKMARKS}) | {
    "otherwise": "has no object 'bookmarks'; it is not the state of a Singer tap"
}


def state_mistakes(state: Any, *, now: datetime) -> list[str]:  # noqa: ANN401 (any JSON)
    """Return what is wrong with a state as it was given, for a run that starts now."""
    if state == {}:
        return []
    formats = format_checker(bookmark=partial(_is_bookmark, now=now))
    lines = mistakes({"state": state}, an_object(state=STATE), formats)
    if lines:
        return lines
    bookmarks = state["bookmarks"]
    if bookmarks and not KEYS.keys() & bookmarks.keys():
        found = excerpt(", ".join(bookmarks))
        return [f"state: belongs to another tap: it has bookmarks of {found}"]
    for name in WITH_BOOKMARKS:
        partitions = bookmarks.get(name, {}).get("partitions", [])
        twice = _twice(partition["context"]["account_id"] for partition in partitions)
        lines += [
            f"state.bookmarks.{name}.partitions: account {account_id} is there twice; keep "
            "the entry with the earlier bookmark"
            for account_id in twice
        ]
    return lines


def _is_bookmark(text: str, now: datetime) -> bool:
    """Return True, or raise a ValueError that says why an instant of the state cannot be one."""
    instant = parse_instant(text)
    if instant < BEFORE_ZOOM:
        raise ValueError(f"{format_instant(instant)} is older than Zoom; remove it")
    if instant > now + MOST_AHEAD:
        advice = "check this machine's clock, or set the bookmark back"
        raise ValueError(f"{format_instant(instant)} lies in the future; {advice}")
    return True


def _twice(names: Iterable[str]) -> list[str]:
    return [excerpt(name) for name, count in Counter(names).items() if count > 1]


# The catalog

METADATA = an_object("breadcrumb", "metadata", breadcrumb=a_list(TEXT), metadata=an_object())

ENTRY = an_object("tap_stream_id", tap_stream_id=TEXT, metadata=a_list(METADATA))

CATALOG = an_object("streams", streams=a_list(ENTRY)) | {
    "otherwise": "has no list 'streams'; make one with --discover"
}

SUBSCHEMA: JsonSchema = {"$ref": "#/$defs/schema"}

SCHEMA = an_object(properties={"additionalProperties": SUBSCHEMA}, items=SUBSCHEMA) | {
    "$ref": Draft202012Validator.META_SCHEMA["$id"]
}
"""A JSON schema with objects where the SDK takes for granted that there is no true and no false."""


def _entry(stream: str) -> JsonSchema:
    """Return the schema of a stream's entry as `_as_read` returns it."""
    keys = KEYS[stream]
    named = f"must be {stream} as well; __alias__ in stream_maps gives another name"
    of_keys = f"must be {', '.join(keys)}: they keep rows from coming twice"
    needed = {"const": True, "otherwise": "cannot be deselected: every row needs it"}
    entry = {
        # The SDK would apply stream maps to another name, and nothing to the rows.
        "stream": {"const": stream, "otherwise": named},
        "schema": an_object("properties", properties=an_object(*keys)) | {"allOf": [SUBSCHEMA]},
        "key_properties": {"enum": list(map(list, permutations(keys))), "otherwise": of_keys},
        "fields": an_object(**dict.fromkeys(keys, needed)),
    }
    if stream in WITH_BOOKMARKS:
        entry["fields"]["properties"][REPLICATION_KEY] = needed
        entry["replication_method"] = {"enum": [REPLICATION_INCREMENTAL, REPLICATION_FULL_TABLE]}
        of_key = f"must be {REPLICATION_KEY}: bookmarks are of it"
        entry["replication_key"] = {"const": REPLICATION_KEY, "otherwise": of_key}
    return an_object("schema", **entry)


STREAMS = an_object(**{name: _entry(name) for name in KEYS}) | CLOSED | {"things": "stream"}


def catalog_mistakes(catalog: Any) -> list[str]:  # noqa: ANN401 (any JSON)
    """Return what is wrong with a catalog as it was given."""
    lines = mistakes({"catalog": catalog}, an_object(catalog=CATALOG))
    if lines:
        return lines
    entries = {entry["tap_stream_id"]: _as_read(entry) for entry in catalog["streams"]}
    twice = _twice(entry["tap_stream_id"] for entry in catalog["streams"])
    schema = an_object(catalog=an_object(streams=STREAMS)) | {"$defs": {"schema": SCHEMA}}
    return [
        *(f"catalog.streams.{name}: is there twice" for name in twice),
        *mistakes({"catalog": {"streams": entries}}, schema),
    ]


def _as_read(entry: JsonSchema) -> JsonSchema:
    """Return a stream's entry as the SDK reads it, and whether its fields are selected."""
    metadata = MetadataMapping.from_iterable(entry.get("metadata", []))
    method = entry.get("replication_method") or metadata.root.forced_replication_method
    of_full_table = REPLICATION_KEY if method == REPLICATION_FULL_TABLE else None
    mask = metadata.resolve_selection()
    return {
        "key_properties": None,
        **entry,
        "replication_method": method or REPLICATION_INCREMENTAL,
        "replication_key": entry.get("replication_key") or of_full_table,
        # Of a stream that is not selected no field is.
        "fields": {"/".join(path[1:]): bool(mask[path]) for path in mask} if mask[()] else {},
    }

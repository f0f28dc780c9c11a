"""What is refused of settings, state and catalog, and in which words: one line for each mistake.

Each row of the tables is a way to be wrong. That a run ends with these lines, and before anything
is requested, is in `test_bad_input.py`.
"""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tap_zoom_cc.configuration import CONFIG_SCHEMA
from tap_zoom_cc.input_schemas import catalog_mistakes, state_mistakes
from tap_zoom_cc.inputs import InputError, parse_json, settings_from, with_texts_read
from tests.harness.singer import state_of

NOW = datetime(2024, 3, 1, tzinfo=timezone.utc)
# Tomorrow may begin within the hour that bookmarks may be ahead.
IN_TWO_DAYS = (NOW + timedelta(days=2)).isoformat()
MISSING = object()
"""Stands for what is left out."""

ACCOUNT = "bAdInPuTaCcOuNt0000001"
CONFIG: dict[str, object] = {
    "account_id": "master",
    "client_id": "tHe-cLiEnT-iD-0001",
    "client_secret": "sEcReT-0001",
    "start_date": "2024-01-01",
    "end_date": "2024-02-20",
}

DATE = "a date (2026-01-31)"
TOO_DEEP = "[" * 10_000
SETTINGS: list[tuple[str, list[object], list[str]]] = [
    ("account_id", [MISSING, "", None], ["is missing", "App Credentials"]),
    ("account_id", ["me/../other"], ["an account ID", "'me/../other'"]),
    ("account_id", [12345], ["an account ID"]),
    ("client_id", [MISSING, ""], ["is missing", "App Credentials"]),
    ("client_id", ["two words", "tHe-cLiEnT-iD-0001\u00a0"], ["without spaces", "beyond ASCII"]),
    ("client_secret", [MISSING, ""], ["is missing", "App Credentials"]),
    ("client_secret", ["sEcReT with a space", "sEcReT-line\n"], ["without spaces"]),
    ("client_secret", ["sEcReT\u200b", "sEcReT…", ["sEcReT-list"]], ["text", "beyond ASCII"]),
    ("sub_account_ids", [f'["{ACCOUNT}', "[1"], ["must be a list", "not valid JSON"]),
    ("sub_account_ids", [[""], [f"{ACCOUNT} "], [7]], ["[0]", "an account ID"]),
    ("sub_account_ids", [[ACCOUNT, None]], ["[1]", "an account ID"]),
    ("sub_account_ids", [[ACCOUNT, "a/b"]], ["[1]", "'a/b'", "letters, digits"]),
    ("sub_account_ids", [[]], ["empty", "include_own_account"]),
    ("include_own_account", ["maybe", 1], ["true or false"]),
    ("start_date", ["yesterday", "", "01/02/2024", 1704067200], [DATE]),
    ("start_date", ["2024-02-30", "2023-02-29", "2024-13-01T00:00:00Z"], [DATE]),
    ("start_date", [IN_TWO_DAYS], ["future"]),
    ("start_date", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"], []),
    ("end_date", ["2024-02-30T00:00:00Z", "now"], [DATE]),
    ("end_date", ["2023-12-31", "2024-01-01"], ["not after start_date"]),
    ("sms_lookback_days", [-1, "three", "inf", 1e9], ["a number, at least 0, at most 3650"]),
    ("voice_calls_lookback_days", [{}, [1]], ["a number"]),
    ("requests_per_second", [0, -5, "ten", "nan", 1e6], ["a number, above 0, at most 1000"]),
    ("max_concurrency", [0, 101, 2.5, "many"], ["a whole number, at least 1, at most 100"]),
    ("max_requests_per_run", [0, -1, "all"], ["a whole number, at least 1"]),
    ("quiet_accounts_hours", [-1, 169, "six"], ["a number, at least 0, at most 168"]),
    ("on_count_mismatch", ["ignore", ["warn"]], ["fail or warn"]),
    ("api_url", ["http://api.zoom.us/v2", "http://127.0.0.1.example.com/v2"], ["https"]),
    ("api_url", ["ftp://api.zoom.us/v2", "api.zoom.us", "", "https://"], ["URL such as"]),
    ("api_url", ["https://api.zoom.us/v2?x=1", "https://api.zoom.us/v2#x"], ["query"]),
    ("api_url", ["https://zoom.us:port/v2", "https://zoom.us:0/v2"], ["URL such as"]),
    ("api_url", ["https://zoom..us/v2", f"https://{'z' * 64}.us/v2"], ["URL such as"]),
    (
        "api_url",
        ["https://zoom.us/v2\n", "https://zoom.us/v 2", "https://zööm.us"],
        ["URL such as"],
    ),
    ("token_url", ["https://zoom..us/oauth", "https://zoom.us\r\n/oauth", 5], ["URL such as"]),
    ("token_url", ["http://zoom.us/oauth/token"], ["https"]),
    ("token_url", ["https://user:sEcReT@zoom.us/oauth/token"], ["password"]),
    ("sms_filters", ["inbound", TOO_DEEP, '{"direction": NaN}'], ["must be an object"]),
    ("sms_filters", ['{"direction": "sEcReT'], ["is not valid JSON", "line 1, column 15"]),
    ("sms_filters", [{"direction": "sideways"}], [".direction", "inbound"]),
    ("sms_filters", [{"directoin": "inbound"}], ["did you mean direction?"]),
    ("sms_filters", [{"from": "2024-01-01"}], [".from", "start_date"]),
    ("sms_filters", [{"page_size": 300}], [".page_size", "set by the tap"]),
    ("sms_filters", [{"country_iso_codes": "US"}], [".country_iso_codes", "a list"]),
    ("sms_filters", [{"country_iso_codes": []}], [".country_iso_codes", "empty"]),
    ("sms_filters", [{"country_iso_codes": ["USA"]}], [".country_iso_codes"]),
    ("sms_filters", [{"user_id": ""}], [".user_id", "empty"]),
    ("sms_filters", [{"user_id": None}], [".user_id"]),
    ("voice_calls_filters", [{"user_ids": [*map(str, range(21))]}], [".user_ids", "is too long"]),
    ("voice_calls_filters", [{"user_ids": ["a,b"]}], [".user_ids", "comma"]),
    ("voice_calls_filters", [{"region_ids": ["one", "one"]}], [".region_ids", "non-unique"]),
    ("voice_calls_filters", [{"view_type": "full"}], [".view_type", "summary", "detail"]),
    ("voice_calls_filters", [{"types": ["call"]}], [".types"]),
    ("stat_date", ["2024-01-01"], ["did you mean start_date?"]),
    ("subaccount_ids", [[ACCOUNT]], ["did you mean sub_account_ids?"]),
    ("zzz", [1], ["no such setting"]),
    ("batch_config", [{"encoding": {"format": "jsonl"}}], ["not offered"]),
    ("emit_activate_version_messages", [1], ["not offered"]),
    ("stream_maps", [{"sms": 7}], [".sms"]),
    ("stream_maps", [{"smss": {"consumer_number": None}}], [".smss", "did you mean sms?"]),
    ("stream_maps", [{"SMS": None}], [".SMS", "no stream 'SMS'"]),
    ("stream_maps", [{"sms_*": None}], [".sms_*", "no stream"]),
    ("stream_maps", [{"x": {"__source__": "smss"}}], [".x", "did you mean sms?"]),
    ("stream_maps", [{"x": {"__source__": 5}}], [".x", "__source__", "must be text"]),
    ("stream_maps", [{"sms": {"consumer_nmber": None}}], ["did you mean consumer_number?"]),
    ("stream_maps", [{"*": {"consumer_nmber": "__NULL__"}}], ["did you mean consumer_number?"]),
    ("stream_maps", [{"sms": {"__else__": "x"}}], [".sms", "__else__", "must be null"]),
    ("stream_maps", [{"__else__": "x"}], ["__else__", "must be null"]),
    ("stream_map_config", [{"salt": None, "more": 0}, {"salt": ""}], [".salt: is empty; set it"]),
    ("user_agent", ["a tap\nX-Header: x"], ["one line"]),
    ("user_agent", ["a tap …"], ["Latin"]),
    ("user_agent", [5], ["text"]),
    ("flattening_enabled", ["maybe"], ["true or false"]),
]


EACH_SETTING = [
    pytest.param(name, value, said, id=f"{name}={'' if value is MISSING else repr(value)[:40]}")
    for name, values, said in SETTINGS
    for value in values
]


def refusal(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the lines about settings, those in texts read as the tap does."""
    with pytest.raises(InputError) as refused:
        settings_from(with_texts_read(config), now=NOW)
    return refused.value.args


@pytest.mark.parametrize(("name", "value", "said"), EACH_SETTING)
def test_a_wrong_setting_is_named_in_one_line(name: str, value: object, said: list[str]) -> None:
    config = {**CONFIG, name: value}
    if value is MISSING:
        del config[name]
    (line,) = refusal(config)
    assert line.startswith(name)
    assert all(words in line for words in said), line
    assert line.isprintable()
    assert "sEcReT" not in line
    assert "tHe-cLiEnT-iD-0001" not in line


def test_an_end_date_long_ago_needs_a_start_date() -> None:
    (line,) = refusal({**CONFIG, "start_date": None, "end_date": "2024-02-01"})
    assert line.startswith("end_date: ")
    assert "set start_date as well" in line


CHECKED_BY_THE_SDK = {
    "faker_config",
    *("flattening_max_depth", "flattening_max_key_length", "flattening_separator"),
}


def test_every_setting_has_a_wrong_value_here() -> None:
    wrong = {name for name, _, _ in SETTINGS}
    assert CONFIG_SCHEMA["properties"].keys() - wrong == CHECKED_BY_THE_SDK


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"client_secret": "sEcReT-0001",}', "not valid JSON"),
        ('{"x": NaN}', "NaN"),
        ('{"x": [1, -Infinity]}', "without end"),
        ('{"x": 1e999}', "without end"),
        ('{"x": 123456789012345678901234567890}', "64 bits"),
        (f'{{"x": {2**64}}}', "64 bits"),
        (f'{{"x": {-(2**63) - 1}}}', "64 bits"),
        ('{"x": "\\ud800"}', "surrogate"),
        (b'{"x": "\xff"}', "UTF-8"),
        ("[" * 51 + "]" * 51, "deeper than 50"),
        ("[" * 100_000 + "]" * 100_000, "deeper than 50"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_what_is_no_json_of_measure_is_refused_and_not_quoted(
    content: str | bytes, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        parse_json(content)
    assert "sEcReT" not in str(refused.value)


def test_integers_of_64_bits_and_fifty_levels_are_taken() -> None:
    for content in (f"[{2**64 - 1}, {-(2**63)}]", "[" * 50 + "]" * 50):
        parse_json(content)


# Catalogs


def metadata(*names: str, **values: object) -> dict[str, object]:
    return {"breadcrumb": list(names), "metadata": values}


def entry_with(entry: dict[str, Any], changes: dict[str, object]) -> dict[str, Any]:
    """Return a stream's entry with other values at some places, or nothing there."""
    entry = copy.deepcopy(entry)
    for place, value in changes.items():
        *way, last = place.split(".")
        part = entry
        for name in way:
            part = part[name]
        part[last] = value
        if value is MISSING:
            del part[last]
    return entry


OF_KEYS = ["catalog.streams.sms.key_properties", "account_id, engagement_id"]
OF_REPLICATION_KEY = ["catalog.streams.sms.replication_key", "must be start_time"]
OF_METHOD = ["catalog.streams.sms.replication_method", "INCREMENTAL or FULL_TABLE"]
NEW = "schema.properties.new"
SELECTED = metadata(selected=True)
ENTRIES: dict[str, tuple[dict[str, object], list[str]]] = {
    "no ID": ({"tap_stream_id": MISSING}, ["catalog", "tap_stream_id"]),
    "another ID": ({"tap_stream_id": "voice_cals"}, ["voice_cals", "did you mean voice_calls?"]),
    "no keys": ({"key_properties": [], "metadata": [SELECTED]}, OF_KEYS),
    "other keys": ({"key_properties": ["engagement_id"]}, OF_KEYS),
    "keys in metadata only": ({"key_properties": MISSING}, OF_KEYS),
    "a key that may be deselected and is": (
        {
            "metadata": [
                SELECTED,
                metadata("properties", "engagement_id", inclusion="available", selected=False),
            ]
        },
        ["catalog.streams.sms.fields.engagement_id", "cannot be deselected"],
    ),
    "no replication key": (
        {"replication_method": MISSING, "replication_key": MISSING},
        OF_REPLICATION_KEY,
    ),
    "another replication key": ({"replication_key": "end_time"}, OF_REPLICATION_KEY),
    "no schema": ({"schema": MISSING}, ["catalog.streams.sms", "schema"]),
    "a schema that is true": ({"schema": True}, ["catalog.streams.sms", "schema"]),
    "schema without key": (
        {"schema.properties.engagement_id": MISSING},
        ["catalog.streams.sms", "engagement_id"],
    ),
    "log based": ({"replication_method": "LOG_BASED"}, OF_METHOD),
    "log based in metadata": (
        {
            "replication_method": MISSING,
            "metadata": [metadata(**{"selected": True, "forced-replication-method": "LOG_BASED"})],
        },
        OF_METHOD,
    ),
    "a field that is true": ({NEW: True}, [f".{NEW}", "must be an object", "True"]),
    "items a list": ({NEW: {"items": [{}]}}, [f".{NEW}.items", "must be an object"]),
    "a type that is a number": ({NEW: {"type": 5}}, [f".{NEW}.type", "5"]),
    "another name, which stream maps would pass over": (
        {"stream": "messages"},
        ["catalog.streams.sms.stream", "must be sms", "__alias__"],
    ),
    "a breadcrumb of lists": (
        {"metadata": [{"breadcrumb": [[]], "metadata": {}}]},
        ["catalog.streams[0].metadata[0].breadcrumb[0]", "must be text"],
    ),
    "metadata no list": ({"metadata": {}}, ["catalog.streams[0].metadata", "a list"]),
}


@pytest.mark.parametrize(("changes", "said"), ENTRIES.values(), ids=ENTRIES)
def test_a_wrong_entry_of_a_catalog_is_refused(
    discovered: dict[str, Any], changes: dict[str, object], said: list[str]
) -> None:
    (sms,) = [each for each in discovered["streams"] if each["tap_stream_id"] == "sms"]
    assert catalog_mistakes({"streams": [sms]}) == []
    lines = catalog_mistakes({"streams": [entry_with(sms, changes)]})
    assert [line for line in lines if all(words in line for words in said)], lines


def test_a_catalog_that_is_none_is_refused(discovered: dict[str, Any]) -> None:
    not_one: list[object] = ["text", None, {}, {"streams": {}}]
    for wrong in not_one:
        (line,) = catalog_mistakes(wrong)
        assert line.startswith("catalog")
        assert "streams" in line
        assert "--discover" in line or "a list" in line
    (line,) = catalog_mistakes({"streams": ["sms"]})
    assert line.startswith("catalog.streams[0]: must be an object")
    streams = discovered["streams"]
    (line,) = catalog_mistakes({"streams": [*streams, streams[0]]})
    assert line == f"catalog.streams.{streams[0]['tap_stream_id']}: is there twice"


# States


def partition(**fields: object) -> dict[str, object]:
    state = state_of("sms", {ACCOUNT: "2024-02-01T00:00:00+00:00"})
    state["sms"]["partitions"][0] |= fields
    return state


TWICE = [*partition()["sms"]["partitions"], *partition()["sms"]["partitions"]]  # type: ignore[index]
OF_CONTEXT = ["partitions[0].context", "an account_id and nothing more"]
STATES: dict[str, tuple[object, list[str]]] = {
    "no object": ([], ["bookmarks"]),
    "another tap": ({"contacts": {}}, ["another tap", "contacts"]),
    "stream no object": ({"sms": "2024-01-01"}, ["bookmarks.sms", "object"]),
    "of no account": ({"sms": {"replication_key_value": "2024-02-01"}}, ["no account"]),
    "partitions no list": ({"sms": {"partitions": {}}}, ["sms.partitions", "must be a list"]),
    "no bookmarks, no object": ({"sub_accounts": 5}, ["bookmarks.sub_accounts", "object"]),
    "no bookmarks, no list": (
        {"sub_accounts": {"partitions": 5}},
        ["bookmarks.sub_accounts.partitions", "must be a list"],
    ),
    "markers no object": (partition(progress_markers=5), ["progress_markers", "an object"]),
    "partition no object": ({"sms": {"partitions": ["x"]}}, ["partitions[0]", "an object"]),
    "no context": (
        {"sms": {"partitions": [{"replication_key_value": "2024-02-01"}]}},
        ["partitions[0]", "account_id"],
    ),
    "another context": (partition(context={"account_id": ACCOUNT, "site": "x"}), OF_CONTEXT),
    "account no text": (partition(context={"account_id": 7}), ["partitions[0]", "account_id"]),
    "another key": (partition(replication_key="end_time"), ["partitions[0]", "start_time"]),
    "key missing": (partition(replication_key=None), ["partitions[0]", "start_time"]),
    "no date": (
        partition(replication_key_value="last week"),
        ["last week", "neither a date nor a date-time"],
    ),
    "a number": (partition(replication_key_value=1706745600), ["1706745600", "must be text"]),
    "older than Zoom": (
        partition(replication_key_value="0001-01-01T00:00:00Z"),
        ["0001-01-01", "older than Zoom"],
    ),
    "in the future": (partition(replication_key_value=IN_TWO_DAYS), ["future", "clock"]),
    "twice": ({"sms": {"partitions": TWICE}}, ["sms.partitions", ACCOUNT, "twice"]),
}


@pytest.mark.parametrize(("bookmarks", "said"), STATES.values(), ids=STATES)
def test_a_wrong_state_is_refused_in_one_line(bookmarks: object, said: list[str]) -> None:
    (line,) = state_mistakes({"bookmarks": bookmarks}, now=NOW)
    assert line.startswith("state")
    assert all(words in line for words in said), line


def test_what_is_no_state_is_refused() -> None:
    not_one: list[object] = [{"value": {}}, None, "text"]
    for wrong in not_one:
        (line,) = state_mistakes(wrong, now=NOW)
        assert line.startswith("state: has no object 'bookmarks'")

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
NO_CREDENTIALS = ["sEcReT with a space", "sEcReT-line\n", "sEcReT\u200b", ["sEcReT-list"]]
NO_URLS = [
    *("http://api.zoom.us/v2", "http://127.0.0.1.example.com/v2", "ftp://api.zoom.us/v2"),
    *("api.zoom.us", "", "https://", "https://api.zoom.us/v2?x=1", "https://api.zoom.us/v2#x"),
    *("https://zoom.us:port/v2", "https://zoom.us:0/v2", "https://zoom..us/v2"),
    *(f"https://{'z' * 64}.us/v2", "https://zoom.us/v2\n", "https://zööm.us"),
]
SETTINGS: list[tuple[str, list[Any], list[str]]] = [
    *(
        (name, [MISSING, "", None], ["is missing", "App Credentials"])
        for name in ("account_id", "client_id", "client_secret")
    ),
    ("account_id", ["me/../other", 12345], ["an account ID"]),
    ("client_id", ["tHe-cLiEnT-iD-0001\u00a0"], ["text without spaces", "beyond ASCII"]),
    ("client_secret", NO_CREDENTIALS, ["text without spaces", "beyond ASCII"]),
    ("sub_account_ids", [f'["{ACCOUNT}', "[1"], ["must be a list", "not valid JSON"]),
    ("sub_account_ids", [[f"{ACCOUNT} "], [7]], ["[0]", "an account ID"]),
    ("sub_account_ids", [[ACCOUNT, "a/b"]], ["[1]", "'a/b'", "letters, digits"]),
    ("sub_account_ids", [[]], ["empty", "include_own_account"]),
    ("include_own_account", ["maybe", 1], ["true or false"]),
    ("start_date", ["yesterday", "", 1704067200], [DATE]),
    ("start_date", [IN_TWO_DAYS], ["future"]),
    ("end_date", ["2023-12-31", "2024-01-01"], ["not after start_date"]),
    ("sms_lookback_days", [-1, "three", "inf", 1e9], ["a number, at least 0, at most 3650"]),
    ("voice_calls_lookback_days", [{}, [1]], ["a number"]),
    ("requests_per_second", [0, "ten", "nan", 1e6], ["a number, above 0, at most 1000"]),
    ("max_concurrency", [0, 101, 2.5, "many"], ["a whole number, at least 1, at most 100"]),
    ("max_requests_per_run", [0, "all"], ["a whole number, at least 1"]),
    ("quiet_accounts_hours", [-1, 169, "six"], ["a number, at least 0, at most 168"]),
    ("on_count_mismatch", ["ignore", ["warn"]], ["fail or warn"]),
    ("api_url", NO_URLS, ["a URL such as", "only the host of this machine may go without https"]),
    ("token_url", ["https://user:sEcReT@zoom.us/oauth/token", 5], ["a URL such as", "password"]),
    ("sms_filters", ["inbound", TOO_DEEP, '{"direction": NaN}'], ["must be an object"]),
    ("sms_filters", ['{"direction": "sEcReT'], ["is not valid JSON", "line 1, column 15"]),
    ("sms_filters", [{"direction": "sideways"}], [".direction", "inbound"]),
    ("sms_filters", [{"directoin": "inbound"}], ["did you mean direction?"]),
    ("sms_filters", [{"from": "2024-01-01"}], [".from", "start_date"]),
    ("sms_filters", [{"page_size": 300}], [".page_size", "set by the tap"]),
    ("sms_filters", [{"country_iso_codes": "US"}], [".country_iso_codes", "a list"]),
    ("sms_filters", [{"country_iso_codes": []}], [".country_iso_codes", "empty"]),
    ("sms_filters", [{"country_iso_codes": ["USA"]}], [".country_iso_codes"]),
    ("sms_filters", [{"user_id": ""}, {"user_id": None}], [".user_id: "]),
    ("voice_calls_filters", [{"user_ids": [*map(str, range(21))]}], [".user_ids", "is too long"]),
    ("voice_calls_filters", [{"user_ids": ["a,b"]}], [".user_ids", "comma"]),
    ("voice_calls_filters", [{"region_ids": ["one", "one"]}], [".region_ids", "non-unique"]),
    ("stat_date", ["2024-01-01"], ["did you mean start_date?"]),
    ("zzz", [1], ["no such setting"]),
    ("batch_config", [{"encoding": {"format": "jsonl"}}], ["not offered"]),
    ("emit_activate_version_messages", [1], ["not offered"]),
    ("stream_maps", [{"sms": 7}], [".sms"]),
    ("stream_maps", [{"smss": {"consumer_number": None}}], [".smss", "did you mean sms?"]),
    ("stream_maps", [{"x": {"__source__": "smss"}}], [".x", "did you mean sms?"]),
    ("stream_maps", [{"x": {"__source__": 5}}], [".x", "__source__", "must be text"]),
    ("stream_maps", [{"sms": {"consumer_nmber": None}}], ["did you mean consumer_number?"]),
    ("stream_maps", [{"*": {"consumer_nmber": "__NULL__"}}], ["did you mean consumer_number?"]),
    ("stream_maps", [{"sms": {"__else__": "x"}}], [".sms", "__else__", "must be null"]),
    ("stream_maps", [{"__else__": "x"}], ["__else__", "must be null"]),
    ("stream_map_config", [{"salt": None, "more": 0}, {"salt": ""}], [".salt: is empty; set it"]),
    ("user_agent", ["a tap\nX-Header: x", "a tap …", 5], ["text of Latin letters", "one line"]),
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
    (line,) = refusal({name: value for name, value in config.items() if value is not MISSING})
    assert line.startswith(name)
    assert all(words in line for words in said), line
    assert line.isprintable()
    assert "sEcReT" not in line
    assert "tHe-cLiEnT-iD-0001" not in line


def test_an_end_date_28_days_ago_needs_a_start_date() -> None:
    (line,) = refusal({**CONFIG, "start_date": None, "end_date": "2024-02-02"})
    assert line.startswith("end_date: ")
    assert "set start_date as well" in line
    settings_from({**CONFIG, "start_date": None, "end_date": "2024-02-03"}, now=NOW)


def test_every_setting_has_a_wrong_value_here() -> None:
    others = {f"flattening_max_{name}" for name in ("depth", "key_length")}
    checked_by_the_sdk = {"faker_config", "flattening_separator", *others}
    wrong = {name for name, _, _ in SETTINGS}
    assert CONFIG_SCHEMA["properties"].keys() - wrong == checked_by_the_sdk


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not valid JSON"),
        ('{"client_secret": "sEcReT-0001",}', "not valid JSON"),
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
NO_KEY = {"replication_method": MISSING, "replication_key": MISSING}
NEW = "schema.properties.new"
ID = "schema.properties.engagement_id"
SELECTED = metadata(selected=True)
FORCED = metadata(**{"selected": True, "forced-replication-method": "LOG_BASED"})
DESELECTED = metadata("properties", "engagement_id", inclusion="available", selected=False)
ENTRIES: list[tuple[dict[str, object], list[str]]] = [
    ({"tap_stream_id": MISSING}, ["catalog", "tap_stream_id"]),
    ({"tap_stream_id": "voice_cals"}, ["voice_cals", "did you mean voice_calls?"]),
    ({"key_properties": [], "metadata": [SELECTED]}, OF_KEYS),
    ({"key_properties": ["engagement_id"]}, OF_KEYS),
    # They stand in the metadata alone.
    ({"key_properties": MISSING}, OF_KEYS),
    (
        {"metadata": [SELECTED, DESELECTED]},
        ["catalog.streams.sms.fields.engagement_id", "cannot be deselected"],
    ),
    (NO_KEY, OF_REPLICATION_KEY),
    ({"replication_key": "end_time"}, OF_REPLICATION_KEY),
    ({"schema": MISSING}, ["catalog.streams.sms", "schema"]),
    ({"schema": True}, ["catalog.streams.sms", "schema"]),
    ({ID: MISSING}, ["catalog.streams.sms", "engagement_id"]),
    ({"replication_method": "LOG_BASED"}, OF_METHOD),
    ({"replication_method": MISSING, "metadata": [FORCED]}, OF_METHOD),
    ({NEW: True}, [f".{NEW}", "must be an object", "True"]),
    ({NEW: {"items": [{}]}}, [f".{NEW}.items", "must be an object"]),
    ({NEW: {"type": 5}}, [f".{NEW}.type", "5"]),
    # Stream maps would pass over it.
    ({"stream": "messages"}, ["catalog.streams.sms.stream", "must be sms", "__alias__"]),
    (
        {"metadata": [{"breadcrumb": [[]], "metadata": {}}]},
        ["catalog.streams[0].metadata[0].breadcrumb[0]", "must be text"],
    ),
    ({"metadata": {}}, ["catalog.streams[0].metadata", "a list"]),
]


@pytest.mark.parametrize(("changes", "said"), ENTRIES)
def test_a_wrong_entry_of_a_catalog_is_refused(
    discovered: dict[str, Any], changes: dict[str, object], said: list[str]
) -> None:
    (sms,) = [each for each in discovered["streams"] if each["tap_stream_id"] == "sms"]
    assert catalog_mistakes({"streams": [sms]}) == []
    lines = catalog_mistakes({"streams": [entry_with(sms, changes)]})
    assert [line for line in lines if all(words in line for words in said)], lines


def test_a_catalog_that_is_none_is_refused(discovered: dict[str, Any]) -> None:
    sms, *others = discovered["streams"]
    no_list = "catalog: has no list 'streams'; make one with --discover"
    wrong: list[tuple[object, str]] = [
        ("text", no_list),
        ({}, no_list),
        ({"streams": {}}, "catalog.streams: must be a list"),
        ({"streams": ["sms"]}, "catalog.streams[0]: must be an object"),
        ({"streams": [sms, *others, sms]}, f"catalog.streams.{sms['tap_stream_id']}: is there"),
    ]
    for catalog, said in wrong:
        (line,) = catalog_mistakes(catalog)
        assert line.startswith(said)


# States


def partition(**fields: object) -> dict[str, object]:
    state = state_of("sms", {ACCOUNT: "2024-02-01T00:00:00+00:00"})
    state["sms"]["partitions"][0] |= fields
    return state


TWICE = [*partition()["sms"]["partitions"], *partition()["sms"]["partitions"]]  # type: ignore[index]
OF_CONTEXT = ["partitions[0].context", "an account_id and nothing more"]
OLD, AGO = "0001-01-01T00:00:00Z", "last week"
STATES: list[tuple[object, list[str]]] = [
    ([], ["bookmarks"]),
    ({"contacts": {}}, ["another tap", "contacts"]),
    ({"sms": "2024-01-01"}, ["bookmarks.sms", "object"]),
    ({"sms": {"replication_key_value": "2024-02-01"}}, ["no account"]),
    ({"sms": {"partitions": {}}}, ["sms.partitions", "must be a list"]),
    ({"sms": {"partitions": ["x"]}}, ["partitions[0]", "an object"]),
    ({"sms": {"partitions": TWICE}}, ["sms.partitions", ACCOUNT, "twice"]),
    ({"sub_accounts": 5}, ["bookmarks.sub_accounts", "object"]),
    ({"sub_accounts": {"partitions": 5}}, ["bookmarks.sub_accounts.partitions", "must be a list"]),
    (partition(progress_markers=5), ["progress_markers", "an object"]),
    ({"sms": {"partitions": [{}]}}, ["partitions[0]", "account_id"]),
    (partition(context={"account_id": ACCOUNT, "site": "x"}), OF_CONTEXT),
    (partition(context={"account_id": 7}), ["partitions[0]", "account_id"]),
    (partition(replication_key="end_time"), ["partitions[0]", "start_time"]),
    (partition(replication_key=None), ["partitions[0]", "start_time"]),
    (partition(replication_key_value=AGO), [AGO, "neither a date nor a date-time"]),
    (partition(replication_key_value=1706745600), ["1706745600", "must be text"]),
    (partition(replication_key_value=OLD), ["0001-01-01", "older than Zoom"]),
    (partition(replication_key_value=IN_TWO_DAYS), ["future", "clock"]),
]


@pytest.mark.parametrize(("bookmarks", "said"), STATES)
def test_a_wrong_state_is_refused_in_one_line(bookmarks: object, said: list[str]) -> None:
    (line,) = state_mistakes({"bookmarks": bookmarks}, now=NOW)
    assert line.startswith("state")
    assert all(words in line for words in said), line


def test_what_is_no_state_is_refused() -> None:
    not_one: list[object] = [{"value": {}}, None, "text"]
    for wrong in not_one:
        (line,) = state_mistakes(wrong, now=NOW)
        assert line.startswith("state: has no object 'bookmarks'")

"""Whatever is wrong with the input is said in one line, before anything is requested.

Each row of the tables is a way to be wrong. The run must end with exit code 1 and an ERROR line
that names the setting and what would be right: no traceback, no request, no secret.
"""

from __future__ import annotations

import copy
import json
import os
import shlex
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import Account, Scenario
from tests.harness.singer import selecting, state_of
from tests.harness.tap import TapRun, run_tap, start_tap

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.process import SimulatorProcess

# Whole days: the tests' names must be the same in each process that collects them.
TODAY = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
# Tomorrow may begin within the hour that bookmarks may be ahead.
IN_TWO_DAYS = (TODAY + timedelta(days=2)).isoformat()
MISSING = object()
"""Stands for a setting that is left out."""

ACCOUNT = "bAdInPuTaCcOuNt0000001"


@dataclass(frozen=True)
class Wrong:
    """A wrong setting: what is given, and words that the line about it must have."""

    name: str
    value: object
    said: tuple[str, ...]

    @property
    def id(self) -> str:
        """The name of the case."""
        value = "missing" if self.value is MISSING else json.dumps(self.value)
        return f"{self.name}={value[:40]}"


SETTINGS = [
    Wrong("account_id", MISSING, ("account_id", "missing", "App Credentials")),
    Wrong("account_id", "", ("account_id", "missing")),
    Wrong("account_id", None, ("account_id", "missing")),
    Wrong("account_id", "me/../other", ("account_id", "an account ID", "'me/../other'")),
    Wrong("account_id", 12345, ("account_id", "an account ID")),
    Wrong("client_id", MISSING, ("client_id", "missing", "App Credentials")),
    Wrong("client_id", "", ("client_id", "missing")),
    Wrong("client_id", "two words", ("client_id", "without spaces")),
    Wrong("client_secret", MISSING, ("client_secret", "missing", "App Credentials")),
    Wrong("client_secret", "", ("client_secret", "missing")),
    Wrong("client_secret", "sEcReT with a space", ("client_secret", "without spaces")),
    Wrong("client_secret", "sEcReT-line\n", ("client_secret", "without spaces")),
    Wrong("client_secret", ["sEcReT-list"], ("client_secret", "text")),
    Wrong("client_secret", "sEcReT\u200b", ("client_secret", "beyond ASCII")),
    Wrong("client_secret", "sEcReT…", ("client_secret", "beyond ASCII")),
    Wrong("client_id", "tHe-cLiEnT-iD-0001\u00a0", ("client_id", "beyond ASCII")),
    Wrong("sub_account_ids", f'["{ACCOUNT}', ("sub_account_ids: must be a list", "not valid JSON")),
    Wrong("sub_account_ids", [""], ("sub_account_ids", "an account ID")),
    Wrong("sub_account_ids", [ACCOUNT, "a/b"], ("sub_account_ids", "'a/b'", "letters, digits")),
    Wrong("sub_account_ids", [ACCOUNT, None], ("sub_account_ids[1]", "an account ID")),
    Wrong("sub_account_ids", [7], ("sub_account_ids[0]", "an account ID")),
    Wrong("sub_account_ids", [f"{ACCOUNT} "], ("sub_account_ids[0]", "an account ID")),
    Wrong("sub_account_ids", [], ("sub_account_ids", "empty", "include_own_account")),
    Wrong("include_own_account", "maybe", ("include_own_account", "true or false")),
    Wrong("include_own_account", 1, ("include_own_account", "true or false")),
    Wrong("start_date", "yesterday", ("start_date", "2026-01-31")),
    Wrong("start_date", "", ("start_date", "a date (2026-01-31)")),
    Wrong("start_date", "2024-02-30", ("start_date", "a date (2026-01-31)")),
    Wrong("start_date", "2023-02-29", ("start_date", "a date (2026-01-31)")),
    Wrong("start_date", "2024-13-01T00:00:00Z", ("start_date", "a date (2026-01-31)")),
    Wrong("start_date", "01/02/2024", ("start_date", "a date (2026-01-31)")),
    Wrong("start_date", 1704067200, ("start_date", "a date (2026-01-31)")),
    Wrong("start_date", IN_TWO_DAYS, ("start_date", "future")),
    Wrong("start_date", "9999-12-31T23:59:59-14:00", ("start_date",)),
    Wrong("start_date", "0001-01-01T00:00:00+14:00", ("start_date",)),
    Wrong("end_date", "2024-02-30T00:00:00Z", ("end_date", "a date (2026-01-31)")),
    Wrong("end_date", "2023-12-31", ("end_date", "not after start_date")),
    Wrong("end_date", "2024-01-01", ("end_date", "not after start_date")),
    Wrong("end_date", "now", ("end_date", "a date (2026-01-31)")),
    Wrong("sms_lookback_days", -1, ("sms_lookback_days", "at least 0")),
    Wrong("sms_lookback_days", "three", ("sms_lookback_days", "a number, at least 0")),
    Wrong("sms_lookback_days", 1e9, ("sms_lookback_days", "3650")),
    Wrong("voice_calls_lookback_days", {}, ("voice_calls_lookback_days", "a number")),
    Wrong("voice_calls_lookback_days", [1], ("voice_calls_lookback_days", "a number")),
    Wrong("requests_per_second", 0, ("requests_per_second", "above 0")),
    Wrong("requests_per_second", -5, ("requests_per_second", "above 0")),
    Wrong("requests_per_second", "ten", ("requests_per_second", "a number")),
    Wrong("requests_per_second", 1e6, ("requests_per_second", "at most 1000")),
    Wrong("max_concurrency", 0, ("max_concurrency", "at least 1, at most 100")),
    Wrong("max_concurrency", 2.5, ("max_concurrency", "whole number")),
    Wrong("max_concurrency", 10_000, ("max_concurrency", "at least 1, at most 100")),
    Wrong("max_requests_per_run", 0, ("max_requests_per_run", "at least 1")),
    Wrong("max_requests_per_run", -1, ("max_requests_per_run", "at least 1")),
    Wrong("quiet_accounts_hours", -1, ("quiet_accounts_hours", "at least 0, at most 168")),
    Wrong("quiet_accounts_hours", 169, ("quiet_accounts_hours", "at least 0, at most 168")),
    Wrong("quiet_accounts_hours", "six", ("quiet_accounts_hours", "number")),
    Wrong("max_requests_per_run", "all", ("max_requests_per_run", "whole number")),
    Wrong("on_count_mismatch", "ignore", ("on_count_mismatch", "fail or warn")),
    Wrong("on_count_mismatch", ["warn"], ("on_count_mismatch", "fail or warn")),
    Wrong("api_url", "http://api.zoom.us/v2", ("api_url", "https://")),
    Wrong("api_url", "http://127.0.0.1.example.com/v2", ("api_url", "https://")),
    Wrong("api_url", "api.zoom.us", ("api_url", "URL such as")),
    Wrong("api_url", "ftp://api.zoom.us/v2", ("api_url", "https://")),
    Wrong("api_url", "https://api.zoom.us/v2?x=1", ("api_url", "query")),
    Wrong("api_url", "https://api.zoom.us:port/v2", ("api_url", "URL")),
    Wrong("api_url", "", ("api_url", "URL")),
    Wrong("api_url", "https://api.zoom..us/v2", ("api_url", "URL such as")),
    Wrong("api_url", "https://api.zoom.us/v2\n", ("api_url", "URL such as")),
    Wrong("api_url", "https://api.zoom.us/v 2", ("api_url", "URL such as")),
    Wrong("api_url", f"https://{'z' * 64}.us/v2", ("api_url", "URL such as")),
    Wrong("api_url", "https://zööm.us/v2", ("api_url", "URL such as")),
    Wrong("token_url", "https://zoom..us/oauth/token", ("token_url", "URL such as")),
    Wrong("token_url", "https://zoom.us\r\n/oauth/token", ("token_url", "URL such as")),
    Wrong("token_url", "http://zoom.us/oauth/token", ("token_url", "https://")),
    Wrong("token_url", "https://user:sEcReT@zoom.us/oauth/token", ("token_url", "password")),
    Wrong("token_url", 5, ("token_url", "URL")),
    Wrong("sms_filters", "inbound", ("sms_filters: must be an object", "not valid JSON")),
    Wrong("sms_filters", {"direction": "sideways"}, ("sms_filters.direction", "inbound")),
    Wrong("sms_filters", {"directoin": "inbound"}, ("sms_filters", "did you mean direction?")),
    Wrong("sms_filters", {"from": "2024-01-01"}, ("sms_filters.from", "start_date")),
    Wrong("sms_filters", {"page_size": 300}, ("sms_filters.page_size", "set by the tap")),
    Wrong("sms_filters", {"country_iso_codes": "US"}, ("sms_filters.country_iso_codes", "a list")),
    Wrong("sms_filters", {"country_iso_codes": []}, ("sms_filters.country_iso_codes", "empty")),
    Wrong("sms_filters", {"country_iso_codes": ["USA"]}, ("sms_filters.country_iso_codes",)),
    Wrong("sms_filters", {"user_id": ""}, ("sms_filters.user_id", "empty")),
    Wrong("sms_filters", {"user_id": None}, ("sms_filters.user_id",)),
    Wrong(
        "voice_calls_filters",
        {"user_ids": [f"user{number}" for number in range(21)]},
        ("voice_calls_filters.user_ids", "is too long"),
    ),
    Wrong(
        "voice_calls_filters",
        {"region_ids": ["one", "one"]},
        ("voice_calls_filters.region_ids", "non-unique"),
    ),
    Wrong("voice_calls_filters", {"user_ids": ["a,b"]}, ("voice_calls_filters.user_ids", "comma")),
    Wrong(
        "voice_calls_filters",
        {"view_type": "full"},
        ("voice_calls_filters.view_type", "summary", "detail"),
    ),
    Wrong("voice_calls_filters", {"types": ["call"]}, ("voice_calls_filters.types",)),
    Wrong("stat_date", "2024-01-01", ("stat_date", "did you mean start_date?")),
    Wrong("subaccount_ids", [ACCOUNT], ("subaccount_ids", "did you mean sub_account_ids?")),
    Wrong("zzz", 1, ("zzz", "no such setting")),
    Wrong("batch_config", {"encoding": {"format": "jsonl"}}, ("batch_config", "not offered")),
    Wrong(
        "emit_activate_version_messages",
        1,
        ("emit_activate_version_messages", "not offered"),
    ),
    Wrong("stream_maps", {"sms": {"x": "nonsense("}}, ("stream_map",)),
    Wrong("stream_maps", {"sms": 7}, ("stream_map",)),
    Wrong("stream_maps", {"smss": {"consumer_number": None}}, ("smss", "did you mean sms?")),
    Wrong("stream_maps", {"SMS": None}, ("stream_maps.SMS", "no stream 'SMS'")),
    Wrong("stream_maps", {"sms_*": None}, ("stream_maps.sms_*", "no stream")),
    Wrong("stream_maps", {"x": {"__source__": "smss"}}, ("stream_maps.x", "mean sms?")),
    Wrong("stream_maps", {"x": {"__source__": 5}}, ("stream_maps.x", "__source__", "must be text")),
    Wrong("stream_maps", {"sms": {"consumer_nmber": None}}, ("did you mean consumer_number?",)),
    Wrong("stream_maps", {"*": {"consumer_nmber": "__NULL__"}}, ("did you mean consumer_number?",)),
    Wrong(
        "stream_maps", {"sms": {"__else__": "x"}}, ("stream_maps.sms", "__else__", "must be null")
    ),
    Wrong("stream_maps", {"__else__": "x"}, ("stream_maps", "__else__", "must be null")),
    Wrong("user_agent", "a tap\nX-Header: x", ("user_agent", "one line")),
    Wrong("user_agent", "a tap …", ("user_agent", "Latin")),
    Wrong("user_agent", 5, ("user_agent", "text")),
    Wrong("flattening_enabled", "maybe", ("flattening_enabled",)),
]


def settings(simulator: SimulatorProcess) -> dict[str, object]:
    simulator.replace(Scenario(accounts=(Account(id=ACCOUNT, sms=5, voice_calls=5),)))
    return {
        **simulator.tap_config(),
        "client_id": "tHe-cLiEnT-iD-0001",
        "client_secret": "sEcReT-0001",
        "start_date": "2024-01-01",
        "end_date": "2024-02-20",
        "requests_per_second": 1000,
    }


def assert_refused(simulator: SimulatorProcess, run: TapRun, *said: str) -> None:
    """Assert that a run was refused in one line with these words, and did nothing."""
    run.check(1)
    lines = run.logged("ERROR")
    assert [line for line in lines if all(word in line for word in said)], run.stderr
    assert run.stdout == b""
    assert not simulator.stats().log, "a request was sent"
    for secret in ("sEcReT", "tHe-cLiEnT-iD-0001"):
        assert secret not in run.stderr


@pytest.mark.parametrize("wrong", SETTINGS, ids=lambda wrong: wrong.id)
def test_a_wrong_setting_is_named(simulator: SimulatorProcess, wrong: Wrong) -> None:
    config = settings(simulator)
    config[wrong.name] = wrong.value
    if wrong.value is MISSING:
        del config[wrong.name]
    run = run_tap(config)
    assert_refused(simulator, run, *wrong.said)
    assert len(run.logged("ERROR")) == 1, "one wrong setting, one line"


def test_everything_that_is_wrong_is_said_at_once(simulator: SimulatorProcess) -> None:
    config = {**settings(simulator), "start_date": "soon", "requests_per_second": 0, "stat": 1}
    del config["client_id"]
    run = run_tap(config, state="{", catalog="[")
    for said in ("client_id:", "start_date:", "requests_per_second:", "stat:"):
        assert_refused(simulator, run, f"| {said}")
    for option in ("state", "catalog"):
        assert_refused(simulator, run, f"| --{option} /", f"{option}.json: is not valid JSON")


def test_an_end_date_long_ago_needs_a_start_date(simulator: SimulatorProcess) -> None:
    config = settings(simulator)
    del config["start_date"]
    assert_refused(simulator, run_tap(config), "end_date", "start_date")


@pytest.mark.parametrize("option", ["config", "state", "catalog"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"client_secret": "sEcReT-0001",}', "not valid JSON"),
        ("[]", "object"),
        ('"text"', "object"),
        ("null", "object"),
        ('{"x": NaN}', "NaN"),
        ('{"x": [1, -Infinity]}', "without end"),
        ('{"x": 1e999}', "without end"),
        ('{"x": 123456789012345678901234567890}', "64 bits"),
        ('{"x": "\\ud800"}', "surrogate"),
        (b'{"x": "\xff"}', "UTF-8"),
        ("[" * 60 + "]" * 60, "deeper than 50"),
        ("[" * 100_000 + "]" * 100_000, "deeper than 50"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_a_broken_file_is_named(
    simulator: SimulatorProcess, option: str, content: str | bytes, said: str
) -> None:
    files: dict[str, Any] = {"config": settings(simulator), option: content}
    run = run_tap(files.pop("config"), **files)
    expected = "streams" if option == "catalog" and said == "object" else said
    assert_refused(simulator, run, option, expected)


def test_a_file_that_is_not_there_is_named(simulator: SimulatorProcess) -> None:
    for option in ("config", "state", "catalog"):
        config = settings(simulator) if option != "config" else None
        run = run_tap(config, arguments=[f"--{option}=/nowhere/{option}.json"])
        assert run.exit_code in {1, 2}, run.stderr
        assert "Traceback" not in run.stderr
        assert any(f"/nowhere/{option}.json" in line for line in run.lines)
        assert not simulator.stats().log


def test_a_refusal_leaves_no_file_open(tmp_path: Path) -> None:
    options = []
    for option in ("config", "state", "catalog"):
        file = tmp_path / f"{option}.json"
        file.write_text("{}")
        options += [f"--{option}", str(file)]
    # Meltano runs plugins so that Python tells of files that are left open, below the error.
    command = [sys.executable, "-W", "always::ResourceWarning", "-m", "tap_zoom_cc"]
    ended = subprocess.run(
        [*command, *options, "--test"], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "| ERROR " in ended.stderr.splitlines()[-1]
    assert "ResourceWarning" not in ended.stderr


CHECKS_COUNTED = """
import sys
from tap_zoom_cc.tap import TapZoomCC
checks = []
def note(frame, event, _):
    if event == "call" and frame.f_code.co_name == "settings_mistakes":
        checks.append(frame)
sys.setprofile(note)
try:
    TapZoomCC.cli()
finally:
    sys.setprofile(None)
    print(len(checks), "checks", file=sys.stderr)
"""


def test_settings_are_checked_once(simulator: SimulatorProcess, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings(simulator) | simulator.tap_config()))
    command = [sys.executable, "-c", CHECKS_COUNTED, f"--config={config}"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert '"RECORD"' in ended.stdout
    assert ended.stderr.endswith("\n1 checks\n")


def test_no_config_at_all_is_refused(simulator: SimulatorProcess) -> None:
    run = run_tap(None)
    for name in ("account_id", "client_id", "client_secret"):
        assert_refused(simulator, run, f"{name}: is missing")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_CONCURRENCY", "many"),
        ("SMS_FILTERS", "{direction"),
        ("REQUESTS_PER_SECOND", "fast"),
        ("START_DATE", "soon"),
        ("SUB_ACCOUNT_IDS", "[1"),
        ("REQUESTS_PER_SECOND", "nan"),
        ("SMS_LOOKBACK_DAYS", "inf"),
        ("SMS_FILTERS", "[" * 10_000),
        ("SMS_FILTERS", '{"direction": NaN}'),
        ("INCLUDE_OWN_ACCOUNT", "maybe"),
    ],
)
def test_a_wrong_variable_is_named(simulator: SimulatorProcess, name: str, value: str) -> None:
    with start_tap(
        settings(simulator),
        arguments=["--config=ENV"],
        environment={f"TAP_ZOOM_CC_{name}": value},
    ) as tap:
        assert_refused(simulator, tap.finish(), name.lower())


def test_a_variable_of_no_setting_is_named_with_what_may_be_meant(
    simulator: SimulatorProcess,
) -> None:
    meant = {"START_DAT": "START_DATE", "SUB_ACCOUNT_ID": "SUB_ACCOUNT_IDS"}
    others = [
        "TAP_ZOOM_CC_LOGLEVEL",
        "TAP_ZOOM_CC__SELECT",
        "TAP_ZOOM_CC_START_DATE",
        "TAP_ZOOM_CC_SHARD_1_SUB_ACCOUNT_IDS",
        "TAP_ZOOM_CC_SHARD_1__SELECT",
        "TAP_ZOOM_CC_HASH_SALT",
    ]
    environment = dict.fromkeys([*others, *(f"TAP_ZOOM_CC_{name}" for name in meant)], "INFO")
    config = settings(simulator) | simulator.tap_config()
    run = run_tap(config, environment=environment).check()
    warnings = [line for line in run.logged("WARNING") if "no such setting" in line]
    assert len(warnings) == len(meant), warnings
    for name, right in meant.items():
        said = f"TAP_ZOOM_CC_{name}: there is no such setting, so it is ignored; did you mean "
        assert [line for line in warnings if line.endswith(f"{said}TAP_ZOOM_CC_{right}?")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_file_may_be_in_any_encoding_of_unicode(
    simulator: SimulatorProcess, discovered: dict[str, Any], encoding: str
) -> None:
    config = settings(simulator) | simulator.tap_config()
    files = (config, {"bookmarks": state_of("sms", {ACCOUNT: "2024-02-01"})}, discovered)
    encoded = [json.dumps(value).encode(encoding) for value in files]
    run_tap(encoded[0], state=encoded[1], catalog=encoded[2]).check()


@pytest.mark.parametrize("option", ["config", "state", "catalog"])
def test_a_file_may_be_a_pipe(
    simulator: SimulatorProcess, discovered: dict[str, Any], tmp_path: Path, option: str
) -> None:
    files: dict[str, Any] = {
        "config": settings(simulator) | simulator.tap_config(),
        "state": {"bookmarks": state_of("sms", {ACCOUNT: "2024-02-01"})},
        "catalog": discovered,
    }
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = json.dumps(files.pop(option))
    threading.Thread(target=pipe.write_text, args=(content,), daemon=True).start()
    config = files.pop("config", None)
    run = run_tap(config, **files, arguments=[f"--{option}={pipe}"]).check()
    assert run.records("sms")


def test_a_wrong_variable_does_not_hide_the_others(simulator: SimulatorProcess) -> None:
    environment = {
        f"TAP_ZOOM_CC_{name.upper()}": str(value) for name, value in settings(simulator).items()
    }
    environment |= {
        "TAP_ZOOM_CC_SMS_FILTERS": '{"direction": "sEcReT',
        "TAP_ZOOM_CC_MAX_CONCURRENCY": "many",
    }
    run = run_tap(None, arguments=["--config=ENV"], environment=environment)
    assert_refused(
        simulator, run, "sms_filters: must be an object", "is not valid JSON", "line 1, column 15"
    )
    assert_refused(simulator, run, "max_concurrency", "whole number", "'many'")
    assert len(run.logged("ERROR")) == 2, run.stderr


def test_a_file_of_variables_that_is_no_text_is_named(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(b"TAP_ZOOM_CC_START_DATE=\xff")
    prelude = f"import os; os.chdir({str(tmp_path)!r})"
    with start_tap(settings(simulator), arguments=["--config=ENV"], prelude=prelude) as tap:
        assert_refused(simulator, tap.finish(), ".env: cannot be read")


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(
    ("path", "said"),
    [("/nowhere/ca.pem", "No such file"), (__file__, "holds no certificates")],
    ids=["missing", "other"],
)
def test_certificates_that_cannot_be_used_are_named(
    simulator: SimulatorProcess, variable: str, path: str, said: str
) -> None:
    run = run_tap(settings(simulator), environment={"REQUESTS_CA_BUNDLE": "", variable: path})
    assert_refused(simulator, run, variable, path, said)


def test_certificates_that_a_file_of_variables_names_are_tried_as_well(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("CURL_CA_BUNDLE=/nowhere/ca.pem", "utf-8")
    prelude = f"import os; os.chdir({str(tmp_path)!r}); os.environ.pop('CURL_CA_BUNDLE', None)"
    run = run_tap(
        settings(simulator),
        arguments=["--config=ENV"],
        environment={"REQUESTS_CA_BUNDLE": ""},
        prelude=prelude,
    )
    assert_refused(simulator, run, "CURL_CA_BUNDLE", "/nowhere/ca.pem", "No such file")


@pytest.mark.parametrize("place", ["", "proxy.invalid:port", "proxy.invalid:0", "[", "h:99999"])
def test_a_proxy_without_a_host_or_a_port_that_can_be_is_named_and_its_password_is_not(
    simulator: SimulatorProcess, place: str
) -> None:
    proxies = {"http_proxy": f"http://user:sEcReT@{place}", "no_proxy": "", "NO_PROXY": ""}
    run = run_tap(settings(simulator) | simulator.tap_config(), environment=proxies)
    assert_refused(simulator, run, "http_proxy: is no URL of a proxy")


def test_a_text_in_a_file_is_read_as_one_of_the_environment(simulator: SimulatorProcess) -> None:
    config = settings(simulator) | simulator.tap_config()
    texts = {
        "sub_account_ids": ACCOUNT,
        "include_own_account": "no",
        "sms_lookback_days": "3.5",
        "max_concurrency": "2",
        "requests_per_second": "1000",
    }
    assert len(run_tap({**config, **texts}).check().records("sms")) == 5


@pytest.mark.parametrize("variable", ["LOGLEVEL", "TAP_ZOOM_CC_LOGLEVEL"])
def test_a_log_level_that_does_not_exist_is_passed_over(
    simulator: SimulatorProcess, variable: str
) -> None:
    config = settings(simulator) | simulator.tap_config()
    # What a terminal would obey does not reach it.
    run = run_tap(config, environment={variable: "LOUD\x1b[31m"}).check()
    said = f"{variable}: there is no level 'LOUD[31m'"
    assert [line for line in run.logged("WARNING") if said in line]
    assert run.records("sms")


@pytest.mark.parametrize("variable", ["LOGLEVEL", "TAP_ZOOM_CC_LOGLEVEL"])
def test_an_empty_log_level_is_none(simulator: SimulatorProcess, variable: str) -> None:
    config = settings(simulator) | simulator.tap_config()
    run = run_tap(config, environment={variable: ""}).check()
    assert not run.logged("WARNING")
    assert run.records("sms")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("LOGLEVEL=LOUD", "LOGLEVEL: there is no level 'LOUD'"),
        ("TAP_ZOOM_CC_START_DAT=2024-01-01", "TAP_ZOOM_CC_START_DAT"),
    ],
)
def test_what_is_wrong_in_a_file_of_variables_is_warned_of_as_well(
    simulator: SimulatorProcess, tmp_path: Path, line: str, said: str
) -> None:
    (tmp_path / ".env").write_text(line, "utf-8")
    prelude = f"import os; os.chdir({str(tmp_path)!r})"
    config = settings(simulator) | simulator.tap_config()
    run = run_tap(config, arguments=["--config=ENV"], prelude=prelude).check()
    assert [warning for warning in run.logged("WARNING") if said in warning]
    assert run.records("sms")


def test_a_file_that_cannot_set_up_the_log_is_named(simulator: SimulatorProcess) -> None:
    run = run_tap(settings(simulator), environment={"SINGER_SDK_LOG_CONFIG": __file__}).check(1)
    assert len([line for line in run.lines if "SINGER_SDK_LOG_CONFIG: cannot be used" in line]) == 1


def test_the_earliest_date_means_everything(simulator: SimulatorProcess) -> None:
    config = settings(simulator) | simulator.tap_config()
    run = run_tap({**config, "start_date": "0001-01-01", "requests_per_second": 1000}).check()
    assert len(run.records("sms")) == 5
    windows = [entry for entry in simulator.stats().log if entry.endpoint == "sms"]
    assert len(windows) < 250, "Zoom is not asked for times before Zoom"


@pytest.mark.parametrize(
    "maps",
    [
        {"sms": {"consumer_number": None}, "voice_calls": None},
        {"s*s": {"consumer_number": "__NULL__"}},
        {"messages": {"__source__": "sms", "consumer_number": None}, "sms": None},
        {"sms": {"__alias__": "messages", "consumer_number": None}},
        {"sms": {"__key_properties__": ["x"], "x": "engagement_id", "__else__": None}},
        {"sms": {"consumer_number": None}, "__else__": None},
        {"sub_accounts": {"owner_email": None}, "sms": {"consumer_number": None}},
    ],
    ids=str,
)
def test_what_the_sdk_takes_for_a_stream_map_is_taken(
    simulator: SimulatorProcess, maps: dict[str, object]
) -> None:
    config = settings(simulator) | simulator.tap_config()
    run = run_tap({**config, "sub_account_ids": [ACCOUNT], "stream_maps": maps}).check()
    rows = [*run.records("sms"), *run.records("messages")]
    assert len(rows) == 5
    assert not any(row.get("consumer_number") for row in rows)


def test_a_value_of_a_stream_map_that_is_no_json_is_named(simulator: SimulatorProcess) -> None:
    config = settings(simulator) | simulator.tap_config()
    run = run_tap({**config, "stream_maps": {"sms": {"new": "'\\ud800'"}}}).check(1)
    assert [line for line in run.logged("ERROR") if "stream_maps" in line and "JSON" in line]


# Standard output

OUTPUTS = {
    "sync": [],
    "discover": ["--discover"],
    "about": ["--about"],
    "version": ["--version"],
    "test": ["--test=schema"],
    "check": ["--check"],
    "observe": ["--observe"],
    "reconcile": ["--reconcile=2026-01-01/2026-01-02"],
}


def assert_said_once(run: TapRun, what: str) -> None:
    (error,) = run.check(1).logged("ERROR")
    assert what in error


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_without_space_ends_the_run_with_one_line(
    simulator: SimulatorProcess, name: str
) -> None:
    config = settings(simulator) | simulator.tap_config()
    with Path("/dev/full").open("wb") as full:
        run = run_tap(config, arguments=OUTPUTS[name], output=full.fileno())
    assert_said_once(run, "No space left")


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_that_is_closed_ends_the_run_with_one_line(
    simulator: SimulatorProcess, name: str
) -> None:
    config = settings(simulator) | simulator.tap_config()
    closed = "import os, sys; os.close(1); sys.stdout = sys.__stdout__ = None"
    run = run_tap(config, arguments=OUTPUTS[name], prelude=closed)
    assert_said_once(run, "Standard output is closed")


def test_a_shell_that_closes_the_output_gets_one_line(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings(simulator) | simulator.tap_config()))
    command = [sys.executable, "-m", "tap_zoom_cc", f"--config={config}"]
    ended = subprocess.run(
        ["sh", "-c", f"exec {shlex.join(command)} >&-"], check=False, capture_output=True, text=True
    )
    assert_said_once(TapRun(ended.returncode, b"", ended.stderr), "Standard output is closed")


@pytest.mark.parametrize(
    "option", [[], ["--test"], ["--check"], ["--observe"], ["--reconcile=2026-01-01/2026-01-02"]]
)
def test_nothing_is_requested_for_an_output_that_is_closed(
    simulator: SimulatorProcess, tmp_path: Path, option: list[str]
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings(simulator) | simulator.tap_config()))
    simulator.reset_stats()
    command = [sys.executable, "-m", "tap_zoom_cc", f"--config={config}", *option]
    ended = subprocess.run(
        ["sh", "-c", f"exec {shlex.join(command)} >&-"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    (error,) = [line for line in ended.stderr.splitlines() if "| ERROR " in line]
    assert "Standard output is closed" in error
    assert not simulator.stats().log


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name != "version"])
def test_an_output_that_nobody_reads_ends_the_run_with_one_line(
    simulator: SimulatorProcess, name: str
) -> None:
    config = settings(simulator) | simulator.tap_config()
    read, write = os.pipe()
    os.close(read)
    run = run_tap(config, arguments=OUTPUTS[name], output=write)
    os.close(write)
    assert_said_once(run, "read the output has closed it")


def test_settings_from_the_environment_work(simulator: SimulatorProcess) -> None:
    config = settings(simulator) | simulator.tap_config()
    with start_tap(
        config,
        arguments=["--config=ENV"],
        environment={
            "TAP_ZOOM_CC_SUB_ACCOUNT_IDS": json.dumps([ACCOUNT]),
            "TAP_ZOOM_CC_REQUESTS_PER_SECOND": "8.5",
            "TAP_ZOOM_CC_SMS_LOOKBACK_DAYS": "2",
            "TAP_ZOOM_CC_MAX_CONCURRENCY": "3",
            "TAP_ZOOM_CC_INCLUDE_OWN_ACCOUNT": "false",
            "TAP_ZOOM_CC_SMS_FILTERS": '{"direction": "inbound"}',
        },
    ) as tap:
        run = tap.finish().check()
    asked = [entry for entry in simulator.stats().log if entry.endpoint == "sms"]
    assert {entry.account_id for entry in asked} == {ACCOUNT}
    assert all("direction=inbound" in entry.query for entry in asked)
    assert run.records("sms")


# Catalogs


def root(entry: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = next(
        part["metadata"] for part in entry["metadata"] if not part["breadcrumb"]
    )
    return metadata


def field(entry: dict[str, Any], name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = next(
        part["metadata"] for part in entry["metadata"] if part["breadcrumb"] == ["properties", name]
    )
    return metadata


def without_keys(entry: dict[str, Any]) -> None:
    entry["key_properties"] = []
    root(entry)["table-key-properties"] = []


CATALOGS: dict[str, tuple[Callable[[dict[str, Any]], object], tuple[str, ...]]] = {
    "no streams": (lambda catalog: catalog.pop("streams"), ("catalog", "streams", "--discover")),
    "streams no list": (lambda catalog: catalog.update(streams={}), ("catalog", "streams")),
    "entry no object": (
        lambda catalog: catalog["streams"].append("sms"),
        ("catalog.streams[3]", "an object"),
    ),
    "entry without name": (
        lambda catalog: [catalog["streams"][0].pop(name) for name in ("tap_stream_id", "stream")],
        ("catalog", "tap_stream_id"),
    ),
    "entry without its ID": (
        lambda catalog: catalog["streams"][0].pop("tap_stream_id"),
        ("catalog", "tap_stream_id"),
    ),
    "unknown stream": (
        lambda catalog: catalog["streams"][0].update(tap_stream_id="voice_cals"),
        ("voice_cals", "did you mean voice_calls?"),
    ),
    "no keys": (
        lambda catalog: without_keys(catalog["streams"][0]),
        ("catalog.streams.sms", "key_properties", "account_id, engagement_id"),
    ),
    "other keys": (
        lambda catalog: catalog["streams"][0].update(key_properties=["engagement_id"]),
        ("catalog.streams.sms", "key_properties", "account_id, engagement_id"),
    ),
    "keys in metadata only": (
        lambda catalog: catalog["streams"][0].pop("key_properties"),
        ("catalog.streams.sms", "key_properties", "account_id, engagement_id"),
    ),
    "a key that may be deselected and is": (
        lambda catalog: field(catalog["streams"][0], "engagement_id").update(
            inclusion="available", selected=False
        ),
        ("catalog.streams.sms.fields.engagement_id", "cannot be deselected"),
    ),
    "no replication key": (
        lambda catalog: [
            catalog["streams"][0].pop(name, None)
            for name in ("replication_method", "replication_key")
        ],
        ("catalog.streams.sms.replication_key", "must be start_time"),
    ),
    "a stream twice": (
        lambda catalog: catalog["streams"].append(catalog["streams"][0]),
        ("catalog.streams.sms", "twice"),
    ),
    "no schema": (
        lambda catalog: catalog["streams"][0].pop("schema"),
        ("catalog.streams.sms", "schema"),
    ),
    "schema without key": (
        lambda catalog: catalog["streams"][0]["schema"]["properties"].pop("engagement_id"),
        ("catalog.streams.sms", "engagement_id"),
    ),
    "log based": (
        lambda catalog: catalog["streams"][0].update(replication_method="LOG_BASED"),
        ("catalog.streams.sms", "replication_method", "INCREMENTAL or FULL_TABLE"),
    ),
    "log based in metadata": (
        lambda catalog: (
            catalog["streams"][0].pop("replication_method"),
            root(catalog["streams"][0]).update({"forced-replication-method": "LOG_BASED"}),
        ),
        ("catalog.streams.sms", "replication_method"),
    ),
    "other replication key": (
        lambda catalog: catalog["streams"][0].update(replication_key="end_time"),
        ("catalog.streams.sms", "replication_key", "start_time"),
    ),
    "a field that is true": (
        lambda catalog: catalog["streams"][0]["schema"]["properties"].update(new=True),
        ("catalog.streams.sms.schema.properties.new", "must be an object", "True"),
    ),
    "a schema that is true": (
        lambda catalog: catalog["streams"][0].update(schema=True),
        ("catalog.streams.sms", "schema"),
    ),
    "items a list": (
        lambda catalog: catalog["streams"][0]["schema"]["properties"].update(
            new={"type": "array", "items": [{"type": "string"}]}
        ),
        ("catalog.streams.sms.schema.properties.new.items", "must be an object"),
    ),
    "a type that is a number": (
        lambda catalog: catalog["streams"][0]["schema"]["properties"].update(new={"type": 5}),
        ("catalog.streams.sms.schema.properties.new.type", "5"),
    ),
    "a stream of another name, which stream maps would pass over": (
        lambda catalog: catalog["streams"][0].update(stream="messages"),
        ("catalog.streams.sms.stream", "must be sms", "__alias__"),
    ),
    "a breadcrumb of lists": (
        lambda catalog: catalog["streams"][0]["metadata"].append(
            {"breadcrumb": [[]], "metadata": {}}
        ),
        ("catalog.streams[0].metadata[", "breadcrumb[0]", "must be text"),
    ),
    "metadata no list": (
        lambda catalog: catalog["streams"][0].update(metadata={"selected": True}),
        ("catalog.streams[0].metadata", "a list"),
    ),
    "nothing selected": (
        lambda catalog: [root(entry).update(selected=False) for entry in catalog["streams"]],
        ("catalog", "no stream is selected"),
    ),
}


@pytest.mark.parametrize("name", CATALOGS)
def test_a_wrong_catalog_is_refused(
    simulator: SimulatorProcess, discovered: dict[str, Any], name: str
) -> None:
    change, said = CATALOGS[name]
    catalog = copy.deepcopy(discovered)
    change(catalog)
    assert_refused(simulator, run_tap(settings(simulator), catalog=catalog), *said)


def test_a_field_of_an_odd_name_is_harmless(
    simulator: SimulatorProcess, discovered: dict[str, Any]
) -> None:
    config = settings(simulator) | simulator.tap_config()
    catalog = copy.deepcopy(discovered)
    for name in ("x-new", "a.b", "", 'quo"te', "class", "__else__"):
        catalog["streams"][0]["schema"]["properties"][name] = {"type": ["string", "null"]}
    assert len(run_tap(config, catalog=catalog).check().records("sms")) == 5


@pytest.mark.parametrize("name", ["account_id", "engagement_id", "start_time"])
def test_a_key_cannot_be_deselected(
    simulator: SimulatorProcess, discovered: dict[str, Any], name: str
) -> None:
    config = settings(simulator) | simulator.tap_config()
    catalog = selecting(discovered, ["sms"], without=[name])
    run = run_tap(config, catalog=catalog).check()
    assert len(run.records("sms")) == 5
    assert all(row[name] for row in run.records("sms"))


# States


def partition(**fields: object) -> dict[str, object]:
    return {
        "bookmarks": {
            "sms": {
                "partitions": [
                    {
                        "context": {"account_id": ACCOUNT},
                        "replication_key": "start_time",
                        "replication_key_value": "2024-02-01T00:00:00+00:00",
                        **fields,
                    }
                ]
            }
        }
    }


TWICE = {
    "sms": {
        "partitions": [
            *state_of("sms", {ACCOUNT: "2024-02-01"})["sms"]["partitions"],
            *state_of("sms", {ACCOUNT: "2024-01-05"})["sms"]["partitions"],
        ]
    }
}

STATES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no bookmarks": ({"value": {}}, ("state", "has no object 'bookmarks'")),
    "bookmarks no object": ({"bookmarks": []}, ("state", "bookmarks")),
    "another tap": ({"bookmarks": {"contacts": {}}}, ("state", "another tap", "contacts")),
    "stream no object": ({"bookmarks": {"sms": "2024-01-01"}}, ("bookmarks.sms", "object")),
    "of no account": (
        {"bookmarks": {"sms": {"replication_key_value": "2024-02-01T00:00:00Z"}}},
        ("bookmarks.sms", "no account", "partitions"),
    ),
    "partitions no list": (
        {"bookmarks": {"sms": {"partitions": {}}}},
        ("bookmarks.sms.partitions", "must be a list"),
    ),
    "a stream without bookmarks no object": (
        {"bookmarks": {"sub_accounts": 5}},
        ("bookmarks.sub_accounts", "object"),
    ),
    "its partitions no list": (
        {"bookmarks": {"sub_accounts": {"partitions": 5}}},
        ("bookmarks.sub_accounts.partitions", "must be a list"),
    ),
    "markers no object": (
        partition(progress_markers=5),
        ("partitions[0].progress_markers", "must be an object"),
    ),
    "older than Zoom": (
        partition(replication_key_value="0001-01-01T00:00:00Z"),
        ("0001-01-01", "older than Zoom"),
    ),
    "partition no object": (
        {"bookmarks": {"sms": {"partitions": ["x"]}}},
        ("partitions[0]", "an object"),
    ),
    "no context": (
        {"bookmarks": {"sms": {"partitions": [{"replication_key_value": "2024-02-01"}]}}},
        ("partitions[0]", "account_id"),
    ),
    "another context": (
        partition(context={"account_id": ACCOUNT, "site": "x"}),
        ("partitions[0].context", "an account_id and nothing more"),
    ),
    "account no text": (partition(context={"account_id": 7}), ("partitions[0]", "account_id")),
    "another key": (partition(replication_key="end_time"), ("partitions[0]", "start_time")),
    "key missing": (partition(replication_key=None), ("partitions[0]", "start_time")),
    "no date": (
        partition(replication_key_value="last week"),
        ("last week", "neither a date nor a date-time"),
    ),
    "a number": (
        partition(replication_key_value=1706745600),
        ("1706745600", "must be text"),
    ),
    "in the future": (partition(replication_key_value=IN_TWO_DAYS), ("future", "clock")),
    "twice": ({"bookmarks": TWICE}, ("bookmarks.sms.partitions", ACCOUNT, "twice")),
}


@pytest.mark.parametrize("name", STATES)
def test_a_wrong_state_is_refused(simulator: SimulatorProcess, name: str) -> None:
    state, said = STATES[name]
    run = run_tap(settings(simulator), state=state)
    assert_refused(simulator, run, "state", *said)
    assert len(run.logged("ERROR")) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--check", "--reconcile=2026-01-01/2026-01-02"), "--check and --reconcile"),
        (("--test", "--observe"), "--test and --observe"),
        (("--discover", "--about"), "--about and --discover"),
    ],
)
def test_two_commands_at_once_are_refused(
    simulator: SimulatorProcess, options: tuple[str, ...], named: str
) -> None:
    simulator.replace(Scenario(accounts=(Account(id=ACCOUNT, sms=1),)))
    run = run_tap(simulator.tap_config(), arguments=options).check(1)
    (error,) = run.logged("ERROR")
    assert f"{named}: give one of them at a time" in error
    assert not run.stdout
    assert not simulator.stats().log


def test_an_unknown_option_is_refused(simulator: SimulatorProcess) -> None:
    run = run_tap(settings(simulator), arguments=["--sate=x"])
    assert run.exit_code == 2
    assert "--sate" in run.stderr
    assert "Traceback" not in run.stderr


CHECKED_BY_THE_SDK = {
    "faker_config",
    "flattening_max_depth",
    "flattening_max_key_length",
    "flattening_separator",
    "stream_map_config",
}


def test_every_setting_has_a_wrong_value_here() -> None:
    about = json.loads(run_tap(None, arguments=["--about", "--format=json"]).check().stdout)
    declared = about["settings"]["properties"].keys()
    assert declared - {wrong.name for wrong in SETTINGS} == CHECKED_BY_THE_SDK

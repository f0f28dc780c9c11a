"""Whatever is wrong with the input is said in one line, before anything is requested.

The run must end with exit code 1 and an ERROR line that names what is wrong, and where: no
traceback, no request, no secret. What all is refused of settings, state and catalog is in the
tables of `test_refusals.py`; here is each way in, and what must be taken all the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import Account, Scenario
from tests.harness.singer import selecting, state_of
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun

    Config = dict[str, object]

ACCOUNT = "bAdInPuTaCcOuNt0000001"
CLIENT_ID, SECRET = "tHe-cLiEnT-iD-0001", "sEcReT-0001"
FROM_VARIABLES = ["--config=ENV"]
KEYS = ("account_id", "engagement_id", "start_time")


@pytest.fixture
def config(simulator: SimulatorProcess) -> Config:
    """Give settings that are right, for a Zoom that has a little to read."""
    account = Account(id=ACCOUNT, sms=5, voice_calls=5)
    simulator.replace(Scenario(accounts=(account,), client_id=CLIENT_ID, client_secret=SECRET))
    return {
        **simulator.tap_config(),
        "start_date": "2024-01-01",
        "end_date": "2024-02-20",
        "requests_per_second": 1000,
    }


def assert_refused(simulator: SimulatorProcess, run: TapRun, *beginnings: str) -> None:
    """Assert that a run was refused with a line for each of these beginnings, and did nothing."""
    run.check(1)
    lines = [line.split(" | ", maxsplit=3)[-1] for line in run.logged("ERROR")]
    assert len(lines) == len(beginnings), run.stderr
    for line, beginning in zip(sorted(lines), sorted(beginnings), strict=True):
        assert line.startswith(beginning)
    assert run.stdout == b""
    assert not simulator.stats().log, "a request was sent"
    assert "sEcReT" not in run.stderr
    assert CLIENT_ID not in run.stderr


def in_folder(folder: Path) -> str:
    """Return the code that lets the tap run in a folder, without certificates of its own."""
    return f"import os; os.chdir({str(folder)!r}); os.environ.pop('CURL_CA_BUNDLE', None)"


# Files


def test_everything_that_is_wrong_is_said_at_once(
    simulator: SimulatorProcess, config: Config
) -> None:
    wrong = {**config, "start_date": "soon", "requests_per_second": 0, "stat": 1, "client_id": None}
    run = run_tap(
        wrong, state={"bookmarks": {"sms": 5}}, catalog={"streams": [{"tap_stream_id": "smss"}]}
    )
    assert_refused(
        simulator,
        run,
        *("client_id: is missing", "requests_per_second: must be", "start_date: must be"),
        *("stat: there is no such setting", "state.bookmarks.sms: must be an object"),
        "catalog.streams.smss: there is no such stream; did you mean sms?",
    )


def test_files_that_are_no_json_or_no_object_are_named(simulator: SimulatorProcess) -> None:
    broken = '{"client_secret": "sEcReT-0001",}'
    names = ("--config /", "--state /", "--catalog /")
    assert_refused(simulator, run_tap(broken, state=broken, catalog=broken), *names)
    run = run_tap("[]", state="[]", catalog="[]")
    assert_refused(simulator, run, "--config /", "state: has no", "catalog: has no list")


def test_a_file_that_is_not_there_is_named(simulator: SimulatorProcess, config: Config) -> None:
    for option in ("config", "state", "catalog"):
        name = f"--{option}=/nowhere/{option}.json"
        run = run_tap(config if option != "config" else None, arguments=[name])
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


def test_a_catalog_that_selects_nothing_is_refused(
    simulator: SimulatorProcess, config: Config, discovered: dict[str, Any]
) -> None:
    run = run_tap(config, catalog=selecting(discovered, []))
    assert_refused(simulator, run, "catalog: no stream is selected")


def test_files_may_be_pipes_and_in_any_encoding_of_unicode(
    config: Config, discovered: dict[str, Any], tmp_path: Path
) -> None:
    state = {"bookmarks": state_of("sms", {ACCOUNT: "2024-02-01"})}
    options = []
    for name, value, encoding in (
        ("config", config, "utf-8-sig"),
        ("state", state, "utf-16"),
        ("catalog", discovered, "utf-32-be"),
    ):
        pipe = tmp_path / name
        os.mkfifo(pipe)
        content = (json.dumps(value).encode(encoding),)
        threading.Thread(target=pipe.write_bytes, args=content, daemon=True).start()
        options.append(f"--{name}={pipe}")
    assert run_tap(None, arguments=options).check().records("sms")


def test_a_key_that_is_deselected_and_fields_of_odd_names_are_harmless(
    config: Config, discovered: dict[str, Any]
) -> None:
    catalog = selecting(discovered, ["sms"], without=KEYS)
    for name in ("x-new", "a.b", "", 'quo"te', "class", "__else__"):
        catalog["streams"][0]["schema"]["properties"][name] = {"type": ["string", "null"]}
    rows = run_tap(config, catalog=catalog).check().records("sms")
    assert len(rows) == 5
    assert all(row[name] for row in rows for name in KEYS)


def test_the_earliest_date_means_everything(simulator: SimulatorProcess, config: Config) -> None:
    run = run_tap({**config, "start_date": "0001-01-01"}).check()
    assert len(run.records("sms")) == 5
    windows = [entry for entry in simulator.stats().log if entry.endpoint == "sms"]
    assert len(windows) < 250, "Zoom is not asked for times before Zoom"


# Variables


def test_a_wrong_variable_does_not_hide_the_others(
    simulator: SimulatorProcess, config: Config
) -> None:
    given = config | {"sms_filters": '{"direction": "sEcReT', "max_concurrency": "many"}
    environment = {f"TAP_ZOOM_CC_{name.upper()}": str(value) for name, value in given.items()}
    run = run_tap(None, arguments=FROM_VARIABLES, environment=environment)
    filters = "sms_filters: must be an object; the text is not valid JSON: "
    assert_refused(simulator, run, filters, "max_concurrency: must be a whole number")


@pytest.mark.parametrize("accounts", [ACCOUNT, json.dumps([ACCOUNT])])
def test_texts_of_files_and_of_the_environment_are_read_as_settings(
    simulator: SimulatorProcess, config: Config, accounts: str
) -> None:
    texts = {"sms_lookback_days": "3.5", "include_own_account": "no", "max_concurrency": "wrong"}
    variables = {
        "SUB_ACCOUNT_IDS": accounts,
        "REQUESTS_PER_SECOND": "80.5",
        "MAX_CONCURRENCY": "3",
        "SMS_FILTERS": '{"direction": "inbound"}',
    }
    environment = {f"TAP_ZOOM_CC_{name}": value for name, value in variables.items()}
    run = run_tap({**config, **texts}, arguments=FROM_VARIABLES, environment=environment).check()
    asked = [entry for entry in simulator.stats().log if entry.endpoint == "sms"]
    assert {entry.account_id for entry in asked} == {ACCOUNT}
    assert all("direction=inbound" in entry.query for entry in asked)
    assert run.records("sms")


def test_a_variable_of_no_setting_is_named_with_what_may_be_meant(config: Config) -> None:
    meant = {"START_DAT": "START_DATE", "SUB_ACCOUNT_ID": "SUB_ACCOUNT_IDS"}
    others = ("LOGLEVEL", "_SELECT", "START_DATE", "SHARD_1_SUB_ACCOUNT_IDS", "SHARD_1__SELECT")
    names = [f"TAP_ZOOM_CC_{name}" for name in (*meant, *others, "HASH_SALT")]
    run = run_tap(config, environment=dict.fromkeys(names, "INFO")).check()
    warnings = [line for line in run.logged("WARNING") if "no such setting" in line]
    assert len(warnings) == len(meant), warnings
    for name, right in meant.items():
        said = f"TAP_ZOOM_CC_{name}: there is no such setting, so it is ignored; did you mean "
        assert [line for line in warnings if line.endswith(f"{said}TAP_ZOOM_CC_{right}?")]


def test_a_file_of_variables_that_is_no_text_is_named(
    simulator: SimulatorProcess, config: Config, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(b"TAP_ZOOM_CC_START_DATE=\xff")
    run = run_tap(config, arguments=FROM_VARIABLES, prelude=in_folder(tmp_path))
    assert_refused(simulator, run, ".env: cannot be read")


def test_what_is_wrong_in_a_file_of_variables_is_said_as_well(
    simulator: SimulatorProcess, config: Config, tmp_path: Path
) -> None:
    lines = ("LOGLEVEL=LOUD", "TAP_ZOOM_CC_START_DAT=2024-01-01", "CURL_CA_BUNDLE=/nowhere/ca.pem")
    (tmp_path / ".env").write_text("\n".join(lines), "utf-8")
    options: dict[str, Any] = {"arguments": FROM_VARIABLES, "prelude": in_folder(tmp_path)}
    run = run_tap(config, environment={"REQUESTS_CA_BUNDLE": ""}, **options)
    assert_refused(simulator, run, "CURL_CA_BUNDLE: /nowhere/ca.pem: No such file")
    said = " ".join(run.logged("WARNING"))
    assert "| LOGLEVEL: there is no level 'LOUD'" in said
    assert "| TAP_ZOOM_CC_START_DAT: " in said


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("REQUESTS_CA_BUNDLE", __file__, f"{__file__}: holds no certificates"),
        ("http_proxy", "http://user:sEcReT@", "is no URL of a proxy"),
        ("http_proxy", "http://user:sEcReT@proxy.invalid:port", "is no URL of a proxy"),
        ("http_proxy", "http://user:sEcReT@proxy.invalid:0", "is no URL of a proxy"),
    ],
)
def test_certificates_and_proxies_that_cannot_be_used_are_named(
    simulator: SimulatorProcess, config: Config, variable: str, value: str, said: str
) -> None:
    run = run_tap(config, environment={"no_proxy": "", "NO_PROXY": "", variable: value})
    assert_refused(simulator, run, f"{variable}: {said}")


@pytest.mark.parametrize("wrong", ["LOGLEVEL", "TAP_ZOOM_CC_LOGLEVEL"])
def test_log_levels_that_do_not_exist_are_passed_over_and_empty_ones_are_none(
    config: Config, wrong: str
) -> None:
    # What a terminal would obey does not reach it.
    levels = {"LOGLEVEL": "", "TAP_ZOOM_CC_LOGLEVEL": "", wrong: "LOUD\x1b[31m"}
    run = run_tap(config, environment=levels).check()
    (warning,) = run.logged("WARNING")
    assert f"| {wrong}: there is no level 'LOUD[31m'" in warning
    assert run.records("sms")


def test_a_file_that_cannot_set_up_the_log_is_named(config: Config) -> None:
    run = run_tap(config, environment={"SINGER_SDK_LOG_CONFIG": __file__}).check(1)
    assert len([line for line in run.lines if "SINGER_SDK_LOG_CONFIG: cannot be used" in line]) == 1


# Options


@pytest.mark.parametrize(
    ("one", "other"),
    [("check", "reconcile=2026-01-01/2026-01-02"), ("test", "observe"), ("about", "discover")],
)
def test_two_commands_at_once_are_refused(
    simulator: SimulatorProcess, config: Config, one: str, other: str
) -> None:
    run = run_tap(config, arguments=[f"--{other}", f"--{one}"])
    named = f"--{one} and --{other.partition('=')[0]}: give one of them at a time"
    assert_refused(simulator, run, named)

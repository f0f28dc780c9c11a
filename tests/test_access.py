"""What a user asks before the first sync: what the tap is, what it has, whether it can read."""

from __future__ import annotations

import json
import signal
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from simulator.scenario import STREAMS, Account, Clock, Fault, Refusal, Scenario
from tap_zoom_cc.tap import TapZoomCC
from tests.harness.history import DAY, requests_to
from tests.harness.singer import selecting
from tests.harness.tap import run_tap, start_tap

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun

NOW = datetime.now(timezone.utc)
SETTINGS = list(TapZoomCC.config_jsonschema["properties"])


def recent(*accounts: Account, faults: tuple[Fault, ...] = ()) -> Scenario:
    begin, clock = NOW - 20 * DAY, Clock(now=NOW)
    return Scenario(
        accounts=accounts, history_begin=begin, history_end=NOW, clock=clock, faults=faults
    )


def ask(simulator: SimulatorProcess, prelude: str = "", **settings: object) -> TapRun:
    config = {**simulator.tap_config(), "requests_per_second": 100, **settings}
    return run_tap(config, arguments=["--test"], prelude=prelude)


def said(run: TapRun, *words: str) -> bool:
    return any(all(word in line for word in words) for line in run.lines)


# --test


def test_access_is_reported_for_each_account_and_stream(simulator: SimulatorProcess) -> None:
    names = ("one", "two")
    simulator.replace(recent(*(Account(id=name, sms=500, voice_calls=500) for name in names)))
    run = ask(simulator, sms_filters={"direction": "inbound"}).check()
    for stream in STREAMS:
        for name in names:
            assert said(run, f"{stream}, account {name}", "can be read")
        assert simulator.stats().requests[stream] == dict.fromkeys(names, 1), "one request each"
    assert all(query["direction"] == ["inbound"] for query in requests_to(simulator, "sms"))
    assert not run.states, "nothing was synced"


def test_a_check_prints_what_it_found_and_nothing_else(simulator: SimulatorProcess) -> None:
    odd = Account(id="b\x1b[2J\x7f\r\nb", sms=5, voice_calls=5, sms_refusal=Refusal())
    for accounts, exit_code in (((), 0), ((odd,), 1)):
        simulator.replace(recent(Account(id="aaa", sms=5), *accounts))
        run = run_tap(simulator.tap_config(), arguments=["--check"]).check(exit_code)
        lines = run.stdout.decode().split("\n")
        assert all(line.isprintable() for line in lines)
        about = [line.partition(": ")[0] for line in lines]
        names = ["aaa", "b[2J b"] if accounts else ["aaa"]
        assert about == [*(f"{each}, account {name}" for each in STREAMS for name in names), ""]
        refused = [line for line in lines if line and not line.endswith(": can be read")]
        assert len(refused) == len(accounts)
        assert all("No permission" in line for line in refused)
        assert not said(run, "INFO", ", account "), "said twice"


@pytest.mark.parametrize("option", ["--check", "--observe"])
def test_only_streams_that_the_catalog_selects_are_asked_for(
    simulator: SimulatorProcess, discovered: dict[str, Any], option: str
) -> None:
    simulator.replace(recent(Account(id="one", sms=5, voice_calls=5)))
    config = {**simulator.tap_config(), "requests_per_second": 100}
    run_tap(config, catalog=selecting(discovered, ["sms"]), arguments=[option]).check()
    assert simulator.stats().requests.keys() & set(STREAMS) == {"sms"}

    simulator.reset_stats()
    nothing = selecting(discovered, ["sub_accounts"])
    run = run_tap(config, catalog=nothing, arguments=[option]).check(1)
    (error,) = run.logged("ERROR")
    assert "catalog: selects none of sms, voice_calls" in error
    assert not simulator.stats().log


def test_many_accounts_are_checked_with_few_open_files(simulator: SimulatorProcess) -> None:
    names = [f"account{number:03}" for number in range(150)]
    simulator.replace(recent(*(Account(id=name) for name in names)))
    prelude = (
        "import os, resource\n"
        "most = len(os.listdir('/dev/fd')) + 64\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))"
    )
    run = ask(simulator, prelude, requests_per_second=1000).check()
    assert not run.logged("WARNING")
    assert simulator.stats().requests["sms"] == dict.fromkeys(names, 1)


def test_access_is_shown_by_schemas_and_a_valid_record_if_there_is_any(
    simulator: SimulatorProcess,
) -> None:
    empty, full = Account(id="empty"), Account(id="full", sms=50, voice_calls=50)
    for accounts in ((empty,), (empty, full)):
        simulator.replace(recent(*accounts))
        run = ask(simulator).check()
        schemas = {m["stream"]: m["schema"] for m in run.messages if m["type"] == "SCHEMA"}
        assert schemas.keys() >= set(STREAMS)
        for stream in STREAMS:
            records = run.records(stream)
            assert [row["account_id"] for row in records] == ["full"] * (full in accounts)
            for record in records:
                Draft202012Validator(schemas[stream]).validate(record)
            assert said(run, f"{stream}, account empty", "can be read")


def test_no_access_to_one_account_is_said_and_the_others_are_tried(
    simulator: SimulatorProcess,
) -> None:
    refusing = Account(id="bbb", sms=5, voice_calls=5, sms_refusal=Refusal())
    simulator.replace(recent(Account(id="aaa", sms=5), refusing, Account(id="ccc", sms=5)))
    run = ask(simulator).check(1)
    assert said(run, "ERROR", "sms, account bbb", "No permission", "check")
    for line in ("sms, account aaa", "sms, account ccc", "voice_calls, account bbb"):
        assert said(run, line, "can be read")
    assert not run.records("sms"), "Meltano would take a record for success"


def test_a_test_can_be_interrupted(simulator: SimulatorProcess) -> None:
    slow = Fault(kind="slow", endpoint="sms", seconds=600)
    simulator.replace(recent(Account(id="one", sms=5), faults=(slow,)))
    with start_tap(simulator.tap_config(), arguments=["--test"]) as tap:
        tap.read_until("SCHEMA")
        while "sms" not in simulator.stats().requests:
            assert tap.running
        tap.signal(signal.SIGINT)
        tap.finish().check(130)


# --about, --discover, --version


def about(*form: str) -> str:
    return run_tap(None, arguments=["--about", *form]).check().stdout.decode()


def test_about_needs_no_settings_and_names_them_all() -> None:
    told = json.loads(about("--format=json"))
    declared = told["settings"]["properties"]
    assert set(SETTINGS) <= declared.keys()
    assert told["settings"]["required"] == ["account_id", "client_id", "client_secret"]
    for name, setting in declared.items():
        assert setting["description"], name
        assert setting["title"], name
    assert set(told["capabilities"]) >= {"about", "catalog", "discover", "state", "stream-maps"}

    text, markdown = about(), about("--format=markdown")
    assert [name for name in SETTINGS if f"  - Name: {name}\n" not in text] == []
    assert [name for name in SETTINGS if f"\n| {name} | " not in markdown] == []


def test_discovery_needs_no_settings(discovered: dict[str, Any]) -> None:
    entries = {entry["tap_stream_id"]: entry for entry in discovered["streams"]}
    assert entries.keys() == {"sms", "voice_calls", "sub_accounts"}
    for stream in STREAMS:
        assert entries[stream]["key_properties"] == ["account_id", "engagement_id"]
        assert entries[stream]["replication_key"] == "start_time"
        assert entries[stream]["replication_method"] == "INCREMENTAL"
        properties = entries[stream]["schema"]["properties"]
        assert properties["start_time"]["format"] == "date-time"
    assert entries["sub_accounts"]["key_properties"] == ["id"]


def test_discovery_and_schemas_are_had_without_a_request(simulator: SimulatorProcess) -> None:
    config = {**simulator.tap_config(), "sub_account_ids": ["one"]}
    catalog = json.loads(run_tap(config, arguments=["--discover"]).check().stdout)
    assert {entry["tap_stream_id"] for entry in catalog["streams"]} == set(STREAMS)
    run = run_tap(simulator.tap_config(), arguments=["--test=schema"]).check()
    assert {message["type"] for message in run.messages} == {"SCHEMA"}
    assert not simulator.stats().log


def test_the_version_is_told() -> None:
    told = run_tap(None, arguments=["--version"]).check().stdout.decode()
    assert told.startswith(f"tap-zoom-cc v{version('tap-zoom-cc')}, ")

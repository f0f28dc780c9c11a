"""Personal data stays out: the example masks it, and what is deselected is not sent.

The example of docs/masking.md is run as it stands in `examples/`, through `meltano run`.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account, Clock, Scenario
from tests.harness.history import requests_to
from tests.harness.pages import block, run_block
from tests.harness.rows import by_key
from tests.harness.tap import sync, without_unmapped
from tests.meltano_project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream
    from tests.harness.singer import Record
    from tests.meltano_project import MeltanoProject

EXAMPLE = ROOT / "examples" / "stream_maps.yml"
SALT = "a salt of the test"

BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
END = datetime(2024, 2, 14, tzinfo=timezone.utc)

NOBODY = {
    "engagement_id": "without-anybody",
    "start_time": "2024-01-02T08:00:00Z",
    "end_time": "2024-01-02T08:01:00Z",
}
UNDECLARED = {"mobile_number_of_the_consumer": "+491701234567"}
NULLS = {
    **NOBODY,
    **UNDECLARED,
    "engagement_id": "with-nulls",
    "consumer_number": None,
    "caller_number": None,
    "agents": None,
}
SCENARIO = Scenario(
    accounts=(
        Account(
            id="mApPeDaCcOuNt00000001",
            sms=40,
            voice_calls=80,
            explicit_sms=(
                NOBODY,
                {name: value for name, value in NULLS.items() if name != "caller_number"},
            ),
            explicit_voice_calls=(NOBODY, NULLS),
        ),
        Account(id="mApPeDaCcOuNt00000002", sms=5, voice_calls=5),
    ),
    history_begin=BEGIN,
    clock=Clock(now=END),
)


@pytest.fixture
def zoom(simulator: SimulatorProcess) -> SimulatorProcess:
    """Give the simulator, with engagements of agents and consumers."""
    simulator.replace(SCENARIO)
    return simulator


@pytest.fixture
def project(project: MeltanoProject, zoom: SimulatorProcess) -> MeltanoProject:
    """Give a project that reads all of these engagements."""
    project.configure("tap-zoom-cc", {"start_date": BEGIN.date(), "end_date": END.isoformat()})
    project.read_from(zoom)
    return project


def loaded(project: MeltanoProject, stream: str) -> list[Record]:
    """Return the rows that target-jsonl has written."""
    text = (project.output / f"{stream}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.rstrip("\n").split("\n")]


def truth(zoom: SimulatorProcess, stream: Stream) -> list[Record]:
    """Return what a perfect client would have read, less the field that is not declared."""
    return [
        {name: value for name, value in row.items() if name not in UNDECLARED}
        for row in zoom.truth(stream)
    ]


def personal_values(stream: str, rows: list[Record]) -> dict[str, set[str]]:
    """Return the values in all fields that the schema calls personal data, by the field's path."""
    schema = json.loads((ROOT / "schemas" / f"{stream}.json").read_text("utf-8"))
    found: dict[str, set[str]] = {}
    for row in rows:
        for path, value in _personal_parts(schema, row, ""):
            found.setdefault(path, set()).add(value)
    return found


def _personal_parts(schema: dict[str, Any], value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for part in value:
            yield from _personal_parts(schema["items"], part, f"{path}[]")
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _personal_parts(schema["properties"][name], part, f"{path}.{name}")
    elif isinstance(value, str) and "Personal data." in schema.get("description", ""):
        yield path, value


def masked(row: Record) -> Record:
    """Return a row as the example promises it, worked out without the SDK; nulls left out."""
    row = {name: value for name, value in row.items() if value is not None}
    for name in ("consumer_number", "caller_number", "callee_number", "caller_id"):
        if name in row:
            row[name] = hashlib.sha256((SALT + row[name]).encode()).hexdigest()
    for agent in row.get("agents", ()):
        for name in set(agent) - {"user_id", "user_region", "team_ids", "team_names"}:
            del agent[name]
    row.pop("consumer_display_name", None)
    row.pop("voice_call_details", None)
    return row


@pytest.mark.programs
def test_the_example_masks_all_personal_data_and_leaves_the_rest_as_it_is(
    project: MeltanoProject, zoom: SimulatorProcess
) -> None:
    project.include(EXAMPLE)
    project.env["TAP_ZOOM_CC_HASH_SALT"] = SALT

    project.meltano("run", "tap-zoom-cc-masked", "target-jsonl")

    for stream in STREAMS:
        rows = loaded(project, stream)
        true_rows = truth(zoom, stream)
        open_values = personal_values(stream, true_rows)
        assert len(open_values) > 2, "the simulator was to have personal data"
        for path, values in personal_values(stream, rows).items():
            assert not values & open_values[path], f"{stream}{path} is not masked"
        assert not any("unmapped_values" in row for row in rows)
        assert not any("+491701234567" in str(row) for row in rows), "a field nobody knew of"
        assert by_key(stream, rows) == by_key(stream, map(masked, true_rows))
    assert not any("owner_email" in row for row in loaded(project, "sub_accounts"))
    assert views_asked_for(zoom) == {"summary"}


def test_the_maps_for_a_config_file_mask_as_those_for_meltano_do(zoom: SimulatorProcess) -> None:
    shown = json.loads(block("masking in config.json").text)
    shown["stream_map_config"] = {"TAP_ZOOM_CC_HASH_SALT": SALT}

    run = sync(zoom, **shown).check()
    for stream in STREAMS:
        rows = by_key(stream, run.records(stream))
        assert rows == by_key(stream, map(masked, truth(zoom, stream)))
    assert not any("owner_email" in row for row in run.records("sub_accounts"))


def views_asked_for(simulator: SimulatorProcess) -> set[str]:
    """Return which views of voice calls were asked for."""
    return {query["view_type"][0] for query in requests_to(simulator, "voice_calls")}


@pytest.mark.programs
@pytest.mark.parametrize("salt", [{}, {"TAP_ZOOM_CC_HASH_SALT": ""}], ids=["unset", "empty"])
def test_without_a_salt_nothing_is_loaded_and_the_variable_is_named(
    project: MeltanoProject, zoom: SimulatorProcess, salt: dict[str, str]
) -> None:
    project.include(EXAMPLE)

    log = project.meltano("run", "tap-zoom-cc-masked", "target-jsonl", env=salt, fails=True)

    assert log.count("stream_map_config.TAP_ZOOM_CC_HASH_SALT: is empty; set it") == 1
    assert "operand" not in log
    assert not list(project.output.iterdir()), "something was loaded"
    assert not zoom.stats().log, "Zoom was asked for something"


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
    zoom: SimulatorProcess, maps: dict[str, object]
) -> None:
    run = sync(zoom, stream_maps=maps).check()
    rows = [*run.records("sms"), *run.records("messages")]
    assert len(rows) == len(zoom.truth("sms"))
    assert not any(row.get("consumer_number") for row in rows)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("nonsense(", "an expression fails: "),
        ("'\\ud800'", "JSON"),
        ("no_such_field + 1", "an expression fails: "),
        ("int('number ' + self)", "an expression fails: ValueError: int('number ' + self)"),
    ],
)
def test_an_expression_that_fails_is_the_one_error_of_the_log_and_tells_no_value(
    zoom: SimulatorProcess, expression: str, said: str
) -> None:
    run = sync(zoom, stream_maps={"sms": {"consumer_number": expression}})
    (line,) = run.check(1).logged("ERROR")
    assert "stream_maps: " in line
    assert said in line
    numbers = {row.get("consumer_number") or "" for row in truth(zoom, "sms")} - {""}
    assert numbers
    assert not any(number in run.stderr for number in numbers)


@pytest.mark.programs
def test_only_what_meltano_selects_is_asked_for_and_loaded(
    project: MeltanoProject, zoom: SimulatorProcess
) -> None:
    project.meltano("select", "tap-zoom-cc", "voice_calls", "*")
    project.meltano("select", "--exclude", "tap-zoom-cc", "voice_calls", "voice_call_details")
    project.meltano("select", "tap-zoom-cc", "sms", "total_sent_messages")

    project.meltano("run", "tap-zoom-cc", "target-jsonl")

    calls = [
        {name: value for name, value in row.items() if name != "voice_call_details"}
        for row in truth(zoom, "voice_calls")
    ]
    assert by_key("voice_calls", map(without_unmapped, loaded(project, "voice_calls"))) == by_key(
        "voice_calls", calls
    )
    assert views_asked_for(zoom) == {"summary"}
    always = ("account_id", "engagement_id", "start_time")
    messages = [
        {name: value for name, value in row.items() if name in (*always, "total_sent_messages")}
        for row in zoom.truth("sms")
    ]
    assert by_key("sms", map(without_unmapped, loaded(project, "sms"))) == by_key("sms", messages)
    assert not (project.output / "sub_accounts.jsonl").exists()


@pytest.mark.programs
def test_the_selection_that_is_shown_leaves_out_the_details_only(
    project: MeltanoProject, zoom: SimulatorProcess
) -> None:
    selected = run_block("selection", project.folder, project.env)
    assert selected.returncode == 0, selected.stderr

    project.meltano("run", "tap-zoom-cc", "target-jsonl")

    assert views_asked_for(zoom) == {"summary"}
    assert by_key("sms", map(without_unmapped, loaded(project, "sms"))) == by_key(
        "sms", truth(zoom, "sms")
    )
    assert len(loaded(project, "voice_calls")) == len(zoom.truth("voice_calls"))

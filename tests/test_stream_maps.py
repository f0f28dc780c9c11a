"""Personal data stays out: the example masks it, and what is deselected is not sent.

The example of docs/masking.md is run as it stands in `examples/`, through `meltano run`.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from schemas.derive import walk
from simulator.scenario import STREAMS, Account, Clock, Scenario
from tests.checkout import ROOT
from tests.harness.history import requests_to
from tests.harness.pages import block, run_block
from tests.harness.process import without_unmapped
from tests.harness.rows import by_key, leaves
from tests.harness.tap import sync

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    "agents": None,
}
ACCOUNT = Account(
    id="mApPeDaCcOuNt00000001",
    sms=45,
    voice_calls=85,
    explicit_sms=(NOBODY, NULLS),
    explicit_voice_calls=(NOBODY, {**NULLS, "caller_number": None}),
)
SCENARIO = Scenario(accounts=(ACCOUNT,), history_begin=BEGIN, clock=Clock(now=END))


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


def personal_values(stream: str, rows: Iterable[Record]) -> set[tuple[str, object]]:
    """Return what is in the fields that the schema calls personal data, each with its path."""
    fields = walk(json.loads((ROOT / "schemas" / f"{stream}.json").read_text("utf-8")))
    personal = {path for path, node in fields if "Personal data." in node.get("description", "")}
    return {leaf for row in rows for leaf in leaves(row) if leaf[0] in personal}


def masked(row: Record) -> Record:
    """Return a row as the example promises it, worked out without the SDK."""
    left_out = ("consumer_display_name", "voice_call_details")
    row = {name: value for name, value in row.items() if name not in left_out}
    for name in ("consumer_number", "caller_number", "callee_number", "caller_id"):
        if row.get(name):
            row[name] = hashlib.sha256((SALT + row[name]).encode()).hexdigest()
    kept = ("user_id", "user_region", "team_ids", "team_names")
    agents = [{name: agent.get(name) for name in kept} for agent in row.get("agents") or ()]
    return {**row, "agents": None if row.get("agents") is None else agents}


@pytest.mark.programs
def test_the_example_masks_all_personal_data_and_leaves_the_rest_as_it_is(
    project: MeltanoProject, zoom: SimulatorProcess
) -> None:
    project.include(EXAMPLE)
    project.env["TAP_ZOOM_CC_HASH_SALT"] = SALT

    project.meltano("run", "tap-zoom-cc-masked", "target-jsonl")

    for stream in STREAMS:
        masked_rows = by_key(stream, map(masked, truth(zoom, stream)))
        assert by_key(stream, loaded(project, stream)) == masked_rows
    assert not any("owner_email" in row for row in loaded(project, "sub_accounts"))
    assert views_asked_for(zoom) == {"summary"}


def test_the_maps_for_a_config_file_mask_all_personal_data_too(zoom: SimulatorProcess) -> None:
    shown = json.loads(block("masking in config.json").text)
    shown["stream_map_config"] = {"TAP_ZOOM_CC_HASH_SALT": SALT}

    run = sync(zoom, **shown).check()
    for stream in STREAMS:
        rows, true_rows = run.records(stream), truth(zoom, stream)
        assert by_key(stream, rows) == by_key(stream, map(masked, true_rows))
        in_the_open = personal_values(stream, true_rows)
        assert len({path for path, _ in in_the_open}) > 2, "the simulator was to have personal data"
        assert not in_the_open & personal_values(stream, rows)
    assert b"owner_email" not in run.stdout
    assert b"+491701234567" not in run.stdout, "a field nobody knew of"


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
def test_the_selection_that_is_shown_leaves_out_the_details_only(
    project: MeltanoProject, zoom: SimulatorProcess
) -> None:
    selected = run_block("selection", project.folder, project.env)
    assert selected.returncode == 0, selected.stderr

    project.meltano("run", "tap-zoom-cc", "target-jsonl")

    assert views_asked_for(zoom) == {"summary"}
    for stream in STREAMS:
        rows = [{**row, "voice_call_details": None} for row in truth(zoom, stream)]
        found = map(without_unmapped, loaded(project, stream))
        assert by_key(stream, found) == by_key(stream, rows)

"""The files that other programs read: GitHub's, plugin.yaml, and meltano.yml with its pins.

That nothing is asked of MeltanoHub is seen by every test that runs Meltano: it is out of reach.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import duckdb
import jsonschema
import pytest
import yaml
from referencing import Registry

from tap_zoom_cc.inputs import with_texts_read
from tap_zoom_cc.zoom.instants import parse_instant
from tests.checkout import ROOT, run_program
from tests.meltano_project import PLUGINS, needs_duckdb

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.process import SimulatorProcess
    from tests.meltano_project import MeltanoProject

WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
HUB_SCHEMAS = ROOT.parent / "shared" / "hub" / "schemas"

MELTANO_YML = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))
LOADERS = MELTANO_YML["plugins"]["loaders"]
PLUGIN_YAML = yaml.safe_load((ROOT / "plugin.yaml").read_text("utf-8"))
(TAP,) = (each for each in MELTANO_YML["plugins"]["extractors"] if each["name"] == "tap-zoom-cc")
(TARGET_DUCKDB,) = (each for each in LOADERS if each["name"] == "target-duckdb")
ROWS = 20
# The second is what is left of sub_accounts when somebody selects but its name: a table of texts.
CALLS = [
    {"engagement_id": f"call-{n}", "start_time": "2026-01-01T00:00:00Z", "total_duration": n}
    for n in range(ROWS)
]
ACCOUNTS = [{"id": f"account-{n}", "account_name": f"Account {n}"} for n in range(ROWS)]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        # None can hang for hours.
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.github-issue-forms", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml"))),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("vendor.meltano", [ROOT / "meltano.yml"]),
    ],
)
def test_files_fit_the_schema_of_the_program_that_reads_them(
    schema: str, files: list[Path]
) -> None:
    assert files
    # It brings these schemas along.
    run_program(sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files)


def test_actions_are_pinned_by_their_hash_with_the_version_beside() -> None:
    workflows = "".join(path.read_text("utf-8") for path in WORKFLOWS)
    used = re.findall(r"uses: (?!\./)(\S+?)@(.+)$", workflows, re.MULTILINE)
    assert used
    for action, version in used:
        assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", version), f"{action}@{version}"
    assert len(set(used)) == len(dict(used)), "an action is used in two versions"


def test_settings_and_capabilities_are_described_as_the_tap_describes_them() -> None:
    about = json.loads(run_program(sys.executable, "-m", "tap_zoom_cc", "--about", "--format=json"))
    said = [
        (name, declared.get("default"), declared.get("secret"))
        for name, declared in about["settings"]["properties"].items()
    ]
    assert {name for name, _, secret in said if secret} == {"client_id", "client_secret"}
    for definition in (TAP, PLUGIN_YAML):
        shown = definition["settings"]
        assert [(each["name"], each.get("value"), each.get("sensitive")) for each in shown] == said
        assert all(each["label"] and each["description"] for each in shown)
        assert sorted(definition["capabilities"]) == sorted(about["capabilities"])
        assert not {"activate-version", "batch"} & set(definition["capabilities"])
        assert definition["commands"] == TAP["commands"]


@pytest.mark.skipif(not HUB_SCHEMAS.exists(), reason="MeltanoHub's JSON schemas are not here")
def test_the_hub_takes_the_definition() -> None:
    # They refer to each other by their place in the hub's repository: that becomes their $id.
    schemas = {
        path: json.loads(path.read_bytes()) | {"$id": path.as_uri()}
        for path in HUB_SCHEMAS.rglob("*.json")
    }
    registry: Registry[Any] = Registry().with_contents(
        [(path.as_uri(), schema) for path, schema in schemas.items()]
    )
    entry = schemas[HUB_SCHEMAS / "plugin_definitions" / "extractors.schema.json"]
    validator = jsonschema.Draft7Validator(entry, registry=registry)
    assert not list(map(str, validator.iter_errors(PLUGIN_YAML)))
    assert list(PLUGIN_YAML) == sorted(PLUGIN_YAML)


def test_the_definition_says_what_the_hub_asks_of_a_tap_that_is_built_on_the_sdk() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    pythons = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert PLUGIN_YAML["quality"] == "silver"
    assert "meltano_sdk" in PLUGIN_YAML["keywords"]
    assert PLUGIN_YAML["log_parser"] == "singer-sdk"
    assert PLUGIN_YAML["supported_python_versions"] == pythons
    assert PLUGIN_YAML["settings_group_validation"]


def set_in_meltano_yml(project: MeltanoProject, **settings: str) -> None:
    """Set settings of the tap where most projects have theirs: under ``config``."""
    text = project.definition.read_text("utf-8")
    place = "    executable: tap-zoom-cc\n"
    assert text.count(place) == 1
    lines = [f"      {name}: {value}\n" for name, value in settings.items()]
    text = text.replace(place, f"{place}    config:\n{''.join(lines)}")
    project.definition.write_text(text, "utf-8")


@pytest.mark.programs
def test_settings_reach_the_tap_from_the_environment_and_from_meltano_yml(
    project: MeltanoProject,
) -> None:
    given = {
        "account_id": "master",
        "sub_account_ids": ["first", "second"],
        "include_own_account": True,
        "sms_lookback_days": 4,
        "voice_calls_filters": {"direction": "inbound"},
        "requests_per_second": 2.5,
        "max_requests_per_run": 1000,
        "on_count_mismatch": "warn",
    }
    texts = {name: v if isinstance(v, str) else json.dumps(v) for name, v in given.items()}
    project.configure("tap-zoom-cc", texts)
    # Without the quotes Meltano 4.4 drops the offset of a date-time, and keeps its clock time.
    dates = {"start_date": "2026-01-31", "end_date": "'2026-01-31T01:00:00+01:00'"}
    set_in_meltano_yml(project, **dates)

    printed = project.meltano("--log-level=error", "config", "print", "tap-zoom-cc")

    read = with_texts_read(json.loads(printed))
    assert {name: read[name] for name in given} == given
    for name in dates:
        assert parse_instant(str(read[name])) == datetime(2026, 1, 31, tzinfo=timezone.utc)


@pytest.mark.programs
def test_what_is_wrong_in_the_environment_or_in_meltano_yml_is_said_by_the_tap(
    project: MeltanoProject, simulator: SimulatorProcess
) -> None:
    in_environment = {
        "sub_account_ids": '["one',
        "include_own_account": "maybe",
        "start_date": "03.04.2026",
        "sms_lookback_days": "three",
        "max_concurrency": "2.5",
        "on_count_mismatch": "ignore",
    }
    project.configure("tap-zoom-cc", in_environment)
    set_in_meltano_yml(project, end_date="yesterday")

    log = project.meltano("invoke", "tap-zoom-cc", fails=True)

    for name in (*in_environment, "end_date"):
        assert log.count(f" {name}: must be ") == 1, log
    for date in ("03.04.2026", "yesterday"):
        assert re.search(rf"must be a date \(2026-01-31\) or a date-time.* not '{date}'", log), log
    assert not simulator.stats().log, "Zoom was asked for something"


@pytest.mark.programs
def test_the_schedule_is_one_that_an_orchestrator_can_read(project: MeltanoProject) -> None:
    listed = project.meltano("--log-level=error", "schedule", "list", "--format=json")
    (schedule,) = json.loads(listed)["schedules"]["job"]
    assert schedule["cron_interval"] == "0 * * * *"
    assert schedule["job"]["tasks"] == ["tap-zoom-cc target-duckdb"]


@pytest.mark.programs
def test_the_streams_are_listed_without_credentials_and_without_a_warning(
    project: MeltanoProject,
) -> None:
    for setting in ("ACCOUNT_ID", "CLIENT_ID", "CLIENT_SECRET"):
        del project.env[f"TAP_ZOOM_CC_{setting}"]
    # Meltano rewrites the file in some commands, and loses its comments.
    published = project.definition.read_bytes()

    listed = project.meltano("select", "--list", "tap-zoom-cc")

    assert "sms.engagement_id" in listed
    assert "warning" not in listed.lower()
    assert "validation" not in listed
    assert project.definition.read_bytes() == published


# target-duckdb leaves it to DuckDB to guess whether what it loads has a header. The pin in
# meltano.yml, and its settings there, are what keeps DuckDB from taking the first row for one.


def load(programs: Path, folder: Path, stream: str, rows: list[dict[str, Any]]) -> int:
    """Load rows, whose first column is the key, and return how many the database has."""
    published = json.loads((ROOT / "schemas" / f"{stream}.json").read_text("utf-8"))["properties"]
    schema = {"properties": {name: published[name] for name in rows[0]}}
    first = {"type": "SCHEMA", "schema": schema, "key_properties": [*rows[0]][:1]}
    other = {"type": "RECORD", "time_extracted": "2026-01-01T00:00:00Z"}
    messages = [first, *({**other, "record": row} for row in rows)]
    text = "".join(json.dumps({**message, "stream": stream}) + "\n" for message in messages)
    settings = {setting["name"]: setting["value"] for setting in TARGET_DUCKDB["settings"]}
    config, database = folder / "config.json", folder / "loaded.duckdb"
    config.write_text(json.dumps({**settings, "path": str(database)}), "utf-8")
    run_program(programs / "target-duckdb", "--config", config, stdin=text)
    # With the environment's own duckdb: an older one cannot read what a newer one has written.
    count = "import duckdb, sys; base = duckdb.connect(sys.argv[1]); "
    count += "print(len(base.table(sys.argv[2])))"
    return int(run_program(programs / "python", "-c", count, database, stream))


def test_every_loader_is_of_a_version_that_was_tested() -> None:
    for requirements in (loader["pip_url"].split() for loader in LOADERS):
        assert all("==" in requirement for requirement in requirements)


@pytest.mark.programs
@needs_duckdb
def test_the_version_in_meltano_yml_keeps_every_row(
    project: MeltanoProject, tmp_path: Path
) -> None:
    assert f"duckdb=={duckdb.__version__}" in TARGET_DUCKDB["pip_url"], "the one of the tests"
    project.install_named_in("target-duckdb")
    pinned = PLUGINS / "loaders" / "target-duckdb" / "venv" / "bin"
    assert load(pinned, tmp_path, "voice_calls", CALLS) == ROWS
    assert load(pinned, tmp_path, "sub_accounts", ACCOUNTS) == ROWS


@pytest.mark.programs
def test_the_newest_versions_still_lose_the_first_row_of_a_batch(tmp_path: Path) -> None:
    uv = (sys.executable, "-m", "uv")
    newest = tmp_path / "newest" / "bin"
    run_program(*uv, "venv", "--python", sys.executable, newest.parent)
    run_program(*uv, "pip", "install", f"--python={newest}/python", "target-duckdb", "duckdb>=1.3")
    assert load(newest, tmp_path, "voice_calls", CALLS) == ROWS - 1, (
        "target-duckdb has been mended, or duckdb has: the version of duckdb in meltano.yml and "
        "pyproject.toml need not be fixed any more, and docs/targets.md need not speak of it"
    )

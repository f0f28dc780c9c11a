"""meltano.yml and plugin.yaml: the same settings as the tap, nothing asked of MeltanoHub.

What Meltano does with them is seen by running it; that it loads every row is tested elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from referencing import Registry

from tap_zoom_cc.inputs import with_texts_read
from tests.harness.tap import run_tap

ROOT = Path(__file__).parent.parent
HUB_SCHEMAS = ROOT.parent / "shared" / "hub" / "schemas"

MELTANO_YML = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
PLUGIN_YAML = yaml.safe_load((ROOT / "plugin.yaml").read_text(encoding="utf-8"))
PLUGINS = {plugin["name"]: plugin for kind in MELTANO_YML["plugins"].values() for plugin in kind}
LOADERS = [plugin["name"] for plugin in MELTANO_YML["plugins"]["loaders"]]
Definition = dict[str, Any]


@pytest.fixture(scope="module")
def about() -> Definition:
    """Give what the tap says of itself."""
    command = [sys.executable, "-m", "tap_zoom_cc", "--about", "--format=json"]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    answer: Definition = json.loads(result.stdout)
    return answer


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a folder with the repository's meltano.yml, where Meltano may write."""
    (tmp_path / "meltano.yml").write_bytes((ROOT / "meltano.yml").read_bytes())
    return tmp_path


def meltano(project: Path, *arguments: str, **variables: str) -> str:
    """Run Meltano where no hub can be reached, to its good end, and return its output."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MELTANO_", "TAP_", "TARGET_"))
    }
    nowhere = "http://127.0.0.1:9"
    result = subprocess.run(
        [Path(sys.executable).with_name("meltano"), "--log-level=warning", *arguments],
        cwd=project,
        env=env | variables | {"MELTANO_HUB_URL": nowhere, "MELTANO_HUB_API_ROOT": nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize(
    "definition", [PLUGINS["tap-zoom-cc"], PLUGIN_YAML], ids=["meltano.yml", "plugin.yaml"]
)
def test_settings_and_capabilities_are_described_as_the_tap_describes_them(
    definition: Definition, about: Definition
) -> None:
    declared = about["settings"]["properties"]
    settings = {setting["name"]: setting for setting in definition["settings"]}
    assert list(settings) == list(declared)
    for name, setting in settings.items():
        assert setting["label"] == declared[name]["title"]
        assert setting["description"] == " ".join(declared[name]["description"].split())
        assert setting.get("value") == declared[name].get("default")
        assert setting.get("sensitive") == declared[name].get("secret")
    secret = {name for name, setting in settings.items() if setting.get("sensitive")}
    assert secret == {"client_id", "client_secret"}
    assert sorted(definition["capabilities"]) == sorted(about["capabilities"])
    assert not {"activate-version", "batch"} & set(definition["capabilities"])


def test_both_definitions_have_the_same_commands() -> None:
    assert PLUGINS["tap-zoom-cc"]["commands"] == PLUGIN_YAML["commands"]


def test_every_loader_is_of_a_version_that_was_tested() -> None:
    for name in LOADERS:
        assert all("==" in requirement for requirement in PLUGINS[name]["pip_url"].split())


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
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pythons = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert PLUGIN_YAML["quality"] == "silver"
    assert "meltano_sdk" in PLUGIN_YAML["keywords"]
    assert PLUGIN_YAML["log_parser"] == "singer-sdk"
    assert PLUGIN_YAML["supported_python_versions"] == pythons
    assert PLUGIN_YAML["settings_group_validation"]
    assert all(each["label"] and each["description"] for each in PLUGIN_YAML["settings"])


@pytest.mark.programs
def test_a_project_can_add_the_tap_from_the_definition(tmp_path: Path) -> None:
    (tmp_path / "meltano.yml").write_text(
        "default_environment: dev\nproject_id: added\nsend_anonymous_usage_stats: false\n"
        "environments:\n- name: dev\n"
    )
    reference = f"--from-ref={ROOT / 'plugin.yaml'}"
    meltano(tmp_path, "add", "--no-install", "--plugin-type=extractor", reference, "tap-zoom-cc")
    printed = meltano(tmp_path, "config", "print", "tap-zoom-cc", TAP_ZOOM_CC_ACCOUNT_ID="master")
    assert json.loads(printed)["account_id"] == "master"


@pytest.mark.programs
@pytest.mark.parametrize("name", PLUGINS)
def test_no_plugin_needs_the_hub(project: Path, name: str) -> None:
    assert json.loads(meltano(project, "config", "print", name))
    assert (project / "meltano.yml").read_bytes() == (ROOT / "meltano.yml").read_bytes()


def printed(project: Path, plugin: str, **settings: object) -> Definition:
    """Return the settings that Meltano gives a plugin, with some from the environment."""
    variables = {
        f"TAP_ZOOM_CC_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }
    found: Definition = json.loads(meltano(project, "config", "print", plugin, **variables))
    return found


@pytest.mark.programs
def test_settings_from_the_environment_reach_the_tap(project: Path) -> None:
    given = {
        "account_id": "master",
        "sub_account_ids": ["first", "second"],
        "include_own_account": True,
        "start_date": "2026-01-31",
        "sms_lookback_days": 4,
        "voice_calls_filters": {"direction": "inbound"},
        "requests_per_second": 2.5,
        "max_requests_per_run": 1000,
        "on_count_mismatch": "warn",
    }
    read = with_texts_read(printed(project, "tap-zoom-cc", **given))
    assert {name: read[name] for name in given} == given


@pytest.mark.programs
def test_what_is_wrong_in_the_environment_is_said_by_the_tap(project: Path) -> None:
    wrong = {
        "sub_account_ids": '["one',
        "include_own_account": "maybe",
        "sms_lookback_days": "three",
        "max_concurrency": "2.5",
        "on_count_mismatch": "ignore",
    }
    run = run_tap(printed(project, "tap-zoom-cc", **wrong)).check(1)
    for name in wrong:
        assert [line for line in run.logged("ERROR") if f"| {name}: must be " in line], run.stderr


@pytest.mark.programs
def test_a_shard_has_accounts_of_its_own_and_the_credentials_of_all(project: Path) -> None:
    accounts = {f"shard_{number}_sub_account_ids": [f"account-{number}"] for number in (1, 2)}
    given = printed(project, "tap-zoom-cc-shard-1", account_id="master", **accounts)
    assert given["account_id"] == "master"
    assert given["sub_account_ids"] == '["account-1"]'
    assert given["requests_per_second"] == 2


@pytest.mark.programs
def test_the_schedule_is_one_that_an_orchestrator_can_read(project: Path) -> None:
    listed = json.loads(meltano(project, "schedule", "list", "--format=json"))
    (schedule,) = listed["schedules"]["job"]
    assert schedule["cron_interval"] == "0 * * * *"
    assert schedule["job"]["tasks"] == ["tap-zoom-cc target-duckdb"]

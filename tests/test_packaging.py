"""What people install: the wheel and the sdist hold the package and nothing else, and work.

The tap runs in an environment of its own, with nothing of this repository on the path. The wheel
is built from the sdist; the environment of the tests is an editable installation.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.checkout import ROOT, copy_checkout, run_program
from tests.harness.pages import block

pytestmark = pytest.mark.programs

# Only the derivation of the schemas needs the facts.
SCHEMAS = {path.name for path in ROOT.glob("schemas/*.json")} - {"zoom_facts.openapi.json"}
MODULES = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("tap_zoom_cc/**/*.py")}
PROGRAMS = Path(sys.executable).parent


def run(*command: str | Path, folder: Path, **variables: str | Path) -> str:
    """Run a program to its good end, with nothing of this environment, and return its output."""
    foreign = ("PYTHON", "TAP_", "UV_COMPILE", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return run_program(*command, folder=folder, env=env | {k: str(v) for k, v in variables.items()})


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the repository, where a build leaves its files."""
    return copy_checkout(tmp_path_factory.mktemp("packaging") / "checkout")


@pytest.fixture(scope="module")
def distributions(checkout: Path) -> tuple[Path, Path]:
    """Give the sdist, and the wheel that is built from it."""
    run(PROGRAMS / "uv", "build", "--out-dir=dist", folder=checkout)
    (sdist,), (wheel,) = (checkout.glob(f"dist/*.{kind}") for kind in ("tar.gz", "whl"))
    return sdist, wheel


def test_the_wheel_holds_the_package_and_its_schemas_only(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = wheel.namelist()
        (metadata,) = (wheel.read(name).decode() for name in names if name.endswith("/METADATA"))
    schemas = {f"tap_zoom_cc/schemas/{name}" for name in SCHEMAS | {"__init__.py", "derive.py"}}
    expected = MODULES | schemas | {"tap_zoom_cc/py.typed"}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert "Requires-Dist: python-backoff" in metadata
    assert not re.search(r"^Requires-Dist: (backoff|meltano|pytest)\b", metadata, re.MULTILINE)


def test_the_sdist_holds_nothing_that_only_development_needs(
    distributions: tuple[Path, Path],
) -> None:
    with tarfile.open(distributions[0]) as sdist:
        names = {Path(*Path(name).parts[1:]) for name in sdist.getnames()}
    top_level = {name.parts[0] for name in names if name.parts}
    made = {"PKG-INFO", "setup.cfg", "tap_zoom_cc.egg-info"}
    shipped = {"LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "schemas", "tap_zoom_cc"}
    assert shipped - {"MANIFEST.in"} <= top_level <= shipped | made | {"CHANGELOG.md"}
    assert {name.name for name in names if name.suffix == ".json"} == SCHEMAS


def test_the_index_would_take_both(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    run(PROGRAMS / "twine", "check", "--strict", *distributions, folder=tmp_path)


def test_the_wheel_is_installed_as_a_program_that_describes_itself_and_finds_its_schemas(
    distributions: tuple[Path, Path], tmp_path: Path
) -> None:
    places = {"UV_TOOL_DIR": tmp_path / "tools", "UV_TOOL_BIN_DIR": tmp_path / "bin"}
    install = (PROGRAMS / "uv", "tool", "install", "--python", sys.executable)
    run(*install, distributions[1], folder=tmp_path, **places)

    (tap,) = (tmp_path / "bin").iterdir()
    assert tap.stem == "tap-zoom-cc"
    about = json.loads(run(tap, "--about", "--format=json", folder=tmp_path))
    assert about["name"] == "tap-zoom-cc"
    assert about["version"] in run(tap, "--version", folder=tmp_path)
    assert re.match(r"\d+\.\d+", about["version"])
    catalog = json.loads(run(tap, "--discover", folder=tmp_path))
    streams = {stream["tap_stream_id"]: stream["schema"] for stream in catalog["streams"]}
    assert set(streams) == {"sms", "voice_calls", "sub_accounts"}
    for name, schema in streams.items():
        published = json.loads((ROOT / "schemas" / f"{name}.json").read_text("utf-8"))
        assert set(schema["properties"]) == set(published["properties"])


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | Path]:
    """Give the variables of a shell with uv, pipx, an active environment, and their folders."""
    folder = tmp_path_factory.mktemp("shell")
    active, programs = folder / "active", folder / "programs"
    run(PROGRAMS / "uv", "venv", "--seed", "--python", sys.executable, active, folder=folder)
    programs.mkdir()
    (programs / "uv").symlink_to(PROGRAMS / "uv")
    (programs / "pipx").write_text('#!/bin/sh\nexec uv tool run pipx "$@"\n', encoding="utf-8")
    (programs / "pipx").chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(active / "bin"), str(programs), os.defpath]),
        "PIPX_BIN_DIR": folder / "by_pipx",
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "PIPX_HOME": folder / "pipx",
        "UV_PYTHON": sys.executable,
        "UV_TOOL_BIN_DIR": folder / "by_uv",
        "UV_TOOL_DIR": folder / "tools",
    }


@pytest.mark.parametrize(
    "line", [*block("install").text.splitlines(), *block("install the target").text.splitlines()]
)
def test_each_line_that_is_shown_installs_its_command(
    line: str, checkout: Path, shell: dict[str, str | Path], tmp_path: Path
) -> None:
    run("bash", "-e", "-c", line, folder=checkout, **shell)

    name = "target-jsonl" if "target-jsonl" in line else "tap-zoom-cc"
    folders = {"uv": "by_uv", "pipx": "by_pipx", "pip": "active/bin"}
    program = Path(shell["UV_TOOL_DIR"]).parent / folders[line.split(maxsplit=1)[0]] / name
    assert "usage" in run(program, "--help", folder=tmp_path).lower()

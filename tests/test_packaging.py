"""What people install: the wheel and the sdist hold the package and nothing else, and work.

The tap runs from each of them, and from an editable installation, in an environment of its own
with nothing of this repository on the path.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.checkout import ROOT, copy_checkout
from tests.harness.pages import block

pytestmark = [pytest.mark.programs, pytest.mark.timeout(600)]

FACTS = "zoom_facts.openapi.json"  # Only the derivation of the schemas needs them.
SCHEMAS = {path.name for path in (ROOT / "schemas").glob("*.json")} - {FACTS}
PACKAGE = ROOT / "tap_zoom_cc"
MODULES = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")}
PROGRAMS = Path(sys.executable).parent


def run(*command: str | Path, folder: Path | None = None, **variables: str) -> str:
    """Run a program to its good end, with nothing of this environment, and return its output."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "TAP_", "UV_COMPILE", "VIRTUAL_ENV"))
    }
    result = subprocess.run(
        command, cwd=folder, env=env | variables, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the repository, where a build leaves its files."""
    return copy_checkout(tmp_path_factory.mktemp("packaging") / "checkout")


@pytest.fixture(scope="module")
def distributions(checkout: Path) -> dict[str, Path]:
    """Give the sdist, and the wheel that is built from it."""
    run(PROGRAMS / "uv", "build", "--out-dir=dist", folder=checkout)
    (wheel,) = (checkout / "dist").glob("*.whl")
    (sdist,) = (checkout / "dist").glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


@pytest.fixture(scope="module", params=["wheel", "sdist", "editable"])
def tap(
    request: pytest.FixtureRequest,
    checkout: Path,
    distributions: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Give the command `tap-zoom-cc` of a fresh environment, for each kind of installation."""
    environment = tmp_path_factory.mktemp(f"installed_{request.param}") / "environment"
    programs = environment / "bin"
    run(PROGRAMS / "uv", "venv", "--python", sys.executable, environment)
    what = ["-e", str(checkout)]
    if request.param in distributions:
        what = [str(distributions[request.param])]
    run(PROGRAMS / "uv", "pip", "install", "--python", programs / "python", *what)
    return programs / "tap-zoom-cc"


def test_the_wheel_holds_the_package_and_its_schemas_only(distributions: dict[str, Path]) -> None:
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        names = {Path(name) for name in wheel.namelist()}
        (metadata,) = (wheel.read(str(n)).decode() for n in names if n.name == "METADATA")
    assert {name.parts[0].split("-")[0] for name in names} == {"tap_zoom_cc"}
    of_code = [name for name in names if name.parts[0] == "tap_zoom_cc"]
    package = {str(name.relative_to("tap_zoom_cc")) for name in of_code}
    schemas = {str(Path("schemas", name)) for name in SCHEMAS | {"__init__.py", "derive.py"}}
    assert package == MODULES | schemas | {"py.typed"}
    assert "Requires-Dist: python-backoff" in metadata
    assert not re.search(r"^Requires-Dist: (backoff|meltano|pytest)\b", metadata, re.MULTILINE)


def test_the_sdist_holds_nothing_that_only_development_needs(
    distributions: dict[str, Path],
) -> None:
    with tarfile.open(distributions["sdist"]) as sdist:
        names = {Path(*Path(name).parts[1:]) for name in sdist.getnames()}
    top_level = {name.parts[0] for name in names if name.parts}
    made = {"PKG-INFO", "setup.cfg", "tap_zoom_cc.egg-info"}
    shipped = {"LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "schemas", "tap_zoom_cc"}
    assert shipped - {"MANIFEST.in"} <= top_level <= shipped | made | {"CHANGELOG.md"}
    assert {name.name for name in names if name.suffix == ".json"} == SCHEMAS


def test_the_index_would_take_both(distributions: dict[str, Path]) -> None:
    run(PROGRAMS / "twine", "check", "--strict", *distributions.values())


def test_the_installed_tap_describes_itself_and_finds_its_schemas(
    tap: Path, tmp_path: Path
) -> None:
    about = json.loads(run(tap, "--about", "--format=json", folder=tmp_path))
    assert about["name"] == "tap-zoom-cc"
    assert about["version"] in run(tap, "--version", folder=tmp_path)
    assert re.match(r"\d+\.\d+", about["version"])
    catalog = json.loads(run(tap, "--discover", folder=tmp_path))
    streams = {stream["tap_stream_id"]: stream["schema"] for stream in catalog["streams"]}
    assert set(streams) == {"sms", "voice_calls", "sub_accounts"}
    for name, schema in streams.items():
        published = json.loads((ROOT / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
        assert set(schema["properties"]) == set(published["properties"])


@pytest.mark.parametrize(
    "line", [*block("install").text.splitlines(), *block("install the target").text.splitlines()]
)
def test_each_line_that_is_shown_installs_its_command(
    line: str, checkout: Path, tmp_path: Path
) -> None:
    active, programs = tmp_path / "active", tmp_path / "programs"
    run(PROGRAMS / "uv", "venv", "--seed", "--python", sys.executable, active)
    programs.mkdir()
    (programs / "uv").symlink_to(PROGRAMS / "uv")
    (programs / "pipx").write_text('#!/bin/sh\nexec uv tool run pipx "$@"\n', encoding="utf-8")
    (programs / "pipx").chmod(0o755)
    commands = tmp_path / "bin"
    places = {
        "PATH": os.pathsep.join([str(active / "bin"), str(programs), os.defpath]),
        "PIPX_BIN_DIR": str(commands),
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "PIPX_HOME": str(tmp_path / "pipx"),
        "UV_PYTHON": sys.executable,
        "UV_TOOL_BIN_DIR": str(commands),
        "UV_TOOL_DIR": str(tmp_path / "tools"),
    }
    run("bash", "-e", "-c", line, folder=checkout, **places)

    name = "target-jsonl" if "target-jsonl" in line else "tap-zoom-cc"
    folder = active / "bin" if line.startswith("pip ") else commands
    assert "usage" in run(folder / name, "--help", folder=tmp_path).lower()


@pytest.mark.parametrize("source", ["wheel", "sdist", "checkout"])
def test_the_tap_is_installed_as_a_program_of_its_own(
    source: str, checkout: Path, distributions: dict[str, Path], tmp_path: Path
) -> None:
    # As `pipx install` does too: an environment for the tap alone, and its command on the PATH.
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    what = distributions.get(source, checkout)
    uv = (PROGRAMS / "uv", "tool", "install", "--python", sys.executable)
    run(*uv, what, folder=tmp_path, **places)

    (program,) = (tmp_path / "bin").iterdir()
    assert program.stem == "tap-zoom-cc"
    catalog = json.loads(run(program, "--discover", folder=tmp_path))
    assert len(catalog["streams"]) == 3

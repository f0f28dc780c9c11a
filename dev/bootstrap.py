"""Makes the environment that development needs, on a machine with only Python and pip.

`environment()` is what the other scripts of this folder call first: it returns a virtual
environment under `.venv/` with the locked dependencies and the tap in editable mode, and makes or
renews it only when the lock or pyproject.toml has changed. Everything is kept inside the
repository: no file of the home directory is written or needed, but for pip's own.

Standard library only. Started by itself, it makes the environment and says where it is.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "dev" / "requirements.lock"
TOOLS = ROOT / ".tools"
OLDEST_PYTHON = (3, 10)

# Settings of the shell that would send an installation, or what runs afterwards, elsewhere.
# Bytecode is wanted: without it every start of Meltano compiles thousands of modules.
FOREIGN_VARIABLES = (
    "CONDA_PREFIX",
    "PIP_PREFIX",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_TARGET",
    "PIP_USER",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHOME",
    "PYTHONPATH",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "VIRTUAL_ENV",
)


class BootstrapError(Exception):
    """The environment cannot be made; the message says why and what helps."""


def run(command: list[str | Path], *, purpose: str, env: dict[str, str]) -> None:
    """Run a command in the repository's root, silent unless it fails.

    Raises:
        BootstrapError: with the command's own output, when it ends with an error.
    """
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if result.returncode:
        output = (result.stdout + result.stderr).strip()
        msg = f"{output}\n\nCannot {purpose}: the reason stands above."
        raise BootstrapError(msg)


def clean_environ() -> dict[str, str]:
    """Return the variables of the shell without those that mislead, with what uv is to do."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    # An outer setting wins: tests of a second checkout share the first one's downloads.
    env.setdefault("UV_CACHE_DIR", str(TOOLS / "cache"))
    env.setdefault("UV_COMPILE_BYTECODE", "1")
    env.setdefault("UV_PYTHON_DOWNLOADS", "never")
    # As pip does: trust what the machine trusts, and ask the index that pip is set to.
    env.setdefault("UV_SYSTEM_CERTS", "1")
    if "PIP_INDEX_URL" in env:
        env.setdefault("UV_DEFAULT_INDEX", env["PIP_INDEX_URL"])
    return env


def install_uv(env: dict[str, str]) -> Path:
    """Install the locked uv into `.tools/` with pip, unless it is there, and return its path.

    A folder as the target works where the system's Python refuses installations (PEP 668) and
    where it cannot make virtual environments (no ensurepip).
    """
    locked = re.search(r"^uv==(\S+)(?:.*\\\n)+.*\n", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if locked is None:
        msg = f"{LOCK} names no uv: renew it as CONTRIBUTING.md describes."
        raise BootstrapError(msg)
    folder = TOOLS / f"uv-{locked[1]}"
    program = folder / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    if program.exists():
        return program
    TOOLS.mkdir(exist_ok=True)
    requirement = TOOLS / "uv.txt"
    requirement.write_text(locked[0], encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet"]
    run(
        [*pip, "--no-deps", "--require-hashes", "--target", folder, "-r", requirement],
        purpose="install uv with pip",
        env=env,
    )
    return program


def stamp() -> str:
    """Return what an environment must match to be current."""
    parts = [
        str(ROOT),
        sys.version,
        *(f.read_text("utf-8") for f in (LOCK, ROOT / "pyproject.toml")),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def environment() -> Path:
    """Return the folder of the environment for this Python, made or renewed when it has to be.

    Raises:
        BootstrapError: when something cannot be installed.
    """
    folder = ROOT / ".venv" / f"{sys.version_info.major}.{sys.version_info.minor}"
    stamp_file = folder / "stamp"
    if stamp_file.exists() and stamp_file.read_text(encoding="utf-8") == stamp():
        return folder
    say(f"Installing what is needed into {folder.relative_to(ROOT)} (once, about a minute) ...")
    env = clean_environ()
    uv = install_uv(env)
    python = program(folder, "python")
    run(
        [uv, "venv", "--clear", "--python", sys.executable, folder],
        purpose="make a virtual environment",
        env=env,
    )
    run(
        [uv, "pip", "sync", "--python", python, "--require-hashes", LOCK],
        purpose="install the locked dependencies",
        env=env,
    )
    run(
        [uv, "pip", "install", "--python", python, "--no-deps", "--editable", ROOT],
        purpose="install the tap",
        env=env,
    )
    stamp_file.write_text(stamp(), encoding="utf-8")
    return folder


def program(environment: Path, name: str) -> Path:
    """Return the path of an environment's program."""
    return (
        environment / "Scripts" / f"{name}.exe" if os.name == "nt" else environment / "bin" / name
    )


def call(arguments: list[str]) -> int:
    """Run the environment's Python from the repository's root and return its exit code.

    Its programs (`tap-zoom-cc`, `meltano`, `ruff`, ...) come first on the PATH.
    """
    try:
        python = program(environment(), "python")
    except BootstrapError as error:
        say(str(error))
        return 1
    env = clean_environ()
    env["PATH"] = os.pathsep.join([str(python.parent), env.get("PATH", os.defpath)])
    return subprocess.call([python, *arguments], cwd=ROOT, env=env)


def say(text: str) -> None:
    """Print a line for the person who started the script."""
    print(text, file=sys.stderr, flush=True)


if sys.version_info < OLDEST_PYTHON:
    say(
        "Python {}.{} or newer is needed; this is {}.".format(
            *OLDEST_PYTHON, sys.version.split()[0]
        )
    )
    sys.exit(1)

if __name__ == "__main__":
    try:
        print(environment())
    except BootstrapError as error:
        say(str(error))
        sys.exit(1)

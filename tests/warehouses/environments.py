"""Programs that cannot share an environment: installed by uv under `.venv/`, from pins, and run."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.checkout import run_program

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
PROGRAMS = FOLDER / "programs"
PINS = FOLDER / "pins"
ENVIRONMENTS = FOLDER.parents[1] / ".venv" / "warehouses"

# With these, each emulator chooses a port.
ARGUMENTS = {"snowflake": ["--server"], "bigquery": ["start", "--rest-port=0", "--grpc-port=0"]}
LISTENS = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")

needs_python_3_11 = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11),
    reason="target-bigquery runs on no newer Python than 3.11, and the emulators on no older one",
)
"""For every test that needs an environment: there, whatever cannot be installed is a failure."""


def environment(name: str) -> Path:
    """Return the folder with an environment's programs, installed if it is missing or has changed.

    Args:
        name: of the file in `pins/`, without its ending.
    """
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    folder = ENVIRONMENTS / name
    stamp = folder / "stamp"
    pins = PINS / f"{name}.txt"
    wanted = f"{ENVIRONMENTS} {sys.version}\n{pins.read_text('utf-8')}"
    # Two tests may need it at the same time, in two processes.
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            uv = [sys.executable, "-m", "uv", "--quiet"]
            python = folder / "bin" / "python"
            run_program(*uv, "venv", "--clear", f"--python={sys.executable}", folder)
            run_program(*uv, "pip", "sync", "--require-hashes", f"--python={python}", pins)
            stamp.write_text(wanted, "utf-8")
    return folder / "bin"


@contextmanager
def emulator(name: str, log: Path) -> Iterator[int]:
    """Run an emulator, which uvicorn serves, and give the port on which it says that it listens."""
    program = f"{name}_emulator"
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            [environment(program) / "python", PROGRAMS / f"{program}.py", *ARGUMENTS[name]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout
        said = ""
        while not (found := LISTENS.search(said)):
            line = process.stdout.readline()
            said += line
            assert line, said
        # A pipe that nobody reads would stop it.
        rest = threading.Thread(target=shutil.copyfileobj, args=(process.stdout, file))
        rest.start()
        try:
            yield int(found[1])
        finally:
            process.kill()
            rest.join()

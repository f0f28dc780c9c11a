"""The emulators, started for a test: each chooses a port and says which."""

from __future__ import annotations

import re
import subprocess
import threading
from contextlib import contextmanager
from queue import Queue
from typing import TYPE_CHECKING

from tests.warehouses.environments import PROGRAMS, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

START_SECONDS = 240
LISTENS = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")


def snowflake_emulator(folder: Path) -> AbstractContextManager[int]:
    """Run the emulator of Snowflake with its log in a folder, and give its port."""
    return _served("snowflake_emulator", ["--server"], folder / "log")


def bigquery_emulator(folder: Path) -> AbstractContextManager[int]:
    """Run the emulator of BigQuery with its log in a folder, and give its port."""
    arguments = ["start", "--rest-port=0", "--grpc-port=0"]
    return _served("bigquery_emulator", arguments, folder / "log")


@contextmanager
def _served(name: str, arguments: Sequence[str], log: Path) -> Iterator[int]:
    """Run a program that uvicorn serves, which says where it listens."""
    ports: Queue[str] = Queue()

    def keep(lines: Iterator[str]) -> None:
        with log.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(line)
                file.flush()
                if found := LISTENS.search(line):
                    ports.put(found[1])
        ports.put("")

    with subprocess.Popen(
        [environment(name) / "python", PROGRAMS / f"{name}.py", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        thread = threading.Thread(target=keep, args=(process.stdout,))
        thread.start()
        try:
            port = ports.get(timeout=START_SECONDS)
            assert port, log.read_text("utf-8")
            yield int(port)
        finally:
            process.kill()
            thread.join()

"""A server that is started for a test and listens on a port that it chooses itself."""

from __future__ import annotations

import re
import subprocess
import threading
from contextlib import contextmanager
from queue import Queue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

START_SECONDS = 60
LISTENS = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")


@contextmanager
def emulator(command: Sequence[str | Path], log: Path) -> Iterator[int]:
    """Run an emulator, and give its port once it listens.

    Args:
        command: that starts it; both are served by uvicorn, which says where it listens.
        log: the file that keeps what the emulator writes.
    """
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
        command,
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

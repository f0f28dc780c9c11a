"""Counts how long a window's way through the code is: `python -m dev.way`.

One account is synced from a simulated Zoom, once for each number of rows, and all calls within
`tap_zoom_cc` are counted meanwhile, in all threads. The fewer files and functions take part, and
the fewer changes there are from one file to another, the less a reader has to carry in their head.
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
import threading
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import tap_zoom_cc
from simulator.process import SimulatorProcess
from simulator.scenario import Account, Scenario
from tap_zoom_cc.inputs import settings_from
from tap_zoom_cc.tap import TapZoomCC

if TYPE_CHECKING:
    from types import FrameType

PACKAGE = Path(tap_zoom_cc.__file__).parent
STREAM = "voice_calls"
DAY = timedelta(days=1)
WITHOUT_NAMES = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>")
"""Parts of other functions; newer Pythons do not call all of them."""


@dataclass
class Way:
    """What was called, by file and name, and how often a thread changed to another file.

    A change is a call, or a generator that goes on, in another file than the one before.
    """

    calls: set[tuple[Path, str, int]] = field(default_factory=set)
    changes: int = 0
    _at: threading.local = field(default_factory=threading.local)

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """Note what Python calls; `sys.setprofile` takes this function."""
        code = frame.f_code
        file = Path(code.co_filename)
        if event != "call" or not file.is_relative_to(PACKAGE):
            return
        if code.co_name not in WITHOUT_NAMES:
            self.calls.add((file.relative_to(PACKAGE), code.co_name, code.co_firstlineno))
        if getattr(self._at, "file", None) != file:
            self._at.file = file
            self.changes += 1

    @property
    def files(self) -> set[Path]:
        """The files in which something was called."""
        return {file for file, *_ in self.calls}


def way_of(rows: int) -> Way:
    """Sync one account with that many rows, and return what was called meanwhile.

    The tap has been set up before, with checked settings.

    Raises:
        RuntimeError: if the sync failed.
    """
    now = datetime.now(timezone.utc)
    scenario = Scenario(
        accounts=(Account(id="one", voice_calls=rows),),
        history_begin=now - 20 * DAY,
        history_end=now - DAY,
    )
    way = Way()
    with SimulatorProcess(scenario) as simulator, redirect_stdout(io.TextIOWrapper(io.BytesIO())):
        begin = (now - 21 * DAY).isoformat()
        config = {**simulator.tap_config(), "sub_account_ids": ["one"], "start_date": begin}
        catalog = TapZoomCC(config=config).catalog_dict
        catalog["streams"] = [
            entry for entry in catalog["streams"] if entry["tap_stream_id"] == STREAM
        ]
        settings = settings_from(config, now=now)
        tap = TapZoomCC(config=config, settings=settings, catalog=catalog)
        threading.setprofile(way.note)
        sys.setprofile(way.note)
        try:
            exit_code = tap.sync()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    if exit_code:
        raise RuntimeError(f"the sync ended with exit code {exit_code}")
    return way


def main() -> None:
    """Print a line for each number of rows, and, if wanted, what was called."""
    parser = argparse.ArgumentParser(prog="python -m dev.way", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 30, 300], metavar="NUMBER")
    parser.add_argument("--list", action="store_true", help="name the functions, too")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for rows in arguments.rows:
        way = way_of(rows)
        print(
            f"{rows} rows: {len(way.files)} files, {len(way.calls)} functions, "
            f"{way.changes} changes"
        )
        for file in sorted(way.files) if arguments.list else ():
            names = sorted(name for where, name, _ in way.calls if where == file)
            print(f"  {file} ({len(names)}): {', '.join(names)}")


if __name__ == "__main__":
    main()

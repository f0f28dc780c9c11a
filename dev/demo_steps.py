"""The steps of the demo: simulator, Meltano, tap, database, a comparison of both ends, and models.

Started by demo.py, which installs what this needs. Everything that the demo makes is in
`output/demo/`: the database, Meltano's log and state, and the simulated Zoom's scenario. The first
run plays Monday of last week; `--again` plays the same scenario a week later.

Why a week: an engagement that was open for long comes with one of the next syncs, not always with
the next one (docs/increments.md). After a day, one may still be due. But a sync that goes on for
128 hours or more passes a mark of that step, and so brings all that was open for up to 128 hours.
In the demo nothing is open for longer than five days, which are 120 hours. So both runs end with
all that there is, and the comparison allows for nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import duckdb
import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from simulator.demo import demo_scenario  # noqa: E402 - found only with the repository's root
from simulator.process import SimulatorProcess  # noqa: E402
from simulator.scenario import Clock, dump, load  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulator.scenario import Scenario
    from simulator.world import Count

FOLDER = ROOT / "output" / "demo"
LOG = FOLDER / "meltano.log"
BUILD_LOG = FOLDER / "dbt.log"
SCENARIO = FOLDER / "scenario.json"
DATABASE = FOLDER / "zoom_cc.duckdb"

LAST_PYTHON_WITH_DUCKDB = (3, 13)
"""The newest Python for which there is a build of duckdb 1.2.2, which target-duckdb needs."""

BETWEEN_RUNS = timedelta(weeks=1)

QUEUES = """
with hours as (
    select
        queue_key,
        strftime(hour_start, '%A %H:00') as hour,
        extract(isodow from hour_start) * 24 + extract(hour from hour_start) as hour_of_week,
        sum(engagements) as engagements
    from contact_center.zoom_cc__queue_hours
    group by all
),
busiest as (
    select queue_key, first(hour order by engagements desc, hour_of_week) as hour
    from hours
    group by queue_key
)
select
    account_name as account,
    queue_name as queue,
    sum(engagements) as engagements,
    sum(engagements) filter (where channel = 'voice') as calls,
    sum(engagements) filter (where channel = 'sms') as sms,
    sum(abandoned) as abandoned,
    sum(transferred) as transferred,
    busiest.hour as busiest
from contact_center.zoom_cc__queue_hours
inner join busiest using (queue_key)
group by account_name, queue_key, queue_name, busiest.hour
order by engagements desc, account, queue
limit 5
"""
"""The queues to which most came, and the hour of the week in which most of it began, in UTC."""

STREAMS = ("sms", "voice_calls")
FAILED_LOG_LINES = 20
WIDTH = 90


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True)
class Extent:
    """How many engagements there are, and when the first and the last of them start, in UTC."""

    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None


Key = tuple[str, str]
"""Stream and account."""


class Row(TypedDict):
    """The columns of a loaded row that the comparison needs."""

    account_id: str
    engagement_id: str
    start_time: str


def main() -> int:
    """Run the demo and return the exit code: 1 when the two ends differ, too."""
    parser = argparse.ArgumentParser(
        prog="python3 dev/demo.py", description="Load the simulated Zoom into a database."
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="go on from the last demo, a week later, instead of starting anew",
    )
    again = parser.parse_args().again
    try:
        return demo(again=again)
    except DemoError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def demo(*, again: bool) -> int:
    """Load, compare and tell; return the exit code."""
    scenario = prepare(again=again)
    target, why = choose_target(sys.version_info[:2])
    with SimulatorProcess(scenario) as simulator:
        step(1, f"The simulator stands in for Zoom at {simulator.url}")
        later = " a week later than in the first run," if again else ""
        note(f"Its clock stands{later} at {moment_text(scenario.clock.now)} UTC.")
        step(2, f"Meltano runs the tap into {target}")
        if why:
            note(why)
        if not again:
            note("The first time it installs what that needs, which takes about a minute.")
        note(f"Its log: {relative(LOG)}")
        before = rows_in(target) if again else 0
        summary = load_rows(simulator, scenario, target)
        for line in summary:
            note_list(line)
        truth = truth_of(simulator.counts(), own_account=scenario.account_id)
    step(3, "What was loaded, next to what the simulator holds (times in UTC)")
    loaded = read(target)
    if not compare(loaded, truth):
        msg = "The two differ: rows are missing, or there are too many."
        raise DemoError(msg)
    if again:
        late = late_rows(target, scenario.history_end - BETWEEN_RUNS)
        note("")
        new = rows_in(target) - before
        note(f"This run sent {sent_rows(summary)} rows, of which {new} are new.")
        note("It sent the others again: each run reads some of what the last one has read.")
        note(f"{late} of the new ones were open at the last run, so that Zoom did not list them.")
    step(4, "dbt builds the models of transform/ on it, and tests them")
    if target == "target-duckdb":
        note(f"Its log: {relative(BUILD_LOG)}")
        note_list(f"Built: {build_models()}")
        print_queues()
    else:
        note("Not here: they need DuckDB or PostgreSQL.")
    step(5, "Look at it yourself")
    print_hints(target, again=again)
    return 0


def choose_target(python: tuple[int, int]) -> tuple[str, str]:
    """Return the target for a version of Python, and why it is not DuckDB if it is not."""
    if python <= LAST_PYTHON_WITH_DUCKDB:
        return "target-duckdb", ""
    version = ".".join(map(str, python))
    return "target-jsonl", (
        f"JSON lines instead of DuckDB: duckdb 1.2.2 has no build for Python {version}, "
        "and newer ones lose rows with this target."
    )


def prepare(*, again: bool) -> Scenario:
    """Return the scenario to play: a new one in an empty folder, or the last one a week later.

    Raises:
        DemoError: when there is no demo to go on from.
    """
    if again:
        if not SCENARIO.exists():
            msg = "There is no demo to go on from: run `python3 dev/demo.py` first."
            raise DemoError(msg)
        last = load(SCENARIO.read_bytes())
        return replace(last, clock=Clock(now=last.history_end))
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    scenario = demo_scenario()
    scenario = replace(scenario, clock=Clock(now=scenario.history_end - BETWEEN_RUNS))
    SCENARIO.write_bytes(dump(scenario))
    return scenario


def load_rows(simulator: SimulatorProcess, scenario: Scenario, target: str) -> list[str]:
    """Run the tap into the target and return the lines of the tap's summary.

    Raises:
        DemoError: with the end of Meltano's log, when the run fails.
    """
    config = simulator.tap_config() | {
        "start_date": scenario.history_begin,
        "end_date": scenario.clock.now,
    }
    settings = {f"TAP_ZOOM_CC_DEMO_{name.upper()}": str(value) for name, value in config.items()}
    settings["TARGET_DUCKDB_PATH"] = str(DATABASE)
    settings["TARGET_JSONL_DESTINATION_PATH"] = str(FOLDER)
    lines = run_meltano("tap-zoom-cc-demo", target, settings=settings, log=LOG)
    return [found[0] for line in lines if (found := re.search(r"Summary( of \w+)?: .*", line))]


def sent_rows(summary: list[str]) -> int:
    """Return how many engagements the tap has sent, as its summary says."""
    counts = re.findall(rf"Summary of (?:{'|'.join(STREAMS)}): (\d+) rows?", "\n".join(summary))
    return sum(map(int, counts))


def build_models() -> str:
    """Build the models in the database, test them, and return dbt's summary.

    Raises:
        DemoError: with the end of Meltano's log, when a model or a test fails.
    """
    settings = {"DBT_DUCKDB_PATH": str(DATABASE)}
    # Where dbt writes what it compiles.
    settings |= dict.fromkeys(("DBT_TARGET_PATH", "DBT_LOG_PATH"), str(FOLDER / "dbt"))
    began = time.monotonic()
    lines = run_meltano("dbt-duckdb:build", settings=settings, log=BUILD_LOG)
    summaries = [
        found[1]
        for line in lines
        if (found := re.search(r"Finished running (.*?)(?: in \d+ hours|$)", line))
    ]
    return summaries[-1] if summaries else f"in {time.monotonic() - began:.0f} s"


def print_queues() -> None:
    """Print a table of the busiest queues, and the hour of the week in which each is busiest."""
    with duckdb.connect(str(DATABASE), read_only=True) as database:
        found = database.sql(QUEUES)
        rows = [tuple(found.columns), *found.fetchall()]
    lines = [tuple("-" if cell is None else str(cell) for cell in row) for row in rows]
    print("\n    Busiest queues by hour of the week (UTC)")
    print_table(lines)


def run_meltano(*steps: str, settings: dict[str, str], log: Path) -> list[str]:
    """Run steps with Meltano and return the lines of its log.

    Raises:
        DemoError: with the end of the log, when the run fails.
    """
    foreign = ("DBT_", "MELTANO_", "TAP_", "TARGET_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env |= settings
    env["MELTANO_DATABASE_URI"] = f"sqlite:///{FOLDER / 'meltano.db'}"
    # Meltano keeps logs of its own under the home directory otherwise.
    env["XDG_STATE_HOME"] = str(FOLDER / "state")
    # An empty file instead of the project's `.env`, which holds settings of the real Zoom.
    no_settings = FOLDER / "empty.env"
    no_settings.touch()
    meltano = Path(sys.executable).with_name("meltano")
    with log.open("wb") as file:
        result = subprocess.run(
            [meltano, f"--env-file={no_settings}", "run", *steps],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if result.returncode:
        end = "\n".join(lines[-FAILED_LOG_LINES:])
        msg = f"{end}\n\nMeltano failed; these are the last lines of {relative(log)}."
        raise DemoError(msg)
    return lines


def truth_of(counts: Iterable[Count], *, own_account: str) -> dict[Key, Extent]:
    """Return what a complete load holds: the visible engagements of the sub accounts."""
    return {
        (count.stream, count.account_id): Extent(
            count.rows, instant(count.first_start_time), instant(count.last_start_time)
        )
        for count in counts
        if count.account_id != own_account
    }


def instant(text: str | None) -> datetime | None:
    """Return an instant in UTC."""
    return None if text is None else datetime.fromisoformat(text).astimezone(timezone.utc)


def read(target: str) -> dict[Key, Extent]:
    """Return what was loaded."""
    return read_duckdb() if target == "target-duckdb" else read_jsonl()


def rows_in(target: str) -> int:
    """Return how many engagements were loaded."""
    return sum(extent.rows for extent in read(target).values())


def read_duckdb() -> dict[Key, Extent]:
    """Return what the database holds."""
    extents: dict[Key, Extent] = {}
    with duckdb.connect(str(DATABASE), read_only=True) as database:
        for stream in STREAMS:
            rows = database.sql(
                f"select account_id, count(*), min(start_time), max(start_time) from {stream} "  # noqa: S608 - our own names
                "group by account_id"
            ).fetchall()
            for account_id, number, first, last in rows:
                # The target stores instants in UTC, without saying so.
                utc = [moment.replace(tzinfo=timezone.utc) for moment in (first, last)]
                extents[stream, account_id] = Extent(number, *utc)
    return extents


def read_jsonl() -> dict[Key, Extent]:
    """Return what the files hold; an engagement that a later run appended again counts once."""
    extents: dict[Key, Extent] = {}
    for stream in STREAMS:
        starts: defaultdict[str, dict[str, datetime]] = defaultdict(dict)
        with (FOLDER / f"{stream}.jsonl").open("rb") as lines:
            for line in lines:
                row = cast("Row", msgspec.json.decode(line))
                start = datetime.fromisoformat(row["start_time"]).astimezone(timezone.utc)
                starts[row["account_id"]][row["engagement_id"]] = start
        for account_id, times in starts.items():
            ordered = sorted(times.values())
            extents[stream, account_id] = Extent(len(ordered), ordered[0], ordered[-1])
    return extents


def late_rows(target: str, first_run: datetime) -> int:
    """Return how many of the loaded engagements were open at the time of the first run."""
    if target == "target-duckdb":
        path, sources = str(DATABASE), list(STREAMS)
    else:
        path = ":memory:"
        sources = [f"read_ndjson('{FOLDER / stream}.jsonl')" for stream in STREAMS]
    counted = 0
    with duckdb.connect(path, read_only=target == "target-duckdb") as database:
        for source in sources:
            found = database.execute(
                "select count(distinct (account_id, engagement_id)) "  # noqa: S608 - our own names
                f"from {source} where start_time::timestamp < $1 and end_time::timestamp >= $1",
                # The target stores instants in UTC, without saying so.
                [first_run.astimezone(timezone.utc).replace(tzinfo=None)],
            ).fetchone()
            counted += found[0] if found else 0
    return counted


def compare(loaded: dict[Key, Extent], truth: dict[Key, Extent]) -> bool:
    """Print both ends, a line for each stream and account; return whether they are equal."""
    nothing = Extent()
    equal = True
    lines = [("stream", "account", "rows", "first start", "last start", "simulator", "")]
    for key in sorted(loaded.keys() | truth.keys()):
        here, there = loaded.get(key, nothing), truth.get(key, nothing)
        equal = equal and here == there
        lines.append(
            (
                *key,
                str(here.rows),
                moment_text(here.first),
                moment_text(here.last),
                str(there.rows),
                "equal" if here == there else "differs",
            )
        )
    print()
    print_table(lines)
    return equal


def print_table(lines: Sequence[tuple[str, ...]]) -> None:
    """Print cells in columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        print("   ", "  ".join(cells).rstrip())


def moment_text(moment: datetime | None) -> str:
    """Return an instant as the table shows it."""
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "-"


def print_hints(target: str, *, again: bool) -> None:
    """Print how to query what was loaded, and what to try next."""
    python = relative(Path(sys.executable))
    # An engagement that a later run appended again is one all the same.
    select = "select direction, count(distinct engagement_id) as calls, max(start_time) as latest"
    if target == "target-duckdb":
        query = (
            f"import duckdb; database = duckdb.connect('{relative(DATABASE)}'); "
            f"database.sql('{select} from voice_calls group by all').show()"
        )
    else:
        files = relative(FOLDER / "voice_calls.jsonl")
        query = f"import duckdb; duckdb.sql('''{select} from '{files}' group by all''').show()"
    print(f'\n    {python} -c "{query}"')
    store = relative(DATABASE if target == "target-duckdb" else FOLDER)
    meltano = python.with_name("meltano")
    note("")
    note("A picture of when each queue is busy, output/engagements_per_hour.png:")
    # As the demo itself: trust what the machine trusts.
    print(f"\n    UV_SYSTEM_CERTS=1 PLOT_STORE={store} {meltano} invoke plot:hours")
    if not again:
        note("")
        note("And the next run, a week later, which reads only what may be new:")
        print("\n    python3 dev/demo.py --again")


def step(number: int, text: str) -> None:
    """Print the heading of a step."""
    print(f"\n[{number}/5] {text}", flush=True)


def note(text: str) -> None:
    """Print a line that belongs to the step."""
    print(f"      {text}".rstrip(), flush=True)


def note_list(text: str) -> None:
    """Print a long list that belongs to the step, in lines that end at a comma."""
    lines = [""]
    for part in re.split(r"(?<=, )", text):
        if len(lines[-1]) + len(part) > WIDTH:
            lines.append("")
        lines[-1] += part
    for line in lines:
        note(line)


def relative(path: Path) -> Path:
    """Return a path as seen from the repository's root, where the commands are started."""
    return path.relative_to(ROOT)


if __name__ == "__main__":
    sys.exit(main())

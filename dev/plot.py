# /// script
# requires-python = ">=3.10"
# dependencies = ["duckdb>=1.2.2", "matplotlib>=3.10"]
# ///
"""Draws the calls and SMS of each hour by queue, from what the tap has loaded.

    uv run dev/plot.py output/zoom_cc.duckdb engagements_per_hour.png

It reads a database of target-duckdb, or a folder of target-jsonl. `uv run` installs what it needs,
which nothing else in this repository does: duckdb and matplotlib.

An engagement counts in the hour in which it began, in UTC, and in each of the queues that it went
through.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import matplotlib.dates  # type: ignore[import-not-found, unused-ignore]
import matplotlib.ft2font  # type: ignore[import-not-found, unused-ignore]
import matplotlib.pyplot as plt  # type: ignore[import-not-found, unused-ignore]
from matplotlib import font_manager
from matplotlib.patches import Patch  # type: ignore[import-not-found, unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

TITLES = {"voice_calls": "Voice calls an hour", "sms": "SMS engagements an hour"}
HOUR = timedelta(hours=1)
DEFAULT_DAYS = 7

NO_QUEUE = "no queue"
OTHER_QUEUES = "other queues"
COLORS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#a463f2", "#97bbf5", "#9c6b4e", "#ff8ab7")
"""Of the busiest queues, which can be told apart; the rest are grey."""
GREYS = {OTHER_QUEUES: "#8a8f98", NO_QUEUE: "#d3d6db"}

JSONL_COLUMNS = (
    "{account_id: 'VARCHAR', engagement_id: 'VARCHAR', start_time: 'TIMESTAMP', queues: 'JSON'}"
)
COUNTS = """
with engagements as (
    -- Where a target appends, an engagement may have several rows.
    select start_time, any_value(queues::json) as queues
    from {source}
    group by account_id, engagement_id, start_time
),
visits as (
    select
        time_bucket(interval 1 hour, start_time) as hour,
        unnest(
            case when json_array_length(queues) > 0
                then from_json(queues, '[{{"queue_name": "VARCHAR"}}]')
                else [{{'queue_name': '{no_queue}'}}]
            end
        ) as queue
    from engagements
)
select hour, coalesce(queue.queue_name, 'unnamed queue'), count(*)
from visits
group by all
"""


@dataclass(frozen=True)
class HourOfQueue:
    """How many engagements of a queue began in an hour, which is in UTC."""

    hour: datetime
    queue: str
    engagements: int


def read(store: Path, stream: str) -> list[HourOfQueue]:
    """Return a stream's counts; none if it was not loaded.

    Args:
        store: a file of target-duckdb, or a folder of target-jsonl.
        stream: the name of the stream.
    """
    if store.is_dir():
        path = store / f"{stream}.jsonl"
        if not path.exists():
            return []
        escaped = str(path).replace("'", "''")
        source = f"read_ndjson('{escaped}', columns = {JSONL_COLUMNS})"
        connection = duckdb.connect()
    else:
        source = stream
        connection = duckdb.connect(str(store), read_only=True)
    with connection:
        try:
            rows = connection.execute(COUNTS.format(source=source, no_queue=NO_QUEUE)).fetchall()
        except duckdb.CatalogException:
            return []
    return [HourOfQueue(*row) for row in rows]


def draw(counts: dict[str, list[HourOfQueue]], days: int, picture: Path) -> None:
    """Draw the last days of each stream, one above the other, and write the picture."""
    end = max(count.hour for part in counts.values() for count in part) + HOUR
    begin = end - timedelta(days=days)
    shown = {name: [c for c in part if c.hour >= begin] for name, part in counts.items()}
    queues = legend(count for part in shown.values() for count in part)
    plt.rcParams["font.family"] = fonts_for("".join(queues))
    figure, panels = plt.subplots(
        len(shown), sharex=True, squeeze=False, figsize=(11, 2.9 * len(shown)), layout="constrained"
    )
    for panel, (stream, part) in zip(panels.flat, shown.items(), strict=True):
        below: Counter[datetime] = Counter()
        for queue, color in queues.items():
            heights: Counter[datetime] = Counter()
            for count in part:
                if (count.queue if count.queue in queues else OTHER_QUEUES) == queue:
                    heights[count.hour] += count.engagements
            if heights:
                panel.bar(
                    list(heights),
                    list(heights.values()),
                    bottom=[below[hour] for hour in heights],
                    width=HOUR,
                    align="edge",
                    color=color,
                )
            below += heights
        panel.set_title(TITLES[stream], loc="left")
        panel.set_xlim(begin, end)
        panel.yaxis.get_major_locator().set_params(integer=True)
        panel.grid(axis="y", color="#e4e6ea")
        panel.set_axisbelow(True)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(left=False)
    axis = panels[-1, 0].xaxis
    locator = matplotlib.dates.AutoDateLocator(maxticks=10)
    axis.set_major_locator(locator)
    axis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator))
    axis.axes.set_xlabel(
        "UTC; an engagement counts in each queue that it went through", color="#555"
    )
    keys = [Patch(color=color, label=queue) for queue, color in queues.items()]
    figure.legend(handles=keys, loc="outside right upper", frameon=False)
    figure.savefig(picture, dpi=110)


def legend(counts: Iterable[HourOfQueue]) -> dict[str, str]:
    """Return the colors of the queues that are shown by name, busiest first; then the greys."""
    busy: Counter[str] = Counter()
    for count in counts:
        busy[count.queue] += count.engagements
    without = busy.pop(NO_QUEUE, 0)
    named = [queue for queue, _ in busy.most_common(len(COLORS))]
    colors = dict(zip(named, COLORS, strict=False))
    if len(busy) > len(named):
        colors[OTHER_QUEUES] = GREYS[OTHER_QUEUES]
    if without:
        colors[NO_QUEUE] = GREYS[NO_QUEUE]
    return colors


def fonts_for(text: str) -> list[str]:
    """Return the installed fonts with which a text can be shown: names come in any script."""
    families = ["DejaVu Sans"]
    missing = {ord(character) for character in text if character.isprintable()}
    missing -= glyphs(font_manager.findfont(families[0]))
    for font in font_manager.fontManager.ttflist:
        if not missing:
            break
        found = missing & glyphs(font.fname)
        if found and "Last Resort" not in font.name:
            families.append(font.name)
            missing -= found
    return families


def glyphs(path: str) -> set[int]:
    """Return the characters that a font has."""
    return set(matplotlib.ft2font.FT2Font(path).get_charmap())


def main() -> int:
    """Draw what the command line asks for and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", type=Path, help="file of target-duckdb, or folder of target-jsonl")
    parser.add_argument("picture", type=Path, help="where to write the picture: .png, .svg or .pdf")
    parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help="how many, up to the last")
    arguments = parser.parse_args()
    # Where no font has a script, boxes are drawn; that need not be said for each letter.
    warnings.filterwarnings("ignore", message="Glyph")
    if not arguments.store.exists():
        print(f"There is no {arguments.store}: load something first.", file=sys.stderr)
        return 1
    counts = {stream: read(arguments.store, stream) for stream in TITLES}
    counts = {stream: part for stream, part in counts.items() if part}
    if not counts:
        print(f"{arguments.store} holds neither calls nor SMS.", file=sys.stderr)
        return 1
    draw(counts, arguments.days, arguments.picture)
    print(f"Wrote {arguments.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

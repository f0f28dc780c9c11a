# /// script
# requires-python = ">=3.10"
# dependencies = ["duckdb>=1.2.2", "matplotlib>=3.10"]
# ///
"""Draws when each queue is busy, by weekday and hour, from what the tap has loaded.

    uv run dev/plot.py output/zoom_cc.duckdb engagements_per_hour.png

It reads a database of target-duckdb, or a folder of target-jsonl. `uv run` installs what it needs,
which nothing else in this repository does: duckdb and matplotlib.

An engagement counts in the hour in which it began, in UTC, and in each of the queues that it went
through. A panel shows one queue's calls or SMS: for each hour of the week the mean of all the weeks
that were loaded, or of the last `--days`. Each panel has a scale of its own, so that a small queue
shows its pattern beside a large one; how many its busiest hour has is written above it.
"""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
import warnings
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import matplotlib.ft2font  # type: ignore[import-not-found, unused-ignore]
import matplotlib.pyplot as plt  # type: ignore[import-not-found, unused-ignore]
import numpy as np  # type: ignore[import-not-found, unused-ignore]
from matplotlib import font_manager
from matplotlib.cm import ScalarMappable  # type: ignore[import-not-found, unused-ignore]
from matplotlib.colors import Normalize  # type: ignore[import-not-found, unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from matplotlib.axes import Axes  # type: ignore[import-not-found, unused-ignore]

CHANNELS = {
    "voice_calls": ("Voice calls", "call", "Blues"),
    "sms": ("SMS conversations", "conversation", "Oranges"),
}
"""Of each stream the heading, what is counted, and the colors, from light to dark."""
HOUR = timedelta(hours=1)
WEEK = timedelta(weeks=1)
HOURS_OF_DAY = 24
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

NO_QUEUE = "no queue"
OTHER_QUEUES = "other queues"
MOST_QUEUES = 8
"""So many queues have panels of their own, the busiest ones; the rest are drawn together."""
LEAST_FULL_SCALE = 1.0
"""A queue with fewer engagements in its busiest hour stays pale: there is no pattern to see."""
NOT_LOADED = "#d4d4d4"
QUIET = "#666666"
"""The color of what is written small."""
LONGEST_NAME = 60
NAME_WIDTH = 16

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


@dataclass(frozen=True)
class Week:
    """A week of one queue and stream: how many engagements each of its hours has on average.

    ``means`` has seven rows of 24 numbers, Monday first; one is not a number where that hour of the
    week is not in what was loaded. ``total`` is how many engagements there are in all.
    """

    means: list[list[float]]
    total: int

    @property
    def busiest(self) -> tuple[float, str]:
        """The highest mean, and in which hour that is."""
        mean, day, hour = max(
            (
                (mean, -day, -hour)
                for day, row in enumerate(self.means)
                for hour, mean in enumerate(row)
                if not math.isnan(mean)
            ),
            default=(0.0, 0, 0),
        )
        return mean, f"{DAYS[-day]} {-hour:02}:00"


def week_of(counts: Iterable[HourOfQueue], begin: datetime, end: datetime) -> Week:
    """Return the mean week of some counts in a range of whole hours."""
    totals: Counter[tuple[int, int]] = Counter()
    for count in counts:
        totals[count.hour.weekday(), count.hour.hour] += count.engagements
    loaded: Counter[tuple[int, int]] = Counter()
    hour = begin
    while hour < end:
        loaded[hour.weekday(), hour.hour] += 1
        hour += HOUR
    means = [
        [
            totals[day, hour] / loaded[day, hour] if loaded[day, hour] else math.nan
            for hour in range(HOURS_OF_DAY)
        ]
        for day in range(len(DAYS))
    ]
    return Week(means, totals.total())


def draw(counts: dict[str, list[HourOfQueue]], days: int | None, picture: Path) -> None:
    """Draw a panel for each queue and stream, and write the picture.

    Args:
        counts: of each stream that was loaded.
        days: how many days are drawn, up to the last one that was loaded; None for all.
        picture: where to write it.
    """
    hours = [count.hour for part in counts.values() for count in part]
    begin, end = min(hours), max(hours) + HOUR
    if days is not None:
        begin = max(begin, end - timedelta(days=days))
    shown = {name: [c for c in part if c.hour >= begin] for name, part in counts.items()}
    queues = rows_of_picture(count for part in shown.values() for count in part)
    plt.rcParams["font.family"] = fonts_for("".join(queues))
    plt.rcParams["font.size"] = 9
    figure, panels = plt.subplots(
        len(queues),
        len(shown),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(1.8 + 4.7 * len(shown), 1.9 + 1.35 * len(queues)),
        layout="constrained",
    )
    figure.get_layout_engine().set(hspace=0.03, wspace=0.03)
    for column, (stream, part) in enumerate(shown.items()):
        heading, unit, colors = CHANNELS[stream]
        for row, queue in enumerate(queues):
            own = (c for c in part if (c.queue if c.queue in queues else OTHER_QUEUES) == queue)
            draw_week(panels[row, column], week_of(own, begin, end), unit, colors)
        # The second line is empty: there stand what each panel has to say.
        panels[0, column].set_title(f"{heading}\n", fontsize=12, fontweight="bold")
        scale = figure.colorbar(
            ScalarMappable(Normalize(0, 1), colors),
            ax=panels[:, column],
            location="bottom",
            shrink=0.5,
            aspect=40,
            fraction=0.02,
            pad=0.02,
            ticks=[0, 1],
        )
        scale.ax.set_xticklabels(["none", "busiest hour of its panel"])
        scale.outline.set_visible(False)
    for row, queue in enumerate(queues):
        name = textwrap.shorten(queue, LONGEST_NAME, placeholder=" …")
        panels[row, 0].set_ylabel(
            textwrap.fill(name, NAME_WIDTH),
            rotation=0,
            ha="right",
            va="center",
            labelpad=12,
            fontsize=11,
            fontweight="bold",
            parse_math=False,
        )
    last = end - HOUR
    figure.suptitle(
        f"When each queue is busy\n{begin:%Y-%m-%d} to {last:%Y-%m-%d}, by weekday and hour (UTC)",
        fontsize=14,
    )
    figure.supxlabel(explanation(begin, end), fontsize=9, color=QUIET)
    figure.savefig(picture, dpi=110)


def explanation(begin: datetime, end: datetime) -> str:
    """Return what is to be known about a picture of this range."""
    lines = [
        "Each field is the mean of all weeks.",
        "A scale ends at the busiest hour of its panel, but not below 1 an hour.",
        "An engagement counts in the hour in which it began, and in each of its queues.",
    ]
    if end - begin < WEEK:
        lines.append("Grey hours are not in the data.")
    return "\n".join(lines)


def draw_week(panel: Axes, week: Week, unit: str, colors: str) -> None:
    """Draw a week as a field of seven days and 24 hours, with what it holds above it."""
    mean, hour = week.busiest
    panel.set_facecolor(NOT_LOADED)
    panel.pcolormesh(
        range(HOURS_OF_DAY + 1),
        range(len(DAYS) + 1),
        np.ma.masked_invalid(week.means),
        cmap=colors,
        vmin=0,
        vmax=max(mean, LEAST_FULL_SCALE),
        edgecolors="white",
        linewidth=0.6,
    )
    panel.set_ylim(len(DAYS), 0)
    panel.set_yticks([day + 0.5 for day in range(len(DAYS))], DAYS, fontsize=8)
    panel.set_xticks(range(0, HOURS_OF_DAY + 1, 3))
    panel.tick_params(length=0, colors=QUIET)
    panel.spines[:].set_visible(False)
    counted = unit if week.total == 1 else f"{unit}s"
    panel.set_title(f"{week.total:,} {counted}", loc="left", fontsize=9)
    if week.total:
        busiest = f"busiest {hour}, {mean:.1f} an hour"
        panel.set_title(busiest, loc="right", fontsize=9, color=QUIET)


def rows_of_picture(counts: Iterable[HourOfQueue]) -> list[str]:
    """Return the queues that are drawn by themselves, busiest first; then what is left."""
    busy: Counter[str] = Counter()
    for count in counts:
        busy[count.queue] += count.engagements
    without = busy.pop(NO_QUEUE, 0)
    queues = [queue for queue, _ in busy.most_common(MOST_QUEUES)]
    if len(busy) > len(queues):
        queues.append(OTHER_QUEUES)
    if without:
        queues.append(NO_QUEUE)
    return queues


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
    parser.add_argument("--days", type=int, help="how many, up to the last; all by default")
    arguments = parser.parse_args()
    # Where no font has a script, boxes are drawn; that need not be said for each letter.
    warnings.filterwarnings("ignore", message="Glyph")
    if not arguments.store.exists():
        print(f"There is no {arguments.store}: load something first.", file=sys.stderr)
        return 1
    counts = {stream: read(arguments.store, stream) for stream in CHANNELS}
    counts = {stream: part for stream, part in counts.items() if part}
    if not counts:
        print(f"{arguments.store} holds neither calls nor SMS.", file=sys.stderr)
        return 1
    draw(counts, arguments.days, arguments.picture)
    print(f"Wrote {arguments.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

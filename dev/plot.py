# /// script
# requires-python = ">=3.10"
# dependencies = ["duckdb>=1.2.2", "matplotlib>=3.10", "psycopg[binary]>=3.2"]
# ///
"""Draws when each queue is busy, by weekday and hour, from what the tap has loaded.

    uv run dev/plot.py output/zoom_cc.duckdb engagements_per_hour.png

It reads a database of target-duckdb or target-postgres, or a folder of target-jsonl. `uv run`
installs what it needs.

An engagement counts in the hour in which it began, in UTC or in the time zone of `--zone`, and in
each of the queues that it went through. A panel shows one queue's calls or SMS: for each hour of
the week the mean of all the weeks that were loaded, or of the last `--days`. Each panel has a scale
of its own, so that a small queue shows its pattern beside a large one; how many its busiest hour
has is written above it.
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
from zoneinfo import ZoneInfo

import matplotlib.ft2font  # type: ignore[import-not-found, unused-ignore]
import matplotlib.pyplot as plt  # type: ignore[import-not-found, unused-ignore]
import numpy as np  # type: ignore[import-not-found, unused-ignore]
from matplotlib import font_manager
from matplotlib.cm import ScalarMappable  # type: ignore[import-not-found, unused-ignore]
from matplotlib.colors import Normalize  # type: ignore[import-not-found, unused-ignore]
from queue_counts import NO_QUEUE, UnreadableError, read

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, tzinfo

    from matplotlib.axes import Axes  # type: ignore[import-not-found, unused-ignore]
    from queue_counts import QuarterOfQueue

CHANNELS = {
    "voice_calls": ("Voice calls", "call", "Blues"),
    "sms": ("SMS conversations", "conversation", "Oranges"),
}
"""Of each stream the heading, what is counted, and the colors, from light to dark."""
HOUR = timedelta(hours=1)
WEEK = timedelta(weeks=1)
HOURS_OF_DAY = 24
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

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


def week_of(counts: Iterable[QuarterOfQueue], begin: datetime, end: datetime, zone: tzinfo) -> Week:
    """Return the mean week of some counts in a range of whole hours of a time zone.

    An hour that clocks skip is not in the range, and one that comes twice is in it twice.
    """
    totals: Counter[tuple[int, int]] = Counter()
    for count in counts:
        totals[hour_of_week(count.begin, zone)] += count.engagements
    loaded: Counter[tuple[int, int]] = Counter()
    hour = begin
    while hour < end:
        loaded[hour_of_week(hour, zone)] += 1
        hour += HOUR
    means = [
        [
            totals[day, hour] / loaded[day, hour] if loaded[day, hour] else math.nan
            for hour in range(HOURS_OF_DAY)
        ]
        for day in range(len(DAYS))
    ]
    return Week(means, totals.total())


def hour_of_week(instant: datetime, zone: tzinfo) -> tuple[int, int]:
    """Return the weekday and the hour of an instant, by the clocks of a time zone."""
    local = instant.astimezone(zone)
    return local.weekday(), local.hour


def hour_begin(instant: datetime, zone: tzinfo) -> datetime:
    """Return the instant, in UTC, at which the hour of a time zone began."""
    local = instant.astimezone(zone)
    return instant - timedelta(minutes=local.minute, seconds=local.second)


def draw(
    counts: dict[str, list[QuarterOfQueue]], days: int | None, zone: ZoneInfo, picture: Path
) -> None:
    """Draw a panel for each queue and stream, and write the picture.

    Args:
        counts: of each stream that was loaded.
        days: how many days are drawn, up to the last one that was loaded; None for all.
        zone: the time zone of weekdays and hours.
        picture: where to write it.
    """
    instants = [count.begin for part in counts.values() for count in part]
    begin, end = hour_begin(min(instants), zone), hour_begin(max(instants), zone) + HOUR
    if days is not None:
        begin = max(begin, end - timedelta(days=days))
    shown = {name: [c for c in part if c.begin >= begin] for name, part in counts.items()}
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
            draw_week(panels[row, column], week_of(own, begin, end, zone), unit, colors)
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
    first, last = begin.astimezone(zone), (end - HOUR).astimezone(zone)
    figure.suptitle(
        f"When each queue is busy\n{first:%Y-%m-%d} to {last:%Y-%m-%d}, "
        f"by weekday and hour ({zone.key})",
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


def rows_of_picture(counts: Iterable[QuarterOfQueue]) -> list[str]:
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


def time_zone(name: str) -> ZoneInfo:
    """Return a time zone by its name in the IANA database."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        msg = f"there is no time zone {name!r}; write it as in Europe/Berlin"
        raise argparse.ArgumentTypeError(msg) from None


def main() -> int:
    """Draw what the command line asks for and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "store",
        help="file of target-duckdb, folder of target-jsonl, or postgresql://user@host/database",
    )
    parser.add_argument("picture", type=Path, help="where to write the picture: .png, .svg or .pdf")
    parser.add_argument("--days", type=int, help="how many, up to the last; all by default")
    parser.add_argument(
        "--zone", type=time_zone, default="UTC", help="time zone of the hours; UTC by default"
    )
    parser.add_argument(
        "--schema", default="zoom_cc", help="of the tables in PostgreSQL; zoom_cc by default"
    )
    arguments = parser.parse_args()
    # Where no font has a script, boxes are drawn; that need not be said for each letter.
    warnings.filterwarnings("ignore", message="Glyph")
    try:
        found = {stream: read(arguments.store, arguments.schema, stream) for stream in CHANNELS}
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return 1
    counts = {stream: part for stream, part in found.items() if part}
    if not counts:
        print("Neither calls nor SMS were loaded there.", file=sys.stderr)
        return 1
    draw(counts, arguments.days, arguments.zone, arguments.picture)
    print(f"Wrote {arguments.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

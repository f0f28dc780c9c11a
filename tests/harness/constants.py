"""The tap's constants that tests give other values; the only place that names them by module."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Value: TypeAlias = float | tuple[float, float]

_NAMES = {
    "first_wait_seconds": "zoom.pacing.FIRST_BACKOFF_SECONDS",
    "patience_seconds": "zoom.pacing.PATIENCE_SECONDS",
    "timeout_seconds": "zoom.client.TIMEOUT_SECONDS",
    "deadline_seconds": "zoom.connections.DEADLINE_SECONDS",
    "shortest_cool_down_seconds": "zoom.pacing.SHORTEST_COOL_DOWN_SECONDS",
    "longest_cool_down_seconds": "zoom.pacing.LONGEST_COOL_DOWN_SECONDS",
    "longest_asked_seconds": "zoom.pacing.LONG_WAIT_SECONDS",
    "page_size": "zoom.pages.PAGE_SIZE",
    "most_rows": "sync.windows.MOST_ROWS",
    "aimed_rows": "sync.windows.AIMED_ROWS",
    "memory_bytes": "sync.stages.MEMORY_BYTES",
    "flush_bytes": "writer.FLUSH_BYTES",
    "seconds_between_states": "sync.bookmarks.SECONDS_BETWEEN_STATES",
    "progress_seconds": "run.report.PROGRESS_SECONDS",
    "grace_seconds": "run.stopping.GRACE_SECONDS",
    "last_words_seconds": "run.stopping.LAST_WORDS_SECONDS",
}


@dataclass(frozen=True)
class Constants:
    """Other values for constants of the tap; None leaves the tap's own.

    A test cannot wait as long as a user can, and smaller sizes make a short history as eventful as
    a long one.
    """

    first_wait_seconds: float | None = None
    patience_seconds: float | None = None
    timeout_seconds: tuple[float, float] | None = None
    deadline_seconds: float | None = None
    shortest_cool_down_seconds: float | None = None
    longest_cool_down_seconds: float | None = None
    longest_asked_seconds: float | None = None
    page_size: int | None = None
    most_rows: int | None = None
    aimed_rows: int | None = None
    memory_bytes: int | None = None
    flush_bytes: int | None = None
    seconds_between_states: float | None = None
    progress_seconds: float | None = None
    grace_seconds: float | None = None
    last_words_seconds: float | None = None

    def by_name(self) -> Mapping[str, Value]:
        """Return the values that are given, by the constant's dotted name."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {f"tap_zoom_cc.{_NAMES[name]}": value for name, value in given.items()}


OWN = Constants()
"""The tap's own: those that users have."""

SHORT_WAITS = Constants(
    first_wait_seconds=0.001,
    patience_seconds=1.0,
    shortest_cool_down_seconds=0.02,
    longest_cool_down_seconds=0.02,
    longest_asked_seconds=0.02,
    progress_seconds=86_400.0,
)
"""The same run with hardly any waiting between tries, and without progress if it is slow."""

NO_PATIENCE = replace(SHORT_WAITS, patience_seconds=0.0)
"""For faults that stay: a run gives up what it would wait for a second time."""

MANY_WINDOWS = Constants(most_rows=40, aimed_rows=25, seconds_between_states=0.0)
"""A short history gives as many windows as years of it would, with a STATE after each."""

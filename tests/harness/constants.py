"""The tap's constants that tests give other values; the only place that names them by module."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Value: TypeAlias = float | tuple[float, float]


def _named(*names: str) -> dict[str, tuple[str, ...]]:
    """Return the metadata of a field: where in the tap its constant stands."""
    return {"names": tuple(f"tap_zoom_cc.{name}" for name in names)}


@dataclass(frozen=True)
class Constants:
    """Other values for constants of the tap; None leaves the tap's own.

    A test cannot wait as long as a user can, and smaller sizes make a short history as eventful as
    a long one. Each field says under which dotted names the tap knows its constant: one that is
    imported by name stands in several modules.
    """

    first_wait_seconds: float | None = field(
        default=None,
        metadata=_named("zoom.pacing.FIRST_BACKOFF_SECONDS"),
    )
    patience_seconds: float | None = field(
        default=None, metadata=_named("zoom.pacing.PATIENCE_SECONDS")
    )
    timeout_seconds: tuple[float, float] | None = field(
        default=None, metadata=_named("zoom.client.TIMEOUT_SECONDS")
    )
    deadline_seconds: float | None = field(
        default=None, metadata=_named("zoom.connections.DEADLINE_SECONDS")
    )
    shortest_cool_down_seconds: float | None = field(
        default=None, metadata=_named("zoom.pacing.SHORTEST_COOL_DOWN_SECONDS")
    )
    longest_asked_seconds: float | None = field(
        default=None, metadata=_named("zoom.pacing.LONG_WAIT_SECONDS")
    )
    longest_cool_down_seconds: float | None = field(
        default=None, metadata=_named("zoom.pacing.LONGEST_COOL_DOWN_SECONDS")
    )
    page_size: int | None = field(default=None, metadata=_named("zoom.pages.PAGE_SIZE"))
    most_rows: int | None = field(default=None, metadata=_named("sync.windows.MOST_ROWS"))
    aimed_rows: int | None = field(default=None, metadata=_named("sync.windows.AIMED_ROWS"))
    memory_bytes: int | None = field(default=None, metadata=_named("sync.stages.MEMORY_BYTES"))
    flush_bytes: int | None = field(default=None, metadata=_named("writer.FLUSH_BYTES"))
    seconds_between_states: float | None = field(
        default=None, metadata=_named("sync.bookmarks.SECONDS_BETWEEN_STATES")
    )
    progress_seconds: float | None = field(
        default=None, metadata=_named("run.report.PROGRESS_SECONDS")
    )
    grace_seconds: float | None = field(default=None, metadata=_named("run.stopping.GRACE_SECONDS"))
    last_words_seconds: float | None = field(
        default=None, metadata=_named("run.stopping.LAST_WORDS_SECONDS")
    )

    def by_name(self) -> Mapping[str, Value]:
        """Return the values that are given, by dotted name."""
        return {
            name: value
            for each in fields(self)
            if (value := getattr(self, each.name)) is not None
            for name in each.metadata["names"]
        }


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

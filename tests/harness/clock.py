"""A clock that stands until a test moves it, in seconds; given in place of `time.monotonic`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_zoom_cc.run.stopping import Stop

if TYPE_CHECKING:
    from collections.abc import Callable


class SteadyClock(Stop):
    """A clock that stands until it is moved, and a stop whose sleeping moves it."""

    def __init__(self) -> None:
        """Show some time."""
        super().__init__()
        self.now = 1000.0
        self.on_sleep: Callable[[], object] = list

    def __call__(self) -> float:
        """Return what it shows."""
        return self.now

    @override
    def sleep(self, seconds: float) -> None:
        super().sleep(0.0)
        if seconds > 0:
            self.now += seconds
            self.on_sleep()

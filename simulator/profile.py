"""What a simulated contact center is like: its names, its week, how long engagements are open.

Without a profile, names are of many scripts and every value is as likely as any other, which is
what tests want. With one, the numbers look like those of a contact center at work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.scenario import Stream


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """When the engagements of a queue begin, on the clock of the account.

    ``week`` has a text for each day, Monday first, and in it a digit for each hour: how busy the
    hour is, next to the others. ``share`` says how many engagements a week brings, next to the
    other queues.
    """

    share: float
    week: tuple[str, ...]

    def weights(self) -> list[float]:
        """Give the share of each hour of the week, from Monday's first on."""
        digits = [int(digit) for day in self.week for digit in day]
        return [self.share * digit / max(1, sum(digits)) for digit in digits]


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue: its name, and its rhythm in each stream; None where nothing comes to it."""

    name: str
    sms: Rhythm | None = None
    voice_calls: Rhythm | None = None

    def rhythm(self, stream: Stream) -> Rhythm | None:
        """Give the rhythm of a stream."""
        return self.sms if stream == "sms" else self.voice_calls


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long engagements are open, in seconds.

    Most are short and a few long, by an exponential distribution with this ``mean`` that is cut at
    ``longest_usual``. One of ``long_every`` is between that and ``longest``, all lengths alike.
    """

    mean: int
    longest_usual: int = 6 * 3600
    longest: int = 48 * 3600
    long_every: int = 101


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A contact center at work.

    Its agents are divided evenly among its queues, at least two for each; there are at least two of
    all else, too. Of the engagements, ``ordinary`` is the share of
    those that come in, go through one queue to one agent, and are completed; the others are of any
    kind.
    """

    queues: tuple[Queue, ...]
    agents: tuple[str, ...]
    teams: tuple[str, ...]
    flows: tuple[str, ...]
    regions: tuple[str, ...]
    sms_lengths: Lengths
    voice_calls_lengths: Lengths
    ordinary: float = 0.8

    def lengths(self, stream: Stream) -> Lengths:
        """Give how long the engagements of a stream are open."""
        return self.sms_lengths if stream == "sms" else self.voice_calls_lengths

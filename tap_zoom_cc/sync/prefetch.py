"""Reads jobs side by side in threads and hands their results over strictly in order.

Knows nothing of Zoom. Jobs come in lanes (one per account); `Prefetcher.results` walks through one
lane. A job may turn out to be too large: its parts then take its place. How far the threads run
ahead of the reader is bounded by their number and by the bytes that wait to be handed over.
"""

from __future__ import annotations

import heapq
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Job = TypeVar("Job")
Result = TypeVar("Result")

Place: TypeAlias = "tuple[int, ...]"
"""A job's place in the order: the position of its lane and the number in it, then those of parts.

The places of parts lie between that of the job that they replace and that of the next job.
"""

LENGTH_WITHOUT_PARTS = 2

SECONDS_BETWEEN_CALLS = 0.5


@dataclass(frozen=True, slots=True)
class Parts(Generic[Job]):
    """What a job is replaced by, in order."""

    jobs: Sequence[Job]


@dataclass(frozen=True, slots=True)
class Fetched(Generic[Result]):
    """A job's result, and the bytes that it holds on to."""

    result: Result
    size: int


@dataclass(slots=True)
class _Lane(Generic[Job, Result]):
    """A lane, and what was read of it and not let go of yet."""

    position: int
    jobs: Iterator[Job]
    outcomes: dict[Place, Fetched[Result] | Parts[Job] | Exception] = field(default_factory=dict)
    end: Place = (sys.maxsize,)
    """The first place that the reader never asks for: behind the first error, or the last job.

    Of places that begin alike, the longer one comes later; so ``(*place, 0)`` is next to ``place``.
    """

    def wants(self, place: Place) -> bool:
        """Say whether the reader may still ask for a place."""
        return place < self.end


class Prefetcher(Generic[Job, Result]):
    """Runs ``read`` on jobs in ``workers`` daemon threads, in the order of the lanes given."""

    def __init__(  # noqa: PLR0913 (all but two by name)
        self,
        read: Callable[[Job, Callable[[], bool]], Fetched[Result] | Parts[Job]],
        lanes: Mapping[str, Iterable[Job]],
        *,
        workers: int,
        capacity: int,
        assumed_size: int = 0,
        may_run_ahead: Callable[[], bool] = lambda: True,
    ) -> None:
        """Start reading.

        Args:
            read: reads one job, and is given a function that says whether anybody will still ask
                for it; called in several threads, as is ``may_run_ahead``.
            lanes: the jobs of each lane, in order; lanes are read in their order too. A job may be
                made when it is asked for, which is when the one before it is about to be read.
            workers: the number of threads.
            capacity: bytes of results that may wait, counting those still being read at the mean
                size so far.
            assumed_size: the bytes of a result, until one is known.
            may_run_ahead: whether a job may begin before those in front of it are read.
        """
        self._read = read
        self._capacity = capacity
        self._assumed_size = assumed_size
        self._may_run_ahead = may_run_ahead
        self._changed = threading.Condition()
        self._lanes = {
            name: _Lane[Job, Result](position, iter(jobs))
            for position, (name, jobs) in enumerate(lanes.items())
        }
        self._jobs = self._in_order()
        # A heap: parts of a later job must not overtake those of an earlier one. It holds the parts
        # that nobody has taken yet, and the next job of a lane; further jobs are not made yet.
        self._waiting = list(islice(self._jobs, 1))
        self._running = 0
        self._held = 0
        self._read_bytes = 0
        self._read_results = 0
        self._awaited: Place | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"fetch-{number + 1}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def _in_order(self) -> Iterator[tuple[Place, Job, _Lane[Job, Result]]]:
        """Make the jobs of all lanes in order, but for those that nobody will ask for."""
        for lane in self._lanes.values():
            place = (lane.position, 0)
            for job in lane.jobs:
                if not lane.wants(place):
                    break
                yield place, job, lane
                place = (lane.position, place[1] + 1)
            lane.end = min(place, lane.end)

    def results(self, name: str, while_waiting: Callable[[], None]) -> Iterator[Result]:
        """Yield the results of a lane in order; each is let go of when the next is asked for.

        ``while_waiting`` is called about twice a second while there is nothing to hand over.

        Raises:
            Exception: what ``read`` raised for a job, at that job's place, or ``while_waiting``.
        """
        lane = self._lanes[name]
        ahead: list[Place] = [(lane.position, 0)]
        while True:
            place = ahead.pop()
            outcome = self._wait_for(place, lane, while_waiting)
            if outcome is None:
                return
            if isinstance(outcome, Exception):
                raise outcome
            if len(place) == LENGTH_WITHOUT_PARTS:
                ahead.append((lane.position, place[1] + 1))
            if isinstance(outcome, Parts):
                ahead.extend((*place, number) for number in reversed(range(len(outcome.jobs))))
            else:
                yield outcome.result
            # It would keep a window's rows in memory while the next one is waited for.
            del outcome
            with self._changed:
                done = lane.outcomes.pop(place, None)
                if isinstance(done, Fetched):
                    self._held -= done.size
                del done
                self._changed.notify_all()

    def _wait_for(
        self, place: Place, lane: _Lane[Job, Result], while_waiting: Callable[[], None]
    ) -> Fetched[Result] | Parts[Job] | Exception | None:
        """Return what became of a job; None if there is none, or its lane was dropped."""
        due = time.monotonic() + SECONDS_BETWEEN_CALLS
        while True:
            with self._changed:
                outcome = lane.outcomes.get(place)
                if outcome is not None or not lane.wants(place):
                    return outcome
                self._awaited = place
                self._changed.notify_all()
                self._changed.wait(timeout=SECONDS_BETWEEN_CALLS)
            if time.monotonic() >= due:
                while_waiting()
                due = time.monotonic() + SECONDS_BETWEEN_CALLS

    def drop(self, *names: str) -> None:
        """Read nothing more of some lanes, and hold nothing of them."""
        with self._changed:
            for name in names:
                lane = self._lanes[name]
                lane.end = (lane.position,)
                for outcome in lane.outcomes.values():
                    if isinstance(outcome, Fetched):
                        self._held -= outcome.size
                lane.outcomes.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Let the threads end after what they are doing, and hold nothing any more."""
        self.drop(*self._lanes)

    def join(self, seconds: float) -> None:
        """Wait until the threads have ended, as they do when nothing is left; at most so long."""
        ends_at = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))

    def _work(self) -> None:
        """Read one job after the other until there are no more, and keep what became of each."""
        while (taken := self._take()) is not None:
            place, job, lane = taken
            outcome: Fetched[Result] | Parts[Job] | Exception
            try:
                outcome = self._read(job, partial(lane.wants, place))
            except Exception as error:  # noqa: BLE001 (raised again in the reader's thread)
                outcome = error
                # They hold what was read before it, which nobody counts.
                traceback.clear_frames(error.__traceback__)
            with self._changed:
                self._running -= 1
                if self._awaited == place:
                    self._awaited = None
                if isinstance(outcome, Fetched):
                    self._read_bytes += outcome.size
                    self._read_results += 1
                if lane.wants(place):
                    lane.outcomes[place] = outcome
                    if isinstance(outcome, Fetched):
                        self._held += outcome.size
                    elif isinstance(outcome, Parts):
                        for number, part in enumerate(outcome.jobs):
                            heapq.heappush(self._waiting, ((*place, number), part, lane))
                    else:
                        lane.end = (*place, 0)
                self._changed.notify_all()
            # It would keep a window's rows in memory while the thread waits for the next job.
            del outcome

    def _take(self) -> tuple[Place, Job, _Lane[Job, Result]] | None:
        """Wait for the next job that may be read; None when there will be no more."""
        with self._changed:
            while self._waiting or self._running:
                # The reader waits for the first job in the order: it must not wait for ever.
                is_needed = self._awaited is not None and not self._running
                size = self._assumed_size
                if self._read_results:
                    size = self._read_bytes // self._read_results
                has_room = self._held + (self._running + 1) * size <= self._capacity
                if self._waiting:
                    place, _, lane = self._waiting[0]
                    is_pointless = not lane.wants(place)
                    if is_pointless or (
                        (is_needed or has_room) and (not self._running or self._may_run_ahead())
                    ):
                        taken = heapq.heappop(self._waiting)
                        if len(place) == LENGTH_WITHOUT_PARTS:
                            for following in islice(self._jobs, 1):
                                heapq.heappush(self._waiting, following)
                        if is_pointless:
                            continue
                        self._running += 1
                        return taken
                self._changed.wait()
            self._changed.notify_all()
            return None

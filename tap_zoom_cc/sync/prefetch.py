"""Reads jobs side by side in threads and hands their results over strictly in order.

Knows nothing of Zoom. Jobs come in lanes (one per account); `Prefetcher.results` walks through one
lane. A job may turn out to be too large: its parts then take its place. How far the threads run
ahead of the reader is bounded by their number and by the bytes that wait to be handed over.
"""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Job = TypeVar("Job")
Job_co = TypeVar("Job_co", covariant=True)
Result = TypeVar("Result")

Place: TypeAlias = "tuple[int, ...]"
"""A job's place in the order: the position of its lane and the number in it, then those of parts.

The places of parts lie between that of the job that they replace and that of the next job.
"""

LENGTH_WITHOUT_PARTS = 2

SECONDS_BETWEEN_CALLS = 0.5


class Lane(Protocol[Job_co]):
    """Jobs in order, each of which may be made when it is asked for."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, number: int, /) -> Job_co:
        """Return one of them, the first being number 0."""


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
    """A lane, and what was read of it and not let go of yet.

    Its reader never asks for what comes after ``end``: that is the place of its first error, or
    before all of its jobs when the lane was dropped.
    """

    jobs: Lane[Job]
    outcomes: dict[Place, Fetched[Result] | Parts[Job] | Exception] = field(default_factory=dict)
    end: Place | None = None


class Prefetcher(Generic[Job, Result]):
    """Runs ``read`` on jobs in ``workers`` daemon threads, in the order of the lanes given."""

    def __init__(  # noqa: PLR0913 (all but two by name)
        self,
        read: Callable[[Job, Callable[[], bool]], Fetched[Result] | Parts[Job]],
        lanes: Mapping[str, Lane[Job]],
        *,
        workers: int,
        capacity: int,
        assumed_size: int = 0,
        may_run_ahead: Callable[[], bool] = lambda: True,
    ) -> None:
        """Start reading.

        Args:
            read: reads one job, and is given a function that says whether anybody will still ask
                for it; it is called in several threads.
            lanes: the jobs of each lane, in order; lanes are read in their order too.
            workers: the number of threads.
            capacity: bytes of results that may wait, counting those still being read at the mean
                size so far.
            assumed_size: the bytes of a result, until one is known.
            may_run_ahead: whether a job may begin before those in front of it are read; called in
                several threads.
        """
        self._read = read
        self._capacity = capacity
        self._assumed_size = assumed_size
        self._may_run_ahead = may_run_ahead
        self._changed = threading.Condition()
        self._positions = {name: position for position, name in enumerate(lanes)}
        self._lanes: list[_Lane[Job, Result]] = [_Lane(jobs) for jobs in lanes.values()]
        self._places = (
            (position, number)
            for position, jobs in enumerate(lanes.values())
            for number in range(len(jobs))
        )
        # A heap: parts of a later job must not overtake those of an earlier one. It holds the parts
        # that nobody has taken yet, and the next job of a lane; further jobs are not made yet.
        self._waiting: list[tuple[Place, Job]] = []
        self._running = 0
        self._held = 0
        self._read_bytes = 0
        self._read_results = 0
        self._awaited: Place | None = None
        self._closed = False
        self._bring_next()
        self._threads = [
            threading.Thread(target=self._work, name=f"fetch-{number + 1}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def results(self, lane: str, while_waiting: Callable[[], None]) -> Iterator[Result]:
        """Yield the results of a lane in order; each is let go of when the next is asked for.

        Args:
            lane: the lane to walk through.
            while_waiting: called about twice a second while there is nothing to hand over; what it
                raises ends the walk.

        Raises:
            Exception: what ``read`` raised for a job, at that job's place.
        """
        if lane in self._positions:
            position = self._positions[lane]
            for number in range(len(self._lanes[position].jobs)):
                yield from self._walk((position, number), while_waiting)

    def _walk(self, place: Place, while_waiting: Callable[[], None]) -> Iterator[Result]:
        outcome = self._wait_for(place, while_waiting)
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, Fetched):
            yield outcome.result
        elif isinstance(outcome, Parts):
            for number in range(len(outcome.jobs)):
                yield from self._walk((*place, number), while_waiting)
        lane = self._lanes[place[0]]
        with self._changed:
            done = lane.outcomes.pop(place, None)
            if isinstance(done, Fetched):
                self._held -= done.size
            self._changed.notify_all()

    def _wait_for(
        self, place: Place, while_waiting: Callable[[], None]
    ) -> Fetched[Result] | Parts[Job] | Exception | None:
        """Return what became of a job; None if its lane was dropped."""
        due = time.monotonic() + SECONDS_BETWEEN_CALLS
        while True:
            with self._changed:
                outcome = self._lanes[place[0]].outcomes.get(place)
                if outcome is not None or self._is_pointless(place):
                    return outcome
                self._awaited = place
                self._changed.notify_all()
                self._changed.wait(timeout=SECONDS_BETWEEN_CALLS)
            if time.monotonic() >= due:
                while_waiting()
                due = time.monotonic() + SECONDS_BETWEEN_CALLS

    def drop(self, lane: str) -> None:
        """Read nothing more of a lane, and hold nothing of it."""
        position = self._positions[lane]
        dropped = self._lanes[position]
        with self._changed:
            dropped.end = (position,)
            for outcome in dropped.outcomes.values():
                if isinstance(outcome, Fetched):
                    self._held -= outcome.size
            dropped.outcomes.clear()
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait until the threads have ended, as they do when nothing is left; at most so long."""
        ends_at = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))

    def close(self) -> None:
        """Let the threads end after what they are doing, and hold nothing any more."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            for lane in self._lanes:
                lane.outcomes.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while self._read_next():
            """The variables of that call are gone: they would keep a window's rows in memory."""

    def _read_next(self) -> bool:
        """Read the next job, and say whether there was one."""
        taken = self._take()
        if taken is None:
            return False
        place, job = taken
        outcome: Fetched[Result] | Parts[Job] | Exception
        try:
            outcome = self._read(job, lambda: not self._is_pointless(place))
        except Exception as error:  # noqa: BLE001 (raised again in the reader's thread)
            outcome = error
        self._keep(place, outcome)
        return True

    def _take(self) -> tuple[Place, Job] | None:
        """Wait for the next job that may be read; None when there will be no more."""
        with self._changed:
            while True:
                while self._waiting and self._is_pointless(self._waiting[0][0]):
                    self._pop()
                if not (self._waiting or self._running) or self._closed:
                    self._changed.notify_all()
                    return None
                is_first = not self._running
                if self._waiting and self._has_room() and (is_first or self._may_run_ahead()):
                    self._running += 1
                    return self._pop()
                self._changed.wait()

    def _pop(self) -> tuple[Place, Job]:
        place, job = heapq.heappop(self._waiting)
        if len(place) == LENGTH_WITHOUT_PARTS:
            self._bring_next()
        return place, job

    def _bring_next(self) -> None:
        """Make the next job of the lanes, and let it wait to be read."""
        for place in self._places:
            if not self._is_pointless(place):
                position, number = place
                heapq.heappush(self._waiting, (place, self._lanes[position].jobs[number]))
                return

    def _is_pointless(self, place: Place) -> bool:
        """Say whether the reader will never ask for a job."""
        end = self._lanes[place[0]].end
        return self._closed or (end is not None and place > end)

    def _has_room(self) -> bool:
        # The reader waits for the first job in the order: without this it could wait for ever.
        if self._awaited is not None and not self._running:
            return True
        size = self._assumed_size
        if self._read_results:
            size = self._read_bytes // self._read_results
        return self._held + (self._running + 1) * size <= self._capacity

    def _keep(self, place: Place, outcome: Fetched[Result] | Parts[Job] | Exception) -> None:
        """Keep what became of a job until its reader comes, unless that is never."""
        lane = self._lanes[place[0]]
        with self._changed:
            self._running -= 1
            if self._awaited == place:
                self._awaited = None
            if isinstance(outcome, Fetched):
                self._read_bytes += outcome.size
                self._read_results += 1
            if not self._is_pointless(place):
                lane.outcomes[place] = outcome
                if isinstance(outcome, Fetched):
                    self._held += outcome.size
                elif isinstance(outcome, Parts):
                    for number, job in enumerate(outcome.jobs):
                        heapq.heappush(self._waiting, ((*place, number), job))
                else:
                    lane.end = place
            self._changed.notify_all()

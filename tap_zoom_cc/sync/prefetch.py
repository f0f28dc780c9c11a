"""Reads jobs side by side in threads and hands their results over strictly in order.

Knows nothing of Zoom. Jobs come in lanes (one per account); `Prefetcher.results` walks through one
lane. A job may turn out to be too large: its parts then take its place. How far the threads run
ahead of the reader is bounded by their number and by the bytes that wait to be handed over.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Job = TypeVar("Job")
Job_co = TypeVar("Job_co", covariant=True)
Result = TypeVar("Result")

WAITING, RUNNING, DONE = range(3)

PLACE_LENGTH = 2
"""The position of the lane and the number in it; those of parts follow."""

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


@dataclass(slots=True, eq=False)
class _Slot(Generic[Job, Result]):
    job: Job
    lane: str
    place: tuple[int, ...]
    state: int = WAITING
    fetched: Fetched[Result] | None = None
    parts: list[_Slot[Job, Result]] = field(default_factory=list)
    error: Exception | None = None

    @property
    def is_part(self) -> bool:
        return len(self.place) > PLACE_LENGTH


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
        self._lanes = dict(lanes)
        self._slots: dict[tuple[str, int], _Slot[Job, Result]] = {}
        self._places = (
            (lane, position, number)
            for position, (lane, jobs) in enumerate(lanes.items())
            for number in range(len(jobs))
        )
        # A heap by place: parts of a later job must not overtake those of an earlier one. Of the
        # jobs that were given, only the first that nobody has taken yet lies in it.
        self._waiting: list[tuple[tuple[int, ...], _Slot[Job, Result]]] = []
        self._dropped: set[str] = set()
        self._positions = {lane: position for position, lane in enumerate(lanes)}
        self._failed_at: dict[str, tuple[int, ...]] = {}
        self._running = 0
        self._held: Counter[str] = Counter()
        self._fetched_sizes = 0
        self._fetched_count = 0
        self._awaited: _Slot[Job, Result] | None = None
        self._closed = False
        self._bring_next()
        for number in range(workers):
            threading.Thread(target=self._work, name=f"fetch-{number + 1}", daemon=True).start()

    def results(self, lane: str, while_waiting: Callable[[], None]) -> Iterator[Result]:
        """Yield the results of a lane in order; each is let go of when the next is asked for.

        Args:
            lane: the lane to walk through.
            while_waiting: called about twice a second while there is nothing to hand over; what it
                raises ends the walk.

        Raises:
            Exception: what ``read`` raised for a job, at that job's place.
        """
        for number in range(len(self._lanes.get(lane, ()))):
            with self._changed:
                if lane not in self._lanes:
                    return
                slot = self._slot(lane, number)
            yield from self._walk(slot, while_waiting)
            with self._changed:
                self._slots.pop((lane, number), None)

    def _slot(self, lane: str, number: int) -> _Slot[Job, Result]:
        """Return the slot of a job that was given; made when worker or reader first needs it."""
        if (lane, number) not in self._slots:
            job = self._lanes[lane][number]
            self._slots[lane, number] = _Slot(job, lane, (self._positions[lane], number))
        return self._slots[lane, number]

    def _bring_next(self) -> None:
        """Let the next of the jobs that were given wait to be read."""
        for lane, _, number in self._places:
            if lane not in self._dropped and lane not in self._failed_at:
                slot = self._slot(lane, number)
                heapq.heappush(self._waiting, (slot.place, slot))
                return

    def _pop(self) -> _Slot[Job, Result]:
        """Take the first job that waits."""
        _, slot = heapq.heappop(self._waiting)
        if not slot.is_part:
            self._bring_next()
        return slot

    def _walk(
        self, slot: _Slot[Job, Result], while_waiting: Callable[[], None]
    ) -> Iterator[Result]:
        self._wait_for(slot, while_waiting)
        if slot.error is not None:
            raise slot.error
        for part in slot.parts:
            yield from self._walk(part, while_waiting)
        slot.parts.clear()
        if slot.fetched is not None:
            yield slot.fetched.result
            self._release(slot)

    def _wait_for(self, slot: _Slot[Job, Result], while_waiting: Callable[[], None]) -> None:
        due = time.monotonic() + SECONDS_BETWEEN_CALLS
        while True:
            with self._changed:
                if slot.state == DONE:
                    self._awaited = None
                    return
                self._awaited = slot
                self._changed.notify_all()
                self._changed.wait(timeout=SECONDS_BETWEEN_CALLS)
            if time.monotonic() >= due:
                while_waiting()
                due = time.monotonic() + SECONDS_BETWEEN_CALLS

    def _release(self, slot: _Slot[Job, Result]) -> None:
        with self._changed:
            if slot.fetched is not None:
                self._held[slot.lane] -= slot.fetched.size
                slot.fetched = None
            self._changed.notify_all()

    def drop(self, lane: str) -> None:
        """Read nothing more of a lane, and hold nothing of it."""
        with self._changed:
            self._dropped.add(lane)
            for number in range(len(self._lanes.pop(lane, ()))):
                self._slots.pop((lane, number), None)
            self._held.pop(lane, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Let the threads end after what they are doing, and hold nothing any more."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._slots.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while (slot := self._next()) is not None:
            self._process(slot)

    def _process(self, slot: _Slot[Job, Result]) -> None:
        """Read a job.

        It is a method of its own so that its variables are gone when the thread waits for the
        next job: they would keep a window's rows in memory.
        """
        fetched: Fetched[Result] | None = None
        parts: list[_Slot[Job, Result]] = []
        error: Exception | None = None
        try:
            outcome = self._read(slot.job, lambda: not self._is_pointless(slot))
            if isinstance(outcome, Parts):
                parts = [
                    _Slot(job, slot.lane, (*slot.place, number))
                    for number, job in enumerate(outcome.jobs)
                ]
            else:
                fetched = outcome
        except Exception as raised:  # noqa: BLE001 (raised again in the reader's thread)
            error = raised
        self._finish(slot, fetched, parts, error)

    def _next(self) -> _Slot[Job, Result] | None:
        """Wait for the next job that may be read; None when there will be no more."""
        with self._changed:
            while True:
                while self._waiting and self._is_pointless(self._waiting[0][1]):
                    self._pop()
                if self._closed or not (self._waiting or self._running):
                    self._changed.notify_all()
                    return None
                is_first = not self._running
                if self._waiting and self._has_room() and (is_first or self._may_run_ahead()):
                    slot = self._pop()
                    slot.state = RUNNING
                    self._running += 1
                    return slot
                self._changed.wait()

    def _is_pointless(self, slot: _Slot[Job, Result]) -> bool:
        """Say whether the reader will never ask for a job: it ends a lane at its first error."""
        failed_at = self._failed_at.get(slot.lane)
        is_behind_failure = failed_at is not None and slot.place > failed_at
        return self._closed or slot.lane in self._dropped or is_behind_failure

    def _has_room(self) -> bool:
        # What the reader waits for is first in order: without this it could wait for ever.
        if self._awaited is not None and self._awaited.state != DONE and not self._running:
            return True
        size = self._assumed_size
        if self._fetched_count:
            size = self._fetched_sizes // self._fetched_count
        return self._held.total() + (self._running + 1) * size <= self._capacity

    def _finish(
        self,
        slot: _Slot[Job, Result],
        fetched: Fetched[Result] | None,
        parts: list[_Slot[Job, Result]],
        error: Exception | None,
    ) -> None:
        with self._changed:
            self._running -= 1
            slot.parts, slot.error, slot.state = parts, error, DONE
            if error is not None:
                failed_at = self._failed_at.get(slot.lane, slot.place)
                self._failed_at[slot.lane] = min(failed_at, slot.place)
            if fetched is not None:
                self._fetched_sizes += fetched.size
                self._fetched_count += 1
            if fetched is not None and slot.lane not in self._dropped and not self._closed:
                slot.fetched = fetched
                self._held[slot.lane] += fetched.size
            if not self._closed:
                for part in parts:
                    heapq.heappush(self._waiting, (part.place, part))
            self._changed.notify_all()

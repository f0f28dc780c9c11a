"""Jobs run side by side come out in order, bounded in memory, and never block each other."""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_zoom_cc.sync.prefetch import Fetched, Parts, Prefetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Job = tuple[int, ...]
"""A job of these tests: its number, then the number of the part, and so on."""

MANY = 10**9
PATIENCE_SECONDS = 30


class ReadError(Exception):
    """What a job of these tests fails with."""


class Rows:
    """A result of which one can tell whether it still exists."""

    def __init__(self, made: list[weakref.ref[Rows]]) -> None:
        """Be one of those that were made."""
        made.append(weakref.ref(self))


def prefetcher(
    read: Callable[[Job], Fetched[Job] | Parts[Job]],
    lanes: Mapping[str, Sequence[Job]],
    workers: int = 4,
    capacity: int = MANY,
    assumed_size: int = 0,
) -> Prefetcher[Job, Job]:
    return Prefetcher(
        lambda job, _: read(job),
        lanes,
        workers=workers,
        capacity=capacity,
        assumed_size=assumed_size,
    )


def jobs(*numbers: int) -> list[Job]:
    return [(number,) for number in numbers]


def many(number: int) -> list[Job]:
    return jobs(*range(number))


def waited_for(event: threading.Event) -> None:
    assert event.wait(PATIENCE_SECONDS), "another thread does not do what is waited for"


def results_of(reader: Prefetcher[Job, Job], lane: str) -> list[Job]:
    """Return all results of a lane; a wait that would be for ever is a failure."""
    calls = []

    def give_up() -> None:
        calls.append(1)
        assert len(calls) < PATIENCE_SECONDS * 2, "nobody works on what the reader waits for"

    return list(reader.results(lane, give_up))


@contextmanager
def threads_that_end() -> Iterator[None]:
    """See that the threads that are started in this block end soon after it."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 12), min_size=1),
    st.integers(1, 8),
    st.sampled_from([0, 1, 25, MANY]),
)
def test_results_come_in_order_whatever_is_read_first_or_split(
    lengths: dict[str, int],
    workers: int,
    capacity: int,
) -> None:
    """With any capacity: no room at all must not keep the reader waiting. A lane may be empty."""
    splitting = {number for number in range(12) if number % 3 == 0}

    def read(job: Job) -> Fetched[Job] | Parts[Job]:
        if len(job) < 4 and job[-1] in splitting:
            return Parts([(*job, part) for part in range(3)])
        return Fetched(job, 10)

    def leaves(job: Job) -> list[Job]:
        outcome = read(job)
        if isinstance(outcome, Fetched):
            return [job]
        return [leaf for part in outcome.jobs for leaf in leaves(part)]

    lanes = {lane: many(length) for lane, length in lengths.items()}
    reader = prefetcher(read, lanes, workers, capacity)
    for lane, lane_jobs in lanes.items():
        expected = [leaf for job in lane_jobs for leaf in leaves(job)]
        assert results_of(reader, lane) == expected
    reader.close()


def test_parts_of_a_later_job_do_not_overtake_those_of_an_earlier_one() -> None:
    both_are_read = threading.Barrier(2, timeout=PATIENCE_SECONDS)
    first_is_split, may_end = threading.Event(), threading.Event()
    started: list[Job] = []
    begun = threading.Semaphore(0)

    def read(job: Job) -> Fetched[Job] | Parts[Job]:
        if len(job) == 1:
            both_are_read.wait()
            if job == (1,):
                waited_for(first_is_split)
            return Parts([(*job, part) for part in range(3)])
        started.append(job)
        first_is_split.set()
        begun.release()
        waited_for(may_end)
        return Fetched(job, 1)

    reader = prefetcher(read, {"lane": many(2)}, workers=2)
    for _ in range(2):
        assert begun.acquire(timeout=PATIENCE_SECONDS)
    assert started[:2] == [(0, 0), (0, 1)]
    may_end.set()
    reader.close()


def test_an_error_comes_at_the_place_of_its_job_and_after_what_is_before_it() -> None:
    def read(job: Job) -> Fetched[Job] | Parts[Job]:
        if job == (2,):
            return Parts([(2, 0), (2, 1)])
        if job == (2, 1):
            raise ReadError
        return Fetched(job, 1)

    reader = prefetcher(read, {"sick": many(5), "well": many(2)})
    results = reader.results("sick", lambda: None)
    assert [next(results) for _ in range(3)] == [(0,), (1,), (2, 0)]
    with pytest.raises(ReadError):
        next(results)
    reader.drop("sick")
    assert results_of(reader, "well") == many(2)


def test_what_waits_to_be_read_is_bounded() -> None:
    started: list[Job] = []
    lock = threading.Lock()

    def read(job: Job) -> Fetched[Job]:
        with lock:
            started.append(job)
        return Fetched(job, 10)

    workers, capacity = 2, 50
    reader = prefetcher(read, {"lane": many(200)}, workers, capacity)
    for handed_over, _ in enumerate(reader.results("lane", lambda: None), start=1):
        with lock:
            ahead = len(started) - handed_over
        # The one at hand is still held; before any size is known every worker may start one.
        assert ahead <= capacity // 10 + workers
    assert len(started) == 200


def test_what_was_handed_over_is_let_go_of_while_the_threads_wait() -> None:
    """Each thread's last result, kept until its next one, is a multiple of the capacity."""
    last_may_end = threading.Event()
    made: list[weakref.ref[Rows]] = []

    def read(job: Job, _: Callable[[], bool]) -> Fetched[Rows]:
        if job == (8,):
            waited_for(last_may_end)
        return Fetched(Rows(made), 1)

    reader = Prefetcher(read, {"first": many(8), "last": jobs(8)}, workers=4, capacity=MANY)
    for rows in reader.results("first", lambda: None):
        del rows
    assert [result() for result in made] == [None] * 8
    last_may_end.set()


def test_an_error_holds_nothing_of_what_was_read_before_it() -> None:
    made: list[weakref.ref[Rows]] = []

    def read(_: Job) -> Fetched[Job]:
        rows = Rows(made)
        raise ReadError(str(rows))

    results = prefetcher(read, {"sick": many(1)}).results("sick", lambda: None)
    with pytest.raises(ReadError):
        next(results)
    assert made[0]() is None


def test_parts_are_read_before_what_comes_after_them() -> None:
    order: list[Job] = []

    def read(job: Job) -> Fetched[Job] | Parts[Job]:
        order.append(job)
        if job in {(0,), (0, 1)}:
            return Parts([(*job, part) for part in range(2)])
        return Fetched(job, 1)

    results = results_of(prefetcher(read, {"lane": many(3)}, workers=1), "lane")
    assert order == [(0,), (0, 0), (0, 1), (0, 1, 0), (0, 1, 1), (1,), (2,)]
    assert results == [(0, 0), (0, 1, 0), (0, 1, 1), (1,), (2,)]


def test_nothing_more_is_read_of_a_lane_that_was_dropped() -> None:
    read_jobs: list[Job] = []
    may_go_on = threading.Event()

    def read(job: Job) -> Fetched[Job]:
        read_jobs.append(job)
        if job == (0,):
            waited_for(may_go_on)
        return Fetched(job, 1)

    well = jobs(100, 101, 102)
    reader = prefetcher(read, {"sick": many(50), "well": well}, workers=1)
    reader.drop("sick")
    may_go_on.set()
    assert results_of(reader, "well") == well
    assert len(read_jobs) <= 1 + len(well)
    assert results_of(reader, "sick") == []


def test_a_reader_that_is_told_to_stop_while_it_waits_stops() -> None:
    may_end = threading.Event()

    def read(job: Job) -> Fetched[Job]:
        waited_for(may_end)
        return Fetched(job, 1)

    def stop() -> None:
        raise ReadError

    reader = prefetcher(read, {"lane": many(1)})
    with pytest.raises(ReadError):
        next(iter(reader.results("lane", stop)))
    may_end.set()
    reader.close()


def test_workers_end_when_there_is_nothing_left() -> None:
    with threads_that_end():
        reader = prefetcher(lambda job: Fetched(job, 1), {"lane": many(20)}, workers=5)
        assert results_of(reader, "lane") == many(20)


def test_a_job_that_is_being_read_is_told_when_nobody_will_ask_for_it() -> None:
    """It may wait between its tries for minutes, at the expense of all others."""
    told: dict[Job, bool] = {}
    turns = threading.Semaphore(0)
    may_fail, may_end = threading.Event(), threading.Event()

    def read(job: Job, is_wanted: Callable[[], bool]) -> Fetched[Job]:
        if job == (0,):
            waited_for(may_fail)
            raise ReadError
        assert is_wanted()
        turns.release()
        waited_for(may_end)
        told[job] = is_wanted()
        turns.release()
        return Fetched(job, 1)

    lanes = {"sick": many(2), "dropped": jobs(10), "sound": jobs(20)}
    reader = Prefetcher(read, lanes, workers=4, capacity=MANY)
    for _ in range(3):
        assert turns.acquire(timeout=PATIENCE_SECONDS)
    reader.drop("dropped")
    may_fail.set()
    with pytest.raises(ReadError):
        results_of(reader, "sick")
    may_end.set()
    for _ in range(3):
        assert turns.acquire(timeout=PATIENCE_SECONDS)
    assert told == {(1,): False, (10,): False, (20,): True}


def test_threads_that_wait_for_room_end_and_nothing_is_held_when_no_more_is_wanted() -> None:
    made: list[weakref.ref[Rows]] = []

    def read(_: Job, __: Callable[[], bool]) -> Fetched[Rows]:
        return Fetched(Rows(made), 10)

    with threads_that_end():
        reader = Prefetcher(read, {"lane": many(9)}, workers=2, capacity=20, assumed_size=10)
        next(iter(reader.results("lane", lambda: None)))
        reader.close()
    assert 0 < len(made) < 9
    assert [result() for result in made] == [None] * len(made)


def test_what_is_being_read_when_no_more_is_wanted_is_told_and_not_kept() -> None:
    """Its parts are not read either."""
    made: list[weakref.ref[Rows]] = []
    told: dict[Job, bool] = {}
    turns = threading.Semaphore(0)
    may_end = threading.Event()

    def read(job: Job, is_wanted: Callable[[], bool]) -> Fetched[Rows] | Parts[Job]:
        turns.release()
        waited_for(may_end)
        told[job] = is_wanted()
        return Parts([(0, 0), (0, 1)]) if job == (0,) else Fetched(Rows(made), 1)

    with threads_that_end():
        reader = Prefetcher(read, {"lane": many(3)}, workers=2, capacity=MANY)
        for _ in range(2):
            assert turns.acquire(timeout=PATIENCE_SECONDS)
        reader.close()
        may_end.set()
    assert told == {(0,): False, (1,): False}
    assert [result() for result in made] == [None]


# Room


def read_together(*numbers: int) -> Callable[[Job], Fetched[Job]]:
    """Return what reads two of these jobs only side by side, and others alone; each has 10 bytes.

    A job that has to wait for room is not read beside another one.
    """
    together = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def read(job: Job) -> Fetched[Job]:
        if job[0] in numbers:
            together.wait()
        return Fetched(job, 10)

    return read


def test_what_was_handed_over_leaves_its_room_to_what_follows() -> None:
    """Else, once the capacity has been handed over, one job after the other would be read."""
    reader = prefetcher(read_together(8, 9), {"lane": many(10)}, workers=2, capacity=40)
    assert results_of(reader, "lane") == many(10)


def test_a_lane_that_fails_leaves_no_room_taken() -> None:
    """What was read behind the failure is let go of, or later lanes would be read one by one."""
    behind = threading.Event()
    read_others = read_together(11, 12)

    def read(job: Job) -> Fetched[Job]:
        if job == (0,):
            waited_for(behind)
            raise ReadError
        if job == (10,):
            # The same thread has read and kept (1,). From now on a job counts for 30 bytes.
            behind.set()
            return Fetched(job, 50)
        return read_others(job)

    sound = jobs(10, 11, 12)
    lanes = {"sick": many(2), "sound": sound}
    reader = prefetcher(read, lanes, workers=2, capacity=60, assumed_size=10)
    with pytest.raises(ReadError):
        results_of(reader, "sick")
    reader.drop("sick")
    assert results_of(reader, "sound") == sound


def test_what_is_still_being_read_of_a_lane_that_was_dropped_takes_no_room() -> None:
    may_end = threading.Event()
    read_others = read_together(10, 11)

    def read(job: Job) -> Fetched[Job]:
        if job == (0,):
            waited_for(may_end)
        return read_others(job)

    lanes = {"dropped": many(1), "sound": jobs(10, 11)}
    reader = prefetcher(read, lanes, workers=2, capacity=20, assumed_size=10)
    reader.drop("dropped")
    may_end.set()
    assert results_of(reader, "sound") == jobs(10, 11)


def test_jobs_are_made_when_they_are_needed() -> None:
    made = []

    def lane() -> Iterator[Job]:
        for number in range(MANY):
            made.append(number)
            yield (number,)

    reading = Prefetcher(
        lambda job, _: Fetched(job, 1), {"a": lane(), "b": lane()}, workers=4, capacity=10
    )
    results = reading.results("a", lambda: None)
    assert [next(results) for _ in range(50)] == [(number,) for number in range(50)]
    reading.close()
    assert len(made) < 100

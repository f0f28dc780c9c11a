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
    from collections.abc import Callable, Iterator

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


def jobs(*numbers: int) -> list[Job]:
    return [(number,) for number in numbers]


def many(number: int) -> list[Job]:
    return jobs(*range(number))


def turns_of(threads: int) -> threading.Barrier:
    """Return where so many threads wait for each other; the test's own is one of them."""
    return threading.Barrier(threads, timeout=PATIENCE_SECONDS)


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


# In order


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 12), min_size=1),
    st.integers(1, 8),
    st.sampled_from([0, 1, 25, MANY]),
)
def test_results_come_in_order_whatever_is_read_first_or_split(
    lengths: dict[str, int], workers: int, capacity: int
) -> None:
    """With any capacity: no room at all must not keep the reader waiting. A lane may be empty."""

    def read(job: Job) -> Fetched[Job] | Parts[Job]:
        if len(job) < 4 and job[-1] % 3 == 0:
            return Parts([(*job, part) for part in range(3)])
        return Fetched(job, 10)

    def leaves(job: Job) -> list[Job]:
        outcome = read(job)
        if isinstance(outcome, Fetched):
            return [job]
        return [leaf for part in outcome.jobs for leaf in leaves(part)]

    lanes = {lane: many(length) for lane, length in lengths.items()}
    with threads_that_end():
        reader = Prefetcher(lambda job, _: read(job), lanes, workers=workers, capacity=capacity)
        for lane, lane_jobs in lanes.items():
            expected = [leaf for job in lane_jobs for leaf in leaves(job)]
            assert results_of(reader, lane) == expected


def test_parts_are_read_before_those_of_a_later_job_and_before_what_comes_after() -> None:
    both_are_read, turn = turns_of(2), turns_of(3)
    first_is_split = threading.Event()
    started: list[Job] = []

    def read(job: Job, _: object) -> Fetched[Job] | Parts[Job]:
        if job in many(2):
            both_are_read.wait()
            if job == (1,):
                waited_for(first_is_split)
            return Parts([(*job, part) for part in range(3)])
        started.append(job)
        first_is_split.set()
        turn.wait()
        turn.wait()
        return Fetched(job, 1)

    reader = Prefetcher(read, {"lane": many(3)}, workers=2, capacity=MANY)
    turn.wait()
    assert started == [(0, 0), (0, 1)]
    reader.close()
    turn.wait()


def test_an_error_comes_at_the_place_of_its_job_and_after_what_is_before_it() -> None:
    def read(job: Job, _: object) -> Fetched[Job] | Parts[Job]:
        if job == (2,):
            return Parts([(2, 0), (2, 1)])
        if job == (2, 1):
            raise ReadError
        return Fetched(job, 1)

    reader = Prefetcher(read, {"sick": many(5), "well": many(2)}, workers=4, capacity=MANY)
    results = reader.results("sick", lambda: None)
    assert [next(results) for _ in range(3)] == [(0,), (1,), (2, 0)]
    with pytest.raises(ReadError):
        next(results)
    reader.drop("sick")
    assert results_of(reader, "well") == many(2)


# Bounded


def test_jobs_are_made_and_read_no_further_ahead_than_there_is_room() -> None:
    made = []

    def lane() -> Iterator[Job]:
        for number in range(MANY):
            made.append(number)
            yield (number,)

    def read(job: Job, _: object) -> Fetched[Job]:
        return Fetched(job, 10)

    reader = Prefetcher(read, {"a": lane(), "b": lane()}, workers=2, capacity=50)
    results = reader.results("a", lambda: None)
    for number in range(200):
        assert next(results) == (number,)
        # The one at hand, what may wait, one of each worker before a size is known, and the next.
        assert len(made) <= number + 1 + 50 // 10 + 2 + 1
    reader.close()


def test_what_was_handed_over_is_let_go_of_while_the_threads_wait() -> None:
    """Each thread's last result, kept until its next one, is a multiple of the capacity."""
    last_may_end = threading.Event()
    made: list[weakref.ref[Rows]] = []

    def read(job: Job, _: object) -> Fetched[Rows]:
        if job == (8,):
            waited_for(last_may_end)
        return Fetched(Rows(made), 1)

    reader = Prefetcher(read, {"first": many(8), "last": jobs(8)}, workers=4, capacity=MANY)
    for rows in reader.results("first", lambda: None):
        del rows
    assert [result() for result in made] == [None] * 8
    last_may_end.set()


def test_what_was_handed_over_leaves_its_room_to_what_follows() -> None:
    """Else, once the capacity has been handed over, one job after the other would be read."""
    together = turns_of(2)

    def read(job: Job, _: object) -> Fetched[Job]:
        if job in jobs(8, 9):
            together.wait()
        return Fetched(job, 10)

    reader = Prefetcher(read, {"lane": many(10)}, workers=2, capacity=40)
    assert results_of(reader, "lane") == many(10)


def test_an_error_holds_nothing_of_what_was_read_before_it() -> None:
    made: list[weakref.ref[Rows]] = []

    def read(_: Job, __: object) -> Fetched[Job]:
        rows = Rows(made)
        raise ReadError(str(rows))

    reader = Prefetcher(read, {"sick": many(1)}, workers=1, capacity=MANY)
    with pytest.raises(ReadError):
        next(reader.results("sick", lambda: None))
    assert made[0]() is None


def test_a_lane_that_fails_leaves_no_room_taken() -> None:
    """What was read behind the failure is let go of, or later lanes would be read one by one."""
    behind, together = threading.Event(), turns_of(2)

    def read(job: Job, _: object) -> Fetched[Job]:
        if job == (0,):
            waited_for(behind)
            raise ReadError
        if job == (10,):
            # The same thread has read and kept (1,). From now on a job counts for 30 bytes.
            behind.set()
            return Fetched(job, 50)
        if job in jobs(11, 12):
            together.wait()
        return Fetched(job, 10)

    lanes = {"sick": many(2), "sound": jobs(10, 11, 12)}
    reader = Prefetcher(read, lanes, workers=2, capacity=60, assumed_size=10)
    with pytest.raises(ReadError):
        results_of(reader, "sick")
    reader.drop("sick")
    assert results_of(reader, "sound") == jobs(10, 11, 12)


# What nobody will ask for


def test_nothing_more_is_read_of_a_lane_that_was_dropped_and_it_takes_no_room() -> None:
    turn, together = turns_of(3), turns_of(2)
    started: list[Job] = []

    def read(job: Job, _: object) -> Fetched[Job]:
        started.append(job)
        if job in many(2):
            turn.wait()
            turn.wait()
        else:
            together.wait()
        return Fetched(job, 10)

    sound = jobs(100, 101)
    lanes = {"dropped": many(50), "sound": sound}
    reader = Prefetcher(read, lanes, workers=2, capacity=20, assumed_size=10)
    turn.wait()
    reader.drop("dropped")
    turn.wait()
    assert results_of(reader, "sound") == sound
    assert sorted(started) == many(2) + sound
    assert results_of(reader, "dropped") == []


def test_a_reader_that_is_told_to_stop_while_it_waits_stops() -> None:
    may_end = threading.Event()

    def read(job: Job, _: object) -> Fetched[Job]:
        waited_for(may_end)
        return Fetched(job, 1)

    def stop() -> None:
        raise ReadError

    reader = Prefetcher(read, {"lane": many(1)}, workers=1, capacity=MANY)
    with pytest.raises(ReadError):
        next(reader.results("lane", stop))
    may_end.set()


def test_a_job_that_is_being_read_is_told_when_nobody_will_ask_for_it() -> None:
    """It may wait between its tries for minutes, at the expense of all others."""
    told: dict[Job, bool] = {}
    turn = turns_of(4)
    may_fail = threading.Event()

    def read(job: Job, is_wanted: Callable[[], bool]) -> Fetched[Job]:
        if job == (0,):
            waited_for(may_fail)
            raise ReadError
        assert is_wanted()
        turn.wait()
        turn.wait()
        told[job] = is_wanted()
        turn.wait()
        return Fetched(job, 1)

    lanes = {"sick": many(2), "dropped": jobs(10), "sound": jobs(20)}
    reader = Prefetcher(read, lanes, workers=4, capacity=MANY)
    turn.wait()
    reader.drop("dropped")
    may_fail.set()
    with pytest.raises(ReadError):
        results_of(reader, "sick")
    turn.wait()
    turn.wait()
    assert told == {(1,): False, (10,): False, (20,): True}


def test_when_no_more_is_wanted_all_threads_end_and_nothing_is_held() -> None:
    """The third one waits for room then; two read jobs, the parts of which are not read."""
    made: list[weakref.ref[Rows]] = []
    turn = turns_of(3)

    def read(job: Job, _: object) -> Fetched[Rows] | Parts[Job]:
        if job != (0,):
            turn.wait()
            turn.wait()
        return Parts([(1, 0)]) if job == (1,) else Fetched(Rows(made), 10)

    with threads_that_end():
        reader = Prefetcher(read, {"lane": many(9)}, workers=3, capacity=30, assumed_size=10)
        next(iter(reader.results("lane", lambda: None)))
        turn.wait()
        reader.close()
        turn.wait()
    assert [result() for result in made] == [None] * 2

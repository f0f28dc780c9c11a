"""Jobs run side by side come out in order, bounded in memory, and never block each other."""

from __future__ import annotations

import threading
import weakref
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


def nothing() -> None:
    """Wait for the next result without doing anything."""


def prefetcher(
    read: Callable[[Job], Fetched[Job] | Parts[Job]],
    lanes: Mapping[str, Sequence[Job]],
    workers: int = 4,
    capacity: int = MANY,
) -> Prefetcher[Job, Job]:
    return Prefetcher(lambda job, _: read(job), lanes, workers=workers, capacity=capacity)


def jobs(number: int) -> list[Job]:
    return [(n,) for n in range(number)]


def give_up_after(seconds: int) -> Callable[[], None]:
    """Return what a reader calls while it waits: it ends a wait that would be for ever."""
    calls = []

    def check() -> None:
        calls.append(1)
        assert len(calls) < seconds * 2, "nobody works on what the reader waits for"

    return check


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
    """With any capacity: no room at all must not keep the reader waiting."""
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

    lanes = {lane: jobs(length) for lane, length in lengths.items()}
    reader = prefetcher(read, lanes, workers, capacity)
    for lane, lane_jobs in lanes.items():
        expected = [leaf for job in lane_jobs for leaf in leaves(job)]
        assert list(reader.results(lane, give_up_after(PATIENCE_SECONDS))) == expected
    reader.close()


def test_parts_of_a_later_job_do_not_overtake_those_of_an_earlier_one() -> None:
    both_are_read = threading.Barrier(2)
    first_is_split = threading.Event()
    may_end = threading.Event()
    started: list[Job] = []
    two_started = threading.Event()

    def read(job: Job) -> Fetched[Job] | Parts[Job]:
        if len(job) == 1:
            both_are_read.wait(PATIENCE_SECONDS)
            if job == (1,):
                assert first_is_split.wait(PATIENCE_SECONDS)
            return Parts([(*job, part) for part in range(3)])
        started.append(job)
        if len(started) == 1:
            first_is_split.set()
        else:
            two_started.set()
        assert may_end.wait(PATIENCE_SECONDS)
        return Fetched(job, 1)

    reader = prefetcher(read, {"lane": jobs(2)}, workers=2)
    assert two_started.wait(PATIENCE_SECONDS)
    may_end.set()
    assert started[:2] == [(0, 0), (0, 1)]
    reader.close()


def test_a_result_that_is_late_does_not_let_others_overtake() -> None:
    first_may_end = threading.Event()
    others_done = threading.Semaphore(0)

    def read(job: Job) -> Fetched[Job]:
        if job == (0,):
            assert first_may_end.wait(PATIENCE_SECONDS)
        else:
            others_done.release()
        return Fetched(job, 1)

    reader = prefetcher(read, {"lane": jobs(4)})
    for _ in range(3):
        assert others_done.acquire(timeout=PATIENCE_SECONDS), "jobs do not run side by side"
    first_may_end.set()
    assert list(reader.results("lane", nothing)) == jobs(4)


def test_an_error_comes_at_the_place_of_its_job_and_after_what_is_before_it() -> None:
    def read(job: Job) -> Fetched[Job] | Parts[Job]:
        if job == (2,):
            return Parts([(2, 0), (2, 1)])
        if job == (2, 1):
            raise ReadError
        return Fetched(job, 1)

    reader = prefetcher(read, {"sick": jobs(5), "well": jobs(2)})
    results = reader.results("sick", nothing)
    assert [next(results) for _ in range(3)] == [(0,), (1,), (2, 0)]
    with pytest.raises(ReadError):
        next(results)
    reader.drop("sick")
    assert list(reader.results("well", nothing)) == jobs(2)


def test_what_waits_to_be_read_is_bounded() -> None:
    started: list[Job] = []
    lock = threading.Lock()

    def read(job: Job) -> Fetched[Job]:
        with lock:
            started.append(job)
        return Fetched(job, 10)

    workers, capacity = 2, 50
    reader = prefetcher(read, {"lane": jobs(200)}, workers, capacity)
    for handed_over, _ in enumerate(reader.results("lane", nothing), start=1):
        with lock:
            ahead = len(started) - handed_over
        # The one at hand is still held; before any size is known every worker may start one.
        assert ahead <= capacity // 10 + workers
    assert len(started) == 200


def test_what_was_handed_over_is_let_go_of_while_the_threads_wait() -> None:
    """Each thread's last result, kept until its next one, is a multiple of the capacity."""

    class Rows:
        """A result of which one can tell whether it still exists."""

    last_may_end = threading.Event()
    results: list[weakref.ref[Rows]] = []

    def read(job: Job) -> Fetched[Rows]:
        if job == (8,):
            assert last_may_end.wait(PATIENCE_SECONDS)
        rows = Rows()
        results.append(weakref.ref(rows))
        return Fetched(rows, 1)

    lanes: dict[str, list[Job]] = {"first": jobs(8), "last": [(8,)]}
    reader = Prefetcher(lambda job, _: read(job), lanes, workers=4, capacity=MANY)
    for rows in reader.results("first", nothing):
        del rows
    assert [result() for result in results] == [None] * 8
    last_may_end.set()


def test_parts_are_read_before_what_comes_after_them() -> None:
    order: list[Job] = []

    def read(job: Job) -> Fetched[Job] | Parts[Job]:
        order.append(job)
        if job in {(0,), (0, 1)}:
            return Parts([(*job, part) for part in range(2)])
        return Fetched(job, 1)

    reader = prefetcher(read, {"lane": jobs(3)}, workers=1)
    results = list(reader.results("lane", nothing))
    assert order == [(0,), (0, 0), (0, 1), (0, 1, 0), (0, 1, 1), (1,), (2,)]
    assert results == [(0, 0), (0, 1, 0), (0, 1, 1), (1,), (2,)]


def test_parts_larger_than_the_capacity_do_not_stop_the_reader() -> None:
    def read(job: Job) -> Fetched[Job] | Parts[Job]:
        if len(job) < 3:
            return Parts([(*job, part) for part in range(4)])
        return Fetched(job, 1000)

    reader = prefetcher(read, {"one": jobs(3), "two": jobs(3)}, workers=3, capacity=1)
    for lane in ("one", "two"):
        assert len(list(reader.results(lane, give_up_after(PATIENCE_SECONDS)))) == 3 * 16


def test_nothing_more_is_read_of_a_lane_that_was_dropped() -> None:
    read_jobs: list[Job] = []
    may_go_on = threading.Event()

    def read(job: Job) -> Fetched[Job]:
        read_jobs.append(job)
        if job == (0, 0):
            assert may_go_on.wait(PATIENCE_SECONDS)
        return Fetched(job, 1)

    sick: list[Job] = [(0, number) for number in range(50)]
    well: list[Job] = [(1, number) for number in range(5)]
    reader = prefetcher(read, {"sick": sick, "well": well}, workers=1)
    reader.drop("sick")
    may_go_on.set()
    assert list(reader.results("well", nothing)) == well
    assert len([job for job in read_jobs if job[0] == 0]) <= 1
    assert list(reader.results("sick", nothing)) == []


def test_a_reader_that_is_told_to_stop_while_it_waits_stops() -> None:
    never = threading.Event()

    def read(job: Job) -> Fetched[Job]:
        never.wait(PATIENCE_SECONDS)
        return Fetched(job, 1)

    def stop() -> None:
        raise ReadError

    reader = prefetcher(read, {"lane": jobs(1)})
    with pytest.raises(ReadError):
        next(iter(reader.results("lane", stop)))
    never.set()
    reader.close()


def test_workers_end_when_there_is_nothing_left() -> None:
    before = set(threading.enumerate())
    reader = prefetcher(lambda job: Fetched(job, 1), {"lane": jobs(20)}, workers=5)
    workers = set(threading.enumerate()) - before
    assert list(reader.results("lane", nothing)) == jobs(20)
    for worker in workers:
        worker.join(PATIENCE_SECONDS)
        assert not worker.is_alive()


def test_a_job_that_is_being_read_is_told_when_nobody_will_ask_for_it() -> None:
    """It may wait between its tries for minutes, at the expense of all others."""
    told: dict[Job, bool] = {}
    turns = threading.Semaphore(0)
    may_fail, may_end = threading.Event(), threading.Event()

    def read(job: Job, is_wanted: Callable[[], bool]) -> Fetched[Job]:
        if job == (0,):
            assert may_fail.wait(PATIENCE_SECONDS)
            raise ReadError
        assert is_wanted()
        turns.release()
        assert may_end.wait(PATIENCE_SECONDS)
        told[job] = is_wanted()
        turns.release()
        return Fetched(job, 1)

    lanes: dict[str, list[Job]] = {"sick": jobs(2), "dropped": [(10,)], "sound": [(20,)]}
    reader = Prefetcher(read, lanes, workers=4, capacity=MANY)
    for _ in range(3):
        assert turns.acquire(timeout=PATIENCE_SECONDS)
    reader.drop("dropped")
    may_fail.set()
    with pytest.raises(ReadError):
        list(reader.results("sick", give_up_after(PATIENCE_SECONDS)))
    may_end.set()
    for _ in range(3):
        assert turns.acquire(timeout=PATIENCE_SECONDS)
    assert told == {(1,): False, (10,): False, (20,): True}


def test_threads_that_wait_for_room_end_and_nothing_is_held_when_no_more_is_wanted() -> None:
    class Rows:
        """A result of which one can tell whether it still exists."""

    results: list[weakref.ref[Rows]] = []

    def read(_: Job, __: Callable[[], bool]) -> Fetched[Rows]:
        rows = Rows()
        results.append(weakref.ref(rows))
        return Fetched(rows, 10)

    before = set(threading.enumerate())
    reader = Prefetcher(read, {"lane": jobs(9)}, workers=2, capacity=20, assumed_size=10)
    workers = set(threading.enumerate()) - before
    next(iter(reader.results("lane", nothing)))
    reader.close()
    for worker in workers:
        worker.join(PATIENCE_SECONDS)
        assert not worker.is_alive()
    assert 0 < len(results) < 9
    assert [result() for result in results] == [None] * len(results)


def test_what_is_being_read_when_no_more_is_wanted_is_told_and_not_kept() -> None:
    """Its parts are not read either."""

    class Rows:
        """A result of which one can tell whether it still exists."""

    results: list[weakref.ref[Rows]] = []
    told: dict[Job, bool] = {}
    turns = threading.Semaphore(0)
    may_end = threading.Event()

    def read(job: Job, is_wanted: Callable[[], bool]) -> Fetched[Rows] | Parts[Job]:
        turns.release()
        assert may_end.wait(PATIENCE_SECONDS)
        told[job] = is_wanted()
        if job == (0,):
            return Parts([(0, 0), (0, 1)])
        rows = Rows()
        results.append(weakref.ref(rows))
        return Fetched(rows, 1)

    before = set(threading.enumerate())
    reader = Prefetcher(read, {"lane": jobs(3)}, workers=2, capacity=MANY)
    workers = set(threading.enumerate()) - before
    for _ in workers:
        assert turns.acquire(timeout=PATIENCE_SECONDS)
    reader.close()
    may_end.set()
    for worker in workers:
        worker.join(PATIENCE_SECONDS)
        assert not worker.is_alive()
    assert told == {(0,): False, (1,): False}
    assert [result() for result in results] == [None]


def test_an_empty_lane_has_no_results() -> None:
    reader = prefetcher(lambda job: Fetched(job, 1), {"empty": []})
    assert list(reader.results("empty", nothing)) == []


def test_what_was_handed_over_leaves_its_room_to_what_follows() -> None:
    """Else, once the capacity has been handed over, one job after the other would be read."""
    together = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def read(job: Job) -> Fetched[Job]:
        if job[0] >= 8:
            together.wait()
        return Fetched(job, 10)

    reader = prefetcher(read, {"lane": jobs(10)}, workers=2, capacity=40)
    assert list(reader.results("lane", give_up_after(PATIENCE_SECONDS))) == jobs(10)


def test_a_lane_that_fails_leaves_no_room_taken() -> None:
    """What was read behind the failure is let go of, or later lanes would be read one by one."""
    behind = threading.Event()
    together = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def read(job: Job) -> Fetched[Job]:
        if job == (0,):
            assert behind.wait(PATIENCE_SECONDS)
            raise ReadError
        if job == (10,):
            # The same thread has read and kept (1,). From now on a job counts for 30 bytes.
            behind.set()
            return Fetched(job, 50)
        if job[0] > 10:
            together.wait()
        return Fetched(job, 10)

    sound: list[Job] = [(10,), (11,), (12,)]
    lanes = {"sick": jobs(2), "sound": sound}
    reader = Prefetcher(lambda job, _: read(job), lanes, workers=2, capacity=60, assumed_size=10)
    with pytest.raises(ReadError):
        list(reader.results("sick", nothing))
    reader.drop("sick")
    assert list(reader.results("sound", give_up_after(PATIENCE_SECONDS))) == sound


def test_what_is_still_being_read_of_a_lane_that_was_dropped_takes_no_room() -> None:
    may_end = threading.Event()
    together = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def read(job: Job) -> Fetched[Job]:
        if job == (0,):
            assert may_end.wait(PATIENCE_SECONDS)
        else:
            together.wait()
        return Fetched(job, 10)

    sound: list[Job] = [(10,), (11,)]
    lanes = {"dropped": jobs(1), "sound": sound}
    reader = Prefetcher(lambda job, _: read(job), lanes, workers=2, capacity=20, assumed_size=10)
    reader.drop("dropped")
    may_end.set()
    assert list(reader.results("sound", give_up_after(PATIENCE_SECONDS))) == sound


def test_jobs_are_made_when_they_are_needed() -> None:
    made = []

    def lane() -> Iterator[Job]:
        for number in range(MANY):
            made.append(number)
            yield (number,)

    reading = Prefetcher(
        lambda job, _: Fetched(job, 1), {"a": lane(), "b": lane()}, workers=4, capacity=10
    )
    results = reading.results("a", nothing)
    assert [next(results) for _ in range(50)] == [(number,) for number in range(50)]
    reading.close()
    assert len(made) < 100

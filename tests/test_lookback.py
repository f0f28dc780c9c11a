"""Nothing that stays open for at most the lookback is lost, and it comes in time: pure, at random.

A `Play` is an account's stream over days or months: engagements of all lengths, a reading of what
Zoom leaves open, and syncs at random times that may end early or forget how far they came. It holds
the two promises of `tap_zoom_cc.sync.lookback` against every bookmark that is reached:

1. Every engagement that was open for at most the lookback is read.
2. It is read when a bookmark reaches its listing plus twice its length and the time until it was
   listed, at least 15 minutes. A clock that is wrong, or a range that Zoom shifts, count as time.

The long variant, ``pytest tests/test_lookback.py -m long``, plays new ones for an hour, or for as
many seconds as the environment variable `PROPERTY_SECONDS` says, and prints how much it played.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from random import Random

import pytest

from tap_zoom_cc.sync.lookback import (
    LATEST_LISTING,
    SHORTEST_STEP,
    Progress,
    advance,
    begin_of_reread,
    depth,
    phase_of,
)
from tap_zoom_cc.sync.windows import SECOND, WIDEST_ZONE, Cut, Window, whole_second

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
NONE, MINUTE, HOUR, DAY = (timedelta(minutes=n) for n in (0, 1, 60, 24 * 60))
VOICE_CALLS = 2 * DAY
"""The default of the setting."""

ENGAGEMENTS = 60
"""In each play."""


@dataclass(frozen=True, slots=True)
class Engagement:
    """One that ends ``end`` and is listed at ``listed``, both by Zoom's clock."""

    start: datetime
    end: datetime
    listed: datetime
    due: datetime
    """The bookmark that may not be reached before it is read."""


class Play:
    """A random history of an account's stream, and what a target has of it.

    Zoom shifts each range that is asked for: in an account's zone of UTC-8 it reads one that lies 8
    hours later. Engagements are not remembered once they are read: ``unread`` are still to come.
    """

    def __init__(self, seed: int) -> None:
        """Draw everything but the syncs' fates."""
        self.seed = seed
        self.random = random = Random(seed)
        self.selects_on = random.choice(["start", "end", "overlap"])
        self.to_inclusive = random.random() < 0.5
        self.shift = random.choice([0, 0, 0, 14, 12, 8, 3.5, -5.75, -12, -14]) * HOUR
        days = [0, 1 / 24, 0.3, 1, 2, 2.4999, 3, 14, 60 * random.random()]
        self.lookbacks = [day * DAY for day in random.choices(days, k=random.choice([1, 1, 2, 3]))]
        self.phase = phase_of(random.choice(["sms", "voice_calls"]), str(random.random()))
        self.latest_listing = random.choice([SECOND, MINUTE, HOUR])
        self.skew = (LATEST_LISTING - self.latest_listing) * random.choice([0, 0, 0, 1])
        self.longest_part = random.choice([HOUR, 10 * HOUR, 3 * DAY, 28 * DAY])
        self.cut_short = random.choice([0, 0.2, 0.9])
        self.state_lost = random.choice([0, 0.1, 0.5])
        self.end_dated = random.choice([0, 0, 0.3])
        self.moments = self._moments()
        self.start_date = whole_second(self.moments[0] - random.choice([0, 1, 30]) * DAY)
        self.unread = [self._engagement() for _ in range(ENGAGEMENTS)]
        self.progress: Progress | None = None

    def _moments(self) -> list[datetime]:
        """Draw when syncs begin: every few minutes, hourly, daily, or now so and then so."""
        random = self.random
        regular = [(MINUTE, 3 * MINUTE), (HOUR, HOUR), (HOUR, 5 * HOUR), (DAY, DAY)]
        pauses = random.sample([*regular, (SECOND, 20 * DAY)], random.choice([1, 1, 2, 5]))
        moments = [BEGIN + random.random() * 40 * DAY]
        for _ in range(random.choice([3, 30, 150])):
            shortest, longest = random.choice(pauses)
            moments.append(moments[-1] + shortest * (longest / shortest) ** random.random())
        return moments

    def _engagement(self) -> Engagement:
        """Draw one of at most the shortest lookback, often just so long, often at a sync's end."""
        random = self.random
        longest = min(self.lookbacks)
        anywhere = min(longest, SECOND * 2 ** (25 * random.random()))
        length = random.choice([NONE, longest, anywhere, longest * random.random()])
        length = length // SECOND * SECOND
        until_listed = random.choice([0, 1, random.random()]) * self.latest_listing
        start = self.start_date + random.random() * (self.moments[-1] + HOUR - self.start_date)
        if random.random() < 0.3:
            passed = random.choice([0, 1]) * length + random.choice([0, 1]) * until_listed
            start = random.choice(self.moments) - passed + random.choice([-1, 0, 1]) * SECOND
        start = max(whole_second(start), self.start_date)
        listed = start + length + until_listed
        later, earlier = max(self.shift, NONE), max(-self.shift, NONE)
        taken = length + until_listed + self.skew + later
        due = listed + self.skew + earlier + max(SHORTEST_STEP, 2 * taken)
        return Engagement(start, start + length, listed, due)

    def play(self) -> None:
        """Sync at each moment, and a last time without mishaps when everything is due.

        Raises:
            AssertionError: if an engagement is late or lost.
        """
        for moment in self.moments:
            self._sync(moment)
        self.cut_short = self.end_dated = 0
        due = max([self.moments[-1], *(engagement.due for engagement in self.unread)])
        self._sync(due + self.skew + MINUTE)
        assert not self.unread, f"seed {self.seed}: {self.unread[0]} is lost"

    def _selects(self, engagement: Engagement, window: Window) -> bool:
        """Say whether an engagement is in a window, whether it is listed or not."""
        begin, end = window.begin + self.shift, window.end + self.shift
        first = engagement.end if self.selects_on == "end" else engagement.start
        last = engagement.start if self.selects_on == "start" else engagement.end
        return begin <= last and (first <= end if self.to_inclusive else first < end)

    def _sync(self, moment: datetime) -> None:
        """Sync once, by a clock that may be fast; perhaps not to the present, nor remembered."""
        random = self.random
        before = self.progress
        end = moment + random.choice([0, 1]) * self.skew
        if random.random() < self.end_dated:
            end -= SECOND * 2 ** (22 * random.random())
        end = whole_second(end)
        begin = self.start_date - WIDEST_ZONE
        if before is not None:
            begin = begin_of_reread(
                before,
                end=end,
                lookback=random.choice(self.lookbacks),
                phase=self.phase,
                start_date=self.start_date,
            )
        windows = list(Cut(begin, end, longest=max(self.longest_part, (end - begin) / 100)))
        if random.random() < self.cut_short:
            windows = windows[: random.randint(0, 3)]
        remembered = len(windows)
        if random.random() < self.state_lost:
            remembered = random.randint(0, remembered)
        for number, window in enumerate(windows):
            self.unread = [
                engagement
                for engagement in self.unread
                if engagement.listed > moment or not self._selects(engagement, window)
            ]
            if number < remembered:
                self.progress = advance(self.progress, window, end=end)
            moment += random.random() * MINUTE
        if self.progress is not None:
            assert before is None or before.bookmark <= self.progress.bookmark
            for engagement in self.unread:
                assert engagement.due > self.progress.bookmark, (
                    f"seed {self.seed}: {engagement} is late at {self.progress}"
                )


@pytest.mark.parametrize("hundred", range(4))
def test_nothing_is_lost_and_all_comes_in_time(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * (hundred + 1)):
        Play(seed).play()


@pytest.mark.long
@pytest.mark.timeout(0)
def test_nothing_is_lost_and_all_comes_in_time_for_an_hour(
    capsys: pytest.CaptureFixture[str],
) -> None:
    end = time.monotonic() + float(os.environ.get("PROPERTY_SECONDS", "3600"))
    first = seed = int(os.environ.get("PROPERTY_SEED", str(time.time_ns())))
    syncs = 0
    while time.monotonic() < end:
        play = Play(seed)
        play.play()
        syncs += len(play.moments) + 1
        seed += 1
    engagements = (seed - first) * ENGAGEMENTS
    with capsys.disabled():
        sys.stdout.write(
            f"seeds {first} to {seed - 1}: {syncs:,} syncs, {engagements:,} engagements\n"
        )


# The depth


def at(text: str) -> datetime:
    """Read day, hour and minute, in days after the epoch."""
    days, clock = text.split()
    hours, minutes = map(int, clock.split(":"))
    return EPOCH + int(days) * DAY + hours * HOUR + minutes * MINUTE


def test_the_phase_is_frozen() -> None:
    """Never change these numbers: who passed a mark of the old phase will not look there again."""
    assert phase_of("sms", "abc") == 547_595_453 * SECOND
    assert phase_of("voice_calls", "aGi\u00f6L_x-7/=") == 332_312_233 * SECOND


@pytest.mark.parametrize(
    ("bookmark", "end", "begin"),
    [
        # 15 minutes, where no mark is passed, and 15 to 30 where one of 15 minutes is.
        ("02 09:01", "02 09:14", "02 08:46"),
        ("02 09:01", "02 09:15", "02 08:45"),
        # Hourly: 1 hour before the hour at or before the bookmark, at each second hour 2, 4, 8, …
        ("02 08:30", "02 09:30", "02 07:00"),
        ("02 09:30", "02 10:30", "02 06:00"),
        ("02 11:30", "02 12:30", "02 04:00"),
        # The step of 32 hours, and the longest of 64, which looks back by 48 + 15.
        ("03 23:30", "04 00:30", "01 08:00"),
        ("05 07:30", "05 08:30", "00 01:00"),
    ],
)
def test_the_depth_is_that_of_the_marks_on_a_ruler(bookmark: str, end: str, begin: str) -> None:
    for phase in (NONE, phase_of("sms", "abc")):
        found = depth(
            bookmark=at(bookmark) + phase, end=at(end) + phase, lookback=VOICE_CALLS, phase=phase
        )
        assert at(bookmark) - found == at(begin)


@pytest.mark.parametrize(
    ("lookback", "found"),
    [(NONE, 31 * HOUR), (HOUR, 32 * HOUR), (HOUR + SECOND, 48 * HOUR + SECOND)],
)
def test_the_longest_step_is_the_first_that_is_not_shorter_than_the_reach(
    lookback: timedelta, found: timedelta
) -> None:
    """The phase is a multiple of every step."""
    bookmark = EPOCH - SECOND
    assert depth(bookmark=bookmark, end=EPOCH, lookback=lookback, phase=NONE) == found - SECOND


def test_the_years_have_a_beginning_and_an_end() -> None:
    first = datetime.min.replace(tzinfo=UTC)
    last = datetime.max.replace(tzinfo=UTC, microsecond=0)
    for bookmark, start_date in ((first, first), (first + DAY, None), (last, first + HOUR)):
        begin = begin_of_reread(
            Progress(bookmark),
            end=last,
            lookback=3650 * DAY,
            phase=timedelta(seconds=2**32 - 1),
            start_date=start_date,
        )
        assert first <= begin <= bookmark


# Where a sync begins


def begin_after(progress: Progress, end: str, start_date: datetime | None = None) -> datetime:
    return begin_of_reread(
        progress, end=at(end), lookback=VOICE_CALLS, phase=NONE, start_date=start_date
    )


def test_a_sync_begins_at_a_whole_second() -> None:
    bookmark = at("02 09:01") + timedelta(microseconds=7)
    assert begin_after(Progress(bookmark), "02 09:14") == at("02 08:46")


def test_a_sync_does_not_begin_long_before_the_start_date() -> None:
    progress = Progress(at("30 11:30"))
    assert begin_after(progress, "30 12:30", at("30 11:00")) == at("30 04:00")
    assert begin_after(progress, "31 12:30", at("30 11:00")) == at("29 21:00")


def test_what_was_read_of_a_deep_read_is_not_read_again() -> None:
    whole = begin_after(Progress(at("30 07:30")), "40 08:30")
    assert whole == at("26 17:00")
    cut = advance(Progress(at("30 07:30")), Window(whole, at("28 00:00")), end=at("40 08:30"))
    assert cut == Progress(at("30 07:30"), at("28 00:00"), at("40 08:30"))
    assert begin_after(cut, "40 09:30") == at("28 00:00")


def test_what_appeared_since_a_deep_read_was_cut_short_is_read() -> None:
    """The mark of 64 hours on day 42 at 16:00 lies after that read, and looks back to day 37."""
    cut = Progress(at("38 07:30"), at("38 00:00"), at("40 08:30"))
    assert begin_after(cut, "42 15:59") == at("38 00:00")
    assert begin_after(cut, "42 16:00") == at("37 09:00")


def test_a_backfill_that_is_cut_short_goes_on_without_a_lookback() -> None:
    first = advance(None, Window(at("10 00:00"), at("38 00:00")), end=at("99 00:00"))
    assert first.bookmark == at("38 00:00")
    assert begin_after(first, "99 01:00") == at("38 00:00")
    assert advance(first, Window(at("38 00:00"), at("99 01:00")), end=at("99 01:00")) == Progress(
        at("99 01:00")
    )


def test_a_bookmark_that_was_set_back_is_believed() -> None:
    progress = Progress(at("20 07:30"), reread_to=at("38 00:00"), reread_at=at("99 00:00"))
    assert begin_after(progress, "99 01:00") == begin_after(Progress(at("20 07:30")), "99 01:00")

"""Plays a schedule of mishaps through the tap's command line, and sees that nothing is lost.

After each run a target keeps what a target keeps, and the next run goes on from there. At the end
comes one run without mishaps; then what the target has must be what the simulator knows to be true.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from signal import Signals
from typing import TYPE_CHECKING, Any

import msgspec

from simulator.scenario import STREAMS, Clock
from tests.harness.history import requests_sent
from tests.harness.rows import key_of, keys_of, truth_of
from tests.harness.schedules import DAY, HOUR, OWN_ACCOUNT, Run, moment, seconds_of
from tests.harness.singer import all_bookmarks, all_partitions
from tests.harness.tap import settings_for, start_tap

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import FaultKind, Scenario
    from tests.harness.process import TapProcess, TapRun
    from tests.harness.rows import Key
    from tests.harness.schedules import Death, Schedule
    from tests.harness.singer import Place, State

SCHEMA_BYTES = 25_000
"""What the tap writes before its first row, roughly."""

_ENDS_BY_SIGNAL = {"SIGKILL": {-9}, "SIGTERM": {143, -15}, "": set[int]()}
"""Exit codes; a signal that comes before the tap has handlers ends it by itself."""

VALUES_LIE: frozenset[FaultKind] = frozenset({"null_fields", "wrong_type", "other_value"})
CHANGES_ROWS = VALUES_LIE | {"new_field"}
"""What makes another version of a row: it may come once more in a run."""

SPOILED_FIELDS = {"direction", "consumer_display_name"}
"""The fields that get another value than null from those faults."""


class Play:
    """A schedule being played: the simulator, and a target with what it has kept so far."""

    def __init__(self, simulator: SimulatorProcess, schedule: Schedule) -> None:
        """Set the stage, at a time when everything is over; ``tally`` counts what is played."""
        self.simulator = simulator
        self.schedule = schedule
        self.tally: Counter[str] = Counter()
        zoom = schedule.zoom
        self._span = seconds_of(zoom.history_end.isoformat())
        forgetful = replace(zoom.readings, history_days_kept=None)
        over = Clock(now=moment(self._span + 400 * DAY))
        simulator.replace(replace(zoom, readings=forgetful, clock=over))
        self.truth = truth_of(simulator)
        self._times = {
            key: (seconds_of(row["start_time"]), seconds_of(row["end_time"]))
            for key, row in self.truth.items()
        }
        self.kept: set[Key] = set()
        self.state: State = {}
        self._to_be_read: set[Key] = set()
        self.now = max(self._span // 2, schedule.start_date + 1)

    def to_the_end(self) -> Counter[str]:
        """Play all runs and the good end, and return how much was played."""
        for run in self.schedule.runs:
            self.run(run)
        self.end_well()
        return self.tally

    # How the server sees an engagement, under the schedule's reading

    def _selected_between(self, key: Key) -> tuple[int, int]:
        """Return the first and last instant of which a range selects an engagement."""
        start, end = self._times[key]
        zoom = self.schedule.zoom
        shift = 0
        if zoom.readings.offset_ignored:
            account = zoom.accounts[self.schedule.account_ids.index(key[1])]
            shift = round(account.utc_offset_hours * HOUR)
        by = zoom.readings.selects_on
        return (end if by == "end" else start) + shift, (start if by == "start" else end) + shift

    def _due(self, key: Key) -> int:
        """Return the instant from which a bookmark promises that an engagement was read.

        It appears when it is listed, and when its place in a range has come. After that it takes up
        to twice as long as it appeared too late, and at least 15 minutes (see the tap's lookback).
        """
        place = self._selected_between(key)[1]
        appears = max(place, self._times[key][1] + self.schedule.zoom.completion_delay_seconds)
        return appears + max(2 * (appears - place), 900)

    @property
    def _start_date(self) -> int:
        """The setting of that name; what Zoom is about to drop is not asked for."""
        kept = self.schedule.zoom.readings.history_days_kept
        oldest = self.now - (kept - 2) * DAY if kept else self.schedule.start_date
        return max(self.schedule.start_date, oldest)

    # One run

    def _zoom_during(self, run: Run) -> Scenario:
        """Return the simulated Zoom as it is during a run."""
        present = self.schedule.seen_by(run)
        accounts = tuple(
            account if account.id in present else replace(account, listed=False)
            for account in self.schedule.zoom.accounts
        )
        return replace(
            self.schedule.zoom,
            accounts=accounts,
            clock=Clock(now=moment(self.now), told=self.schedule.may_rest(run)),
            faults=run.faults,
            limits=run.limits,
        )

    def _settings(self, run: Run) -> dict[str, Any]:
        """Return the tap's settings for a run that happens now.

        The lookback is as long as the longest engagement is open, or a little longer.
        """
        names = [name for name in self.schedule.seen_by(run) if name != OWN_ACCOUNT]
        longest: dict[str, int] = dict.fromkeys(STREAMS, 0)
        for (stream, *_), (start, end) in self._times.items():
            longest[stream] = max(longest[stream], end - start)
        lookbacks = {
            f"{stream}_lookback_days": (seconds + self.schedule.extra_lookback) / DAY
            for stream, seconds in longest.items()
        }
        return {
            "start_date": moment(self._start_date).isoformat(),
            "sub_account_ids": None if self.schedule.listed and names else names,
            "include_own_account": OWN_ACCOUNT in self.schedule.account_ids,
            "max_concurrency": self.schedule.concurrency,
            "max_requests_per_run": run.max_requests,
            "quiet_accounts_hours": run.quiet_hours,
            **lookbacks,
        }

    def run(self, run: Run) -> TapRun:
        """Let a run happen, check what it did, keep what a target keeps, and return it.

        Raises:
            AssertionError: with the schedule, if a promise is broken.
        """
        self.now += run.seconds_later
        self.simulator.replace(self._zoom_during(run))
        self.simulator.reset_stats()
        is_impatient = any(fault.kind == "slow" for fault in run.faults)
        timeout = (5.0, 0.3 if is_impatient else 30.0)
        constants = replace(self.schedule.constants, timeout_seconds=timeout)
        config = settings_for(self.simulator, **self._settings(run))
        with start_tap(config, state=self.state or None, constants=constants) as tap:
            if run.death:
                self._strike(tap, run.death)
            ended = tap.finish()
        faults = Counter(self.simulator.stats().faults)
        try:
            self._check(run, ended, faults)
        except AssertionError as error:
            # Told at once: the next time the signal may come at another moment.
            raise AssertionError(
                f"{error}\n{self.schedule}\nseconds: {self.now}, {run}\nstate: {self.state}\n"
                f"last states: {ended.states[-2:]}\nexit code {ended.exit_code}\n{ended.stderr}"
            ) from error
        self._keep(run, ended)
        self.tally += faults
        self.tally += Counter({"engagements": len(ended.engagements)})
        self.tally.update(["runs", f"exit code {ended.exit_code}"])
        self.tally["rereads cut short"] += "reread_to" in str(self.state)
        return ended

    def _strike(self, tap: TapProcess, death: Death) -> None:
        if death.after_share is None:
            tap.read_for(seconds=death.after_seconds)
        else:
            rows = sum(len(msgspec.json.encode(row)) for row in self.truth.values())
            tap.read_for(round(death.after_share * (SCHEMA_BYTES + rows)))
        if death.signal_name:
            tap.signal(Signals[death.signal_name])
        else:
            tap.close_stdout()

    def _check(self, run: Run, ended: TapRun, faults: Counter[str]) -> None:
        """See that all promises were kept.

        What the run must have read that began at the present, and has just ended, is what the
        server had then and still has, and is not before ``start_date``.
        """
        if run.max_requests is not None:
            assert requests_sent(self.simulator) <= run.max_requests
        stayed = keys_of(self.simulator)
        self.simulator.set_clock(moment(self.now))
        had = keys_of(self.simulator)
        self._to_be_read = {
            key for key in had & stayed if self._selected_between(key)[1] >= self._start_date
        }
        self._check_end(run, ended)
        self._check_rows(ended, faults)
        self._check_states(ended)
        # Where the output was closed, nobody knows all of it.
        is_known = run.death is None or run.death.signal_name
        if ended.exit_code == 0 and run.max_requests is None and is_known:
            self._check_complete(run, ended, excused="account_refuses" in faults)

    def _check_end(self, run: Run, ended: TapRun) -> None:
        ends = _ENDS_BY_SIGNAL[run.death.signal_name if run.death else ""]
        assert ended.exit_code in {0, 1} | ends
        assert "Traceback" not in ended.stderr
        assert self.schedule.zoom.client_secret not in ended.stderr
        if ended.exit_code > 0:
            assert ended.logged("ERROR")
        calm = Run(seconds_later=run.seconds_later, quiet_hours=run.quiet_hours)
        if run == calm and not self.schedule.goes_away:
            assert ended.exit_code == 0, "nothing happened but that a list lived"

    def _check_rows(self, ended: TapRun, faults: Counter[str]) -> None:
        """Each engagement at most once, if Zoom gave one version, and with its own values."""
        assert ended.repeated == [] or CHANGES_ROWS & faults.keys()
        spoiled = VALUES_LIE & faults.keys()
        for key, row in ended.engagements:
            assert key in self.truth, f"{key} does not exist"
            true_row = self.truth[key]
            if row != true_row and spoiled:
                names = true_row.keys() | row.keys()
                spoilable = {name for name in names if row.get(name) is None}
                compared = names - spoilable - SPOILED_FIELDS
                assert all(row[name] == true_row.get(name) for name in compared), key
            else:
                assert row == true_row

    def _check_states(self, ended: TapRun) -> None:
        """No bookmark goes back, and none passes what was neither kept before nor just emitted.

        That is what lies between it and the bookmark before, and what is due before it.
        """
        got = set(self.kept)
        bookmarks = _bookmarks(self.state)
        for message in ended.messages:
            if message["type"] == "RECORD" and message["stream"] in STREAMS:
                got.add(key_of(message["stream"], message["record"]))
            if message["type"] != "STATE":
                continue
            moved = _bookmarks(message["value"])
            assert bookmarks.keys() <= moved.keys()
            for place, bookmark in moved.items():
                before = bookmarks.get(place)
                assert before is None or before <= bookmark, place
                assert bookmark <= self.now, place
                if bookmark != before:
                    passed = {
                        key
                        for key in self._to_be_read
                        if key[:2] == place and self._is_passed(key, before, bookmark)
                    }
                    assert passed <= got, f"{place} passed {len(passed - got)} to {bookmark}"
            bookmarks = moved

    def _is_passed(self, key: Key, before: int | None, bookmark: int) -> bool:
        first, last = self._selected_between(key)
        is_between = first < bookmark and (before is None or last > before)
        return is_between or self._due(key) <= bookmark

    def _check_complete(self, run: Run, ended: TapRun, *, excused: bool) -> None:
        """A run that ends with exit code 0 has brought every account that it saw to the present.

        Those that rest have stayed where they were, for an eighth of their silence at most. With
        ``excused`` accounts refused, which a run may pass over.
        """
        bookmarks = _bookmarks(ended.states[-1]) if ended.states else {}
        for place in ((stream, name) for stream in STREAMS for name in self.schedule.seen_by(run)):
            bookmark = bookmarks.get(place)
            if bookmark is not None and bookmark < self.now and self.schedule.may_rest(run):
                before = all_partitions(self.state)[place]
                silence = bookmark - seconds_of(before["quiet_since"])
                if self.now - bookmark < min(run.quiet_hours * HOUR, silence / 8):
                    assert all_partitions(ended.state)[place] == before
                    self.tally["rests"] += 1
                    continue
            assert excused or bookmark == self.now, place

    def _keep(self, run: Run, ended: TapRun) -> None:
        """Keep what a target keeps: all, or what came up to one of the STATE messages."""
        messages = ended.messages
        if run.death and run.death.keeps_up_to_state is not None:
            states = [n for n, message in enumerate(messages) if message["type"] == "STATE"]
            place = len(states) - 1 - run.death.keeps_up_to_state
            messages = messages[: states[place] + 1] if place >= 0 else []
        for message in messages:
            if message["type"] == "STATE":
                self.state = message["value"]
            elif message["type"] == "RECORD" and message["stream"] in STREAMS:
                self.kept.add(key_of(message["stream"], message["record"]))

    def end_well(self) -> None:
        """Run once more, late and without mishaps, and while nothing goes away: all is there.

        It is so late that nothing rests, whatever the setting was.
        """
        if self.schedule.goes_away:
            zoom = self.schedule.zoom
            standing = replace(zoom.readings, seconds_between_pages=None)
            self.schedule = replace(self.schedule, zoom=replace(zoom, readings=standing))
        quiet_hours = max(run.quiet_hours for run in self.schedule.runs)
        self.now = max([self.now, self._span + DAY, *map(self._due, self.truth)])
        last = self.run(Run(round(quiet_hours * HOUR), quiet_hours=quiet_hours))
        assert last.exit_code == 0, last.stderr
        missing = self._to_be_read - self.kept
        assert not missing, f"{len(missing)} lost, such as {min(missing)}"
        self.tally["schedules"] += 1


def _bookmarks(state: State) -> dict[Place, int]:
    return {place: seconds_of(text) for place, text in all_bookmarks(state).items()}

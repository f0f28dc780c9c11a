"""`--observe` names what Zoom does, or says that it is not known, and never names another thing.

`READINGS` is the table of reading and verdict. Each single reading goes through the real command
line, and pairs of them through the same requests and verdicts, without HTTP in between.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import time
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta, timezone
from io import BytesIO
from itertools import combinations
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

from simulator.errors import ApiError
from simulator.scenario import (
    STREAMS,
    Account,
    Clock,
    Fault,
    Limits,
    Readings,
    Refusal,
    Scenario,
)
from simulator.world import World
from tap_zoom_cc.commands.observe.asking import (
    MOST_REQUESTS,
    Asked,
    Engagement,
    Log,
    Seen,
    seen_in,
)
from tap_zoom_cc.commands.observe.command import SHOWN_VALUE, look
from tap_zoom_cc.commands.observe.verdicts import UNDETERMINED, verdicts
from tap_zoom_cc.sync.windows import Window
from tap_zoom_cc.zoom.filters import SCHEMAS
from tap_zoom_cc.zoom.pages import PageReader
from tests.harness.constants import SHORT_WAITS
from tests.harness.tap import run_tap, start_tap

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import (
        FaultKind,
        Stream,
    )
    from tests.harness.tap import TapRun

ROOT = Path(__file__).parent.parent
NOW = datetime.now(timezone.utc).replace(microsecond=0)
HISTORY = timedelta(days=45)
MARK = "Xq7Mark"

# The questions

SELECTS_ON = "what `from` and `to` select on"
AT_FROM = "an engagement at exactly `from`"
AT_TO = "an engagement at exactly `to`"
PRECISION = "precision of `from` and `to`"
OFFSET = "the offset of `from` and `to`"
ORDER = "order of rows"
TOTAL = "`total_records`"
LIVING = "the list, while its pages are read"
TOLD = "the range that an answer names"
COVERED = "what of a range is answered"
LONGEST = "the longest engagement seen"
KEPT = "how far back history goes"
WIDTH = "the longest range"
LIMITS = "headers about limits, the last of each"

Findings = dict[tuple[str, str], str]
"""What was found, by log and question."""


# The table of reading and verdict


@dataclass(frozen=True)
class Named:
    """The question that a reading answers, and what a finding looks like that names it."""

    question: str
    finding: str


READINGS: dict[str, dict[object, Named | None]] = {
    "selects_on": {
        "start": Named(SELECTS_ON, "start time"),
        "end": Named(SELECTS_ON, "end time"),
        "overlap": Named(SELECTS_ON, "overlap: any part of it lies in the range"),
    },
    "from_inclusive": {
        True: Named(AT_FROM, "is in the range"),
        False: Named(AT_FROM, "is not in the range"),
    },
    "to_inclusive": {
        True: Named(AT_TO, "is in the range"),
        False: Named(AT_TO, "is not in the range"),
    },
    "order": {
        "start_descending": Named(ORDER, "by start time, newest first"),
        "start_ascending": Named(ORDER, "by start time, oldest first"),
        "end_ascending": Named(ORDER, "by end time, oldest first"),
        "shuffled": Named(ORDER, "neither by start nor by end time"),
    },
    "month": {
        "calendar": Named(WIDTH, "a calendar month"),
        28: Named(WIDTH, "28 days"),
        30: Named(WIDTH, "30 days"),
        31: Named(WIDTH, "31 days"),
    },
    "days_only": {
        False: Named(PRECISION, "the second"),
        True: Named(PRECISION, "whole days"),
    },
    "offset_ignored": {
        False: Named(OFFSET, "decides which engagements are selected"),
        True: Named(OFFSET, "does not decide: times are read in a zone of the account's own"),
    },
    "sms_times": {
        # Either form is read, so that nobody has to know it.
        "Z": None,
        "offset": None,
    },
    "history_days_kept": {
        None: Named(KEPT, r"at least ([1-3]?\d|4[0-5]) days?"),
        20: Named(KEPT, r"about (19|20|21) days: answers begin there|at least 1?\d days?"),
    },
    "days_answered": {
        None: Named(COVERED, "all of it, as answers say"),
        7: Named(COVERED, "only its last [78] days"),
    },
    "range_told": {
        "instants": Named(TOLD, "is given as date-times"),
        "instants_z": Named(TOLD, "is given as date-times"),
        "instants_of_account": Named(TOLD, "is given as date-times"),
        "clock_of_account_z": Named(TOLD, "is given as date-times"),
        "clock_of_account": Named(TOLD, "is given as date-times"),
        "days": Named(TOLD, "is given in days"),
        "days_of_account": Named(TOLD, "is given in days"),
        "unreadable": Named(TOLD, "is in a form that cannot be read"),
        "nothing": Named(TOLD, "is not there"),
    },
    "seconds_between_pages": {
        None: Named(LIVING, "stands still"),
        240: Named(LIVING, "lives: .*"),
    },
}
"""Every reading that the simulator can play, with the finding that names it, if one does."""

DEFAULTS = Readings()
SINGLES: list[dict[str, Any]] = [
    {name: value}
    for name, values in READINGS.items()
    for value in values
    if value != getattr(DEFAULTS, name)
]
PAIRS = [one | other for one, other in combinations(SINGLES, 2) if one.keys() != other.keys()]


def contradictions(readings: Readings, findings: Findings) -> list[str]:
    """Return the findings that name another reading than the one that is played."""
    wrong = []
    for name, named_by_value in READINGS.items():
        named = named_by_value[getattr(readings, name)]
        if named is None:
            continue
        right = named.finding
        if name in {"from_inclusive", "to_inclusive"} and readings.days_only:
            right = "(whole days have no edge)"
        if name == "days_answered" and readings.history_days_kept:
            right = "what history there is"
        wrong += [
            f"{stream}, {question}: {finding}"
            for (stream, question), finding in findings.items()
            if question == named.question
            if finding != UNDETERMINED and not re.fullmatch(right, finding)
        ]
    return wrong


def test_every_reading_of_the_simulator_has_its_verdict() -> None:
    assert {field.name for field in fields(Readings)} == READINGS.keys()


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    """Give a place for the world that was made last: the next one takes over its engagements."""
    return []


def zone_of(case: dict[str, object]) -> float:
    return -8.0 if case.get("offset_ignored") else 5.5


def played(case: dict[str, Any], *, sms: int = 500, voice_calls: int = 1500) -> Scenario:
    busy = Account(id="busy", sms=sms, voice_calls=voice_calls, utc_offset_hours=zone_of(case))
    if "seconds_between_pages" in case:
        # The log that holds more is the one that is read again.
        busy = replace(busy, voice_calls=100, explicit_sms=ending_soon())
    return recent(busy, readings=Readings(**case))


def ending_soon() -> tuple[dict[str, str], ...]:
    """Return conversations of which one ends in each minute: some do while pages are read."""
    minutes = (timedelta(minutes=number) for number in range(1, 120))
    return tuple(
        explicit(f"soon{number}", NOW - timedelta(hours=2) + minute / 2, NOW + minute)
        for number, minute in enumerate(minutes)
    )


def recent(*accounts: Account, **options: Any) -> Scenario:  # noqa: ANN401 (Scenario's)
    return Scenario(
        accounts=accounts,
        history_begin=NOW - HISTORY,
        history_end=NOW + timedelta(hours=9),
        # A clock that went on would show other engagements in a run that is late.
        clock=Clock(now=NOW),
        **options,
    )


def case_name(case: dict[str, object]) -> str:
    return "-".join(f"{name}={value}" for name, value in case.items()) or "defaults"


DEFAULT_CASE = {
    name: getattr(DEFAULTS, name)
    for name in READINGS
    # No history is so long that it has no end, and no list that does not move shows that it stands.
    if name not in {"history_days_kept", "seconds_between_pages"}
}


@pytest.mark.parametrize("case", [{}, *SINGLES], ids=case_name)
def test_a_reading_is_named_and_no_other(simulator: SimulatorProcess, case: dict[str, Any]) -> None:
    simulator.replace(played(case))
    findings = found(observe(simulator).check())
    readings = Readings(**case)
    assert contradictions(readings, findings) == []
    for name, value in case.items() or DEFAULT_CASE.items():
        if named := READINGS[name][value]:
            told = [findings[stream, named.question] for stream in STREAMS]
            assert any(re.fullmatch(named.finding, finding) for finding in told), told


@pytest.mark.parametrize("case", PAIRS, ids=case_name)
def test_of_two_readings_none_is_named_wrongly(worlds: list[World], case: dict[str, Any]) -> None:
    stream: Stream = "sms" if "sms_times" in case else "voice_calls"
    findings = found_in(worlds, played(case), stream)
    assert contradictions(Readings(**case), findings) == []
    if not case.keys() & {"days_only", "history_days_kept"}:
        assert findings[stream, SELECTS_ON] != UNDETERMINED, "too little is asked for"


@pytest.mark.parametrize("calls", [0, 1, 3, 12, 20_000])
@pytest.mark.parametrize("case", SINGLES[::3], ids=case_name)
def test_few_engagements_and_very_many_lead_to_no_wrong_verdict(
    worlds: list[World], case: dict[str, Any], calls: int
) -> None:
    findings = found_in(worlds, played(case, voice_calls=calls), "voice_calls")
    assert contradictions(Readings(**case), findings) == []


@pytest.mark.long
@pytest.mark.timeout(0)
def test_no_reading_of_many_at_once_is_named_wrongly_for_an_hour(
    capsys: pytest.CaptureFixture[str],
) -> None:
    end = time.monotonic() + float(os.environ.get("PROPERTY_SECONDS", "3600"))
    first = int(os.environ.get("PROPERTY_SEED", str(time.time_ns())))
    number, known = first, 0
    while time.monotonic() < end:
        random = Random(number)
        case: dict[str, Any] = {
            name: random.choice(list(values)) for name, values in READINGS.items()
        }
        busy = Account(
            id="busy",
            utc_offset_hours=random.choice([-8.0, 5.5, 13.0]),
            sms=random.choice([0, 2, 10, 100, 500]),
            voice_calls=random.choice([0, 2, 10, 100, 500, 1500, 5000]),
        )
        scenario = recent(busy, readings=Readings(**case), seed=random.randrange(2**31))
        for stream in STREAMS:
            findings = found_in([], scenario, stream)
            wrong = contradictions(Readings(**case), findings)
            assert wrong == [], f"PROPERTY_SEED={number}: {case}"
            known += sum(finding != UNDETERMINED for finding in findings.values())
        number += 1
        with capsys.disabled():
            sys.stdout.write(f"seeds {first} to {number - 1}: {known} findings, none wrong\n")
            sys.stdout.flush()


def test_an_account_that_ignores_ranges_leads_to_no_verdict_about_them(
    worlds: list[World],
) -> None:
    ignoring = Account(id="busy", voice_calls=1500, ignores_range=True)
    findings = found_in(worlds, recent(ignoring), "voice_calls")
    for question in (SELECTS_ON, AT_FROM, AT_TO, PRECISION, OFFSET, KEPT):
        assert findings["voice_calls", question] == UNDETERMINED


def found_in(worlds: list[World], scenario: Scenario, stream: Stream) -> Findings:
    """Return what the same requests and verdicts find in a world without HTTP around it."""
    world = World(replace(scenario, clock=Clock(now=NOW)), *worlds[-1:])
    worlds[:] = [world]
    left = iter(range(MOST_REQUESTS))
    log = Log(
        stream, lambda asked: None if next(left, None) is None else ask(world, stream, asked), NOW
    )
    log.ask_for_newest()
    look([log])
    return findings_of(log)


def ask(world: World, stream: Stream, asked: Asked) -> Seen:
    """Return what is seen of a world's answer."""
    begin, end = asked.written
    parameters = [("from", begin), ("to", end), ("page_size", "100")]
    if asked.page_token:
        parameters.append(("next_page_token", asked.page_token))
    try:
        page = world.engagement_page(stream, "busy", parameters)
    except ApiError as error:
        return Seen(asked, error.status, json.loads(error.body)["code"])
    body = page.encode(lambda offset: world.page_tokens.issue(page.owner, page.listing, offset))
    return seen_in_body(body, stream, asked)


def seen_in_body(body: bytes, stream: Stream, asked: Asked) -> Seen:
    response = requests.Response()
    response.raw = BytesIO(body)
    return seen_in(PageReader(stream).read(response), asked)


def findings_of(log: Log) -> Findings:
    return {(log.name, each): plain(finding) for each, finding in verdicts(log).items()}


def plain(finding: str) -> str:
    """Return a finding without what it takes to have one."""
    return UNDETERMINED if finding.startswith(UNDETERMINED) else finding


def observe(simulator: SimulatorProcess, *, named: str = "", **settings: object) -> TapRun:
    config = {**simulator.tap_config(), "requests_per_second": 1000, **settings}
    option = f"--observe={named}" if named else "--observe"
    return run_tap(config, arguments=[option], constants=SHORT_WAITS)


def found(run: TapRun) -> Findings:
    """Return the findings in a printed table."""
    rows = [line.strip("|").split("|") for line in run.stdout.decode().splitlines() if "|" in line]
    return {
        (log.strip(" `"), question.strip()): plain(finding.strip())
        for log, question, finding in rows
    }


def meaning(run: TapRun) -> str:
    """Return what the last line says."""
    text = run.stdout.decode().rstrip("\n").splitlines()[-1]
    assert text.startswith("For this account's settings: ")
    return text.partition(": ")[2]


# What is asked, of whom


def test_the_busiest_of_the_first_accounts_is_observed(simulator: SimulatorProcess) -> None:
    simulator.replace(
        recent(
            Account(id="idle"),
            Account(id="busy", sms=300, voice_calls=900),
            Account(id="quiet", sms=5),
            Account(id="fourth", sms=5000),
        )
    )
    observe(simulator).check()
    sent = {stream: simulator.stats().requests[stream] for stream in STREAMS}
    for stream in STREAMS:
        assert sent[stream].keys() == {"idle", "busy", "quiet"}
        assert sent[stream]["idle"] == sent[stream]["quiet"] == 1
    assert sent["sms"]["busy"] <= 6, "what lies far back is asked for in one log"
    assert sum(sent[stream]["busy"] for stream in STREAMS) >= 12
    assert asked(simulator) <= MOST_REQUESTS


def asked(simulator: SimulatorProcess) -> int:
    """Return how many requests the logs got, over all accounts."""
    return sum(entry.endpoint in STREAMS for entry in simulator.stats().log)


@pytest.mark.parametrize("kind", ["503_html", "429_per_second", "reset_before_body"])
def test_requests_that_are_sent_again_count(simulator: SimulatorProcess, kind: FaultKind) -> None:
    accounts = [Account(id=name, sms=300, voice_calls=900) for name in ("one", "two", "three")]
    simulator.replace(recent(*accounts, faults=(Fault(kind=kind, probability=0.4),)))
    run = observe(simulator).check()
    assert asked(simulator) == MOST_REQUESTS
    assert {stream for stream, question in found(run) if question == WIDTH} == set(STREAMS)


@pytest.mark.parametrize(
    ("kind", "answer"), [("503_html", "HTTP 503"), ("reset_before_body", "nothing")]
)
def test_a_log_that_never_answers_uses_up_no_more(
    simulator: SimulatorProcess, kind: FaultKind, answer: str
) -> None:
    faults = [Fault(kind=kind, endpoint=stream) for stream in STREAMS]
    accounts = [Account(id=name, sms=300, voice_calls=900) for name in ("one", "two", "three")]
    simulator.replace(recent(*accounts, faults=tuple(faults)))
    run = observe(simulator).check(1)
    assert asked(simulator) <= MOST_REQUESTS
    (line,) = run.logged("ERROR")
    assert f"Nothing can be observed: sms answers {answer}, voice_calls answers {answer}" in line


def test_what_was_learned_before_the_daily_limit_is_told(simulator: SimulatorProcess) -> None:
    busy = Account(id="busy", sms=300, voice_calls=900)
    simulator.replace(recent(busy, limits=Limits(requests_per_day=10)))
    run = observe(simulator).check(1)
    (line,) = run.logged("ERROR")
    assert "the daily limit is spent" in line
    findings = found(run)
    assert findings["voice_calls", SELECTS_ON] == "start time"
    assert findings["voice_calls", WIDTH] == UNDETERMINED
    assert "429 (code 429, " in findings["all", "HTTP statuses"]
    assert "something ended it early" in run.stdout.decode().splitlines()[0]


def test_when_zoom_opens_again_is_told(simulator: SimulatorProcess) -> None:
    refusal = Fault(kind="429_per_second", endpoint="sms", requests=(2,), reset=1.0)
    simulator.replace(recent(Account(id="one", sms=30), faults=(refusal,)))
    told = found(observe(simulator).check())["all", LIMITS]
    assert re.search(r"x-ratelimit-reset: 1\d{9}(;|$)", told)


def test_an_account_can_be_named(simulator: SimulatorProcess) -> None:
    own = Account(id=Scenario().account_id, voice_calls=30)
    simulator.replace(recent(own, Account(id="one", sms=30), Account(id="busy", sms=900)))
    observe(simulator, named="one").check()
    assert {entry.account_id for entry in simulator.stats().log} == {None, "one"}
    assert "accounts" not in simulator.stats().requests, "the list is not needed"
    simulator.reset_stats()
    observe(simulator, named=Scenario().account_id).check()
    paths = {entry.path for entry in simulator.stats().log if entry.endpoint in STREAMS}
    assert paths == {f"/v2/contact_center/{stream}" for stream in STREAMS}


def test_filters_are_left_out(simulator: SimulatorProcess) -> None:
    simulator.replace(recent(Account(id="one", sms=30, voice_calls=30)))
    observe(simulator, sms_filters={"direction": "inbound"}).check()
    assert not any("direction" in entry.query for entry in simulator.stats().log)


def test_the_pace_is_the_configured_one_and_limits_are_told(simulator: SimulatorProcess) -> None:
    simulator.replace(
        recent(Account(id="one", sms=200, voice_calls=200), limits=Limits(requests_per_second=20))
    )
    findings = found(observe(simulator, requests_per_second=20).check())
    assert simulator.stats().statuses.keys() <= {"200", "400"}
    assert "x-ratelimit-limit: 20" in findings["all", LIMITS]
    assert "x-ratelimit-category: Heavy" in findings["all", LIMITS]
    assert re.match(r"200 \(\d+\)", findings["all", "HTTP statuses"])


def test_meltano_runs_it_by_a_command(simulator: SimulatorProcess) -> None:
    simulator.replace(recent(Account(id="one", sms=30, voice_calls=30)))
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_bytes())["plugins"]["extractors"]
    (arguments,) = {
        plugin["commands"]["observe"]["args"] for plugin in plugins if "commands" in plugin
    }
    config = {**simulator.tap_config(), "requests_per_second": 100}
    environment = {f"TAP_ZOOM_CC_{name.upper()}": str(value) for name, value in config.items()}
    with start_tap(None, arguments=shlex.split(arguments), environment=environment) as tap:
        assert found(tap.finish().check())


# When it cannot be done


def test_what_cannot_be_observed_is_said_in_one_line(simulator: SimulatorProcess) -> None:
    refusal = Refusal(message=f"No permission for {MARK}.")
    refusing = Account(id=MARK, sms_refusal=refusal, voice_calls_refusal=refusal)
    simulator.replace(recent(refusing))
    for run in (observe(simulator), observe(simulator, named=f"no-{MARK}")):
        run.check(1)
        assert not run.stdout
        (line,) = run.logged("ERROR")
        assert "Nothing can be observed: sms answers HTTP 40" in line
        assert MARK not in run.stderr


@pytest.mark.parametrize("setting", ["client_secret", "account_id"])
def test_wrong_settings_are_said_in_one_line(simulator: SimulatorProcess, setting: str) -> None:
    run = observe(simulator, **{setting: "wrong"}).check(1)
    assert not run.stdout
    (line,) = run.logged("ERROR")
    assert setting in line
    config = simulator.tap_config() | {"requests_per_second": "many"}
    run = run_tap(config, arguments=["--observe"]).check(1)
    assert len(run.logged("ERROR")) == 1


def test_a_log_that_is_refused_is_told_beside_the_other(simulator: SimulatorProcess) -> None:
    simulator.replace(recent(Account(id="one", sms=90, voice_calls_refusal=Refusal())))
    findings = found(observe(simulator).check())
    assert findings["voice_calls", "the log"] == "refused: HTTP 403, code 200"
    assert findings["sms", SELECTS_ON] == "start time"


def test_an_account_without_engagements_tells_little(simulator: SimulatorProcess) -> None:
    simulator.replace(recent(Account(id="one")))
    run = observe(simulator).check()
    for question in (SELECTS_ON, OFFSET, ORDER, TOTAL, LONGEST):
        assert found(run)["sms", question] == UNDETERMINED
    assert meaning(run) == "none yet."


# What else is told


def test_a_total_that_is_wrong_is_told(simulator: SimulatorProcess) -> None:
    fault = Fault(kind="total_too_high", endpoint="voice_calls")
    simulator.replace(replace(played({}), faults=(fault,)))
    run = observe(simulator).check()
    told = found(run)["voice_calls", TOTAL]
    assert re.fullmatch(r"differs from the rows that come, such as \d+ for \d+", told)
    assert "`on_count_mismatch: warn`" in meaning(run)


def test_the_longest_engagement_is_measured(simulator: SimulatorProcess) -> None:
    long_one = explicit("long", NOW - timedelta(days=20, hours=2), NOW - timedelta(days=1))
    simulator.replace(recent(Account(id="one", explicit_sms=(long_one,))))
    run = observe(simulator).check()
    assert found(run)["sms", LONGEST] == "19 days, 2:00:00, of 1 engagement seen"
    assert "open for 19 days, 2:00:00: set `sms_lookback_days` to 20 at least" in meaning(run)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"selects_on": "end"}, "selects `voice_calls` by end time here, so that a lookback of 1"),
        ({"history_days_kept": 20}, "a `start_date` further back than about 2"),
        ({}, "none yet."),
    ],
    ids=str,
)
def test_the_last_line_says_what_it_means_for_the_settings(
    simulator: SimulatorProcess, case: dict[str, Any], words: str
) -> None:
    simulator.replace(played(case))
    assert words in meaning(observe(simulator).check())


@pytest.mark.parametrize(
    ("fresh", "second", "finding"),
    [
        (203, 200, "stands still"),
        (203, 203, "lives: the total grows from page to page"),
        (200, 200, UNDETERMINED),
        (201, 200, UNDETERMINED),
    ],
)
def test_a_list_that_lives_is_told_from_one_that_stands(
    fresh: int, second: int, finding: str
) -> None:
    newest = Asked("base", LAST_WEEKS)
    again = replace(newest, purpose="living")
    log = log_of(
        Seen(newest, 200, token="t", total=200),
        Seen(again, 200, token="u", total=fresh),
        Seen(again, 200, total=second),
    )
    assert findings_of(log)["sms", LIVING] == finding


def test_a_failure_says_nothing_of_how_long_a_range_may_be() -> None:
    month = Asked("width", LAST_WEEKS)
    assert findings_of(log_of(Seen(month, 400), Seen(month, 200)))["sms", WIDTH] == "30 days"
    assert findings_of(log_of(Seen(month, 503), Seen(month, 200)))["sms", WIDTH] == UNDETERMINED


@pytest.mark.parametrize(
    ("total", "token", "is_missed"), [(1, None, True), (1, "t", False), (2, None, False)]
)
def test_a_row_of_a_further_page_is_not_missed(
    total: int, token: str | None, *, is_missed: bool
) -> None:
    one, other = (
        Engagement(f"row{days}", NOW - timedelta(days=days), NOW - timedelta(days=days, hours=-1))
        for days in (6, 8)
    )
    wide = Asked("range", Window(NOW - timedelta(days=10), NOW - timedelta(days=4)))
    narrow = Asked("range", Window(NOW - timedelta(days=9), NOW - timedelta(days=7)))
    log = log_of(
        Seen(wide, 200, rows=(one,), token=token, total=total),
        Seen(narrow, 200, rows=(other,), total=1),
    )
    left = findings_of(log)["sms", "readings of ranges that are left"]
    assert left.startswith("0 of ") == is_missed


def test_one_shorter_answer_is_not_enough_to_say_why() -> None:
    told = ((NOW - timedelta(days=7)).isoformat(), NOW.isoformat())
    findings = findings_of(log_of(Seen(Asked("base", LAST_WEEKS), 200, told=told)))
    assert findings["sms", KEPT] == findings["sms", COVERED] == UNDETERMINED


@pytest.mark.parametrize("missing", [("start_time", "end_time"), ("start_time",), ("end_time",)])
def test_the_year_1_is_no_time_of_an_engagement(missing: tuple[str, ...]) -> None:
    row = explicit("one", NOW - timedelta(hours=3), NOW - timedelta(hours=2))
    other = {**row, "engagement_id": "two", **dict.fromkeys(missing, "0001-01-01T00:00:00Z")}
    body = json.dumps({"sms": [other, row], "total_records": 2}).encode()
    log = Log("sms", lambda asked: seen_in_body(body, "sms", asked), NOW)
    log.ask_for_newest()
    look([log])
    assert findings_of(log)["sms", LONGEST] == "1:00:00, of 1 engagement seen"


LAST_WEEKS = Window(NOW - timedelta(days=28), NOW)


def log_of(*seen: Seen) -> Log:
    """Return a log of which this was seen."""
    return Log("sms", lambda _: None, NOW, list(seen))


# Privacy


def test_an_error_that_ends_it_names_no_account(simulator: SimulatorProcess) -> None:
    limits = Limits(requests_per_day=4)
    simulator.replace(recent(Account(id=MARK, sms=90, voice_calls=90), limits=limits))
    run = observe(simulator).check(1)
    assert "the daily limit is spent" in run.logged("ERROR")[0]
    assert MARK not in run.stdout.decode() + run.stderr


def test_nothing_of_a_row_is_told(simulator: SimulatorProcess) -> None:
    rows = {stream: tuple(marked(stream, number) for number in range(150)) for stream in STREAMS}
    account = Account(
        id=f"{MARK}-account",
        name=f"{MARK} Ltd.",
        explicit_sms=rows["sms"],
        explicit_voice_calls=rows["voice_calls"],
    )
    simulator.replace(
        recent(
            account,
            account_id=f"{MARK}-master",
            client_id=f"{MARK}-client",
            client_secret=f"{MARK}-secret",
        )
    )
    run = observe(simulator).check()
    findings = found(run)
    assert findings["sms", SELECTS_ON] == "start time", "nothing was seen"
    assert MARK not in run.stdout.decode() + run.stderr
    assert "7654321" not in run.stdout.decode() + run.stderr


def marked(stream: Stream, number: int) -> dict[str, Any]:
    """Return an engagement of which every text is marked, and every number the same."""
    start = NOW - timedelta(minutes=97 * number + 70)
    return {
        **filled(SCHEMAS.get_schema(stream)),
        **explicit(f"{MARK}-{number}", start, start + timedelta(seconds=61 + 37 * number)),
        "new_field": MARK,
        f"{MARK}-{number}": {MARK: MARK},
    }


def filled(schema: dict[str, Any]) -> Any:  # noqa: ANN401 (JSON)
    """Return a value of a schema with a mark in each text."""
    types = schema["type"]
    if "object" in types:
        return {
            name: filled(inner)
            for name, inner in schema["properties"].items()
            if name not in {"account_id", "unmapped_values"}
        }
    if "array" in types:
        return [filled(schema["items"])]
    if "string" in types:
        return MARK
    return True if "boolean" in types else 7654321


def explicit(name: str, start: datetime, end: datetime) -> dict[str, str]:
    return {
        "engagement_id": f"{name}-0000000000",
        "start_time": start.isoformat(),
        "end_time": end.isoformat(),
    }


@pytest.mark.parametrize("value", ["10", "Daily-limit", "1790000000", "2026-11-30T00:00:00Z"])
def test_a_header_is_told_by_a_word_a_number_or_a_time(value: str) -> None:
    assert SHOWN_VALUE.fullmatch(value)


@pytest.mark.parametrize("value", ["someone@example.com", "2025550123"])
def test_no_other_value_of_a_header_is_told(value: str) -> None:
    assert not SHOWN_VALUE.fullmatch(value)

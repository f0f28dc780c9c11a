"""`--observe` names what Zoom does, or says that it is not known, and never names another thing.

`READINGS` is the table of reading and verdict. Each single reading goes through the real command
line, and several at once through the same requests and verdicts, without HTTP in between.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from io import BytesIO
from itertools import combinations
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import requests

from simulator.errors import ApiError
from simulator.scenario import STREAMS, Account, Clock, Fault, Limits, Readings, Refusal, Scenario
from simulator.world import World
from tap_zoom_cc.commands.observe.asking import MOST_REQUESTS, Asked, Engagement, Log, Seen, seen_in
from tap_zoom_cc.commands.observe.command import SHOWN_VALUE, look
from tap_zoom_cc.commands.observe.verdicts import UNDETERMINED, verdicts
from tap_zoom_cc.sync.windows import Window
from tap_zoom_cc.zoom.pages import PageReader
from tests.harness.constants import SHORT_WAITS
from tests.harness.history import engagement, requests_sent
from tests.harness.tap import run_tap

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream
    from tap_zoom_cc.commands.observe.asking import Purpose
    from tests.harness.process import TapRun
    from tests.harness.singer import Record

NOW = datetime.now(timezone.utc).replace(microsecond=0)
CALLS: Stream = "voice_calls"
MARK = "Xq7Mark"

LEFT = "readings of ranges that are left"
SELECTS_ON = "what `from` and `to` select on"
TOTAL = "`total_records`"
LONGEST = "the longest engagement seen"
LIVING = "the list, while its pages are read"
COVERED = "what of a range is answered"
KEPT = "how far back history goes"
WIDTH = "the longest range"
LIMITS = "headers about limits, the last of each"

Findings = dict[tuple[str, str], str]
"""What was found, by log and question."""

READINGS: dict[str, tuple[str, dict[object, str]]] = {
    "selects_on": (
        SELECTS_ON,
        {"start": "start time", "end": "end time", "overlap": "overlap: any part of it .*"},
    ),
    "from_inclusive": (
        "an engagement at exactly `from`",
        {True: "is in the range", False: "is not in the range"},
    ),
    "to_inclusive": (
        "an engagement at exactly `to`",
        {True: "is in the range", False: "is not in the range"},
    ),
    "order": (
        "order of rows",
        {
            "start_descending": "by start time, newest first",
            "start_ascending": "by start time, oldest first",
            "end_ascending": "by end time, oldest first",
            "shuffled": "neither by start nor by end time",
        },
    ),
    "month": (WIDTH, {"calendar": "a calendar month", 28: "28 days", 30: "30 days", 31: "31 days"}),
    "days_only": ("precision of `from` and `to`", {False: "the second", True: "whole days"}),
    "offset_ignored": (
        "the offset of `from` and `to`",
        {
            False: "decides which engagements are selected",
            True: "does not decide: times are read in a zone of the account's own",
        },
    ),
    # Either form is read, so that nobody has to know it.
    "sms_times": ("", {"Z": "", "offset": ""}),
    "history_days_kept": (
        KEPT,
        {
            None: r"at least ([1-3]?\d|4[0-5]) days?",
            20: r"about (19|20|21) days: answers begin there|at least 1?\d days?",
        },
    ),
    "days_answered": (COVERED, {None: "all of it, as answers say", 7: "only its last [78] days"}),
    "range_told": (
        "the range that an answer names",
        {
            **dict.fromkeys(("instants", "instants_z"), "is given as date-times"),
            **dict.fromkeys(("instants_of_account", "clock_of_account"), "is given as date-times"),
            **dict.fromkeys(("days", "days_of_account"), "is given in days"),
            "clock_of_account_z": "is given as date-times",
            "unreadable": "is in a form that cannot be read",
            "nothing": "is not there",
        },
    ),
    "seconds_between_pages": (LIVING, {None: "stands still", 240: "lives: .*"}),
}
"""Every reading that the simulator can play: the question, and the finding that names each answer.

Without a question, nothing is found out of it.
"""
MEANINGS = {
    "selects_on=end": "selects `voice_calls` by end time here, so that a lookback of 1",
    "selects_on=overlap": "selects `voice_calls` by overlap here, so that a lookback of 1",
    "history_days_kept=20": "a `start_date` further back than about 2",
}
"""What a reading alone means for the settings, where it means anything."""

DEFAULTS = Readings()
SINGLES: list[dict[str, Any]] = [
    {name: value}
    for name, (_, findings) in READINGS.items()
    for value in findings
    if value != getattr(DEFAULTS, name)
]
EDGES = {"from_inclusive", "to_inclusive"}
OF_RANGES = {"selects_on", "days_only", "offset_ignored", "history_days_kept", *EDGES}


def together() -> list[dict[str, Any]]:
    """Return cases of many readings at once, in which any two of them meet somewhere.

    At most two of a case are about what a range holds: of more, too little could be found out.
    """
    pairs = [one | other for one, other in combinations(SINGLES, 2) if one.keys() != other.keys()]
    cases = []
    while pairs:
        case = dict(pairs[0])
        for pair in pairs:
            both = case | pair
            fits = all(case.get(name, value) == value for name, value in pair.items())
            if fits and len(both.keys() & {*OF_RANGES, "days_answered"}) <= 2:
                case = both
        pairs = [pair for pair in pairs if not pair.items() <= case.items()]
        cases.append(case)
    return cases


def contradictions(readings: Readings, findings: Findings) -> list[str]:
    """Return the findings that name another reading than the one that is played."""
    wrong = []
    for name, (question, named_by_value) in READINGS.items():
        right = named_by_value[getattr(readings, name)]
        if name in EDGES and readings.days_only:
            right = "(whole days have no edge)"
        if name == "days_answered" and readings.history_days_kept:
            right = "what history there is"
        wrong += [
            f"{stream}, {question}: {finding}"
            for stream in STREAMS
            if (finding := findings.get((stream, question), UNDETERMINED)) != UNDETERMINED
            if not re.fullmatch(right, finding)
        ]
    return wrong


def test_every_reading_of_the_simulator_has_its_verdict() -> None:
    assert {field.name for field in fields(Readings)} == READINGS.keys()


def played(case: dict[str, Any]) -> Scenario:
    zone = -8.0 if case.get("offset_ignored") else 5.5
    busy = Account(id="busy", sms=500, voice_calls=1500, utc_offset_hours=zone)
    if "seconds_between_pages" in case:
        # The log that holds more is the one that is read again.
        busy = replace(busy, voice_calls=100, explicit_sms=ending_soon())
    return recent(busy, readings=Readings(**case))


def ending_soon() -> tuple[Record, ...]:
    """Return conversations of which one ends in each minute: some do while pages are read."""
    begin, minute = NOW - timedelta(hours=2), timedelta(minutes=1)
    return tuple(
        engagement(f"soon{number}", begin + number * minute / 2, NOW + number * minute)
        for number in range(1, 120)
    )


def recent(*accounts: Account, **options: Any) -> Scenario:  # noqa: ANN401 (Scenario's)
    return Scenario(
        accounts=accounts,
        history_begin=NOW - timedelta(days=45),
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
    run = observe(simulator).check()
    findings = found(run)
    assert contradictions(Readings(**case), findings) == []
    for name, value in case.items() or DEFAULT_CASE.items():
        question, named_by_value = READINGS[name]
        told = [findings[stream, question] for stream in STREAMS if question]
        assert not question or any(re.fullmatch(named_by_value[value], each) for each in told), told
    assert MEANINGS.get(case_name(case), "none yet.") in meaning(run)


@pytest.mark.parametrize("case", together(), ids=case_name)
def test_of_several_readings_none_is_named_wrongly(case: dict[str, Any]) -> None:
    """Where a list lives, the log in which little has come is observed, too."""
    logs: list[Stream] = ["sms"] if "sms_times" in case else [CALLS]
    for stream in STREAMS if "seconds_between_pages" in case else logs:
        findings = found_in(played(case), stream)
        assert contradictions(Readings(**case), findings) == []
        if not case.keys() & {"days_only", "history_days_kept"}:
            assert findings[stream, SELECTS_ON] != UNDETERMINED, "too little is asked for"


def assert_none_of_many_is_named_wrongly(number: int) -> None:
    """Observe both logs of an account under random readings."""
    random = Random(number)
    case: dict[str, Any] = {
        name: random.choice(list(findings)) for name, (_, findings) in READINGS.items()
    }
    readings = Readings(**case)
    busy = Account(
        id="busy",
        utc_offset_hours=random.choice([-8.0, 5.5, 13.0]),
        sms=random.choice([0, 1, 2, 3, 12, 100, 500]),
        voice_calls=random.choice([0, 2, 10, 100, 500, 1500, 20_000]),
    )
    scenario = recent(busy, readings=readings, seed=random.randrange(2**31))
    for stream in STREAMS:
        wrong = contradictions(readings, found_in(scenario, stream))
        assert wrong == [], f"PROPERTY_SEED={number}: {readings}"


@pytest.mark.parametrize("number", range(24))
def test_none_of_many_readings_at_once_is_named_wrongly(number: int) -> None:
    assert_none_of_many_is_named_wrongly(number)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_no_reading_of_many_at_once_is_named_wrongly_for_an_hour() -> None:
    end = time.monotonic() + float(os.environ.get("PROPERTY_SECONDS", "3600"))
    number = int(os.environ.get("PROPERTY_SEED", str(time.time_ns())))
    while time.monotonic() < end:
        assert_none_of_many_is_named_wrongly(number)
        number += 1


def test_an_account_that_ignores_ranges_leads_to_no_verdict_about_them() -> None:
    ignoring = Account(id="busy", voice_calls=1500, ignores_range=True)
    findings = found_in(recent(ignoring), CALLS)
    for name in OF_RANGES:
        assert findings[CALLS, READINGS[name][0]] == UNDETERMINED


WORLDS: list[World] = []
"""The world that was made last: the next one takes over its engagements."""


def found_in(scenario: Scenario, stream: Stream) -> Findings:
    """Return what the same requests and verdicts find in a world without HTTP around it."""
    world = World(replace(scenario, clock=Clock(now=NOW)), *WORLDS)
    WORLDS[:] = [world]
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


def test_the_busiest_of_the_first_accounts_is_observed_without_filters(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(
        recent(
            Account(id="idle"),
            Account(id="busy", sms=300, voice_calls=900),
            Account(id="quiet", sms=5),
            Account(id="fourth", sms=5000),
        )
    )
    observe(simulator, sms_filters={"direction": "inbound"}).check()
    assert not any("direction" in entry.query for entry in simulator.stats().log)
    sent = {stream: simulator.stats().requests[stream] for stream in STREAMS}
    for stream in STREAMS:
        assert sent[stream].keys() == {"idle", "busy", "quiet"}
        assert sent[stream]["idle"] == sent[stream]["quiet"] == 1
    assert sent["sms"]["busy"] <= 6, "what lies far back is asked for in one log"
    assert sum(sent[stream]["busy"] for stream in STREAMS) >= 12
    assert requests_sent(simulator) <= MOST_REQUESTS


THREE = [Account(id=name, sms=300, voice_calls=900) for name in ("one", "two", "three")]


def test_requests_that_are_sent_again_count(simulator: SimulatorProcess) -> None:
    simulator.replace(recent(*THREE, faults=(Fault(kind="reset_before_body", probability=0.4),)))
    run = observe(simulator).check()
    assert requests_sent(simulator) == MOST_REQUESTS
    assert {stream for stream, question in found(run) if question == WIDTH} == set(STREAMS)


def test_a_log_that_never_answers_uses_up_no_more(simulator: SimulatorProcess) -> None:
    faults = tuple(Fault(kind="reset_before_body", endpoint=stream) for stream in STREAMS)
    simulator.replace(recent(*THREE, faults=faults))
    run = observe(simulator).check(1)
    assert requests_sent(simulator) <= MOST_REQUESTS
    (line,) = run.logged("ERROR")
    assert "Nothing can be observed: sms answers nothing, voice_calls answers nothing" in line


def test_what_was_learned_before_the_daily_limit_is_told_with_the_limits(
    simulator: SimulatorProcess,
) -> None:
    limits = Limits(requests_per_second=50, requests_per_day=10)
    simulator.replace(recent(replace(THREE[0], id=MARK), limits=limits))
    run = observe(simulator, requests_per_second=50).check(1)
    (line,) = run.logged("ERROR")
    assert "the daily limit is spent" in line
    assert MARK not in run.stdout.decode() + run.stderr
    assert "something ended it early" in run.stdout.decode().splitlines()[0]
    findings = found(run)
    assert findings[CALLS, SELECTS_ON] == "start time"
    assert findings[CALLS, WIDTH] == UNDETERMINED
    assert re.fullmatch(r"200 \(10\), 429 \(code 429, 1\)", findings["all", "HTTP statuses"])
    for header in ("x-ratelimit-limit: 10", "x-ratelimit-category: Heavy"):
        assert header in findings["all", LIMITS]


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


# When it cannot be done


def test_what_cannot_be_observed_is_said_in_one_line(simulator: SimulatorProcess) -> None:
    refusal = Refusal(message=f"No permission for {MARK}.")
    simulator.replace(recent(Account(id=MARK, sms_refusal=refusal, voice_calls_refusal=refusal)))
    nothing = "Nothing can be observed: sms answers HTTP 40"
    for words, run in (
        (nothing, observe(simulator)),
        (nothing, observe(simulator, named=f"no-{MARK}")),
        ("client_secret", observe(simulator, client_secret="wrong")),
    ):
        (line,) = run.check(1).logged("ERROR")
        assert words in line
        assert MARK not in run.stderr
        assert not run.stdout


def test_a_log_that_is_refused_is_told_beside_the_other(simulator: SimulatorProcess) -> None:
    simulator.replace(recent(Account(id="one", sms=90, voice_calls_refusal=Refusal())))
    findings = found(observe(simulator).check())
    assert findings["voice_calls", "the log"] == "refused: HTTP 403, code 200"
    assert findings["sms", SELECTS_ON] == "start time"


def test_an_account_without_engagements_tells_little(simulator: SimulatorProcess) -> None:
    simulator.replace(recent(Account(id="one")))
    run = observe(simulator).check()
    assert {found(run)["sms", each] for each in (SELECTS_ON, TOTAL, LONGEST)} == {UNDETERMINED}
    assert meaning(run) == "none yet."


# What else is told


def test_a_wrong_total_and_the_longest_engagement_are_told_and_what_follows(
    simulator: SimulatorProcess,
) -> None:
    long_one = engagement("long", NOW - timedelta(days=20, hours=2), NOW - timedelta(days=1))
    account = Account(id="one", voice_calls=1500, explicit_sms=(long_one,))
    wrong = Fault(kind="total_too_high", endpoint=CALLS)
    simulator.replace(recent(account, faults=(wrong,)))
    run = observe(simulator).check()
    told = found(run)[CALLS, TOTAL]
    assert re.fullmatch(r"differs from the rows that come, such as \d+ for \d+", told)
    assert "`on_count_mismatch: warn`" in meaning(run)
    assert found(run)["sms", LONGEST] == "19 days, 2:00:00, of 1 engagement seen"
    assert "open for 19 days, 2:00:00: set `sms_lookback_days` to 20 at least" in meaning(run)


def asked(purpose: Purpose, begin: int, end: int = 0) -> Asked:
    """Return a request for a range that begins and ends so many days ago."""
    return Asked(purpose, Window(NOW - timedelta(days=begin), NOW - timedelta(days=end)))


NEWEST, AGAIN, MONTH = asked("base", 28), asked("living", 28), asked("width", 31)
A_WEEK = ((NOW - timedelta(days=7)).isoformat(), NOW.isoformat())
OLD, NEW = (
    Engagement(f"row{days}", NOW - timedelta(days=days), NOW - timedelta(days=days, hours=-1))
    for days in (8, 6)
)


def pages(fresh: int, second: int) -> list[Seen]:
    """Return two pages by the token of the first one, which was asked for again meanwhile."""
    return [
        Seen(NEWEST, 200, token="t", total=200),
        Seen(AGAIN, 200, token="u", total=fresh),
        Seen(AGAIN, 200, total=second),
    ]


def a_row_less(**how: Any) -> list[Seen]:  # noqa: ANN401 (Seen's)
    """Return a range with one row, and a shorter one within it with another."""
    short = Seen(asked("range", 9, 7), 200, rows=(OLD,), total=1)
    return [Seen(asked("range", 10, 4), 200, rows=(NEW,), **how), short]


@pytest.mark.parametrize(
    ("seen", "question", "finding"),
    [
        (pages(fresh=203, second=200), LIVING, "stands still"),
        (pages(fresh=203, second=203), LIVING, "lives: the total grows from page to page"),
        (pages(fresh=200, second=200), LIVING, UNDETERMINED),
        (pages(fresh=201, second=200), LIVING, UNDETERMINED),
        ([Seen(MONTH, 400), Seen(MONTH, 200)], WIDTH, "30 days"),
        ([Seen(MONTH, 503), Seen(MONTH, 200)], WIDTH, UNDETERMINED),
        ([Seen(NEWEST, 200, told=A_WEEK)], KEPT, UNDETERMINED),
        ([Seen(NEWEST, 200, told=A_WEEK)], COVERED, UNDETERMINED),
        (a_row_less(total=1), LEFT, "0 of .*"),
        # The row may be on a further page.
        (a_row_less(total=1, token="t"), LEFT, "[1-9].*"),
        (a_row_less(total=2), LEFT, "[1-9].*"),
    ],
)
def test_from_answers_follows_no_more_than_they_say(
    seen: list[Seen], question: str, finding: str
) -> None:
    findings = findings_of(Log("sms", lambda _: None, NOW, seen))
    assert re.fullmatch(finding, findings["sms", question])


YEAR_1 = "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "times", [{"start_time": YEAR_1}, {"end_time": YEAR_1}, {"end_time": None}], ids=str
)
def test_a_row_without_a_time_is_passed_over(times: dict[str, str | None]) -> None:
    """A program that has no time may write the year 1."""
    row = engagement("one", NOW - timedelta(hours=3), NOW - timedelta(hours=2))
    rows = [{**row, **times}, {**row, "engagement_id": "two"}]
    body = json.dumps({"sms": rows, "total_records": 2}).encode()
    assert [each.row_id for each in seen_in_body(body, "sms", NEWEST).rows] == ["two"]


# Privacy


NUMBER = 7654321


def with_marks(part: Record) -> Record:
    """Return an object of JSON with a mark in place of each text, and one number for all."""
    marks = {str: MARK, int: NUMBER, float: NUMBER}
    return {name: marks.get(type(value), value) for name, value in part.items()}


def marked(row: Record, number: int) -> Record:
    """Return an engagement as it is, but for all that its texts and numbers say."""
    name = f"{MARK}-{number}"
    times = {each: row[each] for each in ("start_time", "end_time")}
    marks = json.loads(json.dumps(row), object_hook=with_marks)
    return {**marks, **times, "engagement_id": name, name: {MARK: MARK}}


def test_nothing_of_a_row_is_told(simulator: SimulatorProcess) -> None:
    simulator.replace(recent(Account(id="one", sms=150, voice_calls=150)))
    sms, calls = (
        tuple(marked(row, number) for number, row in enumerate(simulator.truth(stream)))
        for stream in STREAMS
    )
    account = Account(id=MARK, name=MARK, explicit_sms=sms, explicit_voice_calls=calls)
    own = dict.fromkeys(("account_id", "client_id", "client_secret"), f"{MARK}-own")
    simulator.replace(recent(account, **own))
    run = observe(simulator).check()
    assert found(run)["sms", SELECTS_ON] == "start time", "nothing was seen"
    for secret in (MARK, str(NUMBER)):
        assert secret not in run.stdout.decode() + run.stderr


def test_a_header_is_told_by_a_word_a_number_or_a_time_alone() -> None:
    for value in ("10", "Daily-limit", "1790000000", "2026-11-30T00:00:00Z"):
        assert SHOWN_VALUE.fullmatch(value)
    for value in ("someone@example.com", "2025550123"):
        assert not SHOWN_VALUE.fullmatch(value)

"""The simulator gives its truth, refuses what Zoom refuses, and counts what it was asked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulator.scenario import STREAMS, Clock, Limits, Readings
from tests.simulator.caller import JANUARY, MANY, SUB, Client, at, engagement, with_engagements

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream
    from tests.simulator.caller import Parameters

ROOT = Path(__file__).parents[2]
INVALID = "Invalid field."
NO_DATE = "must be in"
BAD_PAGE_TOKEN = "The next page token is invalid or expired."


def test_the_pages_together_are_the_truth(simulator: SimulatorProcess) -> None:
    readings = Readings(sms_times="offset", order="start_ascending")
    client = Client(simulator, replace(MANY, readings=readings))
    rows = []
    for span in (
        ("2024-01-01T00:00:00+00:00", "2024-01-31T00:00:00+00:00"),
        ("2024-01-31T00:00:01+00:00", "2024-02-12T00:00:00+00:00"),
    ):
        pages = client.pages(span)
        rows += [{"account_id": SUB, **row} for page in pages for row in page["sms"]]
        assert {page["total_records"] for page in pages} == {sum(len(p["sms"]) for p in pages)}
    truth = simulator.truth("sms", SUB)
    assert rows == truth
    (count,) = (c for c in simulator.counts() if (c.stream, c.account_id) == ("sms", SUB))
    assert count.rows == len(truth)
    assert count.first_start_time == truth[0]["start_time"]
    assert count.last_start_time == truth[-1]["start_time"]


def test_an_engagement_appears_a_minute_after_its_end(simulator: SimulatorProcess) -> None:
    inside = engagement("inside", "10:30:00", "11:00:00")
    client = Client(simulator, with_engagements(inside, clock=Clock(now=at("2024-01-10T11:00:59"))))
    assert not client.ids()
    assert not simulator.truth("sms")
    simulator.set_clock(at("2024-01-10T11:01:00"))
    (row,) = simulator.truth("sms")
    assert client.ids() == [row["engagement_id"]]


# The document calls these valid: its schema says less than its text.
@pytest.mark.parametrize(
    ("stream", "parameters", "message"),
    [
        ("sms", {"from": "2024-01-02"}, INVALID),
        ("sms", {"from": "2024-01-03", "to": "2024-01-02"}, INVALID),
        ("voice_calls", {"types": "external_call,internal_call"}, INVALID),
        ("voice_calls", {"user_ids": ["a", "b"]}, INVALID),
        ("sms", {"from": "yesterday", "to": "2024-02-03"}, NO_DATE),
        ("sms", {"from": "2024-01-02", "to": "2024-01-03T00:00:00Z"}, NO_DATE),
        ("sms", {"from": "2024-01-02T00:00:00 00:00", "to": "2024-01-03"}, NO_DATE),
        ("sms", {"next_page_token": "made up"}, BAD_PAGE_TOKEN),
    ],
)
def test_a_wrong_parameter_is_refused(
    simulator: SimulatorProcess, stream: Stream, parameters: Parameters, message: str
) -> None:
    answer = Client(simulator, MANY).get(f"/accounts/{SUB}/contact_center/{stream}", parameters)
    assert (answer.status_code, answer.json()["code"]) == (400, 300)
    assert message in answer.json()["message"]


def test_what_does_not_exist_is_refused(simulator: SimulatorProcess) -> None:
    client = Client(simulator, MANY)
    calls = f"/accounts/{SUB}/contact_center/voice_calls"
    for path, parameters, status, code in (
        ("/accounts/nobody/contact_center/sms", {}, 404, 2001),
        (f"/accounts/{MANY.account_id}/contact_center/sms", {}, 404, 2001),
        (calls, {"user_ids": "unheard-of"}, 404, 1001),
        (calls, {"cc_queue_ids": "unheard-of"}, 404, 1201),
        (calls, {"engagement_id": "unheard-of"}, 404, 2901),
    ):
        answer = client.get(path, parameters)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
    client.headers = {"Authorization": "Bearer wrong"}
    answer = client.engagements()
    assert (answer.status_code, answer.json()["code"]) == (401, 124)


def test_a_page_token_holds_for_its_query_only(simulator: SimulatorProcess) -> None:
    client = Client(simulator, MANY)
    token = client.page(JANUARY)["next_page_token"]
    assert client.page(JANUARY, next_page_token=token)
    for answer in (
        client.engagements("sms", page_size=100, next_page_token=token),
        client.engagements("sms", JANUARY, page_size=20, next_page_token=token),
        client.engagements("voice_calls", JANUARY, page_size=100, next_page_token=token),
    ):
        assert (answer.status_code, answer.json()["message"]) == (400, BAD_PAGE_TOKEN)


def test_requests_above_the_limit_of_a_second_are_refused(simulator: SimulatorProcess) -> None:
    client = Client(simulator, replace(MANY, limits=Limits(requests_per_second=3)))
    # The fourth may come more than a second after the first on a busy machine, but not all of 50.
    answers = [client.engagements(STREAMS[n % 2]) for n in range(50)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert "per-second" in refused[0].json()["message"]
    assert "X-RateLimit-Type" in refused[0].headers
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert client.get("/accounts").status_code == 200
    stats = simulator.stats()
    assert stats.rate_limited == len(refused)
    assert 3 < stats.most_requests_in_one_second <= 50


def test_the_statistics_tell_what_was_asked_by_whom(simulator: SimulatorProcess) -> None:
    client = Client(simulator, MANY)
    simulator.access_token()
    answer = client.page(JANUARY)
    client.engagements("voice_calls", page_size=0)
    client.get("/accounts")
    stats = simulator.stats()
    of_each = {"sms": {SUB: 1}, "voice_calls": {SUB: 1}, "accounts": {"": 1}}
    assert stats.requests == {"token": {"": 1}, **of_each}
    assert stats.rows["sms"] == {SUB: len(answer["sms"])}
    assert stats.statuses == {"200": 3, "400": 1}
    assert stats.tokens_issued == 1
    assert stats.bearer_requests == stats.bearer_tokens == dict.fromkeys(of_each, 1)
    entry = stats.log[1]
    assert entry.path == f"/v2/accounts/{SUB}/contact_center/sms"
    assert "from=2024-01-02T00%3A00%3A00%2B00%3A00" in entry.query
    assert (entry.endpoint, entry.account_id, entry.status) == ("sms", SUB, 200)
    simulator.reset_stats()
    assert simulator.stats().log == []


# As a process


def test_it_leaves_when_its_parent_dies() -> None:
    parent = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'simulator'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "os._exit(0)\n"
    )
    # The simulator has its parent's error stream: what reads that waits until both have ended.
    subprocess.run([sys.executable, "-c", parent], cwd=ROOT, stderr=subprocess.PIPE, check=True)

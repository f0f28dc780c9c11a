"""Filters reach Zoom as its documents write them, and select what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import STREAMS, Account
from tap_zoom_cc.zoom.filters import declared
from tests.harness.history import FIRST_RUN, HOUR, engagement, requests_to, scenario
from tests.harness.rows import assert_same_rows
from tests.harness.singer import bookmarks, selecting
from tests.harness.tap import sync

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.process import SimulatorProcess
    from simulator.scenario import Stream


@pytest.mark.parametrize(
    ("filters", "stream"),
    [
        ({"sms_filters": {"user_id": "agent-1"}}, "sms"),
        ({"sms_filters": {"engagement_id": "mine-0000000000"}}, "sms"),
        ({"voice_calls_filters": {"user_ids": ["agent-1"]}}, "voice_calls"),
        ({"voice_calls_filters": {"cc_queue_ids": ["queue-1"]}}, "voice_calls"),
    ],
    ids=str,
)
def test_a_filter_that_only_one_account_knows_means_no_rows_in_the_others(
    simulator: SimulatorProcess, filters: dict[str, Any], stream: Stream
) -> None:
    start = FIRST_RUN - 9 * HOUR
    mine = engagement(
        "mine",
        start,
        start + HOUR,
        agents=[{"user_id": "agent-1"}],
        queues=[{"cc_queue_id": "queue-1"}],
    )
    account = Account(id="mine", sms=30, explicit_sms=(mine,), explicit_voice_calls=(mine,))
    simulator.replace(scenario(account, Account(id="other", sms=30, voice_calls=30)))
    run = sync(simulator, **filters).check()
    assert [row["engagement_id"] for row in run.records(stream)] == ["mine-0000000000"]
    assert "other" not in bookmarks(run.state, stream)


def test_an_account_that_was_read_before_and_does_not_know_a_filter_has_no_rows_either(
    simulator: SimulatorProcess,
) -> None:
    start = FIRST_RUN - 9 * HOUR
    mine = engagement("mine", start, start + HOUR, agents=[{"user_id": "agent-1"}])
    simulator.replace(scenario(Account(id="mine", explicit_sms=(mine,)), Account(id="other")))
    state = sync(simulator).check().state
    later = FIRST_RUN + 9 * HOUR
    run = sync(simulator, later, state=state, sms_filters={"user_id": "agent-1"}).check()
    before, after = bookmarks(state, "sms"), bookmarks(run.state, "sms")
    assert after["mine"] > before["mine"]
    assert after["other"] == before["other"]


def test_a_filter_that_no_account_knows_fails_the_run(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="one", sms=30), Account(id="two", sms=30)))
    run = sync(simulator, sms_filters={"user_id": "nobody"}).check(1)
    assert any("not one account" in line for line in run.logged("ERROR"))


def example(schema: Mapping[str, Any]) -> str | list[str]:
    """Return a value that a filter's schema allows; of a list, two."""
    if schema["type"] == "array":
        inner = schema["items"]
        two_letters = ["DE", "CH"] if "pattern" in inner else ["one", "two"]
        return list(inner.get("enum", two_letters)[:2])
    return str(schema.get("enum", ["one"])[0])


@pytest.mark.parametrize(
    ("stream", "name"), [(stream, name) for stream in STREAMS for name in declared(stream)]
)
def test_every_filter_reaches_the_server_in_the_form_of_the_document(
    simulator: SimulatorProcess, stream: Stream, name: str
) -> None:
    schema = declared(stream)[name]
    value = example(schema)
    simulator.replace(scenario(Account(id="one", sms=5, voice_calls=5)))
    settings: dict[str, Any] = {f"{stream}_filters": {name: value}}
    sync(simulator, sub_account_ids=["one"], **settings)
    values = [value] if isinstance(value, str) else value
    sent = [",".join(values)] if schema.get("x-style") == "comma" else values
    asked = requests_to(simulator, stream)
    assert asked
    assert all(query[name] == sent for query in asked)


@pytest.mark.parametrize(
    ("without", "filters", "view_type"),
    [
        ((), {}, "detail"),
        (("voice_call_details",), {}, "summary"),
        ((), {"view_type": "summary"}, "summary"),
        (("voice_call_details",), {"view_type": "detail"}, "detail"),
    ],
)
def test_call_details_are_asked_for_when_they_are_selected(
    simulator: SimulatorProcess,
    discovered: dict[str, Any],
    without: tuple[str, ...],
    filters: dict[str, str],
    view_type: str,
) -> None:
    simulator.replace(scenario(Account(id="calls", voice_calls=30)))
    catalog = selecting(discovered, ["voice_calls"], without=without)
    run = sync(simulator, catalog=catalog, voice_calls_filters=filters).check()
    asked = {query["view_type"][0] for query in requests_to(simulator, "voice_calls")}
    assert asked == {view_type}
    left_out = {*without, *(["voice_call_details"] if view_type == "summary" else [])}
    expected = [
        {name: value for name, value in row.items() if name not in left_out}
        for row in simulator.truth("voice_calls")
    ]
    assert_same_rows("voice_calls", run.records("voice_calls"), expected)


def test_what_a_filter_says_stays_what_it_is(simulator: SimulatorProcess) -> None:
    simulator.replace(scenario(Account(id="calls", voice_calls=150)))
    names, odd = ["My team", "Équipe de nuit"], "+1 (555) 010-0000&page_size=1"
    filters = {"cc_queue_ids": ["none"], "team_names": names, "consumer_number": odd}
    sync(simulator, voice_calls_filters=filters).check()
    asked = requests_to(simulator, "voice_calls")
    assert asked
    for query in asked:
        assert query["cc_queue_ids"] == ["none"]
        assert query["team_names"] == [",".join(names)]
        assert query["consumer_number"] == [odd]
        assert query["page_size"] == ["100"], "a value is never read as another parameter"
    raw = [entry.query for entry in simulator.stats().log if entry.endpoint == "voice_calls"]
    assert all("%2B00%3A00" in query for query in raw), "a bare + would be a space"
    assert all("next_page_token=None" not in query for query in raw)


def test_filtered_rows_are_those_that_zoom_selects_and_no_others(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="calls", sms=200)))
    run = sync(simulator, sms_filters={"direction": "outbound"}).check()
    truth = [row for row in simulator.truth("sms") if row.get("direction") == "outbound"]
    assert 0 < len(truth) < 200
    assert_same_rows("sms", run.records("sms"), truth)

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

START = FIRST_RUN - 9 * HOUR
MINE = engagement(
    "mine",
    START,
    START + HOUR,
    agents=[{"user_id": "agent-1"}],
    queues=[{"cc_queue_id": "queue-1"}],
)


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
    account = Account(id="mine", sms=30, explicit_sms=(MINE,), explicit_voice_calls=(MINE,))
    simulator.replace(scenario(account, Account(id="other", sms=30, voice_calls=30)))
    run = sync(simulator, **filters).check()
    assert [row["engagement_id"] for row in run.records(stream)] == ["mine-0000000000"]
    assert "other" not in bookmarks(run.state, stream)


def test_an_account_that_was_read_before_and_does_not_know_a_filter_has_no_rows_either(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="mine", explicit_sms=(MINE,)), Account(id="other")))
    state = sync(simulator).check().state
    later = FIRST_RUN + 9 * HOUR
    run = sync(simulator, later, state=state, sms_filters={"user_id": "agent-1"}).check()
    before, after = bookmarks(state, "sms"), bookmarks(run.state, "sms")
    assert after["mine"] > before["mine"]
    assert after["other"] == before["other"]


ODD = ["Équipe de nuit", "+1 (555) 010-0000&page_size=1"]


def example(schema: Mapping[str, Any]) -> str | list[str]:
    """Return a value that a filter's schema allows, as odd as it may be; of a list, two."""
    if schema["type"] == "array":
        inner = schema["items"]
        return list(inner.get("enum", ["DE", "CH"] if "pattern" in inner else ODD)[:2])
    return str(schema.get("enum", ODD)[-1])


@pytest.mark.parametrize("stream", STREAMS)
def test_every_filter_reaches_the_server_in_the_form_of_the_document(
    simulator: SimulatorProcess, stream: Stream
) -> None:
    simulator.replace(scenario(Account(id="one", sms=5, voice_calls=5)))
    filters = {name: example(schema) for name, schema in declared(stream).items()}
    settings: dict[str, Any] = {f"{stream}_filters": filters}
    sync(simulator, sub_account_ids=["one"], **settings)
    asked = requests_to(simulator, stream)
    assert asked
    for name, value in filters.items():
        values = [value] if isinstance(value, str) else value
        is_one = declared(stream)[name].get("x-style") == "comma"
        sent = [",".join(values)] if is_one else values
        assert all(query[name] == sent for query in asked), name
    assert all(query["page_size"] == ["100"] for query in asked), "a value became a parameter"
    raw = [entry.query for entry in simulator.stats().log if entry.endpoint == stream]
    assert all("%2B00%3A00" in query for query in raw), "a bare + would be a space"
    assert all("next_page_token=None" not in query for query in raw)


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
    sync(simulator, catalog=catalog, voice_calls_filters=filters).check()
    asked = {query["view_type"][0] for query in requests_to(simulator, "voice_calls")}
    assert asked == {view_type}


def test_filtered_rows_are_those_that_zoom_selects_and_no_others(
    simulator: SimulatorProcess,
) -> None:
    simulator.replace(scenario(Account(id="calls", sms=900)))
    run = sync(simulator, sms_filters={"direction": "outbound"}).check()
    truth = [row for row in simulator.truth("sms") if row.get("direction") == "outbound"]
    assert 0 < len(truth) < 900
    assert_same_rows("sms", run.records("sms"), truth)

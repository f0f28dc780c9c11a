"""Each fault of the simulator does what its name says, when the scenario says it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from simulator.scenario import Account, Fault
from tests.simulator.caller import JANUARY, MANY, SUB, Client, ids_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.process import SimulatorProcess
    from simulator.scenario import FaultKind

PARTS = "2024-01-08T00:00:00+00:00", "2024-01-08T12:00:00+00:00"
"""What fits on one page."""


def faulty(
    simulator: SimulatorProcess,
    kind: FaultKind,
    **options: Any,  # noqa: ANN401 (the fault's)
) -> Client:
    fault = Fault(kind=kind, **{"endpoint": "sms", **options})
    return Client(simulator, replace(MANY, faults=(fault,)))


@pytest.mark.parametrize(
    ("kind", "is_so"),
    [
        ("missing_next_page_token", lambda page: "next_page_token" not in page),
        ("missing_total_records", lambda page: "total_records" not in page),
        ("total_too_high", lambda page: page["total_records"] == 3 * len(page["sms"]) + 1),
        ("total_too_low", lambda page: page["total_records"] == len(page["sms"]) - 1),
        ("token_after_last_page", lambda page: page["next_page_token"]),
    ],
)
def test_what_an_answer_says_of_its_pages_can_be_wrong(
    simulator: SimulatorProcess, kind: FaultKind, is_so: Callable[[dict[str, Any]], bool]
) -> None:
    page = faulty(simulator, kind, by=1, times=3).page(PARTS)
    assert page["sms"]
    assert is_so(page)


def test_a_token_after_the_last_page_leads_to_an_empty_one(simulator: SimulatorProcess) -> None:
    pages = faulty(simulator, "token_after_last_page", requests=(1,)).pages(PARTS)
    assert [bool(page["sms"]) for page in pages] == [True, False]


def test_a_page_token_can_expire_early_in_either_wording(simulator: SimulatorProcess) -> None:
    client = faulty(simulator, "page_token_expired")
    token = client.engagements("sms", JANUARY).json()["next_page_token"]
    answers = [client.engagements("sms", JANUARY, next_page_token=token) for _ in range(20)]
    assert {(answer.status_code, answer.json()["message"]) for answer in answers} == {
        (400, "The next page token is invalid or expired."),
        (400, "The next page token is either invalid or has expired."),
    }


def test_rows_can_come_twice_in_a_page_and_on_the_next(simulator: SimulatorProcess) -> None:
    pages = faulty(simulator, "duplicate_rows").pages(JANUARY, page_size=10)
    right = Client(simulator, MANY).pages(JANUARY)
    names = [ids_of(page["sms"]) for page in pages]
    assert {name for page in names for name in page} == {
        name for page in right for name in ids_of(page["sms"])
    }
    assert any(len(set(page)) < len(page) for page in names)
    assert any(set(one) & set(two) for one, two in pairwise(names))


def test_a_row_that_moves_is_missed_once_and_there_when_read_again(
    simulator: SimulatorProcess,
) -> None:
    seen = set()
    for seed in range(6):
        fault = Fault(kind="rows_shift", endpoint="sms", requests=(1,))
        client = Client(simulator, replace(MANY, seed=seed, faults=(fault,)))
        moved, right = (
            [row for page in client.pages(JANUARY, page_size=10) for row in page["sms"]]
            for _ in range(2)
        )
        assert len(set(ids_of(moved))) == len(right) - 1
        assert all(row in right for row in moved)
        seen.add(len(moved) - len(right))
    assert seen == {-1, 0}, "one is skipped, and another may come twice"


def test_a_fault_strikes_the_requests_it_names_at_the_endpoint_and_account_it_names(
    simulator: SimulatorProcess,
) -> None:
    fault = Fault(kind="500_json", endpoint="sms", account_id=SUB, requests=(2, 4))
    scenario = replace(MANY, accounts=(*MANY.accounts, Account(id="other")), faults=(fault,))
    client = Client(simulator, scenario)
    assert client.engagements("voice_calls").status_code == 200
    assert client.get("/accounts/other/contact_center/sms").status_code == 200
    statuses = [client.engagements().status_code for _ in range(5)]
    assert statuses == [200, 500, 200, 500, 200]
    assert simulator.stats().faults == {"500_json": 2}


def test_a_fault_by_chance_strikes_alike_for_the_same_seed(simulator: SimulatorProcess) -> None:
    def statuses(seed: int) -> list[int]:
        fault = Fault(kind="503_json", endpoint="sms", probability=0.5)
        client = Client(simulator, replace(MANY, seed=seed, faults=(fault,)))
        return [client.engagements().status_code for _ in range(20)]

    one, two = statuses(1), statuses(2)
    assert statuses(1) == one != two
    assert set(one) == {200, 503}

"""Whether the rows that came are those that the simulator holds: none lost, invented or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import requests

from simulator.scenario import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from simulator.process import SimulatorProcess
    from tests.harness.process import TapRun
    from tests.harness.singer import Record

Key: TypeAlias = tuple[str, str, str]
"""Stream, account and engagement."""

KEYS = {
    "sms": ("account_id", "engagement_id"),
    "voice_calls": ("account_id", "engagement_id"),
    "sub_accounts": ("id",),
}


def key_of(stream: str, row: Record) -> Key:
    """Return what tells an engagement from all others."""
    return stream, row["account_id"], row["engagement_id"]


def without_nulls(row: Record) -> Record:
    """Return a row without its nulls, at every depth: what Zoom does not send is null in a record.

    All comparisons of rows with the simulator's leave them out, on both sides.
    """
    # Hundreds of thousands of values go through this, nearly all of them simple ones.
    return {
        name: _without_nulls(value) if isinstance(value, dict | list) else value
        for name, value in row.items()
        if value is not None
    }


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 (any of a row's values)
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in value]
    return without_nulls(value) if isinstance(value, dict) else value


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Give every value that is no object, list or null, each with its path: ``legs[].seconds``."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part, f"{path}[]")
    elif value is not None:
        yield path, value


def by_key(stream: str, rows: Iterable[Record]) -> dict[tuple[str, ...], Record]:
    """Return rows by key, `without_nulls`; of several with one key the last, as a target does."""
    return {tuple(row[name] for name in KEYS[stream]): without_nulls(row) for row in rows}


def of_account(account_id: str, rows: Iterable[Record]) -> list[Record]:
    """Return the rows of one account."""
    return [row for row in rows if row["account_id"] == account_id]


def truth_of(
    simulator: SimulatorProcess, accounts: Iterable[str] | None = None
) -> dict[Key, Record]:
    """Return what a perfect client would have read of these accounts or all, `without_nulls`."""
    wanted = None if accounts is None else set(accounts)
    return {
        key_of(stream, row): without_nulls(row)
        for stream in STREAMS
        for row in simulator.truth(stream)
        if wanted is None or row["account_id"] in wanted
    }


def listed_accounts(simulator: SimulatorProcess) -> list[Record]:
    """Return the sub accounts as the API lists them on its first page."""
    token = {"Authorization": f"Bearer {simulator.access_token()}"}
    answer = requests.get(f"{simulator.api_url}/accounts", headers=token, timeout=60)
    rows: list[Record] = answer.json()["accounts"]
    return rows


def keys_of(simulator: SimulatorProcess) -> set[Key]:
    """Return the keys of all that a perfect client would have read."""
    return {key_of(stream, row) for stream in STREAMS for row in simulator.truth(stream)}


def assert_same_rows(stream: str, rows: Sequence[Record], truth: Sequence[Record]) -> None:
    """Assert that rows, in any order and by key, are exactly those of the truth, values too."""
    found, expected = by_key(stream, rows), by_key(stream, truth)
    missing, surplus = expected.keys() - found.keys(), found.keys() - expected.keys()
    assert not missing, f"{stream}: {len(missing)} of {len(expected)} lost, such as {min(missing)}"
    assert not surplus, f"{stream}: {len(surplus)} that do not exist, such as {min(surplus)}"
    different = [key for key, row in expected.items() if found[key] != row]
    assert not different, (
        f"{stream}: {len(different)} of {len(expected)} changed on the way, such as\n"
        f"{found[different[0]]}\nwhich is\n{expected[different[0]]}"
    )


def assert_nothing_twice(stream: str, rows: Sequence[Record]) -> None:
    """Assert that no row of a run has the key of another."""
    keys = {tuple(row[name] for name in KEYS[stream]) for row in rows}
    assert len(keys) == len(rows), f"{stream}: rows came twice in one run"


def assert_complete(simulator: SimulatorProcess, *runs: TapRun) -> None:
    """Assert that runs together have read exactly what there is, each of them nothing twice."""
    for stream in STREAMS:
        for run in runs:
            assert_nothing_twice(stream, run.records(stream))
        rows = [row for run in runs for row in run.records(stream)]
        assert_same_rows(stream, rows, simulator.truth(stream))


def rows_of(cursor: Any, query: str) -> list[Record]:  # noqa: ANN401 (of any database)
    """Return the rows that a query selects."""
    cursor.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

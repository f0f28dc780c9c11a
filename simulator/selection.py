"""Which engagements a request selects, and in which order: pure, one reading at a time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from simulator import errors
from simulator.directory import COUNTRIES
from simulator.query import FILTERS, NO_QUEUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.directory import Directory
    from simulator.engagements import History
    from simulator.query import Query, Range
    from simulator.scenario import Readings


def check_names(history: History, query: Query) -> None:
    """Refuse a filter that names a user, queue or engagement that the account does not have.

    Raises:
        ApiError: 404 with 1001, 1201 or 2901.
    """
    for name in ("user_id", "user_ids"):
        for user in query.filters.get(name, ()):
            if user not in history.users:
                raise errors.unknown_user(user)
    for name in ("queue_ids", "cc_queue_ids"):
        for queue in query.filters.get(name, ()):
            if queue != NO_QUEUE and queue not in history.queues:
                raise errors.unknown_queue(queue)
    if query.engagement_id is not None and history.find(query.engagement_id) is None:
        raise errors.unknown_engagement(query.engagement_id)


def select(
    history: History, query: Query, chosen: Range, readings: Readings, *, newest_end: int
) -> Sequence[int]:
    """Give the positions of the engagements that a request selects, in the order of the answer.

    Args:
        history: the account's engagements.
        query: the filters.
        chosen: the range.
        readings: what the range selects on, and the order.
        newest_end: what ended after this instant is not visible yet.
    """
    positions = in_range(history, chosen, readings)
    if history.last_end > newest_end:
        positions = [p for p in positions if history.ends[p] <= newest_end]
    if query.engagement_id is not None:
        wanted = history.find(query.engagement_id)
        positions = [p for p in positions if p == wanted]
    for name, values in query.filters.items():
        of = FILTERS[query.stream][name].of
        wanted_values = _as_in_rows(name, values, history.directory)
        positions = [p for p in positions if not wanted_values.isdisjoint(of(history.body(p).row))]
    if readings.order == "start_descending":
        return positions[::-1]
    if readings.order == "end_ascending":
        return sorted(positions, key=history.ends.__getitem__)
    if readings.order == "shuffled":
        return sorted(positions, key=lambda position: hash((position, chosen.end)))
    return positions


def in_range(history: History, chosen: Range, readings: Readings) -> Sequence[int]:
    """Give the positions of all engagements in a range, by start time, visible or not."""
    starts, ends = history.starts, history.ends
    first = chosen.begin if chosen.begin_inclusive else chosen.begin + 1
    last = chosen.end if chosen.end_inclusive else chosen.end - 1
    if readings.selects_on == "start":
        return range(bisect_left(starts, first), bisect_right(starts, last))
    candidates = range(bisect_left(starts, first - history.longest), bisect_right(starts, last))
    if readings.selects_on == "overlap":
        return [p for p in candidates if ends[p] >= first]
    return [p for p in candidates if first <= ends[p] <= last]


def _as_in_rows(name: str, values: tuple[str, ...], directory: Directory) -> frozenset[str]:
    """Give a filter's values as rows hold them: rows name countries and regions, not their ids."""
    if name == "country_iso_codes":
        return frozenset(COUNTRIES.get(code, "") for code in values)
    if name == "region_ids":
        return frozenset(region.name for region in directory.regions if region.id in values)
    return frozenset(values)

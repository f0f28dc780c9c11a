"""What was found out, for people: a table in Markdown, and what it means for the settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tap_zoom_cc.commands.observe.verdicts import (
    SELECTED,
    TOTAL_DIFFERS,
    kept_for,
    longest_seen,
    total,
    verdicts,
)
from tap_zoom_cc.run.report import counted
from tap_zoom_cc.sync.windows import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from tap_zoom_cc.commands.observe.asking import Traffic
    from tap_zoom_cc.commands.observe.probes import Log

SHOWN_VALUE = re.compile(
    r"[A-Za-z-]{1,24}|\d{1,9}|1\d{9}|\d{4}-\d\d-\d\d[\d:.TZ+-]{0,20}|[A-Za-z]{3}, [\w: ]{1,24} GMT"
)
"""Values of headers that are shown: a word, a number, or a time, in seconds since 1970, too."""


def markdown(
    logs: Sequence[Log], lookbacks: Mapping[str, timedelta], traffic: Traffic, title: str
) -> str:
    """Return the whole output: a title, the table, and the line about settings.

    Args:
        logs: what was seen of each.
        lookbacks: how far back the settings let syncs look, by log.
        traffic: all requests.
        title: the first line.
    """
    lines = [title, "", "| log | question | finding |", "|---|---|---|"]
    for log in logs:
        found = verdicts(log) if log.is_readable else {"the log": f"refused: {log.refusal}"}
        lines += [f"| `{log.name}` | {question} | {told} |" for question, told in found.items()]
    statuses = ", ".join(
        f"{status} ({'' if code is None else f'code {code}, '}{count})"
        for (status, code), count in sorted(traffic.statuses.items(), key=str)
    )
    headers = "; ".join(
        f"{name}: {value if SHOWN_VALUE.fullmatch(value) else '(no word, number or time)'}"
        for name, value in sorted(traffic.headers.items())
    )
    lines += [f"| all | HTTP statuses | {statuses} |"]
    lines += [f"| all | headers about limits, the last of each | {headers or 'none'} |", ""]
    meaning = "; ".join(advice for log in logs for advice in _advice(log, lookbacks[log.name]))
    return "\n".join([*lines, f"For this account's settings: {meaning or 'none yet'}.", ""])


def _advice(log: Log, lookback: timedelta) -> Iterator[str]:
    left, longest, setting = log.readings, longest_seen(log), f"{log.name}_lookback_days"
    selected = {reading.selects_on for reading in left}
    if selected in ({"end"}, {"overlap"}):
        if all(reading.zone is None and not reading.days for reading in left):
            by = SELECTED[selected.pop()].partition(":")[0]
            yield (
                f"Zoom selects `{log.name}` by {by} here, so that a lookback of 1 hour would do "
                f"(`{setting}: 0.05`)"
            )
    elif longest is not None and longest > lookback:
        days = -(-longest // DAY)
        yield (
            f"an engagement in `{log.name}` was open for {longest}: set `{setting}` to {days} at "
            "least"
        )
    if kept := kept_for(log):
        kept_days = counted(round(kept / DAY), "day")
        yield f"a `start_date` further back than about {kept_days} has nothing to read"
    if total(log).startswith(TOTAL_DIFFERS):
        yield "`on_count_mismatch: warn`, if the totals stay wrong"

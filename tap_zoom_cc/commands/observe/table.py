"""What was found out, for people: a table in Markdown, and what it means for the settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tap_zoom_cc.commands.observe import verdicts as of
from tap_zoom_cc.commands.observe.verdicts import Verdict, in_words
from tap_zoom_cc.run.report import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

SHOWN_VALUE = re.compile(r"[A-Za-z-]{1,24}|\d{1,9}|[\d:.TZ+-]{1,30}|[A-Za-z]{3}, [\w: ]{1,24} GMT")
"""Values of headers that are shown: a word, a number, or a time."""

MOST_VALUES = 4


@dataclass(frozen=True, slots=True)
class Observation:
    """What was found out about one log; ``refusal`` says why, if it could not be read."""

    stream: str
    lookback: timedelta
    verdicts: Sequence[Verdict] = ()
    refusal: str = ""
    longest: timedelta | None = None

    def finding(self, question: str) -> str:
        """Return what was found about a question; nothing if that is not known."""
        found = (each.finding for each in self.verdicts if each.question == question)
        finding = next(found, of.UNDETERMINED)
        return "" if finding == of.UNDETERMINED else finding


def markdown(observations: Sequence[Observation], traffic: Iterable[Verdict], title: str) -> str:
    """Return the whole output: a title, the table, and the line about settings.

    Args:
        observations: one of each log.
        traffic: what was found about all answers together.
        title: the first line.
    """
    lines = [title, "", "| log | question | finding | evidence |", "|---|---|---|---|"]
    for each in observations:
        if each.refusal:
            lines.append(_row(each.stream, Verdict("the log", "cannot be read", each.refusal)))
        lines += [_row(each.stream, verdict) for verdict in each.verdicts]
    lines += [_row("all", verdict) for verdict in traffic]
    return "\n".join([*lines, "", f"For this account's settings: {meaning(observations)}.", ""])


def _row(stream: str, verdict: Verdict) -> str:
    name = stream if stream == "all" else f"`{stream}`"
    finding = verdict.finding if not verdict.is_known else f"**{verdict.finding}**"
    return f"| {name} | {verdict.question} | {finding} | {verdict.evidence} |"


def meaning(observations: Iterable[Observation]) -> str:
    """Return what follows for the settings of the account, or "none yet"."""
    return "; ".join(dict.fromkeys(each for log in observations for each in _advice(log))) or (
        "none yet"
    )


def _advice(log: Observation) -> Iterator[str]:
    selected = log.finding(of.SELECTS_ON)
    setting = f"{log.stream}_lookback_days"
    is_plain = (
        log.finding(of.OFFSET) == of.OFFSET_DECIDES and log.finding(of.PRECISION) == of.THE_SECOND
    )
    if selected in {of.SELECTED["end"], of.SELECTED["overlap"]}:
        if is_plain:
            yield (
                f"Zoom selects `{log.stream}` by {selected.partition(':')[0]} here, so that a "
                f"lookback of 1 hour would do (`{setting}: 0.05`)"
            )
    elif log.longest is not None and log.longest > log.lookback:
        days = -(-log.longest // timedelta(days=1))
        yield (
            f"an engagement in `{log.stream}` was open for {in_words(log.longest)}: set "
            f"`{setting}` to {days} at least"
        )
    kept = log.finding(of.HISTORY)
    if kept.endswith(of.BEGINS_THERE):
        yield f"a `start_date` further back than {kept.partition(':')[0]} has nothing to read"
    if log.finding(of.TOTAL) == of.TOTAL_DIFFERS:
        yield "`on_count_mismatch: warn`, if the totals stay wrong"


def traffic_verdicts(
    statuses: Mapping[tuple[int, int | None], int],
    headers: Mapping[str, Sequence[str]],
    lifetime: float | None,
) -> list[Verdict]:
    """Return what was found about all answers together.

    Args:
        statuses: how often each HTTP status came, with Zoom's code.
        headers: the values of each header about limits, in order.
        lifetime: seconds that the access token lives, as its answer says.
    """
    total = sum(statuses.values())
    codes = ", ".join(
        f"{status} ({'' if code is None else f'code {code}, '}{count})"
        for (status, code), count in sorted(statuses.items(), key=str)
    )
    values = "; ".join(f"{name}: {_values(headers[name])}" for name in sorted(headers))
    evidence = counted(total, "answer")
    return [
        Verdict("HTTP statuses", codes or "none", evidence),
        Verdict("headers about limits", values or "none", evidence),
        Verdict("lifetime of the access token", _lifetime(lifetime), "1 token"),
    ]


def _lifetime(seconds: float | None) -> str:
    return "is not told" if seconds is None else f"{seconds:g} s"


def _values(values: Sequence[str]) -> str:
    shown = list(dict.fromkeys(value for value in values if SHOWN_VALUE.fullmatch(value)))
    if not shown:
        return "values of another form than a word, a number or a time"
    return ", ".join([*shown[:MOST_VALUES], *(["…"] if len(shown) > MOST_VALUES else [])])

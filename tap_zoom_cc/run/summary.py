"""What a run tells at its end: METRIC lines to be alerted on, and a summary for people."""

from __future__ import annotations

import os
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, cast

from singer_sdk import metrics

from tap_zoom_cc.run.report import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_zoom_cc.run.report import Lag, Report, Tally

MOST_FIELDS_SHOWN = 10
"""How many fields of a stream the summary names."""


class Gauge(str, Enum):
    """What METRIC lines tell besides the SDK's own; a ``gauge`` is a value as of the run's end.

    Each is one for the whole run: Meltano shows name and value of a METRIC line, and no tags.
    """

    ACCOUNTS_BEHIND = "accounts_behind"
    """How many accounts are behind by more than a day, in any stream."""

    ACCOUNTS_SKIPPED = "accounts_skipped"
    """How many accounts were skipped, in any stream, since Zoom refused them."""

    ACCOUNTS_AT_REST = "accounts_at_rest"
    """How many accounts rest, in any stream; told only where some may."""

    BOOKMARK_AGE = "oldest_bookmark_age"
    """Seconds from the oldest bookmark, or the end of its rest, to where it should be."""


def log_end(report: Report, lags: Mapping[str, Lag]) -> None:
    """Log how the run ended: METRIC lines, a line for each stream, and one for the run.

    Args:
        report: what happened.
        lags: how far each stream with bookmarks is behind, by its name.

    The METRIC lines are logged from here, and not by the SDK, so that they are shown at the default
    level: `tap_zoom_cc.run.log` leaves out what the SDK says there.
    """
    for gauge, value, tags in _gauges(report, lags):
        # The SDK's points take any enumeration of texts, though they are typed for its own.
        metric = cast("metrics.Metric", gauge)
        point = metrics.Point("gauge", metric, value, {**tags, metrics.Tag.PID.value: os.getpid()})
        metrics.get_metrics_logger().info("METRIC: %s", point)
    for name in sorted({*report.tallies, *lags}):
        lag = lags.get(name)
        # That none is behind is known only if the accounts are.
        if lag and report.accounts is None and not lag.behind:
            lag = None
        report.logger.info("Summary of %s: %s", name, of_stream(report.tallies[name], lag))
    report.logger.info(
        "Summary: %s, %s, %s, %s, %s, %s",
        "accounts not known" if report.accounts is None else counted(report.accounts, "account"),
        counted(sum(tally.windows_done for tally in report.tallies.values()), "window"),
        counted(report.requests, "request"),
        counted(report.retries, "retry", "retries"),
        counted(len(report.failures), "failure"),
        duration(report.clock() - report.began),
    )


def _gauges(
    report: Report, lags: Mapping[str, Lag]
) -> Iterator[tuple[Gauge, float, dict[str, object]]]:
    """Yield what METRIC lines tell, as far as it is known: each with its value and its tags."""
    tallies = report.tallies.values()
    behind = {name for lag in lags.values() for name in lag.behind}
    if behind or (lags and report.accounts is not None):
        yield Gauge.ACCOUNTS_BEHIND, len(behind), {}
    if report.accounts is not None:
        skipped = {name for tally in tallies for name in tally.skipped}
        yield Gauge.ACCOUNTS_SKIPPED, len(skipped), {}
    may_rest = [tally.at_rest for tally in tallies if tally.at_rest is not None]
    if may_rest:
        yield Gauge.ACCOUNTS_AT_REST, len(frozenset[str]().union(*may_rest)), {}
    ages = [(lag.age, name, lag.account_id, lag.oldest) for name, lag in lags.items() if lag.oldest]
    if ages:
        age, name, account_id, bookmark = max(ages)
        tags: dict[str, object] = {
            metrics.Tag.STREAM.value: name,
            metrics.Tag.CONTEXT.value: {"account_id": account_id},
            "bookmark": bookmark.isoformat(),
        }
        yield Gauge.BOOKMARK_AGE, age.total_seconds(), tags


def of_stream(tally: Tally, lag: Lag | None) -> str:
    """Return what a stream has read, and how far it is behind, in one line."""
    parts = [counted(tally.rows, "row")]
    if tally.accounts:
        parts[0] += f" of {counted(tally.accounts, 'account')}"
        parts.append(f"{len(tally.skipped)} skipped")
    if tally.at_rest is not None:
        parts.append(f"{len(tally.at_rest)} at rest")
    if tally.newest:
        parts.append(f"newest {tally.newest.isoformat()}")
    if tally.longest:
        parts.append(f"longest open {duration(tally.longest.total_seconds())}")
    if lag:
        not_begun = f" ({lag.not_begun} of them not begun)" if lag.not_begun else ""
        parts.append(f"{len(lag.behind)} behind by more than a day{not_begun}")
        parts.append(f"oldest bookmark {lag.oldest.isoformat() if lag.oldest else 'none'}")
    unmapped: Counter[str] = Counter()
    for (what, name), count in tally.changes.items():
        if what in {"undeclared", "unfit"}:
            unmapped[name] += count
    if unmapped:
        most = ", ".join(f"{name} {rows}" for name, rows in unmapped.most_common(MOST_FIELDS_SHOWN))
        parts.append(f"rows with unmapped values: {most}")
    return ", ".join(parts)

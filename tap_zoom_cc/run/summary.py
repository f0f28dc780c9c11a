"""What a run tells at its end: METRIC lines to be alerted on, and a summary for people."""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, cast

from singer_sdk import metrics

from tap_zoom_cc.run.report import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_zoom_cc.run.report import Lag, Report, Tally


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
    for point in _points(report, lags):
        metrics.get_metrics_logger().info("METRIC: %s", point)
    for name in sorted({*report.tallies, *lags}):
        lag = lags.get(name)
        if lag and not _is_known(report, lag.behind):
            lag = None
        report.logger.info("Summary of %s: %s", name, of_stream(report.tallies[name], lag))
    report.logger.info("Summary: %s", of_run(report))


def _points(report: Report, lags: Mapping[str, Lag]) -> Iterator[metrics.Point[float]]:
    """Yield what METRIC lines tell, as far as it is known."""
    behind = frozenset[str]().union(*(lag.behind for lag in lags.values()))
    if lags and _is_known(report, behind):
        yield _point(Gauge.ACCOUNTS_BEHIND, len(behind))
    if report.accounts is not None:
        skipped = set[str]().union(*(tally.skipped for tally in report.tallies.values()))
        yield _point(Gauge.ACCOUNTS_SKIPPED, len(skipped))
    at_rest = [tally.at_rest for tally in report.tallies.values() if tally.at_rest is not None]
    if at_rest:
        yield _point(Gauge.ACCOUNTS_AT_REST, len(frozenset[str]().union(*at_rest)))
    ages = [(lag.age, name) for name, lag in lags.items() if lag.oldest]
    if ages:
        age, name = max(ages)
        oldest = lags[name].oldest
        yield _point(
            Gauge.BOOKMARK_AGE,
            age.total_seconds(),
            {
                metrics.Tag.STREAM.value: name,
                metrics.Tag.CONTEXT.value: {"account_id": lags[name].account_id},
                "bookmark": oldest.isoformat() if oldest else None,
            },
        )


def _is_known(report: Report, behind: frozenset[str]) -> bool:
    """Say whether it is known how many are behind: none are only if the accounts are known."""
    return report.accounts is not None or bool(behind)


def _point(
    gauge: Gauge, value: float, tags: Mapping[str, object] | None = None
) -> metrics.Point[float]:
    # The SDK's points take any enumeration of texts, though they are typed for its own.
    metric = cast("metrics.Metric", gauge)
    return metrics.Point(
        "gauge", metric, value, {**(tags or {}), metrics.Tag.PID.value: os.getpid()}
    )


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
    if unmapped := ", ".join(f"{name} {count}" for name, count in tally.unmapped()):
        parts.append(f"rows with unmapped values: {unmapped}")
    return ", ".join(parts)


def of_run(report: Report) -> str:
    """Return what the run took, and whether it failed, in one line."""
    windows = sum(tally.windows_done for tally in report.tallies.values())
    accounts = "accounts not known"
    if report.accounts is not None:
        accounts = counted(report.accounts, "account")
    return ", ".join(
        (
            accounts,
            counted(windows, "window"),
            counted(report.requests, "request"),
            counted(report.retries, "retry", "retries"),
            counted(len(report.failures), "failure"),
            duration(report.clock() - report.began),
        )
    )

"""``--reconcile``: how many engagements Zoom counts on each day, to compare with what was loaded.

For each stream, account and day one row is asked for, and Zoom's ``total_records`` is written as a
JSON line. What a difference to the warehouse means is told in ``docs/reconcile.md``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import date, datetime, time, timezone
from itertools import repeat
from typing import TYPE_CHECKING

from tap_zoom_cc.inputs import InputError
from tap_zoom_cc.run.log import excerpt
from tap_zoom_cc.run.report import counted
from tap_zoom_cc.run.stopping import EXIT_FAILED
from tap_zoom_cc.sync.prefetch import Fetched, Prefetcher
from tap_zoom_cc.sync.windows import (
    DAY,
    SECOND,
    Answered,
    Cut,
    Window,
    answered,
    asked_and_named,
)
from tap_zoom_cc.writer import writing
from tap_zoom_cc.zoom.answers import Answer
from tap_zoom_cc.zoom.errors import AccountError, AnswerError, RunError
from tap_zoom_cc.zoom.instants import format_instant
from tap_zoom_cc.zoom.rules import OK, Action, Condition, decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    import requests

    from tap_zoom_cc.services import Services
    from tap_zoom_cc.streams import EngagementStream
    from tap_zoom_cc.zoom.client import Client
    from tap_zoom_cc.zoom.pages import Account, EngagementLog, Page


def days_from(text: str, *, now: datetime) -> Cut:
    """Read ``FROM/TO``, two dates, as the days in UTC from the first to before the second.

    Args:
        text: such as ``2026-01-01/2026-02-01``.
        now: the present; a day that is not over cannot be counted.

    Raises:
        InputError: with what is wrong with the text.
    """
    given = f"--reconcile: '{excerpt(text)}'"
    try:
        begin, end = (
            datetime.combine(date.fromisoformat(part), time(), timezone.utc)
            for part in text.split("/")
        )
    except ValueError:
        raise InputError(f"{given} is no range; write 2026-01-01/2026-02-01") from None
    if begin >= end:
        why = "has no day; the second date is the first day that is not counted"
        raise InputError(f"{given} {why}")
    if end > now:
        raise InputError(f"{given} is not over; count up to {now:%Y-%m-%d} (UTC) at most")
    return Cut(begin, end, DAY)


def count_days(streams: Sequence[EngagementStream], services: Services, text: str) -> int:
    """Write a line for each stream, account and day, in this order, to standard output.

    Args:
        streams: the streams to count, for all accounts of the run.
        services: what the run shares.
        text: the days to count, as `days_from` reads them.

    Returns:
        The exit code: 0 only if everything could be counted.

    Raises:
        InputError: if the days cannot be counted.
        StoppedError: if the run is to end.
        OutputError: if nobody reads the lines any more.
    """
    report, days = services.report, days_from(text, now=services.started)
    try:
        _announce(streams, services, days)
        for stream in streams:
            _count_stream(stream, services, days)
    except RunError as error:
        report.fail(str(error))
    if report.failures:
        report.logger.error(report.verdict)
        return EXIT_FAILED
    report.logger.info("Everything was counted: %s", counted(report.requests, "request"))
    return 0


def _announce(streams: Sequence[EngagementStream], services: Services, days: Cut) -> None:
    """Say what will be counted.

    Raises:
        RunError: if that takes more requests than ``max_requests_per_run``.
    """
    settings, logger = services.settings, services.report.logger
    accounts = len(services.accounts)
    requests = len(streams) * accounts * len(days)
    allowed = settings.max_requests_per_run
    if allowed is not None and requests > allowed:
        raise RunError(
            f"--reconcile would send {counted(requests, 'request')}, and max_requests_per_run is "
            f"{allowed}: count fewer days or accounts at a time, or raise it"
        )
    logger.info(
        "Counting %s of %s: %s",
        counted(len(days), "day"),
        counted(accounts, "account"),
        counted(requests, "request"),
    )
    services.report.unit = "day"
    services.report.streams = [stream.name for stream in streams]
    for stream in streams:
        services.report.plan_more(stream.name, accounts * len(days))
        if filters := settings.filters[stream.name]:
            logger.info(
                "%s: only what passes these filters is counted: %s",
                stream.name,
                json.dumps(filters),
            )


def _count_stream(stream: EngagementStream, services: Services, days: Cut) -> None:
    """Count all days of a stream, several at a time, and write them in order.

    What goes wrong with an account is reported, and ends its lines but not the others.

    Raises:
        RunError: if nothing can be counted any more.
        StoppedError: if the run is to end.
        OutputError: if nobody reads the lines any more.
    """
    report, client, log = services.report, services.client, stream.log_endpoint
    filters = services.settings.filters[stream.name] or None
    counts: Prefetcher[tuple[Account, Window], int] = Prefetcher(
        lambda job, _: Fetched(_count(log, client, *job), 0),
        {name: zip(repeat(account), days) for name, account in stream.accounts.items()},
        workers=services.settings.max_concurrency,
        capacity=0,
    )

    def while_waiting() -> None:
        services.stop.check()
        report.show_progress()

    try:
        for account_id in stream.accounts:
            lines = []
            totals = counts.results(account_id, while_waiting)
            try:
                for day, total in zip(days, totals, strict=True):
                    line = {
                        "stream": stream.name,
                        "account_id": account_id,
                        "day": f"{day.begin:%Y-%m-%d}",
                        "total_records": total,
                        "filters": filters,
                        "counted_at": format_instant(services.started),
                    }
                    # ASCII alone, so that a terminal may show it, whatever the ID holds.
                    lines.append(f"{json.dumps(line, ensure_ascii=True)}\n")
                    report.tallies[stream.name].windows_done += 1
                    report.show_progress()
            except AnswerError as error:
                report.fail(str(error))
            counts.drop(account_id)
            with writing():
                sys.stdout.writelines(lines)
    finally:
        counts.close()
    places = map(log.where, stream.accounts)
    if not report.failures and client.health.answered.isdisjoint(places):
        report.fail(f"{stream.name}: no account knows what the filters name; correct the filters")


def _count(log: EngagementLog, client: Client, account: Account, day: Window) -> int:
    """Ask how many engagements a day has; called in worker threads.

    The range ends a second before midnight: of a server that looks at days only, or for which the
    end is included, the next day's first engagements would be counted too.

    Raises:
        AnswerError: if the account cannot be counted.
        RunError: if nothing can be counted any more.
        StoppedError: if the run is to end.
    """
    asked = Window(day.begin, day.end - SECOND)
    request = log.request(account, asked.begin, asked.end)
    request = replace(request, parameters={**request.parameters, "page_size": 1})

    def read(response: requests.Response) -> tuple[Page, int]:
        page = log.reader.read(response)
        if page.total_records is None:
            raise ValueError("the answer has no total_records")
        if page.total_records < len(page.rows or []):
            raise ValueError("the answer's total_records is no count of its rows")
        return page, page.total_records

    try:
        page, total = client.get(request, read)
    except AnswerError as error:
        if error.rule.last_word is not Action.NO_ROWS:
            raise
        client.report.logger.info("%s; counted as none", error)
        client.report.read_page(log.name, more=1, begins=True)
        return 0
    client.report.read_page(log.name, more=1, begins=True)
    if answered(asked, page) is not Answered.ASKED:
        answer = Answer(OK, message=asked_and_named(asked, page))
        raise AccountError(decide(answer, {Condition.OTHER_RANGE}), answer, request.where)
    return total

"""``--reconcile``: how many engagements Zoom counts on each day, to compare with what was loaded.

For each stream, account and day one row is asked for, and Zoom's ``total_records`` is written as a
JSON line. What a difference to the warehouse means is told in ``docs/reconcile.md``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from itertools import repeat
from typing import TYPE_CHECKING, TypeAlias

from tap_zoom_cc.inputs import InputError
from tap_zoom_cc.run.log import excerpt
from tap_zoom_cc.run.report import counted
from tap_zoom_cc.run.stopping import EXIT_FAILED
from tap_zoom_cc.sync.check import Answered, answered
from tap_zoom_cc.sync.prefetch import Fetched, Prefetcher
from tap_zoom_cc.sync.windows import DAY, SECOND, Cut, Window
from tap_zoom_cc.writer import writing
from tap_zoom_cc.zoom.answers import Answer
from tap_zoom_cc.zoom.errors import AccountError, AnswerError, RunError
from tap_zoom_cc.zoom.instants import format_instant
from tap_zoom_cc.zoom.rules import OK, Action, Condition, decide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import requests

    from tap_zoom_cc.services import Services
    from tap_zoom_cc.streams import EngagementStream
    from tap_zoom_cc.zoom.client import Client
    from tap_zoom_cc.zoom.pages import Account, EngagementLog, Page


@dataclass(frozen=True, slots=True)
class Count:
    """How many engagements Zoom counts on a day, which begins at midnight UTC."""

    day: datetime
    total_records: int


Job: TypeAlias = "tuple[Account, Window]"
"""An account, and a day of it."""


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
        raise InputError(f"{given} has no day; the second date is the first that is not counted")
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
            _count_stream(stream, stream.accounts, services, days)
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
    accounts = len(services.accounts.by_id)
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
    services.report.expect([stream.name for stream in streams])
    for stream in streams:
        services.report.plan_more(stream.name, accounts * len(days))
        if filters := settings.filters[stream.name]:
            logger.info(
                "%s: only what passes these filters is counted: %s",
                stream.name,
                json.dumps(filters),
            )


def _count_stream(
    stream: EngagementStream, accounts: Mapping[str, Account], services: Services, days: Cut
) -> None:
    """Count all days of a stream, several at a time, and write them in order.

    What goes wrong with an account is reported, and ends its lines but not the others.

    Raises:
        RunError: if nothing can be counted any more.
        StoppedError: if the run is to end.
        OutputError: if nobody reads the lines any more.
    """
    report, log = services.report, stream.log_endpoint
    counts: Prefetcher[Job, Count] = Prefetcher(
        lambda job, _: _count(log, services.client, *job),
        {name: zip(repeat(account), days) for name, account in accounts.items()},
        workers=services.settings.max_concurrency,
        capacity=0,
    )

    def write(account_id: str) -> None:
        lines = []
        try:
            for count in counts.results(account_id, while_waiting):
                lines.append(_line(stream, account_id, count, services))
                report.tallies[stream.name].windows_done += 1
                report.show_progress()
        except AnswerError as error:
            report.fail(str(error))
        counts.drop(account_id)
        with writing():
            sys.stdout.writelines(lines)

    def while_waiting() -> None:
        services.stop.check()
        report.show_progress()

    try:
        for account_id in accounts:
            write(account_id)
    finally:
        counts.close()
    places = map(log.where, accounts)
    if not report.failures and services.client.health.answered.isdisjoint(places):
        report.fail(f"{stream.name}: no account knows what the filters name; correct the filters")


def _line(stream: EngagementStream, account_id: str, count: Count, services: Services) -> str:
    line = {
        "stream": stream.name,
        "account_id": account_id,
        "day": f"{count.day:%Y-%m-%d}",
        "total_records": count.total_records,
        "filters": services.settings.filters[stream.name] or None,
        "counted_at": format_instant(services.started),
    }
    # ASCII alone, so that a terminal may show it, whatever the ID of an account holds.
    return f"{json.dumps(line, ensure_ascii=True)}\n"


def _count(log: EngagementLog, client: Client, account: Account, day: Window) -> Fetched[Count]:
    """Ask how many engagements a day has; called in worker threads.

    The range ends a second before midnight: of a server that looks at days only, or for which the
    end is included, the next day's first engagements would be counted too.

    Raises:
        AnswerError: if the account cannot be counted.
        RunError: if nothing can be counted any more.
        StoppedError: if the run is to end.
    """
    asked = Window(day.begin, day.end - SECOND)
    request = log.request(account, asked.begin, asked.end).with_parameters({"page_size": 1})

    def read(response: requests.Response) -> Page:
        page = log.reader.read(response)
        if page.total_records is None:
            raise ValueError("the answer has no total_records")
        if page.total_records < len(page.rows or []):
            raise ValueError("the answer's total_records is no count of its rows")
        return page

    try:
        page = client.get(request, read)
    except AnswerError as error:
        if error.rule.last_word is not Action.NO_ROWS:
            raise
        client.report.logger.info("%s; counted as none", error)
        client.report.read_page(log.name, more=1, begins=True)
        return Fetched(Count(day.begin, 0), 0)
    client.report.read_page(log.name, more=1, begins=True)
    if answered(asked, page) is not Answered.ASKED:
        answer = Answer(
            OK, message=f"asked for {asked}, Zoom answered for {page.begin} to {page.end}"
        )
        raise AccountError(decide(answer, {Condition.OTHER_RANGE}), answer, request.where)
    return Fetched(Count(day.begin, page.total_records or 0), 0)

"""``--test``: one request for each stream and account, and a line about each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_sdk.singerlib import RecordMessage

from tap_zoom_cc.engagements import EngagementStream
from tap_zoom_cc.report import counted
from tap_zoom_cc.stopping import EXIT_FAILED, StoppedError
from tap_zoom_cc.sync.windows import LONGEST_WINDOW, Window, whole_second
from tap_zoom_cc.zoom.errors import AnswerError, RunError

if TYPE_CHECKING:
    from tap_zoom_cc.run import Account
    from tap_zoom_cc.tap import TapZoomCC


def check_access(tap: TapZoomCC) -> int:
    """Ask for the newest 28 days of every stream and account, one page each.

    Writes every SCHEMA and, when everything could be read, a RECORD of each stream that has rows:
    ``meltano config test`` is content with the first it sees, and looks no further.

    Returns:
        The exit code: 0 only if everything could be read.
    """
    tap.write_schemas()
    failures: list[str] = []
    accounts: dict[str, Account] = {}
    records: dict[str, dict[str, object]] = {}
    try:
        accounts = tap.run.accounts
        streams = [s for s in tap.streams.values() if isinstance(s, EngagementStream)]
        for stream in streams:
            for account_id in accounts:
                tap.run.stop.check()
                failure, record = _check(tap, stream, account_id)
                if failure:
                    failures.append(failure)
                    tap.logger.error(failure)
                else:
                    tap.logger.info("%s, account %s: can be read", stream.name, account_id)
                if record:
                    records.setdefault(stream.name, record)
    except RunError as error:
        failures.append(str(error))
    except StoppedError:
        tap.logger.error(tap.run.stop.reason)  # noqa: TRY400 (what happened, not where)
        return tap.run.stop.exit_code
    if failures:
        tap.logger.error("%d could not be read; the first: %s", len(failures), failures[0])
        return EXIT_FAILED
    for name, record in records.items():
        tap.write_message(RecordMessage(stream=name, record=record))
    tap.writer.flush()
    tap.logger.info("Everything can be read: %s", counted(len(accounts), "account"))
    return 0


def _check(
    tap: TapZoomCC, stream: EngagementStream, account_id: str
) -> tuple[str, dict[str, object]]:
    """Ask for one page, and return what went wrong, and a row if there was one.

    Raises:
        RunError: if nothing can be read at all.
        StoppedError: if the run is to end.
    """
    end = whole_second(tap.run.present)
    context = {"account_id": account_id, "window": Window(end - LONGEST_WINDOW, end)}
    try:
        page = tap.run.in_background(lambda: stream.next_page(context, stream.get_new_paginator()))
        for row in page.rows or []:
            return "", {**stream.decoder.decode(row), "account_id": account_id}
    except AnswerError as error:
        return str(error), {}
    return "", {}

"""``--check`` and ``--test``: one request for each stream and account, and a line about each.

``--test`` is for `meltano config test`, which is content with the first RECORD that it sees, and
looks no further: there is one only when everything could be read. ``--check`` is for people: its
lines go to standard output, and nothing else does.

Each asks for one page of the newest 28 days: no account is refused for its range (own choice).
"""

from __future__ import annotations

import sys
from logging import ERROR, INFO
from typing import TYPE_CHECKING, cast

from singer_sdk.singerlib import RecordMessage

from tap_zoom_cc.run.log import printable
from tap_zoom_cc.run.report import counted
from tap_zoom_cc.run.stopping import EXIT_FAILED, in_background
from tap_zoom_cc.sync.windows import LONGEST_WINDOW, whole_second
from tap_zoom_cc.writer import writing
from tap_zoom_cc.zoom.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from singer_sdk import Tap

    from tap_zoom_cc.services import Services
    from tap_zoom_cc.streams import EngagementStream
    from tap_zoom_cc.writer import BufferedWriter


def check_access(
    streams: Sequence[EngagementStream],
    services: Services,
    tell: Callable[[int, str], None],
    show: Callable[[EngagementStream, dict[str, object]], None] = lambda *_: None,
) -> int:
    """Ask for the newest 28 days of every stream and account, one page each.

    Args:
        streams: the streams to try, for all accounts of the run.
        services: what the run shares.
        tell: called for each stream and account with a line about it, and ``INFO`` or ``ERROR``.
        show: called, when everything could be read, with a row of each stream that has any.

    Returns:
        The exit code: 0 only if everything could be read.

    Raises:
        RunError: if nothing can be read at all.
        StoppedError: if the run is to end.
    """
    logger = services.report.logger
    failures: list[str] = []
    records: dict[EngagementStream, dict[str, object]] = {}

    def ask_all() -> None:
        end = whole_second(services.present)
        for stream in streams:
            log = stream.log_endpoint
            for account in stream.accounts.values():
                request = log.request(account, end - LONGEST_WINDOW, end)
                try:
                    page = services.client.get(request, log.reader.read)
                except AnswerError as error:
                    failures.append(str(error))
                    tell(ERROR, str(error))
                    continue
                tell(INFO, f"{request.where}: can be read")
                if page.rows and stream not in records:
                    row = stream.decoder.decode(page.rows[0])
                    records[stream] = {**row, "account_id": account.account_id}

    in_background(ask_all, services.stop, services.report.show_retries)
    if failures:
        logger.error("%d could not be read; the first: %s", len(failures), failures[0])
        return EXIT_FAILED
    for stream, record in records.items():
        show(stream, record)
    logger.info("Everything can be read: %s", counted(len(services.accounts), "account"))
    return 0


def write_line(_: int, line: str) -> None:
    """Write a line to standard output, without the characters that a terminal obeys.

    Raises:
        OutputError: if nobody reads it.
    """
    with writing():
        sys.stdout.write(f"{printable(line)}\n")


def write_row(tap: Tap, stream: EngagementStream, record: dict[str, object]) -> None:
    """Write a RECORD as a sync would, with the stream maps applied: they may mask what it holds.

    Raises:
        OutputError: if nobody reads it.
    """
    for stream_map in stream.stream_maps:
        mapped = stream_map.transform(record)
        if mapped is not None:
            tap.write_message(RecordMessage(stream=stream_map.stream_alias, record=mapped))
    cast("BufferedWriter", tap.message_writer).flush()

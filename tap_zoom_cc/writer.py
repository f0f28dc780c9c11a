"""Writes Singer messages to standard output, many rows in one write.

The SDK's msgspec writer encodes fast but flushes after every row; one system call per row is a
large part of a row's cost, for the tap and for the target that wakes up for it.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.exceptions import StreamMapConfigError
from singer_sdk.singerlib.encoding.simple import RecordMessage
from typing_extensions import override

from tap_zoom_cc.run.stopping import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.singerlib.encoding.simple import Message

FLUSH_BYTES = 1 << 16

TARGET_IS_GONE = (
    "Whoever read the output has closed it, so the run was ended. If that is a target, see its own "
    "log: the next sync goes on from the state that it kept"
)


class BufferedWriter(MsgSpecWriter):
    """Collects RECORD messages; any other message, and 64 KiB, send off what was collected."""

    def __init__(self) -> None:
        """Start with nothing collected."""
        super().__init__()
        self._pending = bytearray()

    @override
    def write_message(self, message: Message) -> None:
        """Write a message, at once unless it is a RECORD.

        Raises:
            StreamMapConfigError: when a stream map made a value that JSON does not have.
            OutputError: when the target is gone, or the disk is full.
        """
        try:
            self._pending += self.format_message(message)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            reason = "the result cannot be written as JSON"
            raise StreamMapConfigError(reason) from error
        if len(self._pending) >= FLUSH_BYTES or not isinstance(message, RecordMessage):
            self.flush()

    def flush(self) -> None:
        """Send off everything collected.

        Raises:
            OutputError: when the target is gone, or the disk is full.
        """
        if not self._pending:
            return
        rest, self._pending = memoryview(self._pending), bytearray()
        with writing():
            while rest:
                # An unbuffered standard output may take only part of it at a time.
                rest = rest[sys.stdout.buffer.write(rest) :]


@contextmanager
def writing() -> Iterator[None]:
    """Let something write to standard output, and send it off at the end.

    Raises:
        OutputError: when that is not possible. Nothing written later is an error then: Python tries
            once more to send off the rest, when the process ends.
    """
    if sys.stdout is None:
        message = "Standard output is closed, so nothing was read: it would have gone nowhere"
        raise OutputError(message)
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        message = f"Standard output cannot be written, so the run was ended: {error.strerror}"
        raise OutputError(
            TARGET_IS_GONE if isinstance(error, BrokenPipeError) else message
        ) from error

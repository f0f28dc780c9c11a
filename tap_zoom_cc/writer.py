"""Writes Singer messages to standard output, many rows in one write.

The SDK's msgspec writer encodes fast but flushes after every row; one system call per row is a
large part of a row's cost, for the tap and for the target that wakes up for it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib.encoding.simple import RecordMessage
from typing_extensions import override

if TYPE_CHECKING:
    from typing import BinaryIO

    from singer_sdk.singerlib.encoding.simple import Message

FLUSH_BYTES = 1 << 16


class BufferedWriter(MsgSpecWriter):
    """Collects RECORD messages; any other message, and 64 KiB, send off what was collected."""

    def __init__(self) -> None:
        """Start with nothing collected."""
        super().__init__()
        self._pending = bytearray()

    @override
    def write_message(self, message: Message) -> None:
        """Write a message, at once unless it is a RECORD."""
        self._pending += self.format_message(message)
        if len(self._pending) >= FLUSH_BYTES or not isinstance(message, RecordMessage):
            self.flush()

    def flush(self) -> None:
        """Send off everything collected.

        Raises:
            BrokenPipeError: when the target is gone.
        """
        if not self._pending:
            return
        pending, self._pending = self._pending, bytearray()
        write_all(sys.stdout.buffer, pending)
        sys.stdout.buffer.flush()


def write_all(out: BinaryIO, data: bytes | bytearray) -> None:
    """Write all of the data: an unbuffered standard output may take only part of it at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[out.write(rest) :]

"""What the log shows: what the tap itself says, no chatter of the SDK, of the input a little.

The SDK has a line at level info for every account of every stream, and its metrics as JSON. They
are there for whoever sets ``LOGLEVEL=DEBUG``. Its warnings and errors are always shown.
"""

from __future__ import annotations

import logging
from pathlib import Path

import singer_sdk
from typing_extensions import override

SDK_FOLDER = str(Path(singer_sdk.__file__).parent)

SHOWN_CHARACTERS = 40
"""How much of a wrong value of the input a message shows."""


def printable(text: str) -> str:
    """Return a text on one line, without the characters that a terminal obeys."""
    spaced = " ".join(text.split())
    return "".join(char for char in spaced if char.isprintable())


def excerpt(value: object) -> str:
    """Return the beginning of a value of the input, fit to stand in a message."""
    return printable(str(value)[:SHOWN_CHARACTERS])


class WithoutChatter(logging.Filter):
    """Lets a line of level info pass when it is not the SDK's, or when debug lines are shown."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return (
            record.levelno > logging.INFO
            or not record.pathname.startswith(SDK_FOLDER)
            or logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
        )


def leave_out_chatter() -> None:
    """Filter what is logged from now on, whichever handlers were configured for it."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(WithoutChatter())

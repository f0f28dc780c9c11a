"""What the log shows: what the tap itself says, no chatter of the SDK, of the input a little.

The SDK has a line at level info for every account of every stream, and its metrics as JSON. They
are there for whoever sets ``LOGLEVEL=DEBUG``. Its warnings and errors are shown, but for one: that
this Python nears the end of its support. It comes on every start, when everything works.
"""

from __future__ import annotations

import difflib
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import singer_sdk
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable

SDK_FOLDER = str(Path(singer_sdk.__file__).parent)

OLD_PYTHON = r"Python 3\.\d+ (reached|will reach) its end of life"
"""How the SDK's warning about the version of Python begins."""

UNHANDLED = "An unhandled error occurred while syncing"
"""How the SDK's line begins about an error that ends a stream, which it does not hold."""

SHOWN_CHARACTERS = 40
"""How much of a wrong value of the input a message shows."""


def printable(text: str) -> str:
    """Return a text on one line, without the characters that a terminal obeys."""
    spaced = " ".join(text.split())
    return "".join(char for char in spaced if char.isprintable())


def excerpt(value: object) -> str:
    """Return the beginning of a value of the input, fit to stand in a message."""
    return printable(str(value)[:SHOWN_CHARACTERS])


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" with the known name nearest to an unknown one, or nothing."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


class Readable(logging.Filter):
    """Leaves out the SDK's chatter, and makes a line of each message, which no terminal obeys.

    Chatter is what the SDK says at level info, unless debug lines are shown, and what it says when
    an error ends a stream: the error itself follows. Whatever comes from outside passes here on its
    way to the log: the ID of an account, too.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        may_be_chatter = record.levelno <= logging.INFO or str(record.msg).startswith(UNHANDLED)
        if (
            may_be_chatter
            and record.pathname.startswith(SDK_FOLDER)
            and not logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
        ):
            return False
        text = record.getMessage()
        if not text.isprintable():
            record.msg, record.args = printable(text), ()
        return True


def leave_out_chatter() -> None:
    """Filter from now on what is warned of, and what is logged by the handlers that there are."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(Readable())
    warnings.filterwarnings("ignore", OLD_PYTHON)

"""What the log shows at its default level: what the tap itself says, and no chatter of the SDK.

The SDK has a line at level info for every account of every stream, and its metrics as JSON. They
are there for whoever sets ``LOGLEVEL=DEBUG``. Its warnings and errors are always shown.
"""

from __future__ import annotations

import logging
from pathlib import Path

import singer_sdk
from typing_extensions import override

SDK_FOLDER = str(Path(singer_sdk.__file__).parent)


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

"""Instants: read in every form in which Zoom and users write them, written in one.

Two texts can name one instant with different offsets, so instants are compared, never texts.
"""

from __future__ import annotations

import email.utils
from datetime import datetime, timezone

import msgspec

from tap_zoom_cc.run.log import excerpt

EARLIEST_TIME = datetime(2022, 1, 1, tzinfo=timezone.utc)
"""A header's time before the year in which Zoom Contact Center began is none (own choice)."""

BEFORE_ZOOM = datetime(2010, 1, 1, tzinfo=timezone.utc)
"""Nothing in Zoom is older, so nothing earlier is asked for: Zoom was founded in 2011."""


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 date or date-time as an instant in UTC.

    A bare date is midnight UTC. A time without an offset is UTC: the document says so for rows,
    and settings say so of themselves.

    Raises:
        ValueError: if the text is neither a date nor a date-time.
    """
    try:
        if len(text) == len("2026-01-31"):
            day = msgspec.convert(f"{text}T00:00:00", datetime)
            return day.replace(tzinfo=timezone.utc)
        instant = msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise ValueError(f"'{excerpt(text)}' is neither a date nor a date-time") from error
    if instant.tzinfo is None:
        return instant.replace(tzinfo=timezone.utc)
    try:
        return instant.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError(f"'{excerpt(text)}' is out of range") from error


def format_instant(instant: datetime) -> str:
    """Write an instant as ISO 8601 in UTC with ``+00:00``: the one form used everywhere."""
    return instant.astimezone(timezone.utc).isoformat()


def parse_http_date(text: str | None) -> datetime | None:
    """Return the instant of a date in an HTTP header, in UTC; None if it is none."""
    try:
        date = email.utils.parsedate_to_datetime(text or "")
        date = (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date >= EARLIEST_TIME else None

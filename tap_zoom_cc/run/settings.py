"""The settings of a run as checked values; `tap_zoom_cc.inputs` reads and checks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

FilterValue: TypeAlias = "str | list[str]"
"""The value of a query parameter; a list is a parameter that is repeated."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked configuration, with instants in UTC."""

    account_id: str
    client_id: str
    client_secret: str
    sub_account_ids: tuple[str, ...] | None
    include_own_account: bool
    start_date: datetime | None
    end_date: datetime | None
    lookbacks: Mapping[str, timedelta]
    filters: Mapping[str, Mapping[str, FilterValue]]
    """By stream, as query parameters."""
    requests_per_second: float
    max_concurrency: int
    max_requests_per_run: int | None
    longest_rest: timedelta
    """The most that an account which is quiet may rest in this run; 0 asks all."""
    accepts_less: bool
    """Whether missing rows are a warning, and no failure."""
    api_url: str
    token_url: str
    user_agent: str
    """The header that names the tap to Zoom; empty for the tap's own."""

"""Access tokens and page tokens: handed out, checked, and dead after their time.

Their lifetimes run on the machine's steady clock, as a client's do, and not on the simulated one.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from simulator import errors

if TYPE_CHECKING:
    from collections.abc import Hashable

    from simulator.scenario import Limits

Kept = TypeVar("Kept")


class AccessTokens:
    """The access tokens of the app that are alive."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._deadlines: dict[str, float] = {}

    def issue(self) -> str:
        """Hand out a new token; it kills the others where only one may live."""
        if self._limits.one_live_token:
            self._deadlines.clear()
        token = secrets.token_urlsafe(96)
        self._deadlines[token] = time.monotonic() + self._limits.access_token_seconds
        return token

    def revoke(self, token: str) -> None:
        """Let a token end early."""
        self._deadlines.pop(token, None)

    def check(self, token: str) -> None:
        """Refuse a token that is unknown or has expired.

        Raises:
            ApiError: 401 with code 124.
        """
        deadline = self._deadlines.get(token)
        if deadline is None:
            raise errors.access_token_refused()
        if deadline < time.monotonic():
            message = "Access token is expired."
            raise errors.access_token_refused(message)


@dataclass(frozen=True)
class _Held(Generic[Kept]):
    owner: Hashable
    kept: Kept
    offset: int
    deadline: float


class PageTokens(Generic[Kept]):
    """Page tokens, each with what its first request selected and where the next page begins."""

    def __init__(self, limits: Limits) -> None:
        self._seconds = limits.page_token_seconds
        self._held: dict[str, _Held[Kept]] = {}

    def issue(self, owner: Hashable, kept: Kept, offset: int) -> str:
        """Hand out a token for the page that begins at ``offset``.

        ``owner`` is the query without its token: only the same query may use the token.
        """
        token = secrets.token_urlsafe(24)
        self._held[token] = _Held(owner, kept, offset, time.monotonic() + self._seconds)
        return token

    def redeem(self, token: str, owner: Hashable) -> tuple[Kept, int]:
        """Give what a token holds: the selection, and where the page begins in it.

        Raises:
            ApiError: 400 with code 300, for a token that is unknown, old or of another query.
        """
        held = self._held.get(token)
        if held is None or held.owner != owner or held.deadline < time.monotonic():
            raise errors.page_token_expired()
        return held.kept, held.offset

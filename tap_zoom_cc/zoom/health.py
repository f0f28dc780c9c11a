"""What many answers say together: an outage, a limit spent for everybody, a token that died."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from tap_zoom_cc.zoom.rules import PLACES_OF_AN_OUTAGE, Condition

if TYPE_CHECKING:
    from tap_zoom_cc.zoom.pages import Request


@dataclass
class Health:
    """What is known of who has answered in this run, and with which token. Thread-safe.

    ``where`` is a stream and account, as messages name them. Instants are seconds by
    `time.monotonic`.
    """

    answered: set[str] = field(default_factory=set)
    """Where a request got the page it asked for."""
    _failed_in_a_row: set[str] = field(default_factory=set)
    _rate_refused_since: dict[str, float] = field(default_factory=dict)
    """Since when nothing but refusals for the rate came, by account."""
    _accepted: tuple[str, float] = ("", 0.0)

    def note_answer(self, where: str, authorization: str, sent_at: float) -> None:
        """Note that a request got the page it asked for.

        Args:
            where: the stream and account.
            authorization: the header with which it was sent.
            sent_at: when it was sent.
        """
        self.answered.add(where)
        self._failed_in_a_row.clear()
        self._rate_refused_since.clear()
        self._accepted = (authorization, sent_at)

    def note_failure(self, where: str) -> None:
        """Note that a request failed for good, in a way that may be no fault of the account."""
        self._failed_in_a_row.add(where)

    def note_rate_refusal(self, account_id: str, at: float) -> None:
        """Note that an account was refused because too many requests came."""
        self._rate_refused_since.setdefault(account_id, at)

    def note_other_answer(self) -> None:
        """Note another answer than was asked for, but no refusal for the rate."""
        self._rate_refused_since.clear()

    def conditions(self, request: Request, *, refused_since: float) -> set[Condition]:
        """Return what holds of a request that is refused, besides what its answer says.

        It is an outage if so many others failed in a row that this is no fault of the account. All
        are refused, and not one account alone, if others were refused for the rate too, and nothing
        else has come since this request was.

        Args:
            request: what was asked for.
            refused_since: when it was first refused.
        """
        found = set() if request.where in self.answered else set(request.conditions)
        if len(self._failed_in_a_row | {request.where}) >= PLACES_OF_AN_OUTAGE:
            found.add(Condition.OUTAGE)
        since = self._rate_refused_since.get(request.account_id, inf)
        if since <= refused_since and len(self._rate_refused_since) > 1:
            found.add(Condition.ALL_REFUSED)
        return found

    def may_be_dead(self, refused: str, *, since: float | None) -> bool:
        """Say whether a token may have died, so that another one would help.

        A token is not the reason why one account refuses it if others are answered with it
        meanwhile. But it may have died since they were. So it is renewed for the first token that
        a request is refused with, and later when nobody was answered with it between two tries.

        Args:
            refused: the header of the request that was refused.
            since: when the try before left that was refused for its token; None for the first.
        """
        accepted, sent_at = self._accepted
        return since is None or refused != accepted or sent_at <= since

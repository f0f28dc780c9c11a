"""What many answers say together: an outage, a limit spent for everybody, a token that died."""

from __future__ import annotations

import time
from math import inf

from tap_zoom_cc.zoom.rules import PLACES_OF_AN_OUTAGE


class Health:
    """What is known of who has answered in this run, and with which token. Thread-safe.

    ``where`` is a stream and account, as messages name them.
    """

    def __init__(self) -> None:
        """Start with nothing known."""
        self._answered: set[str] = set()
        self._failed_in_a_row: set[str] = set()
        self._refused_since: dict[str, float] = {}
        self._accepted = ("", 0.0)

    def note_answer(self, where: str, authorization: str, sent_at: float) -> None:
        """Note that a request got the page it asked for.

        Args:
            where: the stream and account.
            authorization: the header with which it was sent.
            sent_at: when it was sent, on `time.monotonic`'s clock.
        """
        self._answered.add(where)
        self._failed_in_a_row.clear()
        self._refused_since.clear()
        self._accepted = (authorization, sent_at)

    def note_failure(self, where: str) -> None:
        """Note that a request failed for good, in a way that may be no fault of the account."""
        self._failed_in_a_row.add(where)

    def note_rate_refusal(self, account_id: str) -> None:
        """Note that an account was refused because too many requests came."""
        self._refused_since.setdefault(account_id, time.monotonic())

    def note_other_answer(self) -> None:
        """Note another answer than was asked for, but no refusal for the rate."""
        self._refused_since.clear()

    def has_answered(self, where: str) -> bool:
        """Say whether a stream and account has answered in this run."""
        return where in self._answered

    def is_outage(self, where: str) -> bool:
        """Say whether so many others failed in a row that this failure is not the account's."""
        return len(self._failed_in_a_row | {where}) >= PLACES_OF_AN_OUTAGE

    def refuses_all(self, account_id: str, *, since: float) -> bool:
        """Say whether the limit is spent for everybody, or one account alone is refused.

        Args:
            account_id: an account that is refused.
            since: when it was first refused, on `time.monotonic`'s clock.

        Returns:
            Whether nothing else has come since then, and others were refused too.
        """
        return self._refused_since.get(account_id, inf) <= since and len(self._refused_since) > 1

    def may_be_dead(self, refused: str, *, since: float | None) -> bool:
        """Say whether a token may have died, so that another one would help.

        A token is not the reason why one account refuses it if others are answered with it
        meanwhile. But it may have died since they were. So it is renewed for the first token that
        a request is refused with, and later when nobody was answered with it between two tries.

        Args:
            refused: the header of the request that was refused.
            since: when the try before left that was refused for its token, on `time.monotonic`'s
                clock; None for the first.
        """
        accepted, sent_at = self._accepted
        return since is None or refused != accepted or sent_at <= since

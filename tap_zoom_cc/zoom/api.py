"""One run's way to Zoom, shared by all its streams and threads: token, pace and connections."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

from tap_zoom_cc.zoom.auth import ServerToServerOAuth
from tap_zoom_cc.zoom.connections import session_for
from tap_zoom_cc.zoom.pacing import Pacer
from tap_zoom_cc.zoom.rules import PLACES_OF_AN_OUTAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.run.settings import Settings
    from tap_zoom_cc.run.stopping import Stop
    from tap_zoom_cc.zoom.errors import RunError


class ZoomApi:
    """What every request of a run needs, and what the run knows of who has answered. Thread-safe.

    A place is a stream and account, as messages name them.
    """

    def __init__(self, settings: Settings, stop: Stop, report: Report) -> None:
        """Set up what follows from the settings; nothing is requested yet."""
        self.url = settings.api_url
        self.stop = stop
        self.report = report
        self.authenticator = ServerToServerOAuth(settings, stop, report)
        self.pacer = Pacer(settings.requests_per_second, stop)
        self.fatal_error: RunError | None = None
        self._sessions = threading.local()
        self._answered: set[str] = set()
        self._failed_in_a_row: set[str] = set()
        self._refused_since: dict[str, float] = {}
        self._accepted = ("", 0.0)

    @property
    def session(self) -> requests.Session:
        """The calling thread's HTTP session, paced: one must not be shared between threads."""
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = self._sessions.session = session_for(
                self.url, self._turn, self.pacer.approach
            )
        return session

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self.pacer.turn():
            self.report.count_request()
            yield

    def note_answer(self, place: str, authorization: str) -> None:
        """Note that the calling thread's last request got the page it asked for.

        Args:
            place: the stream and account.
            authorization: the header with which it was sent.
        """
        self._answered.add(place)
        self._failed_in_a_row.clear()
        self._accepted = (authorization, self.pacer.sent_at)
        self.speed_up()

    def note_failure(self, place: str) -> None:
        """Note that a request failed for good, in a way that may be no fault of the account."""
        self._failed_in_a_row.add(place)

    def cool_down(self, account_id: str, seconds: float | None) -> float:
        """Hold back the whole run after a refusal for the rate, and return for how many seconds.

        Args:
            account_id: the account that was refused.
            seconds: what Zoom asks for, or None when it does not say.
        """
        self._refused_since.setdefault(account_id, time.monotonic())
        return self.pacer.cool_down(seconds)

    def speed_up(self) -> None:
        """Come back towards the full rate after an answer that was no refusal for the rate."""
        self._refused_since.clear()
        self.pacer.speed_up()

    def refuses_all(self, account_id: str, *, since: float) -> bool:
        """Say whether the limit is spent for everybody, or one account alone is refused.

        Args:
            account_id: an account that is refused.
            since: when it was first refused, on `time.monotonic`'s clock.

        Returns:
            Whether nothing else has come since then, and others were refused too.
        """
        return self._refused_since.get(account_id, inf) <= since and len(self._refused_since) > 1

    def renew_token(self, refused: str, *, since: float | None) -> None:
        """Ask for another token before the next request, unless that would help nobody.

        A token is not the reason why one account refuses it if others are answered with it
        meanwhile. But it may have died since they were. So it is renewed for the first token that
        a request is refused with, and later when nobody was answered with it between two tries.

        Args:
            refused: the header of the request that was refused.
            since: when the try before left that was refused for its token, on `time.monotonic`'s
                clock; None for the first.
        """
        accepted, sent_at = self._accepted
        if since is None or refused != accepted or sent_at <= since:
            self.authenticator.discard(refused)

    def has_answered(self, place: str) -> bool:
        """Say whether a stream and account has answered in this run."""
        return place in self._answered

    def is_outage(self, place: str) -> bool:
        """Say whether so many others failed in a row that this failure is not the account's."""
        return len(self._failed_in_a_row | {place}) >= PLACES_OF_AN_OUTAGE

    def give_up(self, error: RunError) -> None:
        """Send nothing more because of an error; what was read before it is still emitted."""
        self.fatal_error = self.fatal_error or error
        self.pacer.close()

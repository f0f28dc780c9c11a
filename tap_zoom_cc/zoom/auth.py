"""Server-to-Server OAuth: one access token for the whole run, shared by all threads.

On some accounts a new token kills the one before (seen), so a token is asked for only when there is
none, when it is about to expire, or when Zoom has refused exactly that one.
"""

from __future__ import annotations

import threading
import time
from codecs import BOM_UTF8
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import msgspec
import requests

from tap_zoom_cc.zoom.answers import Answer, read_answer
from tap_zoom_cc.zoom.connections import session_for
from tap_zoom_cc.zoom.errors import AnswerError, RunError, no_answer
from tap_zoom_cc.zoom.instants import parse_http_date
from tap_zoom_cc.zoom.pacing import with_retries
from tap_zoom_cc.zoom.rules import OK, Condition, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.run.settings import Settings
    from tap_zoom_cc.run.stopping import Stop

RENEW_BEFORE_EXPIRY_SECONDS = 120.0

USUAL_LIFETIME_SECONDS = 3600.0
"""The lifetime of a token (document), where its answer says none that makes sense."""

SHORTEST_LIFETIME_SECONDS = 1.0
"""A lifetime below this makes no sense: each request would ask for a token of its own (own choice).

A token that dies earlier than expected is refused, and renewed for that.
"""

TIMEOUT_SECONDS = (10.0, 30.0)


class _Grant(msgspec.Struct):
    access_token: Annotated[str, msgspec.Meta(pattern=r"^[!-~]+\Z")]
    expires_in: float | None = None


class ServerToServerOAuth:
    """Has the run's access token. Thread-safe.

    The credentials go to ``token_url`` only, the token to the host of ``api_url`` only; redirects
    are not followed.
    """

    def __init__(
        self,
        settings: Settings,
        stop: Stop,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the credentials from the settings; nothing is requested yet."""
        self._clock = clock
        self._settings = settings
        self._stop = stop
        self._report = report
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0
        self._refused = ""
        self.server_time: datetime | None = None

    def token(self) -> str:
        """Return an access token that is valid for some time to come; ask for one if need be.

        Raises:
            RunError: when no token is granted; once that is so, none is asked for any more.
            StoppedError: when the run is to end.
        """
        with self._lock:
            if self._refused:
                raise RunError(self._refused)
            if self._clock() < self._renew_at:
                return self._token
            try:
                grant = with_retries(self._post, stop=self._stop, on_retry=self._say_why)
            except AnswerError as error:
                self._refused = str(error)
                raise RunError(self._refused) from error
            lifetime = grant.expires_in or 0.0
            if lifetime < SHORTEST_LIFETIME_SECONDS:
                lifetime = USUAL_LIFETIME_SECONDS
            usable = max(lifetime - RENEW_BEFORE_EXPIRY_SECONDS, lifetime / 2)
            self._token, self._renew_at = grant.access_token, self._clock() + usable
            return self._token

    def discard(self, authorization: str) -> None:
        """Forget the token that Zoom refused, unless another thread has already renewed it.

        Args:
            authorization: the header with which the refused request was sent.
        """
        with self._lock:
            if authorization == f"Bearer {self._token}":
                self._renew_at = 0.0

    def _say_why(self, error: AnswerError, seconds: float) -> None:
        self._report.count_retry()
        self._report.retry(self._settings.token_url, str(error.answer), seconds)

    def _post(self) -> _Grant:
        """Ask once.

        Raises:
            AnswerError: when the answer is not a token.
        """
        settings = self._settings
        try:
            with session_for(settings.token_url) as session:
                response = session.post(
                    settings.token_url,
                    data={"grant_type": "account_credentials", "account_id": settings.account_id},
                    auth=(settings.client_id, settings.client_secret),
                    timeout=TIMEOUT_SECONDS,
                    allow_redirects=False,
                )
        except (requests.RequestException, ValueError) as error:
            raise self._refusal(*no_answer(error)) from error
        self.server_time = parse_http_date(response.headers.get("Date")) or self.server_time
        if response.status_code != OK:
            raise self._refusal(read_answer(response, datetime.now(timezone.utc)))
        try:
            return msgspec.json.decode(
                response.content.removeprefix(BOM_UTF8), type=_Grant, strict=False
            )
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            answer = Answer(response.status_code, message="the answer holds no token")
            raise self._refusal(answer) from error

    def _refusal(self, answer: Answer, conditions: Collection[Condition] = ()) -> AnswerError:
        where = f"token_url {self._settings.token_url}"
        rule = decide(answer, {Condition.TOKEN_ENDPOINT, *conditions})
        return AnswerError(rule, answer, where)

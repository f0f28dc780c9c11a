"""Server-to-Server OAuth: one access token for the whole run, shared by all threads.

On some accounts a new token kills the one before (seen), so a token is asked for only when there is
none, when it is about to expire, or when Zoom has refused exactly that one.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated

import backoff
import msgspec
import requests

from tap_zoom_cc.zoom.answers import read_answer, shorten
from tap_zoom_cc.zoom.errors import Action, RunError, decide

if TYPE_CHECKING:
    from backoff.types import Details

    from tap_zoom_cc.configuration import Settings
    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.run.stopping import Stop

RENEW_BEFORE_EXPIRY_SECONDS = 120.0
TIMEOUT_SECONDS = (10.0, 30.0)
TRIES = 6
FIRST_WAIT_SECONDS = 0.5

ADVICE = (
    "check account_id, client_id and client_secret against the app's page 'App Credentials', and "
    "that the app is activated"
)


class _Grant(msgspec.Struct):
    access_token: Annotated[str, msgspec.Meta(pattern=r"^[!-~]+\Z")]
    expires_in: float = 3600.0


class _NoGrantError(Exception):
    """The token endpoint did not answer with a token, but may do so soon."""


class ServerToServerOAuth:
    """Signs requests with the run's access token. Thread-safe.

    The credentials go to ``token_url`` only, the token to the host of ``api_url`` only; redirects
    are not followed.
    """

    def __init__(self, settings: Settings, stop: Stop, report: Report) -> None:
        """Take the credentials from the settings; nothing is requested yet."""
        self._settings = settings
        self._stop = stop
        self._report = report
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0
        self.server_time: datetime | None = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the access token into a request's headers, asking for one first if need be.

        Raises:
            RunError: when no token is granted.
        """
        request.headers["Authorization"] = f"Bearer {self.token()}"
        return request

    def token(self) -> str:
        """Return a token that is valid for some time to come.

        Raises:
            RunError: when no token is granted.
        """
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._ask()
            return self._token

    def discard(self, refused: str) -> None:
        """Forget a token that Zoom refused, unless another thread has already renewed it."""
        with self._lock:
            if refused == self._token:
                self._renew_at = 0.0

    def _ask(self) -> None:
        ask = backoff.on_exception(
            backoff.expo,
            (_NoGrantError, requests.RequestException),
            max_tries=TRIES,
            factor=FIRST_WAIT_SECONDS,
            jitter=backoff.full_jitter,
            on_backoff=self._warn_of_retry,
            giveup=lambda _: self._stop.asked,
            logger=None,
        )(self._post)
        try:
            grant = ask()
        except (_NoGrantError, requests.RequestException) as error:
            message = (
                f"token_url {self._settings.token_url} gives no token: {_reason(error)}; check "
                "the network and Zoom's status page, then run again"
            )
            raise RunError(message) from error
        self._token = grant.access_token
        self._renew_at = time.monotonic() + max(
            grant.expires_in - RENEW_BEFORE_EXPIRY_SECONDS, grant.expires_in / 2
        )

    def _warn_of_retry(self, details: Details) -> None:
        self._report.count_retry()
        reason = _reason(details.get("exception"))
        self._report.retry(self._settings.token_url, reason, details["wait"])

    def _post(self) -> _Grant:
        settings = self._settings
        response = requests.post(
            settings.token_url,
            data={"grant_type": "account_credentials", "account_id": settings.account_id},
            auth=(settings.client_id, settings.client_secret),
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )
        self.server_time = _date_of(response) or self.server_time
        if response.status_code == requests.codes.ok:
            try:
                return msgspec.json.decode(response.content, type=_Grant, strict=False)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                message = "the answer holds no token"
                raise _NoGrantError(message) from error
        answer = read_answer(response, datetime.now(timezone.utc))
        rule = decide(answer)
        if rule.action in {Action.RETRY, Action.COOL_DOWN}:
            raise _NoGrantError(str(answer))
        if rule.action is Action.STOP_RUN:
            message = f"token_url {settings.token_url}: {rule.meaning}; {rule.advice} ({answer})"
        else:
            message = f"Zoom refuses the app's credentials ({shorten(str(answer))}); {ADVICE}"
        raise RunError(message)


def _reason(error: BaseException | None) -> str:
    return str(error) if isinstance(error, _NoGrantError) else type(error).__name__


def _date_of(response: requests.Response) -> datetime | None:
    """Return the server's clock as its ``Date`` header tells it, in UTC."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(timezone.utc)
    except (KeyError, ValueError, TypeError):
        return None

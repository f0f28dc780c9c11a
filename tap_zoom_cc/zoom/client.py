"""The HTTP client: from a path, parameters and an account to a page, or an error that says why not.

It knows no stream. Behind it are a session for each thread, the token, the pace, and the rules that
decide what follows from an answer. With ``config`` being the settings of the tap:

    >>> settings = settings_from(config, now=datetime.now(timezone.utc))
    >>> client = Client(settings, Stop(), Report(logging.getLogger(), 5))
    >>> client.get(Request("/accounts"), PageReader("accounts").read).total_records
    2
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

import requests

from tap_zoom_cc.run.stopping import StoppedError
from tap_zoom_cc.zoom.answers import Answer, read_answer, shorten
from tap_zoom_cc.zoom.auth import ServerToServerOAuth
from tap_zoom_cc.zoom.connections import BodyTooLargeError, session_for
from tap_zoom_cc.zoom.errors import AnswerError, RunError, error_for, no_answer
from tap_zoom_cc.zoom.health import Health
from tap_zoom_cc.zoom.pacing import Pacer, retrying
from tap_zoom_cc.zoom.rules import OK, Action, Condition, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.run.settings import Settings
    from tap_zoom_cc.run.stopping import Stop
    from tap_zoom_cc.zoom.pages import Request

Result = TypeVar("Result")

TIMEOUT_SECONDS = (10.0, 60.0)
"""To connect, and between two bytes of an answer."""

USER_AGENT = f"tap-zoom-cc/{version('tap-zoom-cc')}"


class Client:
    """One run's way to Zoom, shared by all its streams and threads."""

    def __init__(self, settings: Settings, stop: Stop, report: Report) -> None:
        """Set up what follows from the settings; nothing is requested yet."""
        self.url = settings.api_url
        self.stop = stop
        self.report = report
        self.authenticator = ServerToServerOAuth(settings, stop, report)
        self.pacer = Pacer(settings.requests_per_second, stop)
        self.health = Health()
        self.fatal_error: RunError | None = None
        """What ended all requests of the run."""
        self._user_agent = settings.user_agent or USER_AGENT
        self._sessions = threading.local()

    def get(
        self,
        request: Request,
        read: Callable[[requests.Response], Result],
        *,
        before_retry: Callable[[], None] = lambda: None,
        notice: Callable[[requests.Response], None] = lambda _: None,
    ) -> Result:
        """Ask, again where that helps, and return what is read out of the answer.

        Args:
            request: what is asked for.
            read: reads the answer; raises ``ValueError`` for one that is malformed.
            before_retry: called before each attempt but the first; what it raises ends the request.
            notice: is shown each answer, those that are errors too.

        Raises:
            AccountError: if this account cannot be read.
            WindowExpiredError: if the page token is no longer valid.
            RunError: if nothing can be read any more; then nothing more is sent.
            StoppedError: if the run is to end.
        """
        exchange = _Exchange(self, request, read, before_retry, notice)
        try:
            result = retrying(exchange.attempt, stop=self.stop, on_retry=self._say_why)()
        except AnswerError as error:
            if decide(error.answer).shared is Condition.OUTAGE:
                self.health.note_failure(request.where)
            end = error_for(error, request.where)
            if isinstance(end, RunError):
                self.give_up(end)
            raise end from error
        except RunError as error:
            self.give_up(error)
            raise
        except StoppedError:
            # Nothing is sent after an error that ended the run: then that is what went wrong.
            if self.fatal_error is None or self.stop.asked:
                raise
            raise self.fatal_error from None
        self.health.note_answer(request.where, exchange.authorization, self.pacer.sent_at)
        self.pacer.speed_up()
        return result

    def give_up(self, error: RunError) -> None:
        """Send nothing more because of an error; what was read before it is still emitted."""
        self.fatal_error = self.fatal_error or error
        self.pacer.close()

    @property
    def session(self) -> requests.Session:
        """The calling thread's HTTP session, paced; it ends with the thread."""
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = session_for(self.url, _turn(self.pacer, self.report), self.pacer.approach)
            session.headers["User-Agent"] = self._user_agent
            self._sessions.session = session
        return session

    def cool_down(self, account_id: str, answer: Answer, advice: str) -> None:
        """Hold back the whole run after an account was refused for the rate."""
        self.health.note_rate_refusal(account_id)
        seconds = self.pacer.cool_down(answer.wait)
        self.report.warn_once(
            "cool down", f"{answer} - the whole run waits {seconds:.1f} s; {advice}"
        )

    def _say_why(self, error: AnswerError, seconds: float) -> None:
        """Say why a request is sent again; a limit or a token that ran out is everyday."""
        if error.rule.action is Action.RETRY:
            self.report.retry(self.url, str(error.answer), seconds)
        else:
            self.report.logger.debug("%s; trying again in %.1f s", error, seconds)


def _turn(pacer: Pacer, report: Report) -> Callable[[], AbstractContextManager[None]]:
    """Return what a request is sent within: its turn, in which it is counted."""

    @contextmanager
    def turn() -> Iterator[None]:
        with pacer.turn():
            report.count_request()
            yield

    return turn


class _Exchange(Generic[Result]):
    """One request and its tries."""

    def __init__(
        self,
        client: Client,
        request: Request,
        read: Callable[[requests.Response], Result],
        before_retry: Callable[[], None],
        notice: Callable[[requests.Response], None],
    ) -> None:
        self._client = client
        self._request = request
        self._read = read
        self._before_retry = before_retry
        self._notice = notice
        self._prepared = client.session.prepare_request(
            requests.Request("GET", f"{client.url}{request.path}", params=request.parameters)
        )
        self._attempts = 0
        self._first_refused_at = inf
        self._token_refused_at: float | None = None

    @property
    def authorization(self) -> str:
        """The header with which the request was last sent."""
        return self._prepared.headers.get("Authorization", "")

    def attempt(self) -> Result:
        """Ask once, with the token and at the pace of the moment.

        Raises:
            AnswerError: for every answer but the one that was asked for.
            RunError: if no token is granted.
            StoppedError: if the run is to end.
        """
        client = self._client
        self._attempts += 1
        if self._attempts > 1:
            self._before_retry()
            client.report.count_retry()
        try:
            response = client.session.send(
                client.authenticator(self._prepared),
                stream=True,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
            self._notice(response)
            if response.status_code == OK:
                return self._read(response)
        except (requests.RequestException, ValueError) as error:
            raise self._refusal(*self._told_by(error)) from error
        raise self._refusal(read_answer(response, datetime.now(timezone.utc)), set())

    def _refusal(self, answer: Answer, conditions: set[Condition]) -> AnswerError:
        """Decide what follows from another answer than was asked for, for this request and for all.

        Args:
            answer: what came.
            conditions: what is known of it besides.
        """
        client, where = self._client, self._request.where
        if not client.health.has_answered(where):
            conditions |= self._request.conditions
        if client.health.is_outage(where):
            conditions.add(Condition.OUTAGE)
        account_id = self._request.account_id
        if client.health.refuses_all(account_id, since=self._first_refused_at):
            conditions.add(Condition.ALL_REFUSED)
        rule = decide(answer, conditions)
        if rule.action is Action.COOL_DOWN:
            client.cool_down(account_id, answer, rule.advice)
        elif answer.status:
            client.health.note_other_answer()
            client.pacer.speed_up()
        self._first_refused_at = min(self._first_refused_at, time.monotonic())
        if rule.action is Action.RENEW_TOKEN:
            if client.health.may_be_dead(self.authorization, since=self._token_refused_at):
                client.authenticator.discard(self.authorization)
            self._token_refused_at = client.pacer.sent_at
        return AnswerError(rule, answer, where)

    def _told_by(self, error: Exception) -> tuple[Answer, set[Condition]]:
        """Return what came, and what is known of it besides."""
        match error:
            case BodyTooLargeError():
                return Answer(OK, message=str(error)), set()
            case requests.RequestException():
                return no_answer(error, at=self._client.url)
            case _:
                return Answer(OK, message=shorten(str(error))), set()

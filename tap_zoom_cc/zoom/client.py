"""The HTTP client: from a path, parameters and an account to a page, or an error that says why not.

It knows no stream. Behind it are a session for each thread, the token, the pace, and the rules that
decide what follows from an answer. What many answers say together is kept as well: an outage, a
limit spent for everybody, a token that died. With ``config`` being the settings of the tap:

    >>> settings = settings_from(config, now=datetime.now(timezone.utc))
    >>> client = Client(settings, Stop(), Report(logging.getLogger(), 5))
    >>> client.get(Request("/accounts"), PageReader("accounts").read).total_records
    2
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

import requests

from tap_zoom_cc.run.stopping import StoppedError
from tap_zoom_cc.zoom.answers import Answer, read_answer, shorten
from tap_zoom_cc.zoom.auth import ServerToServerOAuth
from tap_zoom_cc.zoom.connections import session_for
from tap_zoom_cc.zoom.errors import (
    AccountError,
    AnswerError,
    RunError,
    WindowExpiredError,
    no_answer,
)
from tap_zoom_cc.zoom.pacing import Pacer, with_retries
from tap_zoom_cc.zoom.rules import OK, PLACES_OF_AN_OUTAGE, Action, Condition, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tap_zoom_cc.run.report import Report
    from tap_zoom_cc.run.settings import Settings
    from tap_zoom_cc.run.stopping import Stop
    from tap_zoom_cc.zoom.pages import Request

Result = TypeVar("Result")

TIMEOUT_SECONDS = (10.0, 60.0)
"""To connect, and between two bytes of an answer."""

USER_AGENT = f"tap-zoom-cc/{version('tap-zoom-cc')}"


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


class Client:
    """One run's way to Zoom, shared by all its streams and threads."""

    def __init__(self, settings: Settings, stop: Stop, report: Report) -> None:
        """Set up what follows from the settings; nothing is requested yet."""
        self.url = settings.api_url
        self.stop = stop
        self.report = report
        self.authenticator = ServerToServerOAuth(settings, stop, report)
        self.pacer = Pacer(settings.requests_per_second, stop, on_turn=report.count_request)
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
        before_retry: Callable[[], None] | None = None,
        notice: Callable[[requests.Response], None] | None = None,
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
        prepared = self.session.prepare_request(
            requests.Request("GET", f"{self.url}{request.path}", params=request.parameters)
        )
        exchange = _Exchange(self, request, prepared, read, before_retry, notice)
        try:
            result = with_retries(exchange.attempt, stop=self.stop, on_retry=self._say_why)
        except AnswerError as error:
            if error.rule.shared is Condition.OUTAGE:
                self.health.note_failure(request.where)
            if error.rule.last_word is not Action.STOP_RUN:
                raise
            end = RunError(str(error))
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
        self.health.note_answer(
            request.where, prepared.headers["Authorization"], self.pacer.last.sent_at
        )
        self.pacer.speed_up()
        return result

    def give_up(self, error: RunError) -> None:
        """Send nothing more because of an error; what was read before it is still emitted."""
        self.fatal_error = self.fatal_error or error
        self.stop.end_requests()

    @property
    def session(self) -> requests.Session:
        """The calling thread's HTTP session, paced; it ends with the thread."""
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            # A session that knew the client would be kept alive by it.
            session = session_for(self.url, self.pacer.turn, self.pacer.approach)
            session.headers["User-Agent"] = self._user_agent
            self._sessions.session = session
        return session

    def _say_why(self, error: AnswerError, seconds: float) -> None:
        """Say why a request is sent again; a limit or a token that ran out is everyday."""
        if error.rule.action is Action.RETRY:
            self.report.retry(self.url, str(error.answer), seconds)
        else:
            self.report.logger.debug("%s; trying again in %.1f s", error, seconds)


@dataclass
class _Exchange(Generic[Result]):
    """One request and its tries."""

    client: Client
    request: Request
    prepared: requests.PreparedRequest
    read: Callable[[requests.Response], Result]
    before_retry: Callable[[], None] | None
    notice: Callable[[requests.Response], None] | None
    attempts: int = 0
    first_refused_at: float = inf
    token_refused_at: float | None = None

    def attempt(self) -> Result:
        """Ask once, with the token and at the pace of the moment.

        Raises:
            AccountError, WindowExpiredError: for every answer but the one that was asked for.
            RunError: if no token is granted.
            StoppedError: if the run is to end.
        """
        client = self.client
        self.attempts += 1
        if self.attempts > 1:
            if self.before_retry:
                self.before_retry()
            client.report.count_retry()
        self.prepared.headers["Authorization"] = f"Bearer {client.authenticator.token()}"
        try:
            response = client.session.send(
                self.prepared, stream=True, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
        except (requests.RequestException, ValueError) as error:
            raise self._refusal(*no_answer(error, at=client.url)) from error
        if self.notice:
            self.notice(response)
        if response.status_code != OK:
            raise self._refusal(read_answer(response, datetime.now(timezone.utc)))
        try:
            return self.read(response)
        except ValueError as error:
            raise self._refusal(Answer(OK, message=shorten(str(error)))) from error

    def _refusal(self, answer: Answer, conditions: Collection[Condition] = ()) -> AnswerError:
        """Decide what follows from another answer than was asked for, for this request and for all.

        Args:
            answer: what came.
            conditions: what is known of it besides.
        """
        client, request, health = self.client, self.request, self.client.health
        rule = decide(
            answer, {*conditions, *health.conditions(request, refused_since=self.first_refused_at)}
        )
        now = time.monotonic()
        if rule.action is Action.COOL_DOWN:
            health.note_rate_refusal(request.account_id, now)
            seconds = client.pacer.cool_down(answer.wait)
            client.report.warn_once(
                "cool down", f"{answer} - the whole run waits {seconds:.1f} s; {rule.advice}"
            )
        elif answer.status:
            health.note_other_answer()
            client.pacer.speed_up()
        self.first_refused_at = min(self.first_refused_at, now)
        if rule.action is Action.RENEW_TOKEN:
            refused = self.prepared.headers["Authorization"]
            if health.may_be_dead(refused, since=self.token_refused_at):
                client.authenticator.discard(refused)
            self.token_refused_at = client.pacer.last.sent_at
        kind = WindowExpiredError if rule.action is Action.READ_AGAIN else AccountError
        return kind(rule, answer, request.where)

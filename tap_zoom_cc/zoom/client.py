"""The REST base of every stream: how a page is asked for, and what becomes of a bad answer.

Requests are composed of the SDK's public parts (`get_http_request`, `build_prepared_request`,
`validate_response`, `request_decorator`) so that they can be sent from several threads, each
attempt with the token and at the pace of the moment.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING

import backoff
import msgspec
import requests
from singer_sdk import RESTStream
from singer_sdk.exceptions import RetriableAPIError
from singer_sdk.streams.rest import PageContext
from typing_extensions import override

from tap_zoom_cc.schema_files import SCHEMAS
from tap_zoom_cc.zoom.errors import (
    DAILY_LIMIT,
    MALFORMED_ANSWER,
    NO_ANSWER,
    AccountError,
    Action,
    Answer,
    AnswerError,
    RunError,
    decide,
    error_for,
    read_answer,
    shorten,
)
from tap_zoom_cc.zoom.pagination import NextPageTokenPaginator, PageReader

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from backoff.types import Details
    from singer_sdk.helpers.types import Auth, Context, Record, RequestFunc

    from tap_zoom_cc.run import Run
    from tap_zoom_cc.sync.unmapped import Notices
    from tap_zoom_cc.tap import TapZoomCC
    from tap_zoom_cc.zoom.errors import (
        Rule,
    )
    from tap_zoom_cc.zoom.pagination import Page

TIMEOUT_SECONDS = (10.0, 60.0)
"""To connect, and between two bytes of an answer."""

TRIES = 8
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0

LONG_RETRY_AFTER_SECONDS = 300.0
"""A refusal that asks to wait longer than this is the daily limit, whatever it calls itself."""


PASSING_FAULTS = (
    requests.Timeout,
    requests.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


class TransientError(RetriableAPIError):
    """An answer after which the same request is worth another try, ``wait`` seconds later.

    ``wait`` is None where the usual, growing wait is right.
    """

    def __init__(self, rule: Rule, answer: Answer, wait: float | None = None) -> None:
        """Keep what was answered."""
        super().__init__(str(answer))
        self.rule = rule
        self.answer = answer
        self.wait = wait


class ZoomStream(RESTStream[str | None]):
    """A stream of rows that one Zoom endpoint lists page by page."""

    rows_key: str
    """The key of an answer that holds the rows."""

    allow_redirects = False

    def __init__(self, tap: TapZoomCC) -> None:
        """Belong to a tap, and so to its run."""
        self._zoom_tap = tap
        self._page_reader = PageReader(self.rows_key)
        super().__init__(tap)

    @property
    def run(self) -> Run:
        """What the streams of one run share; there is none during discovery."""
        return self._zoom_tap.run

    @cached_property
    @override
    def schema(self) -> dict[str, object]:
        """The JSON schema of a row; looked up once, for the SDK asks for it with every row."""
        return SCHEMAS.get_schema(self.name)

    @property
    @override
    def url_base(self) -> str:
        return self.run.settings.api_url

    @property
    @override
    def authenticator(self) -> Auth:
        return self.run.authenticator

    @property
    @override
    def requests_session(self) -> requests.Session:
        return self.run.session

    @override
    def generate_child_contexts(self, record: Record, context: Context | None) -> Iterable[Context]:
        """Return nothing: no stream has children, so that no row is asked for them."""
        return ()

    @override
    def get_new_paginator(self) -> NextPageTokenPaginator:
        return NextPageTokenPaginator(self._page_reader)

    def where(self, context: Context | None) -> str:
        """Return stream and account for a message."""
        account_id = (context or {}).get("account_id")
        return f"{self.name}, account {account_id}" if account_id else self.name

    def next_page(
        self,
        context: Context | None,
        paginator: NextPageTokenPaginator,
        before_retry: Callable[[], None] = lambda: None,
        check: Callable[[Page], bool] = lambda _: True,
    ) -> Page:
        """Ask for the paginator's next page, trying again where that helps, and move it on.

        Args:
            context: the partition, and what else the query depends on.
            paginator: says which page; is advanced.
            before_retry: called before each attempt but the first; what it raises ends the request.
            check: takes in the page and says whether it had news; it raises ``ValueError`` for
                a page that is malformed.

        Raises:
            AccountError: if this account cannot be read.
            WindowExpiredError: if the page token is no longer valid.
            RunError: if nothing can be read any more.
            StoppedError: if the run is to end.
        """
        attempts = 0

        def attempt(request: requests.PreparedRequest, _: Context | None) -> requests.Response:
            nonlocal attempts
            attempts += 1
            if attempts > 1:
                before_retry()
                self.run.report.count_retry()
            response = self._send(request)
            try:
                has_news = check(paginator.read(response))
            except (msgspec.MsgspecError, ValueError) as error:
                answer = Answer(response.status_code, message=shorten(str(error)))
                raise TransientError(MALFORMED_ANSWER, answer) from error
            paginator.pages_without_news = 0 if has_news else paginator.pages_without_news + 1
            return response

        request = self._prepare(context, paginator.current_value)
        where = self.where(context)
        try:
            response = self.request_decorator(attempt)(request, context)
        except AnswerError as error:
            raise error_for(error.rule, error.answer, where) from error
        except TransientError as error:
            if error.rule.action is Action.RENEW_TOKEN:
                message = (
                    f"{where}: {error.answer} - {error.rule.meaning}, renewed ones too; is another "
                    f"program using the same app? {error.rule.advice}"
                )
                raise RunError(message) from error
            raise AccountError(error.rule, error.answer, where) from error
        except requests.RequestException as error:
            what = f"{TRIES} tries at {self.url_base} failed, the last with {type(error).__name__}"
            if self.run.is_cut_off(where):
                message = f"{where}: {what}; check the network and api_url, then run again"
                raise RunError(message) from error
            raise AccountError(NO_ANSWER, what, where) from error
        self.run.answered()
        paginator.advance(response)
        return paginator.read(response)

    def _prepare(self, context: Context | None, token: str | None) -> requests.PreparedRequest:
        request = self.get_http_request(
            page=PageContext(stream_context=context, next_page_token=token)
        )
        return self.build_prepared_request(
            method=request.method,
            url=request.url,
            params=request.encode_params(),
            headers=request.headers,
        )

    def _send(self, request: requests.PreparedRequest) -> requests.Response:
        """Send a request, signed with the token of the moment; the session waits for its turn."""
        response = self.requests_session.send(
            self.authenticator(request),
            stream=True,
            timeout=TIMEOUT_SECONDS,
            allow_redirects=self.allow_redirects,
        )
        self.validate_response(response)
        return response

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Decide by the table of errors what an answer means.

        Raises:
            TransientError: if the request is to be sent again.
            AnswerError: if it is not; the rule says what is done instead.
        """
        if response.status_code == requests.codes.ok:
            return
        now = datetime.now(timezone.utc)
        answer = read_answer(response, now)
        rule = decide(answer)
        wait = (answer.retry_after - now).total_seconds() if answer.retry_after else None
        if rule.action is Action.COOL_DOWN and (wait or 0) > LONG_RETRY_AFTER_SECONDS:
            rule = DAILY_LIMIT
        if rule.action is Action.COOL_DOWN:
            seconds = self.run.pacer.cool_down(wait)
            self.run.report.warn_once(
                "cool down", f"{answer} - the whole run waits {seconds:.1f} s; {rule.advice}"
            )
            wait = 0.0
        if rule.action is Action.RENEW_TOKEN:
            sent = response.request.headers.get("Authorization", "")
            self.run.authenticator.discard(sent.removeprefix("Bearer "))
            wait = None
        if rule.action in {Action.RETRY, Action.COOL_DOWN, Action.RENEW_TOKEN}:
            raise TransientError(rule, answer, wait)
        raise AnswerError(rule, answer)

    @override
    def request_decorator(self, func: RequestFunc) -> RequestFunc:
        """Let a request be tried again after passing faults.

        The SDK's own decorator would also log each function call with its arguments.
        """
        retrying: RequestFunc = backoff.on_exception(
            self.backoff_wait_generator,
            (TransientError, *PASSING_FAULTS),
            max_tries=TRIES,
            jitter=None,
            on_backoff=self.backoff_handler,
            giveup=lambda _: self.run.stop.asked,
            logger=None,
        )(func)
        return retrying

    @override
    def backoff_wait_generator(self) -> Generator[float, None, None]:
        """Wait as long as Zoom asks, or twice as long each time."""
        error: object = yield 0.0
        wait = FIRST_WAIT_SECONDS
        while True:
            asked = error.wait if isinstance(error, TransientError) else None
            error = yield min(
                backoff.full_jitter(wait) if asked is None else asked, LONGEST_WAIT_SECONDS
            )
            wait *= 2

    @override
    def backoff_handler(self, details: Details) -> None:
        """Say why a request is sent again, unless a limit or a token that ran out is all."""
        error = details.get("exception")
        if not isinstance(error, TransientError):
            self.run.report.retry(self.url_base, type(error).__name__, details["wait"])
        elif error.rule.action is Action.RETRY:
            self.run.report.retry(self.url_base, str(error), details["wait"])
        else:
            self.logger.debug("%s; trying again in %.1f s", error, details["wait"])

    def notice(self, notices: Notices) -> None:
        """Count a row that had to be changed to fit the schema; warn once for each field."""
        tally = self.run.report.tallies[self.name]
        key = self.primary_keys[-1]
        for change in notices.changes:
            if tally.is_first(change):
                self.logger.warning("%s: %s", self.name, notices.remark(change, key))

"""The REST base of every stream: how a page is asked for.

Requests are composed of the SDK's public parts (`get_http_request`, `build_prepared_request`,
`validate_response`, `request_decorator`) so that they can be sent from several threads, each
attempt with the token and at the pace of the moment. What an answer means is decided by the rules.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from datetime import datetime, timezone
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING

import requests
from singer_sdk import RESTStream
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.streams.rest import PageContext
from typing_extensions import override

from tap_zoom_cc.zoom.answers import Answer, fault_of, read_answer, shorten
from tap_zoom_cc.zoom.bodies import BodyTooLargeError
from tap_zoom_cc.zoom.errors import AnswerError, error_for
from tap_zoom_cc.zoom.pagination import NextPageTokenPaginator, PageReader
from tap_zoom_cc.zoom.retries import retrying
from tap_zoom_cc.zoom.rules import NO_ANSWER, OK, Action, Condition, decide, may_be_an_outage
from tap_zoom_cc.zoom.schema_files import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from singer_sdk.helpers.types import Auth, Context, Record, RequestFunc

    from tap_zoom_cc.zoom.api import ZoomApi
    from tap_zoom_cc.zoom.pagination import Page

TIMEOUT_SECONDS = (10.0, 60.0)
"""To connect, and between two bytes of an answer."""


class ZoomStream(RESTStream[str | None]):
    """A stream of rows that one Zoom endpoint lists page by page."""

    rows_key: str
    """The key of an answer that holds the rows."""

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    """Rows are conformed by the tap's own decoder, which does it in C."""

    allow_redirects = False

    @property
    @abstractmethod
    def zoom(self) -> ZoomApi:
        """The run's way to Zoom; there is none during discovery."""

    def conditions(self, context: Context | None) -> set[Condition]:
        """Return what holds of a partition, for rules that ask for more than an answer."""
        del context
        return set()

    @cached_property
    @override
    def schema(self) -> dict[str, object]:
        """The JSON schema of a row; looked up once, for the SDK asks for it with every row."""
        return SCHEMAS.get_schema(self.name)

    @property
    @override
    def url_base(self) -> str:
        return self.zoom.url

    @property
    @override
    def authenticator(self) -> Auth:
        return self.zoom.authenticator

    @property
    @override
    def requests_session(self) -> requests.Session:
        return self.zoom.session

    @override
    def log_sync_costs(self) -> None:
        """Say what the stream took, and that the sync failed if it did.

        The SDK calls this for each stream once the state of all is final, and there is no later
        hook: here `sync_all` can tell the truth to a program that calls it.

        Raises:
            SyncFailedError: if something could not be read, of any stream.
        """
        super().log_sync_costs()
        self.zoom.report.raise_if_failed()

    @override
    def generate_child_contexts(self, record: Record, context: Context | None) -> Iterable[Context]:
        """Return nothing: no stream has children, so that no row is asked for them."""
        return ()

    @cached_property
    def _page_reader(self) -> PageReader:
        return PageReader(self.rows_key)

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
        take_in: Callable[[Page], bool],
        before_retry: Callable[[], None] = lambda: None,
    ) -> None:
        """Ask for the paginator's next page, trying again where that helps, and move it on.

        Args:
            context: the partition, and what else the query depends on.
            paginator: says which page; is advanced.
            take_in: takes in the page and says whether it had news; it raises ``ValueError`` for a
                page that is malformed.
            before_retry: called before each attempt but the first; what it raises ends the request.

        Raises:
            AccountError: if this account cannot be read.
            WindowExpiredError: if the page token is no longer valid.
            RunError: if nothing can be read any more.
            StoppedError: if the run is to end.
        """
        where = self.where(context)
        request = self._prepare(context, paginator.current_value)
        first_refused_at = inf
        attempts = 0
        token_refused_at: float | None = None

        def attempt(request: requests.PreparedRequest, _: Context | None) -> requests.Response:
            nonlocal attempts, first_refused_at, token_refused_at
            attempts += 1
            if attempts > 1:
                before_retry()
                self.zoom.report.count_retry()
            try:
                response = self._send(request)
                has_news = take_in(paginator.read(response))
            except (AnswerError, requests.RequestException, ValueError) as error:
                refused = request.headers.get("Authorization", "")
                refusal = self._refusal(error, context, first_refused_at)
                first_refused_at = min(first_refused_at, time.monotonic())
                if refusal.rule.action is Action.RENEW_TOKEN:
                    self.zoom.renew_token(refused, since=token_refused_at)
                    token_refused_at = self.zoom.pacer.sent_at
                raise refusal from error
            paginator.pages_without_news = 0 if has_news else paginator.pages_without_news + 1
            return response

        try:
            response = self.request_decorator(attempt)(request, context)
        except AnswerError as error:
            if may_be_an_outage(error.answer):
                self.zoom.note_failure(where)
            raise error_for(error, where) from error
        self.zoom.note_answer(where, request.headers.get("Authorization", ""))
        paginator.advance(response)

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
        """Let the page pass that was asked for.

        Raises:
            AnswerError: for every other answer.
        """
        if response.status_code != OK:
            answer = read_answer(response, datetime.now(timezone.utc))
            raise AnswerError(decide(answer), answer)

    def _refusal(
        self, error: Exception, context: Context | None, first_refused_at: float
    ) -> AnswerError:
        """Decide what follows from what came instead of the page, for this request and for all.

        Args:
            error: what told that it is not the page.
            context: the partition.
            first_refused_at: when the request was first refused, in monotonic seconds.
        """
        where = self.where(context)
        conditions = self.conditions(context)
        if self.zoom.is_outage(where):
            conditions.add(Condition.OUTAGE)
        match error:
            case AnswerError():
                answer = error.answer
            case BodyTooLargeError():
                answer = Answer(OK, message=str(error))
            case requests.RequestException():
                answer = Answer(NO_ANSWER, message=f"{fault_of(error)} at {self.url_base}")
                if isinstance(error, requests.Timeout) and not isinstance(
                    error, requests.ConnectionError
                ):
                    conditions.add(Condition.SLOW)
            case _:
                answer = Answer(OK, message=shorten(str(error)))
        account_id = (context or {}).get("account_id", "")
        if self.zoom.refuses_all(account_id, since=first_refused_at):
            conditions.add(Condition.ALL_REFUSED)
        rule = decide(answer, conditions)
        if rule.action is Action.COOL_DOWN:
            seconds = self.zoom.cool_down(account_id, answer.wait)
            self.zoom.report.warn_once(
                "cool down", f"{answer} - the whole run waits {seconds:.1f} s; {rule.advice}"
            )
        elif answer.status:
            self.zoom.speed_up()
        return AnswerError(rule, answer, where)

    @override
    def request_decorator(self, func: RequestFunc) -> RequestFunc:
        """Let a request be sent again as the rules say."""
        retried: RequestFunc = retrying(func, stop=self.zoom.stop, on_retry=self._say_why)
        return retried

    def _say_why(self, error: AnswerError, seconds: float) -> None:
        """Say why a request is sent again; a limit or a token that ran out is everyday."""
        if error.rule.action is Action.RETRY:
            self.zoom.report.retry(self.url_base, str(error.answer), seconds)
        else:
            self.logger.debug("%s; trying again in %.1f s", error, seconds)

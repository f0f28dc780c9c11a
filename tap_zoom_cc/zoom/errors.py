"""What ends a request, an account or a run: errors whose text is for the person who reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests

from tap_zoom_cc.run.log import printable
from tap_zoom_cc.zoom.answers import Answer, missing_scopes, shorten
from tap_zoom_cc.zoom.connections import BodyTooLargeError, ProxyRefusedError
from tap_zoom_cc.zoom.rules import NO_ANSWER, OK, Action, Condition

if TYPE_CHECKING:
    from tap_zoom_cc.zoom.rules import Rule


LISTING_SCOPE = "list_sub_accounts"
"""Part of the scope that only a master account can give to an app."""

WITHOUT_SUB_ACCOUNTS = (
    "; a company without sub accounts cannot have it, and sets include_own_account to true and "
    "sub_account_ids to [] instead"
)


class AnswerError(Exception):
    """An answer that is not the page asked for, and the rule that decides what follows.

    The message says where it came from, what was answered, what it means and what to do.
    """

    def __init__(self, rule: Rule, answer: Answer, where: str = "") -> None:
        """Keep the rule and the answer.

        Args:
            rule: the rule that decided.
            answer: what came.
            where: stream and account, or the token endpoint.
        """
        self.rule = rule
        self.answer = answer
        scopes = missing_scopes(answer.message) if rule.action is Action.STOP_RUN else ""
        named = f": {scopes}" if scopes else ""
        opens = ""
        waits = rule.action is Action.STOP_RUN or rule.condition is Condition.LONG_WAIT
        if answer.retry_after and waits:
            opens = f"; Zoom opens again at {answer.retry_after:%Y-%m-%d %H:%M:%S} UTC"
        place = f"{where}: " if where else ""
        way_out = WITHOUT_SUB_ACCOUNTS if LISTING_SCOPE in scopes else ""
        super().__init__(f"{place}{answer} - {rule.meaning}{named}{opens}; {rule.advice}{way_out}")


class AccountError(AnswerError):
    """One account cannot be read; the others can."""


class WindowExpiredError(AnswerError):
    """The page token is no longer valid; the pages must be read from the first one again."""


class RunError(Exception):
    """Nothing more can be read in this run; the message says what, where and what to do."""


def no_answer(error: Exception, *, at: str = "") -> tuple[Answer, set[Condition]]:
    """Return what came in place of an answer that can be read, and what is known of it besides.

    Args:
        error: what a session raised.
        at: where nothing came from, for the message.
    """
    match error:
        case ProxyRefusedError():
            return Answer(NO_ANSWER, message=shorten(str(error))), {Condition.PROXY_REFUSES}
        case BodyTooLargeError():
            return Answer(OK, message=str(error)), set()
    # The innermost error has the system's own reason, if there is one.
    reason, inner = "", error.__cause__ or error.__context__
    while inner:
        if isinstance(inner, OSError) and inner.strerror:
            reason = f": {printable(inner.strerror)}"
        inner = inner.__cause__ or inner.__context__
    place = f" at {at}" if at else ""
    answer = Answer(NO_ANSWER, message=f"{type(error).__name__}{reason}{place}")
    is_slow = isinstance(error, requests.Timeout) and not isinstance(
        error, requests.ConnectionError
    )
    return answer, {Condition.SLOW} if is_slow else set()

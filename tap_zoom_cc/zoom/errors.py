"""One table of errors: what an answer of Zoom means and what the tap does about it.

`RULES` is the whole policy; the first rule that fits an answer decides (`decide`). Each rule names
its source: *document* for Zoom's own documentation, *seen* for answers that users published, and
*own choice* for the safe reading of what nobody documents. The README's table is made from it.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_zoom_cc.zoom.answers import missing_scopes

if TYPE_CHECKING:
    from tap_zoom_cc.zoom.answers import Answer

TOO_MANY_REQUESTS = 429


class Action(enum.Enum):
    """What the tap does about an answer."""

    RETRY = "retry"
    COOL_DOWN = "cool down, retry"
    RENEW_TOKEN = "renew the token, retry"  # noqa: S105 (not a password)
    RESTART_WINDOW = "read the window again"
    NO_ROWS = "no rows in this account"
    REFUSED = "skip or fail the account"
    FAIL_ACCOUNT = "fail the account"
    STOP_RUN = "stop the run"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: which answers it is for, what is done, and what a reader can do."""

    action: Action
    meaning: str
    advice: str
    source: str
    statuses: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()
    pattern: str = ""

    def fits(self, answer: Answer) -> bool:
        """Say whether the rule is for this answer."""
        return (
            (not self.statuses or answer.status in self.statuses)
            and (not self.codes or answer.code in self.codes)
            and bool(
                re.search(self.pattern, f"{answer.message} {answer.limit_type}", re.IGNORECASE)
            )
        )


DAILY_LIMIT = Rule(
    Action.STOP_RUN,
    "the daily limit is spent",
    "run again after the time named; max_requests_per_run keeps a share for other apps",
    "document",
    statuses=(429,),
    pattern="daily",
)

RULES: tuple[Rule, ...] = (
    DAILY_LIMIT,
    Rule(
        Action.COOL_DOWN,
        "too many requests in a second",
        "lower requests_per_second when it comes often: the limit is shared by all apps",
        "document",
        statuses=(429,),
    ),
    Rule(
        Action.STOP_RUN,
        "a scope is missing",
        "add the scope to the Zoom app, then activate the app again",
        "seen",
        codes=(4711, 4700),
    ),
    Rule(
        Action.STOP_RUN,
        "a scope is missing",
        "add the scope to the Zoom app, then activate the app again",
        "seen",
        statuses=(400, 401, 403),
        pattern=r"does not contain scopes",
    ),
    Rule(
        Action.STOP_RUN,
        "the Zoom app is disabled",
        "activate the app in the Zoom App Marketplace",
        "seen",
        codes=(4717,),
    ),
    Rule(
        Action.RENEW_TOKEN,
        "the access token was refused",
        "nothing; if it stays refused, check the app's credentials and that it is active",
        "seen",
        statuses=(400, 401),
        codes=(124,),
    ),
    Rule(
        Action.RENEW_TOKEN,
        "the access token was refused",
        "nothing; if it stays refused, check the app's credentials and that it is active",
        "seen",
        statuses=(401,),
    ),
    Rule(
        Action.RESTART_WINDOW,
        "the page token has expired",
        "nothing; if it comes often, the target may be too slow",
        "seen",
        statuses=(400,),
        codes=(300, 30101, 1003100, 30051005),
        pattern=r"page.?token.*(invalid|expired)",
    ),
    Rule(
        Action.NO_ROWS,
        "a filter names a user, queue or engagement that this account does not have",
        "nothing, unless every account says so: then correct the filter",
        "document",
        statuses=(404,),
        codes=(1001, 1201, 2901),
    ),
    Rule(
        Action.STOP_RUN,
        "the endpoint does not exist there",
        "check api_url",
        "document",
        statuses=(400,),
        codes=(2300,),
    ),
    Rule(
        Action.FAIL_ACCOUNT,
        "a parameter was refused",
        "check the filters, start_date and end_date",
        "document",
        statuses=(400,),
        codes=(300,),
    ),
    Rule(
        Action.REFUSED,
        "the account is not there, not yours, or without permission or Contact Center",
        "check the account in sub_account_ids, its plan and the app's permissions",
        "document; any code: own choice",
        statuses=(400, 403, 404),
    ),
    Rule(
        Action.STOP_RUN,
        "a redirect, which is not followed: the token stays with the configured host",
        "check api_url or token_url",
        "own choice",
        statuses=(300, 301, 302, 303, 307, 308),
    ),
    Rule(
        Action.RETRY,
        "Zoom has a passing fault",
        "nothing; if it lasts, see Zoom's status page and run again",
        "document",
        statuses=(408, 425, *range(500, 600)),
    ),
)

UNKNOWN_ANSWER = Rule(
    Action.FAIL_ACCOUNT,
    "an answer that the documents do not name",
    "run again; if it stays, report it",
    "own choice",
)

MALFORMED_ANSWER = Rule(
    Action.RETRY,
    "an answer that is not the page asked for (cut off, no JSON, a row without key or start)",
    "run again; if it stays, report it",
    "own choice",
    statuses=(200,),
)


NO_ANSWER = Rule(
    Action.RETRY,
    "no answer, or an answer that broke off",
    "check the network, then run again",
    "own choice",
)


def decide(answer: Answer) -> Rule:
    """Return the first rule that fits an answer with an error status."""
    return next((rule for rule in RULES if rule.fits(answer)), UNKNOWN_ANSWER)


class AnswerError(Exception):
    """An answer that a request does not get over, and the rule that decided so."""

    def __init__(self, rule: Rule, answer: Answer | str, where: str = "") -> None:
        """Keep the rule; the message says where, what was answered, what it means, what to do."""
        self.rule = rule
        self.answer = answer
        place = f"{where}: " if where else ""
        super().__init__(f"{place}{answer} - {rule.meaning}; {rule.advice}")


class AccountError(AnswerError):
    """One account cannot be read; the others can."""


class WindowExpiredError(AnswerError):
    """The page token is no longer valid; the window must be read from its first page."""


class RunError(Exception):
    """Nothing more can be read in this run; the message says what, where and what to do."""


def error_for(rule: Rule, answer: Answer | str, where: str) -> AnswerError | RunError:
    """Return the error that ends a request, according to its rule.

    Args:
        rule: the rule that decided.
        answer: the answer, or what came instead of one.
        where: stream and account, for the message.
    """
    if rule.action is Action.RESTART_WINDOW:
        return WindowExpiredError(rule, answer, where)
    if rule.action is not Action.STOP_RUN or isinstance(answer, str):
        return AccountError(rule, answer, where)
    scopes = missing_scopes(answer.message)
    missing = f": {scopes}" if scopes else ""
    opens = ""
    if answer.retry_after and answer.status == TOO_MANY_REQUESTS:
        opens = f"; Zoom opens again at {answer.retry_after:%Y-%m-%d %H:%M:%S} UTC"
    return RunError(f"{where}: {answer} - {rule.meaning}{missing}{opens}; {rule.advice}")

"""One policy: what each answer of Zoom means, what the tap does about it, and what follows.

`RULES` is read from top to bottom; the first rule that fits an answer decides (`decide`), whether
it came from an endpoint of the API or from the token endpoint, and whether there was an answer at
all. The table in docs/errors.md is made from it. Where no account is involved, ``FAIL_ACCOUNT``
ends the run: at the token endpoint, and for the list of sub accounts.

Each rule names its source: *document* for Zoom's own documentation, *seen* for answers that users
have published, *own choice* for what is safe where nobody documents what happens.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from tap_zoom_cc.zoom.answers import Answer

LONG_WAIT_SECONDS = 300.0
"""The longest wait that an answer can ask for; a longer one ends the account or the run."""

TRIES = 8
"""How often a request is sent before its rule's last word counts."""

SLOW_TRIES = 3
"""The same where each try takes as long as an answer may: others wait for it meanwhile."""

PATIENCE_SECONDS = 300.0
"""How long a request may wait between its tries, all waits together, before the last word counts.

Refusals for the rate are no tries: for them it is the time since the first one.
"""

PLACES_OF_AN_OUTAGE = 20
"""How many must fail in a row for an outage; an account counts once for each stream."""


class Action(enum.Enum):
    """What the tap does about an answer."""

    RETRY = "try again after growing waits"
    COOL_DOWN = "the whole run waits, then try again"
    RENEW_TOKEN = "renew the token, try again"  # noqa: S105 (not a password)
    READ_AGAIN = "read the window again"
    NO_ROWS = "no rows in this account"
    SKIP_ACCOUNT = "skip the account, with a warning"
    FAIL_ACCOUNT = "fail the account"
    STOP_RUN = "stop the run"


class Condition(enum.Enum):
    """What else must hold for a rule to fit, besides the answer."""

    TOKEN_ENDPOINT = "it is the token endpoint"  # noqa: S105 (not a password)
    LONG_WAIT = "`Retry-After` or `X-RateLimit-Reset` is more than 5 minutes ahead"
    FILTERED = "filters are set, and the account has not answered in this run"
    NEVER_READ = "the account was listed, has no bookmark, and has not answered in this run"
    OTHER_RANGE = "the answer names a range that does not meet the one asked for"
    NARROWER_RANGE = (
        "the answer names less than was asked for, and to ask for half of it did not help"
    )
    PROXY_REFUSES = "the proxy answers 401, 403, 405 or 407, or is neither http nor https"
    SLOW = "the answer was not complete within a minute"
    ALL_REFUSED = "other accounts are refused too, and nothing was answered since its first try"
    OUTAGE = f"{PLACES_OF_AN_OUTAGE} accounts in a row failed so, with no answer to any other"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: which answers it is for, what is done, and what a reader can do.

    An answer fits when its status, its code and the text of its message do, and `condition` holds;
    what is left empty fits everything. `then` is what follows when `tries` requests, or those of
    `PATIENCE_SECONDS`, got no better answer; it is None for what is done at once. `tries` is None
    where only the time counts. Where `shared` holds, the answer is no fault of the account, and the
    run stops instead.
    """

    action: Action
    meaning: str
    advice: str
    source: str
    statuses: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()
    pattern: str = ""
    condition: Condition | None = None
    then: Action | None = None
    tries: int | None = TRIES
    shared: Condition | None = None

    def fits(self, answer: Answer, conditions: Collection[Condition]) -> bool:
        """Say whether the rule is for this answer under these conditions."""
        return (
            (not self.statuses or answer.status in self.statuses)
            and (not self.codes or answer.code in self.codes)
            and (self.condition is None or self.condition in conditions)
            and bool(
                re.search(self.pattern, f"{answer.message} {answer.limit_type}", re.IGNORECASE)
            )
        )

    @property
    def last_word(self) -> Action:
        """What is done when the request is not sent again."""
        return self.then or self.action


OK = 200

PASSING_FAULTS = (408, 425, *range(500, 600))

NO_ANSWER = 0
"""The status of a request that got no answer, or one that broke off."""

SCOPE_ADVICE = "add the scope to the Zoom app, then activate the app again"
DISABLED_ADVICE = "activate the app in the Zoom App Marketplace"
TOKEN_ADVICE = (
    "is another program using the same app? check the app's credentials and that it is active"  # noqa: S105 (not a password)
)
DAILY_ADVICE = "run again after the time named; max_requests_per_run keeps a share for other apps"

RULES: tuple[Rule, ...] = (
    Rule(
        Action.STOP_RUN,
        "the daily limit is spent",
        DAILY_ADVICE,
        "document",
        statuses=(429,),
        pattern="daily",
    ),
    Rule(
        Action.STOP_RUN,
        "the daily limit is spent",
        DAILY_ADVICE,
        "own choice",
        statuses=(429,),
        condition=Condition.LONG_WAIT,
    ),
    Rule(
        Action.RETRY,
        "too many access tokens were asked for",
        "find out which other program asks for tokens of this app",
        "own choice",
        statuses=(429,),
        condition=Condition.TOKEN_ENDPOINT,
        then=Action.STOP_RUN,
        tries=None,
    ),
    Rule(
        Action.COOL_DOWN,
        "too many requests in a second",
        "lower requests_per_second when it comes often: the limit is shared by all apps",
        "document",
        statuses=(429,),
        then=Action.FAIL_ACCOUNT,
        tries=None,
        shared=Condition.ALL_REFUSED,
    ),
    Rule(Action.STOP_RUN, "a scope is missing", SCOPE_ADVICE, "seen", codes=(4711, 4700)),
    Rule(
        Action.STOP_RUN,
        "a scope is missing",
        SCOPE_ADVICE,
        "seen",
        statuses=(400, 401, 403),
        pattern=r"does not contain scopes",
    ),
    Rule(Action.STOP_RUN, "the Zoom app is disabled", DISABLED_ADVICE, "seen", codes=(4717,)),
    Rule(
        Action.FAIL_ACCOUNT,
        "a redirect, which is not followed: the token stays with the configured host",
        "check api_url and token_url",
        "own choice",
        statuses=(300, 301, 302, 303, 307, 308),
        shared=Condition.OUTAGE,
    ),
    Rule(
        Action.FAIL_ACCOUNT,
        "Zoom has a fault, and asks to wait longer than the tap does",
        "run again after the time named",
        "own choice",
        statuses=PASSING_FAULTS,
        condition=Condition.LONG_WAIT,
    ),
    Rule(
        Action.RETRY,
        "Zoom has a passing fault",
        "see Zoom's status page and run again",
        "document",
        statuses=PASSING_FAULTS,
        then=Action.FAIL_ACCOUNT,
    ),
    Rule(
        Action.FAIL_ACCOUNT,
        "Zoom answers something else than was asked for",
        "if Zoom keeps less history, set start_date later; else report it",
        "own choice",
        statuses=(OK,),
        condition=Condition.OTHER_RANGE,
    ),
    Rule(
        Action.FAIL_ACCOUNT,
        "Zoom does not answer for the whole range",
        "if Zoom keeps less history, set start_date later; on_count_mismatch: warn accepts it",
        "own choice",
        statuses=(OK,),
        condition=Condition.NARROWER_RANGE,
    ),
    Rule(
        Action.RETRY,
        "an answer that is not what was asked for (cut off, no JSON, a row without key or start)",
        "run again; if it stays, report it",
        "own choice",
        statuses=(OK,),
        then=Action.FAIL_ACCOUNT,
    ),
    Rule(
        Action.STOP_RUN,
        "the proxy of the environment lets no request through",
        "check https_proxy: its kind, user and password (Basic), and that it allows Zoom's hosts",
        "own choice",
        statuses=(NO_ANSWER,),
        condition=Condition.PROXY_REFUSES,
    ),
    Rule(
        Action.RETRY,
        "the answer takes too long",
        "see Zoom's status page and run again",
        "own choice",
        statuses=(NO_ANSWER,),
        condition=Condition.SLOW,
        then=Action.FAIL_ACCOUNT,
        tries=SLOW_TRIES,
        shared=Condition.OUTAGE,
    ),
    Rule(
        Action.RETRY,
        "nothing answers, or the connection breaks off",
        "check the network, api_url and token_url, then run again",
        "own choice",
        statuses=(NO_ANSWER,),
        then=Action.FAIL_ACCOUNT,
        shared=Condition.OUTAGE,
    ),
    Rule(
        Action.STOP_RUN,
        "Zoom refuses the app's credentials",
        "check account_id, client_id and client_secret against the app's page 'App Credentials', "
        "and that the app is activated",
        "seen; any other code: own choice",
        condition=Condition.TOKEN_ENDPOINT,
    ),
    *(
        Rule(
            Action.RENEW_TOKEN,
            "the access token was refused, and renewed ones too",
            TOKEN_ADVICE,
            "seen",
            statuses=statuses,
            codes=codes,
            then=Action.FAIL_ACCOUNT,
            shared=Condition.OUTAGE,
        )
        for statuses, codes in (((400, 401), (124,)), ((401,), ()))
    ),
    Rule(
        Action.READ_AGAIN,
        "the page token has expired",
        "run again; if it comes often, lower max_concurrency: a window's pages come faster then",
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
        condition=Condition.FILTERED,
    ),
    Rule(
        Action.FAIL_ACCOUNT,
        "the endpoint does not exist there",
        "check api_url",
        "document",
        statuses=(400,),
        codes=(2300,),
        shared=Condition.OUTAGE,
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
        Action.SKIP_ACCOUNT,
        "the account is not there, not yours, or without permission or Contact Center",
        "check the account's plan and the app's permissions if it should be read",
        "document; any code: own choice",
        statuses=(400, 403, 404),
        condition=Condition.NEVER_READ,
    ),
    Rule(
        Action.FAIL_ACCOUNT,
        "the account is not there, not yours, or without permission or Contact Center",
        "check the account in sub_account_ids, its plan and the app's permissions",
        "document; any code: own choice",
        statuses=(400, 403, 404),
    ),
    Rule(
        Action.FAIL_ACCOUNT,
        "an answer that the documents do not name",
        "run again; if it stays, report it",
        "own choice",
    ),
)


def decide(answer: Answer, conditions: Collection[Condition] = ()) -> Rule:
    """Return the first rule that fits an answer, as it ends; the last one fits everything.

    Args:
        answer: what came, or `NO_ANSWER` as its status.
        conditions: what holds besides; `Condition.LONG_WAIT` is seen in the answer itself.
    """
    if answer.wait is not None and answer.wait > LONG_WAIT_SECONDS:
        conditions = {*conditions, Condition.LONG_WAIT}
    rule = next(rule for rule in RULES if rule.fits(answer, conditions))
    if rule.shared not in conditions:
        return rule
    if rule.then is None:
        return replace(rule, action=Action.STOP_RUN)
    return replace(rule, then=Action.STOP_RUN)

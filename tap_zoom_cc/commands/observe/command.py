"""``--observe``: chooses an account, asks for what settles the open questions, prints the table.

The order of requests matters: the first answer shows how many engagements there are, the next ones
what a range selects. With that known, the others can be asked for so that their answers mean
something.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from tap_zoom_cc.commands.observe.asking import Asked, Log, Traffic
from tap_zoom_cc.commands.observe.ranges import near, next_range, next_width, readings_left
from tap_zoom_cc.commands.observe.verdicts import advice, verdicts
from tap_zoom_cc.run.report import counted
from tap_zoom_cc.run.stopping import in_background
from tap_zoom_cc.sync.windows import DAY, LONGEST_REQUEST, Window, whole_second
from tap_zoom_cc.writer import writing
from tap_zoom_cc.zoom.errors import RunError
from tap_zoom_cc.zoom.pages import Account

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from tap_zoom_cc.services import Services
    from tap_zoom_cc.streams import EngagementStream

FIRST_ACCOUNTS = 3
"""Of so many accounts the busiest is observed, when none is named."""

BUSIEST = "(the busiest)"
"""What the option has for a value when it is given without one."""

RANGE_REQUESTS = 8
"""The most requests about what ranges select, to the busiest log."""

OTHER_RANGE_REQUESTS = 4
"""The same, to each other log."""

HISTORY_DAYS = (90, 365, 730)
"""How far back history is asked for, as long as there is something."""

SHOWN_VALUE = re.compile(
    r"[A-Za-z-]{1,24}|\d{1,9}|1\d{9}|\d{4}-\d\d-\d\d[\d:.TZ+-]{0,20}|[A-Za-z]{3}, [\w: ]{1,24} GMT"
)
"""Values of headers that are shown: a word, a number, or a time, in seconds since 1970, too."""


def observe_account(
    streams: Sequence[EngagementStream], services: Services, account_id: str
) -> None:
    """Observe one account and print what was found, even if something ends it early.

    ``account_id`` may be `BUSIEST`, of the first few accounts.

    Raises:
        RunError: if no log could be read, or something ended it early.
        StoppedError: if the run is to end.
        OutputError: if nobody reads what is printed.
    """
    settings = services.settings
    traffic = Traffic(services.client)
    candidates: list[list[Log]] = []
    # A parameter that is None is left out.
    observed = [
        replace(log, parameters={**log.parameters, **dict.fromkeys(settings.filters[log.name])})
        for log in (stream.log_endpoint for stream in streams)
    ]

    def find_out() -> None:
        present = whole_second(services.present)
        chosen = (
            list(services.accounts.values())[:FIRST_ACCOUNTS]
            if account_id == BUSIEST
            else [Account(account_id, own=account_id == settings.account_id)]
        )
        for account in chosen:
            logs = [Log(log.name, partial(traffic.ask, log, account), present) for log in observed]
            candidates.append(logs)
            for log in logs:
                log.ask_for_newest()
        look(busiest(candidates))

    end = "; something ended it early."
    try:
        in_background(find_out, services.stop, services.report.show_retries)
        end = "."
    finally:
        # What was found until then is told, whatever ended it.
        logs = busiest(candidates)
        is_readable = any(log.is_readable for log in logs)
        if is_readable:
            answers = counted(traffic.statuses.total(), "answer")
            title = f"Observed by tap-zoom-cc {version('tap-zoom-cc')}, from {answers}{end}"
            with writing():
                sys.stdout.write(markdown(logs, settings.lookbacks, traffic, title))
    if not is_readable:
        reasons = ", ".join(f"{log.name} answers {log.refusal}" for log in logs)
        raise RunError(f"Nothing can be observed: {reasons}; --check says why")


def busiest(accounts: Sequence[Sequence[Log]]) -> Sequence[Log]:
    """Return the logs of the account with the most engagements in one of them."""
    return max(accounts, key=lambda logs: max(log.size for log in logs), default=())


def look(logs: Sequence[Log]) -> None:
    """Ask an account's logs for more, the busiest first; the newest engagements have been seen."""
    readable = sorted((log for log in logs if log.is_readable), key=lambda log: -log.size)
    for number, log in enumerate(readable):
        _ask_about_ranges(log, OTHER_RANGE_REQUESTS if number else RANGE_REQUESTS)
    for log in readable[:1]:
        while asked := next_width(log):
            if log.ask(asked) is None:
                break
        first = log.seen[0]
        if first.token:
            # The newest engagements again, and then the second page by the first token.
            log.ask(replace(first.asked, purpose="living"))
            log.ask(replace(first.asked, purpose="living", page_token=first.token))
        for days in HISTORY_DAYS:
            end = log.present - days * DAY
            answer = log.ask(Asked("history", Window(end - LONGEST_REQUEST, end)))
            if answer is None or not answer.in_range:
                break


def _ask_about_ranges(log: Log, most: int) -> None:
    # A day that is a week old shows whether the range matters at all.
    log.ask(Asked("range", Window(log.present - 8 * DAY, log.present - 7 * DAY)))
    is_confirmed = False
    for _ in range(most - 1):
        left = readings_left(log)
        asked = next_range(log, left)
        if asked is None and left and not is_confirmed:
            # A reading that is wrong, and has come through by chance, would hardly do so again.
            is_confirmed = True
            asked = next_range(log, near(left[0]))
        if asked is None or log.ask(asked) is None:
            return


def markdown(
    logs: Sequence[Log], lookbacks: Mapping[str, timedelta], traffic: Traffic, title: str
) -> str:
    """Return a title, the table of what was seen of all logs, and the line about settings.

    ``lookbacks`` are how far back the settings let syncs look, by log.
    """
    lines = [title, "", "| log | question | finding |", "|---|---|---|"]
    for log in logs:
        found = verdicts(log) if log.is_readable else {"the log": f"refused: {log.refusal}"}
        lines += [f"| `{log.name}` | {question} | {told} |" for question, told in found.items()]
    statuses = ", ".join(
        f"{status} ({'' if code is None else f'code {code}, '}{count})"
        for (status, code), count in sorted(traffic.statuses.items(), key=str)
    )
    headers = "; ".join(
        f"{name}: {value if SHOWN_VALUE.fullmatch(value) else '(no word, number or time)'}"
        for name, value in sorted(traffic.headers.items())
    )
    lines += [f"| all | HTTP statuses | {statuses} |"]
    lines += [f"| all | headers about limits, the last of each | {headers or 'none'} |", ""]
    meaning = "; ".join(each for log in logs for each in advice(log, lookbacks[log.name]))
    return "\n".join([*lines, f"For this account's settings: {meaning or 'none yet'}.", ""])

"""``--observe``: chooses an account, asks for what settles the open questions, prints the table."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from tap_zoom_cc.commands.observe.asking import Traffic
from tap_zoom_cc.commands.observe.probes import Log, busiest, look
from tap_zoom_cc.commands.observe.verdicts import advice, verdicts
from tap_zoom_cc.run.report import counted
from tap_zoom_cc.run.stopping import StoppedError, in_background
from tap_zoom_cc.sync.windows import whole_second
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

SHOWN_VALUE = re.compile(
    r"[A-Za-z-]{1,24}|\d{1,9}|1\d{9}|\d{4}-\d\d-\d\d[\d:.TZ+-]{0,20}|[A-Za-z]{3}, [\w: ]{1,24} GMT"
)
"""Values of headers that are shown: a word, a number, or a time, in seconds since 1970, too."""


def observe_account(
    streams: Sequence[EngagementStream], services: Services, account_id: str
) -> None:
    """Observe one account and print what was found, even if something ends it early.

    Args:
        streams: the streams to observe.
        services: what the run shares.
        account_id: the account to observe, or `BUSIEST` of the first few.

    Raises:
        RunError: if no log could be read, or something ended it early.
        StoppedError: if the run is to end.
        OutputError: if nobody reads what is printed.
    """
    settings = services.settings
    traffic = Traffic(services.client)
    observed = []
    for stream in streams:
        log, filters = stream.log_endpoint, settings.filters[stream.name]
        unfiltered = {name: each for name, each in log.parameters.items() if name not in filters}
        observed.append(replace(log, parameters=unfiltered))
    candidates: list[list[Log]] = []

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

    def write(end: str) -> bool:
        logs = busiest(candidates)
        is_readable = any(log.is_readable for log in logs)
        if is_readable:
            answers = counted(traffic.statuses.total(), "answer")
            title = f"Observed by tap-zoom-cc {version('tap-zoom-cc')}, from {answers}{end}"
            with writing():
                sys.stdout.write(markdown(logs, settings.lookbacks, traffic, title))
        return is_readable

    try:
        in_background(find_out, services.stop, services.report.show_retries)
    except (RunError, StoppedError):
        write("; something ended it early.")
        raise
    if not write("."):
        reasons = ", ".join(f"{log.name} answers {log.refusal}" for log in busiest(candidates))
        raise RunError(f"Nothing can be observed: {reasons}; --check says why")


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

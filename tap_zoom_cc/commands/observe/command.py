"""``--observe``: chooses an account, asks for what settles the open questions, prints the table."""

from __future__ import annotations

import sys
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from tap_zoom_cc.commands.observe.asking import ObservedLog, Traffic
from tap_zoom_cc.commands.observe.probes import Log, base, look_closely, look_far
from tap_zoom_cc.commands.observe.table import Observation, markdown, traffic_verdicts
from tap_zoom_cc.commands.observe.verdicts import longest_seen, status_of, verdicts
from tap_zoom_cc.run.report import counted
from tap_zoom_cc.run.stopping import EXIT_FAILED, StoppedError, in_background
from tap_zoom_cc.sync.windows import whole_second
from tap_zoom_cc.writer import writing
from tap_zoom_cc.zoom.errors import RunError
from tap_zoom_cc.zoom.pages import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from tap_zoom_cc.accounts import Accounts
    from tap_zoom_cc.engagements import EngagementStream
    from tap_zoom_cc.services import Services

FIRST_ACCOUNTS = 3
"""Of so many accounts the busiest is observed, when none is named."""

MOST_REQUESTS = 25
"""For the account that is observed."""

FOR_OTHERS = 7
"""Requests that are kept for the less busy log of the account."""

RANGES_OF_OTHERS = 4

BUSIEST = "(the busiest)"
"""What the option has for a value when it is given without one."""


def observe_option(
    callback: Callable[[click.Context, click.Option, str | None], None],
) -> click.Option:
    """Return the option of the command line: alone, or with the ID of an account."""
    return click.Option(
        ["--observe"],
        is_flag=False,
        flag_value=BUSIEST,
        metavar="[ACCOUNT_ID]",
        help=(
            "Find out from one account what Zoom's documents leave open, by some 25 requests, and "
            "print a table of it without personal data."
        ),
        callback=callback,
        expose_value=False,
    )


def observe(
    streams: Sequence[EngagementStream],
    accounts: Accounts,
    services: Services,
    account_id: str,
) -> int:
    """Observe one account and print what was found.

    Args:
        streams: the streams to observe.
        accounts: those of the settings, of which the busiest of the first few is observed.
        services: what the run shares.
        account_id: the account to observe instead, or `BUSIEST`.

    Returns:
        The exit code: 0 if at least one log could be read.
    """
    logger, stop = services.report.logger, services.stop
    traffic = Traffic()

    def find_out() -> list[Observation]:
        present = whole_second(services.present)
        filters = services.settings.filters
        observed = [
            ObservedLog(stream.log_endpoint, filters[stream.name], services.client, traffic)
            for stream in streams
        ]
        chosen = _chosen(accounts, services.settings.account_id, account_id)
        logs = _busiest(observed, chosen, present)
        look(logs)
        return [
            _observation(stream, log, services) for stream, log in zip(streams, logs, strict=True)
        ]

    try:
        observations = in_background(find_out, stop, services.report.show_retries)
    except RunError as error:
        logger.error(str(error))  # noqa: TRY400 (what happened, not where)
        return EXIT_FAILED
    except StoppedError:
        logger.error(stop.reason)  # noqa: TRY400 (what happened, not where)
        return stop.exit_code
    if all(each.refusal for each in observations):
        reasons = ", ".join(f"{each.stream} answers {each.refusal}" for each in observations)
        logger.error("Nothing can be observed: %s; --test says what it means", reasons)
        return EXIT_FAILED
    lifetime = services.client.authenticator.lifetime
    found = traffic_verdicts(traffic.statuses, traffic.headers, lifetime)
    requests = counted(sum(traffic.statuses.values()), "answer")
    title = f"Observed by tap-zoom-cc {version('tap-zoom-cc')}, from {requests}."
    with writing():
        sys.stdout.write(markdown(observations, found, title))
    return 0


def _chosen(accounts: Accounts, own_account_id: str, account_id: str) -> list[Account]:
    """Return the account that is named, or the first few.

    Raises:
        RunError: if there is none.
        StoppedError: when the run is to end first.
    """
    if account_id != BUSIEST:
        return [Account(account_id, own=account_id == own_account_id)]
    return list(accounts.by_id.values())[:FIRST_ACCOUNTS]


def _busiest(
    observed: Sequence[ObservedLog], accounts: Iterable[Account], present: datetime
) -> list[Log]:
    """Return the logs of the account with the most engagements; the first page of each is seen."""
    candidates = []
    for account in accounts:
        logs = [Log(partial(log.see, account), present, MOST_REQUESTS) for log in observed]
        for log in logs:
            log.ask(base(present))
        candidates.append(logs)
    return max(candidates, key=lambda logs: max(map(_size, logs)))


def _size(log: Log) -> int:
    """Return the number of engagements of a log in its first range; -1 if it refuses."""
    first = log.seen[0]
    return max(first.total or 0, len(first.rows)) if first.is_page else -1


def look(logs: Sequence[Log]) -> None:
    """Look at an account's logs, the busiest first, within the requests of the account."""
    readable = sorted((log for log in logs if log.seen[0].is_page), key=_size, reverse=True)
    left = MOST_REQUESTS - len(logs)
    for number, log in enumerate(readable):
        log.left = most = left - FOR_OTHERS * (len(readable) - 1 - number)
        if number == 0:
            look_closely(log)
            look_far(log)
        else:
            look_closely(log, ranges=RANGES_OF_OTHERS)
        left -= most - log.left


def _observation(stream: EngagementStream, log: Log, services: Services) -> Observation:
    lookback = services.settings.lookbacks[stream.name]
    if not log.seen[0].is_page:
        return Observation(stream.name, lookback, refusal=status_of(log.seen[0]))
    return Observation(
        stream.name, lookback, verdicts(log, stream.schema), longest=longest_seen(log)
    )

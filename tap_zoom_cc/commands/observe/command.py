"""``--observe``: chooses an account, asks for what settles the open questions, prints the table."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from tap_zoom_cc.commands.observe.asking import MOST_REQUESTS, Traffic
from tap_zoom_cc.commands.observe.probes import Log, busiest, look
from tap_zoom_cc.commands.observe.table import markdown
from tap_zoom_cc.run.report import counted
from tap_zoom_cc.run.stopping import EXIT_FAILED, StoppedError, in_background
from tap_zoom_cc.sync.windows import whole_second
from tap_zoom_cc.writer import writing
from tap_zoom_cc.zoom.errors import RunError
from tap_zoom_cc.zoom.pages import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tap_zoom_cc.services import Services
    from tap_zoom_cc.streams import EngagementStream
    from tap_zoom_cc.zoom.pages import EngagementLog

FIRST_ACCOUNTS = 3
"""Of so many accounts the busiest is observed, when none is named."""

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
            "Find out from one account what Zoom's documents leave open, by at most "
            f"{MOST_REQUESTS} requests, and print a table of it without personal data."
        ),
        callback=callback,
        expose_value=False,
    )


def observe(streams: Sequence[EngagementStream], services: Services, account_id: str) -> int:
    """Observe one account and print what was found, even if something ends it early.

    Args:
        streams: the streams to observe.
        services: what the run shares.
        account_id: the account to observe, or `BUSIEST` of the first few.

    Returns:
        The exit code: 0 if at least one log could be read, and nothing ended it early.
    """
    logger, stop, settings = services.report.logger, services.stop, services.settings
    traffic = Traffic(services.client)
    observed = [_without_filters(stream, services) for stream in streams]
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

    problem, exit_code = "", 0
    try:
        in_background(find_out, stop, services.report.show_retries)
    except RunError as error:
        problem, exit_code = str(error), EXIT_FAILED
    except StoppedError:
        problem, exit_code = stop.reason, stop.exit_code
    logs = busiest(candidates)
    if any(log.is_readable for log in logs):
        answers = counted(traffic.statuses.total(), "answer")
        end = "; something ended it early." if problem else "."
        title = f"Observed by tap-zoom-cc {version('tap-zoom-cc')}, from {answers}{end}"
        with writing():
            sys.stdout.write(markdown(logs, settings.lookbacks, traffic, title))
    elif not problem:
        reasons = ", ".join(f"{log.name} answers {log.refusal}" for log in logs)
        problem, exit_code = f"Nothing can be observed: {reasons}; --check says why", EXIT_FAILED
    if problem:
        logger.error(problem)
    return exit_code


def _without_filters(stream: EngagementStream, services: Services) -> EngagementLog:
    log, filters = stream.log_endpoint, services.settings.filters[stream.name]
    kept = {name: value for name, value in log.parameters.items() if name not in filters}
    return replace(log, parameters=kept)

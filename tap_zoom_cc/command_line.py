"""The command ``tap-zoom-cc``: its options, what is checked at its start, and its exit code."""

from __future__ import annotations

import logging
import sys
import traceback
from abc import abstractmethod
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from singer_sdk.cli import plugin_cli
from singer_sdk.exceptions import ConfigValidationError, MapExpressionError, StreamMapConfigError
from singer_sdk.plugin_base import SingerCommand
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_zoom_cc.commands.check import check_access, write_line, write_row
from tap_zoom_cc.commands.observe.asking import MOST_REQUESTS
from tap_zoom_cc.commands.observe.command import BUSIEST, observe_account
from tap_zoom_cc.commands.reconcile import count_days
from tap_zoom_cc.environment import forget_unknown_log_levels, misspelled_variables
from tap_zoom_cc.inputs import InputError, read_config, read_input
from tap_zoom_cc.run.log import leave_out_chatter, printable
from tap_zoom_cc.run.stopping import EXIT_FAILED, OutputError, Stop, StoppedError, end_on_signals
from tap_zoom_cc.services import ServingTap
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS
from tap_zoom_cc.writer import writing
from tap_zoom_cc.zoom.answers import shorten
from tap_zoom_cc.zoom.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn, TextIO

    from typing_extensions import Self

    from tap_zoom_cc.run.settings import Settings
    from tap_zoom_cc.streams import EngagementStream

USER_ERRORS = (ConfigValidationError, MapExpressionError, StreamMapConfigError)

COMMANDS = ("about", "discover", "test", "check", "reconcile", "observe")
"""The options that are a command each, instead of a sync: the first one would hide the others."""

OPTIONS = (
    click.Option(
        ["--check"],
        is_flag=True,
        help=(
            "Print for each stream and account whether it can be read; no row of data, as --test "
            "has."
        ),
    ),
    click.Option(
        ["--reconcile"],
        metavar="FROM/TO",
        help=(
            "Count instead of reading: write how many engagements Zoom has of each stream, account "
            "and day, as JSON lines. For example 2026-01-01/2026-02-01: the days in UTC, the last "
            "one not included."
        ),
    ),
    click.Option(
        ["--observe"],
        is_flag=False,
        flag_value=BUSIEST,
        metavar="[ACCOUNT_ID]",
        help=(
            "Find out from one account what Zoom's documents leave open, by at most "
            f"{MOST_REQUESTS} requests, and print a table of it without personal data."
        ),
    ),
)
"""The options that only this tap has."""


class CommandLineTap(ServingTap):
    """A tap with a command line, which refuses wrong input in words; how it syncs is abstract."""

    def __init__(
        self,
        *,
        stop: Stop | None = None,
        settings: Settings | None = None,
        **sdk_arguments: Any,  # noqa: ANN401 (as the SDK)
    ) -> None:
        """Set up the tap.

        Args:
            stop: what ends a run early when it is asked; the command line asks it for signals.
            settings: the checked configuration; without it `config` is checked when a run begins.
            sdk_arguments: as the SDK takes them.
        """
        self._stop = stop or Stop()
        self._settings = settings
        super().__init__(**sdk_arguments)

    @abstractmethod
    def sync(self) -> int:
        """Sync every selected stream and return the exit code: 0 only if nothing was missed."""

    @abstractmethod
    def engagement_streams(self) -> list[EngagementStream]:
        """Return the selected streams of engagements."""

    @override
    def _setup_signal_handlers(self) -> None:
        """Leave the handlers as they are.

        The SDK's would write the state of the moment, which is empty while the tap is being set up,
        and end with exit code 0. It has no public way to go without them.
        """

    @plugin_cli
    @override
    def cli(cls) -> click.Command:  # noqa: N805 (as the SDK has it)
        """The command ``tap-zoom-cc``."""
        ignored = forget_unknown_log_levels()
        try:
            command = super().cli
        except Exception as error:  # noqa: BLE001 (a file can be wrong in any way)
            reason = f"{type(error).__name__}: {shorten(str(error))}"
            sys.exit(f"SINGER_SDK_LOG_CONFIG: cannot be used: {reason}")
        for line in ignored:
            cls.logger.warning(line)
        return command

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        """Return the SDK's command, with the options that only this tap has."""
        # The SDK asks for the command when it has set up the log, and then runs it.
        leave_out_chatter()
        command = super().get_singer_command()
        command.params += OPTIONS
        return Command(
            name=command.name,
            callback=command.callback,
            params=command.params,
            help=command.help,
            context_settings=command.context_settings,
            logger=cls.logger,
        )

    @classmethod
    @override
    def invoke(  # type: ignore[override]  # as in the SDK
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: Sequence[str] = (),
        state: TextIO | None = None,
        catalog: TextIO | None = None,
        check: bool = False,
        reconcile: str | None = None,
        observe: str | None = None,
    ) -> None:
        """Run the tap; ends the process with the exit code that tells the truth."""
        if about:
            with writing():
                cls.print_about(about_format)
            return
        versions = (cls.name, cls.plugin_version, cls.sdk_version)
        cls.logger.info("%s v%s, Meltano SDK v%s", *versions)
        tap = cls._from_input(config, state, catalog)
        if not check and reconcile is observe is None:
            sys.exit(tap.sync())
        streams = tap.engagement_streams()
        if not streams:
            names = ", ".join(stream.name for stream in ENGAGEMENT_STREAMS)
            raise InputError(f"catalog: selects none of {names}, so nothing would be asked for")
        if check:
            sys.exit(check_access(streams, tap.services, write_line))
        if reconcile is not None:
            sys.exit(count_days(streams, tap.services, reconcile))
        observe_account(streams, tap.services, observe or "")

    @classmethod
    @override
    def cb_config(  # type: ignore[override]  # the SDK's class has no public name
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Leave the files to `tap_zoom_cc.inputs`, which says everything that is wrong at once."""
        return value

    @classmethod
    @override
    def cb_discover(cls, ctx: click.Context, param: click.Option, value: bool) -> None:
        """Print the catalog: ``sub_account_ids`` alone counts, and settings may be wrong."""
        if not value:
            return
        config = read_config(ctx.params.get("config", ()))
        # The SDK would say once more that something is wrong, and not what.
        cls.logger.setLevel(logging.ERROR)
        ids = config.get("sub_account_ids")
        tap = cls(config={"sub_account_ids": ids}, validate_config=False, setup_mapper=False)
        with writing():
            tap.run_discovery()
        ctx.exit()

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Say for each stream and account whether it can be read, and if not, why."""
        if value == CliTestOptionValue.Disabled.value:
            return
        tap = cls._from_input(ctx.params.get("config", ()))
        tap.write_schemas()
        if value == CliTestOptionValue.Schema.value:
            ctx.exit()
        streams, show = tap.engagement_streams(), partial(write_row, tap)
        ctx.exit(check_access(streams, tap.services, cls.logger.log, show))

    @classmethod
    def _from_input(
        cls,
        config: Sequence[str],
        state: TextIO | None = None,
        catalog: TextIO | None = None,
    ) -> Self:
        """Return a tap whose settings, state and catalog are all in order, and that signals end.

        Raises:
            InputError: with everything that is wrong, one line each.
            OutputError: if standard output is closed.
        """
        # What will be read has to go somewhere: else not a single request is sent.
        with writing():
            pass
        stop = Stop()
        end_on_signals(stop, cls.logger)
        try:
            given = read_input(config, state, catalog, now=datetime.now(timezone.utc))
        finally:
            # The file of variables has been read by now, and may have some that are wrong, too.
            for line in (*misspelled_variables(), *forget_unknown_log_levels()):
                cls.logger.warning(line)
        tap = cls(
            stop=stop,
            settings=given.settings,
            config=given.config,
            state=given.state,
            catalog=given.catalog,
            validate_config=False,
        )
        if not any(stream.selected for stream in tap.streams.values()):
            raise InputError("catalog: no stream is selected, so nothing would be read")
        return tap


class Command(SingerCommand):
    """The SDK's command, with exit codes that tell the truth, also about what it did not do."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options; one that ends the command leaves none of its files open.

        Raises:
            InputError: if they are two commands.
        """
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        commands = [f"--{name}" for name in COMMANDS if name in given]
        if len(commands) > 1:
            raise InputError(f"{' and '.join(commands)}: give one of them at a time")
        try:
            return super().parse_args(ctx, args)
        except BaseException:
            ctx.close()
            raise

    @override
    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run, and end the process."""
        sys.exit(exit_code_of(partial(super().main, *args, **kwargs), self.logger))


def exit_code_of(command: Callable[[], object], logger: logging.Logger) -> int | str | None:
    """Run a command to its end; what the user can mend becomes lines, and code 1.

    This is the one place where an error becomes an exit code.

    Args:
        command: returns, or ends the process with an exit code.
        logger: for the lines, one for each thing that is wrong.

    Raises:
        Exception: what is nobody's input but a fault of the tap.
    """
    exit_code: int | str | None = 0
    lines: list[str] = []
    try:
        try:
            command()
        except SystemExit as end:
            exit_code = end.code
        with writing():
            """Whatever was printed has to leave, too."""
    except (InputError, OutputError, RunError) as error:
        exit_code, lines = EXIT_FAILED, list(error.args)
    except StoppedError as error:
        exit_code, lines = error.exit_code, [str(error)]
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or type(error).__name__
        exit_code, lines = EXIT_FAILED, [f"The system refused something: {where}{reason}"]
    except Exception as error:
        # Of another error than the SDK's the text is left out: it may quote a value of a row.
        told = str(error) if isinstance(error, USER_ERRORS) else _failed_expression(error)
        if told is None:
            raise
        exit_code = EXIT_FAILED
        lines = [f"stream_maps: an expression fails: {type(error).__name__}: {shorten(told)}"]
    for line in lines:
        logger.error(printable(line))
    # What could not leave would fail once more when the process ends, and change its exit code.
    with suppress(OutputError), writing():
        pass
    return exit_code


def _failed_expression(error: Exception) -> str | None:
    """Return the expression in ``stream_maps`` that an error, of any type, came out of.

    It is empty if the SDK does not show it, and None if the error came from elsewhere.
    """
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    of_maps = [each for each in frames if each.f_globals.get("__name__") == "singer_sdk.mapper"]
    if not of_maps:
        return None
    return next((str(each.f_locals["expr"]) for each in of_maps if "expr" in each.f_locals), "")

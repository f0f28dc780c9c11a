"""The command ``tap-zoom-cc``: its options, and what is checked before anything is requested."""

from __future__ import annotations

import logging
import sys
from abc import abstractmethod
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from singer_sdk.cli import plugin_cli
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_zoom_cc.commands.check import check_option
from tap_zoom_cc.commands.observe.command import observe_option
from tap_zoom_cc.commands.reconcile import reconcile_option
from tap_zoom_cc.configuration import CONFIG_SCHEMA
from tap_zoom_cc.environment import forget_unknown_log_levels, misspelled_variables
from tap_zoom_cc.exit_codes import Command
from tap_zoom_cc.inputs import InputError, read_config, read_input
from tap_zoom_cc.run.log import leave_out_chatter
from tap_zoom_cc.run.stopping import Stop, end_on_signals
from tap_zoom_cc.services import ServingTap
from tap_zoom_cc.writer import writing
from tap_zoom_cc.zoom.answers import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    import click
    from typing_extensions import Self

    from tap_zoom_cc.run.settings import Settings


class CommandLineTap(ServingTap):
    """A tap with a command line, which refuses wrong input in words; its runs are abstract."""

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
    def test(self) -> int:
        """Do what `check` does, and write a SCHEMA and a RECORD of each stream, too."""

    @abstractmethod
    def check(self) -> int:
        """Say for each stream and account whether it can be read; return the exit code."""

    @abstractmethod
    def reconcile(self, days: str) -> int:
        """Write how many engagements Zoom counts on each day; return the exit code.

        Args:
            days: as the option ``--reconcile`` gives them.

        Raises:
            InputError: if they cannot be counted.
        """

    @abstractmethod
    def observe(self, account_id: str) -> int:
        """Print what an account tells about Zoom's open questions; return the exit code.

        Args:
            account_id: as the option ``--observe`` gives it.
        """

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
        ignored = forget_unknown_log_levels(cls.env_prefix())
        try:
            command = super().cli
        except Exception as error:  # noqa: BLE001 (a file can be wrong in any way)
            reason = f"{type(error).__name__}: {shorten(str(error))}"
            sys.exit(f"SINGER_SDK_LOG_CONFIG: cannot be used: {reason}")
        for line in ignored:
            cls.logger.warning(line)
        return command

    @classmethod
    def env_prefix(cls) -> str:
        """Return what the names of the tap's environment variables begin with."""
        return f"{cls.name.upper().replace('-', '_')}_"

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        """Return the SDK's command, with the options that only this tap has."""
        # The SDK asks for the command when it has set up the log, and then runs it.
        leave_out_chatter()
        command = super().get_singer_command()
        command.params += [
            check_option(cls.cb_check),
            reconcile_option(),
            observe_option(cls.cb_observe),
        ]
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
        reconcile: str | None = None,
    ) -> None:
        """Run the tap; ends the process with the exit code that tells the truth."""
        if about:
            with writing():
                cls.print_about(about_format)
            return
        versions = (cls.name, cls.plugin_version, cls.sdk_version)
        cls.logger.info("%s v%s, Meltano SDK v%s", *versions)
        tap = cls._from_input(config, state, catalog)
        sys.exit(tap.sync() if reconcile is None else tap.reconcile(reconcile))

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
        config = read_config(ctx.params.get("config", ()), cls.env_prefix())
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
        if value == CliTestOptionValue.Schema.value:
            tap.write_schemas()
            ctx.exit()
        ctx.exit(tap.test())

    @classmethod
    def cb_check(cls, ctx: click.Context, _: click.Option, value: bool) -> None:  # noqa: FBT001 (click's)
        """Say the same as `cb_test`, and write no messages."""
        if value:
            ctx.exit(cls._from_input(ctx.params.get("config", ())).check())

    @classmethod
    def cb_observe(cls, ctx: click.Context, _: click.Option, value: str | None) -> None:
        """Find out from one account what Zoom's documents leave open."""
        if value is not None:
            ctx.exit(cls._from_input(ctx.params.get("config", ())).observe(value))

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
        prefix, now = cls.env_prefix(), datetime.now(timezone.utc)
        try:
            given = read_input(config, state, catalog, prefix=prefix, now=now)
        finally:
            # The file of variables has been read by now, and may have some that are wrong, too.
            for line in (
                *misspelled_variables(CONFIG_SCHEMA["properties"], prefix),
                *forget_unknown_log_levels(prefix),
            ):
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

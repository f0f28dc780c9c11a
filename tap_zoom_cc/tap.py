"""The tap: its streams, what they share, and a command that tells the truth by its exit code."""

from __future__ import annotations

import logging
import sys
from datetime import datetime, timezone
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import click
from singer_sdk import Tap
from singer_sdk.cli import plugin_cli
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_zoom_cc import catalog as catalogs
from tap_zoom_cc import state as states
from tap_zoom_cc.access import check_access
from tap_zoom_cc.accounts import Accounts
from tap_zoom_cc.command_line import (
    Command,
    ConfigInput,
    InputError,
    certificate_problems,
    forget_unknown_log_levels,
    from_environment,
    read_config,
    read_json,
)
from tap_zoom_cc.configuration import CONFIG_SCHEMA, settings_from
from tap_zoom_cc.engagements import EngagementStream
from tap_zoom_cc.observe.command import observe, observe_option
from tap_zoom_cc.reconcile import count_days, days_from
from tap_zoom_cc.run.log import leave_out_chatter
from tap_zoom_cc.run.report import Report, SyncFailedError
from tap_zoom_cc.run.stopping import EXIT_FAILED, Stop, StoppedError, end_on_signals
from tap_zoom_cc.services import Services
from tap_zoom_cc.streams import ENGAGEMENT_STREAMS, KEYS
from tap_zoom_cc.sub_accounts import SubAccountsStream
from tap_zoom_cc.sync.budget import Budgets
from tap_zoom_cc.writer import BufferedWriter, writing
from tap_zoom_cc.zoom.answers import shorten
from tap_zoom_cc.zoom.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import TextIO

    from singer_sdk.helpers.capabilities import CapabilitiesEnum


class TapZoomCC(Tap):
    """Engagement logs of Zoom Contact Center master accounts: SMS and voice calls."""

    name = "tap-zoom-cc"
    package_name = "tap-zoom-cc"
    config_jsonschema = CONFIG_SCHEMA
    message_writer_class = BufferedWriter

    # Not ACTIVATE_VERSION (it could delete good rows when one account fails) and not BATCH (it
    # would put STATE before the rows).
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    def __init__(self, *, stop: Stop | None = None, **sdk_arguments: Any) -> None:  # noqa: ANN401 (as the SDK)
        """Set up the tap.

        Args:
            stop: what ends a run early when it is asked; the command line asks it for signals.
            sdk_arguments: as the SDK takes them.
        """
        self._stop = stop or Stop()
        super().__init__(**sdk_arguments)

    @override
    def _setup_signal_handlers(self) -> None:
        """Leave the handlers as they are.

        The SDK's would write the state of the moment, which is empty while the tap is being set up,
        and end with exit code 0. It has no public way to go without them.
        """

    @cached_property
    def _services(self) -> Callable[[], Services]:
        """What the streams share, made when it is first asked for: discovery has no settings."""
        started = datetime.fromtimestamp(self.initialized_at / 1000, tz=timezone.utc)
        return cache(partial(self._services_from, dict(self.config), started, self._stop))

    @classmethod
    def _services_from(
        cls, config: Mapping[str, object], started: datetime, stop: Stop
    ) -> Services:
        settings = settings_from(config, now=started, known=cls.known_settings())
        report = Report(cls.logger, settings.requests_per_second)
        return Services(settings, started, report, stop)

    @cached_property
    def _directory(self) -> SubAccountsStream:
        return SubAccountsStream(self, self._services)

    @cached_property
    def _accounts(self) -> Accounts:
        return Accounts(self._services, self._directory)

    @classmethod
    def known_settings(cls) -> dict[str, dict[str, Any]]:
        """Return the declarations of all settings, those of the SDK's own capabilities included."""
        schema: dict[str, dict[str, Any]] = dict(cls.config_jsonschema)
        cls.append_builtin_config(schema)
        return schema["properties"]

    @override
    def discover_streams(self) -> Sequence[EngagementStream | SubAccountsStream]:
        """Return the streams; sub accounts only when they are listed anyway, for its scope."""
        lists_accounts = self.config.get("sub_account_ids") is None
        budgets = Budgets()
        return [
            *(
                stream(self, self._services, self._accounts, budgets)
                for stream in ENGAGEMENT_STREAMS
            ),
            *([self._directory] if lists_accounts else []),
        ]

    def sync(self) -> int:
        """Sync every selected stream and return the exit code: 0 only if nothing was missed.

        Raises:
            OutputError: if the target is gone.
        """
        report = self._services().report
        account_ids: Collection[str] = ()
        try:
            if self._engagement_streams():
                # Listed before the first stream: without a list there is nothing to read.
                account_ids = self._accounts.by_id
            self.sync_all()
        except SyncFailedError:
            self.logger.debug("what failed was reported")
        except RunError as error:
            report.fail_run(str(error))
            self._stop.ask(str(error), EXIT_FAILED)
        except StoppedError:
            self.logger.debug("stopped before the first stream")
        self._flush()
        for stream in self._engagement_streams():
            if lag := stream.lag(account_ids):
                report.log_lag(stream.name, lag)
        self.logger.info(report.summary())
        if self._stop.asked:
            self.logger.error(self._stop.reason)
            return self._stop.exit_code
        if report.failures:
            self.logger.error(report.verdict)
            return EXIT_FAILED
        return 0

    def test(self) -> int:
        """Say for each stream and account whether it can be read; return the exit code."""
        services = self._services()
        exit_code = check_access(self, self._engagement_streams(), self._accounts, services)
        self._flush()
        return exit_code

    def reconcile(self, days: str) -> int:
        """Write how many engagements Zoom counts on each day; return the exit code.

        Args:
            days: as the option ``--reconcile`` gives them.

        Raises:
            InputError: if they cannot be counted.
        """
        services = self._services()
        try:
            range_ = days_from(days, now=services.started)
        except ValueError as error:
            raise InputError(str(error)) from error
        return count_days(self._engagement_streams(), self._accounts, services, range_)

    def observe(self, account_id: str) -> int:
        """Print what an account tells about Zoom's open questions; return the exit code.

        Args:
            account_id: as the option ``--observe`` gives it.
        """
        services = self._services()
        return observe(self, self._engagement_streams(), self._accounts, services, account_id)

    def _flush(self) -> None:
        """Send off the messages that were collected."""
        cast("BufferedWriter", self.message_writer).flush()

    def _engagement_streams(self) -> list[EngagementStream]:
        return [
            stream
            for stream in self.streams.values()
            if isinstance(stream, EngagementStream) and stream.selected
        ]

    # The command line

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
        command.params.append(
            click.Option(
                ["--reconcile"],
                metavar="FROM/TO",
                help=(
                    "Count instead of reading: write how many engagements Zoom has of each stream, "
                    "account and day, as JSON lines. For example 2026-01-01/2026-02-01: the days "
                    "in UTC, the last one not included."
                ),
            )
        )
        command.params.append(observe_option(cls.cb_observe))
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
        config: ConfigInput | None = None,
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
    ) -> ConfigInput:
        """Read the configuration files."""
        return read_config(value)

    @classmethod
    @override
    def cb_discover(cls, ctx: click.Context, param: click.Option, value: bool) -> None:
        """Print the catalog: ``sub_account_ids`` alone counts, and settings may be wrong."""
        if not value:
            return
        config, problems = cls._settings_of(ctx.params.get("config"))
        for problem in problems:
            cls.logger.warning(problem)
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
        tap = cls._from_input(ctx.params.get("config"))
        if value == CliTestOptionValue.Schema.value:
            tap.write_schemas()
            ctx.exit()
        ctx.exit(tap.test())

    @classmethod
    def _settings_of(cls, given: ConfigInput | None) -> tuple[dict[str, Any], list[str]]:
        """Return the settings of files and of the environment, and what of it is unreadable."""
        given = given or ConfigInput()
        values, problems = dict(given.config), list[str]()
        if given.parse_env:
            from_variables, problems = from_environment(cls.known_settings(), cls.env_prefix())
            values |= from_variables
        return {name: value for name, value in values.items() if value is not None}, problems

    @classmethod
    def cb_observe(cls, ctx: click.Context, _: click.Option, value: str | None) -> None:
        """Find out from one account what Zoom's documents leave open."""
        if value is not None:
            ctx.exit(cls._from_input(ctx.params.get("config")).observe(value))

    @classmethod
    def _from_input(
        cls,
        config: ConfigInput | None,
        state: TextIO | None = None,
        catalog: TextIO | None = None,
    ) -> TapZoomCC:
        """Return a tap whose settings, state and catalog are all in order, and that signals end.

        Raises:
            InputError: with everything that is wrong, one line each.
        """
        stop = Stop()
        end_on_signals(stop, cls.logger)
        values, problems = cls._settings_of(config)
        now = datetime.now(timezone.utc)
        try:
            settings_from(values, now=now, known=cls.known_settings())
        except ConfigValidationError as error:
            unreadable = {problem.split(":")[0] for problem in problems}
            problems += [line for line in error.errors if line.split(":")[0] not in unreadable]
        problems += certificate_problems()
        state_value, wrong = read_json(state, "state")
        problems += wrong
        if state and not wrong:
            names = [stream.name for stream in ENGAGEMENT_STREAMS]
            problems += states.problems(state_value, partitioned=names, streams=KEYS, now=now)
        catalog_value, wrong = read_json(catalog, "catalog")
        problems += wrong
        if catalog and not wrong:
            problems += catalogs.problems(catalog_value, KEYS)
        if problems:
            raise InputError(*problems)
        try:
            tap = cls(
                stop=stop,
                config=values,
                state=state_value if state else None,
                catalog=catalog_value if catalog else None,
            )
        except ConfigValidationError as error:
            raise InputError(*error.errors) from error
        if not any(stream.selected for stream in tap.streams.values()):
            raise InputError("catalog: no stream is selected, so nothing would be read")
        return tap

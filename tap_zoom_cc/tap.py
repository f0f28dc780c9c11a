"""The tap: its settings, its streams, and a command line that tells the truth by its exit code."""

from __future__ import annotations

import json
import os
import sys
import traceback
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk import Tap
from singer_sdk.exceptions import (
    ConfigValidationError,
    MapExpressionError,
    StreamMapConfigError,
)
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_zoom_cc import catalog as catalogs
from tap_zoom_cc import state as states
from tap_zoom_cc.access import check_access
from tap_zoom_cc.configuration import (
    CONFIG_SCHEMA,
    ENGAGEMENT_STREAMS,
    Settings,
    unreadable_variables,
    with_numbers,
)
from tap_zoom_cc.engagements import EngagementStream
from tap_zoom_cc.run.report import counted
from tap_zoom_cc.run.stopping import EXIT_FAILED, Stop, StoppedError, end_on_signals
from tap_zoom_cc.services import Run
from tap_zoom_cc.streams import SmsStream, SubAccountsStream, VoiceCallsStream
from tap_zoom_cc.writer import BufferedWriter
from tap_zoom_cc.zoom.answers import shorten
from tap_zoom_cc.zoom.errors import RunError

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping, Sequence
    from typing import IO

    import click
    from singer_sdk.helpers.capabilities import CapabilitiesEnum
    from singer_sdk.plugin_base import _ConfigInput


USER_ERRORS = (ConfigValidationError, MapExpressionError, StreamMapConfigError)

KEYS: Mapping[str, tuple[str, ...]] = {
    stream.name: tuple(stream.primary_keys)
    for stream in (SmsStream, VoiceCallsStream, SubAccountsStream)
}


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

    @cached_property
    def run(self) -> Run:
        """What the streams of this run share.

        Raises:
            ConfigValidationError: if the settings are not valid.
        """
        started = datetime.fromtimestamp(self.initialized_at / 1000, tz=timezone.utc)
        settings = Settings.from_config(self.config, now=started, known=self.known_settings())
        for advice in settings.advice():
            self.logger.warning(advice)
        return Run(settings, started, self.logger, self.stop, lambda: self._directory.listing)

    @cached_property
    def stop(self) -> Stop:
        """What ends the run early when it is asked; the command line sets one that signals ask."""
        return Stop()

    @override
    def _setup_signal_handlers(self) -> None:
        """Leave the handlers as they are.

        The SDK's would write the state of the moment, which is empty while the tap is being set up,
        and end with exit code 0.
        """

    @property
    def writer(self) -> BufferedWriter:
        """The writer of Singer messages, to send off what it has collected."""
        return cast("BufferedWriter", self.message_writer)

    @cached_property
    def _directory(self) -> SubAccountsStream:
        return SubAccountsStream(self)

    @classmethod
    def known_settings(cls) -> list[str]:
        """Return the names of all settings, those of the SDK's own capabilities included."""
        schema: dict[str, dict[str, object]] = dict(cls.config_jsonschema)
        cls.append_builtin_config(schema)
        return list(schema["properties"])

    @override
    def discover_streams(self) -> Sequence[SmsStream | VoiceCallsStream | SubAccountsStream]:
        """Return the streams; sub accounts only when they are listed anyway, for its scope."""
        lists_accounts = self.config.get("sub_account_ids") is None
        return [
            SmsStream(self),
            VoiceCallsStream(self),
            *([self._directory] if lists_accounts else []),
        ]

    def sync(self) -> int:
        """Sync every selected stream and return the exit code: 0 only if nothing was missed.

        Raises:
            BrokenPipeError: if the target is gone.
        """
        run = self.run
        selected = [stream for stream in self.streams.values() if stream.selected]
        engagement_streams = [stream for stream in selected if isinstance(stream, EngagementStream)]
        try:
            if engagement_streams:
                self.logger.info("Reading %s", counted(len(run.accounts), "account"))
            self.sync_all()
        except RunError as error:
            run.report.fail(str(error))
        except StoppedError:
            self.logger.debug("stopped before the first stream")
        self.writer.flush()
        if not run.stop.asked:
            for stream in engagement_streams:
                stream.conclude()
        self.logger.info(run.report.summary())
        if run.stop.asked:
            self.logger.error(run.stop.reason)
            return run.stop.exit_code
        if run.report.failures:
            count = len(run.report.failures)
            self.logger.error("%d could not be read; the first: %s", count, run.report.failures[0])
            return EXIT_FAILED
        return 0

    # The command line

    @classmethod
    @override
    def invoke(  # type: ignore[override]  # as in the SDK
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> None:
        """Run the tap; ends the process with the exit code that tells the truth."""
        if about:
            cls.print_about(about_format)
            return
        cls.print_version(print_fn=cls.logger.info)
        try:
            stop = Stop()
            end_on_signals(stop, cls.logger)
            tap = cls._checked(config, stop, state, catalog)
            exit_code = tap.sync()
        except USER_ERRORS as error:
            exit_code = _explain(cls.logger, error)
        except BrokenPipeError:
            exit_code = _leave_pipe(cls.logger)
        except Exception as error:
            if not _comes_from_a_stream_map(error):
                raise
            exit_code = _explain(cls.logger, error)
        sys.exit(exit_code)

    @classmethod
    def _checked(
        cls,
        config: _ConfigInput | None,
        stop: Stop,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> TapZoomCC:
        """Return a tap whose settings, state and catalog are all in order.

        Raises:
            ConfigValidationError: with everything that is wrong, one line each.
        """
        values = config.config if config else {}
        problems: list[str] = []
        if config and config.parse_env:
            from_environment, problems = cls._from_environment()
            values = {**values, **from_environment}
        now = datetime.now(timezone.utc)
        try:
            Settings.from_config(values, now=now, known=cls.known_settings())
        except ConfigValidationError as error:
            problems += error.errors
        state_value, wrong = _load(state, "state")
        problems += wrong
        if state and not wrong:
            problems += states.problems(
                state_value, partitioned=ENGAGEMENT_STREAMS, streams=KEYS, now=now
            )
        catalog_value, wrong = _load(catalog, "catalog")
        problems += wrong
        if catalog and not wrong:
            problems += catalogs.problems(catalog_value, KEYS)
        if problems:
            summary = "The input is not valid"
            raise ConfigValidationError(summary, errors=problems, schema={})
        tap = cls(
            config=values,
            state=state_value if state else None,  # type: ignore[arg-type]
            catalog=catalog_value if catalog else None,  # type: ignore[arg-type]
        )
        tap.stop = stop
        if not any(stream.selected for stream in tap.streams.values()):
            summary = "catalog: no stream is selected, so nothing would be read"
            raise ConfigValidationError(summary, errors=[summary], schema={})
        return tap

    @classmethod
    def _from_environment(cls) -> tuple[dict[str, object], list[str]]:
        """Return the settings in the environment, and what is wrong with them."""
        schema: dict[str, dict[str, Any]] = dict(cls.config_jsonschema)
        cls.append_builtin_config(schema)
        problems = unreadable_variables(schema["properties"], cls._env_var_prefix, os.environ)
        return ({}, problems) if problems else (with_numbers(cls._env_var_config), [])

    @classmethod
    @override
    def cb_config(
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> _ConfigInput:
        """Read the configuration files; one line and exit code 1 if that fails."""
        for path in value:
            if path != "ENV" and (problem := _config_problem(Path(path))):
                cls.logger.error("--config %s: %s", path, problem)
                ctx.exit(EXIT_FAILED)
        return super().cb_config(ctx, param, value)

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Say for each stream and account whether it can be read, and if not, why."""
        if value == CliTestOptionValue.Disabled.value:
            return
        try:
            stop = Stop()
            end_on_signals(stop, cls.logger)
            tap = cls._checked(ctx.params.get("config"), stop)
            if value == CliTestOptionValue.Schema.value:
                tap.write_schemas()
                exit_code = 0
            else:
                exit_code = check_access(tap)
        except USER_ERRORS as error:
            exit_code = _explain(cls.logger, error)
        except BrokenPipeError:
            exit_code = _leave_pipe(cls.logger)
        ctx.exit(exit_code)


def _config_problem(path: Path) -> str:
    """Say what is wrong with a configuration file as a file, or nothing."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        return _reason(error)
    return "" if isinstance(value, dict) else "must be a JSON object"


def _load(file: IO[str] | None, name: str) -> tuple[object, list[str]]:
    """Return a JSON file's value, and what is wrong with the file."""
    if file is None:
        return None, []
    try:
        return json.loads(file.read()), []
    except ValueError as error:
        return None, [f"{name}: {_reason(error)}"]


def _reason(error: Exception) -> str:
    """Say why a file could not be read, without quoting from it."""
    if isinstance(error, json.JSONDecodeError):
        return f"is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8 text"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)


def _explain(logger: logging.Logger, error: Exception) -> int:
    """Log what the user can mend, one line for each thing; return the exit code."""
    if isinstance(error, ConfigValidationError):
        lines = error.errors
    else:
        lines = [f"stream_maps: an expression fails: {type(error).__name__}: {shorten(str(error))}"]
    for line in lines:
        logger.error(line)
    return EXIT_FAILED


def _comes_from_a_stream_map(error: Exception) -> bool:
    """Say whether an error came out of an expression in ``stream_maps``: it can be of any type."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") == "singer_sdk.mapper" for frame, _ in frames)


def _leave_pipe(logger: logging.Logger) -> int:
    """Say that the target is gone, and keep Python from writing to it at exit."""
    logger.error(
        "The target closed its input, so the run was ended; see the target's own log. The next "
        "run goes on from the state that the target kept"
    )
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FAILED

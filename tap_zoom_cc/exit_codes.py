"""Exit codes that tell the truth: the one place where an error becomes lines and a code."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import (
    ConfigValidationError,
    MapExpressionError,
    StreamMapConfigError,
)
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_zoom_cc.inputs import InputError
from tap_zoom_cc.run.log import printable
from tap_zoom_cc.run.stopping import EXIT_FAILED, OutputError
from tap_zoom_cc.writer import writing
from tap_zoom_cc.zoom.answers import shorten

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from typing import NoReturn

    import click

USER_ERRORS = (ConfigValidationError, MapExpressionError, StreamMapConfigError)

COMMANDS = ("about", "discover", "test", "check", "reconcile", "observe")
"""The options that are a command each, instead of a sync: the first one would hide the others."""


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
    try:
        try:
            command()
        except SystemExit as end:
            exit_code = end.code
        with writing():
            """Whatever was printed has to leave, too."""
    except InputError as error:
        lines = list(error.args)
    except OutputError as error:
        lines = [str(error)]
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        lines = [f"The system refused something: {where}{error.strerror or type(error).__name__}"]
    except Exception as error:
        if not isinstance(error, USER_ERRORS) and not _comes_from_a_stream_map(error):
            raise
        lines = [f"stream_maps: an expression fails: {type(error).__name__}: {shorten(str(error))}"]
    else:
        return exit_code
    for line in lines:
        logger.error(printable(line))
    # What could not leave would fail once more when the process ends, and change its exit code.
    with suppress(OutputError), writing():
        pass
    return EXIT_FAILED


def _comes_from_a_stream_map(error: Exception) -> bool:
    """Say whether an error came out of an expression in ``stream_maps``: it can be of any type."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") == "singer_sdk.mapper" for frame, _ in frames)

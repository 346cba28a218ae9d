"""Turns the outcome of a command into its exit code, and an error into one sentence or one JSON object."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import click

from infraval import errors, signals, streams, workspace

COULD_NOT_JUDGE = 2

_SHOW_CURSOR = "\x1b[?25h"
"""The spinner has hidden it."""


_ARGUMENTS = "infraval.arguments"


def arguments(ctx: click.Context) -> tuple[str, ...]:
    """The arguments that a command was given, as they were typed."""
    given: tuple[str, ...] = ctx.meta[_ARGUMENTS]
    return given


class Command(click.Command):
    """A command whose function returns the exit code; any error becomes exit code 2, as JSON if it has `--json`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The same as click's; with `--json`, a usage error becomes a JSON object and exit code 2."""
        as_json = "--json" in args and any(each.name == "as_json" for each in self.params)
        ctx.meta[_ARGUMENTS] = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if not as_json:
                raise
            _complain(errors.OptionError(error.format_message()), as_json=True)
            ctx.exit(COULD_NOT_JUDGE)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the function with TensorFlow and Beam quiet, and exits."""
        as_json = ctx.params.get("as_json", False)
        _quiet_libraries()
        try:
            with signals.abort_on_signal(functools.partial(_last_words, as_json=as_json)):
                workspace.check()
                code = super().invoke(ctx)
        except (KeyboardInterrupt, signals.SignalledError) as error:
            number = getattr(error, "signal", signal.SIGINT)
            _complain(errors.AbortedError(f"Ended by {number.name}."), as_json=as_json)
            code = 128 + number
        except errors.InfravalError as error:
            _complain(error, as_json=as_json)
            code = COULD_NOT_JUDGE
        except Exception as error:  # noqa: BLE001 - a bug must not look like exit code 1, which is a verdict
            # The message of an unexpected error may hold request data; its traceback does not.
            with streams.optional(sys.stderr):
                sys.stderr.writelines(traceback.format_tb(error.__traceback__))
            message = f"infraval failed with {type(error).__name__}; please report this with the lines above."
            _complain(errors.InfravalError(message), as_json=as_json)
            code = COULD_NOT_JUDGE
        sys.exit(code)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Wraps writes to standard output; if they fail, the command ends with exit code 2."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        streams.silence(sys.stdout)
        _complain(errors.OutputError(f"Standard output cannot be written: {error.strerror}."), as_json=False)
        sys.exit(COULD_NOT_JUDGE)


def _complain(error: errors.InfravalError, *, as_json: bool) -> None:
    if as_json:
        with writing():
            click.echo(_json(error))
    else:
        with streams.optional(sys.stderr):
            click.echo(f"infraval: {error}", err=True)


def _last_words(sentence: str, *, as_json: bool) -> None:
    """Writes past Python's streams: a signal handler may have interrupted a write to them."""
    said = _json(errors.AbortedError(sentence)) if as_json else f"infraval: {sentence}"
    standard_error = streams.standard_error()
    cursor = _SHOW_CURSOR if os.isatty(standard_error) else ""
    for descriptor, text in ((standard_error, cursor), (1 if as_json else standard_error, f"{said}\n")):
        with contextlib.suppress(OSError):
            os.write(descriptor, text.encode())


def _json(error: errors.InfravalError) -> str:
    described = {"code": error.code, "kind": type(error).__name__, "message": str(error)}
    return json.dumps({"verdict": None, "error": described})


def _quiet_libraries() -> None:
    """Keeps what libraries log off the terminal; TensorFlow's import, which no level stops, is `streams.held_back`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Beam warns of each cloud's file system whose packages are incomplete.
    for library in ("tensorflow", "apache_beam"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")

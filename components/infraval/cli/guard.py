"""Whatever happens in a command ends in the exit code that it means, with one sentence or one JSON object."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator

import click

from infraval import errors, signals, streams

COULD_NOT_JUDGE = 2


class Command(click.Command):
    """A command that takes `--json`, and then says as JSON what is wrong with its arguments, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What click's does; with `--json`, a usage error is a JSON object and exit code 2."""
        as_json = "--json" in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if not as_json:
                raise
            _complain(errors.OptionError(error.format_message()), as_json=True)
            ctx.exit(COULD_NOT_JUDGE)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Around what writes to standard output; if it cannot be written, the command ends with exit code 2."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        streams.silence(sys.stdout)
        _complain(errors.OutputError(f"Standard output cannot be written: {error.strerror}."), as_json=False)
        sys.exit(COULD_NOT_JUDGE)


def guarded(run: Callable[[], int], *, as_json: bool) -> int:
    """Runs a command with TensorFlow quiet; whatever keeps it from an answer is exit code 2, never 1."""
    _quiet_tensorflow()
    try:
        with signals.abort_on_signal():
            return run()
    except signals.SignalledError as error:
        _complain(error, as_json=as_json)
        return 128 + error.signal
    except errors.InfravalError as error:
        _complain(error, as_json=as_json)
        return COULD_NOT_JUDGE
    except Exception as error:  # noqa: BLE001 - a bug must not pass for exit code 1, which is a verdict
        # The text of an error that nobody foresaw may hold request data; where it came from does not.
        with streams.optional(sys.stderr):
            sys.stderr.writelines(traceback.format_tb(error.__traceback__))
        bug = errors.InfravalError(
            f"infraval failed with {type(error).__name__}; please report this with the lines above."
        )
        _complain(bug, as_json=as_json)
        return COULD_NOT_JUDGE


def _complain(error: errors.InfravalError, *, as_json: bool) -> None:
    if as_json:
        with writing():
            said = {"code": error.code, "kind": type(error).__name__, "message": str(error)}
            click.echo(json.dumps({"verdict": None, "error": said}))
    else:
        with streams.optional(sys.stderr):
            click.echo(f"infraval: {error}", err=True)


def _quiet_tensorflow() -> None:
    """Keeps TensorFlow's start-up noise off the terminal; to be called before it is imported."""
    import logging  # noqa: PLC0415 - costs a help text its quick start
    import warnings  # noqa: PLC0415 - likewise

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")

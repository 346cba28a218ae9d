"""The same core from a shell: `infraval validate | inspect | serve`.

Exit codes of `validate`: 0 blessed, 1 not blessed, 2 could not judge, 128 + N ended by signal N. Nothing heavy is
imported before a command needs it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import click

import infraval
from infraval import streams
from infraval.cli import guard, validate


def main() -> None:
    """Entry point of the console script."""
    try:
        code = commands.main(prog_name="infraval", standalone_mode=False)
    except click.ClickException as error:
        # Not left to click, which exits with 1, a verdict, if nobody reads what it says.
        with streams.optional(sys.stderr):
            error.show()
        code = error.exit_code
    except click.Abort:
        code = 128 + signal.SIGINT
    finally:
        with streams.optional(sys.stderr):
            pass
    sys.exit(code)


@click.group()
@click.version_option(infraval.__version__)
def commands() -> None:
    """Proves that a SavedModel loads, answers and is warm in a real TensorFlow model server."""


commands.add_command(validate.validate)


@commands.command(cls=guard.Command)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def inspect(*, directory: Path, as_json: bool) -> None:
    """List the signatures of a SavedModel and what its warmup file covers."""

    def run() -> int:
        from infraval.report import terminal  # noqa: PLC0415 - takes seconds
        from infraval.requests import inspection  # noqa: PLC0415 - takes seconds

        found = inspection.inspect(directory)
        with guard.writing():
            if as_json:
                click.echo(json.dumps(found))
            else:
                terminal.show_inspection(found)
        return 0

    sys.exit(guard.guarded(run, as_json=as_json))


@commands.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def serve(*, flags: tuple[str, ...]) -> None:
    """Serve a model with the embedded server; takes tensorflow_model_server's flags."""
    os.execv(sys.executable, [sys.executable, "-m", "infraval_server", *flags])  # noqa: S606 - no shell is wanted

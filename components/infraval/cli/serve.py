"""`infraval serve`."""

from __future__ import annotations

import os
import sys

import click

from infraval import cli


@click.command(
    "serve",
    help=cli.VERBS["serve"],
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,
)
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def command(*, flags: tuple[str, ...]) -> None:
    """Becomes the embedded server."""
    os.execv(sys.executable, [sys.executable, "-m", "infraval_server.command", *flags])  # noqa: S606 - no shell is wanted

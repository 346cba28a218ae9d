"""`infraval inspect`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from infraval import cli
from infraval.cli import guard, uris


@click.command("inspect", cls=guard.Command, help=cli.VERBS["inspect"])
@click.argument("directory", type=uris.PathOrUri())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.pass_context
def command(context: click.Context, /, *, directory: Path, as_json: bool) -> int:
    """Prints the signatures and the coverage."""
    from infraval.report import terminal  # noqa: PLC0415 - takes a moment, and the help text does not need it
    from infraval.requests import inspection  # noqa: PLC0415 - the same

    with uris.local_model(directory, context, "directory") as model:
        found = inspection.inspect(inspection.saved_model(model))
    found["model"] = uris.given(context, "directory") or found["model"]
    with guard.writing():
        if as_json:
            click.echo(json.dumps(found))
        else:
            terminal.show_inspection(found)
    return 0

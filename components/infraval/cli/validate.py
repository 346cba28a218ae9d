"""`infraval validate`."""

from __future__ import annotations

from typing import Any

import click

from infraval import cli, escape, options
from infraval.cli import guard, uris
from infraval.cli import options as flags

_BLESSED, _NOT_BLESSED = 0, 1


@click.command(
    "validate",
    cls=guard.Command,
    params=flags.make(options.Job),
    help=f"{cli.VERBS['validate']}\n\nExit code: 0 blessed, 1 not blessed, 2 could not judge.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.pass_context
def command(context: click.Context, /, *, as_json: bool, **_: Any) -> int:
    """Validates, and prints the report."""
    job = flags.read(options.Job, context)
    from infraval import publish, validation  # noqa: PLC0415 - takes a moment, and the help text does not need it
    from infraval.report import data, terminal  # noqa: PLC0415 - the same

    with terminal.progress() as progress, uris.local_job(job, context, progress) as local:
        judged = validation.validate(local, progress=progress)
    with guard.writing():
        if as_json:
            click.echo(data.report(judged).model_dump_json())
        else:
            terminal.show_report(data.report(judged))
            if job.output is None and judged.blessed:
                click.echo("The copy that was blessed is not kept; give --output DIR to get it.")
            if job.output is not None:
                written = publish.STAMPED_MODEL if judged.blessed else data.REPORT
                output = uris.given(context, "output") or str(job.output)
                click.echo(escape.one_line(f"written {output.rstrip('/')}/{written}"))
    return _BLESSED if judged.blessed else _NOT_BLESSED

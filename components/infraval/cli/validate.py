"""`infraval validate`."""

from __future__ import annotations

from typing import Any

import click

from infraval import cli, errors, escape, options
from infraval.cli import guard, uris
from infraval.cli import options as flags

_BLESSED, _NOT_BLESSED = 0, 1


@click.command(
    "validate",
    cls=guard.Command,
    params=flags.make(options.Job),
    help=f"{cli.VERBS['validate']}\n\nExit code: 0 blessed, 1 not blessed, 2 could not judge.",
)
@click.option(
    "--beam-arg",
    "beam_arguments",
    metavar="ARG",
    multiple=True,
    help="Read the examples with Beam, with this pipeline option, such as --beam-arg=--runner=DataflowRunner; "
    "repeatable. By default processes of this machine read them.",
)
@click.option("--rehearse-swap", is_flag=True, help="The same as --gate swap.enabled=true.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.pass_context
def command(
    context: click.Context, /, *, as_json: bool, beam_arguments: tuple[str, ...], rehearse_swap: bool, **_: Any
) -> int:
    """Validates, and prints the report."""
    if rehearse_swap:
        context.params["gates"] = (*context.params.get("gates", ()), "swap.enabled=true")
    job = flags.read(options.Job, context)
    make_pipeline, sample_in = None, ""
    if beam_arguments:
        if not job.examples:
            raise errors.OptionError(
                "--beam-arg is about reading examples, and there are no --examples; drop one or give the other."
            )
        from infraval.cli import beam_args  # noqa: PLC0415 - importing Beam takes seconds

        make_pipeline, sample_in = beam_args.read(beam_arguments)
    from infraval import provenance, publish, validation  # noqa: PLC0415 - takes a moment, and the help text does not need it
    from infraval.report import data, page, terminal  # noqa: PLC0415 - the same

    asked = provenance.of_command(("infraval", "validate", *guard.arguments(context)), flags.secret(options.Job))
    with terminal.progress() as progress, uris.local_job(job, context, progress) as local:
        judged = validation.validate(local, make_pipeline, progress, sample_in=sample_in, asked=asked)
    with guard.writing():
        if as_json:
            click.echo(data.report(judged).model_dump_json())
        else:
            terminal.show_report(data.report(judged))
            if job.output is not None:
                written = publish.STAMPED_MODEL if judged.blessed else data.REPORT
                output = uris.given(context, "output") or str(job.output)
                click.echo(escape.one_line(f"written {output.rstrip('/')}/{written}"))
                terminal.show_page(f"{output.rstrip('/')}/{page.PAGE}")
    return _BLESSED if judged.blessed else _NOT_BLESSED

"""`infraval bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from infraval import cli, errors, options
from infraval.cli import guard, uris
from infraval.cli import options as flags

_WITHOUT_EFFECT = {"--baseline", "--compare-cold", "--expected", "--gate", "--max-expected", "--no-warmup", "--output"}
"""Flags of `validate` that say what to judge, or where the verdict goes."""


def _parameters() -> list[click.Parameter]:
    return [each for each in flags.make(options.Job) if not _WITHOUT_EFFECT & set(each.opts)]


@click.command(
    "bench",
    cls=guard.Command,
    params=_parameters(),
    help=f"{cli.VERBS['bench']}\n\nThe requests are made of --examples, or come from the model's warmup file. Without "
    "--target and --rest, the model is booted as `infraval validate` does. Exit code: 0, or 2 if nothing could be "
    "measured.",
)
@click.option("--target", metavar="HOST:PORT", default="", help="gRPC of a running server, to measure that one.")
@click.option("--rest", metavar="URL", default="", help="REST API of a running server, such as http://localhost:8501.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="R",
    help="Also send R requests per second, whether or not earlier ones were answered.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="S",
    help="Seconds to send requests for, in all.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures there.")
@click.option(
    "--markdown", "markdown_file", type=click.Path(path_type=Path, dir_okay=False), help="Write tables there."
)
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    target: str,
    rest: str,
    rate: float | None,
    budget: float,
    json_file: Path | None,
    markdown_file: Path | None,
    **_: Any,
) -> int:
    """Measures, and prints the tables."""
    job = flags.read(options.Job, context)
    for flag, path in (("--json", json_file), ("--markdown", markdown_file)):
        if path is not None and not path.absolute().parent.is_dir():
            raise errors.OutputError(f"{flag} {path} cannot be written: its directory does not exist.")
    from infraval import benchmark  # noqa: PLC0415 - takes a moment, and the help text does not need it
    from infraval.report import benchmark as report  # noqa: PLC0415 - the same
    from infraval.report import markdown, terminal  # noqa: PLC0415 - the same
    from infraval.trial import bench  # noqa: PLC0415 - the same

    limits = job.limits
    asked = bench.Asked(
        concurrency=limits.concurrency if "concurrency" in limits.model_fields_set else 1,
        rate=rate,
        budget_s=budget,
        timeout_s=limits.request_timeout_s,
        seed=job.warmup.seed,
    )
    with terminal.progress() as progress, uris.local_job(job, context, progress) as local:
        found = benchmark.benchmark(local, asked, target, rest, progress)
    contents = ((json_file, report.as_json), (markdown_file, markdown.render_benchmark))
    for path, render in contents:
        if path is not None:
            try:
                path.write_text(render(found), encoding="utf-8")
            except OSError as error:
                raise errors.OutputError(f"{path} cannot be written: {error.strerror}.") from error
    with guard.writing():
        terminal.show_benchmark(found)
    return 0

"""`infraval report`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from infraval import cli, errors
from infraval.cli import guard


@click.command("report", cls=guard.Command, help=cli.VERBS["report"])
@click.argument("path", metavar="[REPORT.JSON]", required=False, type=click.Path(path_type=Path))
@click.option("--schema", is_flag=True, help="Print the JSON Schema of report.json instead.")
def command(*, path: Path | None, schema: bool) -> int:
    """Prints a report, or the JSON Schema of reports."""
    import pydantic  # noqa: PLC0415 - takes a moment, and the help text does not need it

    from infraval.report import data, terminal  # noqa: PLC0415 - the same

    if (path is None) != schema:
        raise errors.OptionError("Give the path of a report.json, or --schema.")
    if path is None:
        with guard.writing():
            click.echo(json.dumps(data.schema(), indent=2))
        return 0
    try:
        report = data.Report.model_validate_json(path.read_bytes())
    except OSError as error:
        raise errors.InputError(f"{path} cannot be read: {error.strerror}.", code="report/unreadable") from error
    except pydantic.ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, wrong["loc"])) or "the file"
        raise errors.InputError(
            f"{path} is not a report.json of infraval ({where}: {wrong['msg']}).", code="report/unreadable"
        ) from None
    with guard.writing():
        terminal.show_report(report)
    return 0

"""`infraval report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infraval import cli, errors
from infraval.cli import guard

if TYPE_CHECKING:
    from infraval.report import data

_STANDARD_OUTPUT = Path("-")

FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@click.command("report", cls=guard.Command, help=cli.VERBS["report"])
@click.argument("path", metavar="[REPORT.JSON]", required=False, type=click.Path(path_type=Path))
@click.option("--html", metavar="FILE", type=FILE, help="Write the page to a file; - for standard output.")
@click.option("--markdown", metavar="FILE", type=FILE, help="Write short Markdown to a file; - for standard output.")
@click.option("--text", is_flag=True, help="Print what validate prints; the default without --html and --markdown.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of report.json instead.")
def command(*, path: Path | None, html: Path | None, markdown: Path | None, text: bool, schema: bool) -> int:
    """Prints or writes a report, or prints the JSON Schema of reports."""
    from infraval.report import data, terminal  # noqa: PLC0415 - takes a moment, and the help text does not need it

    others = html or markdown or text
    if (path is None) != schema or (schema and others):
        raise errors.OptionError("Give the path of a report.json, or --schema and nothing else.")
    if path is None:
        with guard.writing():
            click.echo(json.dumps(data.schema(), indent=2))
        return 0
    report = read(path)
    if html is not None:
        from infraval.report import page  # noqa: PLC0415 - jinja2 takes a moment

        write(html, page.render(report))
    if markdown is not None:
        from infraval.report import markdown as short  # noqa: PLC0415 - few need it

        write(markdown, short.render(report))
    if text or not others:
        with guard.writing():
            terminal.show_report(report)
    return 0


def read(path: Path) -> data.Report:
    """The report in a file.

    Raises:
      InputError: there is none, or one in a format that this version does not know.
    """
    import pydantic  # noqa: PLC0415 - takes a moment, and the help text does not need it

    from infraval.report import data  # noqa: PLC0415 - the same

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
    data.check_version(report)
    return report


def write(path: Path, content: str) -> None:
    """Writes a file, or standard output.

    Raises:
      OutputError: it cannot be written.
    """
    if path == _STANDARD_OUTPUT:
        with guard.writing():
            click.echo(content, nl=False)
        return
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise errors.OutputError(f"{path} cannot be written: {error.strerror}.") from error

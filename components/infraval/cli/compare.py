"""`infraval compare`."""

from __future__ import annotations

from pathlib import Path

import click

from infraval import cli, errors, escape
from infraval.cli import guard, report

_UNCHANGED, _REGRESSED = 0, 1


@click.command(
    "compare",
    cls=guard.Command,
    help=f"{cli.VERBS['compare']}\n\nExit code: 0 no gate regressed, 1 a gate regressed, 2 could not compare.",
)
@click.argument("before", metavar="BEFORE.JSON", type=click.Path(path_type=Path))
@click.argument("after", metavar="AFTER.JSON", type=click.Path(path_type=Path))
@click.option("--html", metavar="FILE", type=report.FILE, help="Write a page to a file instead; - for standard output.")
@click.option("--gate", "counting", metavar="NAME", multiple=True, help="A gate that counts; repeatable. Default: all.")
def command(*, before: Path, after: Path, html: Path | None, counting: tuple[str, ...]) -> int:
    """Compares two reports."""
    from infraval.report import comparison, terminal  # noqa: PLC0415 - takes a moment, and the help does not need it

    reports = report.read(before), report.read(after)
    changes = comparison.compare(*reports)
    known = comparison.gates(changes)
    if unknown := [gate for gate in counting if gate not in known]:
        raise errors.OptionError(
            f"--gate {escape.name(unknown[0])}: neither report has that gate; they have {escape.names(known)}."
        )
    regressed = comparison.regressed(changes, counting)
    if html is None:
        with guard.writing():
            terminal.show_comparison(*reports, changes, regressed)
    else:
        from infraval.report import page  # noqa: PLC0415 - jinja2 takes a moment

        report.write(html, page.render_comparison(*reports, changes, regressed))
    return _REGRESSED if regressed else _UNCHANGED

"""`infraval label`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from infraval import cli, errors, escape, streams
from infraval.cli import guard


@click.command("label", cls=guard.Command, help=cli.VERBS["label"])
@click.argument("config", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("model", metavar="MODEL")
@click.argument("given", metavar="LABEL=VERSION")
@click.option(
    "--base-path",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The model's base path as seen from here; needed if the config has the path that a container sees.",
)
@click.option(
    "--server",
    "target",
    metavar="HOST:PORT",
    help="gRPC of the running server that polls the file. The version is added first, and the label is moved once the "
    "version is AVAILABLE.",
)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0.0, min_open=True, max=1e6),
    default=600.0,
    show_default=True,
    help="How long the server may take to make the version AVAILABLE, and again to take the label.",
)
def command(
    *, config: Path, model: str, given: str, base_path: Path | None, target: str | None, timeout_s: float
) -> int:
    """Moves the label."""
    from infraval.kit import labels, moving, source  # noqa: PLC0415 - takes a moment, and the help text does not need it

    label, version = labels.parse_label(given, "LABEL=VERSION")
    where = base_path or Path(labels.entry(labels.read(config), model).base_path)
    if not where.is_dir() and base_path is None:
        raise errors.OptionError(
            f"{config} says that the versions of {escape.name(model)} are in {where}, and there is no such directory "
            "here. Say with --base-path where they are."
        )
    versions = source.on_disk(where)
    source.check(versions, version, f"LABEL=VERSION {given}", where)
    move = moving.Move(config, model, label, version, tuple(versions))
    changed = moving.edit(move) if target is None else moving.under_server(move, target, timeout_s, _progress)
    with guard.writing():
        click.echo(escape.one_line(f"{model}: {label} is version {version}{'' if changed else ' already'}"))
    return 0


def _progress(line: str) -> None:
    with streams.optional(sys.stderr):
        click.echo(escape.one_line(line), err=True)

"""`infraval kit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infraval import cli, errors, escape
from infraval.cli import guard, report

if TYPE_CHECKING:
    from infraval.kit import files, source


@click.command("kit", cls=guard.Command, help=cli.VERBS["kit"])
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    metavar="DIR",
    type=click.Path(path_type=Path),
    required=True,
    help="Directory for the files. What an earlier kit left there is replaced unless it was edited.",
)
@click.option("--name", metavar="NAME", help="Name of the model. Default: the name of the model base path.")
@click.option(
    "--label",
    "given",
    metavar="LABEL=VERSION",
    multiple=True,
    help="A label and the version that it names; repeatable. These versions are served. Default: stable, the newest.",
)
@click.option(
    "--image",
    metavar="REFERENCE",
    help="Image of the server, with a tag or a digest. Default: the one that judged, by the report.",
)
@click.option(
    "--report",
    "report_path",
    metavar="REPORT.JSON",
    type=click.Path(path_type=Path),
    help="What judged the model: image, memory, load time. Default: report.json of the blessing.",
)
@click.option(
    "--batching/--no-batching",
    default=True,
    help="Join requests into batches of sizes that the warmup covers, or serve each one alone. Default: --batching.",
)
@click.option("--force", is_flag=True, help="Replace edited files too.")
def command(
    *,
    directory: Path,
    output: Path,
    name: str | None,
    given: tuple[str, ...],
    image: str | None,
    report_path: Path | None,
    batching: bool,
    force: bool,
) -> int:
    """Writes the kit of a model base path or a blessing, DIR."""
    from infraval.kit import files, source, writing  # noqa: PLC0415 - takes a moment, and the help text does not need it

    found = source.find(directory)
    files.check_path(found.mounted)
    labels = _labels(given, found)
    versions = [found.versions[version] for version in sorted(set(labels.values()))]
    for version in versions:
        if not version.resolve().is_relative_to(found.mounted):
            raise errors.ModelError(f"{version} is a link to outside of {found.mounted}, which no container would see.")
    path = report_path or found.report
    judged = None if path is None else files.judged(report.read(path))
    sizes = tuple(source.covered_batch_sizes(versions)) if batching else ()
    kit = files.Kit(
        name=_name(name, found),
        mounted=found.mounted,
        is_base_path=not found.is_blessing,
        owner=_owner(found.mounted),
        labels=labels,
        image=_image(image, judged),
        batch_sizes=sizes,
        judged=judged,
        signature=source.called(versions[-1]),
    )
    contents = files.make(kit)
    writing.write(contents, output, force=force)
    with guard.writing():
        for line in _said(kit, output, batching=batching):
            click.echo(escape.one_line(line))
    return 0


def _labels(given: tuple[str, ...], found: source.Source) -> dict[str, int]:
    from infraval.kit import labels, source  # noqa: PLC0415 - as above

    chosen: dict[str, int] = {}
    for each in given:
        label, version = labels.parse_label(each, "--label")
        if label in chosen:
            raise errors.OptionError(f"--label {label} is given twice; a label names one version.")
        source.check(found.versions, version, f"--label {each}", found.mounted)
        chosen[label] = version
    return chosen or {"stable": max(found.versions)}


def _name(name: str | None, found: source.Source) -> str:
    from infraval.kit import files  # noqa: PLC0415 - as above

    if name is None and found.is_blessing:
        raise errors.OptionError("--name is missing: a blessing does not say what its model is called.")
    chosen = found.mounted.name if name is None else name
    files.check_name(chosen)
    return chosen


def _image(image: str | None, judged: files.Judged | None) -> str:
    from infraval.kit import files  # noqa: PLC0415 - as above

    if image is not None:
        files.check_image(image, "--image")
        return image
    if judged is not None and judged.image:
        files.check_image(judged.image, "The report's image")
        return judged.image
    return files.DEFAULT_IMAGE


def _owner(directory: Path) -> str:
    """Who can read the model for sure: a container without capabilities cannot read what others may not."""
    status = directory.stat()
    return f"{status.st_uid}:{status.st_gid}"


def _said(kit: files.Kit, output: Path, *, batching: bool) -> list[str]:
    from infraval.kit import files  # noqa: PLC0415 - as above

    labels = ", ".join(f"{label} is version {version}" for label, version in kit.labels.items())
    lines = [f"written {output}: {kit.name}, {labels}; see README.md there"]
    if kit.judged is None:
        lines.append(
            f"note    no report says what judged the model: judge it with --platform docker --image {kit.image}"
        )
    elif kit.judged.image != kit.image:
        lines.append(
            f"note    {kit.judged.server} judged the model and {kit.image} did not: judge it with --platform docker "
            f"--image {kit.image}"
        )
    if kit.batches:
        lines.append(
            f"note    batches of {', '.join(map(str, kit.batch_sizes))}: judge with --batching-parameters-file "
            f"{output / files.BATCHING}, or use --no-batching"
        )
    elif batching:
        lines.append(
            "note    without batching: no batch size over 1 is in the warmup of every signature and version; cover "
            "more with --batch-size of infraval validate"
        )
    if kit.judged is None or kit.judged.peak_bytes is None:
        lines.append("note    kubernetes/deployment.yaml has no memory limit: no report says how much the model takes")
    return lines

"""What a kit is made from: the versions of a model, what their warmup files cover, and the report of who judged."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from infraval import errors, escape, publish
from infraval.report import data
from infraval.requests import inspection, locations, signatures

MAX_VERSION = (1 << 63) - 1

_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")


@dataclasses.dataclass(frozen=True)
class Source:
    """A model on disk.

    Attributes:
      mounted: the absolute directory that the server needs: a base path, or of a blessing the model.
      versions: the SavedModel directories by their numbers.
      report: path of the blessing's report; None if there is none.
      is_blessing: whether it is a blessing, whose model is version 1.
    """

    mounted: Path
    versions: Mapping[int, Path]
    report: Path | None = None
    is_blessing: bool = False


def find(directory: Path) -> Source:
    """Finds the versions in a model base path or a blessing.

    Raises:
      ModelError: it is neither, was not blessed, or holds something that keeps a server from starting.
    """
    if locations.advice(directory):
        raise errors.ModelError(
            f"{directory} is a URI, which a container cannot mount. Copy the model to this machine.",
            code="model/missing",
        )
    directory = directory.resolve()
    if not directory.is_dir():
        raise errors.ModelError(f"There is no directory {directory}.", code="model/missing")
    if (directory / publish.MARKERS[False]).exists():
        raise errors.ModelError(f"The model of {directory} was not blessed; its report.json says why.")
    stamped, report = directory / publish.STAMPED_MODEL, directory / data.REPORT
    if _is_saved_model(stamped):
        return Source(stamped, {1: stamped}, report if report.is_file() else None, is_blessing=True)
    if _is_saved_model(directory):
        raise errors.ModelError(
            f"{directory} is a SavedModel. Give the model base path above it, which holds it as a numbered version."
        )
    versions = on_disk(directory)
    if not versions:
        raise errors.ModelError(
            f"{directory} holds neither numbered versions of a model nor {publish.STAMPED_MODEL} of a blessing.",
            code="model/missing",
        )
    return Source(directory, versions)


def on_disk(base_path: Path) -> dict[int, Path]:
    """The SavedModels below a model base path by their version, sorted.

    Raises:
      ModelError: it cannot be read, or holds what keeps a server from starting.
    """
    try:
        numbered = {int(path.name): path for path in base_path.iterdir() if re.fullmatch("[0-9]{1,19}", path.name)}
    except (OSError, ValueError) as error:
        raise errors.ModelError(
            f"The model base path {base_path} cannot be read: {getattr(error, 'strerror', error)}.",
            code="model/missing",
        ) from error
    for path in numbered.values():
        if not path.is_dir():
            raise errors.ModelError(f"{path} is not a directory, and TF Serving does not start with such a version.")
    return {
        number: path for number, path in sorted(numbered.items()) if 0 < number <= MAX_VERSION and _is_saved_model(path)
    }


def check(versions: Mapping[int, Path], version: int, option: str, where: Path) -> None:
    """Checks that a version exists.

    Raises:
      ModelError: it does not.
    """
    if version not in versions:
        raise errors.ModelError(
            f"{option}: there is no version {version} of the model in {where}; there are "
            f"{escape.names(map(str, versions))}.",
            code="model/missing",
        )


def covered_batch_sizes(models: Sequence[Path]) -> list[int]:
    """Batch sizes that the warmup file of each model has a record of, for every signature and method it warms.

    Raises:
      ModelError: a model or its warmup file cannot be read.
    """
    by_call: list[frozenset[int]] = []
    for model in models:
        warmup = inspection.inspect(model)["warmup"] or {"cells": []}
        calls: dict[tuple[str, str], set[int]] = {}
        for cell in warmup["cells"]:
            calls.setdefault((cell["signature"], cell["method"]), set()).add(cell["batch_size"])
        by_call += [frozenset(sizes) for sizes in calls.values()] or [frozenset()]
    common = functools.reduce(frozenset.intersection, by_call)
    return sorted(size for size in common if size > 0)


def called(model: Path) -> signatures.Signature | None:
    """The signature to show a call of: the default one, else the first.

    Raises:
      ModelError: the model cannot be read.
    """
    available = signatures.read(model, ("serve",))
    return available.get("serving_default") or next(iter(available.values()), None)


def _is_saved_model(directory: Path) -> bool:
    return any((directory / name).is_file() for name in _SAVED_MODEL)

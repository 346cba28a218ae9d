"""The last stage: the verdict and the blessed model on disk, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from infraval import errors, verdict
from infraval.report import data

STAMPED_MODEL = "stamped_model"
"""Name that TFX's Pusher looks for in an InfraBlessing (tfx/utils/path_constants.py)."""

MARKERS = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}
"""Empty files that tell a person the verdict, named as InfraValidator names them."""

LAST_FILES = ("saved_model.pb", "saved_model.pbtxt")
"""A model server takes a directory for a model once it holds one of these, so they are written last."""


def check_output(output: Path) -> None:
    """Sees that results can be written, and touches nothing.

    Raises:
      OutputError: the place is no directory, not empty, or not writable.
    """
    if output.is_dir():
        if any(output.iterdir()):
            raise errors.OutputError(f"{output} is not empty; nothing in it was touched. Name a new directory.")
        writable = output
    elif output.exists() or output.is_symlink():
        raise errors.OutputError(f"{output} is no directory. Name a new one.")
    else:
        writable = next(parent for parent in output.absolute().parents if parent.exists())
    if not os.access(writable, os.W_OK | os.X_OK) or not writable.is_dir():
        raise errors.OutputError(f"{output} cannot be written: no permission to write to {writable}.")


def publish(judged: verdict.Verdict, staged: Path, output: Path) -> None:
    """Writes the report, the staged model if it is blessed, and last the marker.

    Args:
      judged: the verdict.
      staged: the SavedModel directory that was judged.
      output: directory of the results; made if need be.

    Raises:
      OutputError: it cannot all be written; nothing is left then.
    """
    with whole_or_nothing(output):
        if judged.blessed:
            copy_model(staged, output)
        data.write(judged, output)
        mark(output, blessed=judged.blessed)


def copy_model(staged: Path, output: Path) -> None:
    """Copies the staged model to `output/stamped_model`; `saved_model.pb` comes last.

    Args:
      staged: the SavedModel directory that was judged.
      output: directory of the results; made if need be.
    """
    target = output / STAMPED_MODEL
    shutil.copytree(staged, target, ignore=_ignore_last_files(staged))
    for name in LAST_FILES:
        if (staged / name).exists():
            # A server that watches the directory must not see half a file.
            shutil.copy2(staged / name, target / f".{name}.unfinished")
            (target / f".{name}.unfinished").replace(target / name)


@contextlib.contextmanager
def whole_or_nothing(output: Path) -> Iterator[None]:
    """Takes back all results in `output` if the block that writes them fails.

    Raises:
      OutputError: the block failed to write.
    """
    existed = output.exists()
    try:
        yield
    except BaseException as error:
        for path in output.iterdir() if existed else ():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        if not existed:
            shutil.rmtree(output, ignore_errors=True)
        if isinstance(error, OSError):  # shutil.Error is one
            raise errors.OutputError(
                f"The results cannot be written to {output}: {error.strerror or 'a file cannot be copied'}. "
                "Nothing was left there."
            ) from error
        raise


def mark(output: Path, *, blessed: bool) -> None:
    """Writes the marker, which says that everything before it is in place."""
    output.mkdir(parents=True, exist_ok=True)
    (output / MARKERS[blessed]).touch()


def _ignore_last_files(staged: Path) -> Callable[[str, list[str]], list[str]]:
    def ignore(directory: str, names: list[str]) -> list[str]:
        return [name for name in names if name in LAST_FILES] if Path(directory) == staged else []

    return ignore

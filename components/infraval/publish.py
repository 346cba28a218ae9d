"""The last stage: the verdict and the blessed model on disk, whole or not at all.

Everything is written to a private directory beside the output and takes the output's place by one rename, so that a
killed run leaves nothing in it, and of two runs on one output the second finds it taken.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from infraval import errors, verdict, workspace
from infraval.report import data

STAMPED_MODEL = "stamped_model"
"""Name that TFX's Pusher looks for in an InfraBlessing (tfx/utils/path_constants.py)."""

MARKERS = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}
"""Empty files that tell a person the verdict, named as InfraValidator names them."""

_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})
_NOT_REPLACEABLE = frozenset({errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM})
"""The output is a mount point, or only what is in it may be written."""


def check_output(output: Path) -> None:
    """Sees that results can be written, and touches nothing.

    Raises:
      OutputError: the place is not a directory, not empty, or not writable.
    """
    if output.is_dir():
        if any(output.iterdir()):
            raise _taken(output)
        writable = output
    elif output.exists() or output.is_symlink():
        raise errors.OutputError(f"{output} is not a directory. Name a new one.")
    else:
        writable = next(parent for parent in output.absolute().parents if parent.exists())
    if not os.access(writable, os.W_OK | os.X_OK) or not writable.is_dir():
        raise errors.OutputError(f"{output} cannot be written: no permission to write to {writable}.")


def publish(judged: verdict.Verdict, staged: Path, output: Path) -> None:
    """Writes the report, the marker and, if it is blessed, the staged model as `stamped_model`.

    Args:
      judged: the verdict.
      staged: the SavedModel directory that was judged.
      output: directory of the results; new or empty.

    Raises:
      OutputError: not everything can be written, or something is there by now; nothing is left of this run then.
    """
    output = output.resolve()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with _beside(output) as directory:
            results = directory / "results"
            results.mkdir()
            if judged.blessed:
                shutil.copytree(staged, results / STAMPED_MODEL)
            data.write(judged, results)
            (results / MARKERS[judged.blessed]).touch()
            _sync(results)
            _move(results, output)
    except (OSError, errors.SandboxError) as error:  # shutil.Error is an OSError
        cause = getattr(error, "strerror", None) or "a file cannot be copied"
        raise errors.OutputError(
            f"The results cannot be written to {output}: {cause}. Nothing was left there."
        ) from error


@contextlib.contextmanager
def _beside(output: Path) -> Iterator[Path]:
    """A private directory on the output's file system; what killed runs left there goes."""
    within = output.exists() and (output.is_mount() or not os.access(output.parent, os.W_OK | os.X_OK))
    with workspace.workspace(output if within else output.parent) as directory:
        yield directory


def _move(results: Path, output: Path) -> None:
    if output.exists():
        results.chmod(output.stat().st_mode)
    try:
        results.rename(output)
    except OSError as error:
        if error.errno in _NOT_REPLACEABLE or results.is_relative_to(output):
            _move_entries(results, output)
        elif error.errno in _TAKEN:
            raise _taken(output) from error
        else:
            raise


def _move_entries(results: Path, output: Path) -> None:
    """Moves what is in the results one by one, the marker last, where the output itself cannot be replaced."""
    if any(path.name not in results.parts for path in output.iterdir()):
        raise _taken(output)
    moved: list[Path] = []
    try:
        for entry in sorted(results.iterdir(), key=lambda entry: entry.name in MARKERS.values()):
            moved.append(output / entry.name)
            entry.rename(moved[-1])
    except BaseException:
        for path in reversed(moved):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        raise


def _sync(directory: Path) -> None:
    """Has everything in a directory on disk, so that not even a power failure leaves a marker over half a model."""
    for path in (directory, *directory.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _taken(output: Path) -> errors.OutputError:
    return errors.OutputError(
        f"{output} is not empty; nothing in it was touched. Name a new directory.", code="output/not-empty"
    )

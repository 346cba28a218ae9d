"""Stage 5: the verdict and the blessed model on disk, whole or not at all.

Everything is written to a private directory beside the output, which one rename then puts in its place. A killed run
thus leaves nothing in the output, and of two runs with the same output the second finds it taken.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from infraval import errors, storage, verdict, workspace
from infraval.report import files
from infraval.requests import locations

STAMPED_MODEL = "stamped_model"
"""The name that TFX's Pusher looks for in an InfraBlessing (tfx/utils/path_constants.py)."""

MARKERS = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}
"""Empty files that show the verdict, named as InfraValidator names them."""

_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})
_NOT_REPLACEABLE = frozenset({errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM})
"""The output is a mount point, or this user may write only inside it."""


def check_output(output: Path) -> None:
    """Checks that results can be written, without changing anything.

    Raises:
      OutputError: the place is a URI, not a directory, not empty, or not writable.
    """
    if advice := locations.advice(output):
        raise errors.OutputError(f"{output} cannot be written. {advice}")
    if output.is_dir():
        if any(output.iterdir()):
            raise _taken(output)
        writable = output
    elif output.exists() or output.is_symlink():
        raise errors.OutputError(f"{output} is not a directory. Set --output (output) to a new one.")
    else:
        writable = next(parent for parent in output.absolute().parents if parent.exists())
    if not os.access(writable, os.W_OK | os.X_OK) or not writable.is_dir():
        raise errors.OutputError(
            f"{output} cannot be written: no permission to write to {writable}. Change it, or --output (output)."
        )


def publish(judged: verdict.Verdict, staged: Path, output: Path) -> None:
    """Writes the report in all formats, the marker and, if it is blessed, the staged SavedModel as `stamped_model`.

    Raises:
      OutputError: not everything can be written, or the output is not empty any more; nothing of this run is left then.
    """
    output = output.resolve()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with _beside(output) as directory:
            results = directory / "results"
            results.mkdir()
            if judged.blessed:
                shutil.copytree(staged, results / STAMPED_MODEL)
            files.write(judged, results)
            (results / MARKERS[judged.blessed]).touch()
            _sync(results)
            for left in output.glob(f"{storage.SAMPLES}*"):  # by a worker that had not noticed that others were quicker
                shutil.rmtree(left, ignore_errors=True)
            _move(results, output)
    except (OSError, errors.SandboxError) as error:  # shutil.Error is an OSError
        cause = getattr(error, "strerror", None) or "a file cannot be copied"
        raise errors.OutputError(
            f"The results could not be written to {output}: {cause}. Nothing was left there."
        ) from error


def _beside(output: Path) -> contextlib.AbstractContextManager[Path]:
    """A private directory on the output's file system; also removes what killed runs left there."""
    within = output.exists() and (output.is_mount() or not os.access(output.parent, os.W_OK | os.X_OK))
    return workspace.workspace(output if within else output.parent)


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
    """Moves the results one by one, the marker last, into an output that cannot be replaced as a whole."""
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
    """Flushes a directory to disk, so that not even a power failure leaves a marker with an incomplete model."""
    for path in (directory, *directory.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _taken(output: Path) -> errors.OutputError:
    return errors.OutputError(
        f"{output} is not empty; nothing in it was touched. Set --output (output) to a new directory.",
        code="output/not-empty",
    )

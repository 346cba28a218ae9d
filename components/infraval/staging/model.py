"""The staged model: copied in, given its warmup file, fingerprinted, published whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from infraval import errors, options

STAMPED_MODEL = "stamped_model"
"""Name that TFX's Pusher looks for in an InfraBlessing (tfx/utils/path_constants.py)."""

MARKERS = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}
"""Empty files that tell a person the verdict, named as InfraValidator names them."""

LAST_FILES = ("saved_model.pb", "saved_model.pbtxt")
"""A model server takes a directory for a model once it holds one of these, so they are written last."""


def stage(model: Path, target: Path) -> None:
    """Copies a SavedModel, for its owner to write; what links point to is copied, not the links.

    Args:
      model: the SavedModel directory.
      target: the directory to make.

    Raises:
      ModelError: a file of the model cannot be read.
    """
    try:
        shutil.copytree(model, target)
    except shutil.Error as error:
        source, _, cause = error.args[0][0]
        raise errors.ModelError(f"{source}, a part of the model, cannot be copied: {cause}") from error
    # Stores of artifacts take away the right to write; the copy is to get a warmup file, and to be removed.
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def check_output(output: Path) -> None:
    """Sees that results can be written, and touches nothing.

    Raises:
      OutputError: the place is no directory, not empty, or not writable.
    """
    if output.is_dir():
        if any(output.iterdir()):
            raise errors.OutputError(
                f"{output} is not empty; nothing in it was touched. Name a new directory.", code="output/not-empty"
            )
        writable = output
    elif output.exists() or output.is_symlink():
        raise errors.OutputError(f"{output} is no directory. Name a new one.")
    else:
        writable = next(parent for parent in output.absolute().parents if parent.exists())
    if not os.access(writable, os.W_OK | os.X_OK) or not writable.is_dir():
        raise errors.OutputError(f"{output} cannot be written: no permission to write to {writable}.")


def digest(directory: Path) -> str:
    """SHA-256, as hex, over the relative path and the content of every file, and every directory's path."""
    total = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        name = os.fsencode(path.relative_to(directory))
        if path.is_symlink():
            kind, content = b"link", hashlib.sha256(os.fsencode(path.readlink()))
        elif path.is_dir():
            kind, content = b"directory", hashlib.sha256()
        else:
            kind, content = b"file", _file_hash(path)
        total.update(kind + len(name).to_bytes(8, "big") + name + content.digest())
    return total.hexdigest()


def without_warmup(staged: Path, target: Path) -> None:
    """Makes the staged model anew without its warmup file, of hard links: a model can be large."""
    warmup = warmup_file(staged)
    shutil.copytree(
        staged,
        target,
        copy_function=os.link,
        ignore=lambda directory, names: [name for name in names if Path(directory, name) == warmup],
    )


def publish(staged: Path, output: Path) -> None:
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


def warmup_file(model: Path) -> Path:
    """Where TF Serving looks for a model's warmup records."""
    return model / options.WARMUP_FILE


def _ignore_last_files(staged: Path) -> Callable[[str, list[str]], list[str]]:
    def ignore(directory: str, names: list[str]) -> list[str]:
        return [name for name in names if name in LAST_FILES] if Path(directory) == staged else []

    return ignore


def _file_hash(path: Path) -> hashlib._Hash:
    content = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            content.update(chunk)
    return content

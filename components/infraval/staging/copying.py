"""Copies a SavedModel directory that nobody vouches for: regular files only, and no link out of it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from infraval import errors

_MAX_DEPTH = 100


def copy(model: Path, target: Path, allow_links_to: Iterable[str] = ()) -> None:
    """Copies a SavedModel, for its owner to write.

    A link that stays in the model is resolved once: its target is copied in its place. So is a link into one of the
    directories that are allowed, as content stores (DVC, hub caches) have them.

    Args:
      model: the SavedModel directory.
      target: the directory to make.
      allow_links_to: directories outside the model that its links may lead to.

    Raises:
      ModelError: a file of the model cannot be read, is not a regular file, or is a link that leaves the model or leads
        back to a directory that it is in.
    """
    roots = [os.path.realpath(root) for root in (str(model), *allow_links_to)]
    try:
        _copy(model, target, roots, ())
    except OSError as error:
        raise errors.ModelError(f"The model cannot be copied: {error.strerror}: {error.filename!r}.") from error


def _copy(directory: Path, target: Path, roots: list[str], within: tuple[tuple[int, int], ...]) -> None:
    """Copies a directory; `within` identifies those that it is in."""
    status = directory.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in within:
        raise _refused(directory, "leads back to a directory that it is in")
    if len(within) > _MAX_DEPTH:
        raise _refused(directory, f"is more than {_MAX_DEPTH} directories deep")
    target.mkdir()
    for entry in sorted(directory.iterdir()):
        real = os.path.realpath(entry)
        if entry.is_symlink() and not any(Path(real).is_relative_to(root) for root in roots):
            raise _refused(
                entry,
                "is a link that leaves the model. Put the file in its place, or name the directory that it leads to "
                "with --allow-links-to (allow_links_to)",
            )
        try:
            mode = os.lstat(real).st_mode
        except OSError as error:
            raise _refused(entry, f"cannot be read: {error.strerror}") from error
        if stat.S_ISDIR(mode):
            _copy(entry, target / entry.name, roots, (*within, identity))
        elif stat.S_ISREG(mode):
            _copy_file(real, target / entry.name)
        else:
            raise _refused(entry, "is neither a regular file nor a directory")


def _copy_file(source: str, target: Path) -> None:
    with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer)
    shutil.copystat(source, target)
    # Stores of artifacts take away the right to write; the copy gets a warmup file, and is removed one day.
    target.chmod(target.stat().st_mode | stat.S_IWUSR)


def _refused(path: Path, why: str) -> errors.ModelError:
    return errors.ModelError(f"{str(path)!r} in the model {why}.", code="model/file")

"""A private temporary directory that does not long outlive its use.

A lock (`flock`) on the directory itself marks its owner. The kernel frees the lock when the last process that holds it
ends, however it ends, so a free lock means a dead owner. No pids are compared, so this also works if pid namespaces
share a temporary directory, or if a pid was reused. A process forked without exec shares the lock: the directory is not
removed before that process ends too, and leaving the block in the forked one removes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from infraval import errors, signals

_LOGGER = logging.getLogger(__name__)

_REMOVAL_TRIES = 10
_REMOVAL_PAUSE_S = 0.02
_FULL_BYTES = 1 << 20
"""With less room than this, any failure may have been for lack of it."""

_O_PATH = getattr(os, "O_PATH", 0)


def check() -> None:
    """Checks that there is a place for temporary files; without one, not even TensorFlow can be imported.

    Raises:
      SandboxError: there is none.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise errors.SandboxError(
            "There is no directory for temporary files: neither TMPDIR nor /tmp can be written. Set TMPDIR to a "
            "writable directory on a local disk. In a container with a read-only root, mount a volume at /tmp (in "
            "Kubernetes an emptyDir).",
            code="sandbox/temporary-directory",
        ) from error


@contextlib.contextmanager
def workspace(parent: Path | None = None) -> Iterator[Path]:
    """Makes a directory that only this user can enter, in TMPDIR if no parent is given, and removes it on leaving.

    Entering also removes the directories that dead processes of this user have left behind.

    Yields:
      The directory's absolute path; short, because a unix socket's path must fit into 107 bytes.

    Raises:
      SandboxError: no directory can be created and locked there, or something in the block failed and the disk is full.
    """
    with contextlib.ExitStack() as on_leaving:
        try:
            folder = _temporary_directory() if parent is None else parent.absolute()
            _reap(folder)
            with signals.deferred():
                path, lock = _create(folder)
                on_leaving.callback(_leave, path, lock, os.getpid())
        except OSError as error:
            raise errors.SandboxError(
                f"No private temporary directory could be created: {error}. Set TMPDIR to a writable directory on a "
                "local disk."
            ) from error
        try:
            yield path
        except Exception as error:
            # Whatever an exception that a library wrapped says: without room, nobody else is to blame.
            if parent is None and shutil.disk_usage(path).free < _FULL_BYTES:
                raise errors.SandboxError(
                    f"The disk with the directory for temporary files {folder} is full. Free some space, or set TMPDIR "
                    "to a directory with more; a validation needs about three times the model's size.",
                    code="sandbox/temporary-directory",
                ) from error
            raise


def _temporary_directory() -> Path:
    folder = tempfile.gettempdir()
    try:
        folder.encode()
    except UnicodeEncodeError:
        raise errors.SandboxError(
            f"The name of the directory for temporary files {folder!r} is not valid UTF-8, so no server could use it. "
            "Set TMPDIR to another.",
            code="sandbox/temporary-directory",
        ) from None
    return Path(folder)


def _leave(path: Path, lock: int, owner: int) -> None:
    with signals.deferred():
        if os.getpid() == owner:
            _remove(path)
        os.close(lock)


def _prefix() -> str:
    return f"infraval-{os.geteuid()}-"


def _create(folder: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_prefix(), dir=folder))
        try:
            lock = _lock(path)
        except OSError:
            path.rmdir()
            raise
        # Without the lock: another process came in between and is removing the directory. Make another.
        if lock is not None:
            return path, lock


def _lock(path: Path) -> int | None:
    """Locks a directory of this user.

    Returns:
      The descriptor that holds the lock, which child programs do not inherit; None if another process holds the lock
      or the directory is gone.

    Raises:
      OSError: it is a symlink, not a directory, another user's, or on a file system without locks.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with contextlib.ExitStack() as unless_locked:
        unless_locked.callback(os.close, descriptor)
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise PermissionError(f"{path} belongs to another user")
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(status, path.stat(follow_symlinks=False)):
                unless_locked.pop_all()
                return descriptor
    return None


def _reap(folder: Path) -> None:
    for path in folder.glob(_prefix() + "*"):
        try:
            lock = _lock(path)
        except OSError:
            continue
        if lock is not None:
            _remove(path)
            os.close(lock)


def _remove(path: Path) -> None:
    """Removes a locked directory, whatever the permissions inside; logs a warning if it cannot."""
    for _ in range(_REMOVAL_TRIES):
        _make_writable(path)
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        # The supervisor of a client that was just killed may be removing its part of it.
        time.sleep(_REMOVAL_PAUSE_S)
    _LOGGER.warning("%s could not be removed; the next start will try again.", path)


def _make_writable(path: Path) -> None:
    """Goes by descriptor: a server that is still running could replace a directory with a link."""
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    _allow(path.name, parent)
    os.close(parent)
    for _, names, _, folder in os.fwalk(path):
        for name in names:
            _allow(name, folder)


def _allow(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(name, _O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        with contextlib.suppress(OSError):
            # An O_PATH descriptor needs no permission, but fchmod does not take it.
            os.chmod(f"/proc/self/fd/{descriptor}" if _O_PATH else descriptor, 0o700)  # noqa: PTH101
        os.close(descriptor)

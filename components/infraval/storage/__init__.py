"""Files by path or URI.

Paths, and `file://`, are this machine's own. Any other scheme goes through Beam's FileSystems, with the options of the
pipeline that is running, or, if Beam has none for it, through TFX's fileio and its plug-ins. Both take seconds to
import, so neither is imported before a URI needs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import glob
import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

_log = logging.getLogger(__name__)

SAMPLES = "infraval-sample-"
"""What the names of folders begin with in which samples of examples come back from Beam's workers."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_FILE = "file://"


@dataclasses.dataclass(frozen=True)
class Files:
    """A file system, with the functions of `tf.io.gfile` and `tfx.dsl.io.fileio`.

    Attributes:
      glob: the files that match a pattern, as `glob.glob` takes it.
      rename: moves a file, onto another one if there is one.
      size: of a file in bytes.
      failures: the classes of what it raises.
      not_found: those that say that there is nothing; some of `failures`, or subclasses of them.
    """

    open: Callable[[str, str], Any]
    exists: Callable[[str], bool]
    isdir: Callable[[str], bool]
    listdir: Callable[[str], Sequence[str]]
    walk: Callable[[str], Iterable[tuple[str, Sequence[str], Sequence[str]]]]
    makedirs: Callable[[str], None]
    remove: Callable[[str], None]
    rmtree: Callable[[str], None]
    glob: Callable[[str], Iterable[str]]
    rename: Callable[[str, str], None]
    size: Callable[[str], int]
    failures: tuple[type[Exception], ...]
    not_found: tuple[type[Exception], ...]


class UnknownSchemeError(OSError):
    """Nothing that is installed has a file system for a URI."""


def _local_glob(pattern: str) -> list[str]:
    return [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]  # noqa: PTH113, PTH207 - a glob may be absolute


_LOCAL = Files(
    open=open,
    exists=os.path.exists,
    isdir=os.path.isdir,
    listdir=os.listdir,
    walk=os.walk,
    makedirs=lambda path: os.makedirs(path, exist_ok=True),  # noqa: PTH103 - a path is a string here
    remove=os.remove,
    rmtree=shutil.rmtree,
    glob=_local_glob,
    rename=os.replace,
    size=os.path.getsize,
    failures=(OSError,),
    not_found=(FileNotFoundError,),
)


def scheme(location: str) -> str:
    """The scheme of a URI; empty for a path of this machine, also if it is written as a URI."""
    found = _SCHEME.match(location)
    return "" if found is None or location.startswith(_FILE) else found[1]


def of(location: str) -> Files:
    """The file system that has a location.

    Raises:
      UnknownSchemeError: there is none.
    """
    name = scheme(location)
    if not name:
        return _LOCAL
    from infraval.storage import beam_files  # noqa: PLC0415 - importing Beam takes seconds

    if name in beam_files.schemes():
        return beam_files.FILES
    try:
        from infraval.storage import tfx_files  # noqa: PLC0415 - so does TFX, which may not be installed
    except ImportError:
        known = beam_files.schemes()
    else:
        if tfx_files.knows(name):
            return tfx_files.FILES
        known = beam_files.schemes() | tfx_files.schemes()
    raise UnknownSchemeError(
        errno.EPROTONOSUPPORT,
        f"there is no file system for {name}://, but for {', '.join(sorted(known))}; install the one that Beam or TFX "
        "has for it, mount what is there, or copy it with the store's own tool",
    )


def find(pattern: str) -> list[str]:
    """The files that a glob matches; hidden ones only if it says so.

    Raises:
      OSError: it cannot be looked for.
    """
    with _translated(pattern) as files:
        # Object stores keep markers that stand for directories, and others match what `glob` takes for hidden.
        hidden = pattern.rpartition("/")[2].startswith(".")
        names = ((path, path.rpartition("/")[2]) for path in files.glob(path_of(pattern)))
        return [path for path, name in names if name and (hidden or not name.startswith("."))]


def size(location: str) -> int:
    """Of a file in bytes; 0 if that cannot be told."""
    try:
        with _translated(location) as files:
            return files.size(path_of(location))
    except OSError:
        return 0


def exists(location: str) -> bool:
    """Whether there is such a file."""
    with _translated(location) as files:
        return files.exists(path_of(location))


@contextlib.contextmanager
def reading(location: str) -> Iterator[BinaryIO]:
    """Opens a file, which is read as it is stored, a part at a time.

    Raises:
      OSError: it cannot be read; also raised in the block.
    """
    with _translated(location) as files:
        file = files.open(path_of(location), "rb")
    with contextlib.closing(file):
        yield cast("BinaryIO", _Reader(location, file))


@contextlib.contextmanager
def writing(location: str) -> Iterator[BinaryIO]:
    """Opens a file to be written, which is there once the block has ended without an error.

    Until then it has a name that nobody else uses, so that several writers of the same do not disturb each other.

    Raises:
      OSError: it cannot be written.
    """
    path, unfinished = path_of(location), f"{path_of(location)}.{uuid.uuid4().hex}"
    with _translated(location) as files:
        try:
            with _created(files, unfinished) as file:
                yield file
            _rename(files, unfinished, path)
        except BaseException:
            with contextlib.suppress(*files.failures):
                files.remove(unfinished)
            raise


def remove_folder(location: str) -> None:
    """Removes a directory and what is in it, if there is one; logs a warning if it cannot."""
    try:
        with _translated(location) as files:
            if files.isdir(path_of(location)):
                files.rmtree(path_of(location))
    except OSError as error:
        _log.warning("%s could not be removed (%s). Remove it.", location, cause(error))


def path_of(location: str) -> str:
    """The location as its file system takes it."""
    return location.removeprefix(_FILE)


def cause(error: BaseException) -> str:
    """What the file system said, without the full stop; TFX's NotFoundError itself has no message."""
    nested = getattr(error, "exception_details", None)  # Beam's, by path
    if isinstance(nested, dict) and nested:
        inner = next(iter(nested.values()))
        return cause(inner) if isinstance(inner, BaseException) else str(inner)
    text = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
    return str(text or type(error).__name__).rstrip(".")


class _Reader:
    """The part of a file that readers here use."""

    def __init__(self, location: str, file: Any) -> None:
        self._location = location
        self._file = file

    def read(self, count: int = -1) -> bytes:
        with _translated(self._location):
            content: bytes = self._file.read(count)
            return content


@contextlib.contextmanager
def _translated(location: str) -> Iterator[Files]:
    """Makes OSErrors of what the file system of a location raises, with the cause in `strerror`."""
    files = of(location)
    try:
        yield files
    except OSError as error:
        if error.strerror:
            raise
        if isinstance(error, files.not_found):
            raise FileNotFoundError(errno.ENOENT, cause(error)) from error
        raise OSError(errno.EIO, cause(error)) from error
    except files.not_found as error:
        raise FileNotFoundError(errno.ENOENT, cause(error)) from error
    except files.failures as error:
        raise OSError(errno.EIO, cause(error)) from error


def _created(files: Files, path: str) -> Any:
    try:
        file = files.open(path, "wb")
        file.write(b"")  # TensorFlow opens no sooner, and without it makes no empty file
    except files.not_found:
        files.makedirs(path.rpartition("/")[0] or str(Path.cwd()))
        file = files.open(path, "wb")
    return file


def _rename(files: Files, unfinished: str, path: str) -> None:
    try:
        files.rename(unfinished, path)
    except files.failures:
        # Some file systems do not replace what another writer was quicker to write.
        if not files.exists(path):
            raise
        files.remove(unfinished)

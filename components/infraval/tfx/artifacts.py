"""What artifacts name by a remote URI: copied in and out through TFX's file system.

Only files travel. An object store has no directories, and the markers that stand for them there make trouble for
others (Kubeflow Pipelines' launcher takes one for a file), so a directory is made only where a file cannot be written
without it. Nothing is renamed: on an object store that is a copy and a removal.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.utils import path_utils

from infraval import errors, publish
from infraval.report import data

_log = logging.getLogger(__name__)

_RESULTS = {publish.STAMPED_MODEL, data.REPORT, *publish.MARKERS.values()}

_LAST_FILES = ("saved_model.pb", "saved_model.pbtxt")
"""A model server takes a directory for a model once it holds one of these, so they are written last."""

_CHUNK_BYTES = 8 << 20
_PROGRESS_S = 10.0

# What TFX's own file systems raise: TensorFlow's errors, and for the others OSError, fileio.NotFoundError included.
_FAILURES = (OSError, tf.errors.OpError)
_NOT_FOUND = (fileio.NotFoundError, FileNotFoundError, tf.errors.NotFoundError)


def is_remote(uri: str) -> bool:
    """Whether a URI has a scheme, so that only TFX's file system can read it."""
    return "://" in uri


def serving_model(uri: str, *, old: bool) -> str:
    """The URI of the SavedModel in a Model artifact.

    Args:
      uri: the artifact's.
      old: whether it has the layout of a former TFX (`path_utils.is_old_model_artifact`).

    Raises:
      ModelError: the artifact cannot be read, or holds several exports.
    """
    try:
        found: str = path_utils.serving_model_path(uri, old)
    except (RuntimeError, *_FAILURES) as error:
        raise errors.ModelError(f"No SavedModel can be found in the Model at {uri}: {_cause(error)}.") from error
    return found


def fetch(
    uri: str, target: Path, error_class: type[errors.InputError], clock: Callable[[], float] = time.monotonic
) -> Path:
    """Makes a directory, or one file, readable here.

    Args:
      uri: what to fetch.
      target: where a copy goes; it is made, its parent is there.
      error_class: what a failure is called.
      clock: seconds; paces the lines in the log.

    Returns:
      The path itself if it is local, else `target`.

    Raises:
      InputError: of the given class; there is nothing, or it cannot be read.
    """
    if not is_remote(uri):
        return Path(uri)
    uri = uri.rstrip("/")
    progress = _Progress(f"Fetching {uri} to {target}", clock)
    try:
        if not fileio.isdir(uri):
            _copy(uri, str(target), progress)
        for name in _files(uri) if fileio.isdir(uri) else ():
            local = target / name
            local.parent.mkdir(parents=True, exist_ok=True)
            _copy(f"{uri}/{name}", str(local), progress)
    except _NOT_FOUND as error:
        raise error_class(f"There is nothing at {uri}. Give what is there.") from error
    except _FAILURES as error:
        raise error_class(
            f"{uri} cannot be fetched to {target}: {_cause(error)}. Check that this task may read the one, and that "
            "there is room for the other (TMPDIR says where)."
        ) from error
    if not target.exists():
        raise error_class(f"There is no file in {uri}. Give what is there.")
    progress.done()
    return target


@contextlib.contextmanager
def results(uri: str, target: Path, clock: Callable[[], float] = time.monotonic) -> Iterator[Path]:
    """Gives a local directory for the results, which are at the URI once the block has ended well.

    An execution that is tried again gets the URI of the former try (Kubeflow Pipelines), and one that was killed
    cannot clean up; what it left is removed first.

    Args:
      uri: where the results belong.
      target: a directory to make, used if the URI is remote.
      clock: seconds; paces the lines in the log.

    Yields:
      The directory to write to.

    Raises:
      OutputError: somebody else's files are there, or the results cannot be written; none of them is left then.
    """
    uri = uri.rstrip("/")
    _clear(uri)
    if not is_remote(uri):
        yield Path(uri)
        return
    target.mkdir()
    yield target
    _publish(target, uri, _Progress(f"Writing the results to {uri}", clock))


class _Progress:
    """Says now and then how far a transfer has come."""

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._started = self._said = clock()
        self._files = 0
        self._bytes = 0

    def add(self, count: int) -> None:
        """So many bytes more were copied."""
        self._bytes += count
        now = self._clock()
        if now - self._said >= _PROGRESS_S:
            self._said = now
            _log.info("%s: %d files and %.0f MB so far", self._what, self._files, self._bytes / 1e6)

    def file(self) -> None:
        """One more file is whole."""
        self._files += 1

    def done(self) -> None:
        """It all is."""
        _log.info(
            "%s: %d files, %.1f MB in %.1f s", self._what, self._files, self._bytes / 1e6, self._clock() - self._started
        )


def _files(uri: str) -> Iterator[str]:
    """Paths of the files below a directory, relative to it."""
    for directory, _, names in fileio.walk(uri):
        below = directory[len(uri) :].strip("/")
        for name in names:
            path = PurePosixPath(below, name)
            if ".." in path.parts:  # a name like any other to an object store
                raise OSError(f"no file here can be called {path}")
            yield str(path)


def _copy(source: str, target: str, progress: _Progress) -> None:
    # Not fileio.copy: between two file systems it holds the whole file in memory.
    with fileio.open(source, "rb") as reader, fileio.open(target, "wb") as writer:
        writer.write(b"")  # TensorFlow makes no empty file without
        while chunk := reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            progress.add(len(chunk))
    progress.file()


def _publish(directory: Path, uri: str, progress: _Progress) -> None:
    names = sorted((path.relative_to(directory) for path in directory.rglob("*") if path.is_file()), key=_rank)
    begun: list[str] = []
    try:
        for name in names:
            begun.append(f"{uri}/{name.as_posix()}")
            try:
                _copy(str(directory / name), begun[-1], progress)
            except _NOT_FOUND:
                fileio.makedirs(begun[-1].rpartition("/")[0])
                _copy(str(directory / name), begun[-1], progress)
    except BaseException as error:
        left = _take_back(uri, begun)
        if isinstance(error, _FAILURES):
            raise errors.OutputError(
                f"The results cannot be written to {uri}: {_cause(error)}. "
                + (f"These could not be removed again: {', '.join(left)}." if left else "Nothing was left there.")
            ) from error
        raise
    progress.done()


def _rank(name: Path) -> tuple[int, Path]:
    """A model server takes a directory for a model once it holds the graph; the marker says that all is there."""
    if name.name in publish.MARKERS.values():
        return 2, name
    return int(name.parent == Path(publish.STAMPED_MODEL) and name.name in _LAST_FILES), name


def _take_back(uri: str, begun: list[str]) -> list[str]:
    """Removes files, the latest first; returns those that cannot be."""
    left = []
    for path in reversed(begun):
        try:
            fileio.remove(path)
        except _NOT_FOUND:
            continue
        except _FAILURES:
            left.append(path)
    model = f"{uri}/{publish.STAMPED_MODEL}"
    with contextlib.suppress(*_FAILURES):
        if not left and fileio.isdir(model):
            fileio.rmtree(model)
    return left


def _clear(uri: str) -> None:
    """Removes what a former try left, the marker and the graph first: no part of the rest passes for a result."""
    model = f"{uri}/{publish.STAMPED_MODEL}"
    try:
        names = {name.rstrip("/") for name in fileio.listdir(uri)} if fileio.isdir(uri) else set()
        if names - _RESULTS:
            raise errors.OutputError(
                f"{uri} holds what infraval did not write ({', '.join(sorted(names - _RESULTS))}); nothing in it was "
                "touched. Give the blessing a place of its own."
            )
        if names:
            _log.warning("%s holds what a former try left (%s); removing it.", uri, ", ".join(sorted(names)))
        for path in (
            *(f"{uri}/{name}" for name in sorted(names - {publish.STAMPED_MODEL})),
            *(f"{model}/{name}" for name in _LAST_FILES),
        ):
            if fileio.exists(path):
                fileio.remove(path)
        if fileio.isdir(model):
            fileio.rmtree(model)
    except _FAILURES as error:
        raise errors.OutputError(f"{uri} cannot be written: {_cause(error)}.") from error


def _cause(error: BaseException) -> str:
    """What the file system said, without its stop; TFX's NotFoundError says nothing itself."""
    text = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
    return str(text or type(error).__name__).rstrip(".")

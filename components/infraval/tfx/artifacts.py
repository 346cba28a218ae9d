"""Copies artifacts from and to remote URIs, through TFX's file system.

Only files are copied. An object store has no directories, and the markers that stand for them there confuse others
(Kubeflow Pipelines' launcher takes one for a file), so a directory is made only if a file cannot be written without
it. Nothing is renamed: on an object store that is a copy and a removal.

On this machine, the files of a Model are hard links to those of the blessing, where that is possible.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.utils import path_constants, path_utils

from infraval import errors, escape, publish
from infraval.report import data

_log = logging.getLogger(__name__)

_RESULTS = {publish.STAMPED_MODEL, data.REPORT, *publish.MARKERS.values()}
_SERVING_MODEL = path_constants.SERVING_MODEL_DIR

_LAST_FILES = ("saved_model.pb", "saved_model.pbtxt")
"""A model server takes a directory for a model once it holds one of these, so they are written last."""

_SCHEME = "://"
"""What only TFX's file system can read has a scheme."""

_CHUNK_BYTES = 8 << 20
_PROGRESS_S = 10.0

# What TFX's own file systems raise: TensorFlow's errors, and for the others OSError, fileio.NotFoundError included.
_FAILURES = (OSError, tf.errors.OpError)
_NOT_FOUND = (fileio.NotFoundError, FileNotFoundError, tf.errors.NotFoundError)


def serving_model(uri: str, *, old: bool) -> str:
    """The URI of the SavedModel in a Model artifact.

    Args:
      uri: the artifact's.
      old: whether it has the layout of an earlier TFX (`path_utils.is_old_model_artifact`).

    Raises:
      ModelError: the artifact cannot be read, holds several exports, or has another layout.
    """
    try:
        path = str(path_utils.serving_model_path(uri, old))
        _check_layout(uri, path)
    except (RuntimeError, *_FAILURES) as error:
        raise errors.ModelError(f"No SavedModel can be found in the Model at {uri}: {_cause(error)}.") from error
    return path


def _check_layout(uri: str, path: str) -> None:
    """Checks that the directory in which TFX looks for the SavedModel is there, unless nothing at all is."""
    if not fileio.isdir(uri) or fileio.isdir(path):
        return
    name = PurePosixPath(path).name
    what = "Export it there, or, for an Importer, give its source_uri that layout."
    if any(fileio.exists(f"{uri}/{file}") for file in _LAST_FILES):
        what = "This one has its SavedModel at the top; move all of it into that directory."
    raise errors.ModelError(
        f"The Model at {uri} has no directory {name}. TFX expects the SavedModel of a Model artifact there, as "
        f"{uri}/{name}/saved_model.pb, which is where run_fn writes it (fn_args.serving_model_dir). {what}",
        code="model/missing",
    )


def fetch(
    uri: str, target: Path, error_class: type[errors.InputError], clock: Callable[[], float] = time.monotonic
) -> Path:
    """Makes a directory, or one file, readable on this machine.

    Args:
      uri: what to fetch.
      target: where a copy goes; it does not exist yet, its parent does.
      error_class: the class of the error to raise.
      clock: seconds; times the lines in the log.

    Returns:
      The path itself if it is local, else `target`.

    Raises:
      InputError: of the given class; there is nothing, or it cannot be read.
    """
    if _SCHEME not in uri:
        return Path(uri)
    uri = uri.rstrip("/")
    try:
        pairs: Iterable[tuple[str, str]] = [(uri, str(target))]
        if fileio.isdir(uri):
            pairs = ((f"{uri}/{name}", f"{target}/{name}") for name in _files(uri))
        _transfer(f"Fetching {uri} to {target}", pairs, clock)
    except _NOT_FOUND as error:
        raise error_class(f"There is nothing at {uri}. Check the URI.") from error
    except _FAILURES as error:
        raise error_class(
            f"{uri} cannot be fetched to {target}: {_cause(error)}. Check that this task may read the source, "
            "and that the target has room (TMPDIR says where it is)."
        ) from error
    if not target.exists():
        raise error_class(f"There is no file in {uri}. Check the URI.")
    return target


@contextlib.contextmanager
def results(uri: str, target: Path, model_uri: str = "", clock: Callable[[], float] = time.monotonic) -> Iterator[Path]:
    """Gives a local directory for the results, which are at the URI once the block has ended without an error.

    A retried execution gets the URI of the earlier try (Kubeflow Pipelines), and one that was killed cannot clean up;
    what it left is removed first.

    Args:
      uri: where the results belong.
      target: a directory to make, used if the URI is remote.
      model_uri: a Model artifact; gets the blessed model as well, if there is one.
      clock: seconds; times the lines in the log.

    Yields:
      The directory to write to.

    Raises:
      OutputError: somebody else's files or another run's results are there, or the results cannot be written; none of
        them is left then.
    """
    uri, model_uri = uri.rstrip("/"), model_uri.rstrip("/")
    remote = _SCHEME in uri
    _clear(uri, publish.STAMPED_MODEL, _RESULTS)
    if model_uri:
        _clear(model_uri, _SERVING_MODEL, {_SERVING_MODEL})
    directory = target if remote else Path(uri)
    if remote:
        target.mkdir()
    yield directory
    if remote:
        if _names(uri):
            raise errors.OutputError(
                f"Another run has written its results to {uri} in the meantime; nothing in it was touched. Do not run "
                "two validations with one output.",
                code="output/not-empty",
            )
        _publish("the results", directory, uri, f"{uri}/{publish.STAMPED_MODEL}", clock)
    stamped = directory / publish.STAMPED_MODEL
    if model_uri and stamped.exists():
        serving_model = f"{model_uri}/{_SERVING_MODEL}"
        try:
            _publish("the blessed model", stamped, serving_model, serving_model, clock)
        except BaseException:
            with contextlib.suppress(*_FAILURES):
                _remove(uri, publish.STAMPED_MODEL, _RESULTS)
            raise


def _files(uri: str) -> Iterator[str]:
    """Paths of the files below a directory, relative to it."""
    for directory, _, names in fileio.walk(uri):
        for name in names:
            path = PurePosixPath(directory[len(uri) :].strip("/"), name)
            if ".." in path.parts:  # an object store allows such a name
                raise OSError(f"no file here can be called {path}")
            yield str(path)


def _transfer(what: str, pairs: Iterable[tuple[str, str]], clock: Callable[[], float]) -> None:
    """Copies files, each from the first path of a pair to the second; logs progress every `_PROGRESS_S`."""
    started = logged = clock()
    files = copied = 0

    def add(count: int) -> None:
        nonlocal logged, copied
        copied += count
        if (now := clock()) - logged >= _PROGRESS_S:
            logged = now
            _log.info("%s: %d files and %.0f MB so far", what, files, copied / 1e6)

    for source, target in pairs:
        try:
            _copy(source, target, add)
        except _NOT_FOUND:
            fileio.makedirs(target.rpartition("/")[0])
            _copy(source, target, add)
        files += 1
    _log.info("%s: %d files, %.1f MB in %.1f s", what, files, copied / 1e6, clock() - started)


def _copy(source: str, target: str, add: Callable[[int], None]) -> None:
    if _SCHEME not in source and _SCHEME not in target and _link(source, target):
        return
    # Not fileio.copy: between two file systems it holds the whole file in memory.
    with fileio.open(source, "rb") as reader, fileio.open(target, "wb") as writer:
        writer.write(b"")  # without it, TensorFlow makes no empty file
        while chunk := reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            add(len(chunk))


def _link(source: str, target: str) -> bool:
    """Makes a hard link; False if the file systems cannot."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _publish(what: str, directory: Path, uri: str, model: str, clock: Callable[[], float]) -> None:
    """Copies all files of a directory to a URI, of which `model` is the directory with the SavedModel."""
    names = sorted((path.relative_to(directory) for path in directory.rglob("*") if path.is_file()), key=_rank)
    begun: list[str] = []

    def pairs() -> Iterator[tuple[str, str]]:
        for name in names:
            begun.append(f"{uri}/{name.as_posix()}")
            yield str(directory / name), begun[-1]

    try:
        _transfer(f"Writing {what} to {uri}", pairs(), clock)
    except BaseException as error:
        left = _take_back(begun, model)
        if isinstance(error, _FAILURES):
            raise errors.OutputError(
                f"{what[0].upper()}{what[1:]} cannot be written to {uri}: {_cause(error)}. "
                + (f"These could not be removed again: {', '.join(left)}." if left else "Nothing was left there.")
            ) from error
        raise


def _rank(name: Path) -> tuple[int, Path]:
    """The graph comes after the rest of the model, and the marker, which says that all is there, comes last."""
    if name.name in publish.MARKERS.values():
        return 2, name
    return int(name.parent in {Path(), Path(publish.STAMPED_MODEL)} and name.name in _LAST_FILES), name


def _take_back(begun: list[str], model: str) -> list[str]:
    """Removes files, the latest first; returns those that cannot be removed."""
    left = []
    for path in reversed(begun):
        try:
            fileio.remove(path)
        except _NOT_FOUND:
            continue
        except _FAILURES:
            left.append(path)
    with contextlib.suppress(*_FAILURES):
        if not left and fileio.isdir(model):
            fileio.rmtree(model)
    return left


def _clear(uri: str, model: str, known: set[str]) -> None:
    """Removes what an earlier try left in an artifact: the directory `model` and whatever else of `known` is there."""
    try:
        names = _names(uri)
        if names - known:
            raise errors.OutputError(
                f"{uri} holds files that infraval did not write ({escape.names(sorted(names - known))}); nothing in "
                "it was touched. Give the output a place of its own."
            )
        if names:
            _log.warning("%s holds what an earlier try left (%s); removing it.", uri, escape.names(sorted(names)))
        _remove(uri, model, names)
    except _FAILURES as error:
        raise errors.OutputError(f"{uri} cannot be written: {_cause(error)}.") from error


def _remove(uri: str, model: str, names: set[str]) -> None:
    """Removes files and a model, marker and graph first, so that the rest never looks like a result."""
    folder = f"{uri}/{model}"
    files = [f"{uri}/{name}" for name in sorted(names - {model})]
    for path in (*files, *(f"{folder}/{name}" for name in _LAST_FILES)):
        if fileio.exists(path):
            fileio.remove(path)
    if fileio.isdir(folder):
        fileio.rmtree(folder)


def _names(uri: str) -> set[str]:
    return {name.rstrip("/") for name in fileio.listdir(uri)} - {""} if fileio.isdir(uri) else set()


def _cause(error: BaseException) -> str:
    """What the file system said, without the full stop; TFX's NotFoundError itself has no message."""
    text = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
    return str(text or type(error).__name__).rstrip(".")

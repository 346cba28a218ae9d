"""Copies files from and to URIs, through the file system of TensorFlow or of TFX.

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

from infraval import errors, escape, publish, storage
from infraval.report import files as report_files

_log = logging.getLogger(__name__)

SERVING_MODEL = "Format-Serving"
"""The directory with the SavedModel of a Model artifact (tfx/utils/path_constants.py)."""

LAST_FILES = ("saved_model.pb", "saved_model.pbtxt")
"""A model server takes a directory for a model once it holds one of these, so they are written last."""

_RESULTS = {publish.STAMPED_MODEL, *report_files.NAMES, *publish.MARKERS.values()}

_SCHEME = "://"
"""What is not on this machine has a scheme."""

_CHUNK_BYTES = 8 << 20
_PROGRESS_S = 10.0


def fetch(
    files: storage.Files,
    uri: str,
    target: Path,
    error_class: type[errors.InputError],
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Makes a directory, or one file, readable on this machine.

    Args:
      files: the file system.
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
        if files.isdir(uri):
            pairs = ((f"{uri}/{name}", f"{target}/{name}") for name in _files(files, uri))
        _transfer(files, f"Fetching {uri} to {target}", pairs, clock)
    except files.not_found as error:
        raise error_class(f"There is nothing at {uri}. Check the URI.") from error
    except files.failures as error:
        raise error_class(
            f"{uri} cannot be fetched to {target}: {storage.cause(error)}. Check the permission to read it, and that "
            "the target has room (TMPDIR says where it is)."
        ) from error
    if not target.exists():
        raise error_class(f"There is no file in {uri}. Check the URI.")
    return target


@contextlib.contextmanager
def results(
    files: storage.Files, uri: str, target: Path, model_uri: str = "", clock: Callable[[], float] = time.monotonic
) -> Iterator[Path]:
    """Gives a local directory for the results, which are at the URI once the block has ended without an error.

    A retried execution gets the URI of the earlier try (Kubeflow Pipelines), and one that was killed cannot clean up;
    what it left is removed first.

    Args:
      files: the file system.
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
    _clear(files, uri, publish.STAMPED_MODEL, _RESULTS)
    if model_uri:
        _clear(files, model_uri, SERVING_MODEL, {SERVING_MODEL})
    directory = target if remote else Path(uri)
    if remote:
        target.mkdir()
    yield directory
    if remote:
        if any(not name.startswith(storage.SAMPLES) for name in names(files, uri)):
            raise errors.OutputError(
                f"Another run has written its results to {uri} in the meantime; nothing in it was touched. Do not run "
                "two validations with one output.",
                code="output/not-empty",
            )
        _publish(files, "the results", directory, uri, f"{uri}/{publish.STAMPED_MODEL}", clock)
    stamped = directory / publish.STAMPED_MODEL
    if model_uri and stamped.exists():
        serving_model = f"{model_uri}/{SERVING_MODEL}"
        try:
            _publish(files, "the blessed model", stamped, serving_model, serving_model, clock)
        except BaseException:
            with contextlib.suppress(*files.failures):
                _remove(files, uri, publish.STAMPED_MODEL, _RESULTS)
            raise


def _files(files: storage.Files, uri: str) -> Iterator[str]:
    """Paths of the files below a directory, relative to it."""
    for directory, _, names in files.walk(uri):
        for name in names:
            path = PurePosixPath(directory[len(uri) :].strip("/"), name)
            if ".." in path.parts:  # an object store allows such a name
                raise OSError(f"no file here can be called {path}")
            yield str(path)


def _transfer(files: storage.Files, what: str, pairs: Iterable[tuple[str, str]], clock: Callable[[], float]) -> None:
    """Copies files, each from the first path of a pair to the second; logs progress every `_PROGRESS_S`."""
    started = logged = clock()
    count = copied = 0

    def add(size: int) -> None:
        nonlocal logged, copied
        copied += size
        if (now := clock()) - logged >= _PROGRESS_S:
            logged = now
            _log.info("%s: %d files and %.0f MB so far", what, count, copied / 1e6)

    for source, target in pairs:
        try:
            _copy(files, source, target, add)
        except files.not_found:
            files.makedirs(target.rpartition("/")[0])
            _copy(files, source, target, add)
        count += 1
    _log.info("%s: %d files, %.1f MB in %.1f s", what, count, copied / 1e6, clock() - started)


def _copy(files: storage.Files, source: str, target: str, add: Callable[[int], None]) -> None:
    if _SCHEME not in source and _SCHEME not in target and _link(source, target):
        return
    # The copies of TensorFlow and TFX hold the whole file in memory if it goes from one file system to another.
    with files.open(source, "rb") as reader, files.open(target, "wb") as writer:
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


def _publish(
    files: storage.Files, what: str, directory: Path, uri: str, model: str, clock: Callable[[], float]
) -> None:
    """Copies all files of a directory to a URI, of which `model` is the directory with the SavedModel."""
    names = sorted((path.relative_to(directory) for path in directory.rglob("*") if path.is_file()), key=_rank)
    begun: list[str] = []

    def pairs() -> Iterator[tuple[str, str]]:
        for name in names:
            begun.append(f"{uri}/{name.as_posix()}")
            yield str(directory / name), begun[-1]

    try:
        _transfer(files, f"Writing {what} to {uri}", pairs(), clock)
    except BaseException as error:
        left = _take_back(files, begun, model)
        if isinstance(error, files.failures):
            raise errors.OutputError(
                f"{what[0].upper()}{what[1:]} cannot be written to {uri}: {storage.cause(error)}. "
                + (f"These could not be removed again: {', '.join(left)}." if left else "Nothing was left there.")
            ) from error
        raise


def _rank(name: Path) -> tuple[int, Path]:
    """The graph comes after the rest of the model, and the marker, which says that all is there, comes last."""
    if name.name in publish.MARKERS.values():
        return 2, name
    return int(name.parent in {Path(), Path(publish.STAMPED_MODEL)} and name.name in LAST_FILES), name


def _take_back(files: storage.Files, begun: list[str], model: str) -> list[str]:
    """Removes files, the latest first; returns those that cannot be removed."""
    left = []
    for path in reversed(begun):
        try:
            files.remove(path)
        except files.not_found:
            continue
        except files.failures:
            left.append(path)
    with contextlib.suppress(*files.failures):
        if not left and files.isdir(model):
            files.rmtree(model)
    return left


def _clear(files: storage.Files, uri: str, model: str, known: set[str]) -> None:
    """Removes what an earlier try left in an artifact: the directory `model` and whatever else of `known` is there."""
    try:
        found = names(files, uri)
        samples = {name for name in found if name.startswith(storage.SAMPLES)}
        if unknown := found - known - samples:
            raise errors.OutputError(
                f"{uri} holds files that infraval did not write ({escape.names(sorted(unknown))}); nothing in it "
                "was touched. Give the output a place of its own."
            )
        if found:
            _log.warning("%s holds what an earlier try left (%s); removing it.", uri, escape.names(sorted(found)))
        for name in samples:
            files.rmtree(f"{uri}/{name}")
        _remove(files, uri, model, found - samples)
    except files.failures as error:
        raise errors.OutputError(f"{uri} cannot be written: {storage.cause(error)}.") from error


def _remove(files: storage.Files, uri: str, model: str, found: set[str]) -> None:
    """Removes files and a model, marker and graph first, so that the rest never looks like a result."""
    folder = f"{uri}/{model}"
    others = [f"{uri}/{name}" for name in sorted(found - {model})]
    for path in (*others, *(f"{folder}/{name}" for name in LAST_FILES)):
        if files.exists(path):
            files.remove(path)
    if files.isdir(folder):
        files.rmtree(folder)


def names(files: storage.Files, uri: str) -> set[str]:
    """What is in a directory; nothing if there is none."""
    return {name.rstrip("/") for name in files.listdir(uri)} - {""} if files.isdir(uri) else set()

"""Beam's FileSystems: Google Cloud Storage, S3, HDFS and Azure, as far as their packages are installed."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from apache_beam.io import filesystem, filesystems
from apache_beam.options import pipeline_options, value_provider
from typing_extensions import Self

from infraval import storage
from infraval.storage import globbing

_BY_PATTERN = ("gs", "azfs")
"""Their file systems take what is to be deleted for a pattern."""

_Result = TypeVar("_Result")


def schemes() -> set[str]:
    """Of the file systems that Beam has, whether or not what they need is installed."""
    return {system.scheme() for system in filesystem.FileSystem.get_all_subclasses()} - {None}


def configure(arguments: Sequence[str]) -> None:
    """Sets the pipeline options that the file systems use in this process, such as the endpoint of an object store."""
    filesystems.FileSystems.set_options(pipeline_options.PipelineOptions(list(arguments)))


def _raising_os_errors(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Each of Beam's file systems raises what its client library does."""

    @functools.wraps(function)
    def call(*arguments: Any) -> _Result:
        try:
            return function(*arguments)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise OSError(errno.EIO, storage.cause(error)) from error

    return call


class _File:
    """An open file, which raises nothing but OSErrors."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.read = _raising_os_errors(file.read)
        self.write = _raising_os_errors(file.write)
        self.close = _raising_os_errors(file.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@functools.cache
def _check_s3_credentials(access_key_id: str | None) -> None:
    """Beam takes the lack of credentials for an outage, and tries again for ten minutes."""
    with contextlib.suppress(ImportError):  # of which Beam says what to install
        import boto3  # noqa: PLC0415 - part of apache-beam[aws]

        if not access_key_id and boto3.session.Session().get_credentials() is None:
            raise OSError(
                errno.EACCES,
                "no AWS credentials were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                "give Beam's workers a role",
            )


def _system(uri: str) -> Any:
    systems = filesystems.FileSystems
    if not (systems._pipeline_options or value_provider.RuntimeValueProvider.runtime_options):  # noqa: SLF001 - no other way to ask
        # No pipeline has been made in this process, and some of the file systems fail without options.
        systems.set_options(pipeline_options.PipelineOptions([]))
    if storage.scheme(uri) == "s3":
        options = systems._pipeline_options or value_provider.RuntimeValueProvider.runtime_options  # noqa: SLF001 - as above
        if isinstance(options, dict):  # the two forms that Beam's own client takes; all options take ten times as long
            _check_s3_credentials(options.get("s3_access_key_id"))
        else:
            _check_s3_credentials(options.view_as(pipeline_options.S3Options).s3_access_key_id)
    return systems.get_filesystem(uri)


def _open(path: str, mode: str) -> Any:
    if not storage.scheme(path):
        return open(path, mode)  # noqa: PTH123 - for the caller to close
    system = _system(path)
    method = system.create if "w" in mode else system.open
    return _File(method(path, compression_type=filesystem.CompressionTypes.UNCOMPRESSED))


def _match(pattern: str, limit: int | None = None) -> list[filesystem.FileMetadata]:
    found: list[filesystem.FileMetadata] = _system(pattern).match([pattern], [limit])[0].metadata_list
    return found


def _exists(uri: str) -> bool:
    return bool(_system(uri).exists(uri))


def _below(uri: str, limit: int | None = None) -> list[filesystem.FileMetadata]:
    """What is below a directory; if the file system has directories, perhaps only what is in it."""
    uri = uri.rstrip("/")
    # A pattern with special characters, even if they are escaped, would list another directory.
    found = _system(uri)._list(uri) if _system(uri).has_dirs() else _match(f"{glob.escape(uri)}/**", limit)  # noqa: SLF001 - what `match` calls
    return [each for each in itertools.islice(found, limit) if not each.path.endswith("/")]


def _isdir(uri: str) -> bool:
    if not _system(uri).has_dirs():
        return bool(_below(uri, 1) or _below(uri))  # the first may be a marker
    if not _exists(uri) or _system(uri).metadata(uri).size_in_bytes:
        return False
    try:
        _below(uri, 1)
    except Exception as error:
        if "not a directory" in str(error).lower():
            return False  # but an empty file
        raise
    return True


def _glob(pattern: str) -> Iterator[str]:
    if _system(pattern).has_dirs():
        return globbing.matches(pattern, _exists, _isdir, _listdir)
    return (each.path for each in _match(pattern))


def _listdir(uri: str) -> Sequence[str]:
    start = len(uri.rstrip("/")) + 1
    return sorted({each.path[start:].partition("/")[0] for each in _below(uri)})


def _walk(uri: str) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """All files below, each as a path relative to the URI."""
    yield uri, [], sorted(_relative_paths(uri, len(uri.rstrip("/")) + 1))


def _relative_paths(uri: str, start: int) -> Iterator[str]:
    has_directories = _system(uri).has_dirs()
    for each in _below(uri):
        if has_directories and not each.size_in_bytes and _isdir(each.path):
            yield from _relative_paths(each.path, start)
        else:
            yield each.path[start:]


def _makedirs(path: str) -> None:
    if not storage.scheme(path):
        storage.of(path).makedirs(path)
    elif not _exists(path):
        _system(path).mkdirs(path)


def _remove(uri: str) -> None:
    if not _exists(uri):
        raise FileNotFoundError(errno.ENOENT, f"there is no {uri}")
    _delete(uri)


def _delete(uri: str) -> None:
    _system(uri).delete([glob.escape(uri) if storage.scheme(uri) in _BY_PATTERN else uri])


def _rmtree(uri: str) -> None:
    if _system(uri).has_dirs():
        _delete(uri.rstrip("/"))
        return
    for each in _match(f"{glob.escape(uri.rstrip('/'))}/**"):
        with contextlib.suppress(FileNotFoundError):
            _delete(each.path)


FILES = storage.Files(
    open=_raising_os_errors(_open),
    exists=_raising_os_errors(_exists),
    isdir=_raising_os_errors(_isdir),
    listdir=_raising_os_errors(_listdir),
    walk=_raising_os_errors(lambda uri: list(_walk(uri))),
    makedirs=_raising_os_errors(_makedirs),
    remove=_raising_os_errors(_remove),
    rmtree=_raising_os_errors(_rmtree),
    glob=_raising_os_errors(lambda pattern: list(_glob(pattern))),
    rename=_raising_os_errors(lambda old, new: _system(old).rename([old], [new])),
    size=_raising_os_errors(lambda uri: _match(glob.escape(uri))[0].size_in_bytes),
    failures=(OSError,),
    not_found=(FileNotFoundError,),
)

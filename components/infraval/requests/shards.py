"""TFRecord shards: finding and reading them, with clear errors about broken ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from infraval import errors, storage
from infraval.requests import tfrecords

_PEEKED_SHARDS = 10
_PEEKED_RECORDS = 1000
_PEEKED_BYTES = 64 << 20
"""A first look ends after so many."""

_MAX_RECORD_BYTES = 64 << 20
"""Most that a record may have; parsing one can take many times that in memory."""


def find(patterns: Sequence[str]) -> list[str]:
    """The files that glob patterns match, each once, sorted.

    Raises:
      OptionError: a pattern is a URI, and nothing that is installed has a file system for it.
      ExamplesError: a pattern matches no file.
    """
    found: set[str] = set()
    for pattern in patterns:
        try:
            matches = storage.find(pattern)
        except storage.UnknownSchemeError as error:
            raise errors.OptionError(f"{pattern} cannot be read: {error.strerror}.") from None
        except OSError as error:
            raise errors.ExamplesError(
                f"{pattern} cannot be looked for ({error.strerror}). Check the URI, the permission to read it, and "
                "that the packages that its file system needs are installed."
            ) from None
        if not matches:
            raise errors.ExamplesError(
                f"No file matches {pattern}. Set --examples (examples) to TFRecord files of serialized examples.",
                code="examples/missing",
            )
        found.update(matches)
    return sorted(found)


def part(paths: Sequence[str], max_shards: int | None, max_records: int | None) -> tuple[list[str], int | None]:
    """The shards to read if there is a limit, and how many records of each; None for all.

    Which ones they are depends on nothing but the order of the paths: they are spread evenly.
    """
    count = min(len(paths), *(limit for limit in (max_shards, max_records) if limit is not None), len(paths))
    spread = [paths[index * len(paths) // count] for index in range(count)]
    return spread, None if max_records is None or not count else max_records // count


def peek(paths: Sequence[str]) -> Iterator[bytes]:
    """Some records of several shards, spread over all of them, to see which features there are.

    Raises:
      ExamplesError: one of these shards cannot be read, or no shard has a record.
    """
    step = -(-len(paths) // _PEEKED_SHARDS)
    spread = sorted(range(len(paths)), key=lambda index: index % step)  # 0, step, 2 * step, …, 1, step + 1, …
    share = min(len(paths), _PEEKED_SHARDS)
    found = 0  # shards that have records; there may be empty ones among them
    total = 0
    for index in spread:
        size = 0
        for record in itertools.islice(itertools.chain.from_iterable(read(paths[index])), _PEEKED_RECORDS // share):
            yield record
            size += len(record) + 1
            if size > _PEEKED_BYTES // share:
                break
        total += size
        found += size > 0
        if found == share or total > _PEEKED_BYTES:
            return
    if not found:
        raise errors.ExamplesError(
            f"The examples have no records (files: {len(paths)}, the first {paths[0]}). Set --examples (examples) to "
            "other files.",
            code="examples/empty",
        )


def read(path: str, limit: int | None = None) -> Iterator[list[bytes]]:
    """The records of a shard, or the first of them, in chunks; `.gz` at the end of its name means gzip.

    Raises:
      ExamplesError: the file is unreadable, corrupt, not compressed as its name says, or has a record of more than 64
        MiB. The message quotes no record.
    """
    try:
        left = limit
        for chunk in _chunks(path):
            if left is not None and len(chunk) >= left:
                yield chunk[:left]
                return
            yield chunk
            left = None if left is None else left - len(chunk)
    except tfrecords.TooLargeError as error:
        raise errors.ExamplesError(
            f"{path} has a record of more than {_MAX_RECORD_BYTES >> 20} MiB, which infraval does not read: after "
            f"record {error.records}, {error.fault}. Leave such records out.",
            code="examples/too-large",
        ) from None
    except tfrecords.CorruptError as error:
        raise errors.ExamplesError(
            f"{path} is corrupt, or is not compressed as its name says (.gz is gzip): after record {error.records}, "
            f"{error.fault}. Write the examples again, or leave the file out.",
            code="examples/corrupt",
        ) from None
    except OSError as error:
        raise errors.ExamplesError(
            f"{path} cannot be read ({error.strerror}). Write the examples again, or leave the file out."
        ) from None


def _chunks(path: str) -> Iterator[list[bytes]]:
    if storage.scheme(path):
        with storage.reading(path) as raw:
            yield from tfrecords.read_from(raw, is_gzip=path.endswith(".gz"), max_record_bytes=_MAX_RECORD_BYTES)
    else:
        yield from tfrecords.read(path, is_gzip=path.endswith(".gz"), max_record_bytes=_MAX_RECORD_BYTES)

"""TFRecord shards: finding and reading them, with clear errors about broken ones."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Iterator, Sequence

from infraval import errors
from infraval.requests import locations, tfrecords

_PEEKED_SHARDS = 10
_PEEKED_RECORDS = 1000
_PEEKED_BYTES = 64 << 20
"""A first look ends after so many."""

_MAX_RECORD_BYTES = 64 << 20
"""Most that a record may have; parsing one can take many times that in memory."""


def find(patterns: Sequence[str]) -> list[str]:
    """The files that glob patterns match, each once, sorted.

    Raises:
      ExamplesError: a pattern matches no file.
    """
    found: set[str] = set()
    for pattern in patterns:
        matches = {path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)}  # noqa: PTH113, PTH207 - a glob may be absolute
        if not matches:
            advice = locations.advice(pattern) or "Set --examples (examples) to TFRecord files of serialized examples."
            raise errors.ExamplesError(f"No file matches {pattern}. {advice}", code="examples/missing")
        found |= matches
    return sorted(found)


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


def read(path: str) -> Iterator[list[bytes]]:
    """The records of a shard, in chunks; `.gz` at the end of its name means gzip.

    Raises:
      ExamplesError: the file is unreadable, corrupt, not compressed as its name says, or has a record of more than 64
        MiB. The message quotes no record.
    """
    try:
        yield from tfrecords.read(path, is_gzip=path.endswith(".gz"), max_record_bytes=_MAX_RECORD_BYTES)
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

"""TFRecord shards: finding and reading them, with clear errors about broken ones."""

from __future__ import annotations

import glob
import gzip
import itertools
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from infraval import errors

_FRAME_BYTES = 16
"""Length, its checksum and the record's checksum (tensorflow/core/lib/io/record_writer.h)."""

_CHUNK_BYTES = 1 << 20
_RECORD_BYTES = 256
"""Memory that a record needs besides its content, rounded up; keeps chunks of tiny records small, too."""


def find(patterns: Sequence[str]) -> list[str]:
    """The files that glob patterns match, each once, sorted.

    Raises:
      ExamplesError: a pattern matches no file.
    """
    found: set[str] = set()
    for pattern in patterns:
        matches = {path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)}  # noqa: PTH113, PTH207 - a glob may be absolute
        if not matches:
            raise errors.ExamplesError(
                f"No file matches {pattern}. Set --examples (examples) to TFRecord files of serialized examples.",
                code="examples/missing",
            )
        found |= matches
    return sorted(found)


def peek(paths: Sequence[str], count: int) -> list[bytes]:
    """The first records of the first shard that has any.

    Raises:
      ExamplesError: a shard cannot be read, or none has a record.
    """
    for path in paths:
        records = list(itertools.islice(itertools.chain.from_iterable(read(path)), count))
        if records:
            return records
    raise errors.ExamplesError(
        f"The examples have no records (files: {len(paths)}, the first {paths[0]}). Set --examples (examples) to other "
        "files.",
        code="examples/empty",
    )


def read(path: str) -> Iterator[list[bytes]]:
    """The records of a shard, in chunks that are quick to read and need little memory; `.gz` at the end means gzip.

    Raises:
      ExamplesError: the file is unreadable, corrupt, or not compressed as its name says. The message quotes no record.
    """
    kinds = tf.compat.v1.io.TFRecordCompressionType
    is_gzip = path.endswith(".gz")
    options = tf.compat.v1.io.TFRecordOptions(kinds.GZIP if is_gzip else kinds.NONE)
    size = 0
    try:
        for chunk in _chunks(tf.compat.v1.io.tf_record_iterator(path, options)):
            size += _FRAME_BYTES * len(chunk) + sum(map(len, chunk))
            yield chunk
    except tf.errors.DataLossError:
        raise errors.ExamplesError(
            f"{path} is corrupt, or is not compressed as its name says (.gz is gzip). Write the examples again, or "
            "leave the file out.",
            code="examples/corrupt",
        ) from None
    except tf.errors.OpError as error:
        raise errors.ExamplesError(
            f"{path} cannot be read ({type(error).__name__}). Write the examples again, or leave the file out."
        ) from None
    if not _is_all(Path(path), size, is_gzip=is_gzip):
        raise errors.ExamplesError(
            f"TensorFlow reads only a part of {path}: it was cut off, or has an empty gzip member. Write the examples "
            "again, or leave the file out.",
            code="examples/corrupt",
        )


def _chunks(records: Iterator[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for record in records:  # measured: a third quicker than list(itertools.islice(records, most))
        chunk.append(record)
        size += _RECORD_BYTES + len(record)
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _is_all(path: Path, size: int, *, is_gzip: bool) -> bool:
    """Whether the file is complete and contains nothing but records, which have `size` bytes with their frames.

    TensorFlow's reader does not notice that a file was cut off before or within a record's length, and stops at an
    empty gzip member.
    """
    if not is_gzip:
        return path.stat().st_size == size
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4))
        end = file.read()
    if size and end == (size % 2**32).to_bytes(4, "little"):  # RFC 1952: ISIZE
        return True
    # Without records, or with several gzip members, the only way to know is to read it.
    try:
        with gzip.open(path) as content:
            held = sum(map(len, iter(lambda: content.read(_CHUNK_BYTES), b"")))
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return False
    return bool(end) and held == size  # Python takes an empty file for gzip, but gzip does not

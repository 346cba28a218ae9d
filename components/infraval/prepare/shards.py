"""TFRecord shards: finding them, reading them, saying what is wrong with them."""

from __future__ import annotations

import glob
import gzip
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from infraval import errors

_FRAME_BYTES = 16
"""Length, its checksum and the record's checksum (tensorflow/core/lib/io/record_writer.h)."""

_CHUNK_BYTES = 1 << 20
_CHUNK_RECORDS = 4096


def find(patterns: Sequence[str]) -> list[str]:
    """The files that glob patterns match, each once, sorted.

    Raises:
      ExamplesError: a pattern matches no file.
    """
    found: set[str] = set()
    for pattern in patterns:
        matches = {path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)}  # noqa: PTH113, PTH207 - a glob may be absolute
        if not matches:
            raise errors.ExamplesError(f"No file matches {pattern}. Name TFRecord files of serialized examples.")
        found |= matches
    return sorted(found)


def peek(paths: Sequence[str], count: int) -> list[bytes]:
    """The first records of the first shard that has any.

    Raises:
      ExamplesError: a shard cannot be read, or none holds a record.
    """
    for path in paths:
        records = list(itertools.islice(itertools.chain.from_iterable(read(path)), count))
        if records:
            return records
    raise errors.ExamplesError(f"The examples hold no record (files: {len(paths)}, the first {paths[0]}). Name others.")


def read(path: str) -> Iterator[list[bytes]]:
    """The records of a shard, in chunks of a size that is quick and takes little memory.

    Args:
      path: the file; a name that ends with `.gz` means gzip.

    Raises:
      ExamplesError: the file cannot be read, or not as what its name says; no part of a record is in the message.
    """
    kinds = tf.compat.v1.io.TFRecordCompressionType
    is_gzip = path.endswith(".gz")
    options = tf.compat.v1.io.TFRecordOptions(kinds.GZIP if is_gzip else kinds.NONE)
    size, most = 0, 1
    try:
        records = tf.compat.v1.io.tf_record_iterator(path, options)
        while chunk := list(itertools.islice(records, most)):
            chunk_size = sum(map(len, chunk))
            size += chunk_size + _FRAME_BYTES * len(chunk)
            # Grows step by step: what comes next may be larger than what came so far.
            most = max(1, min(4 * most, _CHUNK_RECORDS, len(chunk) * _CHUNK_BYTES // max(1, chunk_size)))
            yield chunk
    except tf.errors.DataLossError:
        raise errors.ExamplesError(
            f"{path} is corrupt, or compressed in another way than its name says (.gz is gzip). Write the examples "
            "anew, or leave the file out."
        ) from None
    except tf.errors.OpError as error:
        raise errors.ExamplesError(
            f"{path} cannot be read ({type(error).__name__}). Write the examples anew, or leave the file out."
        ) from None
    # TensorFlow's reader says nothing about a file that was cut where a record ends.
    if is_gzip and not _is_whole(Path(path), size):
        raise errors.ExamplesError(f"{path} is no whole gzip file. Write the examples anew, or leave the file out.")


def _is_whole(path: Path, size: int) -> bool:
    """Whether a gzip file has its end, given the size of what was read from it."""
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        if int.from_bytes(file.read(), "little") == size % 2**32:  # RFC 1952: ISIZE
            return True
    # Several gzip members in one file: only reading them tells.
    try:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
    except (EOFError, gzip.BadGzipFile):
        return False
    return True

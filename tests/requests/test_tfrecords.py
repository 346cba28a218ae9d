"""TFRecord files: what TensorFlow's writer writes is read; nothing in a file can end the process or go unseen."""

from __future__ import annotations

import contextlib
import gzip
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from infraval.requests import tfrecords

RECORDS = st.lists(st.binary(max_size=40), max_size=6)

Write = Callable[[bytes, bool], Path]


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """A file of this content, plain or compressed; each overwrites the one before."""
    path = tmp_path_factory.mktemp("tfrecords") / "file"

    def to(content: bytes, is_gzip: bool) -> Path:
        path.write_bytes(gzip.compress(content, 1) if is_gzip else content)
        return path

    return to


@pytest.fixture(scope="module")
def by_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[bytes]], bytes]:
    """The content of a file of these records, by TensorFlow's writer."""
    path = tmp_path_factory.mktemp("tensorflow") / "file"

    def content(records: list[bytes]) -> bytes:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record)
        return path.read_bytes()

    return content


def checksum(content: bytes) -> bytes:
    """Masked, as in a file."""
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF)


def header(length: int) -> bytes:
    """The head of a record that claims this length; its checksum is right."""
    claimed = struct.pack("<Q", length)
    return claimed + checksum(claimed)


def read(path: Path, *, is_gzip: bool) -> list[bytes]:
    """All records."""
    return [record for chunk in tfrecords.read(path, is_gzip=is_gzip) for record in chunk]


@given(records=RECORDS, is_gzip=st.booleans())
def test_what_tensorflow_writes(
    records: list[bytes], is_gzip: bool, write: Write, by_tensorflow: Callable[[list[bytes]], bytes]
) -> None:
    """Every record, in order."""
    assert read(write(by_tensorflow(records), is_gzip), is_gzip=is_gzip) == records


@given(records=RECORDS, claimed=st.integers(0, 2**64 - 1), rest=st.binary(max_size=60), is_gzip=st.booleans())
@pytest.mark.parametrize("place", [1 << 20, 0])
def test_a_length_beyond_the_end(
    place: int,
    records: list[bytes],
    claimed: int,
    rest: bytes,
    is_gzip: bool,
    write: Write,
    by_tensorflow: Callable[[list[bytes]], bytes],
) -> None:
    """With a right checksum, after any records, small or huge: TensorFlow's reader would allocate it and die."""
    claimed = max(claimed, len(rest) - 3)
    records = [*records, bytes(place)] if place else records
    path = write(by_tensorflow(records) + header(claimed) + rest, is_gzip)
    with pytest.raises(tfrecords.CorruptError) as caught:
        read(path, is_gzip=is_gzip)
    assert caught.value.records == len(records)


@pytest.mark.parametrize("power", [31, 40, 50, 60, 63])
@pytest.mark.parametrize("is_gzip", [False, True])
def test_no_memory_is_needed_to_refuse_a_length(power: int, is_gzip: bool, write: Write) -> None:
    """The rest of the file is not even read."""
    chunks = tfrecords.read(write(header(2**power) + bytes(64 << 20), is_gzip), is_gzip=is_gzip)
    with pytest.raises(tfrecords.CorruptError, match=rf"claims {2**power} bytes"):
        next(chunks)


@given(records=RECORDS.filter(bool), is_gzip=st.booleans(), data=st.data())
def test_every_changed_byte_is_seen(
    records: list[bytes],
    is_gzip: bool,
    data: st.DataObject,
    write: Write,
    by_tensorflow: Callable[[list[bytes]], bytes],
) -> None:
    """Of lengths, checksums and records, also if it was compressed afterwards."""
    content = bytearray(by_tensorflow(records))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(tfrecords.CorruptError):
        read(write(bytes(content), is_gzip), is_gzip=is_gzip)


@given(members=st.lists(RECORDS, min_size=1, max_size=4), data=st.data())
def test_gzip_members(
    members: list[list[bytes]], data: st.DataObject, write: Write, by_tensorflow: Callable[[list[bytes]], bytes]
) -> None:
    """Any number of them, empty or not, are one file, and no cut within one goes unseen."""
    parts = [gzip.compress(by_tensorflow(records)) for records in members]
    path = write(b"".join(parts), False)
    assert read(path, is_gzip=True) == [record for records in members for record in records]
    missing = data.draw(st.integers(1, len(parts[-1]) - 1))
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(tfrecords.CorruptError):
        read(path, is_gzip=True)


def test_a_record_larger_than_any_chunk(write: Write, by_tensorflow: Callable[[list[bytes]], bytes]) -> None:
    """Compresses to nearly nothing, so it comes out of the decompressor in many parts."""
    records = [b"small", bytes(5 << 20), b"", b"x" * (1 << 19)]
    for is_gzip in (False, True):
        assert read(write(by_tensorflow(records), is_gzip), is_gzip=is_gzip) == records


@given(records=RECORDS)
def test_what_is_written(
    records: list[bytes], tmp_path_factory: pytest.TempPathFactory, by_tensorflow: Callable[[list[bytes]], bytes]
) -> None:
    """The same bytes that TensorFlow's writer writes, but the name of the file need not be UTF-8."""
    path = tmp_path_factory.getbasetemp() / os.fsdecode(b"written \xff")
    assert tfrecords.write(path, records) == len(records)
    assert path.read_bytes() == by_tensorflow(records)
    assert read(path, is_gzip=False) == records


@given(sizes=st.lists(st.integers(0, 1 << 21), max_size=4), limit=st.integers(1 << 20, 1 << 21), is_gzip=st.booleans())
def test_a_limit(sizes: list[int], limit: int, is_gzip: bool, write: Write, tmp_path_factory: Any) -> None:
    """Records up to it are read; what a larger one says of itself is all that is read of it."""
    path = tmp_path_factory.getbasetemp() / "limit"
    records = [bytes(size) for size in sizes]
    tfrecords.write(path, records)
    path = write(path.read_bytes(), is_gzip)
    chunks = tfrecords.read(path, is_gzip=is_gzip, max_record_bytes=limit)
    if max(sizes, default=0) <= limit:
        assert [record for chunk in chunks for record in chunk] == records
        return
    with pytest.raises(tfrecords.TooLargeError) as caught:
        list(chunks)
    assert caught.value.records == next(place for place, size in enumerate(sizes) if size > limit)


@pytest.mark.parametrize(("size", "large_enough"), [(64 << 20, True), (64 << 20, False)])
def test_memory_for_a_compressed_record(size: int, large_enough: bool, write: Write) -> None:
    """A few kilobytes stand for a large record: it takes a few times its size, or nothing if it is too large."""
    content = header(size) + bytes(size) + checksum(bytes(size))
    path = write(content * 2, True)
    del content
    assert path.stat().st_size < size / 100
    tracemalloc.start()
    try:
        with contextlib.suppress(tfrecords.TooLargeError):
            for _ in tfrecords.read(path, is_gzip=True, max_record_bytes=size if large_enough else size - 1):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (5 * size if large_enough else size / 10)

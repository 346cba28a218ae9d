"""Reading TFRecord files, which nothing in them can make crash, and writing them.

TensorFlow's own reader is not used: it allocates whatever length a record claims, and the process dies if that fails;
it takes some files that were cut off for whole ones, and stops at an empty gzip member. Neither its reader nor its
writer takes a file name that is not UTF-8.
"""

from __future__ import annotations

import functools
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import google_crc32c
import numpy as np
import numpy.typing as npt

_LENGTH = struct.Struct("<Q")
HEADER_BYTES = 12
"""What comes before a record: its length and the checksum of that."""

FRAME_BYTES = 16
"""Length, its checksum and the record's checksum (tensorflow/core/lib/io/record_writer.h)."""

_MAX_PROTO_BYTES = 2**31 - 1
"""No serialized proto is larger."""

_CHUNK_BYTES = 1 << 17
"""So few that a chunk and its records stay in a core's cache, and so many that NumPy's calls cost little per record."""

_GZIP = 16 + zlib.MAX_WBITS
"""Makes zlib expect the header and the end of gzip."""

_CHECKSUM = struct.Struct("<I")
_MASK = 0xA282EAD8

_WRONG_CHECKSUM = "a checksum is wrong"


class CorruptError(Exception):
    """A file is not a whole TFRecord file.

    Args:
      records: how many records come before the fault, at least; the rest of their chunk is not yielded.
      fault: what is wrong, as a clause; holds nothing of the content.

    Attributes:
      records: the same.
      fault: the same.
    """

    def __init__(self, records: int, fault: str) -> None:
        super().__init__(fault)
        self.records = records
        self.fault = fault


class TooLargeError(CorruptError):
    """A record is larger than allowed."""


def write(path: str | os.PathLike[str], records: Iterable[bytes]) -> int:
    """Writes an uncompressed file; returns the number of records."""
    with open(path, "wb") as file:  # noqa: PTH123 - a path may be a string
        return write_to(file, records)


def write_to(file: BinaryIO, records: Iterable[bytes]) -> int:
    """The same for an open file."""
    count = 0
    for record in records:
        file.write(_header(len(record)))
        file.write(record)
        file.write(_checksum(record))
        count += 1
        del record  # which may be large, before the next is made
    return count


def read(
    path: str | os.PathLike[str], *, is_gzip: bool, max_record_bytes: int = _MAX_PROTO_BYTES
) -> Iterator[list[bytes]]:
    """The records of a file, in chunks that are quick to read and need little memory.

    Args:
      path: of the file.
      is_gzip: whether it is compressed.
      max_record_bytes: how large a record may be; a few bytes of a compressed file can stand for a large one.

    Raises:
      CorruptError: the file is damaged, cut off, or not compressed as said.
      TooLargeError: a record is too large.
      OSError: the file cannot be read.
    """
    with open(path, "rb") as raw:  # noqa: PTH123 - a path may be a string
        size = None if is_gzip else os.fstat(raw.fileno()).st_size
        yield from read_from(raw, is_gzip=is_gzip, size=size, max_record_bytes=max_record_bytes)


def read_from(
    raw: BinaryIO, *, is_gzip: bool = False, size: int | None = None, max_record_bytes: int = _MAX_PROTO_BYTES
) -> Iterator[list[bytes]]:
    """The same for an open file.

    Args:
      raw: as it is stored.
      is_gzip: whether it is compressed.
      size: of what it holds, in bytes, if that is known; a record that claims more is refused at once.
      max_record_bytes: how large a record may be.
    """
    count, left = 0, size
    content = _decompressed(raw) if is_gzip else iter(functools.partial(raw.read, _CHUNK_BYTES), b"")
    buffer: bytes | bytearray = b""
    while True:
        if _holds_record(buffer, left, count, max_record_bytes):
            is_large = FRAME_BYTES + _LENGTH.unpack_from(buffer)[0] >= _CHUNK_BYTES
            records, used, fault = _large_record(buffer) if is_large else _records(bytes(buffer))
            count += len(records)
            left = None if left is None else left - used
            buffer = bytes(memoryview(buffer)[used:])
            if records:
                yield records
                records = []  # a large one is not to be in memory while the next is read
            if fault:
                raise CorruptError(count, fault)
            continue
        try:
            more = next(content, None)
        except (EOFError, zlib.error):
            raise CorruptError(count, "its content is damaged, cut off, or not gzip at all") from None
        if more is None:
            break
        if len(buffer) >= _CHUNK_BYTES and isinstance(buffer, bytes):
            buffer = bytearray(buffer)  # it holds a part of a large record; bytes would be copied with each addition
        buffer += more
    if buffer:
        raise CorruptError(count, "it ends within a record")


def _decompressed(raw: BinaryIO) -> Iterator[bytes]:
    """What is in a gzip file of any number of members, in chunks; quicker than gzip.GzipFile.

    Raises:
      EOFError: the file ends within a member, or has none.
      zlib.error: the file is damaged, or is not a gzip file.
    """
    member = zlib.decompressobj(_GZIP)
    compressed = b""
    while compressed := compressed or raw.read(_CHUNK_BYTES):
        if member.eof:
            member = zlib.decompressobj(_GZIP)
        yield member.decompress(compressed, _CHUNK_BYTES)
        compressed = member.unconsumed_tail or member.unused_data
    yield member.flush()
    if not member.eof:
        raise EOFError


def _records(block: bytes) -> tuple[list[bytes], int, str]:
    """The first records, up to a chunk of them or to one with a wrong checksum; their bytes; what is wrong."""
    starts: list[int] = []
    add, length = starts.append, _LENGTH.unpack_from  # every name that the loop need not look up counts
    start, last = 0, min(_CHUNK_BYTES - 1, len(block) - FRAME_BYTES)
    while start <= last:
        add(start)
        (size,) = length(block, start)
        start += FRAME_BYTES + size
    if start > len(block):
        start = starts.pop()
    places = np.array([*starts, start])
    firsts, ends = places[:-1] + HEADER_BYTES, places[1:] - _CHECKSUM.size
    records = [block[first:end] for first, end in zip(firsts.tolist(), ends.tolist(), strict=True)]
    wrong = _length_checksums(ends - firsts) != _stored(block, firsts - _CHECKSUM.size)
    wrong |= _checksums(records) != _stored(block, ends)
    if wrong.any():
        return records[: int(wrong.argmax())], start, _WRONG_CHECKSUM
    return records, start, ""


def _large_record(buffer: bytes | bytearray) -> tuple[list[bytes], int, str]:
    """The same for a first record that is a chunk by itself, of which no other copy is made."""
    end = FRAME_BYTES + _LENGTH.unpack_from(buffer)[0]
    with memoryview(buffer) as view:
        record = bytes(view[HEADER_BYTES : end - 4])
        wrong = view[:HEADER_BYTES] != _header(len(record)) or view[end - 4 : end] != _checksum(record)
    return ([], end, _WRONG_CHECKSUM) if wrong else ([record], end, "")


def _holds_record(buffer: bytes | bytearray, left: int | None, count: int, max_record_bytes: int) -> bool:
    """Whether a whole record is in the buffer; refuses one that cannot be in the file before reading on for it."""
    if len(buffer) < HEADER_BYTES:
        return False
    (length,) = _LENGTH.unpack_from(buffer)
    if len(buffer) >= FRAME_BYTES + length:
        return True
    if buffer[:HEADER_BYTES] != _header(length):
        raise CorruptError(count, _WRONG_CHECKSUM)
    if left is not None and length > left - FRAME_BYTES:
        raise CorruptError(count, f"the next record claims {length} bytes, more than the file has left")
    if length > max_record_bytes:
        raise TooLargeError(count, f"the next record claims {length} bytes, more than the {max_record_bytes} allowed")
    return False


def _stored(block: bytes, places: npt.NDArray[np.int_]) -> npt.NDArray[np.uint32]:
    """The checksums at these places in the block: uint32[places]."""
    at_each_byte: npt.NDArray[np.uint32] = np.ndarray(len(block) - 3, "<u4", block, strides=1)
    return at_each_byte[places]


@functools.lru_cache(1024)
def _header(size: int) -> bytes:
    """What comes before a record of this size."""
    length = _LENGTH.pack(size)
    return length + _checksum(length)


def _checksum(part: bytes) -> bytes:
    """The masked checksum (tensorflow/core/lib/hash/crc32c.h) as it is stored."""
    value = google_crc32c.value(part)
    return _CHECKSUM.pack(((value >> 15 | value << 17) + _MASK) & 0xFFFFFFFF)


def _checksums(parts: list[bytes]) -> npt.NDArray[np.uint32]:
    """Those of many at once, little-endian: uint32[parts]."""
    return _masked(np.fromiter(map(google_crc32c.value, parts), np.uint32, len(parts)))


def _length_checksums(lengths: npt.NDArray[np.int_]) -> npt.NDArray[np.uint32]:
    """Those of lengths below 2^32 as they are stored, in a fifth of the time: uint32[lengths]."""
    tables = _length_tables()
    parts = [tables[place][(lengths >> (8 * place)) & 0xFF] for place in range(len(tables))]
    return _masked(functools.reduce(np.bitwise_xor, parts))


@functools.cache
def _length_tables() -> list[npt.NDArray[np.uint32]]:
    """What each of the lower bytes of a length adds to its checksum, by the byte: a checksum is linear in the bits."""
    zero = google_crc32c.value(_LENGTH.pack(0))
    tables = [
        np.array([google_crc32c.value(_LENGTH.pack(byte << (8 * place))) ^ zero for byte in range(256)], np.uint32)
        for place in range(4)
    ]
    tables[0] ^= np.uint32(zero)
    return tables


def _masked(checksums: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    return (((checksums >> 15) | (checksums << 17)) + np.uint32(_MASK)).astype("<u4")

"""A uniform sample of distinct records that comes out the same for any sharding, order or runner.

Every record has a rank, a seeded hash of its content; the sample is the records with the lowest ranks, each with the
number of times that it occurs. Samples of parts can be merged into the sample of the whole, in any order and grouping.

A sample ends before the record with which it would have too many bytes. That record is the same for any sharding too,
because a part of the examples has no more records, and no more bytes, of lower rank than the whole. For the same
reason the counts are those of the whole: no part ever drops a record that is in the sample of the whole.

Memory holds only so much of a sample. The rest of its records is in a temporary file without a name, of which nothing
is left, however a process ends.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import xxhash

from infraval import errors


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much a sample holds of what it has seen.

    Attributes:
      max_bytes: most that its records may have together.
      times_needed: how many times what is needed it holds within that, as some of it may not fit.
      spare_records: what it holds even if less is needed, so that the share of those that do not fit is known.
      spare_bytes: most that its records may have together, but for those that `times_needed` is about.
      memory_bytes: how many bytes of them memory holds, and one record more; the others are in a file.
    """

    max_bytes: int = 256 << 20
    times_needed: int = 2
    spare_records: int = 10_000
    spare_bytes: int = 64 << 20
    memory_bytes: int = 32 << 20


LIMITS = Limits()

_NO_RANK = b"\xff" * 17
"""Higher than any."""


class Sampled(NamedTuple):
    """A distinct record, and how often it occurs."""

    record: bytes
    times: int


class _Place(NamedTuple):
    """Where in a file a record is."""

    offset: int
    size: int


class _Held(NamedTuple):
    """A distinct record, or where it is, and how often it occurs."""

    record: bytes | _Place
    times: int

    @property
    def size(self) -> int:
        return self.record.size if isinstance(self.record, _Place) else len(self.record)


class _File:
    """A temporary file to which records are appended."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when nothing refers to this any more
        weakref.finalize(self, self._file.close)
        self.size = 0

    def append(self, record: bytes) -> _Place:
        """Writes a record, which can be read after the next `flush`."""
        self._file.write(record)
        place = _Place(self.size, len(record))
        self.size += len(record)
        return place

    def flush(self) -> None:
        """Makes readable what was appended."""
        self._file.flush()

    def read(self, place: _Place) -> bytes:
        """The record at a place."""
        return os.pread(self._file.fileno(), place.size, place.offset)


class Sample:
    """The distinct records with the lowest ranks among those added so far, and few others.

    Args:
      needed: how many records requests are to be built from.
      seed: of the ranks, 64 bits.
      limits: how much it holds; `LIMITS` by default.
    """

    def __init__(self, needed: int, seed: int, limits: Limits | None = None) -> None:
        self._limits = limits or LIMITS
        self._assured = self._limits.times_needed * needed
        self._size = max(self._assured, self._limits.spare_records)
        self._seed = seed
        self._end = _NO_RANK  # the lowest rank of a record that the sample has no room for
        self._found: dict[bytes, _Held] = {}  # by rank
        self._bytes = self._bytes_in_memory = 0
        self._file: _File | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every distinct record that was added is in it."""
        self._prune()
        return self._end == _NO_RANK

    @property
    def is_cut(self) -> bool:
        """Whether there are fewer records than `times_needed` says because they would have too many bytes."""
        return not self.is_whole and len(self._found) < self._assured

    def records(self) -> Iterator[Sampled]:
        """The sampled records, lowest rank first."""
        return (self.at(rank) for rank in self.ranks())

    def ranks(self) -> list[bytes]:
        """Their ranks, lowest first."""
        self._prune()
        return list(self._found)

    def at(self, rank: bytes) -> Sampled:
        """The sampled record of this rank."""
        held = self._found[rank]
        return Sampled(self._read(held), held.times)

    @property
    def end(self) -> bytes:
        """The lowest rank of a record that the sample has no room for."""
        self._prune()
        return self._end

    def end_at(self, rank: bytes) -> None:
        """Drops the records from this rank on."""
        self._end = min(self._end, rank)

    def add(self, records: Sequence[bytes], counts: Iterable[int] = itertools.repeat(1)) -> None:
        """Adds records, each as often as its count says; many at once cost less each.

        Raises:
          ExamplesError: the temporary file cannot be written.
        """
        ranks = map(xxhash.xxh3_128_digest, records, itertools.repeat(self._seed))
        end = self._end
        self._add([each for each in zip(ranks, records, counts) if each[0] < end])  # noqa: B905 - counts may not end

    def merge(self, other: Sample) -> None:
        """Adds all that another sample of the same size, seed and limit has seen.

        Raises:
          ExamplesError: the temporary file cannot be written.
        """
        self.end_at(other._end)
        held = ((rank, held) for rank, held in other._found.items() if rank < self._end)
        self._add((rank, other._read(each), each.times) for rank, each in held)

    def _add(self, entries: Iterable[tuple[bytes, bytes, int]]) -> None:
        found = self._found
        for rank, record, times in entries:
            known = found.get(rank)
            if known is not None:
                found[rank] = _Held(known.record, known.times + times)
                continue
            found[rank] = _Held(record, times)
            self._bytes_in_memory += len(record)
            if len(found) > 2 * self._size or self._bytes_in_memory > self._limits.memory_bytes:
                self._prune()
                if self._bytes_in_memory > self._limits.memory_bytes // 2:
                    self._move_to_file()
                found = self._found

    def _prune(self) -> None:
        """Drops what the sample has no room for, and orders the rest."""
        kept: dict[bytes, _Held] = {}
        total = in_memory = 0
        max_bytes = self._limits.max_bytes
        for rank in sorted(self._found):
            held = self._found[rank]
            size = total + held.size
            limit = max_bytes if len(kept) < self._assured else min(self._limits.spare_bytes, max_bytes)
            if rank >= self._end or len(kept) == self._size or size > limit:
                self._end = min(self._end, rank)
                break
            kept[rank] = held
            total = size
            in_memory += 0 if isinstance(held.record, _Place) else held.size
        self._found, self._bytes, self._bytes_in_memory = kept, total, in_memory

    def _move_to_file(self) -> None:
        """Moves all records from memory to the file, or to a new one if most of it is of dropped records."""
        try:
            file = self._file
            if file is None or file.size > 2 * self._bytes + self._limits.memory_bytes:
                file = _File()
            found = {
                rank: held
                if isinstance(held.record, _Place) and file is self._file
                else _Held(file.append(self._read(held)), held.times)
                for rank, held in self._found.items()
            }
            file.flush()
        except OSError as error:
            raise errors.ExamplesError(
                f"The sample of the examples cannot be written to {tempfile.gettempdir()} ({error.strerror}). Free "
                "some space, or set TMPDIR to a writable directory on a larger disk."
            ) from error
        self._found, self._file, self._bytes_in_memory = found, file, 0

    def _read(self, held: _Held) -> bytes:
        if self._file and isinstance(held.record, _Place):
            return self._file.read(held.record)
        return cast("bytes", held.record)

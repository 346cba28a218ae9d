"""A uniform sample of distinct records that comes out the same for any sharding, order or runner.

Every record has a rank, a seeded hash of its content; the sample is the records with the lowest ranks, each with the
number of times that it occurs. The samples of parts, added to one another in any order and grouping, are the sample of
the whole.

A sample ends before the record with which it would have too many bytes. That record is the same for any sharding too,
because a part of the examples has no more records, and no more bytes, of lower rank than the whole. For the same
reason the counts are those of the whole: no part ever drops a record that is in the sample of the whole.

Memory holds only so much of a sample. The rest of its records is in a temporary file without a name, of which nothing
is left, however a process ends.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import os
import tempfile
import weakref
from collections.abc import Iterable, Sequence
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


class _Place(NamedTuple):
    """Where in a file a record is."""

    offset: int
    size: int


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
        self._found: dict[bytes, bytes | _Place] = {}  # a distinct record, or where it is, by rank
        self._times: dict[bytes, int] = {}  # how often each occurs, if more than once
        self._bytes = self._bytes_in_memory = 0
        self._is_pruned = True
        self._file: _File | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every distinct record that was added is in it."""
        return self.end == _NO_RANK

    @property
    def is_cut(self) -> bool:
        """Whether there are fewer records than `times_needed` says because they would have too many bytes."""
        return not self.is_whole and len(self._found) < self._assured

    def ranks(self) -> list[bytes]:
        """Their ranks, lowest first."""
        self._finish()
        return list(self._found)

    def record(self, rank: bytes) -> bytes:
        """The sampled record of this rank."""
        return self._read(self._found[rank])

    def times(self, rank: bytes) -> int:
        """How often the record of this rank occurs."""
        return self._times.get(rank, 1)

    @property
    def end(self) -> bytes:
        """The lowest rank of a record that the sample has no room for."""
        self._finish()
        return self._end

    def end_at(self, rank: bytes) -> None:
        """Drops the records from this rank on."""
        if rank < self._end:
            self._end, self._is_pruned = rank, False

    def add(self, records: Sequence[bytes], counts: Sequence[int] | None = None) -> None:
        """Adds records, each as often as its count says, or once; many at once cost less each.

        Raises:
          ExamplesError: the temporary file cannot be written.
        """
        end = self._end
        ranks = list(map(xxhash.xxh3_128_digest, records, itertools.repeat(self._seed)))
        low = [number for number, rank in enumerate(ranks) if rank < end]
        if len(low) < len(ranks):
            ranks, records = [ranks[number] for number in low], [records[number] for number in low]
            counts = counts and [counts[number] for number in low]
        if not self._add_new(ranks, records, counts or ()):
            self._add(zip(ranks, records, counts or itertools.repeat(1), strict=False))
        self._is_pruned = False

    def _add_new(self, ranks: Sequence[bytes], records: Sequence[bytes], counts: Sequence[int]) -> bool:
        """Adds records at once if none of them is there, or comes twice, as most, and memory has room for all."""
        size = sum(map(len, records))
        if (
            self._bytes_in_memory + size > self._limits.memory_bytes
            or len(set(ranks)) < len(ranks)
            or not self._found.keys().isdisjoint(ranks)
        ):
            return False
        self._found.update(zip(ranks, records, strict=True))
        self._times.update((rank, count) for rank, count in zip(ranks, counts, strict=False) if count > 1)
        self._bytes_in_memory += size
        if len(self._found) > 2 * self._size:
            self._prune()
        return True

    def _add(self, entries: Iterable[tuple[bytes, bytes, int]]) -> None:
        found, all_times = self._found, self._times
        most, max_bytes = 2 * self._size, self._limits.memory_bytes
        for rank, record, times in entries:
            if rank in found:
                all_times[rank] = all_times.get(rank, 1) + times
                continue
            found[rank] = record
            if times > 1:
                all_times[rank] = times
            self._bytes_in_memory += len(record)
            if len(found) > most or self._bytes_in_memory > max_bytes:
                self._prune()
                if self._bytes_in_memory > max_bytes // 2:
                    self._move_to_file()
                found, all_times = self._found, self._times

    def _finish(self) -> None:
        if not self._is_pruned:
            self._prune()
            self._is_pruned = True

    def _prune(self) -> None:
        """Drops what the sample has no room for, and orders the rest."""
        ranks = sorted(self._found)
        room = min(bisect.bisect_left(ranks, self._end), self._size)
        held = [self._found[rank] for rank in ranks[:room]]
        sizes = list(map(len, held)) if self._file is None else list(map(_size, held))
        room = self._room(sizes)
        if room < len(ranks):
            self._end = min(self._end, ranks[room])
        self._found = dict(zip(ranks[:room], held, strict=False))
        self._times = {rank: times for rank, times in self._times.items() if rank in self._found}
        self._bytes = self._bytes_in_memory = sum(sizes[:room])
        if self._file is not None:
            self._bytes_in_memory = sum(len(each) for each in held[:room] if isinstance(each, bytes))

    def _room(self, sizes: Sequence[int]) -> int:
        """How many records of these sizes, of the lowest ranks, do not have too many bytes."""
        max_bytes = self._limits.max_bytes
        spare_bytes = min(self._limits.spare_bytes, max_bytes)
        if sum(sizes) <= spare_bytes:
            return len(sizes)
        total = 0
        for number, size in enumerate(sizes):
            total += size
            if total > (max_bytes if number < self._assured else spare_bytes):
                return number
        return len(sizes)

    def _move_to_file(self) -> None:
        """Moves all records from memory to the file, or to a new one if most of it is of dropped records."""
        try:
            file = self._file
            if file is None or file.size > 2 * self._bytes + self._limits.memory_bytes:
                file = _File()
            found: dict[bytes, bytes | _Place] = {
                rank: held if isinstance(held, _Place) and file is self._file else file.append(self._read(held))
                for rank, held in self._found.items()
            }
            file.flush()
        except OSError as error:
            raise errors.ExamplesError(
                f"The sample of the examples cannot be written to {tempfile.gettempdir()} ({error.strerror}). Free "
                "some space, or set TMPDIR to a writable directory on a larger disk."
            ) from error
        self._found, self._file, self._bytes_in_memory = found, file, 0

    def _read(self, held: bytes | _Place) -> bytes:
        if isinstance(held, bytes):
            return held
        return cast("_File", self._file).read(held)


def _size(held: bytes | _Place) -> int:
    return len(held) if isinstance(held, bytes) else held.size

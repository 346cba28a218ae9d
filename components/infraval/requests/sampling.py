"""A uniform sample of distinct records that comes out the same for any sharding, order or runner.

Every record has a rank, a seeded hash of its content; the sample is the records with the lowest ranks, each with the
number of times that it occurs. Samples of parts can be merged into the sample of the whole, in any order and grouping.

A sample ends before the record with which it would have too many bytes. That record is the same for any sharding too,
because a part of the examples has no more records, and no more bytes, of lower rank than the whole. For the same
reason the counts are those of the whole: no part ever drops a record that is in the sample of the whole.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import xxhash


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much a sample holds of what it has seen.

    Attributes:
      max_bytes: most that its records may have together.
      times_needed: how many times what is needed it holds within that, as some of it may not fit.
      spare_records: what it holds even if less is needed, so that the share of those that do not fit is known.
      spare_bytes: most that its records may have together, but for those that `times_needed` is about.
    """

    max_bytes: int = 256 << 20
    times_needed: int = 2
    spare_records: int = 10_000
    spare_bytes: int = 64 << 20


LIMITS = Limits()

_NO_RANK = b"\xff" * 17
"""Higher than any."""


class Sampled(NamedTuple):
    """A distinct record, and how often it occurs."""

    record: bytes
    times: int


class Sample:
    """The distinct records with the lowest ranks among those added so far; few others are kept in memory.

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
        self._found: dict[bytes, Sampled] = {}  # by rank
        self._bytes = self._bytes_when_pruned = 0

    @property
    def is_whole(self) -> bool:
        """Whether every distinct record that was added is in it."""
        self._prune()
        return self._end == _NO_RANK

    @property
    def is_cut(self) -> bool:
        """Whether there are fewer records than `times_needed` says because they would have too many bytes."""
        return not self.is_whole and len(self._found) < self._assured

    def records(self) -> list[Sampled]:
        """The sampled records, lowest rank first."""
        self._prune()
        return list(self._found.values())

    @property
    def end(self) -> bytes:
        """The lowest rank of a record that the sample has no room for."""
        self._prune()
        return self._end

    def end_at(self, rank: bytes) -> None:
        """Drops the records from this rank on."""
        self._end = min(self._end, rank)

    def add(self, records: Sequence[bytes], counts: Iterable[int] = itertools.repeat(1)) -> None:
        """Adds records, each as often as its count says; many at once cost less each."""
        ranks = map(xxhash.xxh3_128_digest, records, itertools.repeat(self._seed))
        end = self._end
        low = [each for each in zip(ranks, records, counts) if each[0] < end]  # noqa: B905 - counts may not end
        self._add((rank, Sampled(record, count)) for rank, record, count in low)

    def merge(self, other: Sample) -> None:
        """Adds all that another sample of the same size, seed and limit has seen."""
        self.end_at(other._end)
        self._add(other._found.items())

    def _add(self, entries: Iterable[tuple[bytes, Sampled]]) -> None:
        found = self._found
        for rank, entry in entries:
            known = found.get(rank)
            if known is None:
                self._bytes += len(entry.record)
                found[rank] = entry
            else:
                found[rank] = Sampled(known.record, known.times + entry.times)
            if len(found) > 2 * self._size or self._bytes > self._bytes_when_pruned + self._limits.spare_bytes:
                self._prune()
                found = self._found

    def _prune(self) -> None:
        """Drops what the sample has no room for, and orders the rest."""
        kept: dict[bytes, Sampled] = {}
        total, max_bytes = 0, self._limits.max_bytes
        for rank in sorted(self._found):
            entry = self._found[rank]
            size = total + len(entry.record)
            limit = max_bytes if len(kept) < self._assured else min(self._limits.spare_bytes, max_bytes)
            if rank >= self._end or len(kept) == self._size or size > limit:
                self._end = min(self._end, rank)
                break
            kept[rank] = entry
            total = size
        self._found, self._bytes, self._bytes_when_pruned = kept, total, total

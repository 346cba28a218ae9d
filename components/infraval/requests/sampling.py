"""A uniform sample of distinct records that comes out the same for any sharding, order or runner.

Every record has a rank, a seeded hash of its content; the sample is the records with the lowest ranks. Samples of parts
can be merged into the sample of the whole, in any order and grouping.

A sample ends before the record with which it would have too many bytes. That record is the same for any sharding too,
because a part of the examples has no more bytes of lower rank than the whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import xxhash

MAX_BYTES = 256 << 20
"""Most that the records of a sample may have together."""

_NO_RANK = 2**64
"""Higher than any."""


class Sample:
    """The `size` distinct records with the lowest ranks among those added so far; no others are kept in memory."""

    def __init__(self, size: int, seed: int, max_bytes: int) -> None:
        self._size = size
        self._seed = seed
        self._max_bytes = max_bytes
        self._end = _NO_RANK  # the lowest rank of a record that the sample has no room for
        self._ranked: list[tuple[int, bytes]] = []  # ascending; equal ranks are ordered by content

    @property
    def records(self) -> list[bytes]:
        """The sampled records, lowest rank first."""
        return [record for _, record in self._ranked]

    @property
    def is_cut(self) -> bool:
        """Whether there are fewer records than `size` because they would have too many bytes."""
        return self._end < _NO_RANK and len(self._ranked) < self._size

    def add(self, records: Sequence[bytes]) -> None:
        """Adds records; many at once cost less each."""
        ranks = map(xxhash.xxh3_64_intdigest, records, itertools.repeat(self._seed))
        highest = self._ranked[-1][0] if len(self._ranked) == self._size else self._end
        if new := {entry for entry in zip(ranks, records, strict=True) if entry[0] <= highest}:
            self._keep(new)

    def merge(self, other: Sample) -> None:
        """Adds all that another sample of the same size, seed and limit has seen."""
        self._end = min(self._end, other._end)
        self._keep(other._ranked)

    def _keep(self, entries: Iterable[tuple[int, bytes]]) -> None:
        ranked = sorted({*entries, *self._ranked})[: self._size]
        total = 0
        for position, (rank, record) in enumerate(ranked):
            total += len(record)
            if rank >= self._end or total > self._max_bytes:
                self._end = min(self._end, rank)
                ranked = ranked[:position]
                break
        self._ranked = ranked

"""A uniform sample of distinct records that comes out the same for any sharding, order or runner.

Every record has a rank, a seeded hash of its content; the sample is the records with the lowest ranks. Samples of parts
can be merged into the sample of the whole, in any order and grouping.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

import xxhash

_MAX_RANK = 2**64 - 1


class Sample:
    """The `size` distinct records with the lowest ranks among those added so far; no others are kept in memory."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._ranked: list[tuple[int, bytes]] = []  # ascending; equal ranks are ordered by content

    @property
    def records(self) -> list[bytes]:
        """The sampled records, lowest rank first."""
        return [record for _, record in self._ranked]

    def add(self, records: Sequence[bytes]) -> None:
        """Adds records; many at once cost less each."""
        ranks = list(map(xxhash.xxh3_64_intdigest, records, itertools.repeat(self._seed)))
        if not ranks or min(ranks) > self._highest_rank():
            return
        for rank, record in zip(ranks, records, strict=True):
            if rank <= self._highest_rank():
                self._insert(rank, record)

    def merge(self, other: Sample) -> None:
        """Adds all that another sample of the same size and seed has seen."""
        for rank, record in other._ranked:
            self._insert(rank, record)

    def _insert(self, rank: int, record: bytes) -> None:
        entry = (rank, record)
        position = bisect.bisect_left(self._ranked, entry)
        if position < len(self._ranked) and self._ranked[position] == entry:
            return
        self._ranked.insert(position, entry)
        del self._ranked[self._size :]

    def _highest_rank(self) -> int:
        return self._ranked[-1][0] if len(self._ranked) == self._size else _MAX_RANK

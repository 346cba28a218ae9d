"""A uniform sample of distinct records that comes out the same for any sharding, order or runner.

Every record has a rank, a seeded hash of its content; the sample is the records with the lowest ranks. Samples of parts
can be merged into the sample of the whole, in any order and grouping.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

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
        ranks = map(xxhash.xxh3_64_intdigest, records, itertools.repeat(self._seed))
        highest = self._ranked[-1][0] if len(self._ranked) == self._size else _MAX_RANK
        self._keep(entry for entry in zip(ranks, records, strict=True) if entry[0] <= highest)

    def merge(self, other: Sample) -> None:
        """Adds all that another sample of the same size and seed has seen."""
        self._keep(other._ranked)

    def _keep(self, entries: Iterable[tuple[int, bytes]]) -> None:
        if new := set(entries):
            self._ranked = sorted(new.union(self._ranked))[: self._size]

"""Which cells (signature x method x batch size) the requests cover, and with which records."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

_Cell = TypeVar("_Cell")
_Record = TypeVar("_Record")


def deal(
    cells: Sequence[tuple[_Cell, int]],
    num_examples: int,
    records: Sequence[_Record],
    shape_bucket: Callable[[_Cell, _Record], Hashable],
) -> Iterator[tuple[_Cell, list[_Record]]]:
    """Deals records out to requests.

    The first `num_examples` records go to every cell once, in as many requests as they fill in each shape bucket; the
    last request is filled up with other records of the bucket, or with the same ones again. The first request of every
    cell comes first, then the second of each, so that a file that is cut off anywhere after the first round still
    covers every cell.

    Args:
      cells: what to cover, each with its batch size.
      num_examples: distinct examples to send to each cell.
      records: at least one; what stands for a record will do.
      shape_bucket: what records must have in common to share a batch of a cell.

    Yields:
      A cell and the records of one request to it, as many as the batch size.
    """
    queues = [_requests(cell, size, num_examples, records, shape_bucket) for cell, size in cells]
    for turn in itertools.zip_longest(*queues):
        yield from (request for request in turn if request is not None)


def _requests(
    cell: _Cell,
    size: int,
    num_examples: int,
    records: Sequence[_Record],
    shape_bucket: Callable[[_Cell, _Record], Hashable],
) -> Iterator[tuple[_Cell, list[_Record]]]:
    buckets: dict[Hashable, list[_Record]] = {}
    sizes: dict[Hashable, int] = {}
    for position, record in enumerate(records):
        bucket = shape_bucket(cell, record)
        buckets.setdefault(bucket, []).append(record)
        if position < num_examples:
            sizes[bucket] = len(buckets[bucket])
    for bucket, count in sizes.items():
        pool = buckets[bucket]
        for start in range(0, count, size):
            yield cell, [pool[(start + offset) % len(pool)] for offset in range(size)]

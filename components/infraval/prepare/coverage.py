"""Which cells (signature x method x batch size) the requests touch, and with which records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infraval import spec


def groups(
    cells: Sequence[spec.Cell], num_examples: int, records: Sequence[bytes]
) -> Iterator[tuple[spec.Cell, list[bytes]]]:
    """Deals records out to requests.

    Every cell gets as many requests as its share of `num_examples` fills, at least one; where there are too few
    records, they start over. The first request of every cell comes first, then the second of each, so that a
    file that is cut anywhere behind the first round still touches every cell.

    Args:
      cells: what to touch.
      num_examples: distinct examples to send to each cell.
      records: at least one.

    Yields:
      A cell and the records of one request to it, as many as its batch size.
    """
    usable = min(num_examples, len(records))
    rounds = {cell: -(-usable // cell.batch_size) for cell in cells}
    for turn in range(max(rounds.values(), default=0)):
        for cell in cells:
            if turn < rounds[cell]:
                start = turn * cell.batch_size
                yield cell, [records[(start + offset) % len(records)] for offset in range(cell.batch_size)]

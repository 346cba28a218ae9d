"""Which records go into which request: laws that hold for any cells, records and shapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from infraval import options
from infraval.requests import coverage

CELLS = st.lists(
    st.builds(options.Cell, st.sampled_from("abc"), st.sampled_from(options.Method), st.integers(1, 9)),
    unique=True,
    max_size=6,
)
NUM_EXAMPLES = st.integers(1, 20)
RECORDS = st.integers(1, 20).map(lambda count: [b"%d" % number for number in range(count)])
SHAPES = st.integers(1, 5)
"""How many shapes there are; a record's own number says which it has, another one for each signature."""


def shape(cell: options.Cell, record: bytes, shapes: int) -> int:
    """Shape of a record as the signature of a cell sees it."""
    return (int(record) * (1 + ord(cell.signature))) % shapes


def deal(
    cells: list[options.Cell], num_examples: int, records: list[bytes], shapes: int = 1
) -> Iterator[tuple[options.Cell, list[bytes]]]:
    """Deals records out to cells."""
    sized = [(cell, cell.batch_size) for cell in cells]
    return coverage.deal(sized, num_examples, records, lambda cell, record: shape(cell, record, shapes))


@given(CELLS, NUM_EXAMPLES, RECORDS, SHAPES)
def test_the_first_requests_touch_every_cell_once(
    cells: list[options.Cell], num_examples: int, records: list[bytes], shapes: int
) -> None:
    """A file that is cut behind the first round still covers everything."""
    touched = [cell for cell, _ in deal(cells, num_examples, records, shapes)]
    assert touched[: len(cells)] == cells


@given(CELLS, NUM_EXAMPLES, RECORDS, SHAPES)
def test_every_request_has_the_batch_size_of_its_cell(
    cells: list[options.Cell], num_examples: int, records: list[bytes], shapes: int
) -> None:
    """Also where fewer records of a shape than the batch takes; none comes twice as long as there are enough."""
    for cell, batch in deal(cells, num_examples, records, shapes):
        alike = [record for record in records if shape(cell, record, shapes) == shape(cell, batch[0], shapes)]
        assert len(batch) == cell.batch_size
        assert len(set(batch)) == min(cell.batch_size, len(alike))


@given(CELLS, NUM_EXAMPLES, RECORDS, SHAPES)
def test_shapes_never_mix_in_a_batch(
    cells: list[options.Cell], num_examples: int, records: list[bytes], shapes: int
) -> None:
    """A tensor has one shape."""
    for cell, batch in deal(cells, num_examples, records, shapes):
        assert len({shape(cell, record, shapes) for record in batch}) == 1


@given(CELLS, NUM_EXAMPLES, RECORDS, SHAPES)
def test_every_cell_gets_all_examples_in_the_fewest_requests(
    cells: list[options.Cell], num_examples: int, records: list[bytes], shapes: int
) -> None:
    """`num_examples` distinct records, or all there are, reach each cell once, in no more requests than that takes.

    Only the last request of a shape is filled up, with records that have this shape.
    """
    batches = defaultdict(list)
    for cell, batch in deal(cells, num_examples, records, shapes):
        batches[cell, shape(cell, batch[0], shapes)].append(batch)
    wanted: dict[object, list[bytes]] = defaultdict(list)
    for cell in cells:
        for record in records[:num_examples]:
            wanted[cell, shape(cell, record, shapes)].append(record)
    assert set(batches) == set(wanted)
    for (cell, bucket), sent in batches.items():
        flat = [record for batch in sent for record in batch]
        expected = wanted[cell, bucket]
        assert flat[: len(expected)] == expected
        assert (len(sent) - 1) * cell.batch_size < len(expected) <= len(flat)


@given(CELLS, NUM_EXAMPLES, RECORDS, SHAPES)
def test_cells_take_turns(cells: list[options.Cell], num_examples: int, records: list[bytes], shapes: int) -> None:
    """No cell has its next request before each of the others that still wants one had as many."""
    asked: dict[options.Cell, int] = defaultdict(int)
    turns = []
    for cell, _ in deal(cells, num_examples, records, shapes):
        turns.append(asked[cell])
        asked[cell] += 1
    assert turns == sorted(turns)

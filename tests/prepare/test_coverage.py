"""Which records go into which request: laws that hold for any cells and any number of records."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from infraval import spec
from infraval.prepare import coverage

CELLS = st.lists(
    st.builds(spec.Cell, st.sampled_from("abc"), st.sampled_from(spec.Method), st.integers(1, 9)),
    unique=True,
    max_size=6,
)
NUM_EXAMPLES = st.integers(1, 20)
RECORDS = st.integers(1, 20).map(lambda count: [b"%d" % number for number in range(count)])


@given(CELLS, NUM_EXAMPLES, RECORDS)
def test_the_first_requests_touch_every_cell_once(
    cells: list[spec.Cell], num_examples: int, records: list[bytes]
) -> None:
    """A file that is cut behind the first round still covers everything."""
    touched = [cell for cell, _ in coverage.groups(cells, num_examples, records)]
    assert touched[: len(cells)] == cells


@given(CELLS, NUM_EXAMPLES, RECORDS)
def test_every_request_has_the_batch_size_of_its_cell(
    cells: list[spec.Cell], num_examples: int, records: list[bytes]
) -> None:
    """Also where there are fewer records than the batch takes; none comes twice as long as there are enough."""
    for cell, batch in coverage.groups(cells, num_examples, records):
        assert len(batch) == cell.batch_size
        assert len(set(batch)) == min(cell.batch_size, len(records))


@given(CELLS, NUM_EXAMPLES, RECORDS)
def test_every_cell_gets_all_examples_in_the_fewest_requests(
    cells: list[spec.Cell], num_examples: int, records: list[bytes]
) -> None:
    """`num_examples` distinct records, or all there are, reach each cell, and no request more than that takes."""
    batches = defaultdict(list)
    for cell, batch in coverage.groups(cells, num_examples, records):
        batches[cell].append(batch)
    wanted = records[:num_examples]
    assert set(batches) == set(cells)
    for cell, sent in batches.items():
        assert {record for batch in sent for record in batch} >= set(wanted)
        assert (len(sent) - 1) * cell.batch_size < len(wanted) <= len(sent) * cell.batch_size


@given(CELLS, NUM_EXAMPLES, RECORDS)
def test_cells_take_turns(cells: list[spec.Cell], num_examples: int, records: list[bytes]) -> None:
    """No cell has its next request before each of the others that still wants one had as many."""
    asked: dict[spec.Cell, int] = defaultdict(int)
    turns = []
    for cell, _ in coverage.groups(cells, num_examples, records):
        turns.append(asked[cell])
        asked[cell] += 1
    assert turns == sorted(turns)

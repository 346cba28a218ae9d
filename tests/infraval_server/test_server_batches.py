"""Batching: requests that come close together are one batch, and each gets its own rows back."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from infraval_server import batching, status

LONG_US = 60_000_000
"""A batch that is not full would wait for a minute."""

Feeds = list[tuple[str, Any]]


class Graph:
    """Doubles its input `x`, and remembers every batch."""

    def __init__(self) -> None:
        self.batches: list[Any] = []

    def run(self, feeds: Any, fetches: Sequence[str]) -> list[Any]:
        """See `model.Run`."""
        arrays = dict(feeds)
        self.batches.append(arrays["x"])
        return [arrays["x"] * 2 if arrays["x"].dtype != object else arrays["x"] for _ in fetches]


def run_together(run: Any, tasks: Sequence[Feeds], fetches: Sequence[str] = ("y",)) -> list[Any]:
    """The outputs of each task, or the error, all sent at once."""

    def call(feeds: Feeds) -> Any:
        barrier.wait()
        try:
            return run(feeds, fetches)
        except status.StatusError as error:
            return error

    barrier = threading.Barrier(len(tasks))
    with concurrent.futures.ThreadPoolExecutor(len(tasks)) as threads:
        return list(threads.map(call, tasks))


def test_tasks_that_fill_a_batch_run_at_once_and_get_their_own_rows() -> None:
    """Ten tasks of one to four rows are one run of 23 rows; nobody waits for the timeout of a minute."""
    graph = Graph()
    run = batching.wrap(graph.run, batching.Parameters(max_batch_size=23, batch_timeout_micros=LONG_US))
    inputs = [np.full((1 + number % 4, 2), number, np.float32) for number in range(10)]
    outputs = run_together(run, [[("x", array)] for array in inputs])
    assert [batch.shape for batch in graph.batches] == [(23, 2)]
    for sent, (received,) in zip(inputs, outputs, strict=True):
        np.testing.assert_array_equal(received, sent * 2)


def test_a_task_that_does_not_fit_begins_the_next_batch() -> None:
    """No batch is larger than the maximum, and the one before is not kept waiting."""
    graph = Graph()
    run = batching.wrap(graph.run, batching.Parameters(max_batch_size=3, batch_timeout_micros=50_000))
    outputs = run_together(run, [[("x", np.full((2,), number))] for number in range(5)])
    assert [len(batch) for batch in graph.batches] == [2] * 5
    assert [received.tolist() for (received,) in outputs] == [[2 * number] * 2 for number in range(5)]


def test_other_signatures_have_other_batches() -> None:
    """What is fetched decides which tasks may run together, not the order it is asked for in."""
    graph = Graph()
    run = batching.wrap(graph.run, batching.Parameters(max_batch_size=2, batch_timeout_micros=LONG_US))
    tasks = [[("x", np.ones(1))]] * 2
    run_together(run, tasks, ("a", "b"))
    run_together(run, tasks, ("b", "a"))
    run_together(run, tasks, ("a",))
    assert [len(batch) for batch in graph.batches] == [2, 2, 2]


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (np.ones((1, 2)), np.ones((1, 3)), status.Code.FAILED_PRECONDITION),
        (np.ones((1, 2)), np.ones((1, 2, 1)), status.Code.FAILED_PRECONDITION),
        (np.ones((1, 2), np.float32), np.ones((1, 2), np.int32), status.Code.INVALID_ARGUMENT),
    ],
)
def test_what_cannot_be_joined_fails_for_all(first: Any, second: Any, code: status.Code) -> None:
    """One task of another shape or dtype spoils the batch for every other task in it."""
    run = batching.wrap(Graph().run, batching.Parameters(max_batch_size=2, batch_timeout_micros=LONG_US))
    errors = run_together(run, [[("x", first)], [("x", second)]])
    assert [error.code for error in errors] == [code, code]


@pytest.mark.parametrize(
    ("short", "long", "padded"),
    [
        ([[1.0]], [[1.0, 2.0]], [1.0, 0.0]),
        ([[b"a"]], [[b"a", b"b"]], [b"a", b""]),
    ],
)
def test_unequal_rows_are_padded_if_so_configured(short: Any, long: Any, padded: Any) -> None:
    """With pad_variable_length_inputs, shorter rows end in zeros or empty strings."""
    graph = Graph()
    parameters = batching.Parameters(max_batch_size=2, batch_timeout_micros=LONG_US, pad_variable_length_inputs=True)
    dtype = object if isinstance(short[0][0], bytes) else np.float32
    run_together(
        batching.wrap(graph.run, parameters), [[("x", np.array(short, dtype))], [("x", np.array(long, dtype))]]
    )
    (batch,) = graph.batches
    assert padded in batch.tolist()
    assert batch.shape == (2, 2)


def test_a_failure_of_the_graph_reaches_every_task() -> None:
    """All tasks of a batch that failed get its error, each one of its own."""

    def fail(_: Any, __: Any) -> Any:
        raise status.invalid_argument("no")

    run = batching.wrap(fail, batching.Parameters(max_batch_size=3, batch_timeout_micros=LONG_US))
    errors = run_together(run, [[("x", np.ones(1))]] * 3)
    assert [error.message for error in errors] == ["no"] * 3
    assert len({id(error) for error in errors}) == 3

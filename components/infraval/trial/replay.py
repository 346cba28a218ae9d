"""Sends PredictionLogs concurrently, times each, and collects the outcomes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent import futures
from typing import Protocol, TypeAlias

from infraval import errors, evidence, options, redaction
from infraval.requests import prediction_logs
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import client

OVERLOADED = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})
"""Codes with which a healthy server turns requests away if too many come at the same time."""

_NO_THREAD = ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted")
"""What gRPC's server itself answers, without asking the model, if all its threads are busy."""

_MAX_BYTES_AT_ONCE = 32 << 20
"""Requests are sent at the same time while they have no more than this together: each is in memory several times."""


Request: TypeAlias = tuple[options.Cell, prediction_log_pb2.PredictionLog]
"""What to send, and the cell that it belongs to."""


class Requests(Protocol):
    """Requests, each of which may be read when it is asked for: together they may not fit into memory."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, position: int, /) -> Request:
        """The request at a position."""

    def cell(self, position: int, /) -> options.Cell:
        """The cell of the request at a position, without reading it."""


def first_of_each_cell(requests: Requests) -> dict[options.Cell, int]:
    """The position of the first request of each cell, in their order."""
    found: dict[options.Cell, int] = {}
    for position in range(len(requests)):
        found.setdefault(requests.cell(position), position)
    return found


def firsts_before_others(requests: Requests) -> tuple[list[int], int]:
    """All positions, those of the first request of each cell before the others, and how many cells there are."""
    firsts = list(first_of_each_cell(requests).values())
    return [*firsts, *sorted(set(range(len(requests))) - set(firsts))], len(firsts)


class OfLogs:
    """The requests of those logs that TF Serving's warmup replays, read one by one.

    What `constants` names, `SIGNATURE/INPUT` each, is not the batch of the requests.
    """

    def __init__(self, logs: Sequence[prediction_log_pb2.PredictionLog], constants: Collection[str] = ()) -> None:
        self._logs = logs
        cells = ((position, prediction_logs.cell(log, constants)) for position, log in enumerate(logs))
        self._cells = [(position, cell) for position, cell in cells if cell is not None]

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, number: int, /) -> Request:
        position, cell = self._cells[number]
        return cell, self._logs[position]

    def cell(self, number: int, /) -> options.Cell:
        """Known since the logs were given."""
        return self._cells[number][1]


class _Reader:
    """Reads requests, and counts the bytes of those that are being sent."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._turn = threading.Lock()  # of reading: what waits to be sent is in memory too
        self._changed = threading.Condition()
        self._bytes = 0

    @contextlib.contextmanager
    def read(self, position: int) -> Iterator[Request]:
        """A request, once there is room for it beside the others; one that is larger than that has all of it."""
        with self._turn:
            with self._changed:
                self._changed.wait_for(lambda: self._bytes <= _MAX_BYTES_AT_ONCE)
            cell, log = self._requests[position]
            size = log.ByteSize()
            with self._changed:
                self._changed.wait_for(lambda: not self._bytes or self._bytes + size <= _MAX_BYTES_AT_ONCE)
                self._bytes += size
        try:
            yield cell, log
        finally:
            with self._changed:
                self._bytes -= size
                self._changed.notify_all()


class Keeps(Protocol):
    """Gets the answers, from any thread."""

    def add(self, index: int, cell: options.Cell, log: prediction_log_pb2.PredictionLog, content: bytes, /) -> None:
        """The answer to the request at `index`."""


def replay(
    requests: Requests,
    connection: client.Client,
    redactor: redaction.Redactor,
    limits: options.Limits,
    stopped: Callable[[], bool],
    keeper: Keeps | None = None,
    clock: Callable[[], float] = time.perf_counter,
    done: Callable[[], None] = lambda: None,
) -> tuple[evidence.Outcome, ...]:
    """Sends every request once.

    Requests that the server may have turned away because of the others are sent again, one at a time, and the second
    outcome counts. Large ones are not sent at the same time. Once `stopped` says that the server has ended, no more
    requests are sent. Error messages are redacted. `keeper` gets the answers. `clock` says the seconds since the boot
    began. `done` is called after each request, in any thread.

    Returns:
      The outcomes in the order of the requests; fewer than requests if the server ended.

    Raises:
      ServerLostError: the server has no thread for a request, although there is only one.
    """

    def send(position: int, *, alone: bool = False) -> evidence.Outcome | None:
        if stopped():
            return None
        with reader.read(position) as (cell, log):
            started = clock()
            received: list[bytes] = []
            code, message = connection.send(log, limits.request_timeout_s, received.append)
            latency_s = clock() - started
            if keeper is not None and code == evidence.OK:
                keeper.add(position, cell, log, received[0])
            shown = redactor.message(message, log)
        if alone and (code, message) == _NO_THREAD:
            raise errors.ServerLostError(
                "The server has no thread for a single request, so the model cannot be judged. Raise or drop "
                "--grpc_max_threads among --server-argument (server.server_arguments)."
            )
        if not alone:
            done()
        return evidence.Outcome(cell, code, shown, latency_s, started)

    reader = _Reader(requests)
    pool = futures.ThreadPoolExecutor(limits.concurrency, thread_name_prefix="replay")
    try:
        outcomes = list(pool.map(send, range(len(requests))))
    finally:
        # Without waiting: after an exception, running requests end only when the connection is closed.
        pool.shutdown(wait=False, cancel_futures=True)
    for index, outcome in enumerate(outcomes):
        if outcome is not None and outcome.code in OVERLOADED:
            outcomes[index] = send(index, alone=True) or outcome
    return tuple(outcome for outcome in outcomes if outcome is not None)

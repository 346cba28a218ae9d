"""Sending requests as they are due, and waiting for their answers."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import itertools
import queue
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from infraval import evidence, options
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import client, replay, tallies

LATE_S = 0.01
"""A request is late if it is sent this long after it was due."""

_MAX_BYTES = 64 << 20
"""Requests that are kept ready to be sent; each cell has at least one, unless that alone is too much."""

_MOST_IN_FLIGHT, _MAX_BYTES_IN_FLIGHT = 10_000, 256 << 20
"""In an open loop, what is due while this is in flight is dropped: it would only fill the client's memory."""

_CHECK_S = 0.1
"""How often to see whether the server lives and the job goes on."""


class Connection(Protocol):
    """A connection to a server, whatever the requests look like there."""

    most_at_once: int
    """Requests that may be in flight."""

    def prepare(self, log: prediction_log_pb2.PredictionLog) -> client.Prepared:
        """The request of a log, ready to be sent many times."""

    def start(self, prepared: client.Prepared, timeout_s: float, on_end: Callable[[str, str], object]) -> None:
        """Sends it without waiting; `on_end` gets a status code's name and a message, once, from any thread."""


@dataclasses.dataclass(frozen=True)
class Ready:
    """A request to be sent many times: the number of its cell, and its position among the requests."""

    cell: int
    position: int
    prepared: client.Prepared


def prepare(
    requests: replay.Requests, connection: Connection, only: Collection[options.Cell] | None = None
) -> tuple[list[Ready], list[options.Cell], int]:
    """The requests that fit into memory, in the order in which to send them: cells take turns.

    With `only`, those of these cells.

    Returns:
      The requests, their cells, and how many cells have none that fits.
    """
    positions, cell_count = replay.firsts_before_others(requests)
    ready: dict[options.Cell, list[tuple[int, client.Prepared]]] = {}
    size = 0
    for position in positions:
        if only is not None and requests.cell(position) not in only:
            continue
        cell, log = requests[position]
        prepared = connection.prepare(log)
        if ready and size + len(prepared.content) > _MAX_BYTES:
            continue
        size += len(prepared.content)
        ready.setdefault(cell, []).append((position, prepared))
    cells = list(ready)
    turns = max((len(each) for each in ready.values()), default=0)
    ordered = [
        Ready(number, *ready[cell][turn % len(ready[cell])])
        for turn in range(turns)
        for number, cell in enumerate(cells)
    ]
    return ordered, cells, cell_count - len(cells)


class Sender:
    """Sends requests, and gives those that ended to the counts."""

    def __init__(
        self,
        ready: Sequence[Ready],
        connection: Connection,
        asked: options.LatencyGate,
        timeout_s: float,
        rng: random.Random,
        stopped: Callable[[], bool],
        counts: tallies.Counts,
    ) -> None:
        self._turns = itertools.cycle(ready)
        self._connection = connection
        self._asked = asked
        self._timeout_s = timeout_s
        self._random = rng
        self._stopped = stopped
        self.counts = counts
        largest = max(len(each.prepared.content) for each in ready)
        self._most_in_flight = max(
            1, min(_MOST_IN_FLIGHT, connection.most_at_once, _MAX_BYTES_IN_FLIGHT // max(1, largest))
        )
        self._ended: queue.SimpleQueue[tallies.Ended] = queue.SimpleQueue()
        self._lags = tallies.empty_histogram()
        self._in_flight = self._sent = self._late = self.dropped = 0
        self._seconds = 0.0
        self._next_check_s = 0.0
        self.is_over = False

    def send_until(self, end_s: float, *, looks: bool = True) -> None:
        """Sends, and waits for the answers; with `looks`, it may end once the bars seem to be decided."""
        started_s = time.perf_counter()
        self._send_until(end_s, looks=looks)
        self._seconds += time.perf_counter() - started_s
        self.drain()
        self.is_over = self.is_over or bool(self.counts.errors)

    def drain(self) -> None:
        """Waits for what is in flight, which counts too: slow requests are more often in flight than quick ones."""
        while self._in_flight and not self._check():
            self._wait(_CHECK_S)

    def found(self, left_out: int) -> evidence.Load:
        """As evidence."""
        lags = self._lags
        return evidence.Load(
            overall=self.counts.overall.found(),
            cells=tuple(tally.found() for tally in self.counts.cells),
            sent=self._sent,
            settling=self.counts.settling,
            steady=self.counts.steady,
            errors=dict(self.counts.errors),
            late=self._late,
            dropped=self.dropped,
            lag_p99_s=lags.get_value_at_percentile(99) / 1e6 if self._sent else 0.0,
            lag_max_s=lags.get_max_value() / 1e6 if self._sent else 0.0,
            seconds=self._seconds,
            cells_left_out=left_out,
            points=self.counts.series.points(),
        )

    def _send_until(self, end_s: float, *, looks: bool) -> None:
        asked = self._asked
        due_s = time.perf_counter() + self._gap_s()
        while (now_s := time.perf_counter()) < end_s and not self._check():
            while not self._ended.empty():
                self._take(self._ended.get_nowait())
            if self.counts.errors or (looks and self.counts.decided_at_look()):
                return
            if asked.rate is None:
                if self._in_flight < (asked.concurrency or 1):
                    self._send(time.perf_counter())
                else:
                    self._wait(min(end_s - now_s, _CHECK_S))
            elif due_s <= now_s:
                if self._in_flight < self._most_in_flight:
                    self._send(due_s)
                else:
                    self.dropped += 1
                due_s += self._gap_s()
            else:
                self._wait(min(due_s - now_s, end_s - now_s, _CHECK_S))

    def _gap_s(self) -> float:
        """Seconds between two requests in an open loop."""
        if self._asked.rate is None:
            return 0.0
        poisson = self._asked.arrivals == "poisson"
        return self._random.expovariate(self._asked.rate) if poisson else 1 / self._asked.rate

    def _send(self, due_s: float) -> None:
        ready, ended = next(self._turns), self._ended
        sent_s = time.perf_counter()

        def on_end(code: str, message: str) -> None:
            ended.put(tallies.Ended(ready.cell, ready.position, due_s, sent_s, time.perf_counter(), code, message))

        self._in_flight += 1
        self._sent += 1
        self._late += sent_s - due_s > LATE_S
        self._lags.record_value(max(1, round((sent_s - due_s) * 1e6)))
        self._connection.start(ready.prepared, self._timeout_s, on_end)

    def _wait(self, seconds: float) -> None:
        """Waits until a request has ended, but not longer."""
        with contextlib.suppress(queue.Empty):
            self._take(self._ended.get(timeout=seconds))

    def _take(self, ended: tallies.Ended) -> None:
        self._in_flight -= 1
        self.counts.add(ended)

    def _check(self) -> bool:
        """Whether the server or the job has ended."""
        now_s = time.perf_counter()
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + _CHECK_S
            self.is_over = self.is_over or self._stopped()
        return self.is_over


@contextlib.contextmanager
def short_collections() -> Iterator[None]:
    """Keeps the garbage collector from what exists already, which takes it up to a tenth of a second each time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

"""Times the first request of every cell after a boot, and repeated ones until they are steady."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Sequence

from infraval import evidence, options
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import client, counters, replay

_WINDOW = 5
"""Requests of a window, of which the median counts."""

_WINDOWS = 3
"""A latency is steady if this many windows in a row are within `_TOLERANCE` of each other."""

_TOLERANCE = 0.1

_CELL_S, _ALL_S = 0.3, 3.0
"""How long to repeat one request, and those of all cells; the request that is running then is the last."""


def measure(
    requests: replay.Requests,
    connection: client.Client,
    timeout_s: float,
    repeated: Collection[options.Cell] | None = None,
    count: Callable[[], evidence.Counters | None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[evidence.Latency, ...]:
    """Times the first request of every cell, and then the same one repeatedly, one at a time.

    Must come before any other request of the boot. Each request may take `timeout_s`; after one that takes longer,
    nothing more is sent. Only cells in `repeated` are repeated, by default all. `count` says what the server has
    counted: it is asked before and after each first request. `clock` says the seconds since the boot began.

    Returns:
      The latencies by cell, without cells that were not repeated, or whose first or second request was not answered.
    """
    first_of = replay.first_of_each_cell(requests)
    firsts = {}
    sent = {}
    moved = {}
    before = count()
    for cell, position in first_of.items():
        _, log = requests[position]
        started = clock()
        code, _ = connection.send(log, timeout_s)
        if code == evidence.OK:
            firsts[cell], sent[cell] = clock() - started, started
        elif code == evidence.LATE:
            return ()
        after = count()
        moved[cell] = counters.moved(before, after)
        before = after
    latencies = []
    again = [cell for cell in firsts if repeated is None or cell in repeated]
    for cell in again:
        _, log = requests[first_of[cell]]
        seconds = _repeat(log, connection, timeout_s, min(_CELL_S, _ALL_S / len(again)), clock)
        if seconds:
            steady = statistics.median(seconds[-_WINDOWS * _WINDOW :])
            latencies.append(
                evidence.Latency(
                    cell,
                    firsts[cell],
                    steady,
                    _is_steady(seconds),
                    max(seconds),
                    first_sent_s=sent[cell],
                    **moved[cell],
                )
            )
    return tuple(latencies)


def _repeat(
    log: prediction_log_pb2.PredictionLog,
    connection: client.Client,
    timeout_s: float,
    budget_s: float,
    clock: Callable[[], float],
) -> list[float]:
    """Seconds of each request, until they are steady, one fails, or the budget is used up."""
    seconds: list[float] = []
    end = clock() + budget_s
    while not seconds or clock() < end:
        started = clock()
        code, _ = connection.send(log, timeout_s)
        if code != evidence.OK:
            break  # the next ones may each take `timeout_s` too
        seconds.append(clock() - started)
        if len(seconds) >= _WINDOWS * _WINDOW and _is_steady(seconds):
            break
    return seconds


def _is_steady(seconds: Sequence[float]) -> bool:
    """Whether the medians of the last windows are close; the windows are smaller if there are few requests."""
    size = min(_WINDOW, len(seconds) // _WINDOWS)
    if not size:
        return False
    last = seconds[-size * _WINDOWS :]
    medians = [statistics.median(last[start : start + size]) for start in range(0, len(last), size)]
    return max(medians) <= (1 + _TOLERANCE) * min(medians)

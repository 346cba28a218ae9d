"""Times the first request of every cell after a boot, and steady ones."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable

from tensorflow_serving.apis import prediction_log_pb2

from infraval import evidence, options
from infraval.requests import prediction_logs
from infraval.trial import client

_REPEATS = 20
"""Requests after the first one that a steady latency is the median of."""


def measure(
    logs: Iterable[prediction_log_pb2.PredictionLog],
    connection: client.Client,
    timeout_s: float,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[evidence.Latency, ...]:
    """Times the first request of every cell and then the same one again and again, one at a time.

    Must come before any other request of the boot.

    Args:
      logs: the first one of each cell is sent.
      connection: to the served model.
      timeout_s: seconds that each request may take.
      clock: seconds.

    Returns:
      The latencies by cell; cells whose first request is not answered are missing.
    """
    first_of: dict[options.Cell | None, prediction_log_pb2.PredictionLog] = {}
    for log in logs:
        first_of.setdefault(prediction_logs.cell(log), log)
    firsts = {}
    for cell, log in first_of.items():
        started = clock()
        code, _ = connection.send(log, timeout_s)
        if code == evidence.OK and cell is not None:
            firsts[cell] = clock() - started
    latencies = []
    for cell, first_s in firsts.items():
        repeats = []
        for _ in range(_REPEATS):
            started = clock()
            connection.send(first_of[cell], timeout_s)
            repeats.append(clock() - started)
        latencies.append(evidence.Latency(cell, first_s, statistics.median(repeats)))
    return tuple(latencies)

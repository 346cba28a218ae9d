"""Sends PredictionLogs concurrently, times each, collects what became of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from concurrent import futures

from tensorflow_serving.apis import prediction_log_pb2

from infraval import options, redaction, verdict
from infraval.requests import prediction_logs
from infraval.trial import client

_REPEATS = 20
"""Requests behind the first one that a steady latency is the median of."""


def measure(
    logs: Iterable[prediction_log_pb2.PredictionLog],
    connection: client.Client,
    validation: options.ValidationSpec,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[verdict.Latency, ...]:
    """Times the first request of every cell and then the same one again and again, one at a time.

    Args:
      logs: the first one of each cell is sent; has to come before any other request of the boot.
      connection: to the served model.
      validation: how long each request may take.
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
        code, _ = connection.send(log, validation.request_timeout_s)
        if code == "OK" and cell is not None:
            firsts[cell] = clock() - started
    latencies = []
    for cell, first_s in firsts.items():
        repeats = []
        for _ in range(_REPEATS):
            started = clock()
            connection.send(first_of[cell], validation.request_timeout_s)
            repeats.append(clock() - started)
        latencies.append(verdict.Latency(cell, first_s, statistics.median(repeats)))
    return tuple(latencies)


def replay(
    logs: Iterable[prediction_log_pb2.PredictionLog],
    connection: client.Client,
    redactor: redaction.Redactor,
    validation: options.ValidationSpec,
    stopped: Callable[[], bool],
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[verdict.Outcome, ...]:
    """Sends every request once.

    Args:
      logs: the requests; kinds that TF Serving's warmup does not replay are passed over.
      connection: to the served model.
      redactor: every error text passes it.
      validation: how many requests at once, and how long each may take.
      stopped: whether the server has ended; the requests not yet sent then stay unsent.
      clock: seconds, for the latencies.

    Returns:
      The outcomes in the order of the logs; fewer than logs if the server ended.
    """

    def send(log: prediction_log_pb2.PredictionLog) -> verdict.Outcome | None:
        cell = prediction_logs.cell(log)
        if cell is None or stopped():
            return None
        started = clock()
        code, message = connection.send(log, validation.request_timeout_s)
        return verdict.Outcome(cell, code, redactor.message(message, log), clock() - started)

    pool = futures.ThreadPoolExecutor(validation.concurrency, thread_name_prefix="replay")
    try:
        return tuple(outcome for outcome in pool.map(send, logs) if outcome is not None)
    finally:
        # Not waited for: after an exception the requests under way end with the connection, not before.
        pool.shutdown(wait=False, cancel_futures=True)

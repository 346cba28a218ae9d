"""Sends PredictionLogs concurrently, times each, and collects the outcomes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent import futures

from tensorflow_serving.apis import prediction_log_pb2

from infraval import evidence, options, redaction
from infraval.requests import prediction_logs
from infraval.trial import client


def replay(
    logs: Iterable[prediction_log_pb2.PredictionLog],
    connection: client.Client,
    redactor: redaction.Redactor,
    limits: options.Limits,
    stopped: Callable[[], bool],
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[evidence.Outcome, ...]:
    """Sends every request once, except kinds that TF Serving's warmup does not replay.

    Once `stopped` says that the server has ended, no more requests are sent. Error messages are redacted.

    Returns:
      The outcomes in the order of the logs; fewer than logs if the server ended.
    """

    def send(log: prediction_log_pb2.PredictionLog) -> evidence.Outcome | None:
        cell = prediction_logs.cell(log)
        if cell is None or stopped():
            return None
        started = clock()
        code, message = connection.send(log, limits.request_timeout_s)
        return evidence.Outcome(cell, code, redactor.message(message, log), clock() - started)

    pool = futures.ThreadPoolExecutor(limits.concurrency, thread_name_prefix="replay")
    try:
        return tuple(outcome for outcome in pool.map(send, logs) if outcome is not None)
    finally:
        # Without waiting: after an exception, running requests end only when the connection is closed.
        pool.shutdown(wait=False, cancel_futures=True)

"""Sends PredictionLogs concurrently, times each, and collects the outcomes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from concurrent import futures

from tensorflow_serving.apis import prediction_log_pb2

from infraval import errors, evidence, options, redaction
from infraval.requests import prediction_logs
from infraval.trial import client

_OVERLOADED = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})
"""Codes with which a healthy server turns requests away if too many come at the same time."""

_NO_THREAD = ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted")
"""What gRPC's server itself answers, without asking the model, if all its threads are busy."""


def replay(
    logs: Iterable[prediction_log_pb2.PredictionLog],
    connection: client.Client,
    redactor: redaction.Redactor,
    limits: options.Limits,
    stopped: Callable[[], bool],
    clock: Callable[[], float] = time.perf_counter,
    constants: Collection[str] = (),
) -> tuple[evidence.Outcome, ...]:
    """Sends every request once, except kinds that TF Serving's warmup does not replay.

    Requests that the server may have turned away because of the others are sent again, one at a time, and the second
    outcome counts. Once `stopped` says that the server has ended, no more requests are sent. Error messages are
    redacted. What `constants` names, `SIGNATURE/INPUT` each, is not the batch.

    Returns:
      The outcomes in the order of the logs; fewer than logs if the server ended.

    Raises:
      ServerLostError: the server has no thread for a request, although there is only one.
    """

    def send(log: prediction_log_pb2.PredictionLog, *, alone: bool = False) -> evidence.Outcome | None:
        cell = prediction_logs.cell(log, constants)
        if cell is None or stopped():
            return None
        started = clock()
        code, message = connection.send(log, limits.request_timeout_s)
        if alone and (code, message) == _NO_THREAD:
            raise errors.ServerLostError(
                "The server has no thread for a single request, so the model cannot be judged. Raise or drop "
                "--grpc_max_threads among --server-argument (server.server_arguments)."
            )
        return evidence.Outcome(cell, code, redactor.message(message, log), clock() - started)

    logs = list(logs)
    pool = futures.ThreadPoolExecutor(limits.concurrency, thread_name_prefix="replay")
    try:
        outcomes = list(pool.map(send, logs))
    finally:
        # Without waiting: after an exception, running requests end only when the connection is closed.
        pool.shutdown(wait=False, cancel_futures=True)
    for index, outcome in enumerate(outcomes):
        if outcome is not None and outcome.code in _OVERLOADED:
            outcomes[index] = send(logs[index], alone=True) or outcome
    return tuple(outcome for outcome in outcomes if outcome is not None)

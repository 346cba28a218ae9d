"""Sends PredictionLogs concurrently, times each, and collects the outcomes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import TypeAlias

from infraval import errors, evidence, options, redaction
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import client, responses

_OVERLOADED = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})
"""Codes with which a healthy server turns requests away if too many come at the same time."""

_NO_THREAD = ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted")
"""What gRPC's server itself answers, without asking the model, if all its threads are busy."""


Request: TypeAlias = tuple[options.Cell, prediction_log_pb2.PredictionLog]
"""What to send, and the cell that it belongs to."""


def replay(
    requests: Sequence[Request],
    connection: client.Client,
    redactor: redaction.Redactor,
    limits: options.Limits,
    stopped: Callable[[], bool],
    keeper: responses.Keeper | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[evidence.Outcome, ...]:
    """Sends every request once.

    Requests that the server may have turned away because of the others are sent again, one at a time, and the second
    outcome counts. Once `stopped` says that the server has ended, no more requests are sent. Error messages are
    redacted. `keeper` gets the answers.

    Returns:
      The outcomes in the order of the requests; fewer than requests if the server ended.

    Raises:
      ServerLostError: the server has no thread for a request, although there is only one.
    """

    def send(index: int, request: Request, *, alone: bool = False) -> evidence.Outcome | None:
        if stopped():
            return None
        cell, log = request
        started = clock()
        received: list[bytes] = []
        code, message = connection.send(log, limits.request_timeout_s, received.append)
        latency_s = clock() - started
        if keeper is not None and code == evidence.OK:
            keeper.add(index, cell, log, received[0])
        if alone and (code, message) == _NO_THREAD:
            raise errors.ServerLostError(
                "The server has no thread for a single request, so the model cannot be judged. Raise or drop "
                "--grpc_max_threads among --server-argument (server.server_arguments)."
            )
        return evidence.Outcome(cell, code, redactor.message(message, log), latency_s)

    pool = futures.ThreadPoolExecutor(limits.concurrency, thread_name_prefix="replay")
    try:
        outcomes = list(pool.map(send, itertools.count(), requests))
    finally:
        # Without waiting: after an exception, running requests end only when the connection is closed.
        pool.shutdown(wait=False, cancel_futures=True)
    for index, outcome in enumerate(outcomes):
        if outcome is not None and outcome.code in _OVERLOADED:
            outcomes[index] = send(index, requests[index], alone=True) or outcome
    return tuple(outcome for outcome in outcomes if outcome is not None)

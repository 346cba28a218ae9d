"""Times the first request of every cell after a boot, and repeated ones."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterable

from tensorflow_serving.apis import prediction_log_pb2

from infraval import evidence, options
from infraval.requests import prediction_logs
from infraval.trial import client

_REPEATS = 20
"""A steady latency is the median of this many requests after the first one, or of fewer if one of them fails."""


def measure(
    logs: Iterable[prediction_log_pb2.PredictionLog],
    connection: client.Client,
    timeout_s: float,
    clock: Callable[[], float] = time.perf_counter,
    constants: Collection[str] = (),
) -> tuple[evidence.Latency, ...]:
    """Times the first request of every cell, and then the same one repeatedly, one at a time.

    Must come before any other request of the boot. Of `logs`, the first one of each cell is sent; each request may take
    `timeout_s`. What `constants` names, `SIGNATURE/INPUT` each, is not the batch.

    Returns:
      The latencies by cell, without cells whose first or second request was not answered.
    """
    first_of: dict[options.Cell | None, prediction_log_pb2.PredictionLog] = {}
    for log in logs:
        first_of.setdefault(prediction_logs.cell(log, constants), log)
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
            code, _ = connection.send(first_of[cell], timeout_s)
            if code != evidence.OK:
                break  # the next ones may each take `timeout_s` too
            repeats.append(clock() - started)
        if repeats:
            latencies.append(evidence.Latency(cell, first_s, statistics.median(repeats)))
    return tuple(latencies)

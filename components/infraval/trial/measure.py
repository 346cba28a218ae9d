"""Times the first request of every cell after a boot, and repeated ones."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from infraval import evidence, options
from infraval.trial import client, replay

_REPEATS = 20
"""A steady latency is the median of this many requests after the first one, or of fewer if one of them fails."""


def measure(
    requests: replay.Requests,
    connection: client.Client,
    timeout_s: float,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[evidence.Latency, ...]:
    """Times the first request of every cell, and then the same one repeatedly, one at a time.

    Must come before any other request of the boot. Each request may take `timeout_s`.

    Returns:
      The latencies by cell, without cells whose first or second request was not answered.
    """
    first_of: dict[options.Cell, int] = {}
    for position in range(len(requests)):
        first_of.setdefault(requests[position][0], position)
    firsts = {}
    for cell, position in first_of.items():
        _, log = requests[position]
        started = clock()
        code, _ = connection.send(log, timeout_s)
        if code == evidence.OK:
            firsts[cell] = clock() - started
    latencies = []
    for cell, first_s in firsts.items():
        _, log = requests[first_of[cell]]
        repeats = []
        for _ in range(_REPEATS):
            started = clock()
            code, _ = connection.send(log, timeout_s)
            if code != evidence.OK:
                break  # the next ones may each take `timeout_s` too
            repeats.append(clock() - started)
        if repeats:
            latencies.append(evidence.Latency(cell, first_s, statistics.median(repeats)))
    return tuple(latencies)

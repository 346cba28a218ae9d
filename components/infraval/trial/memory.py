"""Watches the memory of a server of its own while it answers many requests."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import numpy as np

from infraval import evidence, options
from infraval.trial import boot, replay

_SAMPLES = 50
_MIN_SAMPLES = 10

_SETTLING = 0.2
"""Share of the requests that come first and do not count for the slope: allocators and caches still fill."""

_MAX_REQUESTS = 64
"""Different requests that are sent in turn; they are kept in memory."""


def watch(
    asked: options.MemoryGate,
    requests: replay.Requests,
    booter: boot.Booter,
    clock: Callable[[], float] = time.perf_counter,
) -> evidence.MemoryUse | None:
    """Boots the model once more, and sends requests one after the other.

    Returns:
      What was measured; None if the sandbox does not know the server's memory, or the server did not live to the end.

    Raises:
      SandboxError: the server could not be booted, and the model is not the cause.
      UnregisteredOpError: the embedded server cannot judge this model.
      AbortedError: `abort` of the booter was called.
    """
    found: list[evidence.MemoryUse] = []

    def study(serving: boot.Serving) -> None:
        measured = _measure(asked, serving, booter, clock)
        if measured is not None:
            found.append(measured)

    booter.progress(f"Watching the server's memory over {asked.requests} requests")
    booter.boot_until_definite(requests, replayed=False, studies=[study])
    return found[-1] if found else None


def _measure(
    asked: options.MemoryGate, serving: boot.Serving, booter: boot.Booter, clock: Callable[[], float]
) -> evidence.MemoryUse | None:
    after_load = at_end = serving.sandbox.memory()
    if after_load is None:
        return None
    logs = [serving.requests[position][1] for position in range(min(len(serving.requests), _MAX_REQUESTS))]
    every = max(1, asked.requests // _SAMPLES)
    end_s = clock() + asked.budget_s
    samples: list[tuple[int, int]] = []
    sent = 0
    for log in itertools.islice(itertools.cycle(logs), asked.requests):
        booter.check_aborted()
        serving.connection.send(log, booter.limits.request_timeout_s)
        sent += 1
        last = sent == asked.requests or clock() >= end_s
        if sent % every == 0 or last:
            at_end = serving.sandbox.memory()
            if at_end is None:
                return None
            known = at_end.anonymous_bytes
            samples.append((sent, at_end.resident_bytes if known is None else known))
        if last:
            break
    slope, error = slope_per_1000([sample for sample in samples if sample[0] > _SETTLING * sent])
    return evidence.MemoryUse(after_load, at_end, sent, slope, error)


def slope_per_1000(samples: Sequence[tuple[int, int]]) -> tuple[float | None, float | None]:
    """The least-squares slope of (requests, bytes), in bytes per 1000 requests, and its standard error.

    None each if there are too few samples.
    """
    if len(samples) < _MIN_SAMPLES:
        return None, None
    x, y = np.array(samples, np.float64).T
    x = (x - x.mean()) / 1000
    spread = float(x @ x)
    slope = float(x @ (y - y.mean())) / spread
    rest = y - y.mean() - slope * x
    return slope, float(np.sqrt(rest @ rest / (len(samples) - 2) / spread))

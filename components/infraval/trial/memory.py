"""Watches the memory of a server while it answers many requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from infraval import evidence, options
from infraval.trial import blame, boot

_SAMPLES = 50

_MIN_SAMPLES = 10
"""Samples that a slope takes at least."""

_SETTLING_SHARE = 0.2
"""The part of the samples that comes first and does not count for the slope: allocators and caches still fill."""

_ROUNDS = 2
"""How often to measure a slope that is above the bar: memory that is taken once, in one step, is not a leak."""


class Study:
    """A `boot.Study` that keeps `found`; None if the memory is unknown.

    Args:
      asked: how many requests, for how long, and the bar.
      booter: of the server.
      clock: seconds.
    """

    def __init__(
        self, asked: options.MemoryGate, booter: boot.Booter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.found: evidence.MemoryUse | None = None
        self._asked = asked
        self._booter = booter
        self._clock = clock

    def __call__(self, serving: boot.Serving) -> None:
        """Sends the requests over and over, one at a time.

        Raises:
          ServerLostError: the server was killed from outside.
        """
        self.found = None
        before = serving.sandbox.memory()
        if before is None or not len(serving.requests):
            return
        self._booter.progress(f"Watching the server's memory over {self._asked.requests} requests")
        serving.times.begin("many requests")
        samples = [(0, before)]
        end_s = self._clock() + self._asked.budget_s
        slopes: list[tuple[float, float]] = []
        failed = None
        for _ in range(_ROUNDS):
            start = len(samples)
            failed = self._send(serving, samples, end_s)
            settled = samples[start:][int(_SETTLING_SHARE * (len(samples) - start)) :]
            slope = slope_per_1000([(sent, _leakable(memory)) for sent, memory in settled])
            if slope is not None:
                slopes.append(slope)
            if failed or slope is None or not self._is_above(slope[0]) or self._clock() >= end_s:
                break
        growth, error = min(slopes, default=(None, None))
        sent, after = samples[-1]
        outcomes = [] if failed is None else [failed]
        death = blame.death_while_serving(
            serving.sandbox, outcomes, self._booter.redactor, serving.connection.available
        )
        self.found = evidence.MemoryUse(
            after_requests=before,
            at_end=after,
            peak_bytes=max(memory.peak_bytes or memory.resident_bytes for _, memory in samples),
            requests=sent,
            growth_bytes_per_1000=growth,
            growth_error=error,
            failure=death or (failed.code if failed else None),
        )

    def _is_above(self, slope: float) -> bool:
        bar = self._asked.growth_bytes_per_1000
        return bar is not None and slope > bar

    def _send(
        self, serving: boot.Serving, samples: list[tuple[int, evidence.Memory]], end_s: float
    ) -> evidence.Outcome | None:
        """Sends as many requests as asked for, at most until `end_s`; adds samples, with the number of requests so far.

        Returns:
          The outcome of the first request that failed, which is the last one that is sent.
        """
        begin, asked = samples[-1][0], self._asked
        every, every_s = max(1, asked.requests // _SAMPLES), asked.budget_s / _SAMPLES
        due_s = self._clock() + every_s
        for number in range(1, asked.requests + 1):
            cell, log = serving.requests[(begin + number) % len(serving.requests)]
            code, _ = serving.connection.send(log, self._booter.limits.request_timeout_s)
            self._booter.check_aborted()
            if code != evidence.OK:
                return evidence.Outcome(cell, code, "", 0.0)
            now_s = self._clock()
            if number % every == 0 or now_s >= min(due_s, end_s):
                memory = serving.sandbox.memory()
                if memory is not None:
                    samples.append((begin + number, memory))
                due_s = now_s + every_s
            if now_s >= end_s:
                return None
        return None


def slope_per_1000(samples: Sequence[tuple[int, int]]) -> tuple[float, float] | None:
    """The least-squares slope of (requests, bytes), in bytes per 1000 requests, and its standard error.

    None if there are too few samples. The numbers of requests must differ.
    """
    if len(samples) < _MIN_SAMPLES:
        return None
    requests, size = np.array(samples, np.float64).T
    requests = (requests - requests.mean()) / 1000
    size -= size.mean()
    spread = requests @ requests
    slope = requests @ size / spread
    rest = size - slope * requests
    return float(slope), float(np.sqrt(rest @ rest / (len(samples) - 2) / spread))


def _leakable(memory: evidence.Memory) -> int:
    """Anonymous bytes: what is mapped from files may be dropped and read again."""
    return memory.resident_bytes if memory.anonymous_bytes is None else memory.anonymous_bytes

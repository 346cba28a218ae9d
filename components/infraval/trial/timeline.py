"""When a boot did what, and how much memory its server took meanwhile, on one clock."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from infraval import evidence

MOST_SAMPLES = 400

_SHORTEST_S = 0.1
"""Between two samples; twice as long each time that there are too many."""

_SHARE, _SHARE_OF_A_LOAD = 0.002, 0.05
"""The most of the time that may go into samples. Little, because they delay the requests that are timed meanwhile."""


class Recorder:
    """Notes phases, of which `load` is the first, and samples memory.

    Args:
      started_s: when the boot began, by the clock.
      clock: seconds.
    """

    def __init__(self, started_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._started_s = started_s
        self._clock = clock
        self._begun: list[tuple[str, float]] = [("load", 0.0)]
        self._memory: list[evidence.MemorySample] = []
        self._shortest_s = _SHORTEST_S
        self._turn = threading.Lock()
        self._read: Callable[[], evidence.Memory | None] = lambda: None

    def now_s(self) -> float:
        """Seconds since the boot began."""
        return self._clock() - self._started_s

    def begin(self, phase: str) -> float:
        """Begins a phase, and so ends the one before, unless it is that one; returns when it is."""
        now_s = self.now_s()
        if self._begun[-1][0] != phase:
            self._begun.append((phase, now_s))
        self.sample()
        return now_s

    def sample(self) -> evidence.Memory | None:
        """The memory that the server takes now; None if it is not watched, or unknown."""
        memory = self._read()
        if memory is not None:
            with self._turn:
                self._memory.append(evidence.MemorySample(self.now_s(), memory.resident_bytes, memory.anonymous_bytes))
                if len(self._memory) > MOST_SAMPLES:
                    del self._memory[1::2]
                    self._shortest_s *= 2
        return memory

    @contextlib.contextmanager
    def watching(self, read: Callable[[], evidence.Memory | None]) -> Iterator[None]:
        """Samples what `read` says, in a thread of its own; but not while first requests are timed."""
        ended = threading.Event()
        self._read = read

        def watch() -> None:
            pause_s = 0.0
            while not ended.wait(max(pause_s, self._shortest_s)):
                phase, _ = self._begun[-1]
                if phase == "first requests":
                    continue
                began_s = time.perf_counter()
                self.sample()
                share = _SHARE_OF_A_LOAD if phase == "load" else _SHARE
                pause_s = (time.perf_counter() - began_s) / share

        thread = threading.Thread(target=watch, name="memory", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._read = lambda: None

    def found(self, warmup_s: float = 0.0) -> evidence.Timeline:
        """As evidence, until now; of the load, the last `warmup_s` are the warmup."""
        ends_s = [start_s for _, start_s in self._begun[1:]] + [self.now_s()]
        phases: list[evidence.Phase] = []
        for (name, start_s), end_s in zip(self._begun, ends_s, strict=True):
            if name == "load" and warmup_s > 0:
                begins_s = max(start_s, end_s - warmup_s)
                phases.append(evidence.Phase("load", start_s, begins_s - start_s))
                phases.append(evidence.Phase("warmup", begins_s, end_s - begins_s))
            else:
                phases.append(evidence.Phase(name, start_s, end_s - start_s))
        with self._turn:
            return evidence.Timeline(tuple(phases), tuple(self._memory))

"""Gate: the server takes little memory, and does not take more and more."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from infraval import evidence, options, verdict

_ERRORS = 2.0
"""Standard errors that a slope must be away from the bar."""


@dataclasses.dataclass(frozen=True)
class Memory:
    """Passes a model whose server stays below the bars.

    Attributes:
      options: the bars.
    """

    options: options.MemoryGate
    name: ClassVar[str] = "memory"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """The peak in bytes; the other bars have reasons."""
        used, loaded = shown.memory, shown.boot.memory
        if not shown.boot.answered_all:
            reason = "The model was not loaded, or not every request was answered."
            return verdict.Finding(self.name, verdict.Status.SKIPPED, (reason,))
        if loaded is None or (used is None and shown.requests):
            reason = "The memory of the server is unknown. Validate again, or on another platform."
            return verdict.Finding(self.name, verdict.Status.UNDECIDED, (reason,))
        asked = self.options
        peak = max(loaded.peak_bytes or loaded.resident_bytes, used.peak_bytes if used else 0)
        failed = [
            f"The server took {value} bytes of memory {when}, and gates.memory.{name} is {bar}."
            for name, when, value, bar in (
                ("peak_bytes", "at its peak", peak, asked.peak_bytes),
                ("after_load_bytes", "after the load", loaded.resident_bytes, asked.after_load_bytes),
            )
            if bar is not None and value > bar
        ]
        undecided: list[str] = []
        if used is not None and used.failure is not None:
            failed.append(
                f"When requests were sent again to watch the memory, one failed or the server died: {used.failure}."
            )
        elif used is not None and asked.growth_bytes_per_1000 is not None:
            status, reasons = _growth(used, asked.growth_bytes_per_1000)
            (failed if status is verdict.Status.FAILED else undecided).extend(reasons)
        status = verdict.Status.FAILED if failed else verdict.Status.UNDECIDED if undecided else verdict.Status.PASSED
        return verdict.Finding(self.name, status, (*failed, *undecided), peak, asked.peak_bytes, "bytes")


def _growth(used: evidence.MemoryUse, bar: int) -> tuple[verdict.Status, tuple[str, ...]]:
    """Whether the server grows too fast."""
    slope, error = used.growth_bytes_per_1000, used.growth_error
    more = "Raise gates.memory.requests or gates.memory.budget_s."
    if slope is None or error is None:
        reason = f"{used.requests} requests are too few to tell whether the server's memory grows. {more}"
        return verdict.Status.UNDECIDED, (reason,)
    said = (
        f"{slope:.0f} bytes (standard error {error:.0f}) in 1000 requests, measured over {used.requests}, and "
        f"gates.memory.growth_bytes_per_1000 is {bar}."
    )
    if slope - _ERRORS * error > bar:
        return verdict.Status.FAILED, (f"The server's memory grows by {said}",)
    if slope + _ERRORS * error > bar:
        return verdict.Status.UNDECIDED, (f"The server's memory may grow by {said} {more}",)
    return verdict.Status.PASSED, ()

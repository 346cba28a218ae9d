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
        """The peak in bytes; other bars have reasons."""
        used = shown.memory
        if used is None:
            if not shown.boot.answered_all or not shown.requests:
                reason = "There were no requests, or not all were answered."
                return verdict.Finding(self.name, verdict.Status.SKIPPED, (reason,))
            reason = "The memory of the server could not be measured. Validate again, or with another sandbox."
            return verdict.Finding(self.name, verdict.Status.UNDECIDED, (reason,))
        asked = self.options
        peak = max(used.at_end.peak_bytes or 0, used.at_end.resident_bytes, used.after_load.resident_bytes)
        failed, undecided = [], []
        for name, value, bar in (
            ("peak_bytes", peak, asked.peak_bytes),
            ("after_load_bytes", used.after_load.resident_bytes, asked.after_load_bytes),
        ):
            if bar is not None and value > bar:
                failed.append(f"The server took {value} bytes of memory, and gates.memory.{name} is {bar}.")
        if asked.growth_bytes_per_1000 is not None:
            self._growth(used, asked.growth_bytes_per_1000, failed, undecided)
        status = verdict.Status.UNDECIDED if undecided else verdict.Status.PASSED
        if failed:
            status = verdict.Status.FAILED
        return verdict.Finding(self.name, status, (*failed, *undecided), peak, asked.peak_bytes, "bytes")

    def _growth(self, used: evidence.MemoryUse, bar: int, failed: list[str], undecided: list[str]) -> None:
        slope, error = used.growth_bytes_per_1000, used.growth_error
        more = "Raise gates.memory.requests or gates.memory.budget_s."
        if slope is None or error is None:
            undecided.append(f"{used.requests} requests are too few to tell whether the server grows. {more}")
            return
        said = (
            f"{slope:.0f} bytes (standard error {error:.0f}) in 1000 requests, measured over {used.requests}, and "
            f"gates.memory.growth_bytes_per_1000 is {bar}."
        )
        if slope - _ERRORS * error > bar:
            failed.append(f"The server grows by {said}")
        elif slope + _ERRORS * error > bar:
            undecided.append(f"The server may grow by {said} {more}")

"""Gate: the model is AVAILABLE soon enough after the server's start."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from infraval import evidence, options, verdict


@dataclasses.dataclass(frozen=True)
class LoadTime:
    """Passes a model that loads within the bars, with its warmup and without it.

    Attributes:
      options: the bars.
    """

    options: options.LoadTimeGate
    name: ClassVar[str] = "load_time"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """The load time that is closest to its bar, or the furthest over it."""
        if shown.boot.load_time_s is None:
            return verdict.Finding(self.name, verdict.Status.SKIPPED, ("The model was not loaded.",))
        measured: list[tuple[float, float, str]] = []
        unknown = []
        if self.options.max_s is not None:
            how = "with its warmup" if shown.warmup.records else "(it has no warmup file)"
            measured.append((shown.boot.load_time_s, self.options.max_s, how))
        if self.options.cold_max_s is not None:
            cold = shown.cold if shown.warmup.records else shown.boot
            if cold is not None and cold.load_time_s is not None:
                measured.append((cold.load_time_s, self.options.cold_max_s, "without its warmup file"))
            else:
                unknown.append(
                    "The load time without the warmup file was not measured. Set --compare-cold "
                    "(warmup.compare_cold), or drop gates.load_time.cold_max_s."
                )
        reasons = [
            f"The model took {seconds:.2f} s to load {how}, and may take {bar:g} s."
            for seconds, bar, how in measured
            if seconds > bar
        ]
        status = verdict.Status.PASSED
        if reasons:
            status = verdict.Status.FAILED
        elif unknown:
            status = verdict.Status.UNDECIDED
        figure, bar, _ = max(measured, key=lambda each: each[0] / each[1], default=(None, None, ""))
        return verdict.Finding(self.name, status, (*reasons, *unknown), figure, bar, "s")

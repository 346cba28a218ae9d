"""Gate: the first request of every cell after a boot is about as fast as later ones, and the server builds nothing."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from infraval import escape, evidence, options, verdict
from infraval.gates.reasons import capped


@dataclasses.dataclass(frozen=True)
class Warm:
    """Passes a model that is as fast at its first requests after a boot with its warmup file as later on.

    A cell that looks cold was measured again on further boots, and the best boot counts: on a busy machine, a first
    request can be slow by chance. If the server's counters are known, a first request for which it built a graph or
    compiled is cold as well, however fast; if they could not be read, the reasons say so, and latency alone decides.

    Attributes:
      options: what is slow.
    """

    options: options.WarmGate
    name: ClassVar[str] = "warm"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """The largest of the cells' ratios of first to steady latency."""
        why_not = _nothing_to_judge(shown)
        if why_not:
            return verdict.Finding(self.name, verdict.Status.SKIPPED, (why_not,))
        best: dict[options.Cell, evidence.Latency] = {}
        for latency in (*shown.boot.latencies, *shown.measured_again):
            known = best.get(latency.cell)
            if known is None or self._badness(latency) < self._badness(known):
                best[latency.cell] = latency
        cold = [latency for latency in best.values() if self._badness(latency) > (False, 0)]
        worst = max(map(_ratio, cold or best.values()), default=None)
        if cold:
            reasons = capped(map(_reason, cold), "{} more cells are cold; the report lists them.")
            return verdict.Finding(self.name, verdict.Status.FAILED, reasons, worst, self.options.ratio, "x")
        uncounted = (shown.boot.counters.unknown,) if shown.boot.counters and shown.boot.counters.unknown else ()
        missing = {outcome.cell for outcome in shown.boot.outcomes} - best.keys()
        if missing:
            reason = f"The latency of {len(missing)} cells could not be measured. Validate again."
            reasons = (reason, *uncounted)
            return verdict.Finding(self.name, verdict.Status.UNDECIDED, reasons, worst, self.options.ratio, "x")
        reasons = (*self._allowed(worst), *uncounted)
        return verdict.Finding(self.name, verdict.Status.PASSED, reasons, worst, self.options.ratio, "x")

    def _allowed(self, worst: float | None) -> tuple[str, ...]:
        """Why a ratio above the bar is no failure."""
        if worst is None or worst <= self.options.ratio:
            return ()
        floor = f"{self.options.floor_ms:g} ms"
        return (f"Each first request above the bar took at most {floor}, or not longer than a later one.",)

    def _badness(self, latency: evidence.Latency) -> tuple[bool, float]:
        """Orders boots: (False, 0) if the cell does not look cold."""
        slow = self.options.looks_cold(latency.first_s, latency.steady_s, latency.slowest_s)
        cold = slow or latency.built
        return (cold, _ratio(latency) if cold else 0.0)


def _nothing_to_judge(shown: evidence.Evidence) -> str:
    if not shown.warmup.records:
        return "The model has no warmup file, so it starts cold."
    if shown.without_warmup is not None or shown.boot.failure is not None:
        return "The model was not loaded with its warmup file."
    if not shown.requests:
        return "There were no requests to send."
    return "" if shown.boot.answered_all else "Not every request was answered."


def _ratio(latency: evidence.Latency) -> float:
    return latency.first_s / latency.steady_s if latency.steady_s > 0 else 0.0


def _reason(latency: evidence.Latency) -> str:
    cell = latency.cell
    steady = "" if latency.is_steady else ", which is not steady,"
    counts = {"graph_build_calls": latency.graph_builds, "xla_compilations": latency.xla_compilations}
    moved = " and ".join(f"{name} by {count}" for name, count in counts.items() if count)
    return (
        f"The first request ({cell.method.value} of signature {escape.name(cell.signature)}, batch size "
        f"{cell.batch_size}) took {latency.first_s * 1000:.1f} ms, and later ones{steady} "
        f"{latency.steady_s * 1000:.1f} ms{f'; it moved the counter {moved}' if moved else ''}: it is cold after the "
        "warmup."
    )

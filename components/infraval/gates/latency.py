"""Gate: percentiles of latency under a load stay below bars."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from infraval import escape, evidence, options, percentile_bars, verdict

_MOST_REASONS = 5

_Decision = percentile_bars.Decision


@dataclasses.dataclass(frozen=True)
class _Judged:
    """One bar of one cell, or of all requests together; in seconds."""

    latencies: evidence.Latencies
    percentile: int
    bar_s: float
    decision: _Decision
    more: int
    by_lag: bool

    @property
    def figure_s(self) -> float:
        """What the percentile is."""
        return {50: self.latencies.p50_s, 90: self.latencies.p90_s, 99: self.latencies.p99_s}[self.percentile]


@dataclasses.dataclass(frozen=True)
class Latency:
    """Passes a model whose percentiles are below the bars with a confidence of 95 %, and that answers every request.

    Attributes:
      options: the bars and the load.
    """

    options: options.LatencyGate
    name: ClassVar[str] = "latency"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """The percentile that is closest to its bar, or the furthest over it, in milliseconds."""
        load = shown.load
        if load is None or not self.options.bars:
            reason = (
                "There is no bar." if load else "The model was not put under load: it did not answer every request."
            )
            if not shown.requests:
                reason = "There were no requests to send."
            return verdict.Finding(self.name, verdict.Status.SKIPPED, (reason,))
        judged = [each for latencies in self._judged(load) for each in _bars(latencies, self.options)]
        worst = max(judged, key=lambda each: (each.decision is _Decision.OVER, each.figure_s / each.bar_s))
        figure, bar = (worst.figure_s * 1000, worst.bar_s * 1000) if worst.latencies.requests else (None, None)
        failures = [
            *_failures(load, self.options),
            *(_over(each) for each in judged if each.decision is _Decision.OVER),
        ]
        if failures:
            return verdict.Finding(self.name, verdict.Status.FAILED, _capped(failures), figure, bar, "ms")
        missing = [_undecided(each) for each in judged if each.decision is _Decision.UNDECIDED]
        if load.cells_left_out and self.options.per == "cell":
            missing.append(
                f"{load.cells_left_out} cells were not measured, because their requests are too large to be kept in "
                "memory together. Judge fewer signatures or smaller batch sizes."
            )
        if missing:
            missing += [_NOT_STEADY] if not load.steady else []
            return verdict.Finding(self.name, verdict.Status.UNDECIDED, _capped(missing), figure, bar, "ms")
        return verdict.Finding(
            self.name, verdict.Status.PASSED, () if load.steady else (_NOT_STEADY,), figure, bar, "ms"
        )

    def _judged(self, load: evidence.Load) -> tuple[evidence.Latencies, ...]:
        return load.cells if self.options.per == "cell" else (load.overall,)


_NOT_STEADY = "Latencies did not become steady: three windows in a row were never within 10 % of each other."


def _bars(latencies: evidence.Latencies, asked: options.LatencyGate) -> Iterator[_Judged]:
    for number, (percentile, bar_s) in enumerate(asked.bars):
        counts = (latencies.requests, latencies.over[number], percentile / 100)
        decision, more = percentile_bars.decide(*counts), percentile_bars.more_needed(*counts)
        by_lag = False
        if decision is _Decision.OVER:
            since_sent = (latencies.requests, latencies.over_since_sent[number], percentile / 100)
            by_lag = percentile_bars.decide(*since_sent) is not _Decision.OVER
            decision = _Decision.UNDECIDED if by_lag else decision
        yield _Judged(latencies, percentile, bar_s, decision, more, by_lag)


def _failures(load: evidence.Load, asked: options.LatencyGate) -> Iterator[str]:
    """What fails a model whatever its latency is."""
    if load.death is not None:
        yield f"The server died under load ({load.death})."
    if load.errors:
        failed = sum(load.errors.values())
        codes = ", ".join(f"{code} ({count})" for code, count in sorted(load.errors.items()))
        message = f": {load.message}" if load.message else "."
        yield f"{failed} of {load.sent} requests under load failed: {codes}{message}"
    if load.dropped:
        yield (
            f"The server did not keep up with {asked.rate or 0:g} requests/s (gates.latency.rate): {load.dropped} of "
            f"{load.sent + load.dropped} requests were not sent, because too many were waiting for their answer."
        )


def _over(judged: _Judged) -> str:
    return (
        f"p{judged.percentile} is {judged.figure_s * 1000:.1f} ms{_where(judged.latencies)}, over the bar of "
        f"{judged.bar_s * 1000:g} ms, after {judged.latencies.requests} requests."
    )


def _undecided(judged: _Judged) -> str:
    what = f"p{judged.percentile}{_where(judged.latencies)} against {judged.bar_s * 1000:g} ms"
    if judged.by_lag:
        return (
            f"{what} is undecided: infraval itself sent requests late, because the machine is too busy for the load. "
            "Lower gates.latency.rate, or free the machine."
        )
    return (
        f"{what} is undecided after {judged.latencies.requests} requests: it would need {judged.more} more, all below "
        "the bar. Raise gates.latency.budget_s or the load."
    )


def _where(latencies: evidence.Latencies) -> str:
    cell = latencies.cell
    if cell is None:
        return ""
    return f" ({cell.method.value} of signature {escape.name(cell.signature)}, batch size {cell.batch_size})"


def _capped(reasons: list[str]) -> tuple[str, ...]:
    more = len(reasons) - _MOST_REASONS
    return (*reasons[:_MOST_REASONS], f"There are {more} more reasons.") if more > 0 else tuple(reasons)

"""Gate: percentiles of latency under a load stay below bars, or close to the baseline's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from infraval import escape, evidence, options, percentile_bars, verdict
from infraval.gates.reasons import capped

_Decision = percentile_bars.Decision


@dataclasses.dataclass(frozen=True)
class _Judged:
    """One bar of one cell, or of all requests together; in milliseconds, or times the baseline's percentile."""

    latencies: evidence.Latencies
    percentile: int
    bar: float
    decision: _Decision
    more: int
    by_lag: bool
    other: evidence.Latencies | None = None

    @property
    def figure(self) -> float | None:
        """What the percentile is; None if nothing was measured."""
        if self.other is not None:
            return evidence.ratio(
                self.latencies.percentile_s(self.percentile), self.other.percentile_s(self.percentile)
            )
        return self.latencies.percentile_s(self.percentile) * 1000 if self.latencies.requests else None

    @property
    def unit(self) -> str:
        """Of the figure and the bar."""
        return "ms" if self.other is None else "x"

    @property
    def badness(self) -> tuple[bool, float]:
        """The larger, the worse."""
        return self.decision is _Decision.OVER, (self.figure or 0.0) / self.bar


@dataclasses.dataclass(frozen=True)
class Latency:
    """Passes a model whose percentiles are below the bars with a confidence of 95 %, and that answers every request.

    Attributes:
      options: the bars and the load.
    """

    options: options.LatencyGate
    name: ClassVar[str] = "latency"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """The percentile that is closest to its bar, or the furthest over it, in milliseconds or as a ratio."""
        load = shown.load
        if load is None or not (self.options.bars or self.options.ratios):
            reason = (
                "There is no bar." if load else "The model was not put under load: it did not answer every request."
            )
            if not shown.requests:
                reason = "There were no requests to send."
            return verdict.Finding(self.name, verdict.Status.SKIPPED, (reason,))
        judged = [
            *(each for latencies in self._judged(load) for each in _bars(latencies, self.options)),
            *(each for one, other in self._pairs(load) for each in _ratios(one, other, self.options)),
        ]
        worst = max(judged, key=lambda each: each.badness, default=None)
        figure = worst.figure if worst else None
        measure = (figure, worst.bar if worst and figure is not None else None, worst.unit if worst else "ms")
        failures = [
            *_failures(load, self.options),
            *(_over(each) for each in judged if each.decision is _Decision.OVER),
        ]
        if failures:
            return verdict.Finding(self.name, verdict.Status.FAILED, capped(failures), *measure)
        missing = [
            *(_undecided(each) for each in judged if each.decision is _Decision.UNDECIDED),
            *_incomparable(load, self.options),
        ]
        if load.cells_left_out and self.options.per == "cell":
            missing.append(
                f"{load.cells_left_out} cells were not measured, because their requests are too large to be kept in "
                "memory together. Judge fewer signatures or smaller batch sizes."
            )
        notes = () if load.steady else (_NOT_STEADY,)
        if missing:
            return verdict.Finding(self.name, verdict.Status.UNDECIDED, capped([*missing, *notes]), *measure)
        return verdict.Finding(self.name, verdict.Status.PASSED, notes, *measure)

    def _judged(self, load: evidence.Load) -> tuple[evidence.Latencies, ...]:
        return load.cells if self.options.per == "cell" else (load.overall,)

    def _pairs(self, load: evidence.Load) -> Iterator[tuple[evidence.Latencies, evidence.Latencies]]:
        """What is compared with the baseline: nothing that it did not get or did not answer."""
        if load.baseline is None or any(_incomparable(load, self.options)):
            return
        theirs = {each.cell: each for each in self._judged(load.baseline)}
        for each in self._judged(load):
            if each.cell in theirs:
                yield each, theirs[each.cell]


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
        yield _Judged(latencies, percentile, bar_s * 1000, decision, more, by_lag)


def _ratios(one: evidence.Latencies, other: evidence.Latencies, asked: options.LatencyGate) -> Iterator[_Judged]:
    for percentile, bar in asked.ratios:
        pair = (one.interval(percentile), other.interval(percentile))
        since_sent = (one.interval(percentile, since_sent=True), other.interval(percentile, since_sent=True))
        decision = percentile_bars.decide_ratio(*pair, bar)
        more = percentile_bars.more_needed_for_ratio(min(one.requests, other.requests), *pair, bar)
        # Lag of infraval's own makes two servers look alike, or one of them slow.
        by_lag = decision is not _Decision.UNDECIDED and percentile_bars.decide_ratio(*since_sent, bar) is not decision
        yield _Judged(one, percentile, bar, _Decision.UNDECIDED if by_lag else decision, more, by_lag, other)


def _incomparable(load: evidence.Load, asked: options.LatencyGate) -> Iterator[str]:
    """Why the load does not compare the model with the baseline, if ratios need that."""
    other = load.baseline
    if not asked.ratios:
        return
    if other is None:
        yield "The baseline was not put under load (gates.latency.p99_ratio and the like)."
        return
    if other.errors:
        codes = ", ".join(f"{code} ({count})" for code, count in sorted(other.errors.items()))
        yield f"The baseline failed {sum(other.errors.values())} of {other.sent} requests under load: {codes}."
    if other.dropped:
        yield (
            f"The baseline did not keep up with {asked.rate or 0:g} requests/s (gates.latency.rate): {other.dropped} "
            "requests were not sent to it. Lower the rate."
        )
    lacking = len(load.cells) - len(other.cells)
    if not other.cells:
        yield "The baseline answers none of the requests."
    elif lacking and asked.per == "overall":
        yield (
            f"The baseline does not answer {lacking} of {len(load.cells)} cells, so all requests together cannot be "
            "compared. Set gates.latency.per to cell."
        )


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
    what = f"p{judged.percentile}{_where(judged.latencies)}"
    after = f"after {judged.latencies.requests} requests"
    if judged.other is not None:
        seconds = [each.percentile_s(judged.percentile) * 1000 for each in (judged.latencies, judged.other)]
        return (
            f"{what} is {seconds[0]:.1f} ms, {judged.figure or 0:.2f} times the baseline's {seconds[1]:.1f} ms, over "
            f"the bar of {judged.bar:g}, {after} and {judged.other.requests} to the baseline."
        )
    return f"{what} is {judged.figure or 0:.1f} ms, over the bar of {judged.bar:g} ms, {after}."


def _undecided(judged: _Judged) -> str:
    bar = f"{judged.bar:g} ms" if judged.other is None else f"{judged.bar:g} times the baseline's"
    what = f"p{judged.percentile}{_where(judged.latencies)} against {bar}"
    if judged.by_lag:
        return (
            f"{what} is undecided: infraval itself sent requests late, because the machine is too busy for the load. "
            "Lower gates.latency.rate, or free the machine."
        )
    if judged.other is not None:
        requests = min(judged.latencies.requests, judged.other.requests)
        return (
            f"{what} is undecided after {requests} requests to each: it would need about {judged.more} more to each. "
            "Raise gates.latency.budget_s or the load, or set a bar that is further from "
            f"{judged.figure or 1:.2f}."
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

"""Gate: a server under load changes from the baseline to the model, and its clients do not notice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from infraval import escape, evidence, options, verdict

_LEAST = 20
"""Requests that a percentile takes, before the swap and during it."""


@dataclasses.dataclass(frozen=True)
class _Judged:
    """A figure beside its bar."""

    figure: float
    bar: float
    unit: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Swap:
    """Passes a model that takes the baseline's place below the bars, without a failed request.

    Attributes:
      options: the bars.
    """

    options: options.SwapGate
    name: ClassVar[str] = "swap"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """The first figure above its bar, or else how many requests failed."""
        swap = shown.swap
        if swap is None:
            reason = "There was nothing to swap: the model did not answer every request, or there is no baseline."
            return verdict.Finding(self.name, verdict.Status.SKIPPED, (reason,))
        asked = self.options
        judged = [*self._judged(swap)]
        over = [each for each in judged if each.figure > each.bar]
        first = over[0] if over else judged[0]
        failures = [*_not_swapped(swap), *(each.reason for each in over)]
        measure = (first.figure, first.bar, first.unit)
        if failures:
            return verdict.Finding(self.name, verdict.Status.FAILED, tuple(failures), *measure)
        missing = [*_missing(swap, asked)]
        status = verdict.Status.UNDECIDED if missing else verdict.Status.PASSED
        return verdict.Finding(self.name, status, tuple(missing), *measure)

    def _judged(self, swap: evidence.Swap) -> Iterator[_Judged]:
        asked, codes = self.options, ", ".join(f"{count} {code}" for code, count in swap.errors.items())
        dropped = f"{swap.dropped} not sent, because too many were in flight" if swap.dropped else ""
        how = "; ".join(filter(None, (codes, dropped)))
        message = f" The first one: {escape.one_line(swap.message)}" if swap.message else ""
        yield _Judged(
            swap.failed,
            asked.max_failed,
            "requests",
            f"{swap.failed} requests failed after the model had appeared beside the baseline ({how}), and "
            f"gates.swap.max_failed is {asked.max_failed}.{message}",
        )
        p99_s = _p99_s(swap, asked)
        if p99_s is not None and asked.p99_ms is not None:
            yield _Judged(
                p99_s * 1000,
                asked.p99_ms,
                "ms",
                f"The p99 during the swap was {p99_s * 1000:.1f} ms (before it {swap.before.p99_s * 1000:.1f} ms), and "
                f"gates.swap.p99_ms is {asked.p99_ms:g}.",
            )
        ratio = evidence.ratio(p99_s, swap.before.p99_s)
        if ratio is not None and asked.p99_ratio is not None:
            yield _Judged(
                ratio,
                asked.p99_ratio,
                "x",
                f"The p99 during the swap was {ratio:.2f} times the one before it ({swap.before.p99_s * 1000:.1f} ms), "
                f"and gates.swap.p99_ratio is {asked.p99_ratio:g}.",
            )
        if swap.answered_s is not None and asked.max_s is not None:
            yield _Judged(
                swap.answered_s,
                asked.max_s,
                "s",
                f"The model answered {swap.answered_s:.2f} s after it had appeared, and gates.swap.max_s is "
                f"{asked.max_s:g}.",
            )
        if swap.peak_bytes is not None and asked.peak_bytes is not None:
            yield _Judged(
                swap.peak_bytes,
                asked.peak_bytes,
                "bytes",
                f"With both models, the server took {swap.peak_bytes} bytes of memory at its peak, and "
                f"gates.swap.peak_bytes is {asked.peak_bytes}.",
            )


def _p99_s(swap: evidence.Swap, asked: options.SwapGate) -> float | None:
    """The 99th percentile during the swap, without infraval's own lag if that alone takes it above the bar."""
    if min(swap.before.requests, swap.during.requests) < _LEAST:
        return None
    bars_s = [each for each in (_bar_s(asked.p99_ms, 0.001), _bar_s(asked.p99_ratio, swap.before.p99_s)) if each]
    by_lag = any(swap.during_p99_since_sent_s <= bar_s < swap.during.p99_s for bar_s in bars_s)
    return swap.during_p99_since_sent_s if by_lag else swap.during.p99_s


def _bar_s(bar: float | None, unit_s: float) -> float | None:
    return None if bar is None else bar * unit_s


def _not_swapped(swap: evidence.Swap) -> Iterator[str]:
    if swap.death is not None:
        yield f"The server died after the model had appeared beside the baseline: {swap.death}."
    elif swap.refused is not None:
        said = f"{swap.refused.code}: {escape.one_line(swap.refused.message)}"
        yield f"The server that has the baseline did not load the model beside it: {said}"
    elif swap.answered_s is None:
        yield f"The model did not answer within {swap.waited_s:.0f} s after it had appeared beside the baseline."
    elif swap.unloaded_s is None:
        waited_s = swap.waited_s - swap.answered_s
        yield f"The baseline was not unloaded within {waited_s:.0f} s after the model had answered."


def _missing(swap: evidence.Swap, asked: options.SwapGate) -> Iterator[str]:
    """Why the evidence is not enough."""
    if swap.failed_before:
        yield (
            f"{swap.failed_before} requests failed before the model appeared, so the baseline does not stand the load. "
            "Lower gates.swap.rate."
        )
    if asked.p99_ms is not None or asked.p99_ratio is not None:
        fewest = min(swap.before.requests, swap.during.requests)
        if fewest < _LEAST:
            yield (
                f"{fewest} requests are too few for a p99; it takes {_LEAST} before the swap and during it. Raise "
                "gates.swap.rate or gates.swap.before_s."
            )
    if asked.peak_bytes is not None and swap.peak_bytes is None:
        yield "The memory of the server is unknown. Validate again, or on another platform."

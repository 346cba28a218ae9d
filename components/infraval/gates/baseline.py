"""Gate: the model is not much worse than the one in production, and answers alike."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import ClassVar

from infraval import evidence, options, verdict
from infraval.gates import differences
from infraval.gates.reasons import capped

_MIN_PAIRS = 5


@dataclasses.dataclass(frozen=True)
class _Figure:
    """A figure, which is None if it could not be measured, its bar, and the words for it."""

    name: str
    value: float | None
    bar: float | None
    words: str
    unit: str = "x"

    @property
    def badness(self) -> float:
        """How many times the bar it is; what has no bar comes last."""
        if self.value is None or self.bar is None:
            return -1.0
        if self.bar == 0:
            return math.inf if self.value > 0 else 0.0
        return self.value / self.bar


@dataclasses.dataclass(frozen=True)
class Baseline:
    """Passes a model that stays below the bars that are set on its comparison with the baseline.

    Attributes:
      options: the bars.
    """

    options: options.BaselineGate
    name: ClassVar[str] = "baseline"

    def judge(self, shown: evidence.Evidence) -> verdict.Finding:
        """The figure that is worst beside its bar; without any bar, the ratio of the median latencies."""
        found = shown.baseline
        if found is None:
            reason = "There is no baseline." if shown.boot.answered_all else "Not every request was answered."
            return verdict.Finding(self.name, verdict.Status.SKIPPED, (reason,))
        booted = shown.boot
        measured = list(_figures(found, booted.load_time_s, booted.memory, shown.warmup.records, self.options))
        failed = [
            f"{each.words} is {each.value:.3g}, and must be at most {each.bar:g} (gates.baseline.{each.name})."
            for each in measured
            if each.value is not None and each.bar is not None and each.value > each.bar
        ]
        if self.options.max_difference is not None:
            failed += [
                f"The answers ({differences.call(each)}) are not comparable: {differences.details(each)}"
                for each in found.compared
                if set(each.kinds) - {"value"}
            ]
        unknown = [
            f"{each.words} could not be measured (gates.baseline.{each.name}). Give more requests, or time for them "
            "(gates.baseline.budget_s)."
            for each in measured
            if each.value is None and each.bar is not None
        ]
        status = verdict.Status.FAILED if failed else verdict.Status.UNDECIDED if unknown else verdict.Status.PASSED
        reasons = failed or [*unknown, *(f"Baseline: {differences.unanswered(each)}" for each in found.unanswered)]
        worst = max(measured, key=lambda each: each.badness)
        told = capped(reasons) if status is not verdict.Status.PASSED else ()
        return verdict.Finding(self.name, status, told, worst.value, worst.bar, worst.unit)


def figures(
    found: evidence.Baseline, load_time_s: float | None, memory: evidence.Memory | None, warmup_records: int
) -> dict[str, float | None]:
    """The figures of a comparison, by the names of their bars; None for what could not be measured.

    The load time, the memory after the load and the number of records in the warmup file are the model's.
    """
    measured = _figures(found, load_time_s, memory, warmup_records, options.BaselineGate())
    return {each.name: each.value for each in measured}


def _figures(
    found: evidence.Baseline,
    load_time_s: float | None,
    memory: evidence.Memory | None,
    warmup_records: int,
    bars: options.BaselineGate,
) -> Iterator[_Figure]:
    timed = [each for each in found.latencies if each.pairs >= _MIN_PAIRS]
    yield _Figure(
        "p50_ratio",
        _worst(each.p50_ratio for each in timed),
        bars.p50_ratio,
        "The median latency beside the baseline's",
    )
    p90 = _worst(each.p90_ratio for each in timed)
    yield _Figure("p90_ratio", p90, bars.p90_ratio, "The 90th percentile of latency beside the baseline's")
    # A load with a warmup and one without say nothing about the models.
    comparable = bool(warmup_records) == bool(found.baseline_warmup_records)
    load = evidence.ratio(load_time_s, found.baseline_load_time_s) if comparable else None
    but = "" if comparable else ", only one of which has a warmup file,"
    yield _Figure("load_time_ratio", load, bars.load_time_ratio, f"The load time beside the baseline's{but}")
    taken = [each.resident_bytes if each and comparable else None for each in (memory, found.baseline_memory)]
    words = f"The memory after the load beside the baseline's{but}"
    yield _Figure("memory_ratio", evidence.ratio(*taken), bars.memory_ratio, words)
    size = evidence.ratio(found.size_bytes, found.baseline_size_bytes)
    yield _Figure("size_ratio", size, bars.size_ratio, "The size on disk beside the baseline's")
    differ = [each.largest or 0.0 for each in found.compared if each.dtype != "string"]
    words = "The largest difference from the baseline's answers"
    yield _Figure("max_difference", _worst(differ), bars.max_difference, words, "")
    classes = _share((each.rows_differing, each.rows) for each in found.compared)
    words = "The share of answers with another top class than the baseline's"
    yield _Figure("changed_class_share", classes, bars.changed_class_share, words, "share")
    strings = _share((each.values_differing, each.values) for each in found.compared if each.dtype == "string")
    words = "The share of strings that are not the baseline's"
    yield _Figure("changed_string_share", strings, bars.changed_string_share, words, "share")


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _share(counts: Iterator[tuple[int, int]]) -> float | None:
    pairs = list(counts)
    whole = sum(count for _, count in pairs)
    return sum(part for part, _ in pairs) / whole if whole else None

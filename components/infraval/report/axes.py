"""The axes of charts: where a value is on one, and its ticks."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence

from infraval import evidence
from infraval.report import formats

ABOVE = 1.1
"""How much further an axis goes, so that there is room for the numbers of the phases, and what a bar is called."""

_SHORTEST_S = 1e-6
"""A logarithmic axis has no zero."""

_LARGEST = 1e15
"""Of latencies in seconds and memory in bytes: an axis ends somewhere."""

LAST = 1e12
"""The horizontal axis ends somewhere, too."""

_MAX_PHASES = 12
_EVEN_SHARE = 0.5
"""The part of a time axis that its phases share evenly, so that a short one can be seen."""

_ONE_TWO_FIVE = (1, 2, 5)
_DECADES_WITH_STEPS = 2


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
      place: from a value to where it is, between 0 and 1.
      ticks: where each is, and what it says.
    """

    place: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]


@dataclasses.dataclass(frozen=True)
class Times:
    """The time axis of a boot, which several charts share.

    Attributes:
      phases: of the boot.
      bounds: where each begins, and where the last one ends, in seconds since the boot began.
    """

    phases: tuple[evidence.Phase, ...]
    bounds: tuple[float, ...]

    @classmethod
    def of(cls, timeline: evidence.Timeline | None) -> Times | None:
        """The axis of a boot; None if nothing is known of it."""
        phases = [
            each
            for each in (timeline.phases if timeline else ())
            if 0 <= each.start_s <= LAST and 0 <= each.seconds <= LAST
        ][:_MAX_PHASES]
        if not phases:
            return None
        ends = [each.start_s for each in phases] + [phases[-1].start_s + phases[-1].seconds]
        return cls(tuple(phases), tuple(itertools.accumulate(ends, max)))

    @functools.cached_property
    def places(self) -> list[float]:
        """Of the bounds, between 0 and 1."""
        number, span = len(self.phases), self.bounds[-1] - self.bounds[0]
        if span <= 0:
            return [each / number for each in range(number + 1)]
        return [
            _EVEN_SHARE * each / number + (1 - _EVEN_SHARE) * (bound - self.bounds[0]) / span
            for each, bound in enumerate(self.bounds)
        ]

    def place(self, time_s: float) -> float:
        """Of a time, between 0 and 1."""
        places = self.places
        for number, (start, end) in enumerate(itertools.pairwise(self.bounds)):
            if time_s <= end and end > start:
                share = max(0.0, (time_s - start) / (end - start))
                return places[number] + share * (places[number + 1] - places[number])
        return 1.0

    @property
    def axis(self) -> Axis:
        """With a tick where a phase begins, as far as there is room."""
        places = dict(zip(self.places, self.bounds, strict=True))
        return Axis(self.place, [(place, formats.number(round(bound, 2))) for place, bound in places.items()])


def linear(low: float, high: float) -> Axis:
    """An axis from one number to another, with about five round ticks."""

    def place(x: float) -> float:
        return min(max((x - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    return Axis(place, [(place(tick), label) for tick, label in _round_ticks(low, high)])


def whole(low: float, high: float) -> Axis:
    """The same with ticks at whole numbers only."""
    place = linear(low, high).place
    return Axis(place, [(place(tick), label) for tick, label in _round_ticks(low, high) if tick == int(tick)])


def seconds(values: Sequence[float]) -> tuple[Axis, Callable[[float], str]]:
    """A logarithmic axis for these values, all of them `clamped`; and how one of them is written."""
    ticks = _log_ticks(values)
    first, last = math.log10(ticks[0]), math.log10(ticks[-1])

    def place(seconds: float) -> float:
        return (math.log10(seconds) - first) / (last - first)

    return Axis(place, [(place(each), _round_seconds(each)) for each in ticks]), _round_seconds


def sizes(values: Sequence[float]) -> tuple[Axis, Callable[[float], str]]:
    """An axis for bytes, from zero, with round ticks in one unit; and how a value is written."""

    def shown(size: float) -> str:
        return formats.size(round(size))

    most = ABOVE * max(*values, 1024.0)
    unit = 1024.0 ** math.floor(math.log(most, 1024))
    ticks = [tick for tick, _ in _round_ticks(0.0, most / unit)]
    ticks.append(2 * ticks[-1] - ticks[-2])
    axis = Axis(lambda size: size / unit / ticks[-1], [(tick / ticks[-1], shown(tick * unit)) for tick in ticks])
    return axis, shown


def _round_seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def clamped(value: float) -> float:
    """A latency in seconds or a size in bytes that an axis has a place for."""
    return min(max(value, _SHORTEST_S), _LARGEST)


def _log_ticks(values: Sequence[float]) -> list[float]:
    """Powers of ten around the values, with steps between them if they are few."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    last = max(last, first + 1)
    steps = _ONE_TWO_FIVE if last - first <= _DECADES_WITH_STEPS else (1,)
    ticks = [step * 10.0**power for power in range(first, last) for step in steps] + [10.0**last]
    below = [tick for tick in ticks if tick <= min(values)]
    above = [tick for tick in ticks if tick >= max(values)]
    ticks = [tick for tick in ticks if below[-1] <= tick <= above[0]]
    return ticks if len(ticks) > 1 else [ticks[0], ticks[0] * 10]


def _round_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """About five round numbers between two numbers."""
    span = high - low
    if span <= 0:
        return [(low, formats.number(low))]
    step = 10.0 ** math.floor(math.log10(span / 5))
    step *= next((factor for factor in (1, 2, 5) if span / (step * factor) <= 6), 10)  # noqa: PLR2004 - ticks at most
    first = math.ceil(low / step)
    ticks = itertools.takewhile(lambda tick: tick <= high, (step * (first + number) for number in range(8)))
    return [(tick, formats.number(round(tick, 9))) for tick in ticks]

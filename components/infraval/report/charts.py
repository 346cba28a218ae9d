"""Line charts of latency: where each line and tick goes. The page's template draws them as SVG."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence

from infraval import evidence
from infraval.report import formats

WIDTH, HEIGHT = 480, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 470, 10, 200
"""Of the plot in the picture."""

MAX_LINES = 9
"""Lines that color and dashes tell apart."""

MAX_POINTS = 200
"""Points of a line; each is the slowest of its stretch."""

_SHORTEST_S = 1e-6
"""A logarithmic axis has no zero."""

_LONGEST_S = 1e9
_LAST = 1e12
"""The horizontal axis ends somewhere, too."""

_ONE_TWO_FIVE = (1, 2, 5)
_DECADES_WITH_STEPS = 2

Point = tuple[float, float]
"""On the axes: a time, a percentile or a number, and seconds."""


@dataclasses.dataclass(frozen=True)
class Tick:
    """A mark on an axis, or a bar: where it is in the picture, and what it says."""

    at: float
    label: str


@dataclasses.dataclass(frozen=True)
class Line:
    """A line and its name in the legend; points are those of the picture."""

    label: str
    points: tuple[Point, ...]


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart with seconds on a logarithmic axis.

    Attributes:
      title: what it shows.
      description: what a reader who cannot see it should know.
      x_label: of the horizontal axis.
      lines: at most `MAX_LINES`.
      x_ticks: of the horizontal axis.
      y_ticks: of the vertical axis.
      bar: what latencies must stay below.
      marks: places of failed requests on the horizontal axis.
    """

    title: str
    description: str
    x_label: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    bar: Tick | None = None
    marks: tuple[float, ...] = ()


def over_time(load: evidence.Load, bar_s: float | None) -> Chart | None:
    """Latency while the server was under load; None if nothing was measured."""
    lines = [
        (name, [(point.time_s, getattr(point, f"{name}_s")) for point in load.points]) for name in ("p50", "p99", "max")
    ]
    title = "Latency over time under load"
    return _chart(title, "seconds since the load began", lines, _round_ticks, bar_s)


def percentiles(load: evidence.Load, bar_s: float | None) -> Chart | None:
    """The percentiles of all requests and of the slowest cells, the rarer the further to the right."""
    slowest = sorted(load.cells, key=lambda each: -each.p99_s)[: MAX_LINES - 1]
    lines = [
        (_name(each), [*_ranked(each)])
        for each in (load.overall, *(slowest if len(load.cells) > 1 else ()))
        if each.requests
    ]

    def ticks(low: float, high: float) -> list[tuple[float, str]]:
        shares = [(50, "p50"), (90, "p90"), (99, "p99"), (99.9, "p99.9"), (99.99, "p99.99")]
        return [(_rarity(share / 100), name) for share, name in shares if low <= _rarity(share / 100) <= high]

    title = "Percentiles of latency under load"
    return _chart(title, "percentile, up to the slowest request", lines, ticks, bar_s)


def replay(outcomes: Sequence[evidence.Outcome]) -> Chart | None:
    """The latency of each request in the order in which they were sent; failed ones are marked."""
    number = len(outcomes)
    step = max(1, math.ceil(number / MAX_POINTS))
    points = [
        (float(start + 1), max(outcome.latency_s for outcome in outcomes[start : start + step]))
        for start in range(0, number, step)
    ]
    failed = [
        1.0 + start for start in range(0, number, step) if not all(each.ok for each in outcomes[start : start + step])
    ]
    name = "latency" if step == 1 else f"slowest of {step} requests"
    return _chart("Latency of each request in the replay", "request", [(name, points)], _whole_ticks, None, failed)


def _name(latencies: evidence.Latencies) -> str:
    cell = latencies.cell
    return "all requests" if cell is None else f"{formats.call(cell)}, batch size {cell.batch_size}"


def _ranked(latencies: evidence.Latencies) -> Iterable[Point]:
    yield _rarity(0.5), latencies.p50_s
    yield _rarity(0.9), latencies.p90_s
    yield _rarity(0.99), latencies.p99_s
    if latencies.requests > 100:  # noqa: PLR2004 - else p99 is the slowest
        yield math.log10(latencies.requests), latencies.max_s


def _rarity(share: float) -> float:
    """Where a percentile is on an axis of log(1 - p)."""
    return -math.log10(1 - share)


def _chart(
    title: str,
    x_label: str,
    lines: Sequence[tuple[str, Sequence[Point]]],
    x_ticks: Callable[[float, float], list[tuple[float, str]]],
    bar_s: float | None,
    marks: Iterable[float] = (),
) -> Chart | None:
    """Scales points to the picture; None if no line has two."""
    measured = [
        (name, [(x, _clamped(y)) for x, y in points if abs(x) <= _LAST and not math.isnan(y)]) for name, points in lines
    ]
    drawn = [(name, points) for name, points in measured if len(points) > 1][:MAX_LINES]
    if not drawn:
        return None
    every = [point for _, points in drawn for point in points]
    bar = None if bar_s is None or not math.isfinite(bar_s) else _clamped(bar_s)
    y_ticks = _log_ticks([y for _, y in every] + ([] if bar is None else [bar]))
    low, high = min(x for x, _ in every), max(x for x, _ in every)

    def x_at(x: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * ((x - low) / (high - low) if high > low else 0.5), 1)

    def y_at(y: float) -> float:
        first, last = math.log10(y_ticks[0]), math.log10(y_ticks[-1])
        return round(BOTTOM - (BOTTOM - TOP) * (math.log10(y) - first) / (last - first), 1)

    fastest, slowest = min(y for _, y in every), max(y for _, y in every)
    return Chart(
        title=title,
        description=f"From {formats.seconds(fastest)} to {formats.seconds(slowest)}; the axis is logarithmic.",
        x_label=x_label,
        lines=tuple(Line(name, tuple((x_at(x), y_at(y)) for x, y in points)) for name, points in drawn),
        x_ticks=tuple(Tick(x_at(x), label) for x, label in x_ticks(low, high)),
        y_ticks=tuple(Tick(y_at(y), _round_seconds(y)) for y in y_ticks),
        bar=None if bar is None else Tick(y_at(bar), f"bar {_round_seconds(bar)}"),
        marks=tuple(x_at(x) for x in marks),
    )


def _round_seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _clamped(seconds: float) -> float:
    return min(max(seconds, _SHORTEST_S), _LONGEST_S)


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


def _whole_ticks(low: float, high: float) -> list[tuple[float, str]]:
    return [(tick, label) for tick, label in _round_ticks(low, high) if tick == int(tick)]


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

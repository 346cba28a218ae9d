"""Line charts of latency and memory: where each line and tick goes. The page's template draws them as SVG."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from infraval import evidence
from infraval.report import data, formats

WIDTH, HEIGHT = 480, 240
LEFT, RIGHT, TOP, BOTTOM = 68, 462, 10, 200
"""Of the plot in the picture."""

MAX_LINES = 9
"""Lines that color and dashes tell apart."""

MAX_POINTS = 200
"""Points of a line; each is the slowest of its stretch."""

_MAX_PHASES = 12
_EVEN_SHARE = 0.5
"""The part of a time axis that its phases share evenly, so that a short one can be seen."""

_CLOSEST = 36
"""What is between two labels of a horizontal axis, at least."""

_ABOVE = 1.1
"""How much further an axis goes, so that there is room for the numbers of the phases, and what a bar is called."""

_SHORTEST_S = 1e-6
"""A logarithmic axis has no zero."""

_LARGEST = 1e15
"""Of latencies in seconds and memory in bytes: an axis ends somewhere."""

_LAST = 1e12
"""The horizontal axis ends somewhere, too."""

_BANDS = 2
"""Lines with a band; more would hide each other."""

_ALL = 100
"""A percentile is below it."""

_ONE_TWO_FIVE = (1, 2, 5)
_DECADES_WITH_STEPS = 2

Point = tuple[float, float]
"""On the axes: a time, a percentile or a number, and seconds or bytes."""

_Around: TypeAlias = tuple[float, float, float | None]
"""The same with what is sure about the second: the least, and the most; None if that is not known."""


@dataclasses.dataclass(frozen=True)
class Bar:
    """What a gate asks for; None if there is no such bar.

    Attributes:
      value: in seconds or bytes.
      name: what it is called.
    """

    value: float | None = None
    name: str = "bar"


@dataclasses.dataclass(frozen=True)
class Tick:
    """A mark on an axis, or a bar: where it is in the picture, and what it says."""

    at: float
    label: str


@dataclasses.dataclass(frozen=True)
class Line:
    """A line and its name in the legend; points are those of the picture.

    Attributes:
      label: its name.
      points: where it goes.
      band: a polygon around it: where it is with a confidence of 95 %.
      dots: whether only its points are drawn.
    """

    label: str
    points: tuple[Point, ...]
    band: tuple[Point, ...] = ()
    dots: bool = False


@dataclasses.dataclass(frozen=True)
class Zone:
    """A phase on the horizontal axis: from where to where in the picture."""

    start: float
    end: float


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
      title: what it shows.
      description: what a reader who cannot see it should know.
      x_label: of the horizontal axis.
      lines: at most `MAX_LINES`.
      x_ticks: of the horizontal axis.
      y_ticks: of the vertical axis.
      bar: what must stay below it.
      marks: places of failed requests on the horizontal axis.
      zones: phases of the boot, if the horizontal axis is time.
      phases: names of the zones, and how long they took; empty if another chart has them.
    """

    title: str
    description: str
    x_label: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    bar: Tick | None = None
    marks: tuple[float, ...] = ()
    zones: tuple[Zone, ...] = ()
    phases: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """What a line shows, on the axes."""

    label: str
    points: Sequence[Point]
    around: Sequence[_Around] = ()
    dots: bool = False


@dataclasses.dataclass(frozen=True)
class _Axis:
    """An axis: from a value to its place, between 0 and 1, and its ticks."""

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
            if 0 <= each.start_s <= _LAST and 0 <= each.seconds <= _LAST
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
    def axis(self) -> _Axis:
        """With a tick where a phase begins, as far as there is room."""
        places = dict(zip(self.places, self.bounds, strict=True))
        return _Axis(self.place, [(place, formats.number(round(bound, 2))) for place, bound in places.items()])


def latency_over_time(
    server: data.ServerReport, times: Times, outcomes: Sequence[evidence.Outcome], bar: Bar
) -> Chart | None:
    """First requests, those of the replay, and those under load, on the axis of the boot; None if there are none."""
    firsts = [
        (each.warm_first_sent_s, each.warm_first_s)
        for each in server.cells
        if each.warm_first_sent_s is not None and each.warm_first_s is not None
    ]
    timed = [(each.sent_s, each) for each in outcomes if each.sent_s is not None]
    timed.sort(key=lambda pair: pair[0])
    step, points, failed = _slowest([each for _, each in timed], [sent_s for sent_s, _ in timed])
    lines = [
        _Drawn("first request of each cell", firsts, dots=True),
        _Drawn("requests" if step == 1 else f"slowest of {step} requests", points, dots=step == 1),
    ]
    load = server.load
    if load is not None and load.start_s is not None:
        lines += _under_load(load, load.start_s, ("p50 under load", "p99 under load", "slowest"))
    return _over_time("Latency over time", times, lines, _seconds_axis, bar, failed, named=True)


def memory_over_time(timeline: evidence.Timeline | None, times: Times, bar: Bar) -> Chart | None:
    """What the server took, on the same axis; None if that is not known."""
    samples = timeline.memory if timeline else ()
    lines = [
        _Drawn("resident", [(each.time_s, float(each.resident_bytes)) for each in samples]),
        _Drawn(
            "of it anonymous: not from files",
            [(each.time_s, float(each.anonymous_bytes)) for each in samples if each.anonymous_bytes is not None],
        ),
    ]
    return _over_time("Memory of the server over time", times, lines, _bytes_axis, bar, (), named=False)


def load_over_time(load: evidence.Load, bar: Bar) -> Chart | None:
    """Latency while the server was under load, if nothing else is known of the time; None if nothing was measured."""
    lines = _under_load(load, 0.0, ("p50", "p99", "max"))
    return _chart("Latency over time under load", "seconds since the load began", lines, _linear, _seconds_axis, bar)


def _under_load(load: evidence.Load, start_s: float, labels: Sequence[str]) -> list[_Drawn]:
    """Median, p99 and slowest over time, on an axis on which the load began then."""
    return [
        _Drawn(label, [(start_s + point.time_s, getattr(point, name)) for point in load.points])
        for label, name in zip(labels, ("p50_s", "p99_s", "max_s"), strict=True)
    ]


def percentiles(load: evidence.Load, bar: Bar) -> Chart | None:
    """The percentiles of all requests and of the slowest cells, the rarer the further to the right.

    The first two have a band: where their percentiles are with a confidence of 95 %.
    """
    slowest = sorted(load.cells, key=lambda each: -each.p99_s)[: MAX_LINES - 1]
    shown = [each for each in (load.overall, *(slowest if len(load.cells) > 1 else ())) if each.requests]
    lines = [
        _Drawn(_name(each), [*_ranked(each)], [*_intervals(each)] if number < _BANDS else ())
        for number, each in enumerate(shown)
    ]

    def across(low: float, high: float) -> _Axis:
        shares = [(50, "p50"), (90, "p90"), (99, "p99"), (99.9, "p99.9"), (99.99, "p99.99")]
        places = [(_rarity(share), name) for share, name in shares]
        place = _linear(low, high).place
        return _Axis(place, [(place(rarity), name) for rarity, name in places if low <= rarity <= high])

    title = "Percentiles of latency under load"
    return _chart(title, "percentile, up to the slowest request", lines, across, _seconds_axis, bar)


def replay(outcomes: Sequence[evidence.Outcome]) -> Chart | None:
    """The latency of each request in the order in which they were sent; failed ones are marked."""
    step, points, failed = _slowest(outcomes, [float(number + 1) for number in range(len(outcomes))])
    name = "latency" if step == 1 else f"slowest of {step} requests"
    lines = [_Drawn(name, points)]
    return _chart("Latency of each request in the replay", "request", lines, _whole, _seconds_axis, marks=failed)


def path(points: Iterable[Point], *, dots: bool = False) -> str:
    """The points as an SVG path with steps of a tenth, as short as can be."""
    written: list[str] = []
    before_x = before_y = 0
    for x, y in points:
        step = _tenths(round(x * 10) - before_x), _tenths(round(y * 10) - before_y)
        before_x, before_y = round(x * 10), round(y * 10)
        if written and step == ("0", "0"):
            continue
        separator = "" if step[1].startswith("-") else " "
        start = "m" if dots or not written else "" if step[0].startswith("-") else " "
        written.append(f"{start}{step[0]}{separator}{step[1]}{'h0' if dots else ''}")
    return "".join(written)


def _tenths(number: int) -> str:
    whole, part = divmod(abs(number), 10)
    shown = f"{whole or ''}.{part}" if part else f"{whole}"
    return f"-{shown}" if number < 0 else shown


def _slowest(outcomes: Sequence[evidence.Outcome], at: Sequence[float]) -> tuple[int, list[Point], list[float]]:
    """The slowest of each stretch of so many requests, and where some of a stretch failed."""
    step = max(1, math.ceil(len(outcomes) / MAX_POINTS))
    starts = range(0, len(outcomes), step)
    points = [(at[start], max(each.latency_s for each in outcomes[start : start + step])) for start in starts]
    failed = [at[start] for start in starts if not all(each.ok for each in outcomes[start : start + step])]
    return step, points, failed


def _name(latencies: evidence.Latencies) -> str:
    cell = latencies.cell
    return "all requests" if cell is None else f"{formats.call(cell)}, batch size {cell.batch_size}"


def _ranked(latencies: evidence.Latencies) -> Iterable[Point]:
    """The percentiles, and the slowest request."""
    known = [(each.percentile, each.seconds) for each in latencies.curve if 0 < each.percentile < _ALL]
    yield from (
        (_rarity(percentile), seconds)
        for percentile, seconds in known or [(each, latencies.percentile_s(each)) for each in (50, 90, 99)]
    )
    if latencies.requests > 100:  # noqa: PLR2004 - else p99 is the slowest
        yield math.log10(latencies.requests), latencies.max_s


def _intervals(latencies: evidence.Latencies) -> Iterable[_Around]:
    for each in latencies.curve or latencies.intervals:
        if 0 < each.percentile < _ALL:
            yield _rarity(each.percentile), each.low_s, each.high_s


def _rarity(percentile: float) -> float:
    """Where a percentile is on an axis of log(1 - p)."""
    return 2 - math.log10(_ALL - percentile)


def _over_time(
    title: str,
    times: Times,
    lines: Sequence[_Drawn],
    upward: Callable[[Sequence[float]], tuple[_Axis, Callable[[float], str]]],
    bar: Bar,
    marks: Sequence[float],
    *,
    named: bool,
) -> Chart | None:
    """A chart with the time axis of a boot."""
    label = "seconds since the boot began, not to scale"
    chart = _chart(title, label, lines, lambda _low, _high: times.axis, upward, bar, marks)
    if chart is None:
        return None
    places = [_x_at(place) for place in times.places]
    names = tuple(f"{each.name} {formats.seconds(each.seconds)}" for each in times.phases)
    zones = tuple(itertools.starmap(Zone, itertools.pairwise(places)))
    return dataclasses.replace(chart, zones=zones, phases=names if named else ())


def _x_at(place: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * place, 1)


def _y_at(place: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * min(max(place, 0.0), 1.0), 1)


def _chart(
    title: str,
    x_label: str,
    lines: Sequence[_Drawn],
    across: Callable[[float, float], _Axis],
    upward: Callable[[Sequence[float]], tuple[_Axis, Callable[[float], str]]],
    bar: Bar = Bar(),
    marks: Iterable[float] = (),
) -> Chart | None:
    """Scales points to the picture; None if no line has two."""
    measured = [
        dataclasses.replace(
            line,
            points=[(x, _clamped(y)) for x, y in line.points if abs(x) <= _LAST and not math.isnan(y)],
            around=[each for each in line.around if not any(math.isnan(value or 0) for value in each)],
        )
        for line in lines
    ]
    drawn = [line for line in measured if len(line.points) > (0 if line.dots else 1)][:MAX_LINES]
    every = [point for line in drawn for point in line.points]
    if len(every) < 2:  # noqa: PLR2004 - one is no chart
        return None
    values = [y for _, y in every]
    asked = None if bar.value is None or not math.isfinite(bar.value) else _clamped(bar.value)
    sure = [_clamped(value) for line in drawn for _, *ends in line.around for value in ends if value]
    y_axis, shown = upward([*values, *sure, *([] if asked is None else [asked * _ABOVE])])
    x_axis = across(min(x for x, _ in every), max(x for x, _ in every))

    def at(x: float, y: float | None) -> Point:
        return _x_at(x_axis.place(x)), TOP if y is None else _y_at(y_axis.place(_clamped(y)))

    x_ticks: list[Tick] = []
    for place, label in x_axis.ticks:
        if not x_ticks or _x_at(place) - x_ticks[-1].at >= _CLOSEST:
            x_ticks.append(Tick(_x_at(place), label))
    return Chart(
        title=title,
        description=f"From {shown(min(values))} to {shown(max(values))}.",
        x_label=x_label,
        lines=tuple(
            Line(
                line.label,
                tuple(at(x, y) for x, y in line.points),
                (*(at(x, low) for x, low, _ in line.around), *(at(x, high) for x, _, high in reversed(line.around))),
                line.dots,
            )
            for line in drawn
        ),
        x_ticks=tuple(x_ticks),
        y_ticks=tuple(Tick(_y_at(place), label) for place, label in y_axis.ticks),
        bar=None if asked is None else Tick(_y_at(y_axis.place(asked)), f"{bar.name} {shown(asked)}"),
        marks=tuple(_x_at(x_axis.place(x)) for x in marks if abs(x) <= _LAST),
    )


def _linear(low: float, high: float) -> _Axis:
    def place(x: float) -> float:
        return min(max((x - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    return _Axis(place, [(place(tick), label) for tick, label in _round_ticks(low, high)])


def _whole(low: float, high: float) -> _Axis:
    """The same with ticks at whole numbers only."""
    place = _linear(low, high).place
    return _Axis(place, [(place(tick), label) for tick, label in _round_ticks(low, high) if tick == int(tick)])


def _seconds_axis(values: Sequence[float]) -> tuple[_Axis, Callable[[float], str]]:
    """Logarithmic."""
    ticks = _log_ticks(values)
    first, last = math.log10(ticks[0]), math.log10(ticks[-1])

    def place(seconds: float) -> float:
        return (math.log10(seconds) - first) / (last - first)

    return _Axis(place, [(place(each), _round_seconds(each)) for each in ticks]), _round_seconds


def _bytes_axis(values: Sequence[float]) -> tuple[_Axis, Callable[[float], str]]:
    """From zero, with round numbers of one unit."""

    def shown(size: float) -> str:
        return formats.size(round(size))

    most = _ABOVE * max(*values, 1024.0)
    unit = 1024.0 ** math.floor(math.log(most, 1024))
    ticks = [tick for tick, _ in _round_ticks(0.0, most / unit)]
    ticks.append(2 * ticks[-1] - ticks[-2])
    axis = _Axis(lambda size: size / unit / ticks[-1], [(tick / ticks[-1], shown(tick * unit)) for tick in ticks])
    return axis, shown


def _round_seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _clamped(value: float) -> float:
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

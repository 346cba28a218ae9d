"""Line charts of latency and memory: what each shows, and where it goes. The page's template draws them as SVG."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from infraval import evidence
from infraval.report import axes, data, formats

WIDTH, HEIGHT = 480, 240
LEFT, RIGHT, TOP, BOTTOM = 68, 462, 10, 200
"""Of the plot in the picture."""

MAX_LINES = 9
"""Lines that color and dashes tell apart."""

MAX_POINTS = 200
"""Points of a line; each is the slowest of its stretch."""

_CLOSEST = 36
"""What is between two labels of a horizontal axis, at least."""

_BANDS = 2
"""Lines with a band; more would hide each other."""

_ALL = 100
"""A percentile is below it."""

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


def latency_over_time(
    server: data.ServerReport, times: axes.Times, outcomes: Sequence[evidence.Outcome], bar: Bar
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
    return _over_time("Latency over time", times, lines, axes.seconds, bar, failed, named=True)


def memory_over_time(timeline: evidence.Timeline | None, times: axes.Times, bar: Bar) -> Chart | None:
    """What the server took, on the same axis; None if that is not known."""
    samples = timeline.memory if timeline else ()
    lines = [
        _Drawn("resident", [(each.time_s, float(each.resident_bytes)) for each in samples]),
        _Drawn(
            "of it anonymous: not from files",
            [(each.time_s, float(each.anonymous_bytes)) for each in samples if each.anonymous_bytes is not None],
        ),
    ]
    return _over_time("Memory of the server over time", times, lines, axes.sizes, bar, (), named=False)


def load_over_time(load: evidence.Load, bar: Bar) -> Chart | None:
    """Latency while the server was under load, if nothing else is known of the time; None if nothing was measured."""
    lines = _under_load(load, 0.0, ("p50", "p99", "max"))
    return _chart("Latency over time under load", "seconds since the load began", lines, axes.linear, axes.seconds, bar)


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

    def across(low: float, high: float) -> axes.Axis:
        shares = [(50, "p50"), (90, "p90"), (99, "p99"), (99.9, "p99.9"), (99.99, "p99.99")]
        places = [(_rarity(share), name) for share, name in shares]
        place = axes.linear(low, high).place
        return axes.Axis(place, [(place(rarity), name) for rarity, name in places if low <= rarity <= high])

    title = "Percentiles of latency under load"
    return _chart(title, "percentile, up to the slowest request", lines, across, axes.seconds, bar)


def replay(outcomes: Sequence[evidence.Outcome]) -> Chart | None:
    """The latency of each request in the order in which they were sent; failed ones are marked."""
    step, points, failed = _slowest(outcomes, [float(number + 1) for number in range(len(outcomes))])
    name = "latency" if step == 1 else f"slowest of {step} requests"
    lines = [_Drawn(name, points)]
    return _chart("Latency of each request in the replay", "request", lines, axes.whole, axes.seconds, marks=failed)


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
    times: axes.Times,
    lines: Sequence[_Drawn],
    upward: Callable[[Sequence[float]], tuple[axes.Axis, Callable[[float], str]]],
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
    across: Callable[[float, float], axes.Axis],
    upward: Callable[[Sequence[float]], tuple[axes.Axis, Callable[[float], str]]],
    bar: Bar = Bar(),
    marks: Iterable[float] = (),
) -> Chart | None:
    """Scales points to the picture; None if no line has two."""
    measured = [
        dataclasses.replace(
            line,
            points=[(x, axes.clamped(y)) for x, y in line.points if abs(x) <= axes.LAST and not math.isnan(y)],
            around=[each for each in line.around if not any(math.isnan(value or 0) for value in each)],
        )
        for line in lines
    ]
    drawn = [line for line in measured if len(line.points) > (0 if line.dots else 1)][:MAX_LINES]
    every = [point for line in drawn for point in line.points]
    if len(every) < 2:  # noqa: PLR2004 - one is no chart
        return None
    values = [y for _, y in every]
    asked = None if bar.value is None or not math.isfinite(bar.value) else axes.clamped(bar.value)
    sure = [axes.clamped(value) for line in drawn for _, *ends in line.around for value in ends if value]
    y_axis, shown = upward([*values, *sure, *([] if asked is None else [asked * axes.ABOVE])])
    x_axis = across(min(x for x, _ in every), max(x for x, _ in every))

    def at(x: float, y: float | None) -> Point:
        return _x_at(x_axis.place(x)), TOP if y is None else _y_at(y_axis.place(axes.clamped(y)))

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
        marks=tuple(_x_at(x_axis.place(x)) for x in marks if abs(x) <= axes.LAST),
    )

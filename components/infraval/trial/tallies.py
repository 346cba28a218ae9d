"""What became of the requests of a load: latencies by cell and over time, and whether the bars are decided."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

from hdrh import histogram

from infraval import evidence, options, percentile_bars

MOST_POINTS = 200
"""Points of the time series."""

_WINDOW, _WINDOWS, _TOLERANCE = 20, 3, 0.1
"""Latencies are steady if the means of so many windows of at least so many requests are this close to each other."""

_SETTLING_SHARE = 0.2
"""The part of the budget after which requests are counted even if latencies are not steady."""

_PERCENTILES = (50, 90, 99)

_CURVE = (50, 75, 90, 95, 98, 99, 99.5, 99.9, 99.99)

_EARLY_LOOKS = 5
"""How often to look before the bars can be passed: a slow model fails with few requests."""


@dataclasses.dataclass(frozen=True)
class Ended:
    """A request that ended; times in seconds of the clock.

    Attributes:
      cell: the number of its cell.
      position: among the requests.
      due_s: when it was to be sent.
      sent_s: when it was.
      ended_s: when it was answered, or failed.
      code: of the status.
      message: of the status, unredacted.
    """

    cell: int
    position: int
    due_s: float
    sent_s: float
    ended_s: float
    code: str
    message: str


class Tally:
    """Latencies of one cell, or of all."""

    def __init__(self, cell: options.Cell | None, asked: options.LatencyGate) -> None:
        self.cell = cell
        self._bars = asked.bars
        self._histogram = empty_histogram()
        self._since_sent = empty_histogram() if asked.ratios else None
        self.requests = 0
        self.over = [0] * len(self._bars)
        self._over_since_sent = [0] * len(self._bars)

    def add(self, latency_s: float, since_sent_s: float) -> None:
        """Adds a request."""
        self.requests += 1
        self._histogram.record_value(max(1, round(latency_s * 1e6)))
        if self._since_sent is not None:
            self._since_sent.record_value(max(1, round(since_sent_s * 1e6)))
        for number, (_, bar_s) in enumerate(self._bars):
            self.over[number] += latency_s > bar_s
            self._over_since_sent[number] += since_sent_s > bar_s

    def decided(self) -> bool:
        """Whether each bar in milliseconds is."""
        return all(
            percentile_bars.decide(self.requests, over, percentile / 100) is not percentile_bars.Decision.UNDECIDED
            for over, (percentile, _) in zip(self.over, self._bars, strict=True)
        )

    def beside(self, other: Tally, percentile: int) -> Iterator[tuple[percentile_bars.Interval, ...]]:
        """Where that percentile is here and there: as it is, and timed from when requests were really sent."""
        for one, its in ((self._histogram, other._histogram), (self._since_sent, other._since_sent)):
            yield _interval(one, percentile), _interval(its, percentile)

    def found(self) -> evidence.Latencies:
        """As evidence."""
        if not self.requests:
            return evidence.Latencies(self.cell, over=tuple(self.over), over_since_sent=tuple(self._over_since_sent))
        p50_s, p90_s, p99_s = (self._histogram.get_value_at_percentile(each) / 1e6 for each in (50, 90, 99))
        max_s = self._histogram.get_max_value() / 1e6
        return evidence.Latencies(
            self.cell,
            self.requests,
            p50_s,
            p90_s,
            p99_s,
            max_s,
            tuple(self.over),
            tuple(self._over_since_sent),
            tuple(_interval(self._histogram, percentile) for percentile in _PERCENTILES),
            tuple(_interval(self._since_sent, percentile) for percentile in _PERCENTILES if self._since_sent),
            tuple(self._curve()) if self.cell is None else (),
        )

    def _curve(self) -> Iterator[evidence.Quantile]:
        for percentile in _CURVE:
            if self.requests * (100 - percentile) >= 100:  # noqa: PLR2004 - at least one request is beyond it
                seconds = self._histogram.get_value_at_percentile(percentile) / 1e6
                yield evidence.Quantile(percentile, seconds, *_bounds(self._histogram, percentile))


def empty_histogram() -> histogram.HdrHistogram:
    """Of microseconds, up to an hour, to three digits."""
    return histogram.HdrHistogram(1, 3_600_000_000, 3, word_size=4)


def _interval(latencies: histogram.HdrHistogram, percentile: int) -> percentile_bars.Interval:
    """Where a percentile is."""
    return percentile_bars.Interval(percentile, *_bounds(latencies, percentile))


def _bounds(latencies: histogram.HdrHistogram, percentile: float) -> tuple[float, float | None]:
    """The ends of the interval; 0 and None if the requests do not tell."""
    requests = latencies.get_total_count()
    lowest, highest = percentile_bars.ranks(requests, percentile / 100)

    def seconds(rank: int) -> float:
        return float(latencies.get_value_at_percentile(100 * rank / requests)) / 1e6

    return seconds(lowest) if lowest else 0.0, seconds(highest) if highest <= requests else None


class Looks:
    """When to look whether a load may end: at a number of requests and each time that it has doubled."""

    def __init__(self, first: int, early: int = 0) -> None:
        powers = itertools.count(-early)
        self._looks = (first >> -power if power < 0 else first << power for power in powers)
        self._next = max(1, next(self._looks))

    def due(self, requests: int) -> bool:
        """Whether it is time; if so, the next time is later."""
        if requests < self._next:
            return False
        self._next = next(self._looks)
        return True


class Counts:
    """What became of the requests."""

    def __init__(self, cells: Sequence[options.Cell], asked: options.LatencyGate, begin_s: float) -> None:
        self.overall = Tally(None, asked)
        self.cells = [Tally(cell, asked) for cell in cells]
        self.judged = self.cells if asked.per == "cell" else [self.overall]
        self._has_any = bool(asked.bars or asked.ratios)
        needed = max((percentile_bars.more_needed(0, 0, percentile / 100) for percentile, _ in asked.bars), default=1)
        self._looks = Looks(needed, _EARLY_LOOKS)
        self._window = math.ceil(_WINDOW / len(cells)) * len(cells)
        self.series = Series(asked.budget_s)
        self._begin_s = begin_s
        self._settled_by_s = begin_s + _SETTLING_SHARE * asked.budget_s
        self._settling: list[float] = []
        self._settled = False
        self.errors: collections.Counter[str] = collections.Counter()
        self.failure: tuple[int, str] | None = None

    def add(self, ended: Ended) -> None:
        """Adds a request that ended."""
        if ended.code != evidence.OK:
            self.errors[ended.code] += 1
            if self.failure is None:
                self.failure = (ended.position, ended.message)
            return
        latency_s, since_sent_s = ended.ended_s - ended.due_s, ended.ended_s - ended.sent_s
        self.series.add(ended.ended_s - self._begin_s, latency_s)
        if self._settled or ended.ended_s > self._settled_by_s:
            self.overall.add(latency_s, since_sent_s)
            self.cells[ended.cell].add(latency_s, since_sent_s)
            return
        self._settling.append(math.log(max(latency_s, 1e-6)))
        if len(self._settling) % self._window == 0:
            self._settled = _is_steady(self._settling, self._window)

    @property
    def settling(self) -> int:
        """Answers that are not counted."""
        return len(self._settling)

    @property
    def steady(self) -> bool:
        """Whether latencies became steady."""
        return self._settled

    @property
    def requests(self) -> int:
        """How many were counted of what has fewest."""
        return min(tally.requests for tally in self.judged)

    def decided(self) -> bool:
        """Whether each bar in milliseconds is; looked at seldom, because each look can be wrong by chance."""
        return self._has_any and all(tally.decided() for tally in self.judged)

    def decided_at_look(self) -> bool:
        """The same if it is time to look, else False."""
        return self._looks.due(self.requests) and self.decided()


def _is_steady(logarithms: Sequence[float], window: int) -> bool:
    """Whether the last windows are close to each other by geometric mean, which a few slow requests hardly move."""
    last = logarithms[-_WINDOWS * window :]
    if len(last) < _WINDOWS * window:
        return False
    means = [math.fsum(last[start : start + window]) / window for start in range(0, len(last), window)]
    return max(means) - min(means) <= math.log1p(_TOLERANCE)


class Series:
    """Latencies over time, in stretches of equal length."""

    def __init__(self, budget_s: float) -> None:
        self._stretch_s = budget_s / MOST_POINTS
        self._number = 0
        self._latencies: list[float] = []
        self._points: list[evidence.LoadPoint] = []

    def add(self, time_s: float, latency_s: float) -> None:
        """Adds an answer; times must not go back by much."""
        number = min(int(time_s / self._stretch_s), MOST_POINTS - 1)
        if number > self._number:
            self._end_stretch()
            self._number = number
        self._latencies.append(latency_s)

    def points(self) -> tuple[evidence.LoadPoint, ...]:
        """What there was; ends the series."""
        self._end_stretch()
        return tuple(self._points)

    def _end_stretch(self) -> None:
        if self._latencies:
            sizes = sorted(self._latencies)
            p50_s, p99_s = (sizes[math.ceil(len(sizes) * share) - 1] for share in (0.5, 0.99))
            time_s = self._number * self._stretch_s
            self._points.append(evidence.LoadPoint(time_s, len(sizes), p50_s, p99_s, sizes[-1]))
            self._latencies = []

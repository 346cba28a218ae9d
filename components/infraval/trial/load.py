"""Puts a server under load and times the requests, until the gate `latency` can decide.

In an open loop, requests are due at times that do not depend on the server, and each is timed from when it was due: a
server that stalls delays all that are due meanwhile, and they count (a client that waits for the server before it sends
the next request would not see that: coordinated omission). In a closed loop, the next request is sent when one is
answered.

One thread sends and counts; gRPC's own thread only notes when an answer came. Measured on a busy machine of two cores,
a request costs 0.4 ms of processor time this way, and 0.5 ms with grpc.aio.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gc
import itertools
import math
import queue
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol, TypeAlias

from hdrh import histogram

from infraval import evidence, options, percentile_bars
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import blame, boot, client, replay

MOST_POINTS = 200
"""Points of the time series."""

LATE_S = 0.01
"""A request is late if it is sent this long after it was due."""

_MAX_BYTES = 64 << 20
"""Requests that are kept ready to be sent; each cell has at least one, unless that alone is too much."""

_MOST_IN_FLIGHT, _MAX_BYTES_IN_FLIGHT = 10_000, 256 << 20
"""In an open loop, what is due while this is in flight is dropped: it would only fill the client's memory."""

_WINDOW, _WINDOWS, _TOLERANCE = 20, 3, 0.1
"""Latencies are steady if the means of so many windows of at least so many requests are this close to each other."""

_SETTLING_SHARE = 0.2
"""The part of the budget after which requests are counted even if latencies are not steady."""

_PERCENTILES = (50, 90, 99)

_CURVE = (50, 75, 90, 95, 98, 99, 99.5, 99.9, 99.99)

_EARLY_LOOKS = 5
"""How often to look before the bars can be passed: a slow model fails with few requests."""

_BLOCK_S, _BLOCK_REQUESTS = 0.25, 20
"""How long one of two servers gets requests until it is the other one's turn, and how many at least in an open loop."""

_CHECK_S = 0.1
"""How often to see whether the server lives and the job goes on."""


_MOST_AT_ONCE = 1000
"""For how many requests at the same time a server gets threads, at most, in an open loop."""


_Found: TypeAlias = tuple[evidence.Load, tuple[int, str] | None]
"""What a server did, and the position and message, unredacted, of the first request that failed."""


def at_once(asked: options.LatencyGate) -> int:
    """Requests that a server must be able to take at the same time: in an open loop, those that are due in a second."""
    return (asked.concurrency or 1) if asked.rate is None else threads_for(asked.rate)


def threads_for(rate: float) -> int:
    """The same for an open loop."""
    return min(math.ceil(rate), _MOST_AT_ONCE)


class Study:
    """A `boot.Study` that puts a server under the load that the gate's options say, and keeps `found`.

    With a baseline, it does so in `beside`, to both servers.

    Args:
      job: the load and the bars, and the seed of the times at which requests are due.
      booter: of the server.
      compares: whether there is a baseline to compare with.
    """

    def __init__(self, job: options.Job, booter: boot.Booter, *, compares: bool = False) -> None:
        self.found: evidence.Load | None = None
        self._asked = job.gates.latency
        self._seed = job.warmup.seed
        self._booter = booter
        self._compares = compares and bool(self._asked.ratios)
        self._beside: _Found | None = None

    def __call__(self, serving: boot.Serving) -> None:
        """Studies one server; if there is a baseline to compare with, `beside` has already put both under load.

        Raises:
          ServerLostError: it was killed from outside.
        """
        self.found = None
        found = self._beside
        if not self._compares and self._asked.bars:
            found = self._put(serving)
        if found is None:
            return
        shown, failure = found
        cell = serving.requests.cell(0)
        outcomes = [evidence.Outcome(cell, code, "", 0.0) for code in shown.errors]
        death = blame.death_while_serving(
            serving.sandbox, outcomes, self._booter.redactor, serving.connection.available
        )
        message = ""
        if failure is not None:
            position, text = failure
            message = self._booter.redactor.message(text, serving.requests[position][1])
        self.found = dataclasses.replace(shown, message=message, death=death)

    def beside(self, serving: boot.Serving, other: boot.Serving, answered: Collection[options.Cell]) -> None:
        """Puts both servers under load in turn, if they are to be compared; the other has answered only some cells."""
        self._beside = self._put(serving, Other(other.connection, answered)) if self._compares else None

    def _put(self, serving: boot.Serving, other: Other | None = None) -> _Found | None:
        """What the servers did; None without requests."""
        if not len(serving.requests):
            return None
        rate = f"{self._asked.rate:g} requests/s" if self._asked.rate else f"concurrency {self._asked.concurrency or 1}"
        both = " for the model and the baseline in turn" if other else ""
        self._booter.progress(f"Load: {rate}{both}, for up to {self._asked.budget_s:g} s")

        def stopped() -> bool:
            self._booter.check_aborted()
            return serving.sandbox.poll() is not None

        started_s: list[float] = []
        found, failure = put(
            serving.requests,
            serving.connection,
            self._asked,
            self._booter.limits.request_timeout_s,
            self._seed,
            stopped,
            other,
            lambda: started_s.append(serving.times.begin("under load")),
        )
        self._booter.check_aborted()
        return dataclasses.replace(found, start_s=started_s[0]), failure


class Sending(Protocol):
    """A connection to a server, whatever the requests look like there."""

    most_at_once: int
    """Requests that may be in flight."""

    def prepare(self, log: prediction_log_pb2.PredictionLog) -> client.Prepared:
        """The request of a log, ready to be sent many times."""

    def start(self, prepared: client.Prepared, timeout_s: float, on_end: Callable[[str, str], object]) -> None:
        """Sends it without waiting; `on_end` gets a status code's name and a message, once, from any thread."""


@dataclasses.dataclass(frozen=True)
class Other:
    """A server to compare with.

    Attributes:
      connection: to it.
      answers: the cells of which it has answered a request; it gets no other ones.
    """

    connection: Sending
    answers: Collection[options.Cell]


def put(
    requests: replay.Requests,
    connection: Sending,
    asked: options.LatencyGate,
    timeout_s: float,
    seed: int = 0,
    stopped: Callable[[], bool] = lambda: False,
    other: Other | None = None,
    begins: Callable[[], object] = lambda: None,
) -> _Found:
    """Puts a server under load until each bar is decided, a request fails, `stopped` says so or the budget is used up.

    The other server gets the same load in turn, in blocks so short that whatever slows the machine down slows both. A
    ratio above its bar is only decided at the end, because it takes more than a moment to slow a server down. `begins`
    is called when the load does, once the requests are ready to be sent.

    Returns:
      What the server did, and the position and message, unredacted, of the first request that failed.
    """
    ready, cells, left_out = _prepare(requests, connection)
    begins()
    begin_s = time.perf_counter()
    rng = random.Random(seed)  # noqa: S311 - times of arrival, not a secret

    def sender_to(server: Sending, ready: Sequence[_Ready], cells: Sequence[options.Cell]) -> _Sender:
        counts = _Counts(cells, asked, begin_s + _SETTLING_SHARE * asked.budget_s)
        return _Sender(ready, server, asked, timeout_s, rng, stopped, counts, begin_s)

    sender, end_s = sender_to(connection, ready, cells), begin_s + asked.budget_s
    rival = None
    if other is not None:
        theirs, their_cells, _ = _prepare(requests, other.connection, other.answers)
        rival = sender_to(other.connection, theirs, their_cells) if theirs else None
    with _short_collections():
        if rival is None:
            _alone(sender, end_s)
        else:
            _in_turn(sender, rival, asked, end_s)
    found = sender.found(left_out)
    if other is not None:
        beside = rival.found(len(cells) - len(their_cells)) if rival else evidence.Load(evidence.Latencies(None))
        found = dataclasses.replace(found, baseline=beside)
    return found, sender.counts.failure


@dataclasses.dataclass(frozen=True)
class Kept:
    """What became of each request of a load.

    Attributes:
      ended: those that ended, in that order.
      dropped: how many were not sent, because too many were in flight.
      cells: how many there were with requests that could be sent.
    """

    ended: Sequence[Ended]
    dropped: int
    cells: int


def keep_up(
    requests: replay.Requests,
    connection: Sending,
    rate: float,
    timeout_s: float,
    only: Collection[options.Cell],
    is_done: Callable[[], bool],
    stopped: Callable[[], bool],
) -> Kept:
    """Sends requests of some cells at a rate until `is_done`, whether they fail or not, and waits for the last ones.

    With `stopped` it ends at once. There must be a request of these cells.
    """
    asked = options.LatencyGate(enabled=False, rate=rate, arrivals="constant")
    ready, cells, _ = _prepare(requests, connection, only)
    counts, draining = _Kept(cells, asked), False

    def is_over() -> bool:
        return stopped() or (is_done() and not draining)

    sender = _Sender(ready, connection, asked, timeout_s, random.Random(0), is_over, counts, time.perf_counter())  # noqa: S311 - not used
    with _short_collections():
        sender.send_until(math.inf, looks=False)
        sender.is_over, draining = False, True
        sender.drain()
    return Kept(tuple(counts.ended), sender.dropped, len(cells))


def _alone(sender: _Sender, end_s: float) -> None:
    """Sends until there is nothing more to learn, or the budget is used up."""
    while not sender.is_over:
        sender.send_until(end_s)
        if time.perf_counter() >= end_s or sender.counts.decided():
            return


def _in_turn(sender: _Sender, rival: _Sender, asked: options.LatencyGate, end_s: float) -> None:
    """The same with a rival."""
    block_s = max(_BLOCK_S, _BLOCK_REQUESTS / asked.rate if asked.rate else 0.0)
    needed = max(percentile_bars.least_for_interval(percentile / 100) for percentile, _ in asked.ratios)
    looks = _Looks(needed)
    turn = (sender, rival)
    while not sender.is_over and (asked.bars or not rival.is_over):
        for each in turn:
            if not each.is_over:
                each.send_until(min(end_s, time.perf_counter() + block_s), looks=False)
        turn = turn[::-1]
        if time.perf_counter() >= end_s:
            return
        requests = min(sender.counts.requests, rival.counts.requests)
        if looks.due(requests) and _is_close(sender.counts, rival.counts, asked) and sender.counts.decided():
            return


def _is_close(counts: _Counts, others: _Counts, asked: options.LatencyGate) -> bool:
    """Whether each ratio is below its bar."""
    theirs = {tally.cell: tally for tally in others.judged}
    return all(
        percentile_bars.decide_ratio(one, other, bar) is percentile_bars.Decision.BELOW
        for tally in counts.judged
        if tally.cell in theirs
        for percentile, bar in asked.ratios
        for one, other in tally.beside(theirs[tally.cell], percentile)
    )


@dataclasses.dataclass(frozen=True)
class _Ready:
    cell: int
    position: int
    prepared: client.Prepared


def _prepare(
    requests: replay.Requests, connection: Sending, only: Collection[options.Cell] | None = None
) -> tuple[list[_Ready], list[options.Cell], int]:
    """The requests that fit into memory, in the order in which to send them: cells take turns.

    With `only`, those of these cells.

    Returns:
      The requests, their cells, and how many cells have none that fits.
    """
    positions, cell_count = replay.firsts_before_others(requests)
    ready: dict[options.Cell, list[tuple[int, client.Prepared]]] = {}
    size = 0
    for position in positions:
        if only is not None and requests.cell(position) not in only:
            continue
        cell, log = requests[position]
        prepared = connection.prepare(log)
        if ready and size + len(prepared.content) > _MAX_BYTES:
            continue
        size += len(prepared.content)
        ready.setdefault(cell, []).append((position, prepared))
    cells = list(ready)
    turns = max((len(each) for each in ready.values()), default=0)
    ordered = [
        _Ready(number, *ready[cell][turn % len(ready[cell])])
        for turn in range(turns)
        for number, cell in enumerate(cells)
    ]
    return ordered, cells, cell_count - len(cells)


@dataclasses.dataclass(frozen=True)
class Ended:
    """A request that ended; times in seconds of the clock."""

    ready: _Ready
    due_s: float
    sent_s: float
    ended_s: float
    code: str
    message: str


class _Tally:
    """Latencies of one cell, or of all."""

    def __init__(self, cell: options.Cell | None, asked: options.LatencyGate) -> None:
        self.cell = cell
        self._bars = asked.bars
        self._histogram = _histogram()
        self._since_sent = _histogram() if asked.ratios else None
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

    def beside(self, other: _Tally, percentile: int) -> Iterator[tuple[percentile_bars.Interval, ...]]:
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


def _histogram() -> histogram.HdrHistogram:
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


class _Looks:
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


class _Counts:
    """What became of the requests."""

    def __init__(self, cells: Sequence[options.Cell], asked: options.LatencyGate, settled_by_s: float) -> None:
        self.overall = _Tally(None, asked)
        self.cells = [_Tally(cell, asked) for cell in cells]
        self.judged = self.cells if asked.per == "cell" else [self.overall]
        self._has_any = bool(asked.bars or asked.ratios)
        needed = max((percentile_bars.more_needed(0, 0, percentile / 100) for percentile, _ in asked.bars), default=1)
        self._looks = _Looks(needed, _EARLY_LOOKS)
        self._window = math.ceil(_WINDOW / len(cells)) * len(cells)
        self._settled_by_s = settled_by_s
        self._settling: list[float] = []
        self._settled = False
        self.errors: collections.Counter[str] = collections.Counter()
        self.failure: tuple[int, str] | None = None

    def add(self, ended: Ended) -> None:
        """Adds a request that ended."""
        if ended.code != evidence.OK:
            self.errors[ended.code] += 1
            if self.failure is None:
                self.failure = (ended.ready.position, ended.message)
            return
        latency_s, since_sent_s = ended.ended_s - ended.due_s, ended.ended_s - ended.sent_s
        if self._settled or ended.ended_s > self._settled_by_s:
            self.overall.add(latency_s, since_sent_s)
            self.cells[ended.ready.cell].add(latency_s, since_sent_s)
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


class _Kept(_Counts):
    """Keeps what became of each request; none that fails ends the load."""

    def __init__(self, cells: Sequence[options.Cell], asked: options.LatencyGate) -> None:
        super().__init__(cells, asked, settled_by_s=0.0)
        self.ended: list[Ended] = []

    def add(self, ended: Ended) -> None:
        """Adds a request that ended."""
        self.ended.append(ended)


class _Series:
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


class _Sender:
    """Sends requests, and gives those that ended to the counts."""

    def __init__(
        self,
        ready: Sequence[_Ready],
        connection: Sending,
        asked: options.LatencyGate,
        timeout_s: float,
        rng: random.Random,
        stopped: Callable[[], bool],
        counts: _Counts,
        begin_s: float,
    ) -> None:
        self._turns = itertools.cycle(ready)
        self._connection = connection
        self._asked = asked
        self._timeout_s = timeout_s
        self._random = rng
        self._stopped = stopped
        self.counts = counts
        largest = max(len(each.prepared.content) for each in ready)
        self._most_in_flight = max(
            1, min(_MOST_IN_FLIGHT, connection.most_at_once, _MAX_BYTES_IN_FLIGHT // max(1, largest))
        )
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._series = _Series(asked.budget_s)
        self._lags = _histogram()
        self._in_flight = self._sent = self._late = self.dropped = 0
        self._seconds = 0.0
        self._next_check_s = 0.0
        self.is_over = False
        self._begin_s = begin_s

    def send_until(self, end_s: float, *, looks: bool = True) -> None:
        """Sends, and waits for the answers; with `looks`, it may end once the bars seem to be decided."""
        started_s = time.perf_counter()
        self._send_until(end_s, looks=looks)
        self._seconds += time.perf_counter() - started_s
        self.drain()
        self.is_over = self.is_over or bool(self.counts.errors)

    def drain(self) -> None:
        """Waits for what is in flight, which counts too: slow requests are more often in flight than quick ones."""
        while self._in_flight and not self._check():
            self._wait(_CHECK_S)

    def found(self, left_out: int) -> evidence.Load:
        """As evidence."""
        lags = self._lags
        return evidence.Load(
            overall=self.counts.overall.found(),
            cells=tuple(tally.found() for tally in self.counts.cells),
            sent=self._sent,
            settling=self.counts.settling,
            steady=self.counts.steady,
            errors=dict(self.counts.errors),
            late=self._late,
            dropped=self.dropped,
            lag_p99_s=lags.get_value_at_percentile(99) / 1e6 if self._sent else 0.0,
            lag_max_s=lags.get_max_value() / 1e6 if self._sent else 0.0,
            seconds=self._seconds,
            cells_left_out=left_out,
            points=self._series.points(),
        )

    def _send_until(self, end_s: float, *, looks: bool) -> None:
        asked = self._asked
        due_s = time.perf_counter() + self._gap_s()
        while (now_s := time.perf_counter()) < end_s and not self._check():
            while not self._ended.empty():
                self._take(self._ended.get_nowait())
            if self.counts.errors or (looks and self.counts.decided_at_look()):
                return
            if asked.rate is None:
                if self._in_flight < (asked.concurrency or 1):
                    self._send(time.perf_counter())
                else:
                    self._wait(min(end_s - now_s, _CHECK_S))
            elif due_s <= now_s:
                if self._in_flight < self._most_in_flight:
                    self._send(due_s)
                else:
                    self.dropped += 1
                due_s += self._gap_s()
            else:
                self._wait(min(due_s - now_s, end_s - now_s, _CHECK_S))

    def _gap_s(self) -> float:
        """Seconds between two requests in an open loop."""
        if self._asked.rate is None:
            return 0.0
        poisson = self._asked.arrivals == "poisson"
        return self._random.expovariate(self._asked.rate) if poisson else 1 / self._asked.rate

    def _send(self, due_s: float) -> None:
        ready, ended = next(self._turns), self._ended
        sent_s = time.perf_counter()

        def on_end(code: str, message: str) -> None:
            ended.put(Ended(ready, due_s, sent_s, time.perf_counter(), code, message))

        self._in_flight += 1
        self._sent += 1
        self._late += sent_s - due_s > LATE_S
        self._lags.record_value(max(1, round((sent_s - due_s) * 1e6)))
        self._connection.start(ready.prepared, self._timeout_s, on_end)

    def _wait(self, seconds: float) -> None:
        """Waits until a request has ended, but not longer."""
        with contextlib.suppress(queue.Empty):
            self._take(self._ended.get(timeout=seconds))

    def _take(self, ended: Ended) -> None:
        self._in_flight -= 1
        self.counts.add(ended)
        if ended.code == evidence.OK:
            self._series.add(ended.ended_s - self._begin_s, ended.ended_s - ended.due_s)

    def _check(self) -> bool:
        """Whether the server or the job has ended."""
        now_s = time.perf_counter()
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + _CHECK_S
            self.is_over = self.is_over or self._stopped()
        return self.is_over


@contextlib.contextmanager
def _short_collections() -> Iterator[None]:
    """Keeps the garbage collector from what exists already, which takes it up to a tenth of a second each time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

"""What many requests showed: latency, memory, and a swap of versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from infraval import options, percentile_bars
from infraval.evidence.boot import Memory, Refused


@dataclasses.dataclass(frozen=True)
class Quantile:
    """A percentile of latency.

    Attributes:
      percentile: such as 99.9.
      seconds: what it is.
      low_s: it is not below this, with a confidence of 95 %; 0 if the requests do not tell.
      high_s: nor above this; None if the requests do not tell.
    """

    percentile: float
    seconds: float
    low_s: float = 0.0
    high_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Latencies:
    """How long requests took under a load, in seconds.

    Attributes:
      cell: the cell of the requests; None for all of them.
      requests: how many were answered and counted.
      p50_s: half of them took this long or less.
      p90_s: 90 % of them.
      p99_s: 99 % of them.
      max_s: the longest.
      over: how many took longer than each bar, in the order of the gate's bars.
      over_since_sent: the same, timed from when a request was really sent: what is not infraval's own lag.
      intervals: where the percentiles are with a confidence of 95 %.
      intervals_since_sent: the same, timed from when a request was really sent; empty if nothing is compared.
      curve: percentiles from the median on that the requests are enough for; of all requests, empty for a cell.
    """

    cell: options.Cell | None
    requests: int = 0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0
    over: tuple[int, ...] = ()
    over_since_sent: tuple[int, ...] = ()
    intervals: tuple[percentile_bars.Interval, ...] = ()
    intervals_since_sent: tuple[percentile_bars.Interval, ...] = ()
    curve: tuple[Quantile, ...] = ()

    def percentile_s(self, percentile: int) -> float:
        """The 50th, 90th or 99th percentile."""
        return {50: self.p50_s, 90: self.p90_s, 99: self.p99_s}[percentile]

    def interval(self, percentile: int, *, since_sent: bool = False) -> percentile_bars.Interval:
        """Where that percentile is; one without bounds if that is not known."""
        found = self.intervals_since_sent if since_sent else self.intervals
        return next((each for each in found if each.percentile == percentile), percentile_bars.Interval(percentile))


@dataclasses.dataclass(frozen=True)
class LoadPoint:
    """A stretch of time under load.

    Attributes:
      time_s: seconds from the beginning of the load to that of the stretch.
      requests: how many were answered in it.
      p50_s: of their latencies, in seconds.
      p99_s: the same.
      max_s: the same.
    """

    time_s: float
    requests: int
    p50_s: float
    p99_s: float
    max_s: float


@dataclasses.dataclass(frozen=True)
class Load:
    """What a server did under a load.

    Attributes:
      overall: the latencies of all requests that were counted; the first ones are not, until latencies are steady.
      cells: the same by cell, in the order of the requests.
      sent: requests that were sent.
      settling: answers that were not counted.
      steady: whether latencies became steady.
      errors: how many requests failed, by the name of the gRPC status code.
      message: of the first that failed, redacted.
      death: what the server died of; None if it did not.
      late: requests that were sent more than 10 ms after they were due.
      dropped: requests that were not sent, because too many were in flight.
      lag_p99_s: 99 % of the requests were sent this long after they were due, or less.
      lag_max_s: the longest such time.
      seconds: how long requests were sent.
      cells_left_out: cells without a request in the load, because they did not fit into memory.
      points: what happened over time, at most 200.
      baseline: what the baseline did under the same load, in turn; None if it was not compared.
      start_s: seconds from the beginning of the boot to that of the load; None if that is not known.
    """

    overall: Latencies
    cells: tuple[Latencies, ...] = ()
    sent: int = 0
    settling: int = 0
    steady: bool = True
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    message: str = ""
    death: str | None = None
    late: int = 0
    dropped: int = 0
    lag_p99_s: float = 0.0
    lag_max_s: float = 0.0
    seconds: float = 0.0
    cells_left_out: int = 0
    points: tuple[LoadPoint, ...] = ()
    baseline: Load | None = None
    start_s: float | None = None

    @property
    def rate(self) -> float:
        """Requests that were sent per second."""
        return self.sent / self.seconds if self.seconds > 0 else 0.0


@dataclasses.dataclass(frozen=True)
class MemoryUse:
    """The memory of a server that answers many requests.

    Attributes:
      after_requests: once it had answered every request.
      at_end: after the last of the many.
      peak_bytes: the most that was resident since the start; in a container, of the moments at which it was measured.
      requests: how many were sent meanwhile.
      growth_bytes_per_1000: slope of the anonymous, else resident, bytes over 1000 requests; None with too few samples.
      growth_error: its standard error.
      failure: what ended it early: what the server died of, or the code of a request that failed; None if nothing did.
    """

    after_requests: Memory
    at_end: Memory
    peak_bytes: int
    requests: int
    growth_bytes_per_1000: float | None = None
    growth_error: float | None = None
    failure: str | None = None


@dataclasses.dataclass(frozen=True)
class Swap:
    """A server under load that had the baseline, beside which the model appeared as a higher version.

    Attributes:
      rate: requests per second.
      before: latencies until the model appeared.
      during: those of requests that were due after that, until two seconds after the baseline was unloaded.
      during_p99_since_sent_s: the 99th percentile timed from when requests were really sent: without infraval's lag.
      failed_before: requests that failed before the model appeared.
      errors: how many requests failed after that, by the name of the gRPC status code.
      message: of the first of them, redacted.
      dropped: requests that were not sent, because too many were in flight.
      cells_left_out: cells without a request, because the baseline does not answer one or they are too large.
      answered_s: seconds after which the model answered; None if it did not.
      unloaded_s: seconds from then until the baseline was unloaded; None if it was not.
      waited_s: seconds that the swap was waited for.
      refused: why the server did not load the model; None if it did not say so.
      death: what the server died of; None if it did not.
      before_bytes: resident before the model appeared; None if unknown.
      peak_bytes: the most that was resident since the start; in a container, of the moments at which it was measured.
    """

    rate: float
    before: Latencies
    during: Latencies
    during_p99_since_sent_s: float = 0.0
    failed_before: int = 0
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    message: str = ""
    dropped: int = 0
    cells_left_out: int = 0
    answered_s: float | None = None
    unloaded_s: float | None = None
    waited_s: float = 0.0
    refused: Refused | None = None
    death: str | None = None
    before_bytes: int | None = None
    peak_bytes: int | None = None

    @property
    def failed(self) -> int:
        """Requests that failed, or were not sent, after the model had appeared."""
        return sum(self.errors.values()) + self.dropped

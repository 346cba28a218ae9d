"""What the server counts, and the page that Prometheus reads, with TensorFlow Serving's names and format.

The page is written here and not by prometheus_client: TensorFlow Serving's counters have no `_total`, empty labels
print `{}`, and `le` has six digits. Source: util/prometheus_exporter.cc and TensorFlow's lib/monitoring.

The metrics belong to the process, as in TensorFlow, and every function here may be called on many threads at once.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Iterator

Labels = tuple[str, ...]

_BUCKET_LIMITS = tuple(10 * 1.8**power for power in range(33))
"""In microseconds; a last bucket takes what is longer."""

_LOCK = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Scalar:
    """A counter or a gauge, one number for each combination of label values.

    Attributes:
      name: as Prometheus sees it.
      labels: their names, in TensorFlow Serving's order.
      kind: `counter` or `gauge`.
    """

    name: str
    labels: Labels = ()
    kind: str = "counter"
    _cells: dict[Labels, int] = dataclasses.field(default_factory=dict)

    def add(self, *values: str, by: int = 1) -> None:
        """Adds to the number with these label values."""
        with _LOCK:
            self._cells[values] = self._cells.get(values, 0) + by

    def lines(self) -> Iterator[str]:
        """Its part of the page, without the line with its type."""
        for values, number in self._cells.items():
            yield f"{self.name}{{{_pairs(self.labels, values)}}} {number}"


@dataclasses.dataclass
class _Distribution:
    total: float = 0.0
    buckets: list[int] = dataclasses.field(default_factory=lambda: [0] * (len(_BUCKET_LIMITS) + 1))


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How long something took, in microseconds, for each combination of label values.

    Attributes:
      name: as Prometheus sees it.
      labels: their names, in TensorFlow Serving's order.
    """

    name: str
    labels: Labels
    kind: str = dataclasses.field(default="histogram", init=False)
    _cells: dict[Labels, _Distribution] = dataclasses.field(default_factory=dict)

    def record(self, *values: str, micros: float) -> None:
        """Records one time with these label values."""
        with _LOCK:
            cell = self._cells.setdefault(values, _Distribution())
            cell.total += micros
            cell.buckets[bisect.bisect_right(_BUCKET_LIMITS, micros)] += 1

    @contextlib.contextmanager
    def timed(self, *values: str) -> Iterator[None]:
        """Records how long a block takes, unless it raises."""
        started_s = time.perf_counter()
        yield
        self.record(*values, micros=micros_since(started_s))

    def lines(self) -> Iterator[str]:
        """Its part of the page, without the line with its type."""
        limits = (*(f"{limit:.6g}" for limit in _BUCKET_LIMITS), "+Inf")
        for values, cell in self._cells.items():
            pairs = _pairs(self.labels, values)
            counts = list(itertools.accumulate(cell.buckets))
            for limit, count in zip(limits, counts, strict=True):
                yield f'{self.name}_bucket{{{pairs},le="{limit}"}} {count}'
            yield f"{self.name}_sum{{{pairs}}} {cell.total:.6g}"
            yield f"{self.name}_count{{{pairs}}} {counts[-1]}"


LOAD_ATTEMPTS = Scalar(":tensorflow:cc:saved_model:load_attempt_count", ("model_path", "status"))
LOAD_MICROS = Scalar(":tensorflow:cc:saved_model:load_latency", ("model_path",))
LOAD_STAGES = Histogram(":tensorflow:cc:saved_model:load_latency_by_stage", ("model_path", "stage"))
SESSION_RUNS = Scalar(":tensorflow:core:direct_session_runs")
GRAPH_BUILDS = Scalar(":tensorflow:core:graph_build_calls")
"""Sets of feeds and fetches for which an executor was built: the first run of each, also while a model is loaded."""
GRAPH_RUNS = Scalar(":tensorflow:core:graph_runs")
SESSIONS = Scalar(":tensorflow:core:session_created", kind="gauge")
XLA_COMPILATIONS = Scalar(":tensorflow:core:xla_compilations")
WARMUP_LATENCY = Histogram(":tensorflow:serving:model_warmup_latency", ("model_path", "status"))
WARMUP_RECORDS = Scalar(":tensorflow:serving:model_warmup_records_read", ("model_path", "status"))
"""TensorFlow Serving has it since 2.20."""
REQUESTS = Scalar(":tensorflow:serving:request_count", ("model_name", "status"))
REQUEST_LATENCY = Histogram(":tensorflow:serving:request_latency", ("model_name", "API", "entrypoint"))
RUNTIME_LATENCY = Histogram(":tensorflow:serving:runtime_latency", ("model_name", "API", "runtime"))

_METRICS: tuple[Scalar | Histogram, ...] = (
    LOAD_ATTEMPTS,
    LOAD_MICROS,
    LOAD_STAGES,
    SESSION_RUNS,
    GRAPH_BUILDS,
    GRAPH_RUNS,
    SESSIONS,
    XLA_COMPILATIONS,
    # TensorFlow Serving has these too; nothing is counted in them here.
    Histogram(":tensorflow:serving:batching_session:queuing_latency", ("thread_pool_name",)),
    Scalar(":tensorflow:serving:batching_session:wrapped_run_count"),
    Scalar(":tensorflow:serving:mlmd_map", ("model_name", "version"), "gauge"),
    WARMUP_LATENCY,
    WARMUP_RECORDS,
    REQUESTS,
    Scalar(":tensorflow:serving:request_example_count_total", ("model",)),
    Histogram(":tensorflow:serving:request_example_counts", ("model",)),
    REQUEST_LATENCY,
    Scalar(":tensorflow:serving:request_log_count", ("model_name", "status")),
    RUNTIME_LATENCY,
)
"""In the order of the page, which is that of their names."""


def page(*, xla: bool) -> str:
    """What Prometheus reads.

    Args:
      xla: whether XLA may compile; it does not say how often, so the page is silent about that then.
    """
    lines: list[str] = []
    with _LOCK:
        for metric in _METRICS:
            if not (xla and metric is XLA_COMPILATIONS):
                lines += (f"# TYPE {metric.name} {metric.kind}", *metric.lines())
    return "".join(f"{line}\n" for line in lines)


@contextlib.contextmanager
def loading(model_path: str) -> Iterator[None]:
    """Counts a block that loads a model as an attempt, which failed if it raises."""
    started_s = time.perf_counter()
    succeeded = False
    try:
        yield
        succeeded = True
    finally:
        LOAD_ATTEMPTS.add(model_path, "success" if succeeded else "fail")
        LOAD_MICROS.add(model_path, by=micros_since(started_s))


def request(model_name: str, api: str, entrypoint: str, started_s: float) -> None:
    """Counts a request from outside that was answered and had come at a time of `time.perf_counter`."""
    REQUEST_LATENCY.record(model_name, api, entrypoint, micros=micros_since(started_s))
    REQUESTS.add(model_name, "OK")


def micros_since(started_s: float) -> int:
    """Microseconds since a time of `time.perf_counter`."""
    return int((time.perf_counter() - started_s) * 1e6)


def _pairs(names: Labels, values: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    # A request can name any model, also one with a line break, which TensorFlow Serving prints as it is.
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""Measures the latency of each cell of a model by itself, over gRPC and REST, in a closed and an open loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal

from infraval import evidence, options, redaction
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import load, replay, rest_json, sending

Protocol = Literal["grpc", "rest"]

_REQUESTS = 16
"""Of a cell, at most; they take turns."""

_MIN_S = 0.05


@dataclasses.dataclass(frozen=True)
class Asked:
    """What to measure.

    Attributes:
      concurrency: requests in flight in the closed loop.
      rate: requests per second in the open loop; None for no open loop.
      budget_s: seconds for all cells, protocols and loops together.
      timeout_s: seconds that one request may take.
      seed: of the times at which requests are due.
    """

    concurrency: int = 1
    rate: float | None = None
    budget_s: float = 10.0
    timeout_s: float = 60.0
    seed: int = 0

    @property
    def loops(self) -> tuple[Mapping[str, float | int], ...]:
        """The options of each loop."""
        closed: Mapping[str, float | int] = {"concurrency": self.concurrency}
        return (closed,) if self.rate is None else (closed, {"rate": self.rate})


@dataclasses.dataclass(frozen=True)
class Measured:
    """How one cell did over one protocol in one loop.

    Attributes:
      protocol: over which the requests were sent.
      loop: closed, or open.
      latencies: in seconds.
      per_second: requests that were sent per second.
      steady: whether latencies became steady.
      dropped: requests that were not sent, because too many were in flight.
      error: name of the status code of the first request that failed, which ended the loop; empty without any.
      message: the server's, redacted.
      reason: why nothing was sent; empty if something was.
    """

    protocol: Protocol
    loop: Literal["closed", "open"]
    latencies: evidence.Latencies
    per_second: float = 0.0
    steady: bool = True
    dropped: int = 0
    error: str = ""
    message: str = ""
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What `infraval bench` found.

    Attributes:
      server: what was measured: a server's name and version, or where it is.
      concurrency: requests in flight in the closed loops.
      rate: requests per second in the open loops; None if there were none.
      measured: by cell, loop and protocol.
      cold: first and steady requests after a boot without the warmup file, over gRPC; empty if infraval booted nothing.
      warm: the same after a boot with it.
      notes: what to know besides.
    """

    server: str
    concurrency: int
    rate: float | None
    measured: tuple[Measured, ...]
    cold: tuple[evidence.Latency, ...] = ()
    warm: tuple[evidence.Latency, ...] = ()
    notes: tuple[str, ...] = ()


def measure(
    logs: Sequence[prediction_log_pb2.PredictionLog],
    constants: Collection[str],
    connections: Mapping[Protocol, sending.Connection],
    asked: Asked,
    redactor: redaction.Redactor,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Measured, ...]:
    """Measures each cell of the requests by itself, over each connection in turn.

    What `constants` names, `SIGNATURE/INPUT` each, is not the batch of the requests.
    """
    cells = _by_cell(replay.OfLogs(logs, constants))
    share_s = max(_MIN_S, asked.budget_s / max(1, len(cells) * len(connections) * len(asked.loops)))

    def each() -> Iterator[Measured]:
        for cell, few in cells.items():
            requests = replay.OfLogs(few, constants)
            progress(f"Measuring {cell.signature}:{cell.method.value}, batch size {cell.batch_size}")
            for loop in asked.loops:
                for protocol, connection in connections.items():
                    if stopped():
                        return
                    yield _one(protocol, connection, requests, loop, share_s, asked, redactor, stopped)

    return tuple(each())


def _by_cell(requests: replay.Requests) -> dict[options.Cell, list[prediction_log_pb2.PredictionLog]]:
    found: dict[options.Cell, list[int]] = {}
    for position in range(len(requests)):
        found.setdefault(requests.cell(position), []).append(position)
    return {cell: [requests[each][1] for each in positions[:_REQUESTS]] for cell, positions in found.items()}


def _one(
    protocol: Protocol,
    connection: sending.Connection,
    requests: replay.Requests,
    loop: Mapping[str, float | int],
    budget_s: float,
    asked: Asked,
    redactor: redaction.Redactor,
    stopped: Callable[[], bool],
) -> Measured:
    kind: Literal["closed", "open"] = "open" if "rate" in loop else "closed"
    cell = requests.cell(0)
    gate = options.LatencyGate.parse({"enabled": False, "budget_s": budget_s, **loop})
    try:
        found, failure = load.put(requests, connection, gate, asked.timeout_s, asked.seed, stopped)
    except rest_json.NotSentError as error:
        return Measured(protocol, kind, evidence.Latencies(cell), reason=str(error))
    (latencies,) = found.cells
    message = "" if failure is None else redactor.message(failure[1], requests[failure[0]][1])
    error_code = next(iter(found.errors), "")
    return Measured(protocol, kind, latencies, found.rate, found.steady, found.dropped, error_code, message)

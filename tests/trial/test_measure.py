"""Latencies of answered requests only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from tensorflow_serving.apis import prediction_log_pb2

from infraval import evidence
from infraval.trial import measure, replay

LogOf = Callable[[str], prediction_log_pb2.PredictionLog]

TIMEOUT_S = 60.0


class Scripted:
    """A connection whose requests take as long and end as scripted, and its clock; then one second and OK each."""

    def __init__(self, script: Sequence[tuple[float, str]]) -> None:
        self._script: Iterator[tuple[float, str]] = iter(script)
        self.now_s = 0.0
        self.sent = 0

    def send(self, log: prediction_log_pb2.PredictionLog, timeout_s: float) -> tuple[str, str]:
        """Takes its time."""
        assert log
        assert timeout_s == TIMEOUT_S
        self.sent += 1
        seconds, code = next(self._script, (1.0, "OK"))
        self.now_s += seconds
        return code, ""

    def latencies(self, log: prediction_log_pb2.PredictionLog) -> list[tuple[float, float]]:
        """First and steady seconds."""
        measured = measure.measure(replay.OfLogs([log]), self, TIMEOUT_S, clock=lambda: self.now_s)  # type: ignore[arg-type]
        return [(latency.first_s, latency.steady_s) for latency in measured]


@pytest.mark.parametrize(
    ("script", "measured"),
    [
        ([(9, "OK")], [(9, 1)]),
        ([(9, "OK"), (3, "OK"), (3, "OK"), (3, "OK"), (60, "DEADLINE_EXCEEDED")], [(9, 3)]),
        ([(9, "OK"), (2, "OK"), (0.001, "INTERNAL")], [(9, 2)]),
        ([(9, "OK"), (60, "DEADLINE_EXCEEDED")], []),
        ([(0.001, "INVALID_ARGUMENT")], []),
    ],
)
def test_a_failed_request_is_no_latency(
    script: list[tuple[float, str]], measured: list[tuple[float, float]], log_of: LogOf
) -> None:
    """However quick or slow it failed."""
    assert Scripted(script).latencies(log_of("a")) == measured


def test_nothing_is_repeated_after_a_failure(log_of: LogOf) -> None:
    """Twenty that time out would take twenty minutes."""
    scripted = Scripted([(1, "OK"), *[(60, "DEADLINE_EXCEEDED")] * 20])
    scripted.latencies(log_of("a"))
    assert scripted.sent == 2


def test_each_first_request_has_what_the_counters_moved_with_it(log_of: LogOf) -> None:
    """Those that came while others were repeated, or that a failed request moved, belong to no cell."""
    scripted = Scripted([(1, "OK"), (1, "INTERNAL"), (1, "OK")])
    pages = iter([evidence.Counters(4, 0), evidence.Counters(5, 0), evidence.Counters(8, 0), evidence.Counters(8, 2)])
    measured = measure.measure(
        replay.OfLogs([log_of(signature) for signature in "abc"]),
        scripted,  # type: ignore[arg-type]
        TIMEOUT_S,
        count=lambda: next(pages),
        clock=lambda: scripted.now_s,
    )
    moved = [(each.cell.signature, each.graph_builds, each.xla_compilations) for each in measured]
    assert moved == [("a", 1, 0), ("c", 0, 2)]

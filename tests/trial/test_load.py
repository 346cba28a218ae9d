"""A load that hides nothing: stalls, errors, lag, what was not sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from infraval import errors, evidence, options, verdict
from infraval.gates.latency import Latency
from infraval.trial import client, load, replay, sending, tallies

Serve = Callable[..., str]
LogOf = Callable[[str], prediction_log_pb2.PredictionLog]

TIMEOUT_S = 60.0
SERVER = evidence.Server("tensorflow_model_server", "2.16.1", "process", embedded=False)


@pytest.fixture
def requests_of(log_of: LogOf) -> Callable[..., replay.Requests]:
    """Two requests for each signature."""

    def make(*signatures: str) -> replay.Requests:
        return replay.OfLogs([log_of(signature) for signature in signatures for _ in range(2)])

    return make


def put(target: str, requests: replay.Requests, timeout_s: float = TIMEOUT_S, **asked: Any) -> evidence.Load:
    """What a server does under a load."""
    with client.Client(target, "m") as connection:
        return load.put(requests, connection, options.LatencyGate(**asked), timeout_s)[0]


def judge(found: evidence.Load, **asked: Any) -> verdict.Finding:
    """What the gate says about it."""
    shown = evidence.Evidence(evidence.Boot(SERVER), 1, 2, evidence.Warmup(), load=found)
    return Latency(options.LatencyGate(**asked)).judge(shown)


class Stalling:
    """A server that answers at once, but nothing for a second when it gets request number 250."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free = threading.Event()
        self._free.set()
        self._requests = 0

    def __call__(self, _request: Any, _context: grpc.ServicerContext) -> Any:
        """Answers, as soon as nothing stalls."""
        with self._lock:
            self._requests += 1
            if self._requests == 250:
                self._free.clear()
                threading.Timer(1.0, self._free.set).start()
        self._free.wait()
        return predict_pb2.PredictResponse()


def test_a_stall_cannot_hide_in_an_open_loop(
    serve: Serve, requests_of: Callable[..., replay.Requests], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was due during the stall counts; a closed loop sees one slow request."""
    monkeypatch.setattr(tallies, "_EARLY_LOOKS", 0)  # a busy machine must not fail the server before it stalls
    asked = {"p99_ms": 100.0, "budget_s": 4.0}
    target = serve(Stalling(), "open")
    opened = put(target, requests_of("s"), rate=200.0, arrivals="constant", **asked)
    assert opened.overall.over[0] > 100
    assert opened.overall.p99_s > 0.5
    assert opened.overall.over_since_sent[0] > 100  # infraval itself was not late
    found = judge(opened, rate=200.0, **asked)
    assert found.status is verdict.Status.FAILED
    assert found.figure is not None
    assert found.figure > 500
    closed = put(serve(Stalling(), "closed"), requests_of("s"), **asked)
    assert closed.overall.over[0] < 20


@pytest.mark.parametrize("given", [{}, {"concurrency": 4}, {"rate": 500.0}, {"rate": 500.0, "arrivals": "constant"}])
def test_the_load_ends_once_the_bars_are_decided(
    given: dict[str, Any], serve: Serve, requests_of: Callable[..., replay.Requests]
) -> None:
    """After 299 requests for a 99th percentile; what came before latencies were steady does not count."""
    asked = {"p50_ms": 20_000.0, "p99_ms": 20_000.0} | given
    found = put(serve(), requests_of("a", "b"), **asked)
    assert judge(found, **asked).status is verdict.Status.PASSED
    assert 299 <= found.overall.requests < 2000
    assert found.settling + found.overall.requests == found.sent
    assert [each.cell.signature for each in found.cells if each.cell] == ["a", "b"]
    assert abs(found.cells[0].requests - found.cells[1].requests) <= 20
    assert sum(point.requests for point in found.points) == found.sent
    assert len(found.points) <= tallies.MOST_POINTS
    assert found.overall.p50_s <= found.overall.p90_s <= found.overall.p99_s <= found.overall.max_s
    curve = {each.percentile: each for each in found.overall.curve}
    assert [curve[each].seconds for each in (50, 90, 99)] == [
        found.overall.p50_s,
        found.overall.p90_s,
        found.overall.p99_s,
    ]
    assert max(curve) <= 100 - 100 / found.overall.requests
    assert all(each.low_s <= each.seconds <= (each.high_s or found.overall.max_s) for each in curve.values())
    assert not found.errors


def test_one_slow_cell_fails_and_its_twin_passes(serve: Serve, requests_of: Callable[..., replay.Requests]) -> None:
    """The reason names the cell; the other cell is not blamed."""

    def answer(request: Any, _context: grpc.ServicerContext) -> Any:
        if request.model_spec.signature_name == "slow":
            threading.Event().wait(0.5)
        return predict_pb2.PredictResponse()

    asked = {"p50_ms": 50.0, "per": "cell", "budget_s": 5.0}
    target = serve(answer)
    found = judge(put(target, requests_of("quick", "slow"), **asked), **asked)
    assert found.status is verdict.Status.FAILED
    (reason,) = found.reasons
    assert "signature slow" in reason
    assert judge(put(target, requests_of("quick", "quick"), **asked), **asked).status is verdict.Status.PASSED


def in_turn(one: str, other: str, requests: replay.Requests, cells: Collection[str] = "st", **asked: Any) -> Any:
    """What two servers do under the same load; the other one has answered some cells."""
    answered = {requests.cell(position) for position in range(len(requests))}
    with client.Client(one, "m") as connection, client.Client(other, "m") as beside:
        there = load.Other(beside, [cell for cell in answered if cell.signature in cells])
        return load.put(requests, connection, options.LatencyGate(**asked), TIMEOUT_S, other=there)[0]


@pytest.mark.parametrize("given", [{}, {"concurrency": 4}, {"rate": 400.0}, {"rate": 400.0, "arrivals": "constant"}])
def test_a_twin_of_the_baseline_passes(
    given: dict[str, Any], serve: Serve, requests_of: Callable[..., replay.Requests]
) -> None:
    """Both get as many requests, and the load ends long before the budget."""
    asked = {"p50_ratio": 20.0, "p90_ratio": 20.0, "p50_ms": 20_000.0} | given
    found = in_turn(serve(name="a"), serve(name="b"), requests_of("s", "t"), **asked)
    assert judge(found, **asked).status is verdict.Status.PASSED
    assert found.baseline is not None
    assert [each.cell for each in found.cells] == [each.cell for each in found.baseline.cells]
    assert found.seconds + found.baseline.seconds < 30
    assert 0.1 < found.sent / found.baseline.sent < 10
    assert not found.errors
    assert not found.baseline.errors


def test_one_that_is_slower_than_the_baseline_fails(serve: Serve, requests_of: Callable[..., replay.Requests]) -> None:
    """Its twin is not slow by any bar in milliseconds; the other way round it passes."""

    def answer(_request: Any, _context: grpc.ServicerContext) -> Any:
        threading.Event().wait(0.1)
        return predict_pb2.PredictResponse()

    slow, quick, requests = serve(answer, "slow"), serve(name="quick"), requests_of("s")
    asked = {"p50_ratio": 5.0, "budget_s": 4.0}
    found = judge(in_turn(slow, quick, requests, **asked), **asked)
    assert (found.status, found.unit) == (verdict.Status.FAILED, "x")
    assert found.figure is not None
    assert found.figure > 5
    assert judge(in_turn(quick, slow, requests, **asked), **asked).status is verdict.Status.PASSED


def test_a_baseline_gets_only_what_it_answers(serve: Serve, requests_of: Callable[..., replay.Requests]) -> None:
    """Cells that it lacks are not compared; an error of its own ends its part, not the model's."""

    def fail(_request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.INTERNAL, "No.")

    one, requests = serve(name="a"), requests_of("s", "t")
    asked = {"p50_ratio": 20.0, "per": "cell", "budget_s": 20.0}
    found = in_turn(one, serve(name="b"), requests, "s", **asked)
    assert [each.cell.signature for each in found.baseline.cells] == ["s"]
    assert judge(found, **asked).status is verdict.Status.PASSED
    found = in_turn(one, serve(fail, "c"), requests, **asked)
    assert (found.errors, found.baseline.errors) == ({}, {"INTERNAL": 1})
    assert judge(found, **asked).status is verdict.Status.UNDECIDED
    found = in_turn(one, serve(name="d"), requests, "", **asked)
    assert judge(found, **asked).status is verdict.Status.UNDECIDED


def test_an_error_ends_the_load_and_fails(serve: Serve, requests_of: Callable[..., replay.Requests]) -> None:
    """It is counted by its code, and the message is of the first."""
    answered = threading.Semaphore(50)

    def answer(_request: Any, context: grpc.ServicerContext) -> Any:
        if not answered.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Enough.")
        return predict_pb2.PredictResponse()

    with client.Client(serve(answer), "m") as connection:
        asked = options.LatencyGate(p99_ms=1000.0)
        found, failure = load.put(requests_of("s"), connection, asked, TIMEOUT_S)
    assert found.errors == {"RESOURCE_EXHAUSTED": 1}
    assert failure is not None
    assert failure[1] == "Enough."
    assert judge(found, p99_ms=1000.0).status is verdict.Status.FAILED


def test_what_cannot_be_sent_is_counted(
    serve: Serve, requests_of: Callable[..., replay.Requests], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that never answers: so many requests wait that others are dropped."""
    monkeypatch.setattr(sending, "_MOST_IN_FLIGHT", 3)
    ended = threading.Event()

    def hang(_request: Any, _context: grpc.ServicerContext) -> Any:
        ended.wait()
        return predict_pb2.PredictResponse()

    asked = {"p99_ms": 1000.0, "rate": 1000.0, "budget_s": 0.5}
    found = put(serve(hang), requests_of("s"), timeout_s=2.0, **asked)
    ended.set()
    assert found.sent == 3
    assert found.dropped > 100
    assert found.errors == {"DEADLINE_EXCEEDED": 3}
    assert judge(found, **asked).status is verdict.Status.FAILED


def test_a_budget_that_does_not_suffice_says_how_many_more(
    serve: Serve, requests_of: Callable[..., replay.Requests]
) -> None:
    """20 requests/s for a second are far too few for a 99th percentile."""
    asked = {"p99_ms": 20_000.0, "rate": 20.0, "budget_s": 1.0}
    found = put(serve(), requests_of("s"), **asked)
    finding = judge(found, **asked)
    assert finding.status is verdict.Status.UNDECIDED
    assert str(299 - found.overall.requests) in finding.reasons[0]
    assert not found.steady


def test_requests_that_do_not_fit_into_memory_are_left_out(
    serve: Serve, requests_of: Callable[..., replay.Requests], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is always sent."""
    monkeypatch.setattr(sending, "_MAX_BYTES", 1)
    asked = {"p50_ms": 20_000.0, "per": "cell"}
    found = put(serve(), requests_of("a", "b", "c"), **asked)
    assert (len(found.cells), found.cells_left_out) == (1, 2)
    assert judge(found, **asked).status is verdict.Status.UNDECIDED


def test_the_end_of_the_server_or_the_job_ends_the_load(
    serve: Serve, requests_of: Callable[..., replay.Requests]
) -> None:
    """Long before the budget is used up."""

    def aborted() -> bool:
        raise errors.AbortedError("Stopped.")

    asked = options.LatencyGate(p99_ms=1000.0, rate=0.001)
    with client.Client(serve(), "m") as connection:
        found, _ = load.put(requests_of("s"), connection, asked, TIMEOUT_S, stopped=lambda: True)
        assert found.sent == 0
        with pytest.raises(errors.AbortedError):
            load.put(requests_of("s"), connection, asked, TIMEOUT_S, stopped=aborted)
        assert connection.available()
        connection.close()
        ended = load.put(requests_of("s"), connection, options.LatencyGate(p99_ms=1000.0), TIMEOUT_S)[0]
    assert ended.errors.keys() == {"CANCELLED"}


@pytest.mark.parametrize(
    ("asked", "most"), [({}, 1), ({"concurrency": 9}, 9), ({"rate": 0.5}, 1), ({"rate": 1e9}, 1000)]
)
def test_the_server_gets_threads_for_the_load(asked: dict[str, Any], most: int) -> None:
    """By default, TF Serving turns away what comes while its few threads are busy."""
    assert load.at_once(options.LatencyGate(p99_ms=1.0, **asked)) == most

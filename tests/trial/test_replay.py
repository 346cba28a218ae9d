"""Requests at the same time: what the server turns away because of them is not the model's fault."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from infraval import errors, evidence, options, redaction
from infraval.sandbox import model_server
from infraval.trial import client, replay

Serve = Callable[..., str]
LogOf = Callable[[str], prediction_log_pb2.PredictionLog]

AT_ONCE = options.Limits(concurrency=8)


def outcomes_of(
    target: str, logs: list[prediction_log_pb2.PredictionLog], stopped: Callable[[], bool] = lambda: False
) -> tuple[evidence.Outcome, ...]:
    """Sends them, eight at a time."""
    with client.Client(target, "m") as connection:
        return replay.replay(replay.OfLogs(logs), connection, redaction.Redactor(), AT_ONCE, stopped)


def test_a_server_that_takes_fewer_requests_at_a_time_answers_them_all(serve: Serve, log_of: LogOf) -> None:
    """What it turns away is sent again alone, and the outcomes keep their order."""
    turned_away = threading.Event()

    def answer(_request: Any, _context: grpc.ServicerContext) -> Any:
        turned_away.wait(0.05)  # long enough to overlap
        return predict_pb2.PredictResponse()

    logs = [log_of(str(number)) for number in range(16)]
    outcomes = outcomes_of(serve(answer, most_at_once=2), logs)
    assert [outcome.code for outcome in outcomes] == ["OK"] * 16
    assert [outcome.cell.signature for outcome in outcomes] == [str(number) for number in range(16)]


def test_large_requests_are_sent_one_at_a_time(serve: Serve, log_of: LogOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in memory several times; all are answered, in their order."""
    monkeypatch.setattr(replay, "_MAX_BYTES_AT_ONCE", 1)
    running = threading.Semaphore(1)

    def answer(_request: Any, context: grpc.ServicerContext) -> Any:
        if not running.acquire(blocking=False):
            context.abort(grpc.StatusCode.INTERNAL, "Two at the same time.")
        threading.Event().wait(0.01)  # long enough for another to come
        running.release()
        return predict_pb2.PredictResponse()

    logs = [log_of(str(number)) for number in range(16)]
    outcomes = outcomes_of(serve(answer), logs)
    assert [outcome.code for outcome in outcomes] == ["OK"] * 16
    assert [outcome.cell.signature for outcome in outcomes] == [str(number) for number in range(16)]


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE])
def test_what_fails_alone_too_is_the_models(code: grpc.StatusCode, serve: Serve, log_of: LogOf) -> None:
    """Such as a tensor for which there is not enough memory; other errors are not tried twice."""
    tried = []

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        tried.append(request.model_spec.signature_name)
        if request.model_spec.signature_name == "large":
            context.abort(code, "OOM when allocating tensor")
        if request.model_spec.signature_name == "wrong":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "No.")
        return predict_pb2.PredictResponse()

    outcomes = outcomes_of(serve(answer), [log_of(signature) for signature in ("good", "large", "wrong")])
    assert [outcome.code for outcome in outcomes] == ["OK", code.name, "INVALID_ARGUMENT"]
    assert sorted(tried) == ["good", "large", "large", "wrong"]


def test_a_server_without_a_thread_for_one_request_is_no_verdict(serve: Serve, log_of: LogOf) -> None:
    """The server's gRPC says so itself, in the words that a real TF Serving was seen to answer with."""

    def answer(_request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")

    with pytest.raises(errors.ServerLostError, match="--server-argument"):
        outcomes_of(serve(answer), [log_of("")])


def test_nothing_is_sent_again_to_a_server_that_has_ended(serve: Serve, log_of: LogOf) -> None:
    """The outcome stays what it was."""
    tried: list[str] = []

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        tried.append(request.model_spec.signature_name)
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    (outcome,) = outcomes_of(serve(answer), [log_of("a")], stopped=lambda: bool(tried))
    assert (outcome.code, tried) == ("UNAVAILABLE", ["a"])


@pytest.mark.parametrize("concurrency", [1, 16, 64])
def test_the_server_has_more_threads_than_requests_at_a_time(concurrency: int) -> None:
    """A real one with four more than 16 turned requests away; with 64, it did not."""
    assert model_server.grpc_max_threads(concurrency) >= max(64, 2 * concurrency)


class _Counted(list[prediction_log_pb2.PredictionLog]):
    """Logs that count how often one of them is read."""

    reads = 0

    def __getitem__(self, position: Any, /) -> Any:
        """A log, or several."""
        self.reads += 1
        return super().__getitem__(position)


def test_cells_are_known_without_reading_requests(log_of: LogOf) -> None:
    """A large request is not read to learn what it is."""
    logs = _Counted([log_of(name) for name in "aabb"])
    requests = replay.OfLogs(logs)
    logs.reads = 0
    assert replay.firsts_before_others(requests) == ([0, 2, 1, 3], 2)
    assert [requests.cell(position).signature for position in range(len(requests))] == list("aabb")
    assert logs.reads == 0

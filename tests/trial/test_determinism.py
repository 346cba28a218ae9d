"""Sending the same requests again to a server in this process that merges what comes at the same time."""

from __future__ import annotations

import itertools
import threading
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2

from infraval import evidence, options, redaction
from infraval.requests import tensors
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import boot, client, determinism, replay

Answer = Callable[[Any, grpc.ServicerContext], Any]
Serve = Callable[..., str]
Look = Callable[..., evidence.Determinism]


def log_of(signature: str, *values: float) -> prediction_log_pb2.PredictionLog:
    """A Predict request with a batch of so many values."""
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    tensor = tensors.empty("float", (len(values),))
    tensor.float_val.extend(values)
    log.predict_log.request.inputs["x"].CopyFrom(tensor)
    return log


def answered(request: Any, more: float = 0.0) -> Any:
    """The values of a request and something more."""
    response = predict_pb2.PredictResponse()
    response.outputs["y"].CopyFrom(request.inputs["x"])
    if more:
        response.outputs["y"].float_val[0] += more
    return response


@pytest.fixture
def look(serve: Serve, tmp_path: Path) -> Look:
    """Studies a server that answers with that function."""

    def run(
        answer: Answer, logs: Sequence[prediction_log_pb2.PredictionLog], *, batched: bool = False
    ) -> evidence.Determinism:
        warmup = {"batching_parameters_file": "b"} if batched else {}
        job = options.Job(model="m", warmup=warmup)
        launch: Any = None
        booter = boot.Booter(job.server, job.limits, launch, tmp_path, redaction.Redactor(), lambda _: None)
        study = determinism.Study(job, booter)
        sandbox: Any = types.SimpleNamespace()
        with client.Client(serve(answer), "m") as connection:
            study(boot.Serving(connection, sandbox, replay.OfLogs(logs)))
        assert study.found is not None
        return study.found

    return run


def test_equal_answers_are_counted(look: Look) -> None:
    """Each request twice alone, and more often with others."""
    found = look(lambda request, _: answered(request), [log_of("s", 1), log_of("s", 2), log_of("t", 3)])
    assert found.requests == 3
    assert [(each.signature, each.responses, each.responses_differing) for each in found.alone] == [
        ("s", 2, 0),
        ("t", 1, 0),
    ]
    assert all(each.responses >= 8 and not each.responses_differing for each in found.together)
    assert not found.unanswered


def test_an_answer_that_is_never_the_same_differs_alone(look: Look) -> None:
    """Like dropout."""
    numbers = itertools.count()
    found = look(lambda request, _: answered(request, next(numbers)), [log_of("s", 1)])
    assert found.alone[0].responses_differing == 1
    assert found.together[0].responses_differing > 0


def test_an_answer_that_depends_on_what_comes_at_the_same_time_differs_together_only(look: Look) -> None:
    """The requests are in the server together: each waits there for the other three."""
    lock, running = threading.Lock(), [0]
    four = threading.Barrier(4)

    def answer(request: Any, _context: grpc.ServicerContext) -> Any:
        with lock:
            running[0] += 1
            first_two = running[0] <= 2
        if first_two:
            return answered(request)
        four.wait(timeout=30)
        return answered(request, 1.0)

    found = look(answer, [log_of("s", 1)])
    assert (found.alone[0].responses_differing, found.at_once) == (0, 4)
    assert found.together[0].responses_differing == found.together[0].responses > 0


def test_an_error_beside_others_is_told(look: Look) -> None:
    """With its code; not one that says that there were too many at once."""
    count = itertools.count()

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        number = next(count)
        if number >= 2:
            context.abort(grpc.StatusCode.UNAVAILABLE if number % 2 else grpc.StatusCode.FAILED_PRECONDITION, "No.")
        return answered(request)

    found = look(answer, [log_of("s", 1)])
    assert {each.code for each in found.unanswered} == {"FAILED_PRECONDITION"}
    assert not found.together


def test_a_server_that_batches_gets_single_rows_too(look: Look) -> None:
    """A request as large as a batch is never merged; a row that the model does not take is left out."""
    sizes: list[int] = []

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        size = request.inputs["x"].tensor_shape.dim[0].size
        sizes.append(size)
        if size == 1 and request.model_spec.signature_name == "fixed":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Four, please.")
        return answered(request)

    found = look(answer, [log_of("s", 1, 2, 3, 4), log_of("fixed", 1, 2, 3, 4)], batched=True)
    assert found.batched
    assert set(sizes) == {1, 4}
    assert {each.signature: each.responses for each in found.alone} == {"s": 5, "fixed": 1}
    assert not found.unanswered


def test_every_cell_is_looked_at_whatever_the_budget(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its first request."""
    monkeypatch.setattr(determinism, "_BUDGET_S", -1.0)
    logs = [log_of(name, number) for number in range(3) for name in "ab"]
    found = look(lambda request, _: answered(request), logs)
    assert {each.signature: each.responses for each in found.alone} == {"a": 1, "b": 1}


def test_so_many_requests_are_sent_again(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are."""
    monkeypatch.setattr(determinism, "_REQUESTS", 3)
    assert look(lambda request, _: answered(request), [log_of("s", number) for number in range(9)]).requests == 3

"""What the tests of a trial share: a server in this process that speaks the real wire protocol, and requests to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from infraval import workspace

Answer = Callable[[Any, grpc.ServicerContext], Any]
Serve = Callable[..., str]


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def GetModelStatus(self, request: object, context: object) -> object:  # noqa: ARG002, N802 - gRPC's name
        available = get_model_status_pb2.ModelVersionStatus(version=1, state="AVAILABLE")
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[available])


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the same
        return self._answer(request, context)


def _empty(_request: Any, _context: grpc.ServicerContext) -> Any:
    return predict_pb2.PredictResponse()


@pytest.fixture
def private_directory() -> Iterator[Path]:
    """A directory with a path short enough for a socket, unlike `tmp_path`."""
    with workspace.workspace() as directory:
        yield directory


@pytest.fixture
def serve(private_directory: Path) -> Iterator[Serve]:
    """Serves with a function that answers Predict, on a socket of that name; returns the target."""
    servers = []

    def start(answer: Answer = _empty, name: str = "s", most_at_once: int | None = None) -> str:
        server = grpc.server(futures.ThreadPoolExecutor(8), maximum_concurrent_rpcs=most_at_once)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(), server)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(answer), server)
        target = f"unix:{private_directory / name}"
        server.add_insecure_port(target)
        server.start()
        servers.append(server)
        return target

    yield start
    for server in servers:
        stopped: threading.Event = server.stop(grace=None)
        stopped.wait()


@pytest.fixture
def log_of() -> Callable[[str], prediction_log_pb2.PredictionLog]:
    """A Predict request for a signature."""

    def make(signature: str) -> prediction_log_pb2.PredictionLog:
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.model_spec.signature_name = signature
        return log

    return make

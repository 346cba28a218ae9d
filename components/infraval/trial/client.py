"""gRPC to a model server: every call has a deadline, every failure is data or one of our errors."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

if TYPE_CHECKING:
    from typing_extensions import Self

_STATUS_TIMEOUT_S = 5.0

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A proxy from the environment must not get between us and a loopback address.
    ("grpc.enable_http_proxy", 0),
    # The first attempts fail because the server does not listen yet; by default, gRPC waits a second after each.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 50),
)

# An error message that is not UTF-8 is logged there with all its bytes, which may be request data.
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)


class Client:
    """A connection to the model of that name at a gRPC target."""

    def __init__(self, target: str, model_name: str) -> None:
        self._model_name = model_name
        self._channel = grpc.insecure_channel(target, options=_CHANNEL_OPTIONS)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, and running requests with CANCELLED; may be called from another thread."""
        self._channel.close()

    def available(self) -> bool:
        """Whether the server answers and says that a version of the model is AVAILABLE."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model_name
        try:
            response = self._model.GetModelStatus(request, timeout=_STATUS_TIMEOUT_S)
        except grpc.RpcError:
            # It does not listen or does not know the model yet; the sandbox says whether the server is alive.
            return False
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        return any(version.state == available for version in response.model_version_status)

    def send(self, log: prediction_log_pb2.PredictionLog, timeout_s: float) -> tuple[str, str]:
        """Sends the request of a log, of a kind that `prediction_logs.cell` knows, and waits for its answer.

        The request goes to this client's model, whatever model, version or label it names, as in TF Serving's warmup.

        Returns:
          The name of the gRPC status code (DEADLINE_EXCEEDED after `timeout_s`), and the server's error message, which
          may contain request data.
        """
        kind = log.WhichOneof("log_type")
        request = type(getattr(log, kind).request)()
        request.CopyFrom(getattr(log, kind).request)
        specs = [task.model_spec for task in request.tasks] if kind == "multi_inference_log" else [request.model_spec]
        for model_spec in specs:
            model_spec.name = self._model_name
            model_spec.ClearField("version_choice")
        call = {
            "predict_log": self._prediction.Predict,
            "classify_log": self._prediction.Classify,
            "regress_log": self._prediction.Regress,
            "multi_inference_log": self._prediction.MultiInference,
        }[kind]
        try:
            call(request, timeout=timeout_s)
        except grpc.RpcError as error:
            return error.code().name, error.details() or ""
        return "OK", ""

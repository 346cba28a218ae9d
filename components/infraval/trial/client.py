"""gRPC to a model server: every call has a deadline, every failure is data or one of our errors."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
from typing_extensions import Self

from infraval.sandbox import base
from infraval.tensorflow_protos import get_model_status_pb2, prediction_log_pb2

_STATUS_TIMEOUT_S = 5.0

MAX_RESPONSE_BYTES = 256 << 20
"""The largest answer that is received, lest a model fills the client's memory."""

_MAX_METADATA_BYTES = 1 << 20

MAX_ERROR_LENGTH = 1 << 14
"""Characters of an error message; the rest is cut."""

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    ("grpc.max_send_message_length", -1),
    # Error messages count as metadata. By default, gRPC loses the code of an error whose message is over 8 KiB.
    ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
    # A proxy from the environment must not get between us and a loopback address.
    ("grpc.enable_http_proxy", 0),
    # The first attempts fail because the server does not listen yet; by default, gRPC waits a second after each.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 50),
    # Connections are not shared with those of an earlier boot at the same address.
    ("grpc.use_local_subchannel_pool", 1),
)

_TOO_LARGE = "Received message larger than max"
"""What gRPC says of an answer over `MAX_RESPONSE_BYTES`, with code RESOURCE_EXHAUSTED."""

_METHODS = {
    "predict_log": "Predict",
    "classify_log": "Classify",
    "regress_log": "Regress",
    "multi_inference_log": "MultiInference",
}

_UNIX = "unix:"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A request that is ready to be sent many times.

    Attributes:
      method: path of the RPC.
      content: the serialized request.
    """

    method: str
    content: bytes = dataclasses.field(repr=False)

    @classmethod
    def of(cls, kind: str, content: bytes) -> Self:
        """A serialized request, as that kind of log."""
        return cls(f"/tensorflow.serving.PredictionService/{_METHODS[kind]}", content)


# An error message that is not UTF-8 is logged there with all its bytes, which may be request data.
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)


class Client:
    """A connection to the model of that name at a gRPC target, made once there is something to connect to.

    Requests ask for a version label if one is given, else for a version if one is given, else for the latest.
    """

    most_at_once = sys.maxsize
    """Requests take no thread."""

    def __init__(self, target: str, model_name: str, model_version: int | None = None, version_label: str = "") -> None:
        self._target = target
        self._model_name = model_name
        self._model_version = model_version
        self._version_label = version_label
        self._channel: grpc.Channel | None = None
        self._socket: int | None = None
        self._started: dict[str, Callable[..., grpc.Future]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._socket is not None:
            os.close(self._socket)
            self._socket = None

    def close(self) -> None:
        """Ends the connection, and running requests with CANCELLED; may be called from another thread."""
        if self._channel is not None:
            self._channel.close()

    def available(self) -> bool:
        """Whether the server answers and says that a version of the model is AVAILABLE.

        Raises:
          SandboxError: what is at the server's socket's path is not the server's socket.
        """
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        return any(version.state == available for version in self.versions() or ())

    def versions(self) -> Sequence[Any] | None:
        """The ModelVersionStatus of each version of the model; None without an answer.

        Raises:
          SandboxError: what is at the server's socket's path is not the server's socket.
        """
        channel = self._connected()
        if channel is None:
            return None
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model_name
        call = channel.unary_unary(
            "/tensorflow.serving.ModelService/GetModelStatus",
            request_serializer=get_model_status_pb2.GetModelStatusRequest.SerializeToString,
            response_deserializer=get_model_status_pb2.GetModelStatusResponse.FromString,
        )
        try:
            response = call(request, timeout=_STATUS_TIMEOUT_S)
        except grpc.RpcError:
            # It does not listen or does not know the model yet; the sandbox says whether the server is alive.
            return None
        return tuple(response.model_version_status)

    def send(
        self,
        log: prediction_log_pb2.PredictionLog,
        timeout_s: float,
        on_answer: Callable[[bytes], object] = len,
    ) -> tuple[str, str]:
        """Sends the request of a log, of a kind that `prediction_logs.cell` knows, and waits for its answer.

        The request goes to this client's model, whatever model, version or label it names, as in TF Serving's warmup.
        `on_answer` gets the serialized answer, and must not raise; none larger than `MAX_RESPONSE_BYTES`.

        Returns:
          The name of the gRPC status code (DEADLINE_EXCEEDED after `timeout_s`), and the server's error message, which
          may contain request data, at most `MAX_ERROR_LENGTH` characters.
        """
        return self.call(self.prepare(log), timeout_s, on_answer)

    def call(self, prepared: Prepared, timeout_s: float, on_answer: Callable[[bytes], object] = len) -> tuple[str, str]:
        """Does what `send` does with a request that is ready, and may be malformed."""
        channel = self._connected()
        if channel is None:
            return grpc.StatusCode.UNAVAILABLE.name, "The server does not listen."
        call = channel.unary_unary(
            prepared.method,
            # Parsed, an answer would take twice the memory. For gRPC, None is a failure.
            response_deserializer=lambda content: (on_answer(content),),
        )
        try:
            call(prepared.content, timeout=timeout_s)
        except grpc.RpcError as error:
            return error.code().name, _message(error)
        return "OK", ""

    def request_of(self, log: prediction_log_pb2.PredictionLog) -> Any:
        """The request of a log, for this client's model."""
        kind = log.WhichOneof("log_type")
        request = type(getattr(log, kind).request)()
        request.CopyFrom(getattr(log, kind).request)
        specs = [task.model_spec for task in request.tasks] if kind == "multi_inference_log" else [request.model_spec]
        for model_spec in specs:
            model_spec.name = self._model_name
            model_spec.ClearField("version_choice")
            if self._version_label:
                model_spec.version_label = self._version_label
            elif self._model_version is not None:
                model_spec.version.value = self._model_version
        return request

    def prepare(self, log: prediction_log_pb2.PredictionLog) -> Prepared:
        """The request of a log as `send` sends it."""
        return Prepared.of(log.WhichOneof("log_type"), self.request_of(log).SerializeToString())

    def start(self, prepared: Prepared, timeout_s: float, on_end: Callable[[str, str], object]) -> None:
        """Sends a request without waiting for its answer.

        `on_end` gets what `send` returns, once, most often in a thread of gRPC's, and must be quick.
        """
        channel = self._connected()
        if channel is None:
            on_end(grpc.StatusCode.UNAVAILABLE.name, "The server does not listen.")
            return
        start = self._started.get(prepared.method)
        if start is None:
            # As in `send`, answers are not parsed.
            start = self._started[prepared.method] = channel.unary_unary(
                prepared.method, response_deserializer=lambda _: ()
            ).future
        try:
            call = start(prepared.content, timeout=timeout_s)
        except ValueError:  # gRPC's answer on a closed channel
            on_end(grpc.StatusCode.CANCELLED.name, "The connection was closed.")
            return
        call.add_done_callback(lambda ended: on_end(ended.code().name, _message(ended)))

    def _connected(self) -> grpc.Channel | None:
        """The channel; None if the server has not made its socket yet."""
        if self._channel is None:
            target = self._target
            # Only Linux has descriptors that stand for a path.
            if target.startswith(_UNIX) and sys.platform == "linux":
                self._socket = base.open_socket(Path(target.removeprefix(_UNIX)))
                if self._socket is None:
                    return None
                target = f"{_UNIX}/proc/self/fd/{self._socket}"
            self._channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        return self._channel


def _message(ended: grpc.Call) -> str:
    """The error message of a call; empty for an answer."""
    message = (ended.details() or "")[:MAX_ERROR_LENGTH]
    if _TOO_LARGE in message:
        return f"The answer is larger than {MAX_RESPONSE_BYTES >> 20} MiB, the most that infraval receives."
    return message

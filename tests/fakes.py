"""Servers that misbehave: what no real one does on demand.

`fakes.py BEHAVIOUR BOOTS_FILE FLAG...` is a `tensorflow_model_server`: it speaks the real wire protocol on the real
flags, and writes TF Serving's log lines. BOOTS_FILE grows by a byte a boot.

`fakes.py silent-registry` is a registry of images that answers that it is one, and nothing else. It prints its port.

`ConfigServer` is in the test's own process: a model server's answers about versions and labels, from its config file.
"""

from __future__ import annotations

import http.server
import os
import re
import signal
import sys
import threading
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

REFUSAL = (
    "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
    "{{{name: m version: 1} due to error: INVALID_ARGUMENT: Input is empty.}, }"
)


def hang() -> None:
    """Never returns; whoever started this kills it."""
    threading.Event().wait()


def outgrow_memory() -> None:
    """Takes memory until the kernel has no more."""
    taken = []
    while True:
        taken.append(b"x" * 10_000_000)


def babble() -> int:
    """Writes megabytes of log, and fails."""
    for number in range(60_000):
        print(f"{number:06d} {'chatter ' * 12}", file=sys.stderr)
    print("\u2026the end", file=sys.stderr, flush=True)
    return 3


def main(behaviour: str, boots: Path, flags: list[str]) -> int:  # noqa: C901 - a list of behaviours
    """Boots, serves or fails as the behaviour says."""
    while flags == ["--version"] and behaviour == "endless-version":
        print("x" * 4096)
    if flags == ["--version"]:
        print("TensorFlow ModelServer: 2.16.1-fake\nTensorFlow Library: 2.16.2")
        return 0
    with boots.open("ab") as file:
        file.write(b".")
    options = dict(flag.removeprefix("--").partition("=")[::2] for flag in flags)
    config = Path(options["model_config_file"]).read_text() if "model_config_file" in options else ""
    base_path = Path(re.findall('base_path: "(.*)"', config)[0] if config else options["model_base_path"])
    versions = [path.name for path in base_path.glob("[0-9]*")]
    warmup = base_path / (versions[0] if versions else "1") / "assets.extra" / "tf_serving_warmup_requests"
    print("Adding/updating models.", file=sys.stderr, flush=True)
    if behaviour == "abort-at-load" or (behaviour == "abort-once" and boots.stat().st_size == 1):
        os.abort()
    if behaviour == "kill-at-load":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "claim-and-hang":
        print("I Running gRPC ModelServer at 0.0.0.0:8500 ...", file=sys.stderr, flush=True)
    if behaviour in {"hang-at-load", "claim-and-hang"}:
        hang()
    if behaviour == "outgrow-memory":
        outgrow_memory()
    if behaviour == "babble":
        return babble()
    if behaviour == "bad-flag":
        print("Failed to start server. Error: INVALID_ARGUMENT: no such flag", file=sys.stderr)
        return 255
    if behaviour == "refuse-warmup" and warmup.exists():
        print(REFUSAL, file=sys.stderr)
        return 255
    if behaviour != "cold":
        found = f"Finished reading warmup data for model at {warmup}. Number of warmup records read: 1. Elapsed time "
        text = f"{found}(microseconds): 1." if warmup.exists() else f"No warmup data file found at {warmup}"
        print(text, file=sys.stderr, flush=True)
    labels = re.findall('key: "(.*)"', config)
    serve(behaviour, options.get("grpc_socket_path", ""), int(options.get("port", "8500")), labels)
    return 0


def serve(behaviour: str, socket_path: str, port: int, labels: list[str]) -> None:
    """Answers GetModelStatus and Predict, on the socket if there is one, until it is killed.

    `by-label` answers only requests that ask for one of these labels.
    """
    import grpc  # noqa: PLC0415 - takes seconds with what follows, and not every behaviour gets here
    from tensorflow_serving.apis import (  # noqa: PLC0415
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    answered: list[int] = []
    leaked: list[bytes] = []

    class ModelService(model_service_pb2_grpc.ModelServiceServicer):
        def GetModelStatus(self, request: object, context: object) -> object:  # noqa: ARG002, N802 - gRPC's name
            available = get_model_status_pb2.ModelVersionStatus(version=1, state="AVAILABLE")
            return get_model_status_pb2.GetModelStatusResponse(model_version_status=[available])

    class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request: Any, context: Any) -> object:  # noqa: N802 - gRPC's name
            if behaviour == "by-label" and request.model_spec.version_label not in labels:
                label = request.model_spec.version_label
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
            if behaviour == "abort-in-request":
                print(request, file=sys.stderr, flush=True)
                os.abort()
            shape = request.inputs["examples"].tensor_shape.dim
            if behaviour == "abort-on-rank" and len(shape) != 1:
                print("F Check failed: index >= 0 && index < num_total_dims", file=sys.stderr, flush=True)
                os.abort()
            if behaviour == "hang-on-no-rows" and shape and shape[0].size == 0:
                hang()
            if behaviour == "leak":
                leaked.append(b"x" * 1_000_000)
            if behaviour == "hang-in-request" or (behaviour == "abort-after-one" and answered):
                hang()
            if behaviour == "abort-after-one":
                answered.append(1)
                threading.Timer(0.3, os.abort).start()
            response = predict_pb2.PredictResponse()
            response.outputs["result"].CopyFrom(request.inputs["examples"])
            return response

    server = grpc.server(futures.ThreadPoolExecutor(4))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(), server)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(), server)
    server.add_insecure_port(f"unix:{socket_path}" if socket_path else f"0.0.0.0:{port}")
    server.start()
    address = f"UNIX socket {socket_path}" if socket_path else f"0.0.0.0:{port}"
    print(f"Running gRPC ModelServer at {address} ...", file=sys.stderr, flush=True)
    server.wait_for_termination()


class ConfigServer:
    """What a TF Serving 2.16.1 with --model_config_file_poll_wait_seconds says about one model (golden/config.json).

    It reads the file before each answer, and a version takes a step towards AVAILABLE with each answer about it, so no
    test waits for a clock. All fields may be read and changed by the test.

    Args:
      config: path of the config file.
      on_disk: versions of the model that exist.
      allow_labels: --allow_version_labels_for_unavailable_models.
    """

    def __init__(self, config: Path, on_disk: set[int], *, allow_labels: bool = False) -> None:
        self.config = config
        self.on_disk = on_disk
        self.allow_labels = allow_labels
        self.polls = True
        self.broken: set[int] = set()
        self.endless: set[int] = set()
        self.states: dict[int, str] = {}
        self.labels: dict[str, int] = {}
        self.refused: list[str] = []
        self.model = ""
        self.target = ""

    def __enter__(self) -> Self:
        import grpc  # noqa: PLC0415 - not every fake needs it

        from infraval.tensorflow_protos import (  # noqa: PLC0415 - some images with this file have no infraval
            get_model_metadata_pb2,
            get_model_status_pb2,
        )

        def handler(service: str, method: str, answer: Any, request: Any) -> Any:
            unary = grpc.unary_unary_rpc_method_handler(
                answer,
                request_deserializer=request.FromString,
                response_serializer=lambda said: said.SerializeToString(),
            )
            return grpc.method_handlers_generic_handler(f"tensorflow.serving.{service}", {method: unary})

        self._poll()
        for version in self.states:
            self.states[version] = "AVAILABLE"
        self._poll()
        self._server = grpc.server(futures.ThreadPoolExecutor(1))
        status, metadata = get_model_status_pb2, get_model_metadata_pb2
        self._server.add_generic_rpc_handlers(
            (
                handler("ModelService", "GetModelStatus", self._status, status.GetModelStatusRequest),
                handler("PredictionService", "GetModelMetadata", self._metadata, metadata.GetModelMetadataRequest),
            )
        )
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def _poll(self) -> None:
        from google.protobuf import text_format  # noqa: PLC0415 - as above

        from infraval.tensorflow_protos import model_server_config_pb2  # noqa: PLC0415 - as above

        if self.model and not self.polls:
            return
        config = model_server_config_pb2.ModelServerConfig()
        text_format.Parse(self.config.read_text(), config)
        (entry,) = config.model_config_list.config
        wanted = {*entry.model_version_policy.specific.versions} & self.on_disk
        for label, version in entry.version_labels.items():
            is_new = label not in self.labels
            if self.states.get(version) != "AVAILABLE" and self.model and not (self.allow_labels and is_new):
                self.refused.append(f"Request to assign label to version {version} of model {entry.name}")
                return
        self.model = entry.name
        self.labels = dict(entry.version_labels)
        self.states = {
            version: self.states.get(version, "START") if version in wanted else "END"
            for version in {*self.states, *wanted}
        }

    def _status(self, request: Any, context: Any) -> Any:
        import grpc  # noqa: PLC0415 - as above

        from infraval.tensorflow_protos import get_model_status_pb2  # noqa: PLC0415 - as above

        self._poll()
        response = get_model_status_pb2.GetModelStatusResponse()
        if request.model_spec.name != self.model:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")
        asked = {request.model_spec.version.value} if request.model_spec.HasField("version") else {*self.states}
        if not asked & self.states.keys():
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find version {min(asked)} of model {self.model}")
        for version in asked & self.states.keys():
            status = response.model_version_status.add(version=version, state=self.states[version])
            if version in self.broken and status.state == status.END:
                status.status.error_code = 5
                status.status.error_message = "Could not find meta graph def"
            done = "END" if version in self.broken else "AVAILABLE"
            steps = {"START": "LOADING", "LOADING": "LOADING" if version in self.endless else done}
            self.states[version] = steps.get(self.states[version], self.states[version])
        return response

    def _metadata(self, request: Any, context: Any) -> Any:
        import grpc  # noqa: PLC0415 - as above

        from infraval.tensorflow_protos import get_model_metadata_pb2  # noqa: PLC0415 - as above

        self._poll()
        label = request.model_spec.version_label
        if label not in self.labels:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self.model
        response.model_spec.version.value = self.labels[label]
        return response


class SilentRegistry(http.server.BaseHTTPRequestHandler):
    """Says that it is a registry, and never says more; source: the OCI distribution specification."""

    def do_GET(self) -> None:
        """Answers the ping; whatever else is asked hangs."""
        if self.path != "/v2/":
            hang()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - http.server's name


def serve_silent_registry() -> None:
    """Serves until it is killed."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), SilentRegistry) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:] == ["silent-registry"]:
        serve_silent_registry()
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))

"""A `tensorflow_model_server` that misbehaves: what no real one does on demand.

Speaks the real wire protocol on the real flags, and writes TF Serving's log lines. Called as
`fakes.py BEHAVIOUR BOOTS_FILE FLAG...`; BOOTS_FILE grows by a byte a boot.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent import futures
from pathlib import Path

REFUSAL = (
    "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
    "{{{name: m version: 1} due to error: INVALID_ARGUMENT: Input is empty.}, }"
)


def hang() -> None:
    """Never returns; whoever started this kills it."""
    threading.Event().wait()


def main(behaviour: str, boots: Path, flags: list[str]) -> int:
    """Boots, serves or fails as the behaviour says."""
    if flags == ["--version"]:
        print("TensorFlow ModelServer: 2.16.1-fake\nTensorFlow Library: 2.16.2")
        return 0
    with boots.open("ab") as file:
        file.write(b".")
    options = dict(flag.removeprefix("--").partition("=")[::2] for flag in flags)
    warmup = Path(options["model_base_path"]) / "1" / "assets.extra" / "tf_serving_warmup_requests"
    if behaviour == "abort-at-load" or (behaviour == "abort-once" and boots.stat().st_size == 1):
        os.abort()
    if behaviour == "kill-at-load":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "hang-at-load":
        hang()
    if behaviour == "outgrow-memory":
        taken = []
        while True:
            taken.append(b"x" * 10_000_000)
    if behaviour == "babble":
        for number in range(60_000):
            print(f"{number:06d} {'chatter ' * 12}", file=sys.stderr)
        print("\u2026the end", file=sys.stderr, flush=True)
        return 3
    if behaviour == "bad-flag":
        print("Failed to start server. Error: INVALID_ARGUMENT: no such flag", file=sys.stderr)
        return 255
    if behaviour == "refuse-warmup" and warmup.exists():
        print(REFUSAL, file=sys.stderr)
        return 255
    if behaviour != "cold":
        text = f"Finished reading warmup data for model at {warmup}. Number of warmup records read: 1. Elapsed time "
        print(f"{text}(microseconds): 1.", file=sys.stderr, flush=True)
    serve(behaviour, f"unix:{options['grpc_socket_path']}" if "grpc_socket_path" in options else "0.0.0.0:8500")
    return 0


def serve(behaviour: str, address: str) -> None:
    """Answers GetModelStatus and Predict until it is killed."""
    import grpc  # noqa: PLC0415 - takes seconds with what follows, and not every behaviour gets here
    from tensorflow_serving.apis import (  # noqa: PLC0415
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    class ModelService(model_service_pb2_grpc.ModelServiceServicer):
        def GetModelStatus(self, request: object, context: object) -> object:  # noqa: ARG002, N802 - gRPC's name
            available = get_model_status_pb2.ModelVersionStatus(version=1, state="AVAILABLE")
            return get_model_status_pb2.GetModelStatusResponse(model_version_status=[available])

    class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request: object, context: object) -> object:  # noqa: ARG002, N802 - gRPC's name
            if behaviour == "abort-in-request":
                os.abort()
            if behaviour == "hang-in-request":
                hang()
            if behaviour == "abort-between-requests":
                threading.Timer(0.2, os.abort).start()
            return predict_pb2.PredictResponse()

    server = grpc.server(futures.ThreadPoolExecutor(4))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(), server)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(), server)
    server.add_insecure_port(address)
    server.start()
    print(f"Running gRPC ModelServer at {address} ...", file=sys.stderr, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))

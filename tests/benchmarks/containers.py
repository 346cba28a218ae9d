"""The Docker sandbox's speed against TFX's InfraValidator and the floor, in one run on one engine: `make bench-docker`.

The floor is what nobody can do without: one boot of the image to AVAILABLE, the same requests at the same concurrency,
kill and remove. It boots the model cold; infraval's time is that of a whole validation, and boots it with its warmup
file. Each measurement is a process of its own, without the time of its imports.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

IMAGE = os.environ.get("INFRAVAL_BENCH_IMAGE", "infraval/model-server:latest")
REQUESTS = 300
CONCURRENCY = 4
REPEATS = 3
MAX_OF_FLOOR = 1.5
MODEL_NAME = "chicago-taxi"


def _taxi() -> tuple[Path, Path]:
    """The SavedModel and the Examples artifact that the tfx wheel carries."""
    found = importlib.util.find_spec("tfx")
    if found is None or found.origin is None:
        raise SystemExit("This benchmark needs tfx, which `make setup` installs.")
    testdata = Path(found.origin).parent / "components" / "testdata"
    return testdata / "trainer" / "current", testdata / "csv_example_gen"


def _serving_model() -> Path:
    trained, _ = _taxi()
    return next((trained / "Format-Serving" / "export" / "chicago-taxi").iterdir())


def floor() -> Callable[[], None]:
    """One boot, the requests, kill and remove, with nothing but docker and gRPC."""
    import docker  # noqa: PLC0415 - each measurement imports what it measures, before its clock starts
    import grpc  # noqa: PLC0415
    from tensorflow_serving.apis import (  # noqa: PLC0415
        classification_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        prediction_service_pb2_grpc,
    )

    def requests() -> list[classification_pb2.ClassificationRequest]:
        import tensorflow as tf  # noqa: PLC0415

        gzip = tf.compat.v1.io.TFRecordOptions(tf.compat.v1.io.TFRecordCompressionType.GZIP)
        shard = min(str(path) for path in (_taxi()[1] / "Split-eval").iterdir())
        built = []
        for record in itertools.islice(tf.compat.v1.io.tf_record_iterator(shard, gzip), REQUESTS):
            request = classification_pb2.ClassificationRequest()
            request.model_spec.name = MODEL_NAME
            request.input.example_list.examples.add().ParseFromString(record)
            built.append(request)
        return built

    engine = docker.from_env()
    sent = requests()
    model = _serving_model()

    def run() -> None:
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as on_leaving:
            Path(name).chmod(0o777)
            container = engine.containers.run(
                IMAGE,
                [f"--grpc_socket_path={name}/s", "--grpc_max_threads=8"],
                detach=True,
                network_mode="none",
                environment={"MODEL_NAME": MODEL_NAME},
                user="0:0",
                volumes={
                    name: {"bind": name, "mode": "rw"},
                    str(model): {"bind": f"/models/{MODEL_NAME}/1", "mode": "ro"},
                },
            )
            on_leaving.callback(container.remove, force=True)
            backoff = [(f"grpc.{kind}_reconnect_backoff_ms", 50) for kind in ("initial", "min", "max")]
            channel = on_leaving.enter_context(grpc.insecure_channel(f"unix:{name}/s", backoff))
            status = get_model_status_pb2.GetModelStatusRequest()
            status.model_spec.name = MODEL_NAME
            while True:
                with contextlib.suppress(grpc.RpcError):
                    found = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status, timeout=5)
                    if found.model_version_status[0].state == get_model_status_pb2.ModelVersionStatus.AVAILABLE:
                        break
                time.sleep(0.02)
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with futures.ThreadPoolExecutor(CONCURRENCY) as pool:
                list(pool.map(stub.Classify, sent))

    return run


def infraval() -> Callable[[], None]:
    """A whole validation: prepare, stage, boot with the warmup file, replay, judge, publish."""
    from infraval import options, validation  # noqa: PLC0415

    job = options.Job(
        model=_serving_model(),
        examples=(str(_taxi()[1] / "Split-eval" / "*"),),
        requests=options.RequestOptions(num_examples=REQUESTS),
        server=options.DockerServer(model_name=MODEL_NAME, images=IMAGE),
        limits=options.Limits(concurrency=CONCURRENCY),
    )

    def run() -> None:
        with _output() as output:
            judged = validation.validate(job.model_copy(update={"output": output}), progress=lambda _: None)
            if (
                not judged.blessed
                or len(judged.servers[0].evidence.boot.outcomes) != REQUESTS
                or judged.servers[0].evidence.boot.records_replayed != REQUESTS
            ):
                raise SystemExit(f"infraval did not bless the model: {judged.failures}")

    return run


def infra_validator() -> Callable[[], None]:
    """TFX's InfraValidator with the same image, model and number of requests."""
    from tfx.components.infra_validator import executor  # noqa: PLC0415
    from tfx.proto import infra_validator_pb2  # noqa: PLC0415
    from tfx.types import artifact_utils, standard_artifacts  # noqa: PLC0415
    from tfx.utils import proto_utils  # noqa: PLC0415

    name, _, tag = IMAGE.rpartition(":")
    trained, taxi = _taxi()
    model = standard_artifacts.Model()
    model.uri = str(trained)
    examples = standard_artifacts.Examples()
    examples.uri = str(taxi)
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    serving = infra_validator_pb2.ServingSpec(
        tensorflow_serving=infra_validator_pb2.TensorFlowServing(image_name=name, tags=[tag]),
        local_docker=infra_validator_pb2.LocalDockerConfig(client_base_url=os.environ.get("DOCKER_HOST", "")),
        model_name=MODEL_NAME,
    )
    requests = infra_validator_pb2.RequestSpec(
        tensorflow_serving=infra_validator_pb2.TensorFlowServingRequestSpec(),
        split_name="eval",
        num_examples=REQUESTS,
        make_warmup=True,
    )

    def run() -> None:
        with _output() as output:
            output.mkdir()
            blessing = standard_artifacts.InfraBlessing()
            blessing.uri = str(output)
            validator = executor.Executor(executor.Executor.Context(tmp_dir=f"{output}-tmp", unique_id="1"))
            validator.Do(
                {"model": [model], "examples": [examples]},
                {"blessing": [blessing]},
                {
                    "serving_spec": proto_utils.proto_to_json(serving),
                    "request_spec": proto_utils.proto_to_json(requests),
                },
            )
            if not blessing.get_int_custom_property("blessed"):
                raise SystemExit("InfraValidator did not bless the model.")

    return run


@contextlib.contextmanager
def _output() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "output"


MEASUREMENTS = {"floor": floor, "infraval": infraval, "InfraValidator": infra_validator}


def measure(name: str) -> list[float]:
    """Seconds of each repetition."""
    run = MEASUREMENTS[name]()
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return seconds


def _in_own_process(name: str) -> float:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, __file__, "--measure", name]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if finished.returncode:
        raise SystemExit(finished.stderr)
    seconds = json.loads(finished.stdout.splitlines()[-1])
    best = min(seconds)  # whatever else the machine does only ever slows a run down
    print(f"  {name:<16} {best:6.2f} s   (the best of {', '.join(f'{each:.2f}' for each in seconds)})", flush=True)
    return best


def main() -> int:
    """Measures everything; exit code 1 if the ratio to the floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", metavar="NAME", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return 0
    print(f"\nDocker sandbox, {IMAGE}, taxi model, {REQUESTS} requests, {CONCURRENCY} at once")
    seconds = {name: _in_own_process(name) for name in MEASUREMENTS}
    ratio = seconds["infraval"] / seconds["floor"]
    good = ratio <= MAX_OF_FLOOR
    print(f"  infraval / floor: {ratio:.2f} (at most {MAX_OF_FLOOR:g}: {'yes' if good else 'NO'})")
    print(
        f"  infraval / InfraValidator: {seconds['infraval'] / seconds['InfraValidator']:.2f} "
        "(judged on tensorflow/serving itself, INFRAVAL_BENCH_IMAGE: at most 0.1)"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

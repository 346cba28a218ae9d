"""The same models through containers as through a process: the same verdicts, and one for each image."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest
from google.protobuf import json_format
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import infra_validator_pb2
from tfx.types import standard_artifacts

import infraval
from infraval import evidence, options
from infraval.requests import inspection
from infraval.tfx.executor import Executor

Run = Callable[..., Any]

CLAIMED = ("0.0.0.0:8500", "UNIX socket /run/infraval/s")
"""What a server logs of the addresses that it listens at."""

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left")]


def test_taxi_by_every_method(
    taxi_model: Path, taxi_examples: Path, server: options.DockerServer, tmp_path: Path, image: str
) -> None:
    """The ten cells of the process sandbox, and the container's image on record."""
    job = infraval.Job(
        model=taxi_model,
        examples=f"{taxi_examples}/Split-eval/*",
        requests=options.RequestOptions(
            signatures=("predict", "classification", "regression", "serving_default:classify"),
            multi_inference=("classification,regression",),
        ),
        warmup=options.WarmupOptions(batch_sizes=(1, 4), compare_cold=True),
        server=server,
        output=tmp_path / "out",
    )
    judged = infraval.validate(job)

    assert judged.blessed, judged.failures
    assert (judged.warmup, judged.servers[0].evidence.boot.records_replayed) == (evidence.Warmup(records=10), 10)
    assert len(inspection.inspect(tmp_path / "out" / "stamped_model")["warmup"]["cells"]) == 10
    assert judged.servers[0].evidence.cold is not None
    assert len(judged.servers[0].evidence.boot.latencies) == 10
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["servers"][0]["server"]["platform"] == "docker"
    assert report["servers"][0]["server"]["image"] == image
    assert report["servers"][0]["server"]["image_id"].startswith("sha256:")
    assert "embedded" in report["servers"][0]["server"]["name"]


def test_all_of_the_sink(
    sink_model: Path, sink_examples: Path, sink_features: tuple[str, ...], server: options.DockerServer
) -> None:
    """Every signature that `all` can feed is answered, and warm, which the server's own counters say as well."""
    judged = infraval.validate(
        infraval.Job(
            model=sink_model,
            examples=sink_examples,
            requests=options.RequestOptions(signatures="all", features=sink_features),
            warmup=options.WarmupOptions(batch_sizes=(1, 4)),
            server=server,
        )
    )

    assert judged.blessed, judged.failures
    boot = judged.servers[0].evidence.boot
    assert boot.records_replayed == len(boot.outcomes) == 18
    assert boot.counters is not None
    assert boot.counters.warmup_records == 18
    assert [(each.graph_builds, each.xla_compilations) for each in boot.latencies] == [(0, 0)] * 18


def test_a_signature_without_a_warmup_record_is_cold_by_the_counters_in_the_container(
    half_warm_sink: Path, sink_examples: Path, server: options.DockerServer, engine: docker.DockerClient
) -> None:
    """They are read while no port leads out of it, and the reason has the figure."""
    ways_in: list[object] = []

    def look(line: str) -> None:
        if line.startswith("Sending requests"):
            (container,) = engine.containers.list()
            ways_in.append((container.attrs["HostConfig"]["NetworkMode"], any(container.ports.values())))

    judged = infraval.validate(
        infraval.Job(
            model=half_warm_sink,
            examples=sink_examples,
            requests={"signatures": ("serving_default", "two_inputs"), "features": ("two_inputs/b=count",)},
            warmup={"existing": "keep"},
            gates={"warm": {"more_boots": 0}},
            server=server,
        ),
        progress=look,
    )

    assert ways_in[:1] == [("none", False)]
    assert [finding.gate for finding in judged.failures] == ["warm"]
    moved = {each.cell.signature: each.graph_builds for each in judged.servers[0].evidence.boot.latencies}
    assert moved == {"serving_default": 0, "two_inputs": 1}
    (reason,) = judged.failures[0].reasons
    assert "graph_build_calls by 1" in reason


def test_a_batching_parameters_file_gets_into_the_container(
    sink_model: Path, sink_examples: Path, server: options.DockerServer, tmp_path: Path
) -> None:
    """A file that only this user can read is read by the server, which would not start without it."""
    batching = tmp_path / "batching"
    batching.write_text("max_batch_size { value: 4 } allowed_batch_sizes: 2 allowed_batch_sizes: 4")
    batching.chmod(0o600)
    judged = infraval.validate(
        infraval.Job(
            model=sink_model,
            examples=sink_examples,
            warmup=options.WarmupOptions(batching_parameters_file=str(batching)),
            server=server,
        )
    )

    assert judged.blessed, judged.failures
    assert [outcome.cell.batch_size for outcome in judged.servers[0].evidence.boot.outcomes] == [2, 4]


def test_a_container_under_load_swaps_a_model_for_itself(
    sink_model: Path, sink_examples: Path, server: options.DockerServer
) -> None:
    """The version that appears in the mounted base path is loaded, no request fails, and the old one is unloaded."""
    judged = infraval.validate(
        infraval.Job(
            model=sink_model,
            examples=sink_examples,
            baseline=sink_model,
            gates={"baseline": {"enabled": False}, "warm": {"enabled": False}, "swap": {"rate": 50, "before_s": 1}},
            server=server.model_copy(update={"model_transfer": options.ModelTransfer.MOUNT}),
        )
    )

    assert judged.blessed, judged.failures
    shown = judged.servers[0].evidence.swap
    assert shown is not None
    assert shown.during.requests >= 20
    assert shown.answered_s is not None
    assert shown.unloaded_s is not None
    assert shown.peak_bytes is not None


def test_the_digits_model_of_the_demo(demo: Path, run: Run, base_url: str, image: str, tmp_path: Path) -> None:
    """What Trainer made in the demo is blessed by a container as well, from the command line."""
    (model,) = demo.glob("artifacts/Trainer/model/*/Format-Serving")
    examples = f"{demo}/artifacts/ImportExampleGen/examples/*/Split-eval/*"
    calls = ["serving_default", "serving_preprocess", "classify:classify", "regress:regress"]

    finished = run(
        *("validate", "--model", model, "--examples", examples, "--output", tmp_path / "out"),
        *(f"--signature={call}" for call in calls),
        *("--feature", "serving_preprocess/raw_images=image", "--batch-size", 1, "--batch-size", 8),
        *("--platform", "docker", "--image", image, "--docker-host", base_url),
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.startswith("BLESSED\n")
    assert "docker sandbox" in finished.stdout
    assert image in finished.stdout
    assert "warmup records replayed: 8" in finished.stdout


def test_a_keras_model_that_only_tensorflow_serves(
    keras_trap_model: Path, secret_examples: Path, run: Run, base_url: str, image: str
) -> None:
    """Exit 1 and the variable's name, as from a process."""
    finished = run(
        *("validate", "--model", keras_trap_model, "--examples", secret_examples),
        *("--platform", "docker", "--image", image),
        DOCKER_HOST=base_url,
    )

    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "Could not find variable" in finished.stdout


def test_a_missing_asset_is_named_by_its_path_below_the_base_path(
    save_model: Callable[..., Path], secret_examples: Path, server: options.DockerServer, tmp_path: Path
) -> None:
    """The container has the model elsewhere than this machine, and that path is known to be no request data."""
    import tensorflow as tf  # noqa: PLC0415 - seconds, for this one test

    vocabulary = tmp_path / "vocabulary.txt"
    vocabulary.write_text("word\n")
    asset = tf.saved_model.Asset(str(vocabulary))
    model = save_model(lambda names: names + tf.io.read_file(asset.asset_path), assets=(asset,))
    (model / "assets" / "vocabulary.txt").unlink()

    judged = infraval.validate(infraval.Job(model=model, examples=secret_examples, server=server))

    assert not judged.blessed
    assert "<base>/1/assets/vocabulary.txt" in judged.failures[0].reasons[0]


def test_errors_that_echo_the_request_are_redacted(
    echoing_model: Path, secret_examples: Path, secret: str, run: Run, report_of: Run, base_url: str, image: str
) -> None:
    """Containers' messages and logs pass the redactor, too."""
    finished = run(
        *("validate", "--model", echoing_model, "--examples", secret_examples, "--json"),
        *("--platform", "docker", "--image", image, "--docker-host", base_url),
    )

    assert finished.returncode == 1, finished.stderr
    assert report_of(finished)["verdict"] == "NOT_BLESSED"
    assert secret not in finished.stdout + finished.stderr


@pytest.fixture(scope="session")
def save_boastful_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """A model that prints, and then takes so many seconds to load."""
    import tensorflow as tf  # noqa: PLC0415 - seconds, for these tests

    class Boast(tf.saved_model.experimental.TrackableResource):  # type: ignore[misc] - TensorFlow is untyped
        def __init__(self, load_time_s: float) -> None:
            super().__init__()
            self._load_time_s = load_time_s

        def _create_resource(self) -> tf.Tensor:
            return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.float64)

        def _initialize(self) -> None:
            lines = "".join(f"\nI Running gRPC ModelServer at {address} ..." for address in CLAIMED)
            with tf.control_dependencies([tf.print(lines, output_stream=sys.stderr)]):
                end_s = tf.timestamp() + tf.constant(self._load_time_s, tf.float64)
            [now_s] = tf.while_loop(lambda now_s: now_s < end_s, lambda _: [tf.timestamp()], [tf.timestamp()])
            tf.raw_ops.LookupTableImportV2(table_handle=self.resource_handle, keys=["end"], values=[now_s])

    def save(load_time_s: float) -> Path:
        module = tf.Module()
        module.boast = Boast(load_time_s)
        assert module.boast.resource_handle is not None  # or the function would make another
        upper = tf.function(tf.strings.upper, input_signature=[tf.TensorSpec([None], tf.string)])
        directory = tmp_path_factory.mktemp("model") / "exported"
        tf.saved_model.save(module, str(directory), signatures={"serving_default": upper})
        return directory

    return save


def test_what_a_model_prints_is_no_sign_that_the_server_listens(
    save_boastful_model: Callable[[float], Path], server: options.DockerServer
) -> None:
    """A model that takes some seconds to load, and prints meanwhile what the server will print, is blessed."""
    lines: list[str] = []
    judged = infraval.validate(infraval.Job(model=save_boastful_model(8), server=server), progress=lines.append)

    assert judged.blessed, judged.failures
    assert not any(line.startswith("Try 1") for line in lines)
    assert judged.servers[0].evidence.boot.load_time_s >= 8


def test_a_model_that_prints_and_hangs_is_late(
    save_boastful_model: Callable[[float], Path], server: options.DockerServer
) -> None:
    """What it prints does not make its own fault the image's."""
    limits = options.Limits(max_loading_time_s=8, num_tries=1)
    judged = infraval.validate(infraval.Job(model=save_boastful_model(1e9), server=server, limits=limits))

    assert [finding.gate for finding in judged.failures] == ["load"]
    assert judged.servers[0].evidence.boot.failure == evidence.Late(8)
    for address in CLAIMED:
        assert f"Running gRPC ModelServer at {address} ..." in judged.servers[0].evidence.boot.server_log


def test_a_model_that_outgrows_a_limit_of_yours_is_not_blessed(
    taxi_model: Path, server: options.DockerServer, base_url: str
) -> None:
    """A limit that was asked for is production's: too little of it is a verdict, not an outage."""
    little = options.DockerServer(images=server.images, base_url=base_url, memory_bytes=64 << 20)
    judged = infraval.validate(
        infraval.Job(
            model=taxi_model,
            server=little,
            limits=options.Limits(num_tries=1),
        )
    )

    assert [finding.gate for finding in judged.failures] == ["load"]
    assert f"memory limit of {64 << 20} bytes" in judged.failures[0].reasons[0]


def test_the_component_with_infra_validators_own_serving_spec(
    taxi_model: Path, taxi_examples: Path, base_url: str, image: str, tmp_path: Path
) -> None:
    """LocalDockerConfig and tags as InfraValidator takes them; the images are on the blessing."""
    model = standard_artifacts.Model()
    model.uri = str(taxi_model.parents[3])
    examples = standard_artifacts.Examples()
    examples.uri = str(taxi_examples)
    examples.split_names = '["train", "eval"]'
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(tmp_path / "blessing")
    name, _, tag = image.rpartition(":")
    given = infra_validator_pb2.ServingSpec(
        tensorflow_serving=infra_validator_pb2.TensorFlowServing(image_name=name, tags=[tag]),
        local_docker=infra_validator_pb2.LocalDockerConfig(client_base_url=base_url, client_timeout_seconds=30),
    )
    Executor(base_beam_executor.BaseBeamExecutor.Context(tmp_dir=str(tmp_path / "tmp"), unique_id="1")).Do(
        {"model": [model], "examples": [examples]},
        {"blessing": [blessing]},
        {
            "serving_spec": json_format.MessageToJson(given),
            "server": options.DockerServer(pull=options.PullPolicy.NEVER, cpus=1.5).to_json(),
        },
    )

    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_string_custom_property("images").startswith(f"{image} sha256:")


def test_an_image_that_is_not_there(upper_model: Path, run: Run, report_of: Run, base_url: str) -> None:
    """Exit 2 before any work starts, with what to do."""
    finished: subprocess.CompletedProcess[str] = run(
        *("validate", "--model", upper_model, "--json", "--platform", "docker", "--docker-host", base_url),
        *("--image", "infraval/no-such-image:1", "--pull", "never"),
    )

    assert finished.returncode == 2
    error = report_of(finished)["error"]
    assert "infraval/no-such-image:1" in error["message"]
    assert "Staging" not in finished.stderr


def test_no_engine(upper_model: Path, run: Run, report_of: Run, image: str, tmp_path: Path) -> None:
    """An outage is no verdict."""
    finished = run(
        *("validate", "--model", upper_model, "--json", "--platform", "docker", "--image", image),
        *("--docker-host", f"unix://{tmp_path}/none.sock"),
    )

    assert finished.returncode == 2
    assert "none.sock" in report_of(finished)["error"]["message"]

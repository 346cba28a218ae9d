"""An image model from its warmup to a moved label, as in the ResNet lab: two signatures, versions 50 and 101.

The networks are small and their weights random; the images are the photographs of scikit-learn.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import grpc
import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

import infraval
from infraval import cli, options

pytestmark = pytest.mark.slow

NAME, CLASSES, PIXELS, TOP = "resnet", 10, 32, 5
VERSIONS = (50, 101)
REQUEST_TIMEOUT_S = 60.0


class Network(tf.Module):
    """A convolution and a dense layer; one signature takes tensors, the other one image files."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        random = np.random.default_rng(seed)
        self.kernel = tf.Variable(random.normal(size=(3, 3, 3, 8)).astype(np.float32))
        self.weights = tf.Variable(random.normal(size=(8, CLASSES)).astype(np.float32))
        self.names = tf.constant([f"class {number}" for number in range(CLASSES)])

    @tf.function(input_signature=[tf.TensorSpec([None, PIXELS, PIXELS, 3], tf.float32, "images")])
    def classify_tensors(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Probabilities[batch, CLASSES] of images[batch, PIXELS, PIXELS, 3]."""
        features = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images, self.kernel, 2, "SAME")), axis=[1, 2])
        return {"probabilities": tf.nn.softmax(features @ self.weights)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "files")])
    def classify_files(self, files: tf.Tensor) -> dict[str, tf.Tensor]:
        """The names and probabilities[batch, TOP] of the classes that are most likely, of image files[batch]."""

        def pixels(file: tf.Tensor) -> tf.Tensor:
            image = tf.io.decode_image(file, 3, tf.float32, expand_animations=False)
            return tf.ensure_shape(tf.image.resize(image, (PIXELS, PIXELS)), (PIXELS, PIXELS, 3))

        images = tf.map_fn(pixels, files, fn_output_signature=tf.TensorSpec([PIXELS, PIXELS, 3], tf.float32))
        best = tf.math.top_k(self.classify_tensors(images)["probabilities"], TOP)
        return {"labels": tf.gather(self.names, best.indices), "probabilities": best.values}


@pytest.fixture(scope="module")
def photographs() -> list[bytes]:
    """JPEG files, two of them."""
    names = (name for name in sklearn.datasets.load_sample_images().filenames)
    folder = Path(sklearn.datasets.__file__).parent / "images"
    return [(folder / Path(name).name).read_bytes() for name in names]


@pytest.fixture(scope="module")
def examples(photographs: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tf.Examples of the photographs: the file, and the pixels."""
    path = tmp_path_factory.mktemp("examples") / "photographs"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for photograph in photographs:
            pixels = tf.image.resize(tf.io.decode_jpeg(photograph) / 255, (PIXELS, PIXELS)).numpy().ravel()
            example = tf.train.Example()
            example.features.feature["files"].bytes_list.value.append(photograph)
            example.features.feature["images"].float_list.value.extend(pixels.tolist())
            writer.write(example.SerializeToString())
    return path


@pytest.fixture(scope="module")
def base_path(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both versions, each blessed, with its warmup file."""
    folder = tmp_path_factory.mktemp("models")
    for version in VERSIONS:
        network = Network(version)
        signatures = {"serving_default": network.classify_tensors, "files": network.classify_files}
        tf.saved_model.save(network, str(folder / f"trained{version}"), signatures)
        job = infraval.Job(
            model=folder / f"trained{version}",
            examples=str(examples),
            output=folder / f"judged{version}",
            server=options.ProcessServer(server="embedded"),
            requests={"signatures": ("all",), "num_examples": 2},
            warmup={"batch_sizes": (1, 2)},
        )
        judged = infraval.validate(job)
        assert judged.blessed, judged.failures
        assert judged.servers[0].evidence.warmup.records == 6
        (folder / NAME).mkdir(exist_ok=True)
        (folder / f"judged{version}" / "stamped_model").rename(folder / NAME / str(version))
    return folder / NAME


@pytest.fixture
def ports(reserve_port: Callable[[], int]) -> tuple[int, int]:
    """Of gRPC and REST."""
    return reserve_port(), reserve_port()


@pytest.fixture
def ask(ports: tuple[int, int]) -> Callable[..., str]:
    """What REST answers at a path."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def answer(path: str, body: Any = None) -> str:
        sent = None if body is None else json.dumps(body).encode()
        with opener.open(f"http://127.0.0.1:{ports[1]}{path}", sent, timeout=REQUEST_TIMEOUT_S) as response:
            return str(response.read().decode())

    return answer


@pytest.fixture
def config(
    base_path: Path,
    ports: tuple[int, int],
    ask: Callable[..., str],
    tmp_path: Path,
    eventually: Callable[..., bool],
) -> Iterator[Path]:
    """The model config file of a kit, with which a server is up."""
    kit = tmp_path / "kit"
    labels = ("--label", "stable=50", "--label", "canary=101")
    made = click.testing.CliRunner().invoke(cli.commands, ["kit", str(base_path), "--output", str(kit), *labels])
    assert made.exit_code == 0, made.output
    config = kit / "config" / "models.config"
    config.write_text(config.read_text().replace(f"/models/{NAME}", str(base_path)))
    command = [
        *(sys.executable, "-W", "ignore", "-m", "infraval", "serve"),
        *(f"--port={ports[0]}", f"--rest_api_port={ports[1]}"),
        *(f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1"),
        "--allow_version_labels_for_unavailable_models",
        f"--monitoring_config_file={kit / 'config' / 'monitoring.config'}",
    ]
    log = tmp_path / "log"
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as server:

        def answers() -> bool:
            assert server.poll() is None, log.read_text()
            try:
                return bool(ask(f"/v1/models/{NAME}/labels/stable/metadata"))
            except OSError:
                return False

        try:
            assert eventually(answers), log.read_text()
            yield config
        finally:
            server.terminate()


def test_two_versions_are_served_by_label_and_a_label_moves_under_load(
    config: Path, ports: tuple[int, int], ask: Callable[..., str], photographs: list[bytes]
) -> None:
    """Versions and labels give the same answers, over REST and gRPC; Prometheus sees both; no request fails."""
    body = {
        "signature_name": "files",
        "instances": [{"b64": base64.b64encode(photograph).decode()} for photograph in photographs],
    }

    def predicted(where: str) -> Any:
        return json.loads(ask(f"/v1/models/{NAME}{where}:predict", body))["predictions"]

    old, new = (predicted(f"/versions/{version}") for version in VERSIONS)
    assert [len(best["labels"]) for best in old] == [TOP] * len(photographs)
    assert old != new
    assert (predicted("/labels/stable"), predicted("/labels/canary"), predicted("")) == (old, new, new)

    with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = NAME, "files"
        request.model_spec.version_label = "stable"
        request.inputs["files"].CopyFrom(tf.make_tensor_proto(photographs))
        answered = predict(request, REQUEST_TIMEOUT_S)
        assert answered.model_spec.version.value == 50
        probabilities = tf.make_ndarray(answered.outputs["probabilities"])
        np.testing.assert_allclose(probabilities, [best["probabilities"] for best in old], rtol=1e-5)

        versions: list[int] = []
        failed: list[Exception] = []
        moved = threading.Event()

        def keep_asking() -> None:
            while not moved.is_set() or len(versions) < 2:
                try:
                    versions.append(predict(request, REQUEST_TIMEOUT_S).model_spec.version.value)
                except grpc.RpcError as error:
                    failed.append(error)
                    return

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            move = ["label", str(config), NAME, "stable=101", "--server", f"127.0.0.1:{ports[0]}"]
            finished = click.testing.CliRunner().invoke(cli.commands, move)
        finally:
            moved.set()
            asking.join()
        assert finished.exit_code == 0, finished.output
        assert failed == []
        assert versions == sorted(versions)
        assert predict(request, REQUEST_TIMEOUT_S).model_spec.version.value == 101

    page = ask("/monitoring/prometheus/metrics")
    for version in VERSIONS:
        assert f'/{version}",status="success"}}' in page
    assert predicted("/labels/stable") == new

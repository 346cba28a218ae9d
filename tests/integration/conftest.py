"""Models that a real server has something to say about, and the command line as a person starts it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2


@pytest.fixture(scope="session")
def secret() -> str:
    """Stands for personal data: it is in the examples, and must be in nothing that infraval prints or writes."""
    return "Grace.Hopper.1906"


@pytest.fixture(scope="session")
def infraval_command() -> Path:
    """The console script of this environment."""
    return Path(sys.executable).with_name("infraval")


@pytest.fixture
def run(infraval_command: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line to its end, in an empty folder, with no TF Serving on PATH."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    environment = os.environ | {"PATH": "/usr/bin:/bin"}

    def start(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [infraval_command, *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, env=environment | variables, timeout=300
        )

    return start


@pytest.fixture
def report_of() -> Callable[[subprocess.CompletedProcess[str]], dict[str, Any]]:
    """Standard output of a `--json` run: one JSON object and nothing else."""

    def parse(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        assert finished.stdout.count("\n") == 1, finished.stdout + finished.stderr
        parsed: dict[str, Any] = json.loads(finished.stdout)
        return parsed

    return parse


@pytest.fixture(scope="session")
def secret_examples(secret: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tf.Examples with a name in feature `name` and its length in `length`."""
    path = tmp_path_factory.mktemp("examples") / "people.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index in range(3):
            example = tf.train.Example()
            example.features.feature["name"].bytes_list.value.append(f"{secret}.{index}".encode())
            example.features.feature["length"].int64_list.value.append(len(secret))
            writer.write(example.SerializeToString())
    return path


SaveModel = Callable[..., Path]


@pytest.fixture(scope="session")
def save_model(tmp_path_factory: pytest.TempPathFactory) -> SaveModel:
    """Exports `serving_default` over serialized examples that calls a function of feature `name`."""

    def save(function: Callable[[tf.Tensor], tf.Tensor], assets: tuple[tf.saved_model.Asset, ...] = ()) -> Path:
        module = tf.Module()
        module.assets = assets

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serve(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            features = tf.io.parse_example(examples, {"name": tf.io.FixedLenFeature([], tf.string)})
            return {"result": function(features["name"])}

        directory = tmp_path_factory.mktemp("model") / "exported"
        tf.saved_model.save(module, str(directory), signatures={"serving_default": serve})
        return directory

    return save


@pytest.fixture(scope="session")
def upper_model(save_model: SaveModel) -> Path:
    """Answers every request."""
    return save_model(tf.strings.upper)


@pytest.fixture(scope="session")
def echoing_model(save_model: SaveModel) -> Path:
    """Puts its input into its errors, as it came and in another shape."""

    def echo(name: tf.Tensor) -> tf.Tensor:
        shapes = [name, tf.strings.upper(name), tf.io.encode_base64(name), tf.strings.length(name)]
        with tf.control_dependencies([tf.debugging.Assert(tf.constant(value=False), shapes, summarize=10)]):
            return tf.strings.to_number(name)

    return save_model(echo)


@pytest.fixture(scope="session")
def unregistered_op_model(upper_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Needs an op that no TensorFlow has, inside a function: only a request gets there."""
    directory = tmp_path_factory.mktemp("model") / "exported"
    shutil.copytree(upper_model, directory)
    saved_model = saved_model_pb2.SavedModel.FromString((upper_model / "saved_model.pb").read_bytes())
    for function in saved_model.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            node.op = "HouseBlend" if node.op == "StringUpper" else node.op
    (directory / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    return directory


@pytest.fixture(scope="session")
def keras_trap_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Keras 3 model as TFX's penguin example exports it: TensorFlow 2 serves it, TF Serving does not."""
    import keras  # noqa: PLC0415 - seconds, for this one fixture

    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(2), keras.layers.Dense(1)])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.io.parse_example(examples, {"length": tf.io.FixedLenFeature([1], tf.int64)})
        return {"result": model(tf.cast(features["length"], tf.float32))}

    directory = tmp_path_factory.mktemp("model") / "exported"
    tf.saved_model.save(model, str(directory), signatures={"serving_default": serve})
    return directory

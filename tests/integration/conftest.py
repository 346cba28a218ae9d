"""Models that a real server has something to say about, and the command line as a person starts it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2


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

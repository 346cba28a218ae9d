"""A model that this TensorFlow cannot run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
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

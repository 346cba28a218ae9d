"""Small SavedModel directories and PredictionLogs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest
from tensorflow_serving.apis import prediction_log_pb2

Tree: TypeAlias = Mapping[str, "bytes | Tree"]


@pytest.fixture(scope="session")
def make_tree() -> Callable[[Path, Tree], Path]:
    """Makes a directory from names and contents; a mapping is a directory."""

    def make(path: Path, tree: Tree) -> Path:
        path.mkdir(parents=True)
        for name, content in tree.items():
            if isinstance(content, bytes):
                (path / name).write_bytes(content)
            else:
                make(path / name, content)
        return path

    return make


@pytest.fixture(scope="session")
def make_log() -> Callable[..., prediction_log_pb2.PredictionLog]:
    """A Predict log of one string input with the value repeated."""

    def make(value: bytes, signature: str = "s", size: int = 1) -> prediction_log_pb2.PredictionLog:
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.model_spec.signature_name = signature
        tensor = log.predict_log.request.inputs["x"]
        tensor.string_val.extend([value] * size)
        tensor.tensor_shape.dim.add(size=size)
        return log

    return make

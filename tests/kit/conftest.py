"""Models on disk with a warmup file, made from protos: no test here needs TensorFlow."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from infraval import options
from infraval.requests import prediction_logs
from infraval.tensorflow_protos import prediction_log_pb2, saved_model_pb2, types_pb2

FAKES = Path(__file__).parents[1] / "fakes.py"


def warmup_log(signature: str, batch_size: int) -> prediction_log_pb2.PredictionLog:
    """A Predict request with so many rows."""
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    request.inputs["x"].dtype = types_pb2.DT_FLOAT
    for size in (batch_size, 4):
        request.inputs["x"].tensor_shape.dim.add(size=size)
    return log


@pytest.fixture(scope="session")
def write_version() -> Callable[..., Path]:
    """Writes a SavedModel with signatures over `x`, float[?, 4], and warmup records `(signature, batch size)`."""

    def write(
        directory: Path,
        warmup: Sequence[tuple[str, int]] | None = (("serving_default", 1), ("serving_default", 4)),
        alias: str = "x",
    ) -> Path:
        model = saved_model_pb2.SavedModel()
        graph = model.meta_graphs.add()
        graph.meta_info_def.tags.append("serve")
        definition = graph.signature_def["serving_default"]
        definition.method_name = "tensorflow/serving/predict"
        definition.inputs[alias].dtype = types_pb2.DT_FLOAT
        for size in (-1, 4):
            definition.inputs[alias].tensor_shape.dim.add(size=size)
        directory.mkdir(parents=True)
        (directory / "saved_model.pb").write_bytes(model.SerializeToString())
        if warmup is not None:
            prediction_logs.write(directory / options.WARMUP_FILE, [warmup_log(*each) for each in warmup])
        return directory

    return write


@pytest.fixture(scope="session")
def config_server() -> Any:
    """`ConfigServer` of tests/fakes.py."""
    spec = importlib.util.spec_from_file_location("fakes", FAKES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ConfigServer

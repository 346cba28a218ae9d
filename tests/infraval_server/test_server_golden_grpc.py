"""Conformance: every gRPC answer recorded from a real TensorFlow Serving 2.16.1."""

from __future__ import annotations

import base64
import importlib.util
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "grpc.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]

RESPONSES = {
    "Predict": predict_pb2.PredictResponse,
    "Classify": classification_pb2.ClassificationResponse,
    "Regress": regression_pb2.RegressionResponse,
    "MultiInference": inference_pb2.MultiInferenceResponse,
    "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataResponse,
    "GetModelStatus": get_model_status_pb2.GetModelStatusResponse,
}


@pytest.fixture(scope="session")
def taxi_server(start_for_session: Any) -> Any:
    """Serves the Estimator model that the tfx wheel carries as `taxi`."""
    spec = importlib.util.find_spec("tfx")
    assert spec is not None
    assert spec.origin is not None
    exports = Path(spec.origin).parent / "components/testdata/trainer/current/Format-Serving/export/chicago-taxi"
    server = start_for_session("--model_name=taxi", versions={"1": next(exports.iterdir())})
    server.wait_until_serving()
    return server


def same(ours: Any, golden: Any) -> bool:
    """Whether two JSON values are equal, floats nearly so."""
    if isinstance(golden, dict):
        return isinstance(ours, dict) and ours.keys() == golden.keys() and all(same(ours[k], golden[k]) for k in golden)
    if isinstance(golden, list):
        return isinstance(ours, list) and len(ours) == len(golden) and all(map(same, ours, golden))
    if isinstance(golden, float):
        return isinstance(ours, float) and math.isclose(ours, golden, rel_tol=1e-5, abs_tol=1e-6)
    return bool(ours == golden)


def without_node_names(message: str) -> str:
    """A message with the names that TensorFlow gives to nodes when it loads a graph left out."""
    return re.sub(r"\{\{(node|function_node) [^}]*\}\}", r"{{\1}}", message)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['method']}-{case['case']}")
def test_answers_as_tensorflow_serving(
    case: dict[str, Any], as_said_here: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    """The response equals the recorded one as a proto, an error in code and message up to names of nodes."""
    server = request.getfixturevalue("taxi_server" if case["case"].startswith("taxi") else "sink_server")
    method = case["method"]
    service = "ModelService" if method == "GetModelStatus" else "PredictionService"
    sent = base64.b64decode(case["request"])
    if case["code"] == "OK":
        response = server.call(method, sent, RESPONSES[method], service)
        golden = RESPONSES[method].FromString(base64.b64decode(case["response"]))
        assert same(json_format.MessageToDict(response), json_format.MessageToDict(golden)), f"{response} != {golden}"
    else:
        with pytest.raises(grpc.RpcError) as raised:
            server.call(method, sent, RESPONSES[method], service)
        assert raised.value.code().name == case["code"]
        assert without_node_names(raised.value.details()) == without_node_names(as_said_here(case["message"]))

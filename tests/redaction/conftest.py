"""Requests, redactors that know a model, and the messages TF Serving was recorded to give."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from infraval.redaction import Redactor

GOLDEN = Path(__file__).parents[1] / "golden"
MEMBERS = {
    "Predict": "predict_log",
    "Classify": "classify_log",
    "Regress": "regress_log",
    "MultiInference": "multi_inference_log",
}

Request = prediction_log_pb2.PredictionLog


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A message of a real TF Serving, and the request it is about; None for a request that infraval never sends."""

    text: str
    request: Request | None


def request_of(*values: object) -> Request:
    """A Predict request with one input of these values."""
    log = Request()
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(list(values)))
    return log


@pytest.fixture(scope="session")
def make_request() -> Callable[..., Request]:
    """Makes a Predict request of values."""
    return request_of


@pytest.fixture(scope="session")
def sink_saved_model() -> bytes:
    """saved_model.pb of the model that the golden answers are of."""
    return (GOLDEN / "models/sink/1/saved_model.pb").read_bytes()


@pytest.fixture(scope="session")
def golden_messages() -> dict[str, Recorded]:
    """Error messages of a real TF Serving by the name of their case."""
    recorded = {}
    for case in json.loads((GOLDEN / "grpc.json").read_text(encoding="utf-8"))["cases"]:
        if "message" in case:
            log = None
            if case["method"] in MEMBERS:
                log = Request()
                content = base64.b64decode(case["request"])
                getattr(log, MEMBERS[case["method"]]).request.ParseFromString(content)
            recorded[f"{case['method']} {case['case']}"] = Recorded(case["message"], log)
    return recorded


@pytest.fixture(scope="session")
def sent(golden_messages: dict[str, Recorded]) -> list[Request]:
    """All requests of the golden messages."""
    return [recorded.request for recorded in golden_messages.values() if recorded.request is not None]


@pytest.fixture(scope="session")
def redactor(sink_saved_model: bytes, sent: list[Request]) -> Redactor:
    """A redactor for that model, served as `sink` from the base path of the golden log lines, and those requests."""
    return Redactor(sink_saved_model, ["sink", "/models/sink"], sent)


@pytest.fixture(scope="session")
def golden_logs() -> dict[str, list[str]]:
    """Logs of a real TF Serving by the name of their case, the marks for base path and times filled in."""
    return {
        case["case"]: [line.replace("<base>", "/models/sink").replace("<T>", "41519") for line in case["log"]]
        for name in ("warmup.json", "startup.json")
        for case in json.loads((GOLDEN / name).read_text(encoding="utf-8"))["cases"]
    }

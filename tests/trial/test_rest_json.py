"""Requests as the JSON of TensorFlow Serving's REST API."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval.requests import tensors
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import rest_json

PredictionLog = prediction_log_pb2.PredictionLog


def predict(dtype: str, shape: Sequence[int], **fields: Any) -> PredictionLog:
    """A Predict request with input `x`."""
    log = PredictionLog()
    log.predict_log.request.model_spec.signature_name = "s"
    tensor = tensors.empty(dtype, shape)
    for name, values in fields.items():
        if isinstance(values, bytes):
            setattr(tensor, name, values)
        else:
            getattr(tensor, name).extend(values)
    log.predict_log.request.inputs["x"].CopyFrom(tensor)
    return log


def x_of(log: PredictionLog) -> Any:
    """Input `x` in JSON."""
    verb, body = rest_json.body(log)
    content = json.loads(body)
    assert (verb, content["signature_name"]) == ("predict", "s")
    return content["inputs"]["x"]


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        (predict("float", [2, 2], float_val=[0.1, 2, 3, 4]), [[0.1, 2.0], [3.0, 4.0]]),
        (predict("float", [2], tensor_content=b"\0\0\0\x40\0\0\x80\x3f"), [2.0, 1.0]),
        (predict("float", [1, 3], float_val=[7]), [[7.0, 7.0, 7.0]]),  # one value stands for all
        (predict("half", [1], half_val=[0x3C00]), [1.0]),
        (predict("double", [], double_val=[0.1]), 0.1),
        (predict("int64", [1], int64_val=[2**63 - 1]), [2**63 - 1]),
        (predict("uint64", [1], uint64_val=[2**64 - 1]), [2**64 - 1]),
        (predict("uint8", [2], int_val=[0, 255]), [0, 255]),
        (predict("bool", [2], bool_val=[True, False]), [True, False]),
        (predict("string", [1], string_val=[b"\xff\0"]), [{"b64": base64.b64encode(b"\xff\0").decode()}]),
        (predict("int32", [2, 0, 3]), [[], []]),
        (predict("int32", [0, 3]), []),
        (predict("int32", [2]), [0, 0]),
    ],
)
def test_tensors(log: PredictionLog, shown: Any) -> None:
    """Nested as their shape is; the numbers are those of the tensor."""
    assert x_of(log) == shown


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9))
def test_a_float_is_the_same_in_json(values: list[float]) -> None:
    """Also infinite ones, which TensorFlow Serving reads as Python writes them."""
    shown = x_of(predict("float", [len(values)], float_val=values))
    assert np.array(shown, np.float32).tolist() == values


@pytest.mark.parametrize(
    "log",
    [
        predict("complex64", [1], scomplex_val=[1, 2]),
        predict("float", [1 << 30, 1 << 30], float_val=[1]),  # a few bytes of message
        predict("float", [-1], float_val=[1]),
        predict("string", [1], tensor_content=b"\x01a"),
    ],
    ids=["complex", "huge", "negative", "strings in a form of their own"],
)
def test_what_json_cannot_hold_is_not_sent(log: PredictionLog) -> None:
    """The reason is short."""
    with pytest.raises(rest_json.NotSentError) as caught:
        rest_json.body(log)
    assert 0 < len(str(caught.value)) < 80


@pytest.mark.parametrize("kind", ["classify_log", "regress_log"])
def test_examples(kind: str) -> None:
    """Each feature as a list; the context is beside them."""
    log = PredictionLog()
    given_list = getattr(log, kind).request.input.example_list_with_context
    features = given_list.examples.add().features.feature
    features["f"].float_list.value.extend([0.1, 2])
    features["i"].int64_list.value.append(-3)
    features["b"].bytes_list.value.append(b"\xff")
    features["none"].float_list.SetInParent()
    given_list.context.features.feature["c"].int64_list.value.append(1)
    verb, body = rest_json.body(log)
    assert verb == kind.removesuffix("_log")
    assert json.loads(body) == {
        "signature_name": "serving_default",
        "examples": [{"b": [{"b64": "/w=="}], "f": [0.1, 2.0], "i": [-3]}],
        "context": {"c": [1]},
    }


def _filtered(log: PredictionLog) -> None:
    log.predict_log.request.output_filter.append("y")


def _multi(log: PredictionLog) -> None:
    log.multi_inference_log.request.tasks.add()


@pytest.mark.parametrize("change", [_filtered, _multi, lambda log: log.classify_log.request.SetInParent()])
def test_what_rest_lacks_is_not_sent(change: Callable[[PredictionLog], None]) -> None:
    """Only some outputs, several signatures at once, and no examples."""
    log = PredictionLog()
    change(log)
    with pytest.raises(rest_json.NotSentError):
        rest_json.body(log)

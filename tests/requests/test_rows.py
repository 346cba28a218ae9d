"""The examples of a request as requests of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraval import tensor_values
from infraval.requests import prediction_logs, rows, tensors
from infraval.tensorflow_protos import prediction_log_pb2, tensor_pb2


def predict(**inputs: tensor_pb2.TensorProto) -> prediction_log_pb2.PredictionLog:
    """A Predict request."""
    log = prediction_log_pb2.PredictionLog()
    for alias, tensor in inputs.items():
        log.predict_log.request.inputs[alias].CopyFrom(tensor)
    return log


def numbers(array: Any) -> tensor_pb2.TensorProto:
    """A tensor of float32."""
    tensor = tensors.empty("float", np.shape(array))
    tensor.tensor_content = tensors.content(np.array(array, np.float32))
    return tensor


def strings(*values: bytes) -> tensor_pb2.TensorProto:
    """A vector of strings."""
    tensor = tensors.empty("string", (len(values),))
    tensor.string_val.extend(values)
    return tensor


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 8))
def test_each_row_of_a_predict_request_is_one(count: int, width: int, most: int) -> None:
    """In order, of every input, as many as wanted."""
    values = np.arange(count * width, dtype=np.float32).reshape(count, width)
    log = predict(x=numbers(values), s=strings(*[b"%d" % number for number in range(count)]))
    found = list(rows.split(log, most))
    assert len(found) == min(count, most)
    for number, one in enumerate(found):
        inputs = one.predict_log.request.inputs
        assert tensor_values.shape(inputs["x"]) == (1, width)
        held = tensor_values.numbers(inputs["x"])
        assert held is not None
        assert held.tolist() == values[number].tolist()
        assert list(inputs["s"].string_val) == [b"%d" % number]


@pytest.mark.parametrize("inputs", [{"x": numbers(1.0)}, {"x": numbers([1, 2]), "k": numbers([1, 2, 3])}, {}])
def test_what_is_not_one_batch_is_not_split(inputs: dict[str, tensor_pb2.TensorProto]) -> None:
    """A scalar, or two lengths: a server that batches does not take it either."""
    assert not list(rows.split(predict(**inputs), 8))


def test_values_that_stand_for_others_are_not_split() -> None:
    """They would have to be made first."""
    short = tensors.empty("float", (3,))
    short.float_val.append(1.0)
    assert not list(rows.split(predict(x=short), 8))


@pytest.mark.parametrize("kind", ["classify_log", "regress_log", "multi_inference_log"])
def test_each_example_is_a_request(kind: str) -> None:
    """Of the methods that take examples."""
    log = prediction_log_pb2.PredictionLog()
    request = getattr(log, kind).request
    for number in range(3):
        request.input.example_list.examples.add().features.feature["n"].int64_list.value.append(number)
    found = [getattr(one, kind).request.input.example_list.examples for one in rows.split(log, 2)]
    assert [[each.features.feature["n"].int64_list.value[0] for each in examples] for examples in found] == [[0], [1]]
    assert [cell.batch_size for one in rows.split(log, 3) if (cell := prediction_logs.cell(one))] == [1, 1, 1]

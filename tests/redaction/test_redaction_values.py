"""Whatever kind of request holds a value, and wherever, it is found; what names the value is not one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import input_pb2, prediction_log_pb2

from infraval.redaction import REDACTED, Redactor

Request = prediction_log_pb2.PredictionLog


def example() -> Any:
    """An Example with a string, a float and an integer."""
    return text_format.Parse(
        """features {
          feature { key: "person" value { bytes_list { value: "Quxley" } } }
          feature { key: "income" value { float_list { value: 4321.125 } } }
          feature { key: "account" value { int64_list { value: 7654321 } } }
        }""",
        tf.train.Example(),
    )


def example_list() -> Any:
    """Examples."""
    return input_pb2.Input(example_list=input_pb2.ExampleList(examples=[example()]))


def with_context() -> Any:
    """Examples that share a context."""
    return input_pb2.Input(
        example_list_with_context=input_pb2.ExampleListWithContext(examples=[tf.train.Example()], context=example())
    )


def classify() -> Request:
    """Examples in a Classify request."""
    log = Request()
    log.classify_log.request.input.CopyFrom(example_list())
    return log


def regress() -> Request:
    """A context in a Regress request."""
    log = Request()
    log.regress_log.request.input.CopyFrom(with_context())
    return log


def multi_inference() -> Request:
    """Examples in a MultiInference request."""
    log = Request()
    log.multi_inference_log.request.input.CopyFrom(example_list())
    return log


def serialized() -> Request:
    """A serialized Example in a Predict request."""
    log = Request()
    log.predict_log.request.inputs["examples"].CopyFrom(tf.make_tensor_proto([example().SerializeToString()]))
    return log


def sequence() -> Request:
    """A serialized SequenceExample in a Predict request."""
    record = tf.train.SequenceExample()
    record.context.feature["income"].float_list.value.append(4321.125)
    features = record.feature_lists.feature_list["visits"].feature
    features.add().bytes_list.value.append(b"Quxley")
    features.add().int64_list.value.append(7654321)
    log = Request()
    log.predict_log.request.inputs["examples"].CopyFrom(tf.make_tensor_proto([record.SerializeToString()]))
    return log


def tensors() -> Request:
    """Tensors in a Predict request."""
    log = Request()
    inputs = log.predict_log.request.inputs
    inputs["person"].CopyFrom(tf.make_tensor_proto([b"Quxley"]))
    inputs["income"].CopyFrom(tf.make_tensor_proto(np.array([1.5, 4321.125], np.float32)))
    inputs["account"].dtype = tf.int64.as_datatype_enum
    inputs["account"].int64_val.append(7654321)
    return log


@pytest.mark.parametrize("make", [classify, regress, multi_inference, serialized, sequence, tensors])
def test_every_place_of_a_value(make: Callable[[], Request]) -> None:
    """Strings and numbers are found in each kind of request; names of features are shown."""
    shown = Redactor().message("Feature person is QUXLEY, income 4321.13 for account 7654321", make())
    assert shown == f"Feature person is {REDACTED}, income {REDACTED} for account {REDACTED}"


def test_a_request_is_compared_with_its_own_message_only() -> None:
    """A request that is named alone counts; without one, all that were sent do."""
    redactor = Redactor(requests=[tensors(), Request()])
    assert redactor.message("is Quxley", Request()) == "is Quxley"
    assert redactor.message("is Quxley") == f"is {REDACTED}"
    assert redactor.log("is Quxley") == f"is {REDACTED}"


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64, tf.int16, tf.uint16, tf.uint32, tf.complex64])
@pytest.mark.parametrize("packed", [True, False])
def test_every_type_of_number(dtype: tf.DType, packed: bool) -> None:
    """Numbers are found in a tensor's content and in its typed fields."""
    numbers = np.array([2048, 1] if packed else [2048]).astype(dtype.as_numpy_dtype)
    tensor = tf.make_tensor_proto(numbers)
    if packed:
        tensor.CopyFrom(type(tensor)(dtype=tensor.dtype, tensor_content=numbers.tobytes()))
    log = Request()
    log.predict_log.request.inputs["x"].CopyFrom(tensor)
    assert Redactor().message("got 2048.0", log) == f"got {REDACTED}"


def test_a_malformed_tensor_is_no_error() -> None:
    """A request that a server refuses, for its shape or type, has values all the same."""
    log = Request()
    tensor = log.predict_log.request.inputs["x"]
    tensor.dtype = 9999
    tensor.tensor_content = b"\x01\x02\x03"
    tensor.string_val.append(b"Quxley")
    log.predict_log.request.inputs["y"].dtype = tf.float32.as_datatype_enum
    log.predict_log.request.inputs["y"].tensor_content = np.array([4321.125, 1], np.float32).tobytes()[:-1]
    log.predict_log.request.inputs["z"].dtype = tf.variant.as_datatype_enum
    assert Redactor().message("Quxley 4321.125 end", log) == f"{REDACTED} end"


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (1234567, ["1234567", "1.23457e+06", "1234567.0", "-1234567", "0x12d687", "1.234567e6"]),
        (-1234567, ["-1234567", "1234567"]),
        (4321.1234, ["4321.12", "4321.1234", "4321.123400", "4321", "4.321e3", "4321.123535156250000", "4321.1235"]),
        (0.000123456, ["0.000123456", "1.23456e-04", "1.235e-4", "0.0001235"]),
        (1e6, ["1e+06", "1000000", "1000000.0"]),
        (2**62 + 1, ["4611686018427387905", "4.61169e+18"]),
    ],
)
def test_numbers_however_they_are_printed(
    number: float, printed: list[str], make_request: Callable[..., Request]
) -> None:
    """The digits that are printed decide, not the format."""
    for text in printed:
        shown = Redactor().message(f"got [{text}] here", make_request(number))
        assert "".join(filter(str.isdigit, shown)) == "", text


@pytest.mark.parametrize("text", ["[1,123]", "12", "0.125", "1235", "x1234", "1234abc", "op_1234", "1.1234.5", "1e3x"])
def test_other_numbers_are_shown(text: str, make_request: Callable[..., Request]) -> None:
    """Small numbers, other numbers, and digits within a name or a version are shown."""
    assert Redactor().message(text, make_request(1234.0, 12.0, 123.0, 0.125)) == text


def test_modes(make_request: Callable[..., Request]) -> None:
    """`full` shows everything, `codes` nothing, not even that a text was long."""
    request = make_request("Quxley")
    full, codes = Redactor(requests=[request], mode="full"), Redactor(requests=[request], mode="codes")
    assert full.message("is Quxley\x1b[31m", request) == "is Quxley\\x1b[31m"
    assert full.log("a\nQuxley") == "a\nQuxley"
    assert codes.message("is Quxley") == codes.log("x\nQuxley\ny") == codes.message("y", request)
    assert "Quxley" not in codes.message("is Quxley")
    assert codes.message("") == codes.log("\n") == ""

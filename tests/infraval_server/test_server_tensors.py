"""TensorProtos of every dtype and encoding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from infraval_server import tensors

FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
COMPLEX = ["complex64", "complex128"]


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, *COMPLEX])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_numbers_go_into_typed_fields(dtype: str, shape: tuple[int, ...]) -> None:
    """TensorFlow reads back dtype, shape and values, from a typed field as TensorFlow Serving fills it."""
    count = int(np.prod(shape))
    array = np.arange(count).reshape(shape).astype(tf.as_dtype(dtype).as_numpy_dtype)
    proto = tensors.to_proto(array)
    assert proto.tensor_content == b""
    for read in (tf.make_ndarray(proto), tensors.from_proto(proto)):
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("values", [[True, False], [b"", b"\xff\x00", "ü".encode()]])
def test_bools_and_bytes_come_back(values: list[Any]) -> None:
    """Booleans and any bytes survive the way there and back."""
    array = np.array(values, dtype=object if isinstance(values[0], bytes) else bool)
    read = tensors.from_proto(tensors.to_proto(array))
    assert read is not None
    assert read.tolist() == values


@pytest.mark.parametrize(
    "encoding",
    [{"tensor_content": b"\x01\x02ayz"}, {"string_val": [b"a", b"yz"]}, {"string_val": [b"a", b"yz", b"left over"]}],
)
def test_strings_are_read_in_each_encoding(encoding: dict[str, Any]) -> None:
    """Strings may come packed, as C++ clients can send them, or with more values than the shape holds."""
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_shape={"dim": [{"size": 2}]}, **encoding)
    read = tensors.from_proto(proto)
    assert read is not None
    assert read.tolist() == [b"a", b"yz"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"dtype": types_pb2.DT_FLOAT, "tensor_content": b"\x00", "tensor_shape": {"dim": [{"size": 2}]}},
        {"dtype": types_pb2.DT_FLOAT, "float_val": [1.0], "tensor_shape": {"dim": [{"size": -1}]}},
        {"dtype": 999, "float_val": [1.0]},
    ],
)
def test_invalid_tensor_is_none(fields: dict[str, Any]) -> None:
    """A proto that is no tensor is told apart rather than read as something else."""
    assert tensors.from_proto(tensor_pb2.TensorProto(**fields)) is None

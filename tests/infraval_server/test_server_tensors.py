"""TensorProtos of every dtype and encoding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from infraval_server import status, tensors

FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
COMPLEX = ["complex64", "complex128"]
QUANTIZED = ["qint8", "qint16", "qint32", "quint8", "quint16"]


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


@pytest.mark.parametrize("dtype", QUANTIZED)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_quantized_numbers_keep_their_dtype(dtype: str, shape: tuple[int, ...]) -> None:
    """They are no plain integers, though TensorFlow's Python API hands them out as such."""
    quantized = tf.as_dtype(dtype)
    structure = quantized.as_numpy_dtype
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(structure.fields[dtype][0]).view(structure)
    proto = tensors.to_proto(array)
    assert proto.dtype == quantized.as_datatype_enum
    assert [*proto.int_val] == list(range(int(np.prod(shape))))
    read = tensors.from_proto(proto)
    assert read is not None
    assert (tf.as_dtype(read.dtype), read.shape) == (quantized, shape)


@pytest.mark.parametrize("count", [0, 2, 3])
def test_variants_come_out_of_the_graph(count: int) -> None:
    """A tensor of variants, each of any length, is answered with the protos that are in it."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        lists = [
            tf.raw_ops.TensorListReserve(element_shape=[200 * i], num_elements=i, element_dtype=tf.string)
            for i in range(3)
        ]
        variants = tf.stack(lists[:count]) if count else tf.stack(lists)[:0]
        serialized = session.run(tf.raw_ops.SerializeTensor(tensor=variants))
    array = tensors.from_encoded(serialized)
    proto = tensors.to_proto(array)
    assert array.shape == (count,)
    assert [variant.type_name for variant in proto.variant_val] == ["tensorflow::TensorList"] * count
    assert count == 0 or proto.dtype == types_pb2.DT_VARIANT


@pytest.mark.parametrize("dtype", [types_pb2.DT_VARIANT, types_pb2.DT_RESOURCE])
def test_variants_and_resources_are_not_taken(dtype: int) -> None:
    """They are refused before TensorFlow decodes them, which can end the process."""
    proto = tensor_pb2.TensorProto(dtype=dtype, tensor_shape={})
    proto.variant_val.add(type_name="tensorflow::TensorList")
    with pytest.raises(status.StatusError) as raised:
        tensors.from_proto(proto)
    assert raised.value.code == status.Code.UNIMPLEMENTED

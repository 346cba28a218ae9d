"""TensorProto to numpy array and back, with TensorFlow Serving's choice of fields (source: framework/tensor.cc)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework import resource_handle_pb2, tensor_pb2, types_pb2

from infraval_server import status

Array = npt.NDArray[Any]

VALUE_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
}
"""The TensorProto field with the values of a dtype."""

_QUANTIZED = frozenset(
    {types_pb2.DT_QINT8, types_pb2.DT_QINT16, types_pb2.DT_QINT32, types_pb2.DT_QUINT8, types_pb2.DT_QUINT16}
)
"""Dtypes whose values are in `int_val`, and in numpy in the only field of a structure."""

_HANDLES: Mapping[int, tuple[str, Any]] = {
    types_pb2.DT_VARIANT: ("variant_val", tensor_pb2.VariantTensorDataProto),
    types_pb2.DT_RESOURCE: ("resource_handle_val", resource_handle_pb2.ResourceHandleProto),
}
"""Dtypes whose values are protos: numpy holds them as objects. The TensorProto field, and the class of a value."""

ENCODED_DTYPES = frozenset(map(tf.as_dtype, _HANDLES))
"""Dtypes that TensorFlow's Python API cannot hand out; see `from_encoded`."""

_SHORT_NAMES = {"float32": "float", "float64": "double", "float16": "half"}


def from_proto(proto: Any) -> Array | None:
    """The tensor's values.

    Args:
      proto: a TensorProto of any encoding.

    Returns:
      An array of the proto's shape; None if the proto is not a valid tensor.

    Raises:
      StatusError: it holds variants or resources, which TensorFlow's Python API cannot feed.
    """
    if any(dimension.size < 0 for dimension in proto.tensor_shape.dim):
        return None
    if proto.dtype in _HANDLES:
        raise status.StatusError(
            status.Code.UNIMPLEMENTED, f"The embedded server cannot take a tensor of type {dtype_name(proto.dtype)}"
        )
    try:
        return tf.make_ndarray(proto)  # type: ignore[no-any-return]  # TensorFlow is untyped
    except (ValueError, TypeError, KeyError, OverflowError):
        return _parse(proto)


def _parse(proto: Any) -> Array | None:
    # TensorFlow's own parser knows encodings that make_ndarray does not, such as strings in tensor_content.
    try:
        return tf.io.parse_tensor(proto.SerializeToString(), proto.dtype).numpy()  # type: ignore[no-any-return]
    except (tf.errors.OpError, ValueError, TypeError):
        return None


def from_encoded(serialized: bytes) -> Array:
    """The protos in a tensor of variants or resources.

    Args:
      serialized: a TensorProto, as the op SerializeTensor makes it.

    Returns:
      An object array of VariantTensorDataProtos or ResourceHandleProtos, of the tensor's shape.
    """
    proto = tensor_pb2.TensorProto.FromString(serialized)
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    _, message_class = _HANDLES[proto.dtype]
    array = np.empty(math.prod(shape), dtype=object)
    # The lengths of all messages come first, then the messages (source: framework/variant_encode_decode.cc).
    content = proto.tensor_content
    sizes, position = [], 0
    for _ in range(array.size):
        size, position = _varint(content, position)
        sizes.append(size)
    for index, size in enumerate(sizes):
        array[index] = message_class.FromString(content[position : position + size])
        position += size
    return array.reshape(shape)


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """The protobuf varint that begins at a position, and the position of its end."""
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more bytes follow
            return value, position


def to_proto(array: Array) -> Any:
    """A TensorProto with the values in the typed field of their dtype, as TensorFlow Serving sends them."""
    dtype = dtype_enum(array)
    field = VALUE_FIELDS.get(dtype)
    if field is None:
        return _to_proto_of_rare_dtype(array, dtype)
    proto = _empty(array, dtype)
    getattr(proto, field).extend(array.ravel().tolist())
    return proto


def _to_proto_of_rare_dtype(array: Array, dtype: int) -> Any:
    proto = _empty(array, dtype)
    if dtype in (types_pb2.DT_HALF, types_pb2.DT_BFLOAT16):
        proto.half_val.extend(array.ravel().view(np.uint16).tolist())
    elif dtype in _HANDLES:
        getattr(proto, _HANDLES[dtype][0]).extend(array.ravel().tolist())
    elif dtype in _QUANTIZED:
        (field,) = array.dtype.names or ()
        proto.int_val.extend(array[field].ravel().tolist())
    elif dtype == types_pb2.DT_COMPLEX64:
        proto.scomplex_val.extend(array.ravel().view(np.float32).tolist())
    elif dtype == types_pb2.DT_COMPLEX128:
        proto.dcomplex_val.extend(array.ravel().view(np.float64).tolist())
    else:
        return tf.make_tensor_proto(array)
    return proto


def _empty(array: Array, dtype: int) -> Any:
    proto = tensor_pb2.TensorProto(dtype=dtype)
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def dtype_name(dtype: Any) -> str:
    """A dtype as TensorFlow's C++ messages name it: `float`, `int32`, `string`, …."""
    name = str(tf.as_dtype(dtype).name)
    return _SHORT_NAMES.get(name, name)


def dtype_enum(array: Array) -> int:
    """An array's dtype as a DataType; an empty array of objects is one of strings."""
    first = next(iter(array.flat), b"") if array.dtype == object else b""
    for dtype, (_, message_class) in _HANDLES.items():
        if isinstance(first, message_class):
            return dtype
    return int(tf.as_dtype(array.dtype).as_datatype_enum)


def dtype_enum_name(array: Array) -> str:
    """An array's dtype as protos name it: `DT_FLOAT`, …."""
    return str(types_pb2.DataType.Name(dtype_enum(array)))


def shape_text(array: Array) -> str:
    """An array's shape as TensorFlow's C++ messages write it: `[2,3]`."""
    return f"[{','.join(map(str, array.shape))}]"

"""The values in a TensorProto that a server sent, without TensorFlow: nothing larger than the message is made."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from infraval import dtypes
from infraval.tensorflow_protos import tensor_pb2, types_pb2

_FIELDS = {
    "float": "float_val",
    "double": "double_val",
    **dict.fromkeys(("half", "bfloat16"), "half_val"),
    "complex64": "scomplex_val",
    "complex128": "dcomplex_val",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int_val"),
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
}
"""Where the values are if they are not in `tensor_content` (tensorflow/core/framework/tensor.proto)."""

_BITS: dict[str, Any] = {"half": np.float16, "bfloat16": ml_dtypes.bfloat16}


TOLERANCES = {"half": 1e-2, "bfloat16": 5e-2, "float": 1e-3, "double": 1e-6}
"""By dtype, about the square root of what the dtype resolves; values of any other dtype are exact."""


def dtype(tensor: tensor_pb2.TensorProto) -> str:
    """Its dtype, as in a `TensorSpec`."""
    known = tensor.dtype in types_pb2.DataType.values()
    return types_pb2.DataType.Name(tensor.dtype).removeprefix("DT_").lower() if known else f"type {tensor.dtype}"


def shape(tensor: tensor_pb2.TensorProto) -> tuple[int, ...]:
    """Its shape."""
    return tuple(int(dim.size) for dim in tensor.tensor_shape.dim)


def numbers(tensor: tensor_pb2.TensorProto) -> np.ndarray[Any, Any] | None:
    """The values as they are in the message, in one dimension; None for a dtype without numbers, or one of few bits.

    They may be fewer than the tensor has: the last one then stands for the rest.
    """
    name = dtype(tensor)
    if name not in _FIELDS:
        return None
    kind = dtypes.as_numpy(name)
    if tensor.tensor_content:
        content = tensor.tensor_content
        whole = len(content) // kind.itemsize * kind.itemsize
        return np.frombuffer(content[:whole], kind.newbyteorder("<"))
    held = getattr(tensor, _FIELDS[name])
    if name in _BITS:
        bits: np.ndarray[Any, Any] = np.array(held, np.uint32).astype(np.uint16).view(_BITS[name])
        return bits
    if name.startswith("complex"):
        return np.array(held[: len(held) // 2 * 2], kind.type(0).real.dtype).view(kind)
    return np.array(held).astype(kind)


def rows(tensor: tensor_pb2.TensorProto) -> np.ndarray[Any, Any] | None:
    """The numbers as float64 in two dimensions, the last one the tensor's own; None if they are not all there."""
    sizes, values = shape(tensor), numbers(tensor)
    if values is None or not sizes or sizes[-1] <= 0 or math.prod(sizes) != len(values):
        return None
    return values.astype(np.float64).reshape(-1, sizes[-1])

"""Tensors as JSON has them, in both directions (source: util/json_tensor.cc)."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from infraval_server import rest_json, status, tensors

_BASE64_KEY = "b64"
"""The only member of an object that stands for bytes."""

_INTEGER_BOUNDS = {
    # What narrower types cannot hold wraps around, as in TensorFlow Serving.
    types_pb2.DT_INT8: (-(2**31), 2**31),
    types_pb2.DT_INT16: (-(2**31), 2**31),
    types_pb2.DT_INT32: (-(2**31), 2**31),
    types_pb2.DT_UINT8: (-(2**31), 2**31),
    types_pb2.DT_INT64: (-(2**63), 2**63),
    types_pb2.DT_UINT32: (0, 2**32),
    types_pb2.DT_UINT64: (0, 2**64),
}
_FIELDS = {dtype: field for dtype, field in tensors.VALUE_FIELDS.items() if dtype != types_pb2.DT_UINT16}
"""The TensorProto field with the values of a dtype that JSON can hold."""

_BYTES_SUFFIX = "_bytes"

_FLOATS: Mapping[int, type[np.float32 | np.float64]] = {
    types_pb2.DT_FLOAT: np.float32,
    types_pb2.DT_DOUBLE: np.float64,
}


@dataclasses.dataclass
class DenseTensor:
    """A tensor read from JSON.

    Attributes:
      dtype: as a DataType.
      dims: sizes of its dimensions; none for a scalar.
      values: in the order of a TensorProto.
    """

    dtype: int
    dims: list[int]
    values: list[Any]

    def to_proto(self) -> Any:
        """The TensorProto."""
        proto = tensor_pb2.TensorProto(dtype=self.dtype)
        proto.tensor_shape.SetInParent()
        for size in self.dims:
            proto.tensor_shape.dim.add(size=size)
        if self.values:
            getattr(proto, _FIELDS[self.dtype]).extend(self.values)
        return proto


def from_json(value: Any, dtype: int) -> DenseTensor:
    """Reads a tensor; the first element at each level says how long all must be.

    Args:
      value: a JSON value, or nested lists of them.
      dtype: as a DataType.

    Raises:
      StatusError: the lists are ragged, or a value is not of the dtype.
    """
    tensor = DenseTensor(dtype, [], [])
    first = value
    while isinstance(first, list):
        tensor.dims.append(len(first))
        first = first[0] if first else None
    _fill(value, 0, tensor)
    return tensor


def _fill(value: Any, level: int, tensor: DenseTensor) -> None:
    rank = len(tensor.dims)
    if not isinstance(value, list):
        if level != rank:
            raise rest_json.format_error(
                value, f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {rank}"
            )
        tensor.values.append(_element(value, tensor.dtype))
        return
    if level >= rank:
        raise status.invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != tensor.dims[level]:
        raise status.invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {tensor.dims[level]}"
        )
    for item in value:
        _fill(item, level + 1, tensor)


def _element(value: Any, dtype: int) -> Any:
    """One value of a tensor, checked against its dtype; `type` it is, for a bool is an int to Python."""
    kind = type(value)
    if dtype == types_pb2.DT_STRING and kind is dict:
        return from_base64(value)
    if dtype == types_pb2.DT_STRING and kind is str:
        return value.encode(errors="surrogateescape")
    if dtype in _FLOATS and kind in (int, float):
        return value
    if dtype == types_pb2.DT_BOOL and kind is bool:
        return value
    if dtype in _INTEGER_BOUNDS and kind is int:
        low, high = _INTEGER_BOUNDS[dtype]
        if low <= value < high:
            return value
    if kind is not dict and dtype not in _FIELDS:
        raise status.StatusError(
            status.Code.UNIMPLEMENTED,
            f"Conversion of JSON Value: {rest_json.quoted(value)} to type: {tensors.dtype_name(dtype)}",
        )
    raise rest_json.format_error(
        value, f"Type: {rest_json.type_name(value)} is not of expected type: {tensors.dtype_name(dtype)}"
    )


def is_base64(value: Any) -> bool:
    """Whether a JSON value is an object that stands for bytes."""
    return isinstance(value, dict) and list(value) == [_BASE64_KEY] and isinstance(value[_BASE64_KEY], str)


def from_base64(value: Any) -> bytes:
    """The bytes that a JSON object stands for.

    Raises:
      StatusError: it does not stand for bytes.
    """
    if not is_base64(value):
        raise rest_json.format_error(value, "not formatted correctly for base64 data")
    text = "".join(value[_BASE64_KEY].split())
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:  # binascii.Error, or a character beyond ASCII
        raise status.invalid_argument("Unable to base64 decode") from None


def to_json(name: str, tensor: Any) -> Any:
    """Writes a tensor as nested lists of JSON values, a scalar as one.

    Args:
      name: the output's alias; bytes are written as base64 if it ends in `_bytes`, else as a string.
      tensor: a TensorProto with its values in the field of its dtype.

    Raises:
      StatusError: JSON has no such values.
    """
    field = _FIELDS.get(tensor.dtype)
    if field is None:
        raise status.invalid_argument(f"Failed to write JSON value for tensor type: {tensors.dtype_name(tensor.dtype)}")
    values = getattr(tensor, field)
    if tensor.dtype in _FLOATS:
        kind = _FLOATS[tensor.dtype]
        values = [rest_json.Literal(rest_json.decimal_text(value, kind)) for value in values]
    elif tensor.dtype == types_pb2.DT_STRING:
        as_base64 = name.endswith(_BYTES_SUFFIX)
        values = [_base64(value) if as_base64 else value.decode(errors="surrogateescape") for value in values]
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    return np.fromiter(values, dtype=object).reshape(shape).tolist()


def _base64(value: bytes) -> dict[str, str]:
    return {_BASE64_KEY: base64.b64encode(value).decode()}

"""`--input SIGNATURE/INPUT=VALUE`: JSON -> the TensorProto that every request of the signature gets for that input."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from infraval import dtypes, errors
from infraval.requests import input_names, signatures, tensors
from infraval.tensorflow_protos import tensor_pb2

_OPTION = "--input (requests.inputs)"

_MAX_RANK = 254
"""Of a tensor (tensorflow/core/framework/tensor_shape.h)."""


@dataclasses.dataclass(frozen=True)
class Constant:
    """What an input gets in every request.

    Attributes:
      alias: key of the input in the SignatureDef.
      value: the JSON, as it was given.
      tensor: the same as a serialized TensorProto.
    """

    alias: str
    value: str
    tensor: bytes

    def proto(self) -> tensor_pb2.TensorProto:
        """The tensor."""
        return tensor_pb2.TensorProto.FromString(self.tensor)


def read(given: Iterable[str], available: Mapping[str, signatures.Signature]) -> dict[str, Constant]:
    """Reads the option, by `SIGNATURE/INPUT`.

    Args:
      given: `SIGNATURE/INPUT=VALUE` each.
      available: the model's signatures, by key.

    Raises:
      OptionError: there is no such input, or more than one, it is given twice, or the value is not JSON or does not
        fit the input.
    """
    constants: dict[str, Constant] = {}
    for key, alias, value in input_names.split(given, available, _OPTION, "VALUE"):
        name, tensor = f"{key}/{alias}", available[key].inputs[alias]
        try:
            constants[name] = Constant(alias, value, _tensor(value, tensor).SerializeToString(deterministic=True))
        except ValueError as error:
            raise errors.OptionError(f"{_OPTION} cannot feed {name} ({tensor}): {error}.") from None
    return constants


def _tensor(text: str, spec: signatures.TensorSpec) -> tensor_pb2.TensorProto:
    """Makes the tensor of an input.

    Raises:
      ValueError: what is wrong with the value, without the value itself.
    """
    kind = tensors.feature_list(spec.dtype)
    if kind is None:
        raise ValueError(f"no JSON value stands for its dtype {spec.dtype}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the value is not JSON ({error}); a string needs double quotes") from None
    shape, leaves = _flat(value)
    if not spec.holds(shape):
        raise ValueError(f"the value has the shape [{', '.join(map(str, shape))}]")
    made = tensors.empty(spec.dtype, shape)
    if kind == "bytes_list":
        made.string_val.extend(map(_bytes, leaves))
    else:
        array = _floats(leaves, spec.dtype) if kind == "float_list" else _integers(leaves, spec.dtype)
        made.tensor_content = tensors.content(array)
    return made


def _flat(value: Any) -> tuple[tuple[int, ...], list[Any]]:
    """Shape and elements of nested lists."""
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) > _MAX_RANK:
        raise ValueError(f"it has more than {_MAX_RANK} dimensions")
    leaves = [value]
    for size in shape:
        if not all(isinstance(each, list) and len(each) == size for each in leaves):
            raise ValueError("its lists differ in length or depth")
        leaves = [item for each in leaves for item in each]
    if any(isinstance(leaf, list) for leaf in leaves):
        raise ValueError("its lists differ in length or depth")
    return tuple(shape), leaves


def _bytes(leaf: Any) -> bytes:
    """A string, or TF Serving's REST notation for bytes, `{"b64": …}`."""
    try:
        if isinstance(leaf, str):
            return leaf.encode()
        if isinstance(leaf, dict) and list(leaf) == ["b64"] and isinstance(leaf["b64"], str):
            return base64.b64decode(leaf["b64"], validate=True)
    except ValueError:
        pass
    raise ValueError('every element must be a string, or bytes as {"b64": "…"} in base64')


def _floats(leaves: list[Any], dtype: str) -> np.ndarray[Any, Any]:
    if not all(isinstance(leaf, (int, float)) and not isinstance(leaf, bool) for leaf in leaves):
        raise ValueError("every element must be a number")
    too_large = ValueError(f"an element is too large for {dtype}")
    try:
        exact = np.array([float(leaf) for leaf in leaves], dtype=np.float64)
    except OverflowError:
        raise too_large from None
    with np.errstate(over="ignore"):
        array = exact.astype(dtypes.as_numpy(dtype))
    if (np.isinf(array.astype(np.float64)) & ~np.isinf(exact)).any():
        raise too_large
    return array


def _integers(leaves: list[Any], dtype: str) -> np.ndarray[Any, Any]:
    if dtype == "bool":
        if not all(isinstance(leaf, bool) for leaf in leaves):
            raise ValueError("every element must be true or false")
        return np.array(leaves, dtype=np.bool_)
    limits = np.iinfo(dtype)
    if not all(isinstance(leaf, int) and not isinstance(leaf, bool) for leaf in leaves):
        raise ValueError("every element must be an integer")
    if not all(limits.min <= leaf <= limits.max for leaf in leaves):
        raise ValueError(f"an element is out of range for {dtype}")
    return np.array(leaves, dtype=dtype)

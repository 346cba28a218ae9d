"""Features of tf.Examples -> TensorProtos for a signature's dense inputs."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from infraval import dtypes
from infraval.requests import signatures
from infraval.tensorflow_protos import tensor_pb2, types_pb2

_LISTS = {
    **dict.fromkeys(("float", "double", "half", "bfloat16"), "float_list"),
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"), "int64_list"),
    "string": "bytes_list",
}
"""dtype of an input -> kind of the tf.train.Feature that can feed it (tensorflow/core/example/feature.proto)."""


@dataclasses.dataclass(frozen=True)
class DenseInput:
    """One input of a signature and the feature that feeds it.

    Attributes:
      alias: key of the input in the SignatureDef.
      feature: key of the feature in the tf.Example.
      dtype: of the input, as in `signatures.TensorSpec`.
      shape: of one element of the batch, with at most one unknown dimension (None); None if the rank is unknown: then
        one value is a scalar and several are a vector.
    """

    alias: str
    feature: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @functools.cached_property
    def kind(self) -> str:
        """Of the tf.train.Feature that can feed it."""
        return _LISTS[self.dtype]

    def element_shape(self, count: int) -> tuple[int, ...] | None:
        """Shape of an element with `count` values; None if no element can have that many."""
        if not self.takes(count):
            return None
        if self.shape is None:
            return () if count == 1 else (count,)
        return tuple(count // self._known if size is None else size for size in self.shape)

    def takes(self, count: int) -> bool:
        """Whether an element can have so many values."""
        if self._is_fixed:
            return count == self._known
        return self.shape is None or (self._known > 0 and count % self._known == 0)

    @functools.cached_property
    def _known(self) -> int:
        """The product of the known dimensions, 1 without any."""
        return math.prod(size for size in self.shape or () if size is not None)

    @functools.cached_property
    def _is_fixed(self) -> bool:
        return self.shape is not None and None not in self.shape


def feature_list(dtype: str) -> str | None:
    """Which list of a tf.train.Feature holds values of this dtype; None if none can."""
    return _LISTS.get(dtype)


def unfeedable(tensor: signatures.TensorSpec) -> str | None:
    """Why no feature can feed an input like this; None if one can."""
    if tensor.dtype not in _LISTS:
        return f"no feature can hold its dtype {tensor.dtype}"
    if tensor.shape is not None and not tensor.shape:
        return "it has no batch dimension"
    if tensor.shape is not None and tensor.shape[1:].count(None) > 1:
        return "more than one dimension is unknown besides the batch's"
    return None


def cause_of_rejection(features: Any, dense: DenseInput) -> str | None:
    """Why a tf.Example's `feature` map cannot feed an input; None if it can. Names feature and input, never a value."""
    if dense.feature not in features:
        return f"no feature {dense.feature!r} (for input {dense.alias!r})"
    feature = features[dense.feature]
    kind = feature.WhichOneof("kind")
    if kind is None:
        return f"feature {dense.feature!r} is empty, but input {dense.alias!r} needs {dense.kind}"
    if kind != dense.kind:
        return f"feature {dense.feature!r} has kind {kind}, but input {dense.alias!r} needs {dense.kind}"
    values = getattr(feature, kind).value
    if not dense.takes(len(values)):
        wanted = signatures.TensorSpec(dense.dtype, dense.shape)
        return f"feature {dense.feature!r} has the wrong number of values for input {dense.alias!r} ({wanted})"
    if kind == "int64_list" and values and not _fits(values, dense.dtype):
        return f"feature {dense.feature!r} has values that input {dense.alias!r} cannot hold ({dense.dtype})"
    return None


def element_shape(features: Any, dense: DenseInput) -> tuple[int, ...]:
    """Shape that an accepted example gives an input."""
    return dense.element_shape(len(getattr(features[dense.feature], dense.kind).value)) or ()


def build(examples: Sequence[Any], dense: DenseInput) -> tensor_pb2.TensorProto:
    """The tensor of one input: shape [batch size, *element shape].

    Each element of the batch is the `feature` map of an accepted tf.Example; all must give elements of one shape.
    """
    values = [value for features in examples for value in getattr(features[dense.feature], dense.kind).value]
    tensor = empty(dense.dtype, (len(examples), *element_shape(examples[0], dense)))
    if dense.dtype == "string":
        tensor.string_val.extend(values)
    else:
        with np.errstate(over="ignore"):  # a float32 beyond float16 becomes infinite, as in any cast
            array = np.asarray(values, dtype=np.float32 if dense.kind == "float_list" else None)
            tensor.tensor_content = content(array.astype(dtypes.as_numpy(dense.dtype)))
    return tensor


def empty(dtype: str, shape: Iterable[int]) -> tensor_pb2.TensorProto:
    """A tensor that still lacks its values."""
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(f"DT_{dtype.upper()}"))
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def content(array: np.ndarray[Any, Any]) -> bytes:
    """The values of an array of numbers as a TensorProto's `tensor_content`, which is little-endian."""
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _fits(values: Any, dtype: str) -> bool:
    """Whether an integer dtype can represent all values, of which there must be at least one."""
    lowest, highest = int(np.min(values)), int(np.max(values))
    limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return limits[0] <= lowest and highest <= limits[1]

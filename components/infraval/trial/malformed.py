"""Malformed and boundary requests, derived from a good one: what a careless or hostile client might send.

The values of the good request are a user's. They are sent again, and never shown.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from infraval import dtypes, escape, options, tensor_values
from infraval.requests import record_kinds, tensors
from infraval.tensorflow_protos import example_pb2, tensor_pb2
from infraval.trial import malformed_records

_MAX_BYTES = 8 << 20
"""Of the values of a huge batch: it must be huge for the server, but not for the client."""

_MAX_RANK = 8
"""Lower ranks than this are tried."""

_MAX_VALUES = 16
"""Values of a tensor that are shown; of more, its shape is."""

_MAX_SHOWN = 600
"""Characters of a request that is shown."""

_FLOATS = frozenset({"half", "bfloat16", "float", "double"})


@dataclasses.dataclass(frozen=True)
class Query:
    """A request that a server must survive.

    Attributes:
      signature: its key; several, separated by commas, for MultiInference.
      method: the RPC.
      input: alias of the input that is wrong; empty if that is the request as a whole.
      what: what is wrong.
      shown: the request as compact JSON, about as TensorFlow Serving's REST API takes it; printable, and without values
        of the good request.
      make: makes the serialized request.
    """

    signature: str
    method: options.Method
    input: str
    what: str
    shown: str
    make: Callable[[], bytes] = dataclasses.field(repr=False)

    @property
    def kind(self) -> tuple[str, options.Method, str, str]:
        """What requests have in common that differ in size or values alone."""
        return (self.signature, self.method, self.input, self.what)


def derive(cell: options.Cell, request: Any, huge_batch: int) -> Iterator[Query]:
    """Queries like a good request, in a fixed order; of each kind, the smallest come first.

    Args:
      cell: of the good request.
      request: the good request: a PredictRequest, ClassificationRequest, RegressionRequest or MultiInferenceRequest.
      huge_batch: rows of the largest batch; fewer if they would be more than 8 MiB, and none if it is 0.
    """
    if cell.method is options.Method.PREDICT:
        yield from _predict(cell, request, huge_batch)
    else:
        yield from _of_examples(cell, request, huge_batch)


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A tensor of a query.

    Attributes:
      dtype: as in a `TensorSpec`.
      shape: its shape.
      values: what fills it, repeated as often as necessary; at least one.
      shown: the JSON values of these; None for values of an example.
    """

    dtype: str
    shape: tuple[int, ...]
    values: Any
    shown: list[Any] | None = None

    def reshaped(self, *shape: int) -> _Tensor:
        """The same values in another shape."""
        return dataclasses.replace(self, shape=shape)

    def proto(self) -> tensor_pb2.TensorProto:
        """The message."""
        made = tensors.empty(self.dtype, self.shape)
        size = math.prod(self.shape)
        if self.dtype == "string":
            made.string_val.extend(itertools.islice(itertools.cycle(self.values), size))
        else:
            made.tensor_content = tensors.content(np.resize(self.values, size))
        return made

    def as_json(self) -> Any:
        """Nested lists, or a description of what is too large or not to be shown."""
        shape = f"{self.dtype}[{', '.join(map(str, self.shape))}]"
        size = math.prod(self.shape)
        if size > 0 and self.shown is None:
            return f"{shape} of an example"
        if size == 0 and math.prod(itertools.takewhile(bool, self.shape)) > _MAX_VALUES:
            return shape
        if size > _MAX_VALUES:
            return f"{shape} of {json.dumps(self.shown[0] if self.shown else None, default=str)}"
        filled = np.empty(size, object)
        for position, value in zip(range(size), itertools.cycle(self.shown or [None]), strict=False):
            filled[position] = value
        return filled.reshape(self.shape).tolist()


def _filled(dtype: str, shape: tuple[int, ...], value: Any) -> _Tensor:
    values = [value] if dtype == "string" else np.full(1, value, dtypes.as_numpy(dtype))
    return _Tensor(dtype, shape, values, [malformed_records.as_json(value)])


def _zeros(dtype: str, shape: tuple[int, ...]) -> _Tensor:
    return _filled(dtype, shape, b"" if dtype == "string" else 0)


def _read(tensor: tensor_pb2.TensorProto) -> _Tensor | None:
    """A tensor of the good request; None if its dtype has no values that could be changed."""
    dtype, shape = tensor_values.dtype(tensor), tensor_values.shape(tensor)
    if dtype == "string":
        return _Tensor(dtype, shape, [*tensor.string_val] or [b""])
    values = tensor_values.numbers(tensor)
    if values is None:
        return None
    if not len(values):
        return _zeros(dtype, shape)
    return _Tensor(dtype, shape, values if len(values) == math.prod(shape) else values[-1:])  # one stands for the rest


def _first_row(tensor: _Tensor) -> _Tensor:
    values = tensor.values[: max(1, math.prod(tensor.shape[1:]))]
    return dataclasses.replace(tensor, shape=(1, *tensor.shape[1:]), values=values)


def _predict(cell: options.Cell, request: Any, huge_batch: int) -> Iterator[Query]:
    read = {alias: _read(tensor) for alias, tensor in sorted(request.inputs.items())}
    given = {alias: tensor for alias, tensor in read.items() if tensor is not None}
    batched = {alias for alias, tensor in given.items() if tensor.shape[:1] == (cell.batch_size,)}
    good = {alias: _first_row(tensor) if alias in batched else tensor for alias, tensor in given.items()}

    def query(alias: str, what: str, inputs: Mapping[str, _Tensor]) -> Query:
        shown = {"inputs": {escape.name(name): tensor.as_json() for name, tensor in inputs.items()}}
        make = functools.partial(_with_inputs, request, given.keys(), inputs)
        return Query(cell.signature, cell.method, alias, what, _shown(cell, shown), make)

    yield query("", "no inputs", {})
    for alias in good if len(good) > 1 else ():
        yield query(alias, "no value for an input", {name: tensor for name, tensor in good.items() if name != alias})
    if batched:
        rows = {alias: tensor for alias, tensor in good.items() if alias in batched}
        empty = {alias: _zeros(tensor.dtype, (0, *tensor.shape[1:])) for alias, tensor in rows.items()}
        yield query("", "an empty batch", {**good, **empty})
        for size in _sizes(huge_batch, sum(map(_bytes, rows.values()))):
            large = {alias: tensor.reshaped(size, *tensor.shape[1:]) for alias, tensor in rows.items()}
            yield query("", "a huge batch", {**good, **large})
    zeros = {alias: _zeros(tensor.dtype, tensor.shape) for alias, tensor in good.items()}
    for alias, tensor in good.items():
        for what, wrong in _wrong(tensor):
            yield query(alias, what, {**zeros, alias: wrong})
            if len(good) > 1:
                yield query(alias, what, {**good, alias: wrong})


def _wrong(good: _Tensor) -> Iterator[tuple[str, _Tensor]]:
    """What is wrong, and a tensor in which it is; of the same fault, the smallest comes first."""
    yield from ((what, _zeros(good.dtype, shape)) for what, shape in _wrong_shapes(good.shape))
    yield from _wrong_values(good)
    yield "another dtype", _zeros("float" if good.dtype == "string" else "string", good.shape)


def _wrong_shapes(shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    rank = len(shape)
    for lower in range(min(rank, _MAX_RANK)):
        for fewer in dict.fromkeys([(1,) * lower, shape[:lower]]):
            yield "too few dimensions", fewer
    for more in dict.fromkeys([(1,) * (rank + 1), (*shape, 1)]):
        yield "too many dimensions", more
    inner = range(1, rank)
    for axis in inner:
        yield "a dimension of size zero", (*shape[:axis], 0, *shape[axis + 1 :])
    others = [(1,) * rank, *((*shape[:axis], shape[axis] + 1, *shape[axis + 1 :]) for axis in inner)]
    for other in dict.fromkeys(others if inner else []):
        if other != shape:
            yield "a wrong inner size", other


def _wrong_values(good: _Tensor) -> Iterator[tuple[str, _Tensor]]:
    dtype, shape = good.dtype, good.shape
    if dtype == "string":
        for what, value in malformed_records.BAD_STRINGS:
            yield what, _filled(dtype, shape, value)
        yield from _records(good)
    elif dtype in _FLOATS:
        for what, number in (("NaN", math.nan), ("an infinite value", math.inf), ("an infinite value", -math.inf)):
            yield what, _filled(dtype, shape, number)
    elif np.issubdtype(dtypes.as_numpy(dtype), np.integer):
        limits = np.iinfo(dtypes.as_numpy(dtype))
        for extreme in (int(limits.min), int(limits.max)):
            yield "an extreme integer", _filled(dtype, shape, extreme)


def _records(good: _Tensor) -> Iterator[tuple[str, _Tensor]]:
    example = record_kinds.example(good.values[0])
    if example is None or not example.features.feature:
        return
    for each in malformed_records.variations(example):
        yield each.what, _Tensor("string", good.shape, [each.record], [each.shown])


def _with_inputs(request: Any, replaced: Iterable[str], inputs: Mapping[str, _Tensor]) -> bytes:
    made = type(request)()
    made.CopyFrom(request)
    for alias in replaced:
        del made.inputs[alias]
    for alias, tensor in inputs.items():
        made.inputs[alias].CopyFrom(tensor.proto())
    serialized: bytes = made.SerializeToString()
    return serialized


def _of_examples(cell: options.Cell, request: Any, huge_batch: int) -> Iterator[Query]:
    kind = request.input.WhichOneof("kind")
    examples = getattr(request.input, kind).examples if kind else ()
    good = examples[0] if examples else example_pb2.Example()

    def query(what: str, records: list[bytes], shown: Any) -> Query:
        make = functools.partial(_with_records, request, records)
        return Query(cell.signature, cell.method, "", what, _shown(cell, {"examples": shown}), make)

    yield query("an empty batch", [], [])
    for each in malformed_records.variations(good):
        yield query(each.what, [each.record], [each.shown])
    record = good.SerializeToString()
    for size in _sizes(huge_batch, len(record)):
        yield query("a huge batch", [record] * size, f"{size} examples")


def _with_records(request: Any, records: list[bytes]) -> bytes:
    """The request with other examples, which need not be any: protobuf's own classes would not write those."""
    base = type(request)()
    base.CopyFrom(request)
    base.ClearField("input")
    # Of each of the three messages, and of the two around the examples, see tensorflow_serving/apis.
    example_list = b"".join(_field(1, record) for record in records)
    return bytes(base.SerializeToString()) + _field(2, _field(1, example_list))


def _field(number: int, content: bytes) -> bytes:
    """A field of protobuf's wire type 2."""
    length, size = b"", len(content)
    while size > 0x7F:  # noqa: PLR2004 - what fits into a byte of a varint
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def _sizes(largest: int, row_bytes: int) -> Iterator[int]:
    """Powers of two up to a huge batch, and that batch."""
    largest = min(largest, _MAX_BYTES // max(1, row_bytes))
    yield from itertools.takewhile(lambda size: size < largest, (2**power for power in itertools.count(1)))
    if largest > 1:
        yield largest


def _bytes(tensor: _Tensor) -> int:
    if tensor.dtype == "string":
        return sum(map(len, itertools.islice(itertools.cycle(tensor.values), math.prod(tensor.shape))))
    return math.prod(tensor.shape) * dtypes.as_numpy(tensor.dtype).itemsize


def _shown(cell: options.Cell, body: dict[str, Any]) -> str:
    whole = {"signature_name": escape.name(cell.signature), **body}
    return escape.cut(json.dumps(whole, separators=(",", ":"), default=str), _MAX_SHOWN)

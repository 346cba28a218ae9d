"""What the requests hold that a message may quote: strings and numbers, not the names of inputs and features."""

from __future__ import annotations

import contextlib
import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf import message
from google.protobuf.descriptor import FieldDescriptor as _Field

from infraval import dtypes, protos
from infraval.tensorflow_protos import example_pb2, prediction_log_pb2, tensor_pb2, types_pb2

_NOT_VALUES = {"model_spec", "tensor_shape"}
_FIELD = re.compile(rb"[\x0a\x12]([\x80-\xff]{0,4}[\x00-\x7f])")  # features or context, or feature_lists, and a length


class Values(NamedTuple):
    """The strings of a request, its serialized tf.Examples (not among them), and its numbers, unsigned and in order."""

    strings: set[bytes]
    records: set[bytes]
    numbers: npt.NDArray[np.float64]


def values(request: prediction_log_pb2.PredictionLog) -> Values:
    """All strings and numbers of a request, those in serialized tf.Examples among them."""
    held = Values(set(), set(), np.zeros(0))
    numbers: list[Any] = [held.numbers]
    pending: list[Any] = [request]
    while pending:
        item = pending.pop()
        if isinstance(item, tensor_pb2.TensorProto):
            numbers += _packed(item)
        for field, content in item.ListFields():
            # By its type: protobuf 6 has deprecated the descriptor's label, and protobuf 3 has nothing else.
            repeated = not isinstance(content, (message.Message, str, bytes, int, float))
            if field.type == _Field.TYPE_MESSAGE and field.name not in _NOT_VALUES:
                pending += content.values() if hasattr(content, "values") else content if repeated else [content]
            elif repeated and field.type == _Field.TYPE_BYTES:
                examples = {string: example for string in content if (example := _example(string))}
                pending += examples.values()
                held.records.update(examples)
                held.strings.update(string for string in content if string not in examples)
            elif repeated and field.type not in (_Field.TYPE_MESSAGE, _Field.TYPE_STRING):
                numbers.append(content)
    absolute = np.abs(np.concatenate([np.asarray(array, np.float64) for array in numbers]))
    return held._replace(numbers=np.sort(absolute[np.isfinite(absolute)]))


def _example(string: bytes) -> message.Message | None:
    """A serialized Example or SequenceExample; as the latter, the former is its context."""
    end = 0
    while end < len(string) and (field := _FIELD.match(string, end)):
        end = field.end() + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(field[1]))
    example = example_pb2.SequenceExample()
    with contextlib.suppress(message.DecodeError):
        if end == len(string) > 0:
            protos.parse(string, example)
            return example
    return None


def _packed(tensor: tensor_pb2.TensorProto) -> list[npt.NDArray[Any]]:
    """The numbers of a tensor that come as bytes or bits, which may be more or fewer than its shape says."""
    with contextlib.suppress(TypeError, ValueError):  # not numbers; a DataType that this TensorFlow does not know
        dtype = dtypes.as_numpy(types_pb2.DataType.Name(tensor.dtype).removeprefix("DT_").lower())
        if dtype.itemsize > 1 and not dtype.hasobject:  # no number of one byte has four digits
            content = tensor.tensor_content or np.array(tensor.half_val, np.uint16).tobytes()
            packed = np.frombuffer(content, dtype, len(content) // dtype.itemsize)
            return [packed.real, packed.imag] if dtype.kind == "c" else [packed]
    return []

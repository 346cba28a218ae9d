"""What the requests hold that a message may quote: strings and numbers, not the names of inputs and features."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf import descriptor, message
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import prediction_log_pb2

from infraval import protos

Numbers = npt.NDArray[np.float64]

_NUMBER = re.compile(rb"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*", re.IGNORECASE)
_NUMBER_BEGINS = b"+-.0123456789 \t\n"
_MAX_NUMBER_LENGTH = 64

_RECORD_BEGINS = b"\x0a\x12"  # tags of features or context, and of feature_lists
_CONTINUED = 0x80
_MAX_SHIFT = 28
_FIELDS = (
    "float_val",
    "double_val",
    "int_val",
    "int64_val",
    "uint32_val",
    "uint64_val",
    "scomplex_val",
    "dcomplex_val",
)
"""Fields of a TensorProto that hold numbers as they are; `half_val` holds bits."""


@dataclasses.dataclass(frozen=True)
class Values:
    """What a request holds.

    Attributes:
      strings: its strings, those of the features of serialized records among them.
      records: its strings that are a serialized tf.Example or SequenceExample; they hold the names of features too.
      numbers: its numbers without their signs, those that strings spell among them.
    """

    strings: list[bytes]
    records: list[bytes]
    numbers: Numbers


def values(request: prediction_log_pb2.PredictionLog) -> Values:
    """All strings and numbers of a request; none if the log is of no kind that has one."""
    kind = request.WhichOneof("log_type")
    strings: list[bytes] = []
    records: list[bytes] = []
    arrays: list[Numbers] = []
    loose: list[float] = []
    pending: list[message.Message] = [getattr(request, kind).request] if kind else []
    while pending:
        item = pending.pop()
        found: Iterable[bytes] = ()
        if isinstance(item, tensor_pb2.TensorProto):
            arrays += map(_as_numbers, _tensor_numbers(item))
            found = item.string_val
        elif isinstance(item, tf.train.Feature):
            loose += item.float_list.value
            loose += item.int64_list.value
            found = item.bytes_list.value
        else:
            for field, content in item.ListFields():
                if field.type == descriptor.FieldDescriptor.TYPE_MESSAGE:
                    pending += _children(field, content)
        for string in found:
            if string[:1] in _RECORD_BEGINS and (example := _example(string)):
                records.append(string)
                pending.append(example)
                continue
            strings.append(string)
            if string[:1] in _NUMBER_BEGINS and len(string) <= _MAX_NUMBER_LENGTH and _NUMBER.fullmatch(string):
                loose.append(float(string))
    return Values(strings, records, np.concatenate([*arrays, _as_numbers(loose)]))


def _children(field: descriptor.FieldDescriptor, content: Any) -> Iterable[message.Message]:
    if field.label != descriptor.FieldDescriptor.LABEL_REPEATED:
        return (content,)
    entry = field.message_type
    if not entry.GetOptions().map_entry:
        return content  # type: ignore[no-any-return]  # a repeated field of messages
    holds_messages = entry.fields_by_name["value"].type == descriptor.FieldDescriptor.TYPE_MESSAGE
    return content.values() if holds_messages else ()


def _example(string: bytes) -> message.Message | None:
    """The features of a serialized Example or SequenceExample; as the latter, the former is its context."""
    if not _is_record(string):
        return None
    example = tf.train.SequenceExample()
    try:
        protos.parse(string, example)
    except message.DecodeError:
        return None
    return example


def _is_record(string: bytes) -> bool:
    """Whether bytes may be a serialized record, as far as its outermost fields say."""
    position = 0
    while position < len(string):
        if string[position] not in _RECORD_BEGINS:
            return False
        length = shift = 0
        more = True
        while more:
            position += 1
            if position >= len(string) or shift > _MAX_SHIFT:
                return False
            length |= (string[position] & 0x7F) << shift
            shift += 7
            more = string[position] >= _CONTINUED
        position += 1 + length
    return position == len(string) > 0


def _tensor_numbers(tensor: tensor_pb2.TensorProto) -> Iterator[Any]:
    """The numbers of a tensor as they come, which may be more or fewer than its shape says."""
    for field in _FIELDS:
        yield getattr(tensor, field)
    try:
        dtype = np.dtype(tf.dtypes.as_dtype(tensor.dtype).as_numpy_dtype)
    except TypeError:
        return
    # No number of one byte has four digits.
    if dtype.itemsize > 1 and not dtype.hasobject:
        content = tensor.tensor_content or np.array(tensor.half_val, np.uint16).tobytes()
        yield np.frombuffer(content, dtype, len(content) // dtype.itemsize)


def _as_numbers(numbers: Any) -> Numbers:
    """Numbers without their signs; a complex number is its two parts. Too large or no number: left out."""
    with np.errstate(all="ignore"):
        array = np.asarray(numbers)
        if array.dtype.kind == "c":
            array = np.concatenate([array.real, array.imag])
        absolute: Numbers = np.abs(array.astype(np.float64, copy=False))
    return absolute if math.isfinite(absolute.sum()) else absolute[np.isfinite(absolute)]

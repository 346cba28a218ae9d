"""Requests of PredictionLogs as the JSON of TensorFlow Serving's REST API (tensorflow_serving/g3doc/api_rest.md)."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from infraval import tensor_values
from infraval.requests import prediction_logs
from infraval.tensorflow_protos import example_pb2, input_pb2, prediction_log_pb2, tensor_pb2

_MAX_VALUES = 1 << 24
"""A tensor may have more values than its message: a short one is not to fill the memory as JSON."""

_NUMBERS = frozenset(
    [
        "float",
        "double",
        "half",
        "bfloat16",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
    ]
)


class NotSentError(Exception):
    """A request has no form in JSON; the message says why, without a value of it."""


def body(log: prediction_log_pb2.PredictionLog) -> tuple[str, bytes]:
    """The verb and the body of a request.

    Raises:
      NotSentError: REST has no such request.
    """
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        if request.output_filter:
            raise NotSentError("REST cannot ask for some outputs only")
        content = {"inputs": {alias: _tensor(tensor) for alias, tensor in sorted(request.inputs.items())}}
        verb = "predict"
    elif kind in {"classify_log", "regress_log"}:
        content = _examples(getattr(log, kind).request.input)
        verb = kind.removesuffix("_log")
    else:
        raise NotSentError("REST has no MultiInference")
    (signature,) = prediction_logs.signatures(log)
    return verb, json.dumps({"signature_name": signature} | content, separators=(",", ":")).encode()


def _tensor(tensor: tensor_pb2.TensorProto) -> Any:
    """The values of a tensor, nested as its shape is."""
    dtype, shape = tensor_values.dtype(tensor), tensor_values.shape(tensor)
    size = math.prod(shape)
    if min(shape, default=0) < 0 or size > _MAX_VALUES:
        raise NotSentError("an input is too large for JSON")
    if dtype == "string":
        if tensor.tensor_content:
            raise NotSentError("an input has strings in a form of TensorFlow's own")
        return _nested([_bytes(value) for value in _filled(list(tensor.string_val), size, b"")], shape)
    if dtype not in _NUMBERS:
        raise NotSentError(f"JSON has no {dtype}")
    numbers = tensor_values.numbers(tensor)
    values = np.zeros(0) if numbers is None else numbers
    if dtype in {"float", "half", "bfloat16"}:
        # The shortest decimal that is the same number, as people write it: 0.1 and not 0.10000000149011612.
        values = values.astype(np.float32).astype(str).astype(np.float64)
    return _nested(_filled(values.tolist(), size, 0), shape)


def _filled(values: list[Any], size: int, empty: Any) -> list[Any]:
    """So many values: the last one stands for those that are missing (tensorflow/core/framework/tensor.proto)."""
    return values[:size] + [values[-1] if values else empty] * (size - len(values))


def _nested(values: list[Any], shape: Sequence[int]) -> Any:
    """A flat list as nested ones; the only value for no dimension."""
    if not shape:
        return values[0]
    for size in reversed(shape[1:]):
        values = [values[start : start + size] for start in range(0, len(values), size)] if size else []
    return values if math.prod(shape) else _empty(shape)


def _empty(shape: Sequence[int]) -> list[Any]:
    """Nested lists of a shape that has a zero."""
    return [_empty(shape[1:]) for _ in range(shape[0])] if len(shape) > 1 else []


def _bytes(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _examples(given: input_pb2.Input) -> dict[str, Any]:
    kind = given.WhichOneof("kind")
    if kind is None:
        raise NotSentError("a request has no examples")
    held = getattr(given, kind)
    content: dict[str, Any] = {"examples": [_example(each) for each in held.examples]}
    if kind == "example_list_with_context":
        content["context"] = _example(held.context)
    return content


def _example(example: example_pb2.Example) -> dict[str, Any]:
    """The features that have a value, each as a list."""
    found: dict[str, Any] = {}
    for name, feature in sorted(example.features.feature.items()):
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        if kind == "bytes_list":
            values = [_bytes(value) for value in values]
        elif kind == "float_list":
            values = np.array(values, np.float32).astype(str).astype(np.float64).tolist()
        if values:
            found[name] = values
    return found

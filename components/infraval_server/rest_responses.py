"""Response protos to JSON text (source: util/json_tensor.cc and model_servers/http_rest_api_util.cc)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from infraval_server import rest_json, rest_tensors, status

_MAX_PLAIN_NUMBER = 1e15
"""From here on C++ writes an exponent."""

# From protobuf 5 on it has another name.
_WITH_DEFAULTS = next(
    name
    for name in ("always_print_fields_with_no_presence", "including_default_value_fields")
    if name in inspect.signature(json_format.MessageToDict).parameters
)


def of_predict(response: Any, *, rows: bool) -> str:
    """A PredictResponse: `predictions`, one for each row, or `outputs`, one for each tensor.

    Raises:
      StatusError: JSON cannot hold a dtype, or rows were asked for and the outputs are not a batch.
    """
    if not response.outputs:
        raise status.invalid_argument("Cannot convert empty tensor map to JSON")
    if rows:
        _check_batch(response.outputs)
    columns = {name: rest_tensors.to_json(name, tensor) for name, tensor in response.outputs.items()}
    only = next(iter(columns.values())) if len(columns) == 1 else None
    if not rows:
        return rest_json.pretty({"outputs": columns if only is None else only})
    if only is not None:
        return rest_json.listing("predictions", only, one_line=True)
    named = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return rest_json.listing("predictions", named, one_line=False)


def _check_batch(outputs: Mapping[str, Any]) -> None:
    size = None
    for name, tensor in outputs.items():
        if not tensor.tensor_shape.dim:
            raise status.invalid_argument(f"Tensor name: {name} has no shape information ")
        given = tensor.tensor_shape.dim[0].size
        if size not in (None, given):
            raise status.invalid_argument(f"Tensor name: {name} has inconsistent batch size: {given} expecting: {size}")
        size = given


def of_classify(response: Any) -> str:
    """A ClassificationResponse: for each example its pairs of label and score.

    Raises:
      StatusError: there is no result.
    """
    classifications = response.result.classifications
    if not classifications:
        raise status.invalid_argument("Cannot convert empty ClassificationResults to JSON")
    items = [[[each.label, _score(each.score)] for each in one.classes] for one in classifications]
    return rest_json.listing("results", items, one_line=True)


def of_regress(response: Any) -> str:
    """A RegressionResponse: for each example its value.

    Raises:
      StatusError: there is no result.
    """
    regressions = response.result.regressions
    if not regressions:
        raise status.invalid_argument("Cannot convert empty RegressionResults to JSON")
    return rest_json.pretty({"results": [_score(each.value) for each in regressions]}, one_line=True)


def _score(value: float) -> rest_json.Literal:
    return rest_json.Literal(rest_json.decimal_text(value, np.float32))


def of_status(response: Any) -> str:
    """A GetModelStatusResponse."""
    return _message(response)


def of_metadata(response: Any) -> str:
    """A GetModelMetadataResponse for the field `signature_def`."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return (
        f'{{\n"model_spec":{_message(response.model_spec)},\n'
        f'"metadata": {{"signature_def": {_message(signatures)}}}\n}}\n'
    )


def _message(message: Any) -> str:
    value = json_format.MessageToDict(message, preserving_proto_field_name=True, **{_WITH_DEFAULTS: True})
    return f"{json.dumps(_with_short_numbers(value), indent=1, ensure_ascii=False)}\n"


def _with_short_numbers(value: Any) -> Any:
    """A JSON value with `1` for `1.0`, as protobuf for C++ writes it."""
    if isinstance(value, dict):
        return {name: _with_short_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_short_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_PLAIN_NUMBER:
        return int(value)
    return value


def of_error(message: str) -> str:
    """What went wrong."""
    return rest_json.pretty({"error": message})

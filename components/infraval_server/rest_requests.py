"""JSON requests to protos (source: util/json_tensor.cc; the order of the checks is its own)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2

from infraval_server import rest_json, rest_tensors, status

SignatureInputs = Callable[[str], Mapping[str, Any]]
"""A signature's key, empty for the default, to its TensorInfos by alias; raises StatusError."""

_FEATURE_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def fill_predict(body: bytes, signature_inputs: SignatureInputs, request: Any) -> bool:
    """Adds the signature's name and the inputs to a PredictRequest.

    Args:
      body: a JSON object with `instances` (rows) or `inputs` (columns).
      signature_inputs: see there.
      request: has its model_spec already.

    Returns:
      Whether it is in rows, so that the response must be in rows too.

    Raises:
      StatusError: the body is not such an object, or does not fit the signature.
    """
    document = rest_json.parse(body)
    _fill_signature_name(document, request)
    # A proto's own map cannot be asked for a name that is not UTF-8.
    infos = dict(signature_inputs(request.model_spec.signature_name))
    if not infos:
        name = request.model_spec.signature_name or "DEFAULT"
        raise status.invalid_argument(f"Failed to get input map for signature: {name}")
    rows = "instances" in document
    if rows and "inputs" in document:
        raise rest_json.format_error(
            document, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    if rows:
        columns = _columns_of_rows(document, infos)
    elif "inputs" in document:
        columns = _columns(document["inputs"], infos)
    else:
        raise status.invalid_argument("Missing 'inputs' or 'instances' key")
    for name, column in columns.items():
        request.inputs[name].CopyFrom(column.to_proto())
    return rows


def _fill_signature_name(document: Mapping[str, Any], request: Any) -> None:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise rest_json.format_error(document, "not formatted correctly. 'signature_name' key must be a string value.")
    request.model_spec.signature_name = _utf8(name)


def _utf8(text: str) -> str:
    # A proto's string cannot hold the bytes; C++ keeps them, and finds no such name either.
    return text.encode(errors="surrogateescape").decode(errors="replace")


def _columns_of_rows(document: Mapping[str, Any], infos: Mapping[str, Any]) -> dict[str, rest_tensors.DenseTensor]:
    rows = document["instances"]
    if not isinstance(rows, list):
        raise rest_json.format_error(document, "Expecting 'instances' to be an list/array")
    if not rows:
        raise rest_json.format_error(document, "No values in 'instances' array")
    if not isinstance(rows[0], dict) and len(infos) > 1:
        raise status.invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns: dict[str, rest_tensors.DenseTensor] = {}
    add = _add_named_row if _is_named(rows[0]) else _add_plain_row
    for index, row in enumerate(rows):
        add(row, index, infos, columns)
    for column in columns.values():
        column.dims.insert(0, len(rows))
    return columns


def _add_named_row(
    row: Any, index: int, infos: Mapping[str, Any], columns: dict[str, rest_tensors.DenseTensor]
) -> None:
    if not _is_named(row):
        raise status.invalid_argument(f"Expecting object but got list at item {index} of input list")
    for name, value in row.items():
        with _in_row(f"{index} key: {name}"):
            _add_value(value, name, infos, columns)
    if row.keys() != set(infos):
        raise status.invalid_argument(
            f"Failed to process element: {index} of 'instances' list. JSON object: {rest_json.quoted(row)} keys must "
            f"be equal to: {','.join(sorted(infos))}"
        )


def _add_plain_row(
    row: Any, index: int, infos: Mapping[str, Any], columns: dict[str, rest_tensors.DenseTensor]
) -> None:
    if _is_named(row):
        raise status.invalid_argument(f"Expecting value/list but got object at item {index} of input list")
    with _in_row(str(index)):
        _add_value(row, min(infos), infos, columns)


@contextlib.contextmanager
def _in_row(which: str) -> Iterator[None]:
    """Says in errors which row they are about."""
    try:
        yield
    except status.StatusError as error:
        raise status.invalid_argument(
            f"Failed to process element: {which} of 'instances' list. Error: {error}"
        ) from error


def _add_value(value: Any, name: str, infos: Mapping[str, Any], columns: dict[str, rest_tensors.DenseTensor]) -> None:
    if name not in infos:
        raise status.invalid_argument(f"JSON object: does not have named input: {name}")
    column = rest_tensors.from_json(value, infos[name].dtype)
    first = columns.setdefault(name, column)
    if first is column:
        return
    size = math.prod(first.dims)
    if size != len(column.values):
        raise status.invalid_argument(f"Expecting tensor size: {size} but got: {len(column.values)}")
    if first.dims != column.dims:
        raise status.invalid_argument(f"Expecting shape {_shape_text(first.dims)} but got: {_shape_text(column.dims)}")
    first.values += column.values


def _shape_text(dims: Sequence[int]) -> str:
    return f"[{','.join(map(str, dims))}]"


def _columns(inputs: Any, infos: Mapping[str, Any]) -> dict[str, rest_tensors.DenseTensor]:
    if not _is_named(inputs):
        if len(infos) > 1:
            raise status.invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        inputs = {min(infos): inputs}
    columns = {}
    for name in sorted(infos):
        if name not in inputs:
            raise status.invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        columns[name] = rest_tensors.from_json(inputs[name], infos[name].dtype)
    return columns


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not rest_tensors.is_base64(value)


def fill_examples(body: bytes, request: Any) -> None:
    """Adds the signature's name and the examples to a ClassificationRequest or RegressionRequest.

    Args:
      body: a JSON object with `examples`, and maybe a `context` for all of them.
      request: has its model_spec already.

    Raises:
      StatusError: the body is not such an object.
    """
    document = rest_json.parse(body)
    _fill_signature_name(document, request)
    listed = request.input.example_list
    if "context" in document:
        listed = request.input.example_list_with_context
        listed.context.CopyFrom(_example(document["context"]))
    if "examples" not in document:
        # For regress too.
        raise rest_json.format_error(document, "When method is classify, key 'examples' is expected and was not found")
    examples = document["examples"]
    if not isinstance(examples, list):
        raise rest_json.format_error(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise rest_json.format_error(document, "'examples' value is an empty array")
    listed.examples.extend(map(_example, examples))


def _example(value: Any) -> Any:
    if not isinstance(value, dict):
        raise status.invalid_argument(f"Example must be JSON object but got JSON {rest_json.type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        example.features.feature[_utf8(name)].CopyFrom(_feature(name, content))
    return example


def _feature(name: str, content: Any) -> Any:
    feature = feature_pb2.Feature()
    for value in content if isinstance(content, list) else [content]:
        kind, converted = _feature_value(name, value)
        given = feature.WhichOneof("kind")
        if given not in (None, kind):
            raise status.invalid_argument(
                f"Unexpected element type in feature: {name} expecting type: {_FEATURE_KINDS[given]}"
            )
        getattr(feature, kind).value.append(converted)
    return feature


def _feature_value(name: str, value: Any) -> tuple[str, Any]:
    if isinstance(value, str):
        return "bytes_list", value.encode(errors="surrogateescape")
    if rest_tensors.is_base64(value):
        return "bytes_list", rest_tensors.from_base64(value)
    if isinstance(value, float):
        return "float_list", value
    if isinstance(value, int):
        if value >= 2**63:
            raise status.invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        return "int64_list", int(value)
    raise status.invalid_argument(
        f"Feature: {name} has element with unexpected JSON type: {rest_json.type_name(value)}"
    )

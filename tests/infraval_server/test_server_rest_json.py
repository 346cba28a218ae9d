"""The JSON of the REST API: what is written reads back as what it was."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, predict_pb2

from infraval_server import rest_json, rest_requests, rest_responses, status, tensors

NUMBERS = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool"]
SHAPES = npst.array_shapes(min_dims=1, max_dims=3, max_side=3)

texts = st.binary(max_size=8).map(lambda value: value.decode(errors="surrogateescape"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=8,
)
arrays = st.sampled_from(NUMBERS).flatmap(lambda dtype: npst.arrays(dtype, SHAPES))
bytes_arrays = npst.arrays(object, SHAPES, elements=st.binary(max_size=5))


def encoded(text: str) -> bytes:
    """JSON text as it goes over the wire."""
    return text.encode(errors="surrogateescape")


def sent_back(name: str, array: Any, *, rows: bool) -> Any:
    """The array as an output in JSON, put as an input into a request, and what the request then holds."""
    response = predict_pb2.PredictResponse()
    response.outputs[name].CopyFrom(tensors.to_proto(array))
    text = rest_responses.of_predict(response, rows=rows)
    body = text.replace('"predictions"' if rows else '"outputs"', '"instances"' if rows else '"inputs"', 1)
    request = predict_pb2.PredictRequest()
    info = meta_graph_pb2.TensorInfo(dtype=response.outputs[name].dtype)
    assert rest_requests.fill_predict(encoded(body), lambda _: {name: info}, request) is rows
    return tensors.from_proto(request.inputs[name])


@given(document=st.dictionaries(texts, values, max_size=4))
def test_document_reads_back(document: dict[str, Any]) -> None:
    """Any document, also with bytes that are not UTF-8, reads back from its text as it was."""
    assert rest_json.parse(encoded(rest_json.pretty(document))) == document


@given(array=arrays, rows=st.booleans())
def test_numbers_come_back(array: Any, rows: bool) -> None:
    """Every number of every dtype comes back exactly, NaN and infinities too, in rows and in columns."""
    back = sent_back("x", array, rows=rows)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@given(array=bytes_arrays, rows=st.booleans(), name=st.sampled_from(["s", "s_bytes"]))
def test_bytes_come_back(array: Any, rows: bool, name: str) -> None:
    """Any bytes come back, as text and as base64."""
    np.testing.assert_array_equal(sent_back(name, array, rows=rows), array)


@given(single=st.floats(width=32), double=st.floats())
def test_decimals_are_floats_to_every_reader(single: float, double: float) -> None:
    """A decimal is not taken for an integer, and reads back as the same number."""
    for value, kind in ((single, np.float32), (double, np.float64)):
        back = json.loads(rest_json.decimal_text(value, kind))
        assert isinstance(back, float)
        np.testing.assert_equal(kind(back), kind(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2, "0.2"),
        (1 / 3, "0.333333343"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (9_000_000.0, "9e+06"),
        (16_777_216.0, "16777216.0"),
        (0.00003, "3e-05"),
        (1e30, "1e+30"),
    ],
)
def test_decimals_are_written_as_by_tensorflow_serving(value: float, text: str) -> None:
    """Six digits where they are the number, else as many as a float needs; `.0` behind a whole one."""
    assert rest_json.decimal_text(float(np.float32(value)), np.float32) == text


features = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=3),
    st.lists(st.binary(max_size=4)) | st.lists(st.floats(width=32)) | st.lists(st.integers(-(2**63), 2**63 - 1)),
)


@given(examples=st.lists(features, min_size=1, max_size=3), context=st.none() | features)
def test_examples_arrive(examples: list[Any], context: Any) -> None:
    """Features of each kind, and a context, arrive in the request's Examples with the values that were sent."""
    document = {"examples": examples} if context is None else {"examples": examples, "context": context}
    text = rest_json.pretty(as_json(document))
    request = classification_pb2.ClassificationRequest()
    rest_requests.fill_examples(encoded(text), request)
    given_context = request.input.example_list_with_context
    listed = request.input.example_list if context is None else given_context
    np.testing.assert_equal([as_dict(example) for example in listed.examples], examples)
    if context is not None:
        np.testing.assert_equal(as_dict(given_context.context), context)


def as_json(value: Any) -> Any:
    """The value with bytes as text and floats as TensorFlow Serving writes them."""
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return rest_json.Literal(rest_json.decimal_text(value, np.float32))
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value


def as_dict(example: Any) -> dict[str, list[Any]]:
    """An Example's values by feature; none for a feature without kind."""
    kinds = {name: feature.WhichOneof("kind") for name, feature in example.features.feature.items()}
    return {
        name: list(getattr(example.features.feature[name], kind).value) if kind else [] for name, kind in kinds.items()
    }


@pytest.mark.parametrize("dtype", ["DT_HALF", "DT_BFLOAT16", "DT_UINT16", "DT_QINT8", "DT_COMPLEX64", "DT_VARIANT"])
def test_dtype_that_json_lacks_is_refused(dtype: str) -> None:
    """A value for such an input is UNIMPLEMENTED, such an output INVALID_ARGUMENT; both name the type."""
    number = types_pb2.DataType.Value(dtype)
    name = dtype.removeprefix("DT_").lower()
    info = meta_graph_pb2.TensorInfo(dtype=number)
    with pytest.raises(Exception, match=f"^UNIMPLEMENTED: Conversion of JSON Value: 1.5 to type: {name}$"):
        rest_requests.fill_predict(b'{"inputs": 1.5}', lambda _: {"x": info}, predict_pb2.PredictRequest())
    response = predict_pb2.PredictResponse()
    response.outputs["x"].dtype = number
    with pytest.raises(Exception, match=f"^INVALID_ARGUMENT: Failed to write JSON value for tensor type: {name}$"):
        rest_responses.of_predict(response, rows=False)


@pytest.mark.parametrize(("sent", "held"), [(300, 44), (-1, 255)])
def test_narrow_integers_wrap_around(sent: int, held: int) -> None:
    """What uint8 cannot hold wraps around, as TensorFlow does it with the proto."""
    info = meta_graph_pb2.TensorInfo(dtype=types_pb2.DT_UINT8)
    request = predict_pb2.PredictRequest()
    rest_requests.fill_predict(f'{{"inputs": [{sent}]}}'.encode(), lambda _: {"x": info}, request)
    assert tensors.from_proto(request.inputs["x"]).tolist() == [held]


def test_outputs_of_several_sizes_are_no_rows() -> None:
    """Rows need outputs of one batch size; columns do not."""
    response = predict_pb2.PredictResponse()
    response.outputs["a"].CopyFrom(tensors.to_proto(np.array([1, 2], np.int32)))
    response.outputs["b"].CopyFrom(tensors.to_proto(np.array([1], np.int32)))
    with pytest.raises(Exception, match=r"has inconsistent batch size: [12] expecting: [12]$"):
        rest_responses.of_predict(response, rows=True)
    assert json.loads(rest_responses.of_predict(response, rows=False)) == {"outputs": {"a": [1, 2], "b": [1]}}


@given(prefix=st.lists(st.sampled_from(["Inf", "-Inf", "Infinity", "NaN", "1", '"Inf"', '"\\\\"']), max_size=5))
def test_short_infinities_do_not_move_the_offset_of_an_error(prefix: list[str]) -> None:
    """`Inf` is a number, not within a string; an error after it is where the sender wrote it."""
    numbers = ",".join([*prefix, "0"])
    document = rest_json.parse(f'{{"a":[{numbers}]}}'.encode())
    assert sum(value == float("inf") for value in document["a"]) == prefix.count("Inf") + prefix.count("Infinity")
    broken = f'{{"a":[{numbers},'
    for wrong, reason in (("?", "Invalid value."), ("1e400", "Number too big to be stored in double.")):
        with pytest.raises(status.StatusError) as raised:
            rest_json.parse(f"{broken}{wrong}]}}".encode())
        assert raised.value.message == f"JSON Parse error: {reason} at offset: {len(broken)}"


@given(text=st.text(alphabet="\\u0001f\x00\x01\x1f\n\x7fé", max_size=8))
def test_control_characters_are_escaped_as_by_tensorflow_serving(text: str) -> None:
    """With capital digits, and nothing else is touched."""
    written = rest_json.pretty(text)
    assert json.loads(written) == text
    assert written.count("\\u001F") >= text.count("\x1f")


@pytest.mark.parametrize(("value", "shown"), [(3.0, "3"), (0.5, "0.5"), (-2.0, "-2")])
def test_metadata_has_short_numbers(value: float, shown: str) -> None:
    """The default of an input is written as protobuf for C++ writes it."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signatures.signature_def["s"].defaults["x"].float_val.append(value)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(signatures)
    assert f" {shown}\n" in rest_responses.of_metadata(response)

"""Malformed requests derived from a good one: which there are, that they are what they claim, and what is shown."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from google.protobuf import message
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import classification_pb2, inference_pb2, predict_pb2

from infraval import dtypes, options
from infraval.requests import tensors
from infraval.tensorflow_protos import example_pb2
from infraval.trial import malformed

# Of protobuf 3.20, about strings that are not tf.Examples.
pytestmark = pytest.mark.filterwarnings("ignore:Unexpected end-group tag:RuntimeWarning")

NAME = "Dorothea Brooke"
NUMBER = 8675309


def predict_request(size: int, **shapes: tuple[str, tuple[int, ...]]) -> Any:
    """A good request: every number in it is NUMBER, every string NAME."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    for alias, (dtype, inner) in shapes.items():
        tensor = tensors.empty(dtype, (size, *inner))
        if dtype == "string":
            tensor.string_val.extend([NAME.encode()] * int(np.prod((size, *inner))))
        else:
            with np.errstate(all="ignore"):  # some dtypes cannot hold it
                numbers = np.full((size, *inner), NUMBER).astype(dtypes.as_numpy(dtype))
            tensor.tensor_content = tensors.content(numbers)
        request.inputs[alias].CopyFrom(tensor)
    return request


def derive(request: Any, size: int, method: options.Method = options.Method.PREDICT) -> list[malformed.Query]:
    """All queries, with batches of up to 100 rows."""
    return list(malformed.derive(options.Cell("s", method, size), request, huge_batch=100))


def shape_of(query: malformed.Query, alias: str) -> tuple[int, ...]:
    """The shape of an input of a Predict query."""
    tensor = predict_pb2.PredictRequest.FromString(query.make()).inputs[alias]
    return tuple(dim.size for dim in tensor.tensor_shape.dim)


INPUTS = st.dictionaries(
    st.sampled_from(["x", "y"]),
    st.tuples(
        st.sampled_from(["float", "half", "bfloat16", "double", "int32", "int64", "uint8", "string"]),
        st.lists(st.integers(0, 4), max_size=3).map(tuple),
    ),
    min_size=1,
)


@given(INPUTS, st.integers(1, 3))
def test_no_value_of_the_good_request_is_shown(inputs: Any, size: int) -> None:
    """Whatever the inputs; and every request can be made, is for the model, and is shown as short JSON."""
    request = predict_request(size, **inputs)
    before = request.SerializeToString(deterministic=True)
    for query in derive(request, size):
        assert str(NUMBER) not in query.shown
        assert NAME not in query.shown
        assert query.shown.isprintable()
        assert len(query.shown) <= 600
        assert json.loads(query.shown)["signature_name"] == "s"
        assert predict_pb2.PredictRequest.FromString(query.make()).model_spec.name == "m"
    assert request.SerializeToString(deterministic=True) == before


def test_every_rank_but_the_right_one_is_tried() -> None:
    """The smallest first, so that the first killer is the smallest."""
    queries = derive(predict_request(2, x=("float", (8, 8, 1))), 2)
    fewer = [shape_of(query, "x") for query in queries if query.what == "too few dimensions"]
    assert fewer == [(), (1,), (1, 1), (1, 8), (1, 1, 1), (1, 8, 8)]
    more = [shape_of(query, "x") for query in queries if query.what == "too many dimensions"]
    assert more == [(1, 1, 1, 1, 1), (1, 8, 8, 1, 1)]
    (scalar, *_) = [query for query in queries if query.what == "too few dimensions"]
    assert json.loads(scalar.shown) == {"signature_name": "s", "inputs": {"x": 0.0}}


def test_sizes_are_wrong_in_every_dimension() -> None:
    """Rows: none and many; others: none, one and one more."""
    queries = derive(predict_request(2, x=("float", (3, 4))), 2)
    shapes = {
        what: [shape_of(query, "x") for query in queries if query.what == what] for what in {q.what for q in queries}
    }
    assert shapes["an empty batch"] == [(0, 3, 4)]
    assert shapes["a dimension of size zero"] == [(1, 0, 4), (1, 3, 0)]
    assert shapes["a wrong inner size"] == [(1, 1, 1), (1, 4, 4), (1, 3, 5)]
    assert shapes["a huge batch"] == [(size, 3, 4) for size in (2, 4, 8, 16, 32, 64, 100)]


def test_a_huge_batch_repeats_the_first_row_and_is_not_huge_for_the_client() -> None:
    """At most 8 MiB; 0 means none."""
    request = predict_request(1, x=("float", (1024, 1024)))
    sizes = [shape_of(query, "x")[0] for query in derive(request, 1) if query.what == "a huge batch"]
    assert sizes == [2]
    small = predict_request(1, x=("string", ()))
    (*_, largest) = [query for query in derive(small, 1) if query.what == "a huge batch"]
    assert [*predict_pb2.PredictRequest.FromString(largest.make()).inputs["x"].string_val] == [NAME.encode()] * 100
    assert not [
        query
        for query in malformed.derive(options.Cell("s", options.Method.PREDICT, 1), small, huge_batch=0)
        if query.what == "a huge batch"
    ]


@pytest.mark.parametrize(
    ("dtype", "kinds"),
    [
        ("float", {"NaN", "an infinite value"}),
        ("int32", {"an extreme integer"}),
        ("string", {"an empty string", "a string that is not UTF-8", "bytes that are not an image"}),
    ],
)
def test_values_fit_the_dtype(dtype: str, kinds: set[str]) -> None:
    """What is no number is for floats; and all are sent with the right shape and with another dtype."""
    queries = derive(predict_request(1, x=(dtype, (2,))), 1)
    special = {query.what for query in queries if query.input and shape_of(query, "x") == (1, 2)}
    assert special == kinds | {"another dtype"}


def test_an_input_may_be_missing_and_others_are_kept() -> None:
    """With several inputs, each is left out once, and the others are tried both with zeros and as they were."""
    queries = derive(predict_request(1, x=("float", ()), y=("float", ())), 1)
    inputs = [set(predict_pb2.PredictRequest.FromString(query.make()).inputs) for query in queries[:3]]
    assert inputs == [set(), {"y"}, {"x"}]
    scalar = [json.loads(query.shown)["inputs"] for query in queries if query.kind[2:] == ("x", "too few dimensions")]
    assert scalar == [{"x": 0.0, "y": [0.0]}, {"x": 0.0, "y": "float[1] of an example"}]


@pytest.fixture
def example() -> example_pb2.Example:
    """A record with a feature of each kind."""
    made = example_pb2.Example()
    made.features.feature["name"].bytes_list.value.append(NAME.encode())
    made.features.feature["number"].int64_list.value.append(NUMBER)
    made.features.feature["weight"].float_list.value.extend([NUMBER] * 3)
    return made


RECORD_KINDS = {
    "not a tf.Example",
    "a tf.Example without features",
    "features without values",
    "features of another kind",
    "a value too many",
    "NaN",
    "an infinite value",
    "an extreme integer",
    "an empty string",
    "a string that is not UTF-8",
    "bytes that are not an image",
}


@pytest.mark.parametrize("method", [options.Method.CLASSIFY, options.Method.REGRESS, options.Method.MULTI_INFERENCE])
@pytest.mark.parametrize("field", ["example_list", "example_list_with_context"])
def test_examples_are_malformed_in_every_way(method: options.Method, field: str, example: example_pb2.Example) -> None:
    """Also as what protobuf would not write; without a value of the good one."""
    request = (
        inference_pb2.MultiInferenceRequest()
        if method is options.Method.MULTI_INFERENCE
        else (classification_pb2.ClassificationRequest())
    )
    getattr(request.input, field).examples.add().CopyFrom(example)
    queries = derive(request, 1, method)
    assert {query.what for query in queries} == RECORD_KINDS | {"an empty batch", "a huge batch"}
    for query in queries:
        assert str(NUMBER) not in query.shown
        assert NAME not in query.shown
        parsed = type(request)()
        if query.what == "not a tf.Example":
            with pytest.raises(message.DecodeError):
                parsed.ParseFromString(query.make())
        else:
            parsed.ParseFromString(query.make())
            count = {"an empty batch": 0, "a huge batch": len(parsed.input.example_list.examples)}.get(query.what, 1)
            assert len(parsed.input.example_list.examples) == count
    assert len(type(request).FromString(queries[-1].make()).input.example_list.examples) == 100


def test_serialized_examples_in_a_tensor_are_malformed_too(example: example_pb2.Example) -> None:
    """As records."""
    request = predict_pb2.PredictRequest()
    request.inputs["examples"].CopyFrom(tensors.empty("string", [1]))
    request.inputs["examples"].string_val.append(example.SerializeToString())
    queries = derive(request, 1)
    assert {query.what for query in queries} >= RECORD_KINDS
    assert not [query for query in queries if NAME in query.shown or str(NUMBER) in query.shown]

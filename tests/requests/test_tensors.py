"""Features become the tensors that TensorFlow itself would make of their values, or are rejected for a stated cause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.example import example_pb2

from infraval.requests import signatures, tensors

STOPPED = "ignore:Unexpected end-group tag:RuntimeWarning"
"""protobuf 3.20's way to say that it stopped in the middle."""

FLOATS = ("float", "double", "half", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
INT64 = (-(2**63), 2**63 - 1)
RANGES = {
    dtype: (0, 1) if dtype == "bool" else (max(INT64[0], np.iinfo(dtype).min), min(INT64[1], np.iinfo(dtype).max))
    for dtype in INTEGERS
}

SECRET = b"Grace.Hopper.1906"


def element(dtype: str, size: int) -> st.SearchStrategy[list[Any]]:
    """Values of one element of the batch that a dtype can hold."""
    if dtype in FLOATS:
        values: st.SearchStrategy[Any] = st.floats(width=32)
    elif dtype in INTEGERS:
        values = st.integers(*RANGES[dtype])
    else:
        values = st.binary(max_size=9)
    return st.lists(values, min_size=size, max_size=size)


def example(**features: list[Any]) -> example_pb2.Example:
    """A tf.Example; the values' type says which list a feature is."""
    made = example_pb2.Example()
    for name, values in features.items():
        kinds = {float: "float_list", int: "int64_list", bytes: "bytes_list"}
        kind = kinds[type(values[0])] if values else "float_list"
        getattr(made.features.feature[name], kind).SetInParent()
        getattr(made.features.feature[name], kind).value.extend(values)
    return made


def accepted(rows: list[list[Any]], dense: tensors.DenseInput) -> list[Any]:
    """Feature maps of an example a row, each seen to be accepted."""
    maps = [example(f=values).features.feature for values in rows]
    assert [tensors.cause_of_rejection(features, dense) for features in maps] == [None] * len(rows)
    return maps


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, "string"])
@given(data=st.data())
def test_a_tensor_holds_what_numpy_casts_the_values_to(dtype: str, data: st.DataObject) -> None:
    """Of every dtype and several shapes, TensorFlow's parser of TensorProtos is the judge."""
    shape = data.draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
    rows = data.draw(st.lists(element(dtype, int(np.prod(shape))), min_size=1, max_size=4))
    dense = tensors.DenseInput("x", "f", dtype, shape)

    built = tensors.build(accepted(rows, dense), dense)

    as_numpy = tf.dtypes.as_dtype(dtype).as_numpy_dtype
    with np.errstate(over="ignore"):
        expected = np.array(rows, dtype=np.float32 if dtype in FLOATS else None if dtype in INTEGERS else object)
        expected = expected.astype(as_numpy).reshape(len(rows), *shape)
    array = tf.make_ndarray(built)
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert array.tobytes() == expected.tobytes() if dtype != "string" else array.tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, "string"])
def test_a_tensor_is_what_tensorflow_makes_of_the_values(dtype: str) -> None:
    """The dtype, shape and values of `tf.make_tensor_proto`, which is what clients send."""
    rows: list[list[Any]] = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    rows = [
        [b"%d" % value if dtype == "string" else value if dtype in FLOATS else int(value) for value in row]
        for row in rows
    ]
    dense = tensors.DenseInput("x", "f", dtype, (2,))
    built = tensors.build(accepted(rows, dense), dense)
    as_tensorflow = tf.dtypes.as_dtype(dtype)
    values = rows if dtype == "string" else np.array(rows).astype(as_tensorflow.as_numpy_dtype)
    tensorflows = tf.make_tensor_proto(values, dtype=as_tensorflow)
    assert (built.dtype, built.tensor_shape) == (tensorflows.dtype, tensorflows.tensor_shape)
    assert tf.make_ndarray(built).tolist() == tf.make_ndarray(tensorflows).tolist()


@pytest.mark.parametrize(
    ("shape", "rows", "expected"),
    [
        ((), [[1.0], [2.0]], (2,)),
        ((1,), [[1.0]], (1, 1)),
        ((2, 3), [[1.0] * 6], (1, 2, 3)),
        ((None,), [[1.0] * 5, [2.0] * 5], (2, 5)),
        ((None,), [[]], (1, 0)),
        ((None, 3), [[1.0] * 6], (1, 2, 3)),
        ((2, None, 2), [[1.0] * 12], (1, 2, 3, 2)),
        ((0,), [[], []], (2, 0)),
        (None, [[1.0], [2.0]], (2,)),
        (None, [[1.0, 2.0]], (1, 2)),
    ],
)
def test_the_shape_of_a_tensor(
    shape: tuple[int | None, ...] | None, rows: list[list[float]], expected: tuple[int, ...]
) -> None:
    """A fixed one as it is, an unknown size by content; of unknown rank one value is a scalar, several a vector."""
    dense = tensors.DenseInput("x", "f", "float", shape)
    built = tensors.build(accepted(rows, dense), dense)
    assert tf.make_ndarray(built).shape == expected
    assert tf.make_ndarray(built).ravel().tolist() == [value for row in rows for value in row]


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (("float", (None,)), None),
        (("string", None), None),
        (("bfloat16", (None, None, 3)), None),
        (("int64", ()), "no batch dimension"),
        (("float", (None, None, None)), "more than one dimension"),
        (("variant", (None,)), "no feature can hold its dtype variant"),
        (("float_ref", (None,)), "no feature can hold its dtype float_ref"),
    ],
)
def test_which_inputs_features_can_feed(tensor: tuple[str, Any], problem: str | None) -> None:
    """A dtype that a feature holds, a batch, and at most one size to be found out."""
    found = tensors.unfeedable(signatures.TensorSpec(*tensor))
    assert found is problem is None or (found is not None and problem is not None and problem in found)


@pytest.mark.parametrize(
    ("dtype", "shape", "values", "cause"),
    [
        ("float", (), None, "no feature 'f' (for input 'x')"),
        ("float", (), [1], "feature 'f' has kind int64_list, but input 'x' needs float_list"),
        ("string", (), [1.0], "feature 'f' has kind float_list, but input 'x' needs bytes_list"),
        ("int32", (), [SECRET], "feature 'f' has kind bytes_list, but input 'x' needs int64_list"),
        ("bool", (), [1.0], "feature 'f' has kind float_list, but input 'x' needs int64_list"),
        ("string", (), [SECRET, SECRET], "feature 'f' has the wrong number of values for input 'x' (string[])"),
        ("float", (2, 3), [1.0] * 5, "the wrong number of values for input 'x' (float[2, 3])"),
        ("float", (None, 3), [1.0] * 5, "the wrong number of values for input 'x' (float[?, 3])"),
        ("float", (None, 0), [1.0], "the wrong number of values for input 'x' (float[?, 0])"),
        ("float", (3,), [], "the wrong number of values"),
        ("float", (), [], "the wrong number of values"),
    ],
)
def test_why_an_example_is_rejected(dtype: str, shape: Any, values: list[Any] | None, cause: str) -> None:
    """The cause names feature and input, and no value."""
    features = example(**({} if values is None else {"f": values})).features.feature
    found = tensors.cause_of_rejection(features, tensors.DenseInput("x", "f", dtype, shape))
    assert found is not None
    assert cause in found
    assert SECRET.decode() not in found


def test_an_empty_feature_is_rejected() -> None:
    """ExampleGen writes missing values so."""
    made = example_pb2.Example()
    made.features.feature["f"].SetInParent()
    cause = tensors.cause_of_rejection(made.features.feature, tensors.DenseInput("x", "f", "float", (None,)))
    assert cause == "feature 'f' is empty, but input 'x' needs float_list"


@pytest.mark.parametrize("dtype", [dtype for dtype in INTEGERS if dtype != "int64"])
def test_integers_beyond_the_dtype_are_rejected(dtype: str) -> None:
    """Both ends of its range fit, and one more does not; the value is not told."""
    lowest, highest = RANGES[dtype]
    dense = tensors.DenseInput("x", "f", dtype, (None,))
    accepted([[lowest, highest]], dense)
    for value in (lowest - 1, highest + 1):
        if INT64[0] <= value <= INT64[1]:
            cause = tensors.cause_of_rejection(example(f=[lowest, value]).features.feature, dense)
            assert cause == f"feature 'f' has values that input 'x' cannot hold ({dtype})"


INPUTS = st.builds(
    tensors.DenseInput,
    st.just("x"),
    st.sampled_from(["f", "g"]),
    st.sampled_from(["float", "bfloat16", "int8", "uint64", "bool", "string"]),
    st.sampled_from([None, (), (2,), (None,), (None, 2), (0,)]),
)
VALUES = st.one_of(
    st.lists(st.floats(width=32), max_size=4),
    st.lists(st.integers(0, 1) | st.integers(*INT64), max_size=4),
    st.lists(st.binary(max_size=3), max_size=4),
)
EXAMPLES = st.dictionaries(st.sampled_from(["f", "g", "h"]), VALUES, max_size=3).map(lambda f: example(**f))


WRITTEN = EXAMPLES.map(lambda made: made.SerializeToString())
RECORDS = st.one_of(
    WRITTEN,
    st.tuples(WRITTEN, WRITTEN).map(b"".join),
    st.binary(max_size=20),
    WRITTEN.flatmap(lambda written: st.integers(0, len(written)).map(lambda end: written[:end])),
)
"""As protobuf writes them, two that merge, garbage, and cut ones."""


def cause(record: bytes, dense_inputs: list[tensors.DenseInput]) -> str | None:
    """What one look at a record alone finds wrong with it."""
    features = example_pb2.Example.FromString(record).features.feature
    return next(filter(None, (tensors.cause_of_rejection(features, dense) for dense in dense_inputs)), None)

"""`--input`: JSON becomes the tensor that it says, or an error that names the input and not the value."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from infraval import errors, options
from infraval.requests import constants, signatures

NUMERIC = ("float", "double", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def declare(dtype: str, shape: tuple[int | None, ...] | None = None) -> dict[str, signatures.Signature]:
    """A signature `s` with an input `x` of this type."""
    spec = {"x": signatures.TensorSpec(dtype, shape)}
    return {"s": signatures.Signature("s", options.Method.PREDICT, spec, {})}


def read(value: str, dtype: str, shape: tuple[int | None, ...] | None = None) -> Any:
    """What `s/x=VALUE` gives."""
    (constant,) = constants.read([f"s/x={value}"], declare(dtype, shape)).values()
    assert (constant.alias, constant.value) == ("x", value)
    return tf.make_ndarray(constant.proto())


@given(data=st.data(), dtype=st.sampled_from(NUMERIC))
def test_a_value_is_the_tensor_that_it_says(data: st.DataObject, dtype: str) -> None:
    """Of every number type, shape and value, also infinite ones."""
    numpy_type = tf.dtypes.as_dtype({"float": "float32", "double": "float64"}.get(dtype, dtype)).as_numpy_dtype
    array = data.draw(arrays.arrays(numpy_type, data.draw(SHAPES)))
    made = read(json.dumps(array.tolist()), dtype)
    assert made.dtype == array.dtype
    if array.size or array.ndim < 2:  # JSON cannot tell what is in an empty list
        np.testing.assert_array_equal(made, array)


@pytest.mark.parametrize("dtype", ["half", "bfloat16"])
def test_small_floats(dtype: str) -> None:
    """Rounded as in any cast."""
    assert read("[0.5, 2]", dtype).tolist() == [0.5, 2.0]


@given(texts=st.lists(st.text().map(lambda text: text.encode(errors="replace").decode())), content=st.binary())
def test_strings_and_bytes(texts: list[str], content: bytes) -> None:
    """Bytes as TF Serving's REST API takes them."""
    assert read(json.dumps(texts), "string").tolist() == [text.encode() for text in texts]
    assert read(json.dumps({"b64": base64.b64encode(content).decode()}), "string", ()).item() == content


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        ("", "float", ()),
        ("text", "string", ()),
        ("[1, 2", "float", (None,)),
        ("[" * 100_000, "float", None),
        ("[" * 900 + "]" * 900, "float", (1,)),
        ("9" * 10_000, "int64", ()),
        ("[[1], [1, 2]]", "float", None),
        ("[1, [2]]", "float", None),
        ("[[1], 2]", "float", None),
        ("[[], [1]]", "float", None),
        ("1", "float", (None,)),
        ("[1]", "float", ()),
        ("[1, 2]", "float", (3,)),
        ("[[1, 2]]", "float", (None, 3)),
        ("true", "float", ()),
        ('"1"', "float", ()),
        ("null", "float", ()),
        ("{}", "float", ()),
        ("1e39", "float", ()),
        ("70000", "half", ()),
        ("1" + "0" * 400, "double", ()),
        ("1.0", "int32", ()),
        ("true", "int32", ()),
        ("128", "int8", ()),
        ("-1", "uint64", ()),
        ("18446744073709551616", "uint64", ()),
        ("1", "bool", ()),
        ("1", "string", ()),
        ('{"b64": "?"}', "string", ()),
        ('{"b64": "é"}', "string", ()),
        ('{"b64": 1}', "string", ()),
        ('{"b64": "", "x": 1}', "string", ()),
        (r'"\ud800"', "string", ()),
        ("1", "complex64", ()),
        ("1", "resource", ()),
        ("1", "type 999", None),
    ],
)
def test_what_does_not_fit_is_refused(value: str, dtype: str, shape: tuple[int | None, ...] | None) -> None:
    """Before anything is started; the message names option and input, and does not repeat a long value."""
    with pytest.raises(errors.OptionError, match=r"--input \(requests\.inputs\) cannot feed s/x") as caught:
        read(value, dtype, shape)
    assert len(str(caught.value)) < 300


@given(value=st.text() | st.text('[]{}",:01e.-+ntf'), dtype=st.sampled_from([*NUMERIC, "half", "string", "complex64"]))
def test_no_value_is_anything_but_a_tensor_or_an_option_error(value: str, dtype: str) -> None:
    """Whatever is written after the equals sign."""
    try:
        read(value, dtype)
    except errors.OptionError:
        return
    json.loads(value)


def test_names_with_slashes_and_equals_signs() -> None:
    """The longest name of an input that fits is meant; a name that two inputs share is refused."""
    spec = signatures.TensorSpec("string", ())
    available = {
        key: signatures.Signature(key, options.Method.PREDICT, dict.fromkeys(aliases, spec), {})
        for key, aliases in {"a": ["x", 'x="b"', "b/in/put"], "a/b": ["in/put"], "a=b": ["="]}.items()
    }
    for given_, name, value in (
        ('a/x="c"', "a/x", b"c"),
        ('a/x="b"', "a/x", b"b"),
        ('a/x="b"="c"', 'a/x="b"', b"c"),
        ('a=b/=="="', "a=b/=", b"="),
    ):
        (found,) = constants.read([given_], available).items()
        assert (found[0], tf.make_ndarray(found[1].proto()).item()) == (name, value)
    with pytest.raises(errors.OptionError, match="'b/in/put' of signature 'a' or 'in/put' of signature 'a/b'"):
        constants.read(['a/b/in/put="="'], available)


@pytest.mark.parametrize("given_", ["", "x", "s/x", "x=1", "s/y=1", "t/x=1", "=", "s/x/=1"])
def test_what_names_no_input_is_refused(given_: str) -> None:
    """The message lists the inputs, of a large model only some."""
    spec = {f"x{number}": signatures.TensorSpec("float", ()) for number in range(10_000)}
    large = {
        "s": signatures.Signature("s", options.Method.PREDICT, {"x": signatures.TensorSpec("float", ()), **spec}, {})
    }
    for available, least in ((declare("float", ()), 0), (large, 100), ({}, 0)):
        with pytest.raises(errors.OptionError, match=r"does not name an input of the model") as caught:
            constants.read([given_], available)
        assert least < len(str(caught.value)) < 500


def test_an_input_twice() -> None:
    """Even with the same value."""
    with pytest.raises(errors.OptionError, match="s/x twice"):
        constants.read(["s/x=1", "s/x=1"], declare("float", ()))

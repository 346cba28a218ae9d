"""What a graph does with an input: real exports, every way that TensorFlow has of handing a string on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.protobuf import meta_graph_pb2

from infraval.requests import graph, signatures

ONE = {"n": tf.io.FixedLenFeature([2], tf.float32)}
NEEDED = {"n": graph.Feature("float_list", required=True, count=2)}

Tensor = tf.Tensor


@tf.function
def _inner(records: Tensor) -> Tensor:
    return tf.io.parse_example(tf.identity(records), ONE)["n"]


@tf.function
def _handed_back(records: Tensor) -> Tensor:
    return tf.reshape(records, [-1])


def _branches(records: Tensor) -> Tensor:
    return tf.cond(
        tf.size(records) > 1, lambda: _inner(records), lambda: tf.io.parse_example(records[::-1], ONE)["n"] * 2
    )


def _loop(records: Tensor) -> Tensor:
    one = tf.TensorSpec([2], tf.float32)
    return tf.map_fn(lambda record: tf.io.parse_single_example(record, ONE)["n"], records, fn_output_signature=one)


def _raw_single(records: Tensor) -> Tensor:
    return tf.raw_ops.ParseSingleExample(
        serialized=records[0],
        dense_defaults=[tf.zeros([0])],
        num_sparse=0,
        sparse_keys=[],
        sparse_types=[],
        dense_keys=["n"],
        dense_shapes=[[2]],
    ).dense_values[0]


def _raw_v1(records: Tensor) -> Tensor:
    return tf.raw_ops.ParseExample(
        serialized=tf.expand_dims(records[0], 0),
        names=[],
        sparse_keys=[],
        dense_keys=["n"],
        dense_defaults=[tf.zeros([0])],
        sparse_types=[],
        dense_shapes=[[2]],
    ).dense_values[0]


PARSED = {
    "plain": lambda records: tf.io.parse_example(records, ONE)["n"],
    "function": _inner,
    "handed_back": lambda records: _inner(_handed_back(_handed_back(records))),
    "branches": _branches,
    "loop": _loop,
    "single": _raw_single,
    "v1": _raw_v1,
    "default": lambda records: tf.io.parse_example(tf.raw_ops.PlaceholderWithDefault(input=records, shape=[None]), ONE)[
        "n"
    ],
}

NOT_PARSED = {
    "images": lambda data: tf.map_fn(tf.io.decode_base64, data),
    "decoded_first": lambda data: tf.io.parse_example(tf.io.decode_base64(data), ONE)["n"],
    "made_from_text": lambda data: tf.io.parse_example(tf.strings.join([data, data]), ONE)["n"],
    "as_names": lambda data: tf.io.parse_example(tf.constant([""] * 3), ONE, example_names=data)["n"],
    "unused": lambda data: tf.constant(1.0),  # noqa: ARG005 - that is the point
}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], graph.Parsing | None]:
    """What is read of the input of one of these signatures, as TensorFlow exports them."""
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.string, name="data")
    more = {
        "kinds": lambda records: tf.io.parse_example(
            records,
            {
                **ONE,
                "default": tf.io.FixedLenFeature([], tf.string, "x"),
                "sequence": tf.io.FixedLenSequenceFeature([3], tf.int64, allow_missing=True),
                "sparse": tf.io.VarLenFeature(tf.int64),
                "ragged": tf.io.RaggedFeature(tf.string),
            },
        )["n"],
        "sequences": lambda records: tf.io.parse_sequence_example(records, ONE)[0]["n"],
        "protos": lambda records: tf.io.decode_proto(records, "tensorflow.Example", ["features"], [tf.string]).values[
            0
        ],
        "two": lambda records: (
            tf.io.parse_example(records, {"n": tf.io.FixedLenFeature([2], tf.float32, [0.0, 0.0])})["n"]
            + tf.io.parse_example(records, ONE)["n"]
        ),
        "computed_keys": lambda records: tf.raw_ops.ParseExampleV2(
            serialized=records,
            names=[],
            sparse_keys=[],
            dense_keys=tf.strings.join([["n"], ["m"]]),
            ragged_keys=[],
            dense_defaults=[tf.zeros([0])],
            num_sparse=0,
            sparse_types=[],
            ragged_value_types=[],
            ragged_split_types=[],
            dense_shapes=[[2]],
        ).dense_values[0],
    }

    def answer(body: Callable[[Tensor], Tensor]) -> Callable[[Tensor], dict[str, Tensor]]:
        return lambda data: {"y": body(data)}

    functions = {
        name: tf.function(answer(body), input_signature=[spec])
        for name, body in {**PARSED, **NOT_PARSED, **more}.items()
    }
    for name, function in functions.items():
        setattr(module, name, function)
    directory = tmp_path_factory.mktemp("graph")
    tf.saved_model.save(module, str(directory), signatures=functions)
    parsing = graph.of(signatures.meta_graph(directory))
    return lambda name: parsing(name, "data")


@pytest.mark.parametrize("name", PARSED)
def test_a_graph_that_parses_its_input(name: str, read: Callable[[str], graph.Parsing | None]) -> None:
    """Through functions, branches, loops and ops that hand strings on; with every op that parses."""
    assert read(name) == graph.Parsing(NEEDED)


@pytest.mark.parametrize("name", NOT_PARSED)
def test_a_graph_that_does_not(name: str, read: Callable[[str], graph.Parsing | None]) -> None:
    """What is parsed is something else: the strings decoded or joined, or nothing of the input."""
    assert read(name) is None


def test_kinds_of_features(read: Callable[[str], graph.Parsing | None]) -> None:
    """Only one of a fixed size without a default is required."""
    assert read("kinds") == graph.Parsing(
        {
            **NEEDED,
            "default": graph.Feature("bytes_list", count=1),
            "sequence": graph.Feature("int64_list"),
            "sparse": graph.Feature("int64_list"),
            "ragged": graph.Feature("bytes_list"),
        }
    )


@pytest.mark.parametrize("name", ["sequences", "protos", "computed_keys"])
def test_records_whose_features_the_graph_does_not_show(name: str, read: Callable[[str], graph.Parsing | None]) -> None:
    """Whole records feed the input all the same."""
    assert read(name) == graph.Parsing(None)


def test_several_parsers_of_one_input(read: Callable[[str], graph.Parsing | None]) -> None:
    """What one of them requires is required."""
    assert read("two") == graph.Parsing(NEEDED)


def test_the_model_of_an_estimator(taxi_model: Path) -> None:
    """A TF1 graph has no functions; it parses sparse features, all of them optional."""
    parsing = graph.of(signatures.meta_graph(taxi_model))
    for key, alias in (("predict", "examples"), ("classification", "inputs")):
        parsed = parsing(key, alias)
        assert parsed is not None
        assert parsed.features is not None
        assert len(parsed.features) == 17
        assert parsed.features["company"] == graph.Feature("bytes_list")


def test_the_model_of_tfx_penguin(penguin_model: Path) -> None:
    """A Keras model that serves serialized tf.Examples."""
    parsed = graph.of(signatures.meta_graph(penguin_model))("serving_default", "examples")
    assert parsed is not None
    assert parsed.features is not None
    assert parsed.features["body_mass_g"] == graph.Feature("float_list", required=True, count=1)


NAMES = st.sampled_from(["a", "b", "f", "g", "a:0", "^a", "b:out:0", ""])
OPS = st.sampled_from(
    ["Identity", "ParseExampleV2", "ParseExample", "ParseSingleExample", "f", "g", "While", "If", "Const"]
)


@given(data=st.data())
def test_no_graph_is_too_odd(data: st.DataObject) -> None:
    """Functions that call themselves, missing nodes, attributes and arguments: an answer, and no error."""
    meta_graph = meta_graph_pb2.MetaGraphDef()
    meta_graph.signature_def["s"].inputs["x"].name = "a:0"

    def fill(nodes: object) -> None:
        for name, op, inputs in data.draw(st.lists(st.tuples(NAMES, OPS, st.lists(NAMES, max_size=8)), max_size=5)):
            node = nodes.add(name=name, op=op, input=inputs)  # type: ignore[attr-defined]  # a protobuf list
            if data.draw(st.booleans()):
                node.attr["body"].func.name = data.draw(NAMES)
                node.attr["Tdense"].list.type.append(data.draw(st.integers(0, 9)))
                node.attr["dense_shapes"].list.shape.add()

    fill(meta_graph.graph_def.node)
    for name in ("f", "g"):
        function = meta_graph.graph_def.library.function.add()
        function.signature.name = name
        for argument in data.draw(st.lists(NAMES, max_size=2)):
            function.signature.input_arg.add(name=argument)
        function.ret["out"] = data.draw(NAMES)
        fill(function.node_def)
    found = graph.of(meta_graph)("s", "x")
    assert found is None or found.features is None or len(found.features) <= 1

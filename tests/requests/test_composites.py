"""Ragged and sparse inputs are recognized in every form that a SavedModel gives them."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import message
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2, struct_pb2

from infraval import protos
from infraval.requests import composites


def meta_graph(model: Path) -> meta_graph_pb2.MetaGraphDef:
    """The only one of a model."""
    (found,) = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes()).meta_graphs
    return found


def kinds(model: Path) -> dict[str, dict[str, str]]:
    """By signature, without those that have only dense inputs."""
    return {key: found for key, found in composites.kinds(meta_graph(model)).items() if found}


def test_tf2_parts_are_in_the_structured_signature(odd_models: Path) -> None:
    """Composite outputs do not count."""
    assert kinds(odd_models / "composite" / "1") == {
        "ragged_in": {"r": "ragged", "r_1": "ragged"},
        "sparse_in": {"s": "sparse", "s_1": "sparse", "s_2": "sparse"},
    }


def test_tf1_encodings_and_placeholders(odd_models: Path) -> None:
    """`coo_sparse`, and the parts of a sparse placeholder as inputs of their own."""
    assert kinds(odd_models / "sparse_tf1" / "1") == {
        "sparse_in": {"s": "sparse"},
        "by_parts": {"i": "sparse", "n": "sparse", "v": "sparse"},
    }


@pytest.mark.parametrize(
    ("spec_class", "kind"),
    [("RAGGED_TENSOR_SPEC", "ragged"), ("SPARSE_TENSOR_SPEC", "sparse"), ("EXTENSION_TYPE_SPEC", "composite")],
)
def test_the_encoding_of_a_composite_tensor(spec_class: str, kind: str) -> None:
    """By the class of its type."""
    made = meta_graph_pb2.MetaGraphDef()
    spec = made.signature_def["s"].inputs["x"].composite_tensor.type_spec
    spec.type_spec_class = struct_pb2.TypeSpecProto.TypeSpecClass.Value(spec_class)
    assert composites.kinds(made) == {"s": {"x": kind}}


@pytest.mark.parametrize("attached", [True, False])
def test_structured_arguments(attached: bool, tmp_path: Path) -> None:
    """Parts are told from dense tensors around them, with the function's structure and without."""

    @tf.function(
        input_signature=[
            tf.RaggedTensorSpec([None, None, None], tf.float32, 2),
            tf.TensorSpec([], tf.float32, name="K"),
            {
                "dense": tf.TensorSpec([None], tf.float32),
                "a": tf.SparseTensorSpec([None, 4], tf.float32),
                "z": tf.TensorSpec([None, 2], tf.int64),
            },
        ]
    )
    def call(r: tf.RaggedTensor, k: tf.Tensor, more: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.reduce_sum(tf.reduce_sum(r, 2), 1) + tf.sparse.reduce_sum(more["a"], 1)
        return {"y": rows * k + more["dense"] + tf.cast(more["z"][:, 0], tf.float32)}

    module = tf.Module()
    if attached:
        module.call = call
    tf.saved_model.save(module, str(tmp_path), signatures={"s": call})

    ragged = "ragged" if attached else composites.MAYBE_RAGGED
    aliases = set(meta_graph(tmp_path).signature_def["s"].inputs)
    found = kinds(tmp_path)["s"]
    assert {alias: kind for alias, kind in found.items() if kind == ragged} == dict.fromkeys(
        ("r", "r_1", "r_2"), ragged
    )
    assert sorted(found.values()) == sorted([ragged] * 3 + ["sparse"] * 3)
    assert len(aliases - found.keys()) == 3


def test_dense_arguments_are_dense(sink_model: Path, taxi_model: Path, penguin_model: Path, odd_models: Path) -> None:
    """Of TF1 and TF2 models, among them an int64 vector beside a float one."""
    for model in (sink_model, taxi_model, penguin_model, odd_models / "inputs" / "1"):
        assert kinds(model) == {}


@pytest.mark.filterwarnings("ignore:Unexpected end-group tag:RuntimeWarning")
@settings(max_examples=100)
@given(data=st.data())
def test_a_damaged_model_names_only_inputs_that_it_has(data: st.DataObject, odd_models: Path) -> None:
    """Whatever the object graph and the library say."""
    model = odd_models / data.draw(st.sampled_from(["composite", "sparse_tf1"])) / "1" / "saved_model.pb"
    content = bytearray(model.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = saved_model_pb2.SavedModel()
    try:
        protos.parse(bytes(content), damaged)
    except message.DecodeError:
        return
    for each in damaged.meta_graphs:
        for key, found in composites.kinds(each).items():
            assert found.keys() <= set(each.signature_def[key].inputs)

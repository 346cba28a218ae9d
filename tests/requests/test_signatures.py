"""What is read off a SavedModel, and what is said of a directory that is none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from infraval import errors, options
from infraval.requests import signatures

STOPPED = "ignore:Unexpected end-group tag:RuntimeWarning"
"""protobuf 3.20's way to say that it stopped in the middle."""


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[[bytes], Path]:
    """A directory with these bytes as its saved_model.pb."""

    def make(content: bytes) -> Path:
        (tmp_path / "saved_model.pb").write_bytes(content)
        return tmp_path

    return make


def test_taxi(taxi_model: Path) -> None:
    """An Estimator's signatures say by which RPC they are called."""
    read = signatures.read(taxi_model)
    assert {key: signature.method for key, signature in read.items()} == {
        "classification": options.Method.CLASSIFY,
        "predict": options.Method.PREDICT,
        "regression": options.Method.REGRESS,
        "serving_default": options.Method.CLASSIFY,
    }
    assert list(read) == sorted(read)
    assert read["classification"].inputs == {"inputs": signatures.TensorSpec("string", (None,))}
    assert {alias: str(tensor) for alias, tensor in read["classification"].outputs.items()} == {
        "classes": "string[?, 2]",
        "scores": "float[?, 2]",
    }


def test_sink(sink_model: Path) -> None:
    """A TF2 model: all methods are Predict, the initializer is no signature, and unknown sizes show."""
    read = signatures.read(sink_model)
    assert len(read) == 9
    assert {signature.method for signature in read.values()} == {options.Method.PREDICT}
    assert {alias: str(tensor) for alias, tensor in read["two_inputs"].inputs.items()} == {
        "a": "float[?]",
        "b": "int64[?]",
    }
    assert str(read["dynamic"].inputs["x"]) == "float[?, ?]"
    assert str(read["scalar"].outputs["total"]) == "float[]"


def test_penguin(penguin_model: Path) -> None:
    """A Keras model with one signature."""
    (signature,) = signatures.read(penguin_model).values()
    assert signature == signatures.Signature(
        "serving_default",
        options.Method.PREDICT,
        {"examples": signatures.TensorSpec("string", (None,))},
        {"output_0": signatures.TensorSpec("float", (None, 3))},
        method_name="tensorflow/serving/predict",
    )


def test_any_method_name_is_for_predict(odd_models: Path) -> None:
    """An empty or unknown name hides no signature; only TensorFlow's own entries are left out."""
    read = signatures.read(odd_models / "methods_tf1" / "1")
    declared = {key: signature.method for key, signature in read.items()}
    assert len(declared) == 15
    assert {key for key, method in declared.items() if method is options.Method.CLASSIFY} == {
        "says_classify",
        "scores_classify",
        "outputs_classify",
    }
    assert {declared[key] for key in ("empty", "custom", "outputs_empty", "scores_custom")} == {options.Method.PREDICT}
    assert (read["empty"].method_name, read["custom"].method_name) == ("", "acme/score")


def test_which_inputs_have_defaults(odd_models: Path) -> None:
    """From SignatureDef.defaults, for inputs that the signature has."""
    read = signatures.read(odd_models / "inputs" / "1")
    assert {key: sorted(signature.defaults) for key, signature in read.items() if signature.defaults} == {
        "default": ["k"],
        "two_defaults": ["b", "k"],
    }


def test_a_text_proto_reads_like_the_binary_one(taxi_model: Path, tmp_path: Path) -> None:
    """`saved_model.pbtxt` stands in for `saved_model.pb`."""
    saved_model = saved_model_pb2.SavedModel.FromString((taxi_model / "saved_model.pb").read_bytes())
    (tmp_path / "saved_model.pbtxt").write_text(text_format.MessageToString(saved_model), encoding="utf-8")
    assert signatures.read(tmp_path) == signatures.read(taxi_model)


def test_a_missing_directory(tmp_path: Path) -> None:
    """Neither a path that is not there nor a file is a model."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(errors.ModelError, match=f"no directory {path}"):
            signatures.read(path)


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    """An empty directory; and one where saved_model.pb is no file."""
    for name in ("empty", "odd/saved_model.pb"):
        (tmp_path / name).mkdir(parents=True)
    for path in (tmp_path / "empty", tmp_path / "odd"):
        with pytest.raises(errors.ModelError, match=f"{path} does not contain saved_model.pb"):
            signatures.read(path)


def test_the_base_path_instead_of_a_version(sink_model: Path) -> None:
    """A common slip: the message names the versions that are there."""
    with pytest.raises(errors.ModelError, match="one of the versions in it: 1"):
        signatures.read(sink_model.parent)


@pytest.mark.filterwarnings(STOPPED)
def test_a_model_that_parses_up_to_its_middle_is_corrupt(taxi_model: Path, make_model: Callable[[bytes], Path]) -> None:
    """Protobuf 3.20 takes what comes before a stray end-group tag for all of it."""
    content = (taxi_model / "saved_model.pb").read_bytes()
    with pytest.raises(errors.ModelError, match="is corrupt"):
        signatures.read(make_model(content + b"damage"))


def test_tags_have_to_match_exactly(taxi_model: Path, make_model: Callable[[bytes], Path]) -> None:
    """The message names the tags that are there."""
    for tags in (("serve", "gpu"), ("train",), ("serve", "")):
        with pytest.raises(errors.ModelError, match=r"no MetaGraphDef with the tags .* with: serve"):
            signatures.read(taxi_model, tags)
    for tags in ((), ("serve",)):
        with pytest.raises(errors.ModelError, match="no MetaGraphDef"):
            signatures.read(make_model(b""), tags)


def test_the_only_meta_graph_needs_no_tags(make_model: Callable[[bytes], Path]) -> None:
    """Whatever its tags are; of several, one has to be named, and the message names them."""
    saved_model = saved_model_pb2.SavedModel()
    for tags, key in ((["gpu"], "first"), (["tpu", "serve"], "second")):
        meta_graph = saved_model.meta_graphs.add()
        meta_graph.meta_info_def.tags.extend(tags)
        meta_graph.signature_def[key].method_name = "tensorflow/serving/predict"
        if key == "first":
            assert list(signatures.read(make_model(saved_model.SerializeToString()))) == ["first"]
    model = make_model(saved_model.SerializeToString())
    with pytest.raises(errors.ModelError, match=r"the tags gpu; serve,tpu\. Select one by its tags with --tag-set"):
        signatures.read(model)
    assert (
        list(signatures.read(model, ("tpu", "serve"))) == list(signatures.read(model, ("serve", "tpu"))) == ["second"]
    )


def test_what_is_unknown_is_read_as_such(make_model: Callable[[bytes], Path]) -> None:
    """A rank or dtype nobody knows, a method that no RPC has: data, for those to refuse who cannot do with it."""
    saved_model = saved_model_pb2.SavedModel()
    meta_graph = saved_model.meta_graphs.add()
    meta_graph.meta_info_def.tags.append("serve")
    definition = meta_graph.signature_def["odd"]
    definition.method_name = "somewhere/else"
    definition.inputs["x"].dtype = 999
    definition.inputs["x"].tensor_shape.unknown_rank = True
    signature = signatures.read(make_model(saved_model.SerializeToString()))["odd"]
    assert signature.method is options.Method.PREDICT
    assert str(signature.inputs["x"]) == "type 999 of unknown rank"


@pytest.mark.filterwarnings(STOPPED)
@given(content=st.binary(max_size=200))
def test_garbage_is_never_anything_but_a_model_error(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Random bytes as either file: read as the empty model that they may be, or refused."""
    model = tmp_path_factory.mktemp("model")
    for name in ("saved_model.pbtxt", "saved_model.pb"):
        (model / name).write_bytes(content)
        with pytest.raises(errors.ModelError):
            signatures.read(model)


@pytest.mark.filterwarnings(STOPPED)
@settings(max_examples=50)
@given(data=st.data())
def test_a_damaged_model_is_never_anything_but_a_model_error(
    data: st.DataObject, sink_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A real model with some bytes changed or its end cut off: read as far as it means anything, or refused."""
    content = bytearray((sink_model / "saved_model.pb").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    model = tmp_path_factory.mktemp("model")
    (model / "saved_model.pb").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(errors.ModelError):
        signatures.read(model)

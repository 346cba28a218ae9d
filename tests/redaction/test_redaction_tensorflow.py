"""Redaction against TensorFlow itself: real ops fail on a secret, as the ops of a served model do."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from infraval.redaction import REDACTED, Redactor

PERSON = "Zq7 Jörg Müller-Weiß, 47"
NUMBER = 7_654_321

Feed = dict[Any, Any]
Graph = Callable[[Any], Any]


def run(build: Graph, value: Any, dtype: Any) -> tuple[str, Redactor]:
    """The message with which a graph fails on a value, as TF Serving gives it, and a redactor that knows the graph."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        fed = tf.compat.v1.placeholder(dtype, name="fed")
        output = build(fed)
        with pytest.raises(tf.errors.OpError) as caught:
            session.run(output, {fed: value})
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.inputs["fed"].CopyFrom(tf.make_tensor_proto(value))
        return caught.value.message, Redactor(graph.as_graph_def().SerializeToString(), requests=[log])


def example(**features: Any) -> bytes:
    """A serialized Example."""
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def strings(*values: str) -> Any:
    """A bytes feature."""
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))


def floats(*values: float) -> Any:
    """A float feature."""
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def parse(feature: Any) -> Graph:
    """Parses Examples for the feature `tips`."""
    return lambda fed: tf.io.parse_example(fed, {"tips": feature})


def parse_one(feature: Any) -> Graph:
    """Parses one Example for the feature `tips`."""
    return lambda fed: tf.io.parse_single_example(fed, {"tips": feature})


def echo(transform: Graph) -> Graph:
    """Fails an assertion that prints what the model made of its input."""

    def build(fed: Any) -> Any:
        with tf.control_dependencies([tf.debugging.Assert(tf.equal(fed, ""), ["not empty", transform(fed)])]):
            return tf.identity(fed)

    return build


TIPS = tf.io.FixedLenFeature([], tf.float32)
OTHER = example(name=strings(PERSON))
WRONG = example(tips=strings(PERSON))


def one_line(text: str) -> str:
    """A text with its white space as it is shown."""
    return re.sub(r"\s*[\n\t]\s*", " ", text)


def one_space(text: str) -> str:
    """A text with one space where any white space is: protobuf 6 puts one or two into its errors, by chance."""
    return re.sub(r"\s+", " ", text)


ON_TEXT = {
    "missing": (parse(TIPS), [OTHER], "Feature: tips (data type: float) is required but could not be found."),
    "missing in one": (parse_one(TIPS), OTHER, "Feature: tips (data type: float) is required but could not be found."),
    "wrong type": (
        parse(TIPS),
        [WRONG],
        "Key: tips, Index: 0.  Data types don't match. Data type: string but expected",
    ),
    "wrong type in one": (parse_one(TIPS), WRONG, "Key: tips.  Data types don't match. Data type: string but expected"),
    "wrong sparse type": (
        parse(tf.io.VarLenFeature(tf.int64)),
        [WRONG],
        "Key: tips, Index: 0.  Data types don't match. Expected type: int64, Actual type: string",
    ),
    "too many values": (
        parse(tf.io.FixedLenFeature([2], tf.float32)),
        [example(tips=floats(1, 2, 3), name=strings(PERSON))],
        "Key: tips, Index: 0.  Number of float values != expected.  Values size: 3 but output shape: [2]",
    ),
    "too many values in one": (
        parse_one(tf.io.FixedLenFeature([2], tf.float32)),
        example(tips=floats(1, 2, 3)),
        "Key: tips.  Can't parse serialized Example.",
    ),
    "no example": (
        parse(TIPS),
        [f"\x0f{PERSON}"],
        f"Could not parse example input, value: '{REDACTED}' [[{{{{node ParseExample",
    ),
    "no number": (tf.strings.to_number, PERSON, f"StringToNumberOp could not correctly convert string: {REDACTED}"),
    "formatted": (
        lambda fed: tf.strings.to_number(tf.strings.format("value={}", fed)),
        PERSON,
        f'StringToNumberOp could not correctly convert string: value="{REDACTED}"',
    ),
    "echoed": (echo(tf.identity), PERSON, f"assertion failed: [not empty] [{REDACTED}]"),
    "echoed upper": (echo(tf.strings.upper), PERSON, f"assertion failed: [not empty] [{REDACTED}]"),
    "echoed base64": (echo(tf.io.encode_base64), PERSON, f"assertion failed: [not empty] [{REDACTED}]"),
    "echoed as a list": (
        echo(lambda fed: tf.strings.format("{}", tf.stack([fed, fed]))),
        PERSON,
        f'assertion failed: [not empty] [[\\"{REDACTED}\\" \\"{REDACTED}\\"]]',
    ),
    "no image": (tf.io.decode_image, PERSON, "Unknown image file format. One of JPEG, PNG, GIF, BMP required."),
    "no wave": (tf.audio.decode_wav, PERSON, "Header mismatch: Expected "),
    "no raw floats": (lambda fed: tf.io.decode_raw(fed, tf.float32), PERSON[:15], "Input to DecodeRaw has length "),
    "no JSON": (tf.io.decode_json_example, PERSON, f"Error while parsing JSON: Unexpected token. {REDACTED} ^"),
    "no CSV number": (
        lambda fed: tf.io.decode_csv(fed, [[1.0], [1.0]]),
        PERSON,
        f"Field 0 in record 0 is not a valid float: {REDACTED}",
    ),
    "no tensor": (
        lambda fed: tf.io.parse_tensor(fed, tf.float32),
        PERSON,
        "Could not parse `serialized` as TensorProto",
    ),
    "no file": (tf.io.read_file, PERSON, f"{REDACTED}; No such file or directory"),
    "no pattern": (lambda fed: tf.strings.regex_replace("a", fed, "b"), f"({PERSON}", f"Invalid pattern: {REDACTED}"),
    "too short": (
        lambda fed: tf.strings.substr(fed, 100, 2),
        PERSON,
        f"pos 100 out of range for string b'{REDACTED}' at index 0",
    ),
    "uninitialized table": (
        lambda fed: tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], ["b"]), "c").lookup(fed),
        PERSON,
        "Table not initialized. [[{{node hash_table_Lookup/LookupTableFindV2}}]]",
    ),
}

ON_NUMBER = {
    "gather": (lambda fed: tf.gather([1.0, 2, 3], [fed]), f"indices[0] = {REDACTED} is not in [0, 3)"),
    "gather_nd": (lambda fed: tf.gather_nd([[1.0, 2]], [[fed, fed]]), "does not index into param shape [1,2]"),
    "scatter": (lambda fed: tf.scatter_nd([[fed]], [1.0], [3]), "does not index into shape [3]"),
    "reshape": (
        lambda fed: tf.reshape(tf.range(6), [fed]),
        f"Input to reshape is a tensor with 6 values, but the requested shape has {REDACTED}",
    ),
    "slice": (lambda fed: tf.slice(tf.range(6), [fed], [1]), f"Expected begin[0] in [0, 6], but got {REDACTED}"),
    "index": (lambda fed: tf.range(6)[fed], f"slice index {REDACTED} of dimension 0 out of bounds."),
    "fill": (lambda fed: tf.fill([-fed], 0), f"Dimension -{REDACTED} must be >= 0"),
    "top_k": (lambda fed: tf.math.top_k([1.0, 2], fed), f"Had 2, needed {REDACTED}"),
    "broadcast": (lambda fed: tf.broadcast_to([1, 2], [fed]), f"Incompatible shapes: [2] vs. [{REDACTED}]"),
    "segment": (lambda fed: tf.math.unsorted_segment_sum([1.0], [fed], 3), f"{REDACTED} is out of range [0, 3)"),
    "label": (
        lambda fed: tf.nn.sparse_softmax_cross_entropy_with_logits([fed], [[1.0, 2.0]]),
        f"outside the valid range of [0, 2).  Label values: {REDACTED}",
    ),
    "division": (lambda fed: fed // 0, "Integer division by zero [[{{node floordiv}}]]"),
    "variable": (
        lambda fed: fed + tf.compat.v1.get_variable("dense_1/kernel", [], tf.int32, use_resource=True),
        "Could not find variable dense_1/kernel. This could mean that the variable has been deleted.",
    ),
    "unread file": (
        lambda fed: (
            fed,
            tf.raw_ops.RestoreV2(prefix="x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.int32]),
        ),
        "Unsuccessful TensorSliceReader constructor: Failed to find any matching files for ",
    ),
}

ON_SHAPES = {
    "matmul": (tf.matmul, (2, 3), (2, 3), "Matrix size-incompatible: In[0]: [2,3], In[1]: [2,3]"),
    "matmul rank": (tf.matmul, (3,), (2, 3), "In[0] ndims must be >= 2"),
    "add": (tf.add, (2, 3), (2, 4), "Incompatible shapes: [2,3] vs. [2,4] [[{{node Add}}]]"),
    "concat": (lambda a, b: tf.concat([a, b], 1), (2, 3), (3, 3), "shape[0] = [2,3] vs. shape[1] = [3,3]"),
    "stack": (lambda a, b: tf.stack([a, b]), (2, 3), (3, 3), "values[0].shape = [2,3] != values[1].shape = [3,3]"),
    "conv": (
        lambda a, b: tf.nn.conv2d(a, b, 1, "SAME"),
        (1, 4, 4, 3),
        (2, 2, 4, 5),
        "input depth must be evenly divisible by filter depth: 3 vs 4",
    ),
    "in a loop": (
        lambda a, b: tf.map_fn(lambda row: tf.matmul(row, b), a),
        (1, 2, 3),
        (2, 3),
        "Matrix size-incompatible: In[0]: [2,3], In[1]: [2,3]",
    ),
}


def forms(text: str) -> set[str]:
    """Runs of four characters of a text in the forms that a model may print it in."""
    encoded = base64.urlsafe_b64encode(text.encode()).decode()
    shapes = (text, text.upper(), text.encode().decode("latin-1"), encoded, repr(text.encode()))
    return {shape[start : start + 4] for shape in shapes for start in range(len(shape) - 3)}


@pytest.mark.parametrize("case", ON_TEXT)
def test_text_that_an_op_fails_on_is_not_shown(case: str, as_said_here: Callable[[str], str]) -> None:
    """The message says which feature, type or op it was about, and nothing of the text."""
    build, value, expected = ON_TEXT[case]
    expected = one_space(as_said_here(expected))
    text, redactor = run(build, value, tf.string)
    shown = redactor.message(text)
    assert expected in one_space(shown)
    assert not [form for form in forms(PERSON) if form in shown and form not in expected]
    assert redactor.message(shown) == shown


@pytest.mark.parametrize("case", ON_NUMBER)
def test_number_that_an_op_fails_on_is_not_shown(case: str) -> None:
    """The message keeps the bound, which is the model's, and not the number, which is the request's."""
    build, expected = ON_NUMBER[case]
    text, redactor = run(build, NUMBER, tf.int32)
    shown = redactor.message(text)
    assert one_line(expected) in shown
    assert str(NUMBER) not in shown
    assert redactor.message(shown) == shown


@pytest.mark.parametrize("case", ON_SHAPES)
def test_shapes_that_do_not_fit_are_shown(case: str) -> None:
    """The message says which shapes met in which node."""
    build, fed_shape, constant_shape, expected = ON_SHAPES[case]
    text, redactor = run(lambda fed: build(fed, tf.zeros(constant_shape)), np.zeros(fed_shape), tf.float32)
    shown = redactor.message(text)
    assert one_line(expected) in shown
    assert "{{node " in shown
    assert redactor.message(shown) == shown


def test_missing_vocabulary_file(tmp_path: Path) -> None:
    """A table whose file was not exported is named by the file's place in the model, not in this machine."""
    vocabulary = tmp_path / "1" / "assets" / "vocab.txt"
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        vocabulary.parent.mkdir(parents=True)
        vocabulary.write_text("a\n", encoding="utf-8")
        initializer = tf.lookup.TextFileInitializer(str(vocabulary), tf.string, 0, tf.int64, 1)
        tf.lookup.StaticHashTable(initializer, 0)
        vocabulary.unlink()
        with pytest.raises(tf.errors.OpError) as caught:
            session.run(tf.compat.v1.tables_initializer())
    redactor = Redactor(b"\x0a\x09vocab.txt", [str(tmp_path)])
    shown = redactor.message(caught.value.message)
    assert shown.startswith("<base>/1/assets/vocab.txt; No such file or directory")


def test_unregistered_op(sink_saved_model: bytes) -> None:
    """The op that a server lacks is named."""
    graph_def = tf.compat.v1.GraphDef()
    graph_def.node.add(name="node", op="StringUpperCased")
    with tf.Graph().as_default(), pytest.raises(Exception, match="Op type not registered") as caught:
        tf.import_graph_def(graph_def)
    text = str(caught.value)
    shown = Redactor(sink_saved_model + graph_def.SerializeToString()).message(text)
    assert shown.startswith("Op type not registered 'StringUpperCased' in binary running on ")


def test_keras_3_export_trap(tmp_path: Path) -> None:
    """The model that TF Serving cannot serve although it loads: the variable that is not restored is named."""
    inputs = keras.Input((3,), name="v")
    model = keras.Model(inputs, keras.layers.Dense(1, name="score")(inputs))

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    def serve(v: Any) -> dict[str, Any]:
        return {"score": model(v)}

    tf.saved_model.save(model, str(tmp_path), signatures=serve)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path))
        signature = loaded.signature_def["serving_default"]
        (fed,) = signature.inputs.values()
        (output,) = signature.outputs.values()
        with pytest.raises(tf.errors.FailedPreconditionError) as caught:
            session.run(output.name, {fed.name: [[1.0, 2.0, 3.0]]})
    shown = Redactor((tmp_path / "saved_model.pb").read_bytes()).message(caught.value.message)
    assert shown.startswith("Could not find variable score/")
    assert "{{node " in shown


@pytest.mark.parametrize(
    "text",
    [
        'Prices must be positive, isn\'t that "clear": 100% (of them)!',
        "Preis ≥ 0 nötig \\ 価格",
        "At most 7654321; " * 20,
        "a\tb\nc",
    ],
)
def test_the_text_of_an_assertion_is_the_models(text: str) -> None:
    """It is shown, even if the request holds the same words and numbers; the value that failed is not."""

    def positive(fed: Any) -> Any:
        with tf.control_dependencies([tf.compat.v1.debugging.assert_greater(fed, 0, message=text)]):
            return tf.identity(fed)

    message, redactor = run(positive, [-NUMBER], tf.int32)
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["fed"].CopyFrom(tf.make_tensor_proto([-NUMBER]))
    log.predict_log.request.inputs["texts"].CopyFrom(tf.make_tensor_proto([text, message]))
    shown = redactor.message(message, log)
    escaped = text.translate({ord(each): f"\\{each}" for each in "'\"\\"} | {9: "\\t", 10: "\\n"})
    assert escaped in shown
    assert "Condition x > y did not hold" in shown
    assert f"-{NUMBER}" not in shown
    assert escaped not in Redactor(requests=[log]).message(message)

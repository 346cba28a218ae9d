"""Requests of every kind through a real server: what is blessed holds a record for each cell, and starts warm."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from google.protobuf import descriptor, descriptor_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import input_pb2

import infraval
from infraval import evidence, options, verdict
from infraval.report import data
from infraval.requests import inspection, prediction_logs

EMBEDDED = options.ProcessServer(server="embedded")
SIZES = (1, 4)

LISTS_BY_PREDICT = [("lists", "predict", 1, 9), ("lists", "predict", 4, 3)]

Calls = set[tuple[str, str]]


def _validate(
    model: Path, examples: Path, output: Path, requests: options.RequestOptions, sizes: tuple[int, ...] = SIZES
) -> verdict.Verdict:
    return infraval.validate(
        infraval.Job(
            model=model,
            examples=examples,
            requests=requests,
            warmup=options.WarmupOptions(batch_sizes=sizes),
            server=EMBEDDED,
            output=output,
        )
    )


def _cells(model: Path) -> list[tuple[str, str, int, int]]:
    """Signature, method, batch size and number of records of each cell that a warmup file touches."""
    found = inspection.inspect(model)["warmup"]
    return sorted((cell["signature"], cell["method"], cell["batch_size"], cell["records"]) for cell in found["cells"])


def _each_once(calls: Calls) -> list[tuple[str, str, int, int]]:
    return sorted((signature, method, size, 1) for (signature, method), size in itertools.product(calls, SIZES))


def test_taxi_by_every_method_in_one_run(taxi_model: Path, taxi_examples: Path, tmp_path: Path) -> None:
    """Declared and stated methods and a pair at two batch sizes: ten cells, and a second boot replays these ten."""
    requests = options.RequestOptions(
        signatures=("predict", "classification", "regression", "serving_default:classify"),
        multi_inference=("classification,regression",),
    )
    judged = _validate(taxi_model, taxi_examples / "Split-eval" / "*", tmp_path / "out", requests)

    assert judged.blessed, judged.failures
    calls = {
        ("predict", "predict"),
        ("classification", "classify"),
        ("regression", "regress"),
        ("serving_default", "classify"),
        ("classification,regression", "multi_inference"),
    }
    assert _cells(tmp_path / "out" / "stamped_model") == _each_once(calls)
    assert Counter(outcome.code for outcome in judged.servers[0].evidence.boot.outcomes) == {"OK": 10}

    again = infraval.validate(infraval.Job(model=tmp_path / "out" / "stamped_model", server=EMBEDDED))
    assert again.blessed, again.failures
    assert (again.warmup, again.servers[0].evidence.boot.records_replayed) == (
        evidence.Warmup(records=10, from_model=10),
        10,
    )


def test_each_signature_of_the_sink_in_one_run(
    sink_model: Path, sink_examples: Path, sink_features: tuple[str, ...], tmp_path: Path
) -> None:
    """Nine by Predict, mapped by hand and by name, whole records, texts, images, integers; and what can be stated."""
    requests = options.RequestOptions(
        signatures=("all", "classify:classify", "regress:regress"),
        multi_inference=("classify,regress",),
        features=sink_features,
    )
    judged = _validate(sink_model, sink_examples, tmp_path / "out", requests)

    assert judged.blessed, judged.failures
    nine = ("classify", "dynamic", "images", "logs", "regress", "scalar", "serving_default", "strings", "two_inputs")
    calls = {(key, "predict") for key in nine}
    calls |= {("classify", "classify"), ("regress", "regress"), ("classify,regress", "multi_inference")}
    assert _cells(tmp_path / "out" / "stamped_model") == _each_once(calls)
    assert judged.examples is not None
    assert (judged.examples.records_read, judged.examples.dead_letters, judged.examples.left_out) == (50, {}, {})
    fed = {(each.signature, each.method.value, each.input): each.feature for each in judged.examples.fed}
    assert {key for key, _, _ in fed} == set(nine)
    assert fed["images", "predict", "raw_images"] == "png"
    assert fed["strings", "predict", "s"] == "s"
    assert fed["classify", "predict", "inputs"] is None
    assert fed["classify", "multi_inference", "inputs"] is None
    assert judged.servers[0].evidence.boot.records_replayed == len(judged.servers[0].evidence.boot.outcomes) == 24


def test_examples_of_several_shapes_are_all_answered(
    sink_model: Path, sink_examples: Path, sink_features: tuple[str, ...], tmp_path: Path
) -> None:
    """An input of unknown size gets a request for each shape; what `all` leaves out is in the verdict."""
    requests = options.RequestOptions(
        signatures=("all",), num_examples=50, features=("dynamic/x=series", *sink_features[1:])
    )
    judged = _validate(sink_model, sink_examples, tmp_path / "out", requests, (3,))

    assert judged.blessed, judged.failures
    shapes = Counter(
        log.predict_log.request.inputs["x"].tensor_shape.dim[1].size
        for log in prediction_logs.read(tmp_path / "out" / "stamped_model" / options.WARMUP_FILE)
        if log.predict_log.request.model_spec.signature_name == "dynamic"
    )
    assert shapes == {1: 6, 2: 6, 3: 6}
    assert judged.examples is not None
    assert list(judged.examples.left_out) == ["two_inputs"]


@pytest.fixture
def pair_examples(tmp_path: Path) -> Path:
    """Three tf.Examples with two floats `x`."""
    import tensorflow as tf  # noqa: PLC0415 - seconds, and not every test needs it

    with tf.io.TFRecordWriter(str(tmp_path / "pairs.tfrecord")) as writer:
        for number in range(3):
            example = tf.train.Example()
            example.features.feature["x"].float_list.value.extend([number, 0.5])
            writer.write(example.SerializeToString())
    return tmp_path / "pairs.tfrecord"


def test_constants_defaults_and_no_inputs(odd_models: Path, pair_examples: Path, tmp_path: Path) -> None:
    """What no batch feeds is one request; the report says what every input got, and the copy starts warm."""
    requests = options.RequestOptions(
        signatures=("default", "two_defaults", "scalar", "only_scalar", "none", "anyshape"),
        inputs=("scalar/k=0.5", "only_scalar/k=2", "two_defaults/k=[3, 4]"),
    )
    judged = _validate(odd_models / "inputs" / "1", pair_examples, tmp_path / "out", requests)

    assert judged.blessed, judged.failures
    batched = {(key, "predict") for key in ("default", "two_defaults", "scalar", "anyshape")}
    unbatched = [(key, "predict", 0, 1) for key in ("only_scalar", "none")]
    assert _cells(tmp_path / "out" / "stamped_model") == sorted([*_each_once(batched), *unbatched])
    # The vector `k` comes before `x`, and is not the batch.
    called = {(each.cell.signature, each.cell.batch_size) for each in judged.servers[0].evidence.boot.outcomes}
    assert {size for key, size in called if key == "two_defaults"} == {1, 4}
    assert judged.servers[0].evidence.boot.records_replayed == 10
    report = json.loads((tmp_path / "out" / data.REPORT).read_text(encoding="utf-8"))
    assert report["examples"]["constants"] == {
        "scalar/k": "0.5",
        "only_scalar/k": "2",
        "two_defaults/k": "[3, 4]",
    }
    assert report["examples"]["defaults"] == ["default/k", "two_defaults/b"]


def test_any_method_name_and_no_sparse_input(odd_models: Path, pair_examples: Path, tmp_path: Path) -> None:
    """`all` calls a signature with an empty or custom method name, and leaves out what is sparse with the reason."""
    judged = _validate(
        odd_models / "methods_tf1" / "1",
        pair_examples,
        tmp_path / "methods",
        options.RequestOptions(signatures=("all",)),
        (1,),
    )
    assert judged.blessed, judged.failures
    called = {cell[:2] for cell in _cells(tmp_path / "methods" / "stamped_model")}
    assert {("empty", "predict"), ("custom", "predict"), ("scores_custom", "predict")} <= called


def _with_dependencies(file: descriptor.FileDescriptor) -> list[descriptor_pb2.FileDescriptorProto]:
    """A proto file after those that it imports."""
    found = [each for imported in file.dependencies for each in _with_dependencies(imported)]
    found.append(descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb))
    return found


@pytest.fixture
def ranking_model(tmp_path: Path) -> Path:
    """Scores a document by its own feature and one of the query; `lists` parses ELWCs itself, as TF-Ranking's do."""
    import tensorflow as tf  # noqa: PLC0415 - seconds, and not every test needs it

    spec = [tf.TensorSpec([None], tf.string, name="inputs")]
    files = {file.name: file for file in _with_dependencies(input_pb2.DESCRIPTOR)}
    protos = descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString()

    def score(inputs: tf.Tensor) -> tf.Tensor:
        needed = {name: tf.io.FixedLenFeature([], tf.int64) for name in ("query", "document")}
        parsed = tf.io.parse_example(inputs, needed)
        return tf.cast(parsed["query"] * parsed["document"], tf.float32)

    @tf.function(input_signature=spec)
    def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": score(inputs)[:, tf.newaxis]}

    @tf.function(input_signature=spec)
    def regress(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": score(inputs)}

    @tf.function(input_signature=spec)
    def lists(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        kind = "tensorflow.serving.ExampleListWithContext"
        _, (context,) = tf.io.decode_proto(inputs, kind, ["context"], [tf.string], b"bytes://" + protos)
        query = {"query": tf.io.FixedLenFeature([], tf.int64)}
        return {"query": tf.io.parse_example(context[:, 0], query)["query"]}

    signatures = {"classify": classify, "regress": regress, "lists": lists}
    tf.saved_model.save(tf.Module(), str(tmp_path / "ranking"), signatures=signatures)
    return tmp_path / "ranking"


def test_lists_of_examples_with_a_context(ranking_model: Path, tmp_path: Path) -> None:
    """One to three documents a query, small numbers only, so that the records also parse as tf.Examples."""
    import tensorflow as tf  # noqa: PLC0415 - seconds, and not every test needs it

    records = []
    with tf.io.TFRecordWriter(str(tmp_path / "queries.tfrecord")) as writer:
        for query in range(9):
            listed = input_pb2.ExampleListWithContext()
            listed.context.features.feature["query"].int64_list.value.append(query)
            for document in range(1 + query % 3):
                listed.examples.add().features.feature["document"].int64_list.value.append(document)
            records.append(listed)
            writer.write(listed.SerializeToString())
    requests = options.RequestOptions(
        signatures=("classify:classify", "regress:regress", "lists"),
        multi_inference=("classify,regress",),
        num_examples=9,
    )
    judged = _validate(ranking_model, tmp_path / "queries.tfrecord", tmp_path / "out", requests)

    assert judged.blessed, judged.failures
    assert judged.examples is not None
    assert (judged.examples.records_read, judged.examples.dead_letters) == (9, {})
    # Batch sizes are for Predict; the others get each record once, and its examples are the batch.
    by_list = (("classify", "classify"), ("classify,regress", "multi_inference"), ("regress", "regress"))
    cells = [(*call, size, 3) for call in by_list for size in (1, 2, 3)]
    assert _cells(tmp_path / "out" / "stamped_model") == [*cells[:6], *LISTS_BY_PREDICT, *cells[6:]]
    (warning,) = judged.warnings
    assert "classify:classify, regress:regress, classify,regress:multi_inference" in warning
    for log in prediction_logs.read(tmp_path / "out" / "stamped_model" / options.WARMUP_FILE):
        if log.WhichOneof("log_type") == "classify_log":
            assert log.classify_log.request.input.WhichOneof("kind") == "example_list_with_context"
            records.remove(log.classify_log.request.input.example_list_with_context)
    assert not records
    assert {outcome.code for outcome in judged.servers[0].evidence.boot.outcomes} == {"OK"}
    assert judged.servers[0].evidence.boot.records_replayed == 27 + 9 + 3


@pytest.fixture
def two_graphs(sink_model: Path, tmp_path: Path) -> Path:
    """The sink with a second MetaGraphDef, tagged `serve` and `alternative`, that calls `strings` by another name."""
    model = tmp_path / "two_graphs"
    saved_model = saved_model_pb2.SavedModel.FromString((sink_model / "saved_model.pb").read_bytes())
    second = saved_model.meta_graphs.add()
    second.CopyFrom(saved_model.meta_graphs[0])
    second.meta_info_def.tags.append("alternative")
    second.signature_def["alternative_strings"].CopyFrom(second.signature_def.pop("strings"))
    (model / "variables").mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    for path in (sink_model / "variables").iterdir():
        (model / "variables" / path.name).write_bytes(path.read_bytes())
    return model


def test_the_second_of_two_tag_sets(two_graphs: Path, sink_examples: Path, tmp_path: Path) -> None:
    """Requests are built for the named MetaGraphDef, and it is the one that the server loads."""
    requests = options.RequestOptions(signatures=("alternative_strings",), tag_set=("alternative", "serve"))
    judged = _validate(two_graphs, sink_examples, tmp_path / "out", requests)

    assert judged.blessed, judged.failures
    assert [outcome.cell.signature for outcome in judged.servers[0].evidence.boot.outcomes] == [
        "alternative_strings"
    ] * 2
    assert judged.servers[0].evidence.boot.records_replayed == 2

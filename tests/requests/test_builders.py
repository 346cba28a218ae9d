"""Requests look like those that a real TF Serving answered, byte for byte."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from infraval import options
from infraval.requests import builders, graph, prediction_logs, signatures, targets, tensors

GRPC = json.loads((Path(__file__).parent.parent / "golden" / "grpc.json").read_text(encoding="utf-8"))["cases"]
GOLDEN = {(case["case"], case["method"]): base64.b64decode(case["request"]) for case in GRPC if case["code"] == "OK"}
"""Requests that a real server answered, by case and RPC."""

LISTS = {np.floating: "float_list", np.integer: "int64_list", np.object_: "bytes_list"}


def taxi_records() -> list[bytes]:
    """The serialized tf.Examples that the recorded taxi cases were sent with."""
    request = predict_pb2.PredictRequest.FromString(GOLDEN["taxi_predict", "Predict"])
    return list(request.inputs["examples"].string_val)


def records_of_features(request: predict_pb2.PredictRequest) -> list[bytes]:
    """Examples, one an element of the batch, with a feature for each input."""
    arrays = {alias: tf.make_ndarray(tensor) for alias, tensor in request.inputs.items()}
    records = []
    for rows in zip(*arrays.values(), strict=True):
        example = example_pb2.Example()
        for alias, row in zip(arrays, rows, strict=True):
            feature = example.features.feature[alias]
            kind = next(name for kind, name in LISTS.items() if issubclass(arrays[alias].dtype.type, kind))
            getattr(feature, kind).value.extend(np.ravel(row).tolist())
        records.append(example.SerializeToString())
    return records


@pytest.fixture
def resolve(sink_model: Path, taxi_model: Path) -> Callable[..., targets.Target]:
    """The target of a request spec for the recorded models; the examples tell which features there are."""
    models = {
        name: (signatures.read(path), graph.of(signatures.meta_graph(path)))
        for name, path in (("sink", sink_model), ("taxi", taxi_model))
    }

    def of(model: str, records: list[bytes], *names: str, **given: Any) -> targets.Target:
        requests = options.RequestOptions(signatures=names, **given)
        available, parsing = models[model]
        (target,), _ = targets.resolve(requests, available, records, [len(records)], parsing)
        return target

    return of


def serialized(request: Any) -> bytes:
    """The same bytes for equal requests."""
    content: bytes = request.SerializeToString(deterministic=True)
    return content


@pytest.mark.parametrize(
    ("case", "key"),
    [
        ("linear", "serving_default"),
        ("two_inputs", "two_inputs"),
        ("strings", "strings"),
        ("scalar", "scalar"),
        ("nan_inf", "logs"),
        ("dynamic", "dynamic"),
        ("images", "images"),
        ("tensor_content", "serving_default"),
    ],
)
def test_predict_from_features_is_what_the_real_server_answered(
    case: str, key: str, resolve: Callable[..., targets.Target]
) -> None:
    """Floats, integers, texts and encoded images, in one input or two, of known and unknown inner sizes."""
    records = records_of_features(predict_pb2.PredictRequest.FromString(GOLDEN[case, "Predict"]))
    target = resolve("sink", records, key)
    assert target.takes_examples
    log = builders.build(target, "sink", records)
    assert serialized(log.predict_log.request) == GOLDEN[case, "Predict"]
    assert prediction_logs.cell(log) == options.Cell(",".join(target.signatures), target.method, len(records))


ODD = json.loads((Path(__file__).parent.parent / "golden" / "models.json").read_text(encoding="utf-8"))["cases"]
ANSWERED = {
    request["case"]: predict_pb2.PredictRequest.FromString(base64.b64decode(request["request"]))
    for case in ODD
    if case["case"] == "inputs"
    for request in case["requests"]
    if request["method"] == "Predict" and request["code"] == "OK"
}
"""Requests with defaults, scalars or no inputs that a real server answered."""


@pytest.mark.parametrize(
    ("case", "constants"),
    [
        ("default_left_out", ()),
        ("default_given", ("k",)),
        ("two_defaults_left_out", ()),
        ("two_defaults_one", ("k", "b")),
        ("scalar", ("k",)),
        ("only_scalar", ("k",)),
        ("none", ()),
    ],
)
def test_predict_with_defaults_and_constants_is_what_the_real_server_answered(
    case: str, constants: tuple[str, ...], odd_models: Path
) -> None:
    """A default is left out, a constant goes into every request, and a feature feeds the rest."""
    golden = {alias: tf.make_ndarray(tensor) for alias, tensor in ANSWERED[case].inputs.items()}
    key = ANSWERED[case].model_spec.signature_name
    given = [f"{key}/{alias}={json.dumps(golden[alias].tolist())}" for alias in constants if alias in golden]
    example = example_pb2.Example()
    if "x" in golden:
        (row,) = golden["x"]
        example.features.feature["x"].float_list.value.extend(row.tolist())
    records = [example.SerializeToString()]
    requests = options.RequestOptions(signatures=(key,), inputs=tuple(given))
    model = odd_models / "inputs" / "1"
    (target,), _ = targets.resolve(
        requests, signatures.read(model), records, [1], graph.of(signatures.meta_graph(model))
    )
    assert target.takes_examples == target.takes_records == ("x" in golden)

    log = builders.build(target, "m", records if target.takes_records else ())

    built = {alias: tf.make_ndarray(tensor) for alias, tensor in log.predict_log.request.inputs.items()}
    assert built.keys() == golden.keys()
    for alias, array in built.items():
        assert array.dtype == golden[alias].dtype
        np.testing.assert_array_equal(array, golden[alias])
    assert prediction_logs.cell(log) == options.Cell(key, options.Method.PREDICT, int("x" in golden))


@pytest.mark.parametrize(
    ("case", "model", "key"),
    [("taxi_predict", "taxi", "predict"), ("serialized_examples_as_inputs", "sink", "classify")],
)
def test_predict_of_whole_records_is_what_the_real_server_answered(
    case: str, model: str, key: str, resolve: Callable[..., targets.Target]
) -> None:
    """One string tensor of serialized Examples, untouched."""
    (tensor,) = predict_pb2.PredictRequest.FromString(GOLDEN[case, "Predict"]).inputs.values()
    target = resolve(model, list(tensor.string_val), key)
    assert not target.takes_examples
    log = builders.build(target, model, tensor.string_val)
    assert log.WhichOneof("log_type") == "predict_log"
    assert not log.predict_log.HasField("response")
    assert serialized(log.predict_log.request) == GOLDEN[case, "Predict"]


@pytest.mark.parametrize(
    ("case", "model", "asked", "rpc", "request_class"),
    [
        ("taxi_classification", "taxi", "classification", "Classify", classification_pb2.ClassificationRequest),
        ("taxi_regression", "taxi", "regression", "Regress", regression_pb2.RegressionRequest),
        ("ok", "sink", "classify:classify", "Classify", classification_pb2.ClassificationRequest),
        ("ok", "sink", "regress:regress", "Regress", regression_pb2.RegressionRequest),
        (
            "ok_but_methods_say_predict",
            "sink",
            "classify,regress",
            "MultiInference",
            inference_pb2.MultiInferenceRequest,
        ),
        ("taxi_both", "taxi", "classification,regression", "MultiInference", inference_pb2.MultiInferenceRequest),
    ],
)
def test_requests_that_hold_examples_are_what_the_real_server_answered(
    case: str, model: str, asked: str, rpc: str, request_class: Any, resolve: Callable[..., targets.Target]
) -> None:
    """Parsed Examples for a method that the signature declares or that was stated, and for a pair."""
    golden = request_class.FromString(GOLDEN[case, rpc])
    records = [example.SerializeToString() for example in golden.input.example_list.examples]
    pair = {"multi_inference": (asked,)} if rpc == "MultiInference" else {}
    target = resolve(model, records, *(() if pair else (asked,)), **pair)
    log = builders.build(target, model, records)
    assert log.WhichOneof("log_type") == f"{target.method.value}_log"
    request = getattr(log, f"{target.method.value}_log").request
    assert serialized(request) == GOLDEN[case, rpc]
    assert prediction_logs.cell(log) == options.Cell(",".join(target.signatures), target.method, len(records))


CLASSIFY, REGRESS = options.Method.CLASSIFY, options.Method.REGRESS
FED_BY_LISTS = [
    targets.Target(("c",), CLASSIFY, takes_lists=True),
    targets.Target(("r",), REGRESS, takes_lists=True),
    targets.Target(("c", "r"), options.Method.MULTI_INFERENCE, (CLASSIFY, REGRESS), takes_lists=True),
]


@given(
    target=st.sampled_from(FED_BY_LISTS),
    scores=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
    query=st.binary(),
)
def test_a_list_with_its_context_is_the_request(target: targets.Target, scores: list[int], query: bytes) -> None:
    """Record -> log -> file -> log: the list is as it was, and its examples are the batch."""
    listed = input_pb2.ExampleListWithContext()
    listed.context.features.feature["query"].bytes_list.value.append(query)
    for score in scores:
        listed.examples.add().features.feature["score"].int64_list.value.append(score)

    built = builders.build(target, "m", [listed.SerializeToString()])

    log = prediction_log_pb2.PredictionLog.FromString(prediction_logs.serialize(built))
    request = getattr(log, f"{target.method.value}_log").request
    assert request.input.WhichOneof("kind") == "example_list_with_context"
    assert request.input.example_list_with_context == listed
    assert prediction_logs.cell(log) == options.Cell(",".join(target.signatures), target.method, len(scores))


def test_the_default_signature_is_named(resolve: Callable[..., targets.Target]) -> None:
    """TF Serving takes an empty name for `serving_default`; a log says which signature it touches."""
    records = taxi_records()
    log = builders.build(resolve("taxi", records, "serving_default"), "taxi", records)
    assert log.classify_log.request.model_spec.signature_name == "serving_default"
    assert prediction_logs.cell(log) == options.Cell("serving_default", options.Method.CLASSIFY, 4)


def test_the_same_example_gives_the_same_bytes(resolve: Callable[..., targets.Target]) -> None:
    """However its features were ordered on the wire, which a protobuf map leaves open."""
    records = taxi_records()[:1]
    target = resolve("taxi", records, "classification")
    features = list(example_pb2.Example.FromString(records[0]).features.feature.items())
    written = set()
    for turn in range(len(features)):
        pieces = b""
        for name, value in features[turn:] + features[:turn]:
            one = example_pb2.Example()
            one.features.feature[name].CopyFrom(value)
            pieces += one.SerializeToString()  # serialized messages that follow each other merge into one
        written.add(prediction_logs.serialize(builders.build(target, "taxi", [pieces])))
    assert len(written) == 1


def test_only_shapes_that_may_differ_keep_records_apart() -> None:
    """Examples share a batch if every input has the same shape for each; whole records always do."""

    def record(**counts: int) -> bytes:
        example = example_pb2.Example()
        for name, count in counts.items():
            example.features.feature[name].float_list.value.extend([0.5] * count)
        return example.SerializeToString()

    free = tensors.DenseInput("x", "x", "float", (None, 2))
    fixed = tensors.DenseInput("y", "y", "float", (3,))
    dense = targets.Target(("s",), options.Method.PREDICT, dense_inputs=(free, fixed))
    assert builders.shape_bucket(dense, record(x=4, y=3)) == ((2, 2), (3,))
    assert builders.shape_bucket(dense, record(x=4, y=3)) == builders.shape_bucket(dense, record(y=3, x=4, z=9))
    assert builders.shape_bucket(dense, record(x=4, y=3)) != builders.shape_bucket(dense, record(x=6, y=3))
    for other in (
        targets.Target(("s",), options.Method.PREDICT, serialized_input="examples"),
        targets.Target(("s",), options.Method.CLASSIFY),
    ):
        assert builders.shape_bucket(other, record(x=4)) == builders.shape_bucket(other, b"no Example")

"""Requests look like those that a real TF Serving answered."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2, regression_pb2

from infraval import errors, prediction_logs, spec
from infraval.prepare import builders, signatures

GRPC = json.loads((Path(__file__).parent.parent / "golden" / "grpc.json").read_text(encoding="utf-8"))["cases"]


@pytest.fixture(scope="session")
def golden_request() -> Callable[[str], bytes]:
    """The request of a recorded case that the real server answered."""
    requests = {case["case"]: base64.b64decode(case["request"]) for case in GRPC if case["code"] == "OK"}
    return requests.__getitem__


@pytest.fixture(scope="session")
def golden_records(golden_request: Callable[[str], bytes]) -> list[bytes]:
    """The serialized tf.Examples that the recorded taxi cases were sent with."""
    request = predict_pb2.PredictRequest.FromString(golden_request("taxi_predict"))
    return list(request.inputs["examples"].string_val)


@pytest.fixture
def signature() -> Callable[..., signatures.Signature]:
    """A Predict signature with inputs of these types and shapes."""

    def make(**inputs: tuple[str, tuple[int | None, ...] | None]) -> signatures.Signature:
        tensors = {alias: signatures.TensorSpec(*tensor) for alias, tensor in inputs.items()}
        return signatures.Signature("s", spec.Method.PREDICT, tensors, {})

    return make


def test_predict_is_what_the_real_server_answered(
    taxi_model: Path, golden_request: Callable[[str], bytes], golden_records: list[bytes]
) -> None:
    """One string tensor of serialized Examples, byte for byte the recorded request."""
    log = builders.build(signatures.read(taxi_model)["predict"], spec.Method.PREDICT, "taxi", golden_records)
    assert log.WhichOneof("log_type") == "predict_log"
    assert not log.predict_log.HasField("response")
    assert log.predict_log.request.SerializeToString(deterministic=True) == golden_request("taxi_predict")


@pytest.mark.parametrize(
    ("key", "case", "request_class"),
    [
        ("classification", "taxi_classification", classification_pb2.ClassificationRequest),
        ("regression", "taxi_regression", regression_pb2.RegressionRequest),
    ],
)
def test_classify_and_regress_are_what_the_real_server_answered(
    key: str,
    case: str,
    request_class: type[classification_pb2.ClassificationRequest],
    taxi_model: Path,
    golden_request: Callable[[str], bytes],
) -> None:
    """A list of parsed Examples, byte for byte the recorded request."""
    golden = request_class.FromString(golden_request(case))
    records = [example.SerializeToString() for example in golden.input.example_list.examples]
    signature = signatures.read(taxi_model)[key]
    log = builders.build(signature, builders.check(signature), "taxi", records)
    method = builders.check(signature).value
    assert log.WhichOneof("log_type") == f"{method}_log"
    request = getattr(log, f"{method}_log").request
    assert request.SerializeToString(deterministic=True) == golden_request(case)


def test_the_default_signature_is_named(taxi_model: Path, golden_records: list[bytes]) -> None:
    """TF Serving takes an empty name for `serving_default`; a log says which signature it touches."""
    signature = signatures.read(taxi_model)["serving_default"]
    log = builders.build(signature, builders.check(signature), "taxi", golden_records)
    assert prediction_logs.cell(log) == spec.Cell("serving_default", spec.Method.CLASSIFY, 4)


def test_the_same_example_gives_the_same_bytes(taxi_model: Path, golden_records: list[bytes]) -> None:
    """However its features were ordered on the wire, which a protobuf map leaves open."""
    signature = signatures.read(taxi_model)["classification"]
    features = list(example_pb2.Example.FromString(golden_records[0]).features.feature.items())
    serialized = set()
    for turn in range(len(features)):
        pieces = b""
        for name, value in features[turn:] + features[:turn]:
            one = example_pb2.Example()
            one.features.feature[name].CopyFrom(value)
            pieces += one.SerializeToString()  # serialized messages that follow each other merge into one
        log = builders.build(signature, spec.Method.CLASSIFY, "taxi", [pieces])
        serialized.add(prediction_logs.serialize(log))
    assert len(serialized) == 1


def test_every_signature_of_serialized_examples_passes_the_check(taxi_model: Path, penguin_model: Path) -> None:
    """Estimator's and Keras's exports can all be called."""
    for model in (taxi_model, penguin_model):
        for signature in signatures.read(model).values():
            assert builders.check(signature) is signature.method


def test_signatures_without_one_string_vector_are_refused(sink_model: Path) -> None:
    """Of the recorded model, floats and two inputs; the message says what the signature takes instead."""
    read = signatures.read(sink_model)
    for key in ("serving_default", "dynamic", "logs", "scalar", "two_inputs"):
        with pytest.raises(errors.ModelError, match=f"'{key}' does not take serialized examples"):
            builders.check(read[key])
    with pytest.raises(errors.ModelError, match=r"it takes a: float\[\?\], b: int64\[\?\]"):
        builders.check(read["two_inputs"])
    for key in ("classify", "images", "regress", "strings"):
        assert builders.check(read[key]) is spec.Method.PREDICT


def test_only_a_vector_of_strings_holds_examples(signature: Callable[..., signatures.Signature]) -> None:
    """A rank nobody knows may be one; a scalar, a matrix, two vectors or nothing are not."""
    assert builders.check(signature(x=("string", None))) is spec.Method.PREDICT
    for inputs in (
        {"x": ("string", ())},
        {"x": ("string", (None, 2))},
        {"x": ("string", (None,)), "y": ("string", (None,))},
        {},
    ):
        with pytest.raises(errors.ModelError, match="does not take serialized examples"):
            builders.check(signature(**inputs))


def test_a_method_without_an_rpc_is_refused() -> None:
    """A SignatureDef may name any method."""
    unknown = signatures.Signature("odd", None, {"x": signatures.TensorSpec("string", (None,))}, {})
    with pytest.raises(errors.ModelError, match="'odd' has a method that TF Serving has no request for"):
        builders.check(unknown)


@pytest.mark.filterwarnings("ignore:Unexpected end-group tag:RuntimeWarning")
def test_what_parses_as_an_example(golden_records: list[bytes]) -> None:
    """Real ones and the empty one do; garbage, a cut one and text that protobuf 3.20 only warns of do not."""
    assert all(map(builders.is_example, [*golden_records, b""]))
    assert not any(map(builders.is_example, [b"\xff\xff", b"garbage", golden_records[0][:-1], b"the text"]))

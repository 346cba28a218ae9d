"""Models that load badly, lack an op, or show what a batch looks like from inside."""

from __future__ import annotations

import concurrent.futures
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, regression_pb2

SINK = Path(__file__).parent.parent / "golden" / "models" / "sink" / "1"

BATCHING = """
max_batch_size { value: 16 }
allowed_batch_sizes: 1
allowed_batch_sizes: 4
allowed_batch_sizes: 16
"""
SPLITTING = """
max_batch_size { value: 16 }
allowed_batch_sizes: 4
allowed_batch_sizes: 16
enable_large_batch_splitting { value: true }
max_execution_batch_size { value: 4 }
"""


def predict(server: Any, signature: str = "", **inputs: Any) -> dict[str, Any]:
    """Sends a PredictRequest to the model `sink` and returns the outputs as arrays."""
    request = predict_pb2.PredictRequest(model_spec={"name": "sink", "signature_name": signature})
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(
            value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        )
    response = server.call("Predict", request, predict_pb2.PredictResponse)
    return {name: tf.make_ndarray(output) for name, output in response.outputs.items()}


@pytest.fixture(scope="module")
def batch_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose outputs tell what the graph sees of a batch."""

    class Batch(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.string)])
        def __call__(self, x: Any, s: Any) -> dict[str, Any]:
            size = tf.shape(x)[0]
            return {"size": tf.fill([size], size), "sum": tf.fill([size], tf.reduce_sum(x)), "s": s, "x": 2.0 * x}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def total(self, x: Any) -> dict[str, Any]:
            return {"total": tf.reduce_sum(x)}

    path = tmp_path_factory.mktemp("batch")
    module = Batch()
    signatures = {"serving_default": module.__call__, "total": module.total}
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


@pytest.fixture(scope="module")
def batching_server(start_for_session: Any, batch_model: Path) -> Any:
    """Serves `batch_model` with batches of 1, 4 or 16."""
    flags = ("--enable_batching", "--batching_parameters_file=<base>/batching.txt")
    server = start_for_session(*flags, versions={"1": batch_model}, batching=BATCHING, rest=True)
    server.wait_until_serving()
    return server


def test_batch_is_padded_with_its_first_row(batching_server: Any) -> None:
    """Three rows run as a batch of four whose last row is the first again; three rows come back."""
    outputs = predict(batching_server, x=[1.0, 2.0, 4.0], s=["a", "b", "c"])
    assert outputs["size"].tolist() == [4, 4, 4]
    assert outputs["sum"].tolist() == [8.0, 8.0, 8.0]
    assert outputs["x"].tolist() == [2.0, 4.0, 8.0]
    assert outputs["s"].tolist() == [b"a", b"b", b"c"]


@pytest.mark.parametrize(("size", "allowed"), [(1, 1), (4, 4), (5, 16), (16, 16)])
def test_next_allowed_size_is_run(size: int, allowed: int, batching_server: Any) -> None:
    """A batch is run at the smallest allowed size that holds it."""
    outputs = predict(batching_server, x=[0.0] * size, s=["a"] * size)
    assert outputs["size"].tolist() == [allowed] * size


def test_rest_batches_too(batching_server: Any) -> None:
    """Rows that come over REST are one batch, padded like any other."""
    body = '{"instances": [{"x": 1.0, "s": "a"}, {"x": 2.0, "s": "b"}, {"x": 4.0, "s": "c"}]}'
    rows = json.loads(batching_server.http("POST", "/v1/models/sink:predict", body).text)["predictions"]
    assert [row["size"] for row in rows] == [4, 4, 4]
    assert [row["s"] for row in rows] == ["a", "b", "c"]


def test_larger_batches_are_split(start: Any, batch_model: Path) -> None:
    """With large batch splitting, no run is larger than max_execution_batch_size and all rows come back in order."""
    flags = ("--enable_batching", "--batching_parameters_file=<base>/batching.txt")
    server = start(*flags, versions={"1": batch_model}, batching=SPLITTING)
    server.wait_until_serving()
    outputs = predict(server, x=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], s=["a"] * 6)
    assert outputs["size"].tolist() == [4] * 6
    assert outputs["x"].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


@pytest.mark.parametrize(
    ("signature", "inputs", "code", "message"),
    [
        (
            "",
            {"x": [0.0] * 17, "s": ["a"] * 17},
            "INVALID_ARGUMENT",
            "Task size 17 is larger than maximum input batch size 16",
        ),
        (
            "",
            {"x": [0.0] * 2, "s": ["a"]},
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (
            "",
            {"x": 0.0, "s": ["a"]},
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have at least one dimension",
        ),
        ("total", {"x": [0.0]}, "FAILED_PRECONDITION", "Batched output tensor has 0 dimensions"),
    ],
)
def test_what_is_no_batch_is_an_error(
    signature: str, inputs: dict[str, Any], code: str, message: str, batching_server: Any
) -> None:
    """With batching, inputs and outputs that are no batches are refused in TensorFlow Serving's words."""
    with pytest.raises(grpc.RpcError) as raised:
        predict(batching_server, signature, **inputs)
    assert (raised.value.code().name, raised.value.details()) == (code, message)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        ("max_batch_size { value: 0 }", "input_batch_size_limit must be positive; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative; was -1"),
        ("allowed_batch_sizes: 4", "last entry was 4; expected 1000"),
        (
            "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 2000 }",
            "input_batch_size_limit must be greater than or equal to max_execution_batch_size.",
        ),
    ],
)
def test_contradictory_parameters_are_refused(parameters: str, message: str, start: Any) -> None:
    """Parameters that TensorFlow Serving refuses end the server with 255 and the same message."""
    server = start("--enable_batching", "--batching_parameters_file=<base>/batching.txt", batching=parameters)
    assert server.wait_until_ended() == 255
    assert f"INVALID_ARGUMENT: {message}" in server.log() or message in server.log()


def test_concurrent_requests_get_their_own_answers(sink_server: Any) -> None:
    """Many threads calling several signatures at once each get the answer to what they sent."""

    def ask(number: int) -> bool:
        text = f"request {number}".encode()
        first = predict(sink_server, "strings", s=[text])
        second = predict(sink_server, "dynamic", x=[[float(number), float(number)]])
        return first["raw_bytes"].tolist() == [text] and second["mean"].tolist() == [float(number)]

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(200)))


def test_scalar_string_is_answered(sink_server: Any) -> None:
    """An output without dimensions is an answer like any other, of strings too."""
    outputs = predict(sink_server, "strings", s="Ab")
    assert outputs["raw_bytes"].shape == outputs["length"].shape == ()
    assert (outputs["raw_bytes"].item(), outputs["length"].item()) == (b"Ab", 2)


def test_keras_3_trap_fails_as_in_production(start: Any, tmp_path: Path) -> None:
    """A Keras 3 model saved by tf.saved_model.save loads but cannot answer, and the error names the variable."""
    model = tf.keras.Sequential([tf.keras.layers.Input([2]), tf.keras.layers.Dense(1, name="trapped")])
    signature = tf.function(lambda x: {"y": model(x)}).get_concrete_function(tf.TensorSpec([None, 2], tf.float32))
    tf.saved_model.save(model, str(tmp_path / "keras"), signatures={"serving_default": signature})
    server = start(versions={"1": tmp_path / "keras"})
    server.wait_until_serving()
    with pytest.raises(grpc.RpcError, match=r"Could not find variable \S*trapped/(kernel|bias)") as raised:
        predict(server, x=[[1.0, 2.0]])
    assert raised.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def edited_sink(directory: Path, edit: Callable[[Any], None]) -> Path:
    """A copy of the sink whose SavedModel proto has been edited."""
    path = directory / "edited"
    shutil.copytree(SINK, path)
    saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    edit(saved_model)
    (path / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    return path


def without_decode_png(saved_model: Any) -> None:
    """Renames the op that only the loop body behind the signature `images` needs, which loading does not look at."""
    for function in saved_model.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op == "DecodePng":
                node.op = "NoSuchOp"


def test_unregistered_op_of_the_graph_is_no_verdict(start: Any, tmp_path: Path) -> None:
    """A graph with an op that this TensorFlow lacks ends the server with a code of its own and logs op and option."""
    model = edited_sink(tmp_path, lambda proto: proto.meta_graphs[0].graph_def.node.add(name="x", op="NoSuchOp"))
    server = start(versions={"1": model})
    assert server.wait_until_ended() == 64
    assert "Op type not registered 'NoSuchOp'" in server.log()
    assert "--import-ops MODULE" in server.log()


def test_unregistered_op_in_the_warmup_is_no_verdict(start: Any, tmp_path: Path) -> None:
    """The same if only a function needs the op, and a warmup record is the first to call it."""
    record = prediction_log_pb2.PredictionLog()
    request = record.predict_log.request
    request.model_spec.signature_name = "images"
    request.inputs["raw_images"].CopyFrom(tf.make_tensor_proto([b"no image"]))
    path = tmp_path / "warmup"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(record.SerializeToString())
    server = start(versions={"1": edited_sink(tmp_path, without_decode_png)}, warmup=path.read_bytes())
    assert server.wait_until_ended() == 64
    assert "--import-ops MODULE" in server.log()


def test_unregistered_op_in_a_request_is_no_verdict(start_interpreter: Any, tmp_path: Path) -> None:
    """The same if a request is the first to call it: there is no answer, which would look like the model's."""
    server = start_interpreter(versions={"1": edited_sink(tmp_path, without_decode_png)})
    server.wait_until_serving()
    with pytest.raises(grpc.RpcError) as raised:
        predict(server, "images", raw_images=[b"no image"])
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    assert server.wait_until_ended() == 64
    assert "--import-ops MODULE" in server.log()


def test_unregistered_op_in_a_rest_request_is_no_verdict(start: Any, tmp_path: Path) -> None:
    """The same over REST."""
    server = start(versions={"1": edited_sink(tmp_path, without_decode_png)}, rest=True)
    server.wait_until_serving()
    with pytest.raises(ConnectionError):
        server.http("POST", "/v1/models/sink:predict", '{"signature_name": "images", "inputs": ["no image"]}')
    assert server.wait_until_ended() == 64
    assert "--import-ops MODULE" in server.log()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda path: (path / "saved_model.pb").unlink(), "NOT_FOUND: Specified file path does not appear"),
        (lambda path: (path / "saved_model.pb").write_bytes(b"\xff\xff"), "OUT_OF_RANGE: Read less bytes"),
        (lambda path: (path / "saved_model.pb").write_bytes(b""), "NOT_FOUND: Could not find meta graph def matching"),
        (lambda path: (path / "variables" / "variables.data-00000-of-00001").unlink(), "NOT_FOUND: "),
    ],
)
def test_broken_model_is_refused(edit: Callable[[Path], None], message: str, start: Any, tmp_path: Path) -> None:
    """A directory that is no whole SavedModel ends the server with 255 and TensorFlow Serving's code."""
    path = tmp_path / "broken"
    shutil.copytree(SINK, path)
    edit(path)
    server = start(versions={"1": path})
    assert server.wait_until_ended() == 255
    assert f"due to error: {message}" in server.log()


def test_long_message_is_cut_as_by_tensorflow_serving(sink_server: Any) -> None:
    """An error message ends after 1024 bytes with a note."""
    with pytest.raises(grpc.RpcError) as raised:
        predict(sink_server, "s" * 2000, x=[0.0])
    expected = ('Serving signature key "' + "s" * 2000)[:1024] + "...TRUNCATED"
    assert raised.value.details() == expected


def test_context_is_merged_into_each_example(sink_server: Any) -> None:
    """Features of an ExampleListWithContext's context count for each of its examples, as if they were its own."""
    request = regression_pb2.RegressionRequest(model_spec={"name": "sink", "signature_name": "regress"})
    listed = request.input.example_list_with_context
    listed.context.features.feature["v"].float_list.value.extend([1.0, 2.0, 3.0])
    listed.examples.add()
    listed.examples.add().features.feature["u"].float_list.value.append(9.0)
    response = sink_server.call("Regress", request, regression_pb2.RegressionResponse)
    first, second = (regression.value for regression in response.result.regressions)
    assert first == second != 0.0

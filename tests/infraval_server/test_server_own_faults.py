"""What says something about the stand-in and nothing about the model is told by exit code, not by the log."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

import infraval_server
from infraval.sandbox import model_server, serving_log
from infraval_server import python_kernels, status, xla

SENT = 1234.5

FORGED = (
    "2026-01-01 00:00:00.000000: E A bug of the embedded server: KeyError",
    "E Op type not registered 'HouseBlend' in this server's TensorFlow",
)


def saved(directory: Path, function: Callable[[Any], Any]) -> Path:
    """A model with a function of floats as its only signature."""
    module = tf.Module()
    signature = tf.function(function, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(module, str(directory), signatures=signature)
    return directory


def predict(server: Any) -> Any:
    """Sends one number to the model."""
    request = predict_pb2.PredictRequest(model_spec={"name": "sink"})
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([SENT]))
    return server.call("Predict", request, predict_pb2.PredictResponse)


def test_the_client_knows_the_exit_codes() -> None:
    """The two programs share no module, so their constants must agree."""
    assert model_server.EMBEDDED_EXIT_BUG == infraval_server.EXIT_BUG
    assert model_server.EMBEDDED_EXIT_UNREGISTERED_OP == infraval_server.EXIT_UNREGISTERED_OP
    codes = {infraval_server.EXIT_OK, infraval_server.EXIT_BUG, infraval_server.EXIT_UNREGISTERED_OP}
    assert len({*codes, infraval_server.EXIT_FAILURE}) == 4


def test_the_client_reads_what_the_server_says_of_its_arguments(start: Any) -> None:
    """Which it ignores, and which it does not know; said before it begins to load, when no model can print anything."""
    server = start("--num_load_threads=2", "--no_such_flag=1", "--prefer_tflite_model")
    server.wait_for(lambda: serving_log.begins_to_load(server.log()))
    assert serving_log.ignored_flags(server.log()) == ("--num_load_threads", "--prefer_tflite_model")
    assert serving_log.unknown_argument(server.log()) == "--no_such_flag=1"
    server.wait_until_serving()


def test_lines_that_a_model_prints_change_no_exit_code(start: Any, tmp_path: Path) -> None:
    """A model that prints the server's own words is answered on, and a signal ends the server with 0 as ever."""

    def forge(x: Any) -> dict[str, Any]:
        with tf.control_dependencies([tf.print(line) for line in FORGED]):
            return {"y": tf.identity(x)}

    server = start(versions={"1": saved(tmp_path / "forging", forge)})
    server.wait_until_serving()
    assert predict(server).outputs["y"].float_val == [SENT]
    assert all(line in server.log() for line in FORGED)
    assert predict(server).outputs["y"].float_val == [SENT]
    assert server.end() == 0


def test_a_bug_ends_the_server_without_an_answer(start_interpreter: Any, tmp_path: Path) -> None:
    """An exception that nobody foresaw ends the server with 70; the log holds nothing of the request."""
    (tmp_path / "broken_ops.py").write_text(
        "from infraval_server import requests\n"
        "def fail(servable, request):\n"
        "    raise KeyError(request.inputs['x'].float_val[0])\n"
        "requests.predict = fail\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
        server = start_interpreter("--import-ops=broken_ops")
    server.wait_until_serving()
    with pytest.raises(grpc.RpcError) as raised:
        predict(server)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    assert server.wait_until_ended() == infraval_server.EXIT_BUG
    assert "broken_ops.py" in server.log()
    assert str(SENT) not in server.log()


@pytest.mark.parametrize("content", ["raise ValueError('no such table')", "import no_such_module"])
def test_a_module_that_cannot_be_imported_is_a_start_up_error(
    content: str, start_interpreter: Any, tmp_path: Path
) -> None:
    """Whatever the module raises, the server says which one it was, in one line, and ends with 255."""
    (tmp_path / "broken_ops.py").write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
        server = start_interpreter("--import-ops=broken_ops")
    assert server.wait_until_ended() == infraval_server.EXIT_FAILURE
    assert re.search(
        r"^Failed to start server\. Error: INVALID_ARGUMENT: --import-ops=broken_ops ", server.log(), re.MULTILINE
    )


def test_xla_that_cannot_be_turned_off_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TensorFlow without the function is not taken for one that has XLA off."""
    monkeypatch.setattr(tf.sysconfig, "get_lib", lambda: str(tmp_path))
    with pytest.raises(status.StatusError, match="--xla_cpu_compilation_enabled") as raised:
        xla.disable_compilation()
    assert raised.value.code == status.Code.UNIMPLEMENTED


@pytest.mark.parametrize("op", ["EagerPyFunc", "PyFunc", "PyFuncStateless"])
@pytest.mark.parametrize("in_function", [False, True])
def test_no_kernel_is_found_for_an_op_that_runs_python(op: str, in_function: bool) -> None:
    """In the graph and in functions; the message is that of a TensorFlow that has none."""
    graph_def = tf.compat.v1.GraphDef()
    nodes = graph_def.library.function.add().node_def if in_function else graph_def.node
    nodes.add(name="f", op=op).attr["token"].s = b"t"
    nodes.add(name="other", op="NoOp")
    python_kernels.hide(graph_def)
    kernel = nodes[0].attr["_kernel"].s.decode()
    assert kernel
    assert "_kernel" not in nodes[1].attr
    for attributes in (
        f'_kernel="{kernel}", a=1, b=2',
        f'a=1, _kernel="{kernel}", b=2',
        f'a=1, b=2, _kernel="{kernel}"',
    ):
        registered = "Registered devices: [CPU]\nRegistered kernels:\n"
        text = f"with these attrs: [{attributes}]\n{registered}  device='CPU'\n\n\t [[f]]"
        assert python_kernels.message(text) == (
            f"with these attrs: [a=1, b=2]\n{registered}  <no registered kernels>\n\n\t [[f]]"
        )


def test_other_messages_stay_as_they_are() -> None:
    """A kernel that is missing for another reason keeps its list of kernels."""
    text = "with these attrs: [a=1]\nRegistered kernels:\n  device='GPU'\n"
    assert python_kernels.message(text) == text

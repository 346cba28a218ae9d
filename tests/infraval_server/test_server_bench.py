"""`infraval bench` against the embedded server, over gRPC and REST."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infraval import benchmark, errors, options, tensor_values
from infraval.report import benchmark as report
from infraval.requests import prediction_logs, tensors
from infraval.tensorflow_protos import prediction_log_pb2
from infraval.trial import bench, client, rest_client

TIMEOUT_S = 60.0


def _logs() -> Iterator[prediction_log_pb2.PredictionLog]:
    """Two batch sizes, strings, a signature that fails, and what REST does not have."""
    for rows in (1, 4):
        log = prediction_log_pb2.PredictionLog()
        tensor = tensors.empty("float", [rows, 3])
        tensor.float_val.extend([1, 2, 3] * rows)
        log.predict_log.request.inputs["x"].CopyFrom(tensor)
        yield log
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "strings"
    tensor = tensors.empty("string", [2])
    tensor.string_val.extend([b"Ab", "ünï".encode()])
    log.predict_log.request.inputs["s"].CopyFrom(tensor)
    yield log
    log = prediction_log_pb2.PredictionLog()
    tensor = tensors.empty("float", [7, 2])
    tensor.float_val.extend([1234.5] * 14)
    log.predict_log.request.inputs["x"].CopyFrom(tensor)
    yield log
    log = prediction_log_pb2.PredictionLog()
    tensor = tensors.empty("float", [9, 3])
    tensor.float_val.extend([1, 2, 3] * 9)
    log.predict_log.request.inputs["x"].CopyFrom(tensor)
    log.predict_log.request.output_filter.append("y")
    yield log


@pytest.fixture
def model(sink_model: Path, tmp_path: Path) -> Path:
    """The sink with a warmup file that no server has to replay."""
    copy = tmp_path / "sink"
    shutil.copytree(sink_model, copy)
    prediction_logs.write(copy / options.WARMUP_FILE, _logs())
    return copy


def places(server: Any) -> tuple[str, str]:
    """Of gRPC and REST."""
    return f"unix:{server.socket_path}", f"http://127.0.0.1:{server.rest_port}"


def test_a_running_server_is_measured_over_both(rest_server: Any, model: Path) -> None:
    """Each cell, loop and protocol; errors, and what REST does not have, are told."""
    job = options.Job(model=model, server={"model_name": "sink"})
    asked = bench.Asked(concurrency=2, rate=100.0, budget_s=4.0)
    found = benchmark.benchmark(job, asked, *places(rest_server))
    cells = [each.latencies.cell for each in found.measured if each.latencies.cell]
    assert {cell.batch_size: cell.signature for cell in cells} == {
        **dict.fromkeys((1, 4, 7, 9), "serving_default"),
        2: "strings",
    }
    assert len(found.measured) == 5 * 2 * 2
    for each in found.measured:
        size = each.latencies.cell.batch_size if each.latencies.cell else 0
        if size == 7:
            assert (each.error, each.latencies.requests) == ("INVALID_ARGUMENT", 0)
            assert "1234" not in each.message
        elif size == 9 and each.protocol == "rest":
            assert (bool(each.reason), each.latencies.requests) == (True, 0)
        else:
            assert (each.error, each.reason) == ("", "")
            assert each.latencies.requests
            for interval, seconds in zip(
                each.latencies.intervals,
                (each.latencies.p50_s, each.latencies.p90_s, each.latencies.p99_s),
                strict=True,
            ):
                assert interval.low_s <= seconds
                assert interval.high_s is None or seconds <= interval.high_s
    assert json.loads(report.as_json(found))["concurrency"] == 2


def test_only_what_is_named_is_measured(rest_server: Any, model: Path) -> None:
    """One protocol; a name that the server does not know is an error."""
    target, rest = places(rest_server)
    asked = bench.Asked(budget_s=0.5)
    for given in ({"target": target}, {"rest": rest}):
        job = options.Job(model=model, server={"model_name": "sink"})
        found = benchmark.benchmark(job, asked, **given)
        assert {each.protocol for each in found.measured} == {"grpc" if "target" in given else "rest"}
        assert {each.loop for each in found.measured} == {"closed"}
        with pytest.raises(errors.SandboxError):
            benchmark.benchmark(options.Job(model=model, server={"model_name": "other"}), asked, **given)


def test_both_protocols_get_the_same_answer(rest_server: Any) -> None:
    """So the JSON is the same request."""
    target, rest = places(rest_server)
    logs = list(_logs())[:3]
    with client.Client(target, "sink") as over_grpc, rest_client.Client(rest, "sink") as over_rest:
        for log, answer in zip(logs, ([3.5], [3.5] * 4, None), strict=True):
            received: list[bytes] = []
            assert over_rest.call(over_rest.prepare(log), TIMEOUT_S, received.append) == ("OK", "")
            assert over_grpc.send(log, TIMEOUT_S, received.append) == ("OK", "")
            outputs = json.loads(received[0])["outputs"]
            response = type(log.predict_log.response).FromString(received[1])
            if answer is not None:
                (tensor,) = response.outputs.values()
                assert outputs == pytest.approx(answer)
                assert tensor_values.numbers(tensor).tolist() == pytest.approx(answer)


def test_a_model_without_requests_is_refused(sink_model: Path) -> None:
    """Before anything is connected to."""
    with pytest.raises(errors.OptionError):
        benchmark.benchmark(options.Job(model=sink_model), bench.Asked(), "unix:/nowhere")

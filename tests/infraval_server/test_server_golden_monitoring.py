"""Conformance: the monitoring config files and the metrics recorded from a real TensorFlow Serving 2.16.1."""

from __future__ import annotations

import base64
import collections
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

GOLDEN = Path(__file__).parent.parent / "golden"
RECORDED = json.loads((GOLDEN / "config.json").read_text(encoding="utf-8"))
CASES = [case for case in RECORDED["cases"] if case["case"].startswith("monitoring")]
PAGE = "/monitoring/prometheus/metrics"
NEWER = {":tensorflow:serving:model_warmup_records_read"}
"""Metrics that a later TensorFlow Serving has."""

METHODS = {
    "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
    "Classify": (classification_pb2.ClassificationRequest, classification_pb2.ClassificationResponse),
    "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
    "GetModelMetadata": (
        get_model_metadata_pb2.GetModelMetadataRequest,
        get_model_metadata_pb2.GetModelMetadataResponse,
    ),
    "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, get_model_status_pb2.GetModelStatusResponse),
}

Page = dict[str, tuple[str, dict[str, int]]]
"""Metrics by name: type, and number by label values; of a histogram how much was recorded."""


def parsed(text: str) -> Page:
    """A page, as the recording keeps it."""
    page: Page = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            page[name] = (kind, {})
            continue
        match = re.fullmatch(r"([\w:]+)(\{.*\}) (\S+)", line)
        assert match, line
        kind, numbers = page[name]
        if kind != "histogram":
            assert match[1] == name
            numbers[match[2]] = int(match[3])
        elif match[1] == f"{name}_count":
            numbers[match[2]] = int(match[3])
    return page


def added(pages: Iterable[Page]) -> Page:
    """What one server would say that did the work of all of them."""
    total: dict[str, tuple[str, collections.Counter[str]]] = {}
    for page in pages:
        for name, (kind, numbers) in page.items():
            total.setdefault(name, (kind, collections.Counter()))[1].update(numbers)
    return {name: (kind, dict(numbers)) for name, (kind, numbers) in total.items()}


def expanded(text: str) -> str:
    """A proto's text with the file's abbreviations replaced."""
    text = text.replace("<x>", RECORDED["<x>"])
    return re.sub(r"<y ([\d.]+)>", lambda match: RECORDED["<y N>"].replace("N }", f"{match[1]} }}"), text)


def check_rpc(server: Any, step: Mapping[str, Any]) -> None:
    """Sends a request over gRPC and compares code and response or message."""
    request_class, response_class = METHODS[step["method"]]
    service = "ModelService" if step["method"] == "GetModelStatus" else "PredictionService"
    request = text_format.Parse(expanded(step["request"]), request_class())
    if step["code"] == "OK":
        golden = text_format.Parse(expanded(step["response"]), response_class())
        assert server.call(step["method"], request, response_class, service) == golden
    else:
        with pytest.raises(grpc.RpcError) as caught:
            server.call(step["method"], request, response_class, service)
        assert (caught.value.code().name, caught.value.details()) == (step["code"], step["message"])


def check_raw(text: str, golden: str) -> None:
    """Compares the lines of the metrics in the recording, as they are but for numbers."""
    names = re.findall(r"^# TYPE (\S+)", golden, re.MULTILINE)
    lines = (line for line in text.splitlines() if re.search(rf"^(# TYPE )?({'|'.join(names)})(_\w+)?[ {{]", line))
    assert [re.sub(r" [\d.e+]+$", " <N>", line) for line in lines] == golden.splitlines()


def check_http(servers: Mapping[str, Any], step: Mapping[str, Any]) -> None:
    """Sends a request over HTTP and compares what came back."""
    name = re.match(r"/v1/models/(\w)\b", step["path"])
    server = servers.get(name[1] if name else "a", servers["a"])
    if "error" in step:
        with pytest.raises(ConnectionRefusedError):
            server.http(step["method"], step["path"])
        return
    response = server.http(step["method"], step["path"], step.get("body"))
    assert response.status == step["status"]
    golden_type = step.get("content_type") or dict(step["headers"])["Content-Type"]
    assert response.headers["Content-Type"] == golden_type
    golden = step["response"]
    text = response.text.replace(str(server.base_path), "<base>")
    if isinstance(golden, dict):
        pages = (
            parsed(other.http("GET", step["path"]).text.replace(str(other.base_path), "<base>"))
            for other in servers.values()
        )
        total = added(pages)
        for name, (kind, numbers) in golden.items():
            assert total[name][0] == kind
            assert total[name][1].keys() == {labels for labels, _ in numbers}, name
            known = {labels: number for labels, number in numbers if number is not None}
            assert {labels: total[name][1][labels] for labels in known} == known, name
    elif isinstance(golden, list):
        assert parsed(text).keys() - NEWER <= set(golden)
        assert list(parsed(text)) == sorted(parsed(text))
    elif isinstance(golden, int):
        assert len(text) == golden
    elif golden.startswith("# TYPE :tensorflow:cc"):
        check_raw(text, golden.replace(str(server.base_path), "<base>"))
    elif golden.startswith("# TYPE "):
        assert parsed(text)
    else:
        assert text == golden


def started(case: Mapping[str, Any], start: Any, directory: Path) -> dict[str, Any]:
    """A server for each model of a case, with its files."""
    monitoring = directory / "monitoring.txt"
    if monitoring.name in case["files"]:
        monitoring.write_text(case["files"][monitoring.name], encoding="utf-8")
    servers = {}
    for name, versions in case["models"].items():
        ((version, content),) = versions.items()
        model = directory / name
        shutil.copytree(GOLDEN / "models" / "versioned" / str(content), model)
        for path in (path for path in case["files"] if path.startswith(f"{name}/")):
            target = model / path.removeprefix(f"{name}/{version}/")
            target.parent.mkdir()
            target.write_bytes(base64.b64decode(case["files"][path]["base64"]))
        servers[name] = start(
            f"--model_name={name}",
            f"--model_base_path=<base>/{name}",
            f"--monitoring_config_file={monitoring}",
            versions={f"{name}/{version}": model},
            rest=case["case"] != "monitoring_no_rest_port",
        )
    return servers


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_monitors_as_tensorflow_serving(case: dict[str, Any], start: Any, tmp_path: Path) -> None:
    """Every step has the recorded outcome; two models are on two servers, whose numbers are added."""
    servers = started(case, start, tmp_path)
    for server in servers.values():
        if any("error" in step for step in case["steps"]):
            server.wait_until_logged("Failed to start HTTP Server")
        else:
            server.wait_until_serving()
    for step in case["steps"]:
        if step["do"] == "rpc":
            name = re.search(r'name: "(\w+)"', step["request"])
            assert name
            check_rpc(servers.get(name[1], servers["a"]), step)
        elif step["do"] == "http":
            check_http(servers, step)
        for line in step.get("log", ()) if len(servers) == 1 else ():
            beginning = re.sub(r"^\[.*?\] ", "", line).split(":")[0]
            assert beginning in servers["a"].log()
    assert {server.end() for server in servers.values()} == {0}


def test_a_new_batch_size_builds_no_graph(start: Any, one_record: bytes, tmp_path: Path) -> None:
    """Only the first request for a set of outputs does, however large; the warmup's was built before."""
    monitoring = tmp_path / "monitoring"
    monitoring.write_text("prometheus_config { enable: true }", encoding="utf-8")
    server = start(f"--monitoring_config_file={monitoring}", warmup=one_record, rest=True)
    server.wait_until_serving()
    before = parsed(server.http("GET", PAGE).text)
    rows, strings = [[1.0, 2.0, 3.0]], ["a"]
    for signature, inputs, moved in (
        ("serving_default", rows, 0),
        ("serving_default", rows * 4, 0),
        ("strings", strings * 4, 1),
        ("strings", strings, 1),
    ):
        body = {"signature_name": signature, "inputs": inputs}
        assert server.http("POST", "/v1/models/sink:predict", json.dumps(body)).status == 200
        name = ":tensorflow:core:graph_build_calls"
        assert parsed(server.http("GET", PAGE).text)[name][1]["{}"] - before[name][1]["{}"] == moved
    assert list(before[":tensorflow:serving:model_warmup_records_read"][1].values()) == [1]
    assert before[":tensorflow:core:xla_compilations"] == ("counter", {})

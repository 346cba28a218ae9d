"""Conformance: every start recorded from a real TensorFlow Serving 2.16.1, with its log and exit code."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tensorflow_serving.apis import get_model_status_pb2

GOLDEN = Path(__file__).parent.parent / "golden"
WARMUP_CASES = json.loads((GOLDEN / "warmup.json").read_text(encoding="utf-8"))["cases"]
STARTUP_CASES = json.loads((GOLDEN / "startup.json").read_text(encoding="utf-8"))["cases"]

NOT_MATCHED = {
    "Error parsing text-format tensorflow.serving.BatchingParameters: ": "Python's protobuf words it otherwise",
    "usage: ": "the program has another name",
}
"""Lines of which only these beginnings can match, with the reason."""

OWN_LINES = (
    "I Building single TensorFlow model file config:",
    "I Adding/updating models.",
    "I  (Re-)adding model: ",
    "I Finished adding/updating models",
    "I Running gRPC ModelServer at",
    "I Ended by SIGTERM.",
    "E Couldn't interpret value many for flag grpc_max_threads.",
    "Flags:",
    "\t--",
    "  value: 3",
    "}",
)
"""Beginnings of lines that TensorFlow Serving logs as well, but that the recording left out."""


def golden_lines(case: dict[str, Any]) -> list[str]:
    """The recorded log without file names, and without what TensorFlow logs when it is loaded."""
    lines = []
    for line in case["log"]:
        text = re.sub(r"^([IWE]) \S+\.cc:[0-9]+\] ", r"\1 ", line)
        text = re.sub(r"^\[libprotobuf ERROR [^]]*\] ", "E ", text)
        if "oneDNN" not in text and not text.startswith("\t--"):
            lines.append(comparable(text))
    return lines


def own_lines(server: Any) -> list[str]:
    """The server's log in the form of the recorded one."""
    lines = []
    for line in server.log().replace(str(server.base_path), "<base>").splitlines():
        text = re.sub(r"^[0-9]{4}-[0-9-]+ [0-9:.]+: ", "", line)
        text = re.sub(r"(Elapsed time \(microseconds\): )[0-9]+", r"\1<T>", text)
        if text and not text.startswith(OWN_LINES):
            lines.append(comparable(text))
    return lines


def comparable(text: str) -> str:
    """The part of a line that can match."""
    for beginning in NOT_MATCHED:
        before, found, _ = text.partition(beginning)
        if found:
            return before + found
    return text


def check(server: Any, case: dict[str, Any]) -> None:
    """Waits for the start's outcome and compares it."""
    if case["available"]:
        server.wait_until_serving()
        response = server.call(
            "GetModelStatus",
            get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "sink"}),
            get_model_status_pb2.GetModelStatusResponse,
            "ModelService",
        )
        assert response.model_version_status[0].state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
        assert server.end() == 0
    else:
        assert server.wait_until_ended() == case["exit_code"]
        assert not server.socket_path.exists()
    golden = golden_lines(case)
    own = own_lines(server)
    # The recording ends somewhere in the usage text.
    assert (own[: len(golden)] if "usage: " in golden else own) == golden


@pytest.mark.parametrize("case", WARMUP_CASES, ids=lambda case: case["case"])
def test_warms_up_as_tensorflow_serving(case: dict[str, Any], start: Any) -> None:
    """A warmup file leads to the same availability, exit code and log."""
    content = None if case["file"] is None else base64.b64decode(case["file"]) * case["repeat"]
    check(start(warmup=content), case)


@pytest.mark.parametrize("case", STARTUP_CASES, ids=lambda case: case["case"])
def test_starts_as_tensorflow_serving(case: dict[str, Any], start: Any, one_record: bytes) -> None:
    """Flags and a batching parameters file lead to the same availability, exit code and log."""
    server = start(*case["flags"], warmup=one_record, batching=case["batching_parameters"])
    check(server, case)


@pytest.mark.parametrize("case_name", ["five", "wrong_dtype"])
def test_interpreter_behaves_as_the_fork(case_name: str, start_interpreter: Any) -> None:
    """The same holds for `python -m infraval_server`, which the other cases leave out for speed."""
    case = next(case for case in WARMUP_CASES if case["case"] == case_name)
    check(start_interpreter(warmup=base64.b64decode(case["file"])), case)


def test_usage_names_types_and_defaults(start: Any) -> None:
    """A supported flag has the type and default that TensorFlow Serving's usage text shows."""
    server = start("--grpc_max_threads=many", "--grpc_max_threads")
    server.wait_until_ended()
    shown = dict(re.findall(r"\t--(\w+)=(\S*) *\t\w+\t", server.log()))
    case = next(case for case in STARTUP_CASES if case["case"] == "bad_value")
    golden = dict(re.findall(r"\t--(\w+)=(\S*) *\t\w+\t", "\n".join(case["log"])))
    del golden["grpc_max_threads"]  # four times the recording machine's processors
    common = golden.keys() & shown.keys()
    assert {"enable_batching", "enable_model_warmup", "load_retry_interval_micros"} <= common
    assert {name: shown[name] for name in common} == {name: golden[name] for name in common}

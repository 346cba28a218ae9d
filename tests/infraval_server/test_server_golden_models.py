"""Conformance: odd models on a real TensorFlow Serving 2.16.1, what loads and what each request answers."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import http.client
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = json.loads((GOLDEN / "models.json").read_text(encoding="utf-8"))["cases"]

RESPONSES = {
    "Predict": predict_pb2.PredictResponse,
    "Classify": classification_pb2.ClassificationResponse,
    "Regress": regression_pb2.RegressionResponse,
    "MultiInference": inference_pb2.MultiInferenceResponse,
    "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataResponse,
    "GetModelStatus": get_model_status_pb2.GetModelStatusResponse,
}

TIMEOUT_S = 60.0
TOGETHER_INTERVAL_S = 0.05
"""Between the starts of requests that were recorded `together`: much less than a batch waits."""

RECORDED_WAIT, WAIT = "batch_timeout_micros { value: 2000000 }", "batch_timeout_micros { value: 1000000 }"
"""How long a batch waits for more; less here than in the recording, to save time."""

LACKS_OP = "an op that this TensorFlow lacks may be there in production: exit code 64 and the option to set, no verdict"
IMPORTER = "TensorFlow's importer for Python checks each node first, and says what is wrong with it in other words"
NOT_FED = "TensorFlow's Python API cannot feed a variant or a resource: UNIMPLEMENTED"

NOT_MATCHED: Mapping[str, Mapping[str, str]] = {
    "handles_tf1": {"variant_in": NOT_FED, "variant_in_without_metadata": NOT_FED, "resource_in": NOT_FED},
    "unknown_op_tf1": {"start": LACKS_OP},
    "unknown_in_function": {"start": LACKS_OP},
    "missing_attr_tf1": {"start": IMPORTER},
    "bad_attr_tf1": {"start": IMPORTER},
}
"""What is answered otherwise, by case: the names of its requests, or `start` for the start, and the reason of each."""

OF_TENSORFLOW = (
    "I SavedModel load for tags",
    "W OP_REQUIRES failed",
    "W Local rendezvous is aborting",
    "E tfg_optimizer",
    "E Failed to parse __inference",
    "[libprotobuf ERROR",
    "I XLA service",
)
"""Beginnings of lines that TensorFlow's C++ side logs, which the embedded server keeps quiet."""

OF_EVERY_START = (
    "I Building single TensorFlow model file config:",
    "I Adding/updating models.",
    "I  (Re-)adding model: ",
    "I Finished adding/updating models",
    "I Running gRPC ModelServer at",
    "I Exporting HTTP/REST API at",
    "I Retrying of Reserving resources for servable:",
    "I Retrying of Loading servable:",
    "I Successfully reserved resources to load servable",
    "I Approving load for servable version",
    "I Loading servable version",
    "I Successfully loaded servable version",
    "I No warmup data file found at",
)
"""Beginnings of lines that the recording left out."""


INFINITIES, HALF_MAGNITUDE = {types_pb2.DT_HALF: 0x7C00, types_pb2.DT_BFLOAT16: 0x7F80}, 0x7FFF
"""Bits of 16-bit floats: what is above infinity without its sign is a NaN, whose sign differs from build to build."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_serves_as_tensorflow_serving(case: dict[str, Any], as_said_here: Callable[[str], str], start: Any) -> None:
    """A model leads to the same availability, exit code and log, and each request to the same answer."""
    case = json.loads(as_said_here(json.dumps(case)))
    server = start(
        "--model_name=m",
        *(flag.replace("<base>/../", "<base>/") for flag in case.get("flags", ())),
        versions={"1": GOLDEN / case["model"] / "1"},
        batching=(case.get("batching_parameters") or "").replace(RECORDED_WAIT, WAIT),
        rest=True,
    )
    differing = {}
    expected = NOT_MATCHED.get(case["case"], {})
    if case["available"] and "start" not in expected:
        server.wait_until_serving()
        code = server.poll()
    else:
        code = server.wait_until_ended()
    own = lines(server.log().replace(str(server.base_path), "<base>"))
    golden = lines("\n".join(case.get("log", ())))
    if code != case["exit_code"] or own != golden:
        differing["start"] = f"{code}: {own} instead of {case['exit_code']}: {golden}"
    if code is None:
        differing |= ask(server, case.get("requests", ()))
    assert differing.keys() == expected.keys(), "\n".join(f"{name}: {text}" for name, text in differing.items())


def lines(log: str) -> list[str]:
    """What can be compared of a log: the model server's own lines, each once."""
    found = []
    for line in log.splitlines():
        text = re.sub(r"^[0-9]{4}-[0-9-]+ [0-9:.]+: ", "", line)
        own = not text.startswith((*OF_TENSORFLOW, *OF_EVERY_START))
        # Each line was recorded once, so what follows the first line of a message may be anywhere.
        own = own and (text.startswith(("I ", "W ", "E ", "F ", "Failed to start")) or text.endswith("}, }"))
        text = comparable(text)[:600]
        if own and text not in found:
            found.append(text)
    return found


def ask(server: Any, requests: Any) -> dict[str, str]:
    """Sends the requests of a case one after the other; returns those that are answered otherwise."""
    differing = {}
    with grpc.insecure_channel(f"unix:{server.socket_path}") as channel:
        for request in requests:
            if "together" in request:
                pairs = together(channel, server, request["together"])
            else:
                pairs = [(request, answer(channel, server, request))]
            wrong = [difference for golden, given in pairs if (difference := compare(golden, given))]
            if "exit_code" in request:
                code = server.wait_until_ended(10) if not wrong else server.poll()
                log = server.log()
                if code != request["exit_code"]:
                    wrong.append(f"exit code {code} instead of {request['exit_code']}: {log}")
                fatal = [line[2:] for line in request["log"] if line.startswith("F ")]
                wrong += [f"{text} is not in the log: {log}" for text in fatal if text not in log]
            if wrong:
                differing[request["case"]] = "; ".join(wrong)
    return differing


def together(channel: Any, server: Any, requests: Any) -> list[tuple[Any, Any]]:
    """Sends requests in their order, each before the one before it is answered."""
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
        futures = []
        for request in requests:
            futures.append(pool.submit(answer, channel, server, request))
            time.sleep(TOGETHER_INTERVAL_S)
        return [(request, future.result()) for request, future in zip(requests, futures, strict=True)]


def answer(channel: Any, server: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Sends one request; returns what came back in the form of the recording."""
    if "path" in request:
        return over_http(server, request)
    method = request["method"]
    service = "ModelService" if method == "GetModelStatus" else "PredictionService"
    rpc = channel.unary_unary(f"/tensorflow.serving.{service}/{method}")
    try:
        response = rpc(base64.b64decode(request["request"]), timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        return {"code": error.code().name, "message": error.details()}
    return {"code": "OK", "response": response}


def over_http(server: Any, request: dict[str, Any]) -> dict[str, Any]:
    """As `answer`, for a REST request."""
    body = request.get("body")
    content = base64.b64decode(body["base64"]) if isinstance(body, dict) else (body or "").encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, TIMEOUT_S)
    with contextlib.closing(connection):
        try:
            connection.request(request["method"], request["path"], content)
            response = connection.getresponse()
            text = response.read()
        except (TimeoutError, http.client.HTTPException, ConnectionError):
            return {"error": "no answer"}
        return {"status": response.status, "content_type": response.headers["Content-Type"], "response": text}


def compare(golden: dict[str, Any], given: dict[str, Any]) -> str:
    """How an answer differs from the recorded one; empty if it does not."""
    shown = f"{given} instead of {golden}"
    if "error" in golden or "error" in given:
        return "" if golden.get("error") == given.get("error") else shown
    if "path" in golden:
        same_answer = given["status"] == golden["status"] and given["content_type"] == golden["content_type"]
        return "" if same_answer and same_text(given["response"], golden["response"]) else shown
    if golden["code"] != given["code"]:
        return shown
    if golden["code"] == "OK":
        response_class = RESPONSES[golden["method"]]
        own = response_class.FromString(given["response"])
        recorded = response_class.FromString(base64.b64decode(golden["response"]))
        return "" if same(of_proto(own), of_proto(recorded)) else f"{own} instead of {recorded}"
    if golden["message"] == "<gone>":
        return ""
    message = golden["message"]
    if isinstance(message, dict):
        message = base64.b64decode(message["base64"]).decode("latin-1")  # as gRPC for Python hands it out
    return "" if comparable(given["message"]) == comparable(message) else shown


def of_proto(message: Any) -> Any:
    """A message as a JSON value; the hash of a resource's type was not recorded, and the sign of a NaN says nothing."""
    for output in getattr(message, "outputs", {}).values():
        infinity = INFINITIES.get(output.dtype, HALF_MAGNITUDE)
        for place, half in enumerate(output.half_val):
            if half & HALF_MAGNITUDE > infinity:
                output.half_val[place] = half & HALF_MAGNITUDE
        for handle in output.resource_handle_val:
            handle.hash_code = 0
    return json_format.MessageToDict(message)


def text_of(recorded: Any) -> str:
    """A recorded text; bytes that are not UTF-8 are surrogate escapes."""
    if isinstance(recorded, dict):
        return base64.b64decode(recorded["base64"]).decode(errors="surrogateescape")
    return str(recorded)


def same_text(given: bytes, recorded: Any) -> bool:
    """Whether two REST responses are equal, in value and layout."""
    own, golden = given.decode(errors="surrogateescape"), text_of(recorded)
    try:
        values = json.loads(own), json.loads(golden)
    except ValueError:
        return comparable(own) == comparable(golden)
    return same(*values) and layout(own) == layout(golden)


def layout(text: str) -> list[str]:
    """The lines of a response in any order, for C++ orders members by chance, with `0` for each run of digits."""
    return sorted(re.sub(r"\d+", "0", line.rstrip(",")) for line in comparable(text).splitlines())


def same(ours: Any, golden: Any) -> bool:
    """Whether two JSON values are equal, floats nearly so, texts as far as they can be compared."""
    if isinstance(golden, dict):
        return isinstance(ours, dict) and ours.keys() == golden.keys() and all(same(ours[k], golden[k]) for k in golden)
    if isinstance(golden, list):
        return isinstance(ours, list) and len(ours) == len(golden) and all(map(same, ours, golden))
    if isinstance(golden, float):
        both_nan = isinstance(ours, float) and math.isnan(ours) and math.isnan(golden)
        return isinstance(ours, float) and (both_nan or math.isclose(ours, golden, rel_tol=1e-5, abs_tol=1e-6))
    if isinstance(golden, str):
        return isinstance(ours, str) and comparable(ours) == comparable(golden)
    return bool(ours == golden)


def comparable(text: str) -> str:
    """A text without what differs from recording to recording."""
    text = re.sub(r"\{\{(node|function_node) [^}]*\}\}", r"{{\1}}", text)
    text = re.sub(r"binary running on \S+\. Make", "binary running on <HOST>. Make", text)
    text = text.replace(" The requested device appears to be a GPU, but CUDA is not enabled.", "")
    text = re.sub(r"current version \d+ for TensorFlow \S+  ", "current version <N> for TensorFlow <N>.  ", text)
    text = re.sub(r"Missing named input: \w+ in", "Missing named input: <one of them> in", text)
    return re.sub(r"with these attrs: \[(.*?)\](?=$|\\n)", sorted_attributes, text, flags=re.MULTILINE)


def sorted_attributes(match: re.Match[str]) -> str:
    """The attributes of a node in one order; without `_output_shapes`, which TensorFlow for Python leaves out."""
    attributes = re.sub(r"_output_shapes=\[.*?\]+(, |$)", "", match[1]).split(", ")
    return f"with these attrs: [{', '.join(sorted(filter(None, attributes)))}]"

"""Conformance: every recording of a real TensorFlow Serving 2.16.1 with several models, versions, labels and reloads.

A case runs in this process, against the server's own services, with seconds that are shorter than real ones; what
concerns the process itself runs in a fork of its own.
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import json
import math
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, text_format, wrappers_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from infraval_server import config, core, flags, loading, log, rest, service, source, status

GOLDEN = Path(__file__).parent.parent / "golden"
RECORDING = json.loads((GOLDEN / "config.json").read_text(encoding="utf-8"))
CASES = {case["case"]: case for case in RECORDING["cases"]}

SECOND_S = 0.05
"""A second of the recording takes as long here."""

TIMEOUT_S = 60.0

OTHERS = ("monitoring",)
"""Beginnings of cases that are about Prometheus' page."""

IN_A_PROCESS = ("config_custom_config", "stop_")
"""Beginnings of cases about how the process ends."""

OF_HTTP = ("rest_cors",)
"""Cases about headers, which are not the services' to set."""

OTHER_LABEL = {"labels_at_start_to_unavailable": ("version 2 of model a", "version 1 of model a")}
"""Cases in which two labels are wrong: which one is named is chance in a real server, the order of a hash map."""

NO_LOOK = {"reload_missing_version": range(1, 3)}
"""Steps of a case between which the recorded server did not look at the files."""

MESSAGES = {
    "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
    "Classify": (classification_pb2.ClassificationRequest, classification_pb2.ClassificationResponse),
    "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
    "GetModelMetadata": (
        get_model_metadata_pb2.GetModelMetadataRequest,
        get_model_metadata_pb2.GetModelMetadataResponse,
    ),
    "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, get_model_status_pb2.GetModelStatusResponse),
    "HandleReloadConfigRequest": (
        model_management_pb2.ReloadConfigRequest,
        model_management_pb2.ReloadConfigResponse,
    ),
}

NOT_LOGGED = (
    "I Reading SavedModel from: ",
    "I SavedModel load for tags ",
    "I Using InsecureServerCredentials",
    "I Profiler service is not built in",
    "I Running gRPC ModelServer at ",
    "I Exporting HTTP/REST API at:",
    "NET_LOG: Entering the event loop ...",
    "I Calling MallocExtension_ReleaseToSystem() ",
    "W OP_REQUIRES failed ",
    "W Local rendezvous is aborting ",
    "W Warning parsing text-format ",
    "\t",  # goes on with the line before, which may be one of these
)
"""Beginnings of lines that the embedded server does not log, or not in this process."""

NOT_RECORDED = (
    "I Retrying of Reserving resources for servable: ",
    "I Successfully reserved resources to load servable ",
    "I Approving load for servable version ",
    "I Retrying of Loading servable: ",
    "I No warmup data file found at ",
    "I Quiescing servable version ",
    "I Done quiescing servable version ",
    "I Building single TensorFlow model file config: ",
    "I Loading servable version ",
    "I Successfully loaded servable version ",
    # Each poll of the config file logs these, also when no step looked at the log.
    "I Adding/updating models.",
    "I  (Re-)adding model: ",
    "I Finished adding/updating models",
)
"""Beginnings of lines that the recording left out of most cases."""


def comparable(lines: Sequence[str], base: Path) -> set[str]:
    """Lines of a log without what cannot match."""
    found = set()
    for line in lines:
        text = line.replace(str(base), "<base>")
        text = re.sub(r"^[0-9]{4}-[0-9-]+ [0-9:.]+: ", "", text)
        text = re.sub(r"^\[libprotobuf ([EW])[A-Z]+ [^]]*\] ", r"\1 ", text)
        text = re.sub(r"(Error parsing text-format [\w.]+: ).*", r"\1", text)
        text = without_node_names(text)
        if text and not text.startswith(NOT_LOGGED):
            found.add(text)
    return found


def without_node_names(text: str) -> str:
    """A text with the names that TensorFlow gives to nodes when it loads a graph left out."""
    return re.sub(r"\{\{(node|function_node) [^}]*\}\}", r"{{\1}}", text)


def same(ours: Any, golden: Any) -> bool:
    """Whether two JSON values are equal, floats nearly so, messages up to names of nodes."""
    if isinstance(golden, dict):
        return isinstance(ours, dict) and ours.keys() == golden.keys() and all(same(ours[k], golden[k]) for k in golden)
    if isinstance(golden, list):
        return isinstance(ours, list) and len(ours) == len(golden) and all(map(same, ours, golden))
    if isinstance(golden, float):
        return isinstance(ours, float) and math.isclose(ours, golden, rel_tol=1e-5, abs_tol=1e-6)
    if isinstance(golden, str):
        return isinstance(ours, str) and without_node_names(ours) == without_node_names(golden)
    return bool(ours == golden)


def layout(text: str) -> set[str]:
    """The lines of a response in any order, for C++ orders members by chance."""
    return {line.rstrip(",") for line in text.splitlines()}


def write_files(case: Mapping[str, Any], base: Path) -> None:
    """Lays out a case's models and files."""
    for model, versions in case["models"].items():
        (base / model).mkdir()
        for directory, version in versions.items():
            shutil.copytree(GOLDEN / "models" / "versioned" / str(version), base / model / directory)
    for path, content in case.get("files", {}).items():
        write(base, path, content)


def write(base: Path, path: str, content: Any) -> None:
    """Writes a file by a rename."""
    target = base / path
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = base.with_name("temporary")
    if isinstance(content, dict):
        temporary.write_bytes(base64.b64decode(content["base64"]))
    else:
        temporary.write_text(content.replace("<base>", str(base)), encoding="utf-8")
    temporary.rename(target)


class Replay:
    """A server in this process, and the files that it looks at.

    Args:
      case: what to replay.
      base: an empty directory.
      log_lines: the whole log up to now.
      polls: how often the config file was read.
    """

    def __init__(
        self, case: Mapping[str, Any], base: Path, log_lines: Callable[[], list[str]], polls: Callable[[], int]
    ) -> None:
        self._polls = polls
        self.base = base
        self._log_lines = log_lines
        self._first_line = 0
        self.golden_lines: set[str] = set()
        self._socket = base.parent / "grpc.sock"
        self._models: core.Core | None = None
        self._server: Any = None
        self.serving = False
        self.exit_code: int | None = None
        write_files(case, base)
        self._options, unknown = flags.parse([self.here(flag) for flag in case["flags"]])
        assert unknown == []
        self._starting = threading.Thread(target=self._start)
        self._starting.start()

    def here(self, text: str) -> str:
        """A recorded text with this case's paths."""
        return text.replace("<base>", str(self.base))

    def _start(self) -> None:
        try:
            self._models = core.Core(self._options, loading.check(self._options), SECOND_S)
            self._models.start()
        except status.StatusError as error:
            log.plain(f"Failed to start server. Error: {error}")
            self.exit_code = 255
            return
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        service.add(self._server, self._models, health=self._options.enable_grpc_healthcheck_service)
        self._server.add_insecure_port(f"unix:{self._socket}")
        self._server.start()
        self.serving = True

    def close(self) -> None:
        """Ends it."""
        if self._models is not None and self.exit_code is None:
            self._models.close()
        self._starting.join()
        if self._server is not None:
            self._server.stop(None).wait()

    def lines(self) -> set[str]:
        """What was logged since `forget_lines`."""
        return comparable(self._log_lines()[self._first_line :], self.base)

    def forget_lines(self) -> None:
        """Has `lines` begin here."""
        self._first_line = len(self._log_lines())

    def wait_for_lines(self, step: Mapping[str, Any]) -> None:
        """Waits for what was logged at a step and not before; the recording does not always know at which step."""
        new = comparable(step.get("log", ()), self.base) - self.golden_lines
        self.until(lambda: new <= self.lines(), step)
        self.golden_lines |= new

    def change(self, step: Mapping[str, Any]) -> None:
        """Does what a step does to files."""
        match step["do"]:
            case "write":
                write(self.base, step["file"], {"base64": step["base64"]} if "base64" in step else step["text"])
            case "add":
                ready = self.base.parent / "ready"
                shutil.copytree(GOLDEN / step["what"], ready)
                for path in step.get("without", ()):
                    (ready / path).unlink()
                (self.base / step["to"]).parent.mkdir(exist_ok=True)
                ready.rename(self.base / step["to"])
            case "put":
                path = Path(*Path(step["file"]).parts[2:])
                write(
                    self.base,
                    step["file"],
                    {"base64": base64.b64encode((GOLDEN / step["what"] / path).read_bytes())},
                )
            case "remove":
                for number, path in enumerate(step["files"]):
                    gone = self.base.parent / f"gone{number}"
                    (self.base / path).rename(gone)
                    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
            case "rename":
                ready = self.base / "new"
                if step["what"] != "new":
                    shutil.copytree(GOLDEN / "models" / "versioned" / "2", ready, dirs_exist_ok=True)
                ready.rename(self.base / step["to"])
            case _:
                raise AssertionError(step)

    def states(self, names: Sequence[str]) -> dict[str, Any]:
        """What GetModelStatus says of models, in the recording's words."""
        return {name: self._state(name) for name in names}

    def _state(self, name: str) -> Any:
        if not self.serving:
            return "down"
        assert self._models is not None
        request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": name})
        try:
            response = service.get_model_status(self._models, request)
        except status.StatusError as error:
            return str(error)
        shown = []
        for version in response.model_version_status:
            code, text = version.status.error_code, version.status.error_message
            state = get_model_status_pb2.ModelVersionStatus.State.Name(version.state)
            failure = f" {status.Code(code).name}: {text}" if code else ""
            shown.append(without_node_names(f"{version.version} {state}{failure}".replace(str(self.base), "<base>")))
        return shown

    def rpc(self, step: Mapping[str, Any]) -> None:
        """Sends a request and compares what comes back."""
        method = step["method"]
        with grpc.insecure_channel(f"unix:{self._socket}") as channel:
            if method.startswith("grpc.health"):
                request: Any = wrappers_pb2.StringValue(value=step["service"])
                path, response_class = f"/{method}", wrappers_pb2.Int32Value
            else:
                request_class, response_class = MESSAGES[method]
                kind = "ModelService" if request_class.__name__ in MODEL_SERVICE else "PredictionService"
                path = f"/tensorflow.serving.{kind}/{method}"
                text = self.here(step["request"]).replace("<x>", RECORDING["<x>"])
                request = text_format.Parse(text, request_class())
            rpc = channel.unary_unary(
                path,
                request_serializer=type(request).SerializeToString,
                response_deserializer=response_class.FromString,
            )
            timeout_s = 20 * SECOND_S if step["code"] == "DEADLINE_EXCEEDED" else TIMEOUT_S
            if step["code"] != "OK":
                with pytest.raises(grpc.RpcError) as raised:
                    rpc(request, timeout=timeout_s)
                assert raised.value.code().name == step["code"]
                if step["code"] == "UNAVAILABLE":  # no one listens; the address differs
                    return
                assert without_node_names(raised.value.details()) == without_node_names(self.here(step["message"]))
                return
            response = rpc(request, timeout=timeout_s)
        if "status" in step:
            assert (step["status"], response.value) == ("SERVING", 1)
            return
        text = re.sub(r"<y ([^>]*)>", lambda found: RECORDING["<y N>"].replace("N", found[1]), step["response"])
        golden = text_format.Parse(self.here(text), response_class())
        assert same(json_format.MessageToDict(response), json_format.MessageToDict(golden)), f"{response} != {golden}"

    def rpc_in_time(self, step: Mapping[str, Any]) -> None:
        """The same, again until it fits: a reload returns before versions that nobody waits for are loaded."""
        if step["method"] == "HandleReloadConfigRequest":
            self.rpc(step)
            return
        deadline_s = time.monotonic() + TIMEOUT_S
        while True:
            try:
                self.rpc(step)
            except (AssertionError, grpc.RpcError, pytest.fail.Exception):
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.01)
            else:
                return

    def http(self, step: Mapping[str, Any]) -> None:
        """The same over REST."""
        assert self._models is not None
        answer = rest.answer(self._models, step["method"], step["path"], step.get("body", "").encode())
        assert answer.http_status == step["status"]
        headers = dict(step.get("headers", ()))
        assert answer.content_type == step.get("content_type", headers.get("Content-Type"))
        golden = self.here(step.get("response", ""))
        try:
            value = json.loads(golden)
        except ValueError:  # only its beginning was recorded, or it is a page
            assert layout(golden) <= layout(answer.text)
        else:
            assert same(json.loads(answer.text), value)
            if "Content-Length" in headers:
                assert len(answer.text) == int(headers["Content-Length"])

    def wait(self, step: Mapping[str, Any]) -> None:
        """Waits for what a step waited for, and looks on for as long as it did."""
        if "exit_code" in step:
            self.until(lambda: self.exit_code is not None, step)
            assert self.exit_code == step["exit_code"]
            return
        seen = [json.loads(without_node_names(json.dumps(states))) for states in step.get("seen", ())]
        names = list(seen[-1]) if seen else []
        observed: list[dict[str, Any]] = []

        def reached() -> bool:
            observed.append(self.states(names))
            return not seen or observed[-1] == seen[-1]

        self.wait_for_polls(step)
        self.wait_for_lines(step)
        self.until(reached, step)
        deadline_s = time.monotonic() + step["condition"].get("seconds", 0) * SECOND_S
        while time.monotonic() < deadline_s:
            assert self.exit_code is None
            assert self.states(names) == (seen[-1] if seen else {})
            time.sleep(SECOND_S / 5)
        if step["do"] == "wait":
            for name in names:
                if all(is_available(states[name]) for states in seen):
                    assert all(is_available(states[name]) for states in observed), observed

    def wait_for_polls(self, step: Mapping[str, Any]) -> None:
        """Waits for a whole poll of the config file, if it is polled and the poll is not stuck."""
        if self.serving and self._options.model_config_file_poll_wait_seconds:
            wanted = self._polls() + 2
            deadline_s = time.monotonic() + 20 * SECOND_S
            self.until(lambda: self._polls() >= wanted or time.monotonic() > deadline_s, step)

    def until(self, condition: Callable[[], bool], step: Mapping[str, Any]) -> None:
        """Waits for a condition."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline_s, f"{step}\n{sorted(self.lines())}\n{self.states(('a', 'b'))}"
            time.sleep(0.005)


MODEL_SERVICE = ("GetModelStatusRequest", "ReloadConfigRequest")


def is_available(versions: Any) -> bool:
    """Whether a version of a model can be asked."""
    return isinstance(versions, list) and any(" AVAILABLE" in version for version in versions)


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The log up to now."""
    logged: list[str] = []
    monkeypatch.setattr(log, "plain", logged.append)
    return lambda: "\n".join(list(logged)).splitlines()


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often the config file was read."""
    reads: list[str] = []
    read = config.read

    def counted(path: str) -> Any:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(config, "read", counted)
    return lambda: len(reads)


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> threading.Lock:
    """Whoever holds it keeps the server from looking at the models' files."""
    lock, poll = threading.Lock(), source.Source.poll

    def poll_if_allowed(watched: source.Source) -> None:
        with lock:
            poll(watched)

    monkeypatch.setattr(source.Source, "poll", poll_if_allowed)
    return lock


@pytest.fixture
def replay(
    tmp_path: Path, log_lines: Callable[[], list[str]], polls: Callable[[], int]
) -> Iterator[Callable[[Mapping[str, Any]], Replay]]:
    """Starts the server of a case."""
    with contextlib.ExitStack() as stack:

        def start(case: Mapping[str, Any]) -> Replay:
            base = tmp_path / "base"
            base.mkdir()
            replayed = Replay(case, base, log_lines, polls)
            stack.callback(replayed.close)
            return replayed

        yield start


def replayed_here() -> list[Any]:
    """The cases that run in this process."""
    left_out = (*OTHERS, *IN_A_PROCESS, *OF_HTTP)
    return [case for name, case in CASES.items() if not name.startswith(left_out)]


@pytest.mark.parametrize("case", replayed_here(), ids=lambda case: case["case"])
def test_serves_as_tensorflow_serving(
    case: dict[str, Any], replay: Callable[[Mapping[str, Any]], Replay], look: threading.Lock
) -> None:
    """States, answers and log lines are those recorded, step by step."""
    case = json.loads(json.dumps(case).replace(*OTHER_LABEL.get(case["case"], ("", ""))))
    no_look = NO_LOOK.get(case["case"], range(0))
    server = replay(case)
    with contextlib.ExitStack() as held:
        for number, step in enumerate(case["steps"]):
            if number == no_look.start and no_look:
                held.enter_context(look)
            elif number == no_look.stop:
                held.close()
            match step["do"]:
                case "start" | "wait":
                    server.wait(step)
                case "rpc":
                    server.rpc_in_time(step)
                case "http" if step["path"].startswith("/monitoring"):
                    continue  # of the cases with batching
                case "http":
                    server.http(step)
                case "signal":
                    pass
                case _:
                    server.change(step)
            if step["do"] == "start" and "log" not in step:
                server.forget_lines()
            server.wait_for_lines(step)
    extra = server.lines() - server.golden_lines
    assert {line for line in extra if not line.startswith(NOT_RECORDED)} == set()


@pytest.mark.parametrize(
    "case", [CASES[name] for name in CASES if name.startswith(IN_A_PROCESS)], ids=lambda case: case["case"]
)
def test_ends_as_tensorflow_serving(case: dict[str, Any], start: Any, tmp_path: Path) -> None:
    """The exit code is that recorded, but 0 for SIGTERM and SIGINT, as infraval's server says of itself."""
    write_files(case, tmp_path)
    server = start(*(flag.replace("<base>", str(tmp_path)) for flag in case["flags"]), versions={})
    first, *others = case["steps"]
    if "exit_code" in first:
        assert server.wait_until_ended() == first["exit_code"]
        assert others == []
        assert any(
            line.startswith("F ModelServer does not yet") for line in comparable(server.log().splitlines(), tmp_path)
        )
        return
    if "seen" in first:
        server.wait_until_serving()
    else:
        server.wait_until_logged("No versions of servable")
    (last,) = others
    expected = 0 if last["signal"] in ("SIGTERM", "SIGINT") else last["exit_code"]
    assert server.end(signal.Signals[last["signal"]]) == expected


def test_serves_versions_in_a_process(start: Any, tmp_path: Path) -> None:
    """The whole way from the command line: a config file, answers by version and label over HTTP, a reload by gRPC."""
    case = CASES["rest_versions"]
    write_files(case, tmp_path)
    server = start(*(flag.replace("<base>", str(tmp_path)) for flag in case["flags"]), versions={}, rest=True)
    server.wait_until_serving()
    for path, answer in (("versions/1", 1.0), ("labels/stable", 1.0), ("versions/3", 3.0)):
        response = server.http("POST", f"/v1/models/a/{path}:predict", '{"instances": [1.0]}')
        assert json.loads(response.text) == {"predictions": [answer]}
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="b", base_path=str(tmp_path / "a"), model_platform="tensorflow")
    server.call("HandleReloadConfigRequest", request, model_management_pb2.ReloadConfigResponse, "ModelService")
    response = server.http("POST", "/v1/models/b:predict", '{"instances": [1.0]}')
    assert json.loads(response.text) == {"predictions": [3.0]}
    assert server.end() == 0


@pytest.mark.parametrize("case", [CASES[name] for name in OF_HTTP], ids=lambda case: case["case"])
def test_has_the_headers_of_tensorflow_serving(case: dict[str, Any], start: Any, tmp_path: Path) -> None:
    """All that was recorded but for the date, from a process; the page for Prometheus has none of them."""
    write_files(case, tmp_path)
    monitoring = tmp_path / "monitoring"
    monitoring.write_text("prometheus_config { enable: true }", encoding="utf-8")
    more = (flag.replace("<base>", str(tmp_path)) for flag in case["flags"])
    server = start(*more, f"--monitoring_config_file={monitoring}", versions={}, rest=True)
    server.wait_until_serving()
    asked = [step for step in case["steps"] if step["do"] == "http"]
    for step in asked:
        response = server.http(step["method"], step["path"], step.get("body"))
        golden = {name: value for name, value in step["headers"] if name != "Date"}
        assert (response.status, response.text, dict(response.headers)) == (step["status"], step["response"], golden)
    assert len(asked) == 4
    page = server.http("GET", "/monitoring/prometheus/metrics")
    assert (page.status, dict(page.headers).keys()) == (200, {"Content-Type", "Content-Length"})
    assert server.end() == 0


def test_every_case_is_replayed() -> None:
    """Each of the recording is in one of the tests here, or in that of the monitoring."""
    assert {*OTHER_LABEL, *NO_LOOK, *OF_HTTP} <= CASES.keys()
    others = [name for name in CASES if name.startswith((*OTHERS, *IN_A_PROCESS, *OF_HTTP))]
    assert len(replayed_here()) + len(others) == len(CASES)
    assert len(replayed_here()) >= 100

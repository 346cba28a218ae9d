"""Servers to test: started by argv, each on a UNIX socket in a private directory of its own."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gc
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
SINK = GOLDEN / "models" / "sink" / "1"

PREFORKED = ["infraval_server", *(f"infraval_server.{name}" for name in ("endpoints", "loading", "service", "xla"))]
"""The server, and what it imports late."""

POLL_INTERVAL_S = 0.02
START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 60.0


@dataclasses.dataclass(frozen=True)
class HttpResponse:
    """What a server answered over HTTP.

    Attributes:
      status: the code.
      headers: by name, in any case.
      text: the body.
    """

    status: int
    headers: Mapping[str, str]
    text: str


@dataclasses.dataclass
class Server:
    """A server process under test.

    Attributes:
      base_path: its `--model_base_path`.
      socket_path: its `--grpc_socket_path`.
      rest_port: its `--rest_api_port`, 0 for none.
      log_path: file with its standard output and error.
      pid: its process id.
      poll: its exit code, negative for a signal, None while it runs.
    """

    base_path: Path
    socket_path: Path
    rest_port: int
    log_path: Path
    pid: int
    poll: Callable[[], int | None]

    def log(self) -> str:
        """What it wrote so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def call(
        self, method: str, request: Any, response_class: Any, service: str = "PredictionService", target: str = ""
    ) -> Any:
        """Sends one request, a proto or its bytes, and returns the response."""
        with grpc.insecure_channel(target or f"unix:{self.socket_path}") as channel:
            rpc = channel.unary_unary(
                f"/tensorflow.serving.{service}/{method}",
                request_serializer=lambda sent: sent if isinstance(sent, bytes) else sent.SerializeToString(),
                response_deserializer=response_class.FromString,
            )
            return rpc(request, timeout=START_TIMEOUT_S)

    def http(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """Sends one request to the REST API and returns the response."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.rest_port, START_TIMEOUT_S)) as connection:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return HttpResponse(response.status, response.headers, response.read().decode(errors="surrogateescape"))

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Waits until a condition holds; fails if the server ends first."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not condition():
            assert self.poll() is None, f"the server ended: {self.log()}"
            assert time.monotonic() < deadline_s, f"timed out: {self.log()}"
            time.sleep(POLL_INTERVAL_S)

    def wait_until_logged(self, text: str) -> None:
        """Waits until a text is in the log."""
        self.wait_for(lambda: text in self.log())

    def wait_until_serving(self) -> None:
        """Waits until gRPC is up, and then REST if it was asked for."""
        backoff = [(f"grpc.{which}_reconnect_backoff_ms", 50) for which in ("initial", "min", "max")]
        with grpc.insecure_channel(f"unix:{self.socket_path}", options=backoff) as channel:
            ready = grpc.channel_ready_future(channel)
            self.wait_for(ready.done)
        if self.rest_port:
            self.wait_until_logged("Exporting HTTP/REST API")

    def wait_until_ended(self, timeout_s: float = START_TIMEOUT_S) -> int:
        """Waits for its end.

        Returns:
          The exit code.
        """
        deadline_s = time.monotonic() + timeout_s
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline_s, f"still running: {self.log()}"
            time.sleep(POLL_INTERVAL_S)
        return code

    def end(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and waits.

        Returns:
          The exit code.
        """
        os.kill(self.pid, with_signal)
        return self.wait_until_ended(END_TIMEOUT_S)


class Start(Protocol):
    """Starts a server for the time of a test."""

    def __call__(
        self,
        *flags: str,
        versions: Mapping[str, Path] = ...,
        warmup: bytes | None = ...,
        batching: str | None = ...,
        socket_path: Path | None = ...,
        rest: bool = ...,
    ) -> Server:
        """Starts it.

        Args:
          *flags: more flags; `<base>` stands for the model base path.
          versions: SavedModels by the name of their version directory; the sink as version 1 if left out.
          warmup: content of version 1's warmup file.
          batching: content of `<base>/batching.txt`.
          socket_path: another `--grpc_socket_path`.
          rest: with the REST API, on a port of its own.
        """


Launch = Callable[[Sequence[str], Path], tuple[int, Callable[[], int | None]]]
"""Starts a process with the arguments that writes to the file; returns its id and what polls its exit code."""


def _start(
    launch: Launch,
    reserve_port: Callable[[], int],
    directory: Path,
    *flags: str,
    versions: Mapping[str, Path] | None = None,
    warmup: bytes | None = None,
    batching: str | None = None,
    socket_path: Path | None = None,
    rest: bool = False,
) -> Server:
    base_path = directory / "base"
    base_path.mkdir()
    for name, model in ({"1": SINK} if versions is None else versions).items():
        shutil.copytree(model, base_path / name)
    if warmup is not None:
        extra = base_path / "1" / "assets.extra"
        extra.mkdir()
        (extra / "tf_serving_warmup_requests").write_bytes(warmup)
    if batching is not None:
        (base_path / "batching.txt").write_text(batching, encoding="utf-8")
    socket_path = socket_path or directory / "grpc.sock"
    rest_port = reserve_port() if rest else 0
    argv = [
        "--port=0",
        f"--grpc_socket_path={socket_path}",
        "--model_name=sink",
        f"--model_base_path={base_path}",
        "--max_num_load_retries=0",
        *([f"--rest_api_port={rest_port}"] if rest else []),
        *(flag.replace("<base>", str(base_path)) for flag in flags),
    ]
    log_path = directory / "log"
    pid, poll = launch(argv, log_path)
    return Server(base_path, socket_path, rest_port, log_path, pid, poll)


@contextlib.contextmanager
def _starter(launch: Launch, reserve_port: Callable[[], int]) -> Iterator[Start]:
    """Yields what starts servers; ends them all and removes their directories when left."""
    with contextlib.ExitStack() as stack:

        def start(*flags: str, **arguments: Any) -> Server:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="infraval-"))
            server = _start(launch, reserve_port, Path(directory), *flags, **arguments)
            stack.callback(_kill, server)
            return server

        yield start


def _kill(server: Server) -> None:
    if server.poll() is None:
        os.kill(server.pid, signal.SIGKILL)
        server.wait_until_ended()


def _launch_interpreter(argv: Sequence[str], log_path: Path) -> tuple[int, Callable[[], int | None]]:
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "infraval_server", *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return process.pid, process.poll


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """As in the server's own process: what was there before is not searched for garbage when a version is unloaded."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def free_port(reserve_port: Callable[[], int]) -> int:
    """A TCP port that stays free until the test's server takes it."""
    return reserve_port()


@pytest.fixture
def start_interpreter(reserve_port: Callable[[], int]) -> Iterator[Start]:
    """Starts `python -m infraval_server` as a user does; takes the seconds of TensorFlow's import."""
    with _starter(_launch_interpreter, reserve_port) as start:
        yield start


@pytest.fixture(scope="session")
def launch_fork() -> Iterator[Launch]:
    """Launches servers as forks of one process that has TensorFlow imported."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(HERE.parent / "prefork.py"), *PREFORKED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # TensorFlow uses oneDNN only on some processors; it did where the golden cases were recorded.
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"},
    ) as prefork:

        def ask(request: dict[str, Any]) -> dict[str, Any]:
            assert prefork.stdin is not None
            assert prefork.stdout is not None
            prefork.stdin.write(json.dumps(request).encode() + b"\n")
            prefork.stdin.flush()
            answer: dict[str, Any] = json.loads(prefork.stdout.readline())
            return answer

        def launch(argv: Sequence[str], log_path: Path) -> tuple[int, Callable[[], int | None]]:
            pid: int = ask({"argv": list(argv), "log": str(log_path)})["pid"]
            ended: list[int] = []

            def poll() -> int | None:
                if not ended:
                    code = ask({"poll": pid})["code"]
                    ended.extend([] if code is None else [code])
                return ended[0] if ended else None

            return pid, poll

        yield launch


@pytest.fixture
def start(launch_fork: Launch, reserve_port: Callable[[], int]) -> Iterator[Start]:
    """Starts a server with the real `main` and exit code, without the seconds of TensorFlow's import."""
    with _starter(launch_fork, reserve_port) as start_forked:
        yield start_forked


@pytest.fixture(scope="session")
def start_for_session(launch_fork: Launch, reserve_port: Callable[[], int]) -> Iterator[Start]:
    """As `start`, for servers that many tests share."""
    with _starter(launch_fork, reserve_port) as start_forked:
        yield start_forked


@pytest.fixture(scope="session")
def one_record() -> bytes:
    """A warmup file with one Predict record for the sink."""
    cases = json.loads((GOLDEN / "warmup.json").read_text(encoding="utf-8"))["cases"]
    return base64.b64decode(next(case["file"] for case in cases if case["case"] == "thousand"))


@pytest.fixture(scope="session")
def sink_server(start_for_session: Start) -> Server:
    """Serves the golden cases' own model as `sink`."""
    server = start_for_session()
    server.wait_until_serving()
    return server


@pytest.fixture(scope="session")
def rest_server(start_for_session: Start) -> Server:
    """Serves the golden cases' own model as `sink`, over REST too."""
    server = start_for_session(rest=True)
    server.wait_until_serving()
    return server

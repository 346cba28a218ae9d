"""What the tests of the sandbox share: a stand-in server on PATH, eyes on real processes, and an engine that breaks."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infraval import options, workspace
from infraval.sandbox import base, model_server
from infraval.sandbox.process import memory_limit
from infraval.sandbox.process import sandbox as process

HERE = Path(__file__).parent


LISTENING = "0A"
"""TCP_LISTEN in the `st` column of /proc/net/tcp (include/net/tcp_states.h)."""


@pytest.fixture
def private_directory() -> Iterator[Path]:
    """A directory with a path short enough for a socket, unlike `tmp_path`."""
    with workspace.workspace() as directory:
        yield directory


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in server, first on PATH as `tensorflow_model_server`."""
    binary = tmp_path / "bin" / model_server.TF_SERVING
    binary.parent.mkdir()
    binary.write_text(f"#!{sys.executable} -IS\n{(HERE / 'model_server_stand_in.py').read_text()}")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(binary.parent), prepend=":")
    return binary


@pytest.fixture
def no_tf_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    """No `tensorflow_model_server` on PATH."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert shutil.which(model_server.TF_SERVING) is None


@pytest.fixture
def make_sandbox(
    private_directory: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., process.ProcessSandbox]:
    """Makes a sandbox whose stand-in server behaves as the name says, in the named run directory."""
    monkeypatch.setattr(memory_limit, "memory_limit", lambda: None)  # some machines that test this have one

    def make(behaviour: str, server: str = str(stand_in), name: str = "r") -> process.ProcessSandbox:
        launch = base.Launch(model_name=behaviour, model_base_path=private_directory)
        return process.ProcessSandbox(launch, options.ProcessServer(server=server), private_directory / name)

    return make


@pytest.fixture
def listening_tcp_sockets() -> Callable[[Collection[int]], list[str]]:
    """Local addresses, as in /proc/net/tcp, of the TCP sockets that processes listen on."""

    def find(pids: Collection[int]) -> list[str]:
        found = []
        for folder in (Path("/proc", str(pid)) for pid in pids):
            descriptors = {str(link.readlink()) for link in (folder / "fd").iterdir()}
            for table in ("tcp", "tcp6"):
                for line in (folder / "net" / table).read_text().splitlines()[1:]:
                    columns = line.split()
                    if columns[3] == LISTENING and f"socket:[{columns[9]}]" in descriptors:
                        found.append(columns[1])
        return found

    return find


@pytest.fixture
def answers() -> Callable[[str], bool]:
    """Whether the stand-in server answers on its unix socket."""

    def ask(target: str) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(target.removeprefix("unix:"))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return client.recv(16) == b"serving"

    return ask


class BreakingEngine(ThreadingHTTPServer):
    """A Docker engine that resets the connection at whatever it has no answer for, which no real one does on demand.

    Attributes:
      answers: what it says, by path without the version of the API.
      broken: method and path of the requests that it did not answer.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _EngineHandler)
        self.answers: dict[str, Any] = {"/info": {"OSType": "linux"}}
        self.broken: list[str] = []

    @property
    def url(self) -> str:
        """Its address, as DOCKER_HOST has it."""
        return f"tcp://127.0.0.1:{self.server_port}"


class _EngineHandler(BaseHTTPRequestHandler):
    server: BreakingEngine

    def do_GET(self) -> None:
        """Whatever the method is, the path decides."""
        path = "/" + urlsplit(self.path).path.split("/", 2)[2]
        if path in self.server.answers:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content = json.dumps(self.server.answers[path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        self.server.broken.append(f"{self.command} {path}")
        if path.endswith("/start"):
            # What a command in a container writes; more than fits between, so that the client is reading it by then.
            self.wfile.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            self.wfile.write(struct.pack(">BxxxL", 1, 2**31) + bytes(16_000_000))
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """A test that fails says so itself."""


@pytest.fixture
def breaking_engine() -> Iterator[BreakingEngine]:
    """It answers what it is asked for when a client connects."""
    with BreakingEngine() as engine:
        thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield engine
        engine.shutdown()
        thread.join()

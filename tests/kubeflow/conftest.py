"""The pipeline as `run_kubeflow.py` compiles it, and a stand-in for KFP's API server."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

PIPELINE = Path(__file__).parents[2] / "pipeline"

RunKubeflow = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run_kubeflow(tmp_path_factory: pytest.TempPathFactory) -> RunKubeflow:
    """Runs `run_kubeflow.py` as a reader does, in a home of its own: kfp reads a context file there."""
    home = tmp_path_factory.mktemp("home")

    def run(output: Path, *flags: str) -> subprocess.CompletedProcess[str]:
        fixed = ["--pipeline-root", "gs://bucket/root/", "--image", "registry.example/infraval:1"]
        return subprocess.run(
            [sys.executable, PIPELINE / "run_kubeflow.py", *fixed, "--output", output, *flags],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"HOME": str(home)},
        )

    return run


@pytest.fixture(scope="session")
def compiled(run_kubeflow: RunKubeflow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline with nothing but the options that it has to be given."""
    return _compile(run_kubeflow, tmp_path_factory)


@pytest.fixture(scope="session")
def compiled_for_vertex(run_kubeflow: RunKubeflow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline with a Resolver and with Conds."""
    return _compile(run_kubeflow, tmp_path_factory, "--baseline", "--conditional-push", "--cache")


def _compile(run_kubeflow: RunKubeflow, tmp_path_factory: pytest.TempPathFactory, *flags: str) -> Path:
    output = tmp_path_factory.mktemp("compiled") / "folder" / "digits.yaml"
    finished = run_kubeflow(output, *flags)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return output


class KfpApi(ThreadingHTTPServer):
    """KFP's HTTP API v2beta1, as far as a client needs it to submit a run and to look at it.

    Attributes:
      looks: what GET of the run answers, one look after the other; the last one stays.
      refusal: status and message of the answer to POST of a run; None to accept it.
      runs: bodies of the runs that were created.
      experiments: names by id.
      vanishes: whether every connection is cut from the run's creation on.
      page: status of a page for a browser, which then is the answer to everything.
      on_look: called before a look is answered.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.looks: list[dict[str, Any]] = [{"state": "SUCCEEDED"}]
        self.refusal: tuple[int, str] | None = None
        self.runs: list[dict[str, Any]] = []
        self.experiments: dict[str, str] = {}
        self.vanishes = False
        self.page: int | None = None
        self.on_look: Callable[[], object] = lambda: None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: KfpApi

    def do_GET(self) -> None:
        """healthz, experiments by name, and the run."""
        url = urlsplit(self.path)
        if self.server.vanishes and self.server.runs:
            self.close_connection = True
        elif self.server.page is not None:
            self.send_error(self.server.page)
        elif url.path == "/apis/v2beta1/healthz":
            self._answer(200, {"multi_user": False})
        elif url.path == "/apis/v2beta1/experiments":
            (predicate,) = json.loads(parse_qs(url.query)["filter"][0])["predicates"]
            assert predicate["key"] == "display_name"
            found = [id_ for id_, name in self.server.experiments.items() if name == predicate["stringValue"]]
            self._answer(200, {"experiments": [self._experiment(id_) for id_ in found], "total_size": len(found)})
        elif url.path == "/apis/v2beta1/runs/run-1" and self.server.runs:
            self.server.on_look()
            looks = self.server.looks
            self._answer(200, {"run_id": "run-1"} | (looks.pop(0) if len(looks) > 1 else looks[0]))
        else:
            self._answer(404, {"code": 5, "message": f"no {url.path}"})

    def do_POST(self) -> None:
        """A new experiment or run."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/apis/v2beta1/experiments":
            id_ = f"experiment-{len(self.server.experiments) + 1}"
            self.server.experiments[id_] = body["display_name"]
            self._answer(200, self._experiment(id_))
        elif self.path == "/apis/v2beta1/runs" and self.server.refusal:
            code, message = self.server.refusal
            self._answer(code, {"code": 3, "message": message})
        elif self.path == "/apis/v2beta1/runs":
            self.server.runs.append(body)
            self._answer(200, body | {"run_id": "run-1", "state": "PENDING"})
        else:
            self._answer(404, {"code": 5, "message": f"no {self.path}"})

    def _experiment(self, id_: str) -> dict[str, str]:
        return {"experiment_id": id_, "display_name": self.server.experiments[id_]}

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client that has gone
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """A test that fails says so itself."""


@pytest.fixture
def kfp_api() -> Iterator[KfpApi]:
    """A server that accepts runs."""
    with KfpApi() as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield api
        api.shutdown()
        thread.join()

"""A kit on an engine: what its README says works, and a label moves without a failed request.

Prometheus and Grafana are left out, as their images cannot be pulled everywhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest

from infraval import cli

pytestmark = pytest.mark.docker

Eventually = Callable[..., None]
Get = Callable[..., Any]


@pytest.fixture
def base_path(sink_model: Path, tmp_path: Path) -> Path:
    """Versions 1 and 2 of the sink."""
    for version in (1, 2):
        shutil.copytree(sink_model, tmp_path / "sink" / str(version))
    return tmp_path / "sink"


@pytest.fixture
def ports(reserve_port: Callable[[], int]) -> dict[str, str]:
    """Free ports for the compose file."""
    return {name: str(reserve_port()) for name in ("GRPC_PORT", "REST_PORT")}


@pytest.fixture
def get(ports: dict[str, str]) -> Get:
    """The answer of REST at a path, to a body if there is one."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str, body: bytes | None = None) -> Any:
        url = f"http://127.0.0.1:{ports['REST_PORT']}/v1/models/sink{path}"
        with opener.open(url, body, timeout=30) as response:
            return json.load(response)

    return ask


@pytest.fixture
def kit(
    base_path: Path,
    tmp_path: Path,
    ports: dict[str, str],
    base_url: str,
    image: str,
    get: Get,
    eventually: Eventually,
    nothing_left: None,  # noqa: ARG001 - it looks before and after
) -> Iterator[Path]:
    """A kit that is up, with version 1 as stable."""
    directory = tmp_path / "kit"
    options = ["--output", str(directory), "--image", image, "--label", "stable=1"]
    made = click.testing.CliRunner().invoke(cli.commands, ["kit", str(base_path), *options])
    assert made.exit_code == 0, made.output

    def compose(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["/usr/bin/docker-compose", "--project-name", "infraval-kit", *arguments]
        environment = os.environ | ports | {"DOCKER_HOST": base_url}
        return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)

    def answers() -> bool:
        try:
            return bool(get("/labels/stable/metadata"))
        except OSError:
            return False

    try:
        up = compose("up", "-d", "serving")
        assert up.returncode == 0, up.stderr
        eventually(answers, lambda: compose("logs").stdout)
        yield directory
    finally:
        down = compose("down", "--volumes")
    assert down.returncode == 0, down.stderr


def test_a_kit_serves_and_a_label_moves_without_a_failed_request(
    kit: Path, base_path: Path, ports: dict[str, str], get: Get
) -> None:
    """Each curl of the README answers, gRPC by label too, and while the label moves every request is answered."""
    readme = (kit / "README.md").read_text()
    curls = [line for line in readme.splitlines() if line.startswith("curl ")]
    for line in curls:
        command = line.replace("curl ", "curl --silent --show-error --fail --noproxy '*' ", 1)
        command = command.replace(":8501/", f":{ports['REST_PORT']}/")
        subprocess.run(["/bin/sh", "-c", command], cwd=kit, check=True, capture_output=True)
    assert len(curls) == 5

    def over_grpc() -> str:
        command = [sys.executable, "predict.py", "stable"]
        return subprocess.run(
            command, cwd=kit, env=os.environ | ports, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.splitlines()[0]

    assert over_grpc() == "version 1"

    answered: list[Any] = []
    failed: list[Exception] = []
    moved = threading.Event()

    def ask() -> None:
        body = (kit / "request.json").read_bytes()
        while not moved.is_set():
            try:
                answered.append(get("/labels/stable:predict", body))
            except Exception as error:  # noqa: BLE001 - whatever it is, there must be none
                failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        server = ["--server", f"127.0.0.1:{ports['GRPC_PORT']}", "--timeout", "120"]
        move = [str(kit / "config" / "models.config"), "sink", "stable=2", "--base-path", str(base_path)]
        finished = click.testing.CliRunner().invoke(cli.commands, ["label", *move, *server])
    finally:
        moved.set()
        asking.join()

    assert finished.exit_code == 0, finished.output
    assert failed == []
    assert answered
    assert get("/labels/stable/metadata")["model_spec"]["version"] == "2"
    assert over_grpc() == "version 2"

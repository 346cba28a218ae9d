"""A kit of the two versions that the digits pipeline has pushed, on an engine: what its README says works.

Debian's Prometheus stands for the official image, which cannot be pulled everywhere, and a web server for Grafana.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import docker
import pytest

from infraval import cli

pytestmark = pytest.mark.docker

PROJECT = "infraval-kit"
PAGE = "/monitoring/prometheus/metrics"

Eventually = Callable[..., None]
Get = Callable[..., Any]
Query = Callable[[str], dict[str, float]]
Run = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def base_path(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Pusher has pushed, where a test may add a version."""
    return shutil.copytree(demo / "serving_model" / "digits", tmp_path_factory.mktemp("base") / "digits")


@pytest.fixture(scope="module")
def versions(base_path: Path) -> list[int]:
    """Those that were pushed, the older one first."""
    found = sorted(int(path.name) for path in base_path.iterdir())
    assert len(found) == 2
    return found


@pytest.fixture(scope="module")
def environment(reserve_port: Callable[[], int], base_url: str) -> dict[str, str]:
    """What the compose file reads: free ports, and images that are there."""
    subprocess.run([Path(__file__).with_name("kit_images.sh")], check=True, env=os.environ | {"DOCKER_HOST": base_url})
    ports = ("GRPC_PORT", "REST_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
    return {name: str(reserve_port()) for name in ports} | {
        "PROMETHEUS_IMAGE": "infraval/prometheus",
        "GRAFANA_IMAGE": "infraval/grafana-stand-in",
    }


@pytest.fixture(scope="module")
def fetch(environment: dict[str, str]) -> Callable[..., str]:
    """What a service of the kit answers at a path, to a body if there is one."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(service: str, path: str, body: bytes | None = None) -> str:
        with opener.open(f"http://127.0.0.1:{environment[f'{service}_PORT']}{path}", body, timeout=30) as response:
            return str(response.read().decode())

    return ask


@pytest.fixture(scope="module")
def get(fetch: Callable[..., str]) -> Get:
    """The answer of REST at a path of the model, to a body if there is one."""
    return lambda path, body=None: json.loads(fetch("REST", f"/v1/models/digits{path}", body))


@pytest.fixture(scope="module")
def query(fetch: Callable[..., str]) -> Query:
    """What Prometheus knows: a value for each set of labels, written as in JSON."""

    def ask(expression: str) -> dict[str, float]:
        answer = json.loads(fetch("PROMETHEUS", f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
        return {json.dumps(each["metric"]): float(each["value"][1]) for each in answer["data"]["result"]}

    return ask


@pytest.fixture(scope="module")
def kit(
    base_path: Path,
    versions: list[int],
    tmp_path_factory: pytest.TempPathFactory,
    image: str,
    engine: docker.DockerClient,
) -> Iterator[Path]:
    """The kit's directory; in the end nothing of it is left on the engine."""
    directory = tmp_path_factory.mktemp("kit") / "kit"
    labels = zip(("stable", "canary"), versions, strict=True)
    options = [*(f"--label={label}={version}" for label, version in labels), "--image", image]
    made = click.testing.CliRunner().invoke(cli.commands, ["kit", str(base_path), "--output", str(directory), *options])
    assert made.exit_code == 0, made.output
    yield directory
    named = {"label": f"com.docker.compose.project={PROJECT}"}
    assert engine.containers.list(all=True, filters=named) == []
    assert engine.volumes.list(filters=named) == []
    assert engine.networks.list(filters=named) == []


@pytest.fixture(scope="module")
def run(kit: Path, environment: dict[str, str], base_url: str) -> Run:
    """Runs a command of the README as it is there, but for the ports."""
    # docker-compose is Debian's, curl is not to ask a proxy, and `python` is this one.
    path = f"/usr/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = {"DOCKER_HOST": base_url, "COMPOSE_PROJECT_NAME": PROJECT, "NO_PROXY": "*", "no_proxy": "*", "PATH": path}

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", command.replace(":8501/", f":{environment['REST_PORT']}/")],
            cwd=kit,
            env=os.environ | environment | given,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="module", autouse=True)
def up(kit: Path, run: Run, get: Get, eventually: Eventually) -> Iterator[None]:
    """The seed's `docker-compose up -d`, with which all of the kit runs and every version is served."""

    def answers() -> bool:
        try:
            return bool(get("/labels/stable/metadata"))
        except OSError:
            return False

    try:
        (command,) = re.findall(r"^docker-compose up -d\b.*", (kit / "README.md").read_text(), re.MULTILINE)
        started = run(command)
        assert started.returncode == 0, started.stderr
        eventually(answers, lambda: run("docker-compose logs").stdout)
        yield
    finally:
        down = run("docker-compose down --volumes")
    assert down.returncode == 0, down.stderr


def test_the_commands_of_the_readme_answer(kit: Path, run: Run, get: Get, versions: list[int]) -> None:
    """By curl the newest version, each version, each label, status and metadata; gRPC by label."""
    old, new = versions
    commands = re.findall(r"^curl .*", (kit / "README.md").read_text(), re.MULTILINE)
    answers = {command.rpartition("/")[2]: json.loads(run(command).stdout) for command in commands}

    called = ["digits:predict", f"{old}:predict", f"{new}:predict", "stable:predict", "canary:predict"]
    assert list(answers) == [*called, "digits", "metadata"]
    newest, of_old, of_new, stable, canary = (answers[each]["predictions"] for each in called)
    assert [len(row) for row in newest] == [10]
    assert stable == of_old != of_new == canary == newest
    states = {each["version"]: each["state"] for each in answers["digits"]["model_version_status"]}
    assert states == {str(old): "AVAILABLE", str(new): "AVAILABLE"}
    assert answers["metadata"] == get(f"/versions/{new}/metadata")
    assert run("python predict.py stable").stdout.splitlines()[0] == f"version {old}"
    assert run(f"python predict.py {new}").stdout.splitlines()[0] == f"version {new}"


def test_prometheus_has_what_the_server_counts(
    kit: Path, run: Run, get: Get, fetch: Callable[..., str], query: Query, eventually: Eventually, versions: list[int]
) -> None:
    """Requests by REST and gRPC, which TF Serving does not tell apart by version; loads and warmups by version."""
    request = (kit / "request.json").read_bytes()
    for label in ("stable", "canary"):
        get(f"/labels/{label}:predict", request)
    assert run("python predict.py canary").returncode == 0

    (number,) = re.findall(
        r'^:tensorflow:serving:request_count\{model_name="digits",status="OK"\} (\d+)$',
        fetch("REST", PAGE),
        re.MULTILINE,
    )
    assert int(number) >= 3
    count = 'sum(:tensorflow:serving:request_count{model_name="digits",status="OK"})'
    eventually(lambda: [*query(count).values()] == [int(number)], lambda: query(count))
    by_way = query('sum by (API, entrypoint) (:tensorflow:serving:request_latency_count{model_name="digits",API!=""})')
    ways = ({"API": "predict", "entrypoint": "REST"}, {"API": "Predict", "entrypoint": "GRPC"})
    assert by_way.keys() == {json.dumps(way) for way in ways}
    for counted in (
        ':tensorflow:cc:saved_model:load_attempt_count{status="success"}',
        ':tensorflow:serving:model_warmup_latency_count{status="OK"}',
    ):
        by_path = query(f"sum by (model_path) ({counted})")
        assert by_path == {json.dumps({"model_path": f"/models/digits/{version}"}): 1 for version in versions}


def test_every_panel_of_the_dashboard_has_figures(
    kit: Path, get: Get, fetch: Callable[..., str], query: Query, eventually: Eventually, versions: list[int]
) -> None:
    """Prometheus takes each query; those by version know both. Grafana is given the file."""
    dashboard = fetch("GRAFANA", "/model.json")
    assert dashboard == (kit / "grafana" / "dashboards" / "model.json").read_text()
    request = (kit / "request.json").read_bytes()
    panels = json.loads(dashboard)["panels"]
    expressions = {
        target["expr"].replace("$__rate_interval", "1m"): "by version" in panel["title"]
        for panel in panels
        for target in panel["targets"]
    }
    missing = dict(expressions)

    def all_known() -> bool:
        get(":predict", request)  # a rate needs requests between two looks
        for expression, by_version in list(missing.items()):
            found = query(expression)
            known = {json.loads(labels).get("version") for labels in found} >= {str(version) for version in versions}
            if any(math.isfinite(value) for value in found.values()) and (known or not by_version):
                del missing[expression]
        return not missing

    eventually(all_known, lambda: missing)
    assert sum(expressions.values()) == 3


def test_labels_move_without_a_failed_request(
    kit: Path, base_path: Path, get: Get, environment: dict[str, str], versions: list[int]
) -> None:
    """To a version that is served already, and to one that was pushed since and has to load; both under load."""
    old, new = versions
    shutil.copytree(base_path / str(old), base_path / f"{new + 1}")
    answered = {"stable": 0, "canary": 0}
    failed: list[Exception] = []
    moved = threading.Event()

    def ask() -> None:
        body = (kit / "request.json").read_bytes()
        while not moved.is_set():
            for label in answered:
                try:
                    answered[label] += len(get(f"/labels/{label}:predict", body)["predictions"])
                except Exception as error:  # noqa: BLE001 - whatever it is, there must be none
                    failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        server = ["--server", f"127.0.0.1:{environment['GRPC_PORT']}", "--timeout", "120"]
        for label in (f"stable={new}", f"canary={new + 1}"):
            move = [str(kit / "config" / "models.config"), "digits", label, "--base-path", str(base_path)]
            finished = click.testing.CliRunner().invoke(cli.commands, ["label", *move, *server])
            assert finished.exit_code == 0, finished.output
    finally:
        moved.set()
        asking.join()

    assert failed == []
    assert min(answered.values()) >= 1
    served = {label: get(f"/labels/{label}/metadata")["model_spec"]["version"] for label in answered}
    assert served == {"stable": str(new), "canary": str(new + 1)}

"""A Docker engine, the image of the embedded server in it, and containers that do not outlive their test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from infraval import options

HERE = Path(__file__).parent

StartContainer = Callable[..., Container]
Eventually = Callable[..., None]


@pytest.fixture(scope="session")
def base_url() -> str:
    """The address of the engine that `make test-docker` has started for these tests."""
    address = os.environ.get("INFRAVAL_TEST_ENGINE", "")
    if not address:
        pytest.fail("These tests need an engine of their own: run them with `make test-docker`.", pytrace=False)
    return address


@pytest.fixture(scope="session")
def engine(base_url: str) -> Iterator[docker.DockerClient]:
    """A client of the engine."""
    client = docker.DockerClient(base_url=base_url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> str:
    """The image of the embedded server, with a tag, as built from this checkout."""
    name = "infraval/model-server:latest"
    engine.images.get(name)
    return name


@pytest.fixture(scope="session")
def demo(run_demo: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the digits pipeline, which has pushed two versions: another seed made the second one."""
    results = tmp_path_factory.mktemp("demo") / "results"
    changed = tmp_path_factory.mktemp("changed") / "pipeline"
    shutil.copytree(HERE.parents[1] / "pipeline", changed, ignore=shutil.ignore_patterns("__pycache__"))
    trainer = changed / "modules" / "digits_trainer.py"
    trainer.write_text(trainer.read_text().replace("set_random_seed(0)", "set_random_seed(1)"))
    for finished in (run_demo(results), run_demo(results, pipeline=changed)):
        assert finished.returncode == 0, finished.stdout + finished.stderr
    return results


@pytest.fixture(scope="session")
def second_engine(engine: docker.DockerClient, image: str) -> Iterator[docker.DockerClient]:
    """A client of an engine that sees another temp folder than its clients, and has the image too."""
    directory = HERE.parents[1] / "build" / "second-engine"
    script = HERE / "engine.sh"
    started = subprocess.run(
        [script, "start", "--hide", tempfile.gettempdir(), directory], check=True, stdout=subprocess.PIPE, text=True
    )
    try:
        client = docker.DockerClient(base_url=started.stdout.strip(), timeout=300)
        wanted = engine.images.get(image)
        if wanted.id not in {present.id for present in client.images.list()}:
            client.images.load(wanted.save(named=image))
        yield client
        client.close()
    finally:
        subprocess.run([script, "stop", directory], check=True)


@pytest.fixture
def start_container(engine: docker.DockerClient, image: str) -> Iterator[StartContainer]:
    """Starts containers, of the image unless another one is named; takes docker-py's arguments for it."""
    started = []

    def start(*arguments: str, image: str = image, **given: Any) -> Container:
        container = engine.containers.run(image, list(arguments), detach=True, **given)
        started.append(container)
        return container

    yield start
    for container in started:
        container.remove(force=True, v=True)


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Polls a condition until it holds; fails with what `explain` says if it does not."""

    def poll(condition: Callable[[], object], explain: Callable[[], object], within_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline_s, explain()
            time.sleep(0.02)

    return poll


@pytest.fixture(scope="session")
def server(base_url: str, image: str) -> options.DockerServer:
    """The image on the tests' engine."""
    return options.DockerServer(images=image, base_url=base_url)


@pytest.fixture
def nothing_left(engine: docker.DockerClient) -> Iterator[None]:
    """The test leaves no container and no volume behind."""

    def found() -> tuple[set[str], set[str]]:
        containers = {container.id for container in engine.containers.list(all=True, ignore_removed=True)}
        return containers, {volume.id for volume in engine.volumes.list()}

    before = found()
    yield
    assert found() == before

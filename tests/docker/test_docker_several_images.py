"""Several images judge one staged model: a verdict each, and all of them have to bless it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

import infraval
from infraval import errors, options

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left")]

REFUSING_SERVER = """#!/bin/sh
case "$*" in *--version*) echo "TensorFlow ModelServer: 1.15.0"; exit 0;; esac
echo "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available:\
 {{{name: m version: 1} due to error: NOT_FOUND: Op type not registered 'NewOp' in binary}, }"
exit 255
"""


@pytest.fixture(scope="session")
def refusing_image(engine: docker.DockerClient, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with a server that lacks an op of every model, as an older TF Serving would."""
    folder = tmp_path_factory.mktemp("refusing")
    (folder / "tensorflow_model_server").write_text(REFUSING_SERVER)
    (folder / "tensorflow_model_server").chmod(0o755)
    (folder / "Dockerfile").write_text(
        f"FROM {image}\n"
        "LABEL org.tfx-infraval.server=\n"
        "COPY tensorflow_model_server /usr/bin/\n"
        'ENTRYPOINT ["tensorflow_model_server"]\n'
    )
    name = "infraval/refusing:1"
    engine.images.build(path=str(folder), tag=name, rm=True, forcerm=True)
    yield name
    engine.images.remove(name)


def test_each_image_has_a_verdict_and_all_must_bless(
    upper_model: Path,
    secret_examples: Path,
    server: options.DockerServer,
    image: str,
    refusing_image: str,
    tmp_path: Path,
) -> None:
    """One image that refuses the model is enough, and the report says which, and that the others bless it."""
    several = options.DockerServer(images=(image, refusing_image), base_url=server.base_url)
    told: list[str] = []
    judged = infraval.validate(
        infraval.Job(model=upper_model, examples=secret_examples, server=several, output=tmp_path / "out"),
        progress=told.append,
    )

    assert not judged.blessed
    assert [(each.evidence.server.image, bool(each.failures)) for each in judged.servers] == [
        (image, False),
        (refusing_image, True),
    ]
    assert judged.failures[0].gate == "load"
    assert judged.failures[0].reasons[0].startswith("The server refused to load the model: NOT_FOUND")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [each["verdict"] for each in report["servers"]] == ["BLESSED", "NOT_BLESSED"]
    assert [each["server"]["image"] for each in report["servers"]] == [image, refusing_image]
    assert not (tmp_path / "out" / "stamped_model").exists()
    assert any(text.startswith(f"{image}: AVAILABLE") for text in told)


def test_two_images_that_bless_it(
    upper_model: Path, secret_examples: Path, server: options.DockerServer, engine: docker.DockerClient, image: str
) -> None:
    """Both judge the same staged model, cold and warm, side by side."""
    engine.images.get(image).tag("infraval/model-server", "second")
    both = options.DockerServer(images=(image, "infraval/model-server:second"), base_url=server.base_url)
    judged = infraval.validate(
        infraval.Job(model=upper_model, examples=secret_examples, warmup={"compare_cold": True}, server=both)
    )

    assert judged.blessed, judged.failures
    assert [each.evidence.server.image for each in judged.servers] == list(both.images)
    assert [each.evidence.boot.records_replayed for each in judged.servers] == [1, 1]
    assert all(each.evidence.cold is not None for each in judged.servers)


def test_an_image_that_cannot_judge_ends_the_others(
    upper_model: Path, secret_examples: Path, server: options.DockerServer, image: str, engine: docker.DockerClient
) -> None:
    """No verdict without all of them; whoever still boots is stopped and removed."""
    engine.images.get(image).tag("infraval/model-server", "first")
    name = "infraval/model-server:first"
    both = options.DockerServer(images=(image, name), base_url=server.base_url)
    removed = threading.Event()

    def remove_one_that_boots(text: str) -> None:
        if text.startswith(f"{name}: Booting"):
            for container in engine.containers.list(filters={"label": "org.tfx-infraval.owner"}):
                if container.attrs["Config"]["Image"] == engine.images.get(name).id and not removed.is_set():
                    removed.set()
                    container.kill()

    limits = options.Limits(num_tries=1)
    with pytest.raises(errors.ServerLostError, match="SIGKILL"):
        infraval.validate(
            infraval.Job(model=upper_model, examples=secret_examples, server=both, limits=limits),
            progress=remove_one_that_boots,
        )
    assert removed.is_set()


def test_a_signal_ends_them_all(
    upper_model: Path, infraval_command: Path, engine: docker.DockerClient, base_url: str, image: str
) -> None:
    """SIGTERM comes to the main thread, and the threads of the images end with their containers."""
    engine.images.get(image).tag("infraval/model-server", "third")
    images = (image, "infraval/model-server:third")
    command = [infraval_command, "validate", "--model", upper_model, "--platform", "docker", "--docker-host", base_url]
    with subprocess.Popen(
        [*command, *(f"--image={name}" for name in images)], stderr=subprocess.PIPE, text=True, env=os.environ
    ) as client:
        assert client.stderr is not None
        waited_for = set(images)
        while waited_for:
            line = client.stderr.readline()
            assert line, "it ended before it booted both"
            waited_for -= {name for name in images if f"{name}: Booting" in line}
        client.send_signal(signal.SIGTERM)
        _, said = client.communicate(timeout=120)

    assert client.returncode == 128 + signal.SIGTERM
    assert "Ended by SIGTERM" in said

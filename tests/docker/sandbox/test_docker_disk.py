"""An engine whose disk is full: could not judge, with what to do about it. The disk is a real one, and small."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from infraval import errors, options
from infraval.sandbox.docker import sandbox as docker_sandbox

pytestmark = pytest.mark.docker

DISK_BYTES = 64_000_000
TOO_MUCH_BYTES = 80_000_000

ENGINE = Path(__file__).parents[1] / "engine.sh"


@pytest.fixture(scope="module")
def small_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[docker.DockerClient]:
    """An engine on a small disk, with a tiny image `tiny:1`."""
    disk = tmp_path_factory.mktemp("disk")
    subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", disk], check=True)
    try:
        started = subprocess.run([ENGINE, "start", disk], check=True, stdout=subprocess.PIPE, text=True)
        client = docker.DockerClient(base_url=started.stdout.strip())
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("entrypoint"))
        client.api.import_image_from_data(content.getvalue(), "tiny", "1", ['ENTRYPOINT ["/entrypoint"]'])
        yield client
        client.close()
    finally:
        subprocess.run([ENGINE, "stop", disk], check=True)
        subprocess.run(["/usr/bin/umount", disk], check=True)


@pytest.fixture
def url(small_engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where that engine is."""
    small_engine.ping()
    disk = tmp_path_factory.getbasetemp() / "disk0"
    return subprocess.run([ENGINE, "url", disk], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def test_an_image_that_does_not_fit_is_an_error(
    url: str,
    engine: docker.DockerClient,
    start_registry: Callable[..., str],
    build_image: Callable[..., str],
) -> None:
    """The pull ends with the engine's reason."""
    files = {"Dockerfile": b'FROM scratch\nCOPY x /x\nENTRYPOINT ["/x"]\n', "x": os.urandom(TOO_MUCH_BYTES)}
    name = build_image(engine, f"{start_registry()}/large:1", files)
    for event in engine.api.push(name, stream=True, decode=True):
        assert "error" not in event, event
    engine.images.remove(name)
    server = options.DockerServer(images=name, base_url=url)
    with pytest.raises(
        errors.SandboxError, match=r"could not be pulled: .*no space left on device.*`docker system df`"
    ):
        docker_sandbox.check(server, print)


def test_a_model_that_does_not_fit_is_an_error(
    url: str,
    models: Path,
    make_sandbox: Callable[..., docker_sandbox.DockerSandbox],
    small_engine: docker.DockerClient,
    leftovers: Callable[..., list[str]],
) -> None:
    """The copy ends, and what was copied so far is removed."""
    (models / "1" / "variables").write_bytes(os.urandom(TOO_MUCH_BYTES))
    with (
        pytest.raises(errors.ServerStartError, match=r"could not be copied to the engine: .*no space left on device"),
        make_sandbox(base_url=url, image="tiny:1", model_transfer=options.ModelTransfer.COPY),
    ):
        pass
    assert leftovers(small_engine) == []

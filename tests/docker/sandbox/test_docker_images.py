"""Images: found or pulled as the policy says, with advice if that fails. The registries are real ones."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from infraval import errors, options
from infraval.sandbox.docker import engine as docker_engine
from infraval.sandbox.docker import images as docker_images
from infraval.sandbox.docker import sandbox as docker_sandbox

pytestmark = pytest.mark.docker

USER, PASSWORD = "grace", "hopper"
HTPASSWD = "grace:$2b$05$a7eay.VJAFYBXCNZt43a0OZfaSPLgXjNv4ql1twitIbLto/c9MH26\n"

MEGABYTE = 1_000_000

Check = Callable[..., list[str]]


@pytest.fixture
def check(base_url: str) -> Check:
    """What a validation with an image is told at its start; further arguments are DockerServer's."""

    def run(image: str, **given: object) -> list[str]:
        said: list[str] = []
        server = options.DockerServer(**{"images": image, "base_url": base_url, **given})
        docker_sandbox.check(server, said.append)
        return said

    return run


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a Docker configuration of the test's own."""
    folder = tmp_path / "docker-config"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return lambda **entries: (folder / "config.json").write_text(json.dumps(entries)) and None


@pytest.fixture
def small_image(engine: docker.DockerClient, build_image: Callable[..., str]) -> str:
    """An image with an entrypoint and some megabytes that do not compress."""
    dockerfile = b'FROM scratch\nCOPY content /content\nENTRYPOINT ["/content"]\n'
    return build_image(engine, "infraval-test/small:1", {"Dockerfile": dockerfile, "content": os.urandom(8 * MEGABYTE)})


@pytest.fixture
def publish(engine: docker.DockerClient, small_image: str) -> Iterator[Callable[..., str]]:
    """Pushes the small image to a registry, and has the engine forget it under that name."""
    published = []

    def push(address: str, **credentials: str) -> str:
        name = f"{address}/model-server:1"
        engine.images.get(small_image).tag(name)
        for event in engine.api.push(name, stream=True, decode=True, auth_config=credentials or None):
            assert "error" not in event, event
        engine.images.remove(name)
        engine.images.remove(small_image)
        published.append(name)
        return name

    yield push
    for name in published:
        if any(name in image.tags for image in engine.images.list()):
            engine.images.remove(name)


def test_a_missing_image_is_pulled_and_its_digest_is_known(
    check: Check, start_registry: Callable[..., str], publish: Callable[..., str], base_url: str
) -> None:
    """It says so before and after; the second time it is there; the registry's digest is on record."""
    name = publish(start_registry())

    said = check(name)

    assert said[0] == f"Pulling {name}"
    assert said[-1].startswith(f"Pulled {name} in ")
    assert check(name) == []
    with docker_engine.connect(options.DockerServer(base_url=base_url)) as engine:
        found = docker_images.find(engine, name)
    assert found is not None
    repository, _, digest = found.digest.partition("@")
    assert repository == name.removesuffix(":1")
    assert digest.startswith("sha256:")
    assert not found.embedded

    assert check(found.digest) == []  # by its digest, it is the same
    assert check(name, pull=options.PullPolicy.ALWAYS)[0] == f"Pulling {name}"


def test_an_image_is_pulled_by_its_digest(
    check: Check, start_registry: Callable[..., str], publish: Callable[..., str], engine: docker.DockerClient
) -> None:
    """A digest names one image for ever."""
    name = publish(start_registry())
    check(name)
    [digest] = engine.images.get(name).attrs["RepoDigests"]
    engine.images.remove(name)

    assert check(digest)[0] == f"Pulling {digest}"

    engine.images.remove(digest)


def test_the_digest_on_record_is_of_the_repository_that_was_asked_for(
    check: Check,
    start_registry: Callable[..., str],
    publish: Callable[..., str],
    engine: docker.DockerClient,
    base_url: str,
) -> None:
    """One image, which the engine knows from two repositories; a reference may hold tag and digest."""
    name = publish(start_registry())
    check(name)
    [digest] = engine.images.get(name).attrs["RepoDigests"]
    other = name.replace("/model-server:", "/a-copy:")
    engine.images.get(name).tag(other)
    try:
        for event in engine.api.push(other, stream=True, decode=True):
            assert "error" not in event, event
        assert len(engine.images.get(name).attrs["RepoDigests"]) == 2
        with docker_engine.connect(options.DockerServer(base_url=base_url)) as connected:
            for reference in (name, digest, f"{name}@{digest.partition('@')[2]}"):
                found = docker_images.find(connected, reference)
                assert found is not None
                assert found.digest == digest
    finally:
        engine.images.remove(other)


def test_never_pulls_never(check: Check, start_registry: Callable[..., str], publish: Callable[..., str]) -> None:
    """Although the registry has it."""
    name = publish(start_registry())
    with pytest.raises(errors.SandboxError, match=f"no image {name}, and --pull"):
        check(name, pull=options.PullPolicy.NEVER)


def test_credentials_are_dockers_own(
    check: Check,
    start_registry: Callable[..., str],
    publish: Callable[..., str],
    docker_config: Callable[..., None],
) -> None:
    """Without a login the registry refuses, and the error says where to log in; with one the image is pulled."""
    docker_config()
    address = start_registry(HTPASSWD)
    name = publish(address, username=USER, password=PASSWORD)
    with pytest.raises(
        errors.SandboxError, match=r"could not be pulled: .* log in to its registry with `docker login`"
    ):
        check(name)

    docker_config(auths={address: {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}})
    assert check(name)[-1].startswith(f"Pulled {name}")


def test_a_wrong_password_is_not_told(
    check: Check, start_registry: Callable[..., str], publish: Callable[..., str], docker_config: Callable[..., None]
) -> None:
    """What the registry refused is no more in the error than what it would have accepted."""
    docker_config()
    address = start_registry(HTPASSWD)
    name = publish(address, username=USER, password=PASSWORD)
    docker_config(auths={address: {"auth": base64.b64encode(b"grace:murray").decode()}})
    with pytest.raises(errors.SandboxError, match="docker login") as raised:
        check(name)
    assert "murray" not in str(raised.value)


def test_an_unknown_image_is_an_error(check: Check, start_registry: Callable[..., str]) -> None:
    """The registry answers and has no such image."""
    with pytest.raises(errors.SandboxError, match=r"could not be pulled: .* Check its name and tag"):
        check(f"{start_registry()}/model-server:1")


def test_a_registry_out_of_reach_is_an_error(check: Check) -> None:
    """Nothing listens on port 9 of this machine."""
    with pytest.raises(errors.SandboxError, match="Check that the engine can reach the registry"):
        check("127.0.0.1:9/model-server:1")


def test_a_pull_has_a_deadline(check: Check, silent_registry: str) -> None:
    """A registry that stalls is given up at the deadline, not when the engine tires of it."""
    started_s = time.monotonic()
    with pytest.raises(errors.SandboxError, match=r"was not pulled within 1.5 s. Raise --pull-timeout"):
        check(f"{silent_registry}/model-server:1", pull_timeout_s=1.5)
    assert time.monotonic() - started_s < 10


def test_a_name_that_is_none_is_an_error(check: Check) -> None:
    """The engine's own words."""
    with pytest.raises(errors.SandboxError, match="invalid reference format"):
        check("Not/A:Name:1")


def test_an_image_without_an_entrypoint_is_an_error(check: Check, image: str) -> None:
    """The caller would need to say what to start; it is not a model server's image."""
    assert image
    with pytest.raises(errors.SandboxError, match="has no entrypoint, so it is not a model server's"):
        check("infraval/python:1.21")


def test_the_embedded_server_is_known_by_its_label(base_url: str, image: str, faulty_image: str) -> None:
    """The report has to say when it was the stand-in that judged."""
    with docker_engine.connect(options.DockerServer(base_url=base_url)) as engine:
        embedded, other = docker_images.find(engine, image), docker_images.find(engine, faulty_image)
    assert embedded is not None
    assert other is not None
    assert (embedded.embedded, other.embedded) == (True, False)

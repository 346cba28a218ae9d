"""Images of model servers: found, or pulled with progress messages and a deadline."""

from __future__ import annotations

import dataclasses
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import docker.errors
import docker.utils
import urllib3

from infraval import errors, options
from infraval.sandbox.docker import engine as docker_engine

_PROGRESS_INTERVAL_S = 5.0

_SERVER_LABEL = "org.tfx-infraval.server"
"""A label of kubeflow/model-server/Dockerfile."""

_DENIED = ("unauthorized", "denied", "no basic auth credentials", "authentication required")
_UNKNOWN = ("not found", "manifest unknown", "name unknown", "no such image")
_UNREACHABLE = ("no such host", "connection refused", "timeout", "timed out", "dial tcp", "awaiting headers", "eof")


@dataclasses.dataclass(frozen=True)
class Image:
    """An image that the engine has.

    Attributes:
      id: the engine's id, `sha256:…`.
      digest: the registry's `NAME@sha256:…`; empty if it came from no registry.
      embedded: whether the server in it is infraval's stand-in.
      volumes: paths that its Dockerfile declares as VOLUME.
    """

    id: str
    digest: str
    embedded: bool
    volumes: tuple[str, ...] = ()


def find(engine: docker_engine.Engine, reference: str) -> Image | None:
    """The image, or None if the engine does not have it.

    Raises:
      SandboxError: the engine does not say, or the image is not that of a model server.
    """
    with docker_engine.failing_as(errors.SandboxError, f"The image {reference} could not be looked up"):
        try:
            found = engine.api.inspect_image(reference)
        except docker.errors.ImageNotFound:
            return None
    config = found.get("Config") or {}
    if not config.get("Entrypoint"):
        raise errors.SandboxError(
            f"The image {reference} has no entrypoint, so it is not a model server's. Name one that works as "
            "tensorflow/serving does in --image (server.images)."
        )
    return Image(
        id=found["Id"],
        digest=_digest(reference, found.get("RepoDigests") or ()),
        embedded=(config.get("Labels") or {}).get(_SERVER_LABEL) == "embedded",
        volumes=tuple(map(os.path.normpath, config.get("Volumes") or ())),
    )


def provide(
    engine: docker_engine.Engine, reference: str, docker_options: options.DockerServer, progress: Callable[[str], None]
) -> None:
    """Finds the image or pulls it, as the pull policy says; raises SandboxError if it must not or cannot be pulled."""
    if docker_options.pull is not options.PullPolicy.ALWAYS and find(engine, reference) is not None:
        return
    if docker_options.pull is options.PullPolicy.NEVER:
        raise errors.SandboxError(
            f"The engine at {engine.url} has no image {reference}, and --pull (server.pull) is never. Load or build it "
            "there, or use if-missing."
        )
    _pull(engine, reference, docker_options.pull_timeout_s, progress)
    if find(engine, reference) is None:
        raise errors.SandboxError(
            f"The image {reference} was pulled, but is gone again. Check whether something removes unused images."
        )


def _digest(reference: str, digests: Sequence[str]) -> str:
    """The digest by which the repository in the reference knows an image, else any other registry's."""
    name, _, _ = reference.partition("@")  # NAME:TAG@DIGEST has a tag, too
    repository, _ = docker.utils.parse_repository_tag(name)
    repository = repository.removeprefix("docker.io/").removeprefix("library/")
    own = [digest for digest in digests if digest.partition("@")[0] == repository]
    return (own or [*digests, ""])[0]


def _pull(engine: docker_engine.Engine, reference: str, timeout_s: float, progress: Callable[[str], None]) -> None:
    """Pulls an image; the engine stops pulling when this process ends."""
    progress(f"Pulling {reference}")
    started = time.monotonic()
    layers: dict[str, tuple[int, int]] = {}
    told = started
    for event in _events(engine, reference, started + timeout_s):
        if event is None:
            raise errors.SandboxError(
                f"The image {reference} was not pulled within {timeout_s:g} s. Raise --pull-timeout "
                f"(server.pull_timeout_s), or check the connection from the engine at {engine.url} to the registry."
            )
        if "error" in event:
            raise errors.SandboxError(_failure(reference, str(event["error"])))
        detail = event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and detail.get("total"):
            layers[event["id"]] = (detail["current"], detail["total"])
        if layers and time.monotonic() >= told + _PROGRESS_INTERVAL_S:
            told = time.monotonic()
            done, total = (sum(column) // 1_000_000 for column in zip(*layers.values(), strict=True))
            progress(f"Pulling {reference}: {done} of {total} MB")
    progress(f"Pulled {reference} in {time.monotonic() - started:.1f} s")


def _events(engine: docker_engine.Engine, reference: str, deadline_s: float) -> Iterator[Mapping[str, Any] | None]:
    """What the engine says while it pulls; None once the deadline has passed.

    Docker's API has no deadline for this, and sends nothing while a registry is silent.
    """
    events: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()

    def pull() -> None:
        try:
            for event in engine.api.pull(reference, stream=True, decode=True):
                events.put(event)
        except (*docker_engine.API_ERRORS, urllib3.exceptions.HTTPError) as error:
            events.put({"error": docker_engine.said(error)})
        events.put(None)

    threading.Thread(target=pull, daemon=True, name=f"pull {reference}").start()
    try:
        while (event := events.get(timeout=max(0.0, deadline_s - time.monotonic()))) is not None:
            yield event
    except queue.Empty:
        yield None


def _failure(reference: str, message: str) -> str:
    lower = message.lower()
    if any(word in lower for word in _DENIED):
        what = (
            "If it exists, log in to its registry with `docker login` as this user; infraval reads the credentials "
            "from config.json in DOCKER_CONFIG or ~/.docker."
        )
    elif any(word in lower for word in _UNKNOWN):
        what = "Check its name and tag, or load or build it on the engine and use --pull if-missing (server.pull)."
    elif docker_engine.advice(message):
        what = docker_engine.advice(message)
    elif any(word in lower for word in _UNREACHABLE):
        what = (
            "Check that the engine can reach the registry, or load the image there by hand and use --pull if-missing "
            "(server.pull)."
        )
    else:
        what = "Try `docker pull` to see whether the image, the registry or the engine is at fault."
    return f"The image {reference} could not be pulled: {message.strip().rstrip('.')}. {what}"

"""The Docker engine: which one, what it can do, and what its errors mean."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import docker.constants
import docker.context
import docker.context.config
import docker.errors
import docker.utils

import requests
from infraval import errors, escape, options

API_ERRORS = (docker.errors.DockerException, requests.exceptions.RequestException)
"""What docker-py raises: the engine's refusals, and connection errors."""

_UNCHECKED = (AttributeError, TypeError, ValueError)
"""What docker-py runs into, because it does not check what it reads: options, addresses, `config.json`."""

_log = logging.getLogger(__name__)

_RETURN_TIMEOUT_S = 10.0
"""How long a restarting engine may take to return."""

_RETURN_POLL_S = 0.1

IMAGE_CONTRACT = (
    "The image must work as tensorflow/serving does: its entrypoint must start a model server for MODEL_NAME and "
    "MODEL_BASE_PATH, and pass further flags on to it."
)

_START = (
    "Start it, or name another one with --docker-host (server.base_url), --docker-context (server.context), "
    "DOCKER_HOST or `docker context use`."
)

_ADVICE = (
    ("no space left on device", "Free some space on the engine's disk; `docker system df` shows what uses it."),
    (
        "could not select device driver",
        "The engine has no GPU runtime. Install the NVIDIA Container Toolkit on its machine, or omit --gpus.",
    ),
    ("nvidia", "Check the GPU, its driver and the NVIDIA Container Toolkit on the engine's machine."),
    ("executable file not found", IMAGE_CONTRACT),
    ("no such file or directory: unknown", IMAGE_CONTRACT),
    ("exec format error", "The image is for a different processor architecture than the engine's machine has."),
    ("is already in use", "Another container has the name or the port; try again."),
    ("port is already allocated", "Another program took the port first; try again."),
    ("range of cpus", "Lower --cpus (server.cpus)."),
    ("minimum memory limit", "Raise --memory (server.memory_bytes)."),
    (
        "certificate verify failed",
        "Check that ca.pem is the engine's CA, and that REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE do not override it.",
    ),
    ("permission denied", "Let this user use the engine, for example by adding it to the group docker."),
)
"""What to do about an error that contains the string, in lower case; the first match counts."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """A Docker engine that answers. `info` is what `docker info` shows; `gone` is set if it did not return in time."""

    api: docker.APIClient
    url: str
    info: Mapping[str, Any]
    gone: threading.Event = dataclasses.field(default_factory=threading.Event)

    def has_security_option(self, name: str) -> bool:
        """Whether a security feature is on: rootless, userns, selinux, apparmor, seccomp."""
        docker_options = self.info.get("SecurityOptions") or ()
        return any(f"name={name}" in option.split(",") for option in docker_options)

    def shares_kernel(self) -> bool:
        """Whether this process and the engine's containers run on the same kernel, so that they can share a socket.

        A virtual machine's file sharing (as in Docker Desktop) passes files on, but not sockets.
        """
        memory = _memory_bytes()
        return memory is not None and (memory, os.uname().release) == (
            self.info.get("MemTotal"),
            self.info.get("KernelVersion"),
        )


@contextlib.contextmanager
def connect(docker_options: options.DockerServer) -> Iterator[Engine]:
    """Connects to the engine that the options, the environment or Docker's own configuration name.

    Raises:
      SandboxError: there is no such context, Docker's configuration or the address is malformed, or no engine answers.
    """
    address = _address(docker_options)
    url = address.get("base_url") or "Docker's default address"
    version = docker_options.api_version
    answering = functools.partial(failing_as, errors.SandboxError, f"No Docker engine answers at {url}", _START)
    with answering():
        try:
            api = docker.APIClient(
                **address, version=version or "auto", timeout=docker_options.client_timeout_s, use_ssh_client=True
            )
        except (docker.errors.InvalidConfigFile, *_UNCHECKED) as error:
            _check_configuration()
            what = f" with API version {version} (server.api_version)" if version else ""
            raise errors.SandboxError(
                f"No connection to a Docker engine can be made at {url}{what}: {_sentence(str(error))} Correct "
                "--docker-host (server.base_url), DOCKER_HOST or the Docker context."
            ) from None
    with contextlib.closing(api):
        with answering():
            info = api.info()
        yield Engine(api, url, info)


def _check_configuration() -> None:
    """Checks `config.json` by itself: no connection is made to an engine whose API version is given."""
    try:
        docker.APIClient(version=docker.constants.DEFAULT_DOCKER_API_VERSION).close()
    except (docker.errors.InvalidConfigFile, *_UNCHECKED) as error:
        # A value may be a password, so only the type of the error is shown.
        raise errors.SandboxError(
            "Docker's configuration (config.json in DOCKER_CONFIG or ~/.docker) is malformed "
            f"({type(error).__name__}). Fix it, or move it away and run `docker login` again."
        ) from None


@contextlib.contextmanager
def failing_as(kind: type[errors.SandboxError], failed: str, otherwise: str = "") -> Iterator[None]:
    """Turns docker-py's errors in the block into ours: what failed, why, and advice, `otherwise` by default."""
    try:
        yield
    except API_ERRORS as error:
        why = said(error)
        raise kind(f"{failed}: {why} {advice(why) or otherwise}".rstrip()) from error


def remove(engine: Engine, removal: Callable[[str], Any], name: str) -> None:
    """Removes a container or volume, if it exists; if the engine is gone, waits a while for it to return.

    Never raises: the next start tries again (`owner.reap`).
    """
    deadline_s = time.monotonic() + (0 if engine.gone.is_set() else _RETURN_TIMEOUT_S)
    while True:
        try:
            removal(name)
        except docker.errors.NotFound:
            return
        except API_ERRORS as error:
            if isinstance(error, docker.errors.APIError):
                if "already in progress" in str(error.explanation):
                    return
            elif time.monotonic() < deadline_s:
                time.sleep(_RETURN_POLL_S)
                continue
            else:
                engine.gone.set()
            _log.warning("%s was left on the Docker engine at %s: %s", name, engine.url, said(error))
        return


def said(error: BaseException) -> str:
    """The engine's own message, or the operating system's if the connection failed."""
    if isinstance(error, docker.errors.APIError) and error.explanation:
        return _sentence(str(error.explanation))
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return _sentence(cause.strerror)
        cause = cause.__cause__ or cause.__context__
    return _sentence(str(error))


def advice(message: str) -> str:
    """What to do about an error of the engine; empty if unknown."""
    return next((what for pattern, what in _ADVICE if pattern in message.lower()), "")


def _sentence(message: str) -> str:
    return escape.one_line(message).rstrip(".") + "."


def _address(docker_options: options.DockerServer) -> dict[str, Any]:
    """Arguments of `docker.APIClient` that say where the engine is, with the same precedence as the docker command."""
    environment = dict(os.environ)
    if docker_options.base_url:
        environment["DOCKER_HOST"] = docker_options.base_url
    name = docker_options.context
    if not name and not environment.get("DOCKER_HOST"):
        name = environment.get("DOCKER_CONTEXT") or docker.context.config.get_current_context_name()
    try:
        if name in ("", "default"):
            return dict(docker.utils.kwargs_from_env(environment))
        context = docker.context.ContextAPI.get_context(name)
    except API_ERRORS as error:
        raise errors.SandboxError(f"The Docker engine's address could not be read: {said(error)}") from error
    if context is None:
        raise errors.SandboxError(f"There is no Docker context {name}; `docker context ls` lists them.")
    return {"base_url": context.Host, "tls": context.TLSConfig or False}


def _memory_bytes() -> int | None:
    """The machine's memory, read as the engine reads it; None on systems other than Linux."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    return None

"""The Docker engine: which one, what it is like, and what its errors mean."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import docker
import docker.context
import docker.context.config
import docker.errors
import docker.utils

import requests
from infraval import errors, options

API_ERRORS = (docker.errors.DockerException, requests.exceptions.RequestException)
"""What docker-py raises: the engine's refusals, and those of the connection to it."""

_log = logging.getLogger(__name__)

_RETURN_TIMEOUT_S = 10.0
"""How long an engine that is being restarted may take to return."""

_RETURN_POLL_S = 0.1

_DEFAULT_CONTEXT = "default"

IMAGE_CONTRACT = (
    "The image has to work as tensorflow/serving does: an entrypoint that starts a model server by MODEL_NAME and "
    "MODEL_BASE_PATH and hands on further flags."
)
"""What is asked of an image."""

_ADVICE = (
    ("no space left on device", "Free some of the engine's disk; `docker system df` shows what takes it."),
    (
        "could not select device driver",
        "The engine has no GPU runtime: install the NVIDIA Container Toolkit on its machine, or ask for no gpus.",
    ),
    ("nvidia", "Look at the GPU, its driver and the NVIDIA Container Toolkit on the engine's machine."),
    ("executable file not found", IMAGE_CONTRACT),
    ("no such file or directory: unknown", IMAGE_CONTRACT),
    ("exec format error", "The image is of another processor architecture than the engine's machine."),
    ("is already in use", "Another container has the name or the port; try again."),
    ("port is already allocated", "Another program took the port first; try again."),
    ("range of cpus", "Ask for fewer cpus."),
    ("minimum memory limit", "Ask for more memory_bytes."),
    (
        "certificate verify failed",
        "See that ca.pem is the engine's CA, and that neither REQUESTS_CA_BUNDLE nor CURL_CA_BUNDLE takes its place.",
    ),
    ("permission denied", "See that this user may use the engine, such as by being in the group docker."),
)
"""What to do about an error that holds the text, in lower case; the first one found counts."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """A Docker engine that answers.

    Attributes:
      api: its API.
      url: where it is.
      info: what it says about itself, as `docker info` does.
      gone: set once its return was waited for in vain.
    """

    api: docker.APIClient
    url: str
    info: Mapping[str, Any]
    gone: threading.Event = dataclasses.field(default_factory=threading.Event)

    def has_security_option(self, name: str) -> bool:
        """Whether a security feature is on: rootless, userns, selinux, apparmor, seccomp."""
        docker_options = self.info.get("SecurityOptions") or ()
        return any(f"name={name}" in option.split(",") for option in docker_options)

    def shares_kernel(self) -> bool:
        """Whether this process and the engine's containers run on one kernel, so that they can share a unix socket.

        Through a virtual machine's file sharing (Docker Desktop and its like) files pass, and sockets do not.
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
      SandboxError: there is no such context, Docker's configuration cannot be used, or no engine answers.
    """
    address = _address(docker_options)
    url = address.get("base_url") or "Docker's default address"
    try:
        api = docker.APIClient(
            **address,
            version=docker_options.api_version or "auto",
            timeout=docker_options.client_timeout_s,
            use_ssh_client=True,
        )
    except (docker.errors.InvalidConfigFile, AttributeError, TypeError, ValueError) as error:
        # docker-py reads all of it, and does not look what it has read. A value may be a password.
        raise errors.SandboxError(
            "Docker's configuration, config.json in DOCKER_CONFIG or ~/.docker, is not what Docker writes there "
            f"({type(error).__name__}). Mend it, or write it anew with `docker login`."
        ) from None
    except API_ERRORS as error:
        if isinstance(error.__cause__, errors.InfravalError):
            # docker-py takes every exception here for the engine's, also that of a signal.
            raise error.__cause__ from None
        raise _no_engine(url, error) from error
    with contextlib.closing(api):
        try:
            info = api.info()
        except API_ERRORS as error:
            raise _no_engine(url, error) from error
        yield Engine(api, url, info)


@contextlib.contextmanager
def failing_as(kind: type[errors.SandboxError], doing: str) -> Iterator[None]:
    """Turns docker-py's errors in the block into ours, with what to do about them.

    Args:
      kind: the error to raise.
      doing: what was tried: `… cannot be …`.
    """
    try:
        yield
    except API_ERRORS as error:
        raise kind(" ".join(filter(None, (f"{doing}: {said(error)}", advice(said(error)))))) from error


def finish(call: Callable[[], Any]) -> Any:
    """Makes a call to its end, even if a signal's exception comes meanwhile.

    What the call makes is there then, and can be removed; what an interrupted one makes might appear after the removal.
    """
    with futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def remove(engine: Engine, removal: Callable[[str], Any], name: str) -> None:
    """Removes a container or volume, if it was made; if the engine is gone, waits a while for it to return.

    It never raises: the reaper of the next start has another try.
    """
    deadline_s = time.monotonic() + (0 if engine.gone.is_set() else _RETURN_TIMEOUT_S)
    while True:
        try:
            removal(name)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            if "already in progress" not in str(error.explanation):
                _log.warning("%s was left on the Docker engine at %s: %s", name, engine.url, said(error))
            return
        except API_ERRORS as error:
            if time.monotonic() >= deadline_s:
                engine.gone.set()
                _log.warning("%s was left on the Docker engine at %s: %s", name, engine.url, said(error))
                return
            time.sleep(_RETURN_POLL_S)
        else:
            return


def said(error: BaseException) -> str:
    """The engine's own words; those of the operating system if the connection failed."""
    if isinstance(error, docker.errors.APIError) and error.explanation:
        return _sentence(str(error.explanation))
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return _sentence(cause.strerror)
        cause = cause.__cause__ or cause.__context__
    return _sentence(str(error))


def advice(text: str) -> str:
    """What to do about an error of the engine; empty if that is not known."""
    return next((what for pattern, what in _ADVICE if pattern in text.lower()), "")


def _sentence(text: str) -> str:
    return text.strip().rstrip(".") + "."


def _no_engine(url: str, error: Exception) -> errors.SandboxError:
    text = said(error)
    what = advice(text) or (
        "Start it, or name another one: --docker-host or --docker-context (server.base_url, server.context), "
        "DOCKER_HOST, or `docker context use`."
    )
    return errors.SandboxError(f"No Docker engine answers at {url}: {text} {what}")


def _address(docker_options: options.DockerServer) -> dict[str, Any]:
    """Arguments of `docker.APIClient` that say where the engine is, in the order that the docker command has.

    Raises:
      SandboxError: there is no such context, or its files or certificates cannot be read.
    """
    environment = dict(os.environ)
    if docker_options.base_url:
        environment["DOCKER_HOST"] = docker_options.base_url
    name = docker_options.context
    if not name and not environment.get("DOCKER_HOST"):
        name = environment.get("DOCKER_CONTEXT") or docker.context.config.get_current_context_name()
    try:
        if name in ("", _DEFAULT_CONTEXT):
            return dict(docker.utils.kwargs_from_env(environment))
        context = docker.context.ContextAPI.get_context(name)
    except API_ERRORS as error:
        raise errors.SandboxError(f"The address of the Docker engine cannot be found out: {said(error)}") from error
    if context is None:
        raise errors.SandboxError(f"There is no Docker context {name}; `docker context ls` lists those that there are.")
    return {"base_url": context.Host, "tls": context.TLSConfig or False}


def _memory_bytes() -> int | None:
    """What the kernel has, as the engine reads it; None where there is no such file, so not on Linux."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    return None

"""What a container with an untrusted model in it may do: nothing but serve."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import docker.errors
import docker.types

from infraval import errors, options
from infraval.sandbox import base, model_server
from infraval.sandbox.docker import engine as docker_engine
from infraval.sandbox.docker import model as docker_model

_log = logging.getLogger(__name__)

SOCKET_DIRECTORY = "/run/infraval"
SOCKET = "s"
GRPC_PORT = 8500
"""The port of tensorflow/serving's entrypoint."""

_TMP = "/tmp"  # noqa: S108 - the container's own

UNPRIVILEGED_USER = "65534:65534"
"""nobody, who owns nothing."""

_MEMORY_SHARE = 0.8
_SCRATCH = "rw,exec,nosuid,nodev,mode=1777"
"""A tmpfs; TensorFlow may load code that it has compiled there."""

_LOG_OPTIONS = {"max-size": "4m", "max-file": "2"}
"""Holds `base.LOG_TAIL_BYTES`, and a server cannot fill the engine's disk with its log."""


@dataclasses.dataclass(frozen=True)
class Bind:
    """A file or directory of this machine in the container.

    Attributes:
      source: its path here.
      target: its path there.
      read_only: whether the container may not write it.
    """

    source: Path
    target: str
    read_only: bool = True


def user(docker_options: options.DockerServer, engine: docker_engine.Engine) -> str:
    """UID or UID:GID that the server runs as, in terms of the container."""
    if docker_options.user:
        return docker_options.user
    if engine.has_security_option("rootless"):
        # Root in a rootless engine's container is that engine's own user outside, so no more than this user.
        return "0:0"
    return UNPRIVILEGED_USER if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"


def user_here(user: str, engine: docker_engine.Engine) -> str | None:
    """The same user in terms of this machine, None if unknown: engines may map users."""
    if engine.has_security_option("rootless"):
        return f"{os.geteuid()}:{os.getegid()}" if user.partition(":")[0] == "0" else None
    return None if engine.has_security_option("userns") else user


def host_ip_address(docker_options: options.DockerServer) -> str:
    """The address of the engine's machine on which the server's port is published."""
    return docker_options.host_ip_address or "127.0.0.1"


def command(launch: base.Launch, docker: options.DockerServer, *, on_socket: bool) -> list[str]:
    """Flags for the image's entrypoint, which comes with those for the model and the ports."""
    batching = None
    if launch.batching_parameters_file is not None:
        batching = f"{base.CONTAINER_BASE_PATH}/{docker_model.BATCHING_PARAMETERS}"
    socket = [f"--grpc_socket_path={SOCKET_DIRECTORY}/{SOCKET}"] if on_socket else []
    return [*socket, *model_server.flags(launch, batching), *docker.server_arguments]


def environment(launch: base.Launch, docker: options.DockerServer, here: Mapping[str, str]) -> dict[str, str]:
    """Variables of the container: the image's contract, and those that were asked for.

    Args:
      launch: what to boot.
      docker: has NAME=VALUE, or NAME for the value that it has here.
      here: this process' environment.
    """
    given = {}
    for variable in docker.environment:
        name, separator, value = variable.partition("=")
        if separator or name in here:
            given[name] = value if separator else here[name]
    return {**given, "MODEL_NAME": launch.model_name, "MODEL_BASE_PATH": base.CONTAINER_BASE_PATH}


def device_requests(gpus: str) -> list[docker.types.DeviceRequest]:
    """What `docker run --gpus` asks for: all, a count or device=ID,ID; nothing for an empty text."""
    if not gpus:
        return []
    which: dict[str, Any] = {"count": -1}
    if gpus.startswith("device="):
        which = {"device_ids": gpus.removeprefix("device=").split(",")}
    elif gpus.isdecimal():
        which = {"count": int(gpus)}
    return [docker.types.DeviceRequest(capabilities=[["gpu"]], **which)]


def limits(docker_options: options.DockerServer, engine: docker_engine.Engine) -> dict[str, Any]:
    """Limits of memory, CPU, processes and core dumps, as arguments of `create_host_config`."""
    memory = docker_options.memory_bytes or int(engine.info["MemTotal"] * _MEMORY_SHARE)
    cpus = docker_options.cpus
    # An engine that cannot limit the CPU refuses to try, and all of them is no limit.
    if not cpus and engine.info.get("CpuCfsQuota"):
        cpus = engine.info["NCPU"]
    return {
        "mem_limit": memory,
        "memswap_limit": memory,
        "nano_cpus": int(cpus * 1e9) or None,
        "pids_limit": docker_options.pids,
        # A crashed server's memory holds requests.
        "ulimits": [docker.types.Ulimit(name="core", soft=0, hard=0)],
    }


def host_config(
    engine: docker_engine.Engine, docker_options: options.DockerServer, *, on_socket: bool, scratch: Sequence[str] = ()
) -> dict[str, Any]:
    """The container's isolation, as arguments of `create_host_config`.

    Args:
      engine: the engine.
      docker_options: limits and devices.
      on_socket: whether the server is reached by its socket and so needs no network.
      scratch: what the image declares as VOLUME. Like /tmp it is in memory, and not on the engine's disk.
    """
    network: dict[str, Any] = {"network_mode": "none"}
    if not on_socket:
        network = {"network_mode": "bridge", "port_bindings": {GRPC_PORT: (host_ip_address(docker_options), None)}}
    return {
        **network,
        **limits(docker_options, engine),
        "read_only": True,
        "tmpfs": dict.fromkeys((_TMP, *scratch), _SCRATCH),
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "ipc_mode": "private",
        "device_requests": device_requests(docker_options.gpus),
        "log_config": docker.types.LogConfig(type="json-file", config=_LOG_OPTIONS),
        "init": False,
        "auto_remove": False,  # its log and its end are read afterwards
        "restart_policy": {"Name": "no"},
    }


class UnseenPathError(errors.ServerStartError):
    """The engine does not see a path of this machine."""


def create(
    engine: docker_engine.Engine,
    arguments: Mapping[str, Any],
    host: Mapping[str, Any],
    binds: Sequence[Bind],
    volumes: Sequence[docker.types.Mount],
) -> None:
    """Makes the container, which does not run yet.

    Args:
      engine: the engine.
      arguments: of `create_container`.
      host: of `create_host_config`.
      binds: what it sees of this machine.
      volumes: what it sees of the engine's.

    Raises:
      UnseenPathError: the engine does not see what `binds` name.
      ServerStartError: the engine refuses for another reason.
    """

    def make(mounts: Sequence[docker.types.Mount], relabelled: Sequence[str] = ()) -> None:
        config = engine.api.create_host_config(**host, mounts=list(mounts), binds=list(relabelled))
        made = docker_engine.finish(lambda: engine.api.create_container(**arguments, host_config=config))
        for warning in made.get("Warnings") or ():
            _log.warning("The Docker engine says: %s", warning)

    mounts = [docker.types.Mount(bind.target, str(bind.source), "bind", read_only=bind.read_only) for bind in binds]
    with docker_engine.failing_as(errors.ServerStartError, "A container cannot be made"):
        try:
            make([*mounts, *volumes])
        except docker.errors.APIError as error:
            if any(str(bind.source) in docker_engine.said(error) for bind in binds):
                raise UnseenPathError(docker_engine.said(error)) from error
            raise
        if binds and engine.has_security_option("selinux"):
            # Only what is bound in the older way gets a label that containers may use. A missing source would be made
            # there, not refused; but the engine has just shown that it sees them all.
            engine.api.remove_container(arguments["name"], v=True)
            make(volumes, [f"{bind.source}:{bind.target}:{'ro' if bind.read_only else 'rw'},z" for bind in binds])

"""What a container with an untrusted model may do: nothing but serve."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import docker.errors
import docker.types

from infraval import errors, escape, options, signals
from infraval.sandbox import base, model_server
from infraval.sandbox.docker import engine as docker_engine

_log = logging.getLogger(__name__)

SOCKET_DIRECTORY = "/run/infraval"
SOCKET = "s"
GRPC_PORT = 8500
"""The port of tensorflow/serving's entrypoint."""

LOOPBACK = "127.0.0.1"
"""Where the port is published unless the options name another address."""

_TMP = "/tmp"  # noqa: S108 - the container's own

UNPRIVILEGED_USER = "65534:65534"
"""nobody."""

_MEMORY_SHARE = 0.8
_SCRATCH = "rw,exec,nosuid,nodev,mode=1777"
"""Mount options of a tmpfs; TensorFlow may load code that it has compiled there."""

_LOG_OPTIONS = {"max-size": "4m", "max-file": "2"}
"""Enough for `base.LOG_TAIL_BYTES`; a server cannot fill the engine's disk with its log."""


def bind(source: Path, target: str, *, read_only: bool = True) -> docker.types.Mount:
    """A file or directory of this machine, mounted at `target` in the container."""
    return docker.types.Mount(target, str(source), "bind", read_only=read_only)


def user(docker_options: options.DockerServer, engine: docker_engine.Engine) -> str:
    """UID or UID:GID that the server runs as, inside the container."""
    if docker_options.user:
        return docker_options.user
    if engine.has_security_option("rootless"):
        # Outside, root in a rootless engine's container is the user who runs that engine, with no more rights.
        return "0:0"
    return UNPRIVILEGED_USER if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"


def user_here(user: str, engine: docker_engine.Engine) -> str | None:
    """The same user on this machine; None if unknown, because engines may map users."""
    if engine.has_security_option("rootless"):
        return f"{os.geteuid()}:{os.getegid()}" if user.partition(":")[0] == "0" else None
    return None if engine.has_security_option("userns") else user


def command(launch: base.Launch, docker: options.DockerServer, *, on_socket: bool) -> list[str]:
    """Flags for the image's entrypoint, which itself sets those for the model and the ports."""
    socket = [f"--grpc_socket_path={SOCKET_DIRECTORY}/{SOCKET}"] if on_socket else []
    return [*socket, *model_server.flags(launch, base.CONTAINER_BASE_PATH), *docker.server_arguments]


def environment(launch: base.Launch, docker: options.DockerServer, here: Mapping[str, str]) -> dict[str, str]:
    """The container's environment: what the image's entrypoint needs, and what the options set.

    An option is NAME=VALUE, or NAME for its value in `here`, this process's environment.
    """
    given = {}
    for variable in docker.environment:
        name, separator, value = variable.partition("=")
        if separator or name in here:
            given[name] = value if separator else here[name]
    return {**given, "MODEL_NAME": launch.model_name, "MODEL_BASE_PATH": base.CONTAINER_BASE_PATH}


def device_requests(gpus: str) -> list[docker.types.DeviceRequest]:
    """What `docker run --gpus` asks for: all, a count or device=ID,ID; nothing for an empty string."""
    if not gpus:
        return []
    which: dict[str, Any] = {"count": -1}
    if gpus.startswith("device="):
        which = {"device_ids": gpus.removeprefix("device=").split(",")}
    elif gpus.isdecimal():
        which = {"count": int(gpus)}
    return [docker.types.DeviceRequest(capabilities=[["gpu"]], **which)]


def limits(docker_options: options.DockerServer, engine: docker_engine.Engine) -> dict[str, Any]:
    """Limits on memory, CPU, processes and core dumps, as arguments of `create_host_config`."""
    memory = docker_options.memory_bytes or int(engine.info["MemTotal"] * _MEMORY_SHARE)
    cpus = docker_options.cpus
    # An engine that cannot limit the CPU refuses to try; by default, all CPUs are allowed anyway.
    if not cpus and engine.info.get("CpuCfsQuota"):
        cpus = engine.info["NCPU"]
    return {
        "mem_limit": memory,
        "memswap_limit": memory,
        "nano_cpus": int(cpus * 1e9) or None,
        "pids_limit": docker_options.pids,
        # A crashed server's memory contains requests.
        "ulimits": [docker.types.Ulimit(name="core", soft=0, hard=0)],
    }


def host_config(
    engine: docker_engine.Engine, docker_options: options.DockerServer, *, on_socket: bool, scratch: Sequence[str] = ()
) -> dict[str, Any]:
    """The container's isolation, as arguments of `create_host_config`.

    A server `on_socket` needs no network. `scratch` is what the image declares as VOLUME: like /tmp, it is kept in
    memory and not on the engine's disk.
    """
    network: dict[str, Any] = {"network_mode": "none"}
    if not on_socket:
        address = docker_options.host_ip_address or LOOPBACK
        network = {"network_mode": "bridge", "port_bindings": {GRPC_PORT: (address, None)}}
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
        "auto_remove": False,  # its log and exit code are read afterwards
        "restart_policy": {"Name": "no"},
    }


class UnseenPathError(errors.ServerStartError):
    """The engine cannot see a path of this machine."""


def create(
    engine: docker_engine.Engine,
    arguments: Mapping[str, Any],
    host: Mapping[str, Any],
    mounts: Sequence[docker.types.Mount],
) -> None:
    """Creates the container, from the arguments of `create_container` and those of `create_host_config`.

    Raises:
      UnseenPathError: the engine cannot see the source of a `bind`.
      ServerStartError: the engine refuses for another reason.
    """

    def make(mounts: Sequence[docker.types.Mount], relabelled: Sequence[str] = ()) -> None:
        config = engine.api.create_host_config(**host, mounts=list(mounts), binds=list(relabelled))
        with signals.deferred():
            made = engine.api.create_container(**arguments, host_config=config)
        for warning in made.get("Warnings") or ():
            _log.warning("The Docker engine says: %s", escape.one_line(str(warning)))

    binds = [mount for mount in mounts if mount["Type"] == "bind"]
    with docker_engine.failing_as(errors.ServerStartError, "The container could not be created"):
        try:
            make(mounts)
        except docker.errors.APIError as error:
            if any(mount["Source"] in docker_engine.said(error) for mount in binds):
                raise UnseenPathError(docker_engine.said(error)) from error
            raise
        if binds and engine.has_security_option("selinux"):
            # Only the older kind of bind mount is given a label that lets containers use it. It would create a
            # missing source instead of refusing it, but the engine has just shown that it can see them all.
            engine.api.remove_container(arguments["name"], v=True)
            relabelled = [f"{each['Source']}:{each['Target']}:{'ro' if each['ReadOnly'] else 'rw'},z" for each in binds]
            make([mount for mount in mounts if mount not in binds], relabelled)

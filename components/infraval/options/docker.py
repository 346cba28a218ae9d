"""A model server in a container: which images, on which engine, and what the container may use."""

from __future__ import annotations

import enum
import ipaddress
import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from infraval.options import base, server

MIN_PIDS = 512
"""With fewer processes and threads, TensorFlow Serving aborts while it loads."""

_MAX_ID = 2**31 - 1
"""The largest user or group ID that engines accept (moby/sys user: `maxID`)."""


class PullPolicy(str, enum.Enum):
    """When to pull an image, as `docker run --pull` names it."""

    NEVER = "never"
    IF_MISSING = "if-missing"
    ALWAYS = "always"


class ModelTransfer(str, enum.Enum):
    """How the model gets into the container."""

    AUTO = "auto"
    """Mounted where the engine sees this machine's files and the container's user may read them, else copied."""
    MOUNT = "mount"
    """Bind-mounted, read-only."""
    COPY = "copy"
    """Copied into a volume through the engine's API; for an engine on another machine."""


def _is_address(value: str) -> bool:
    try:
        return not ipaddress.ip_address(value).is_unspecified
    except ValueError:
        return False


def _is_user(value: str) -> bool:
    return bool(re.fullmatch("[0-9]{1,10}(:[0-9]{1,10})?", value)) and max(map(int, value.split(":"))) <= _MAX_ID


_Reference = base.checked(
    lambda value: value.strip() == value, "a reference of an image such as tensorflow/serving:2.16.1"
)
_Address = base.checked(_is_address, "an IP address, neither a name nor one that stands for all such as 0.0.0.0")
_User = base.checked(_is_user, f"UID or UID:GID, numbers up to {_MAX_ID}")
_Gpus = base.checked(re.compile(r"all|[1-9][0-9]*|device=[^,\s]+(,[^,\s]+)*").fullmatch, "all, a count or device=ID,ID")
_Variable = base.checked(
    re.compile("[A-Za-z_][A-Za-z0-9_.-]*(=.*)?", re.DOTALL).fullmatch,
    "NAME=VALUE or NAME",
    show=lambda value: value.partition("=")[0],  # the value may be a secret
)


class DockerServer(server.ServerOptions):
    """A model server in a container.

    Credentials of registries are Docker's own: `config.json` in DOCKER_CONFIG or ~/.docker.
    """

    platform: Literal["docker"] = "docker"
    images: Annotated[base.Strings, _Reference, base.Once, base.Flag("--image", metavar="REFERENCE")] = ()
    """Images of a model server, such as tensorflow/serving:2.16.1 or NAME@sha256:DIGEST; with several, all must bless
    the model."""
    base_url: Annotated[
        str, base.Flag("--docker-host", metavar="URL", default="DOCKER_HOST, else the current context")
    ] = ""
    """URL of the engine's API, such as unix:///var/run/docker.sock or tcp://HOST:PORT."""
    context: Annotated[str, base.Flag("--docker-context", metavar="NAME")] = ""
    """Docker context to take the engine from."""
    api_version: str = ""
    """Version of the engine's API, such as 1.41; by default the newest that both sides know."""
    client_timeout_s: base.Seconds = 60.0
    """Seconds that the engine may take to answer one call."""
    host_ip_address: Annotated[str, _Address] = ""
    """IP address of the engine's machine, used if no socket can be shared with the server: the server's port is
    published on this address only. By default 127.0.0.1."""
    pull: Annotated[PullPolicy, base.Lax, base.Flag("--pull")] = PullPolicy.IF_MISSING
    """When to pull an image."""
    pull_timeout_s: Annotated[base.Seconds, base.Flag("--pull-timeout")] = 1800.0
    """Seconds that one pull may take."""
    model_transfer: Annotated[ModelTransfer, base.Lax, base.Flag("--model-transfer")] = ModelTransfer.AUTO
    """How the model gets into the container; auto mounts it where the engine sees this machine's files and the
    container's user may read them, else copies it."""
    user: Annotated[str, _User] = ""
    """Numeric UID or UID:GID of the server; by default this process' own, or an unprivileged one for root."""
    memory_bytes: Annotated[
        int,
        base.Flag("--memory", metavar="BYTES", default="most of what the engine's machine has", parse=base.read_bytes),
        Field(ge=0),
    ] = 0
    """Memory limit of a container, swap included, such as 4g on the command line; exceeding it counts as the
    model's fault."""
    cpus: Annotated[float, base.Flag("--cpus", default="all that the engine's machine has"), Field(ge=0)] = 0.0
    """CPU limit of a container."""
    pids: int = Field(
        default=4096,
        ge=MIN_PIDS,
        description=f"Limit of processes and threads; TensorFlow Serving aborts with fewer than {MIN_PIDS}.",
    )
    gpus: Annotated[str, _Gpus, base.Flag("--gpus", metavar="all|N|device=ID")] = ""
    """GPUs that the server may use, as `docker run --gpus` names them."""
    environment: Annotated[base.Strings, _Variable, base.Flag("--env", metavar="NAME[=VALUE]"), Field(repr=False)] = ()
    """Environment variables of the server; NAME alone passes on this process' value."""
    parallel_images: Annotated[base.Count, base.Flag("--parallel-images")] = 2
    """Images that judge the model at the same time."""

    @model_validator(mode="after")
    def _check(self) -> DockerServer:
        if self.base_url and self.context:
            raise base.Mistake("{server.base_url} and {server.context} both name an engine; drop one or the other.")
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", self.model_name):
            raise base.Mistake(
                "{server.model_name} names a directory in the container that the model is served from, so it must be "
                "letters and digits, with . _ - within, not {value}.",
                value=repr(self.model_name),
            )
        return self

    def complete(self) -> DockerServer:
        """Returns itself if it names an image."""
        if not self.images:
            raise base.Mistake(
                "{server.images} is missing: the Docker sandbox needs an image of a model server, such as "
                "tensorflow/serving:2.16.1."
            )
        return self

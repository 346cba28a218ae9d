"""The Docker sandbox: which engine, how the image gets there, and what the container may use."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import re
from typing import Any

from infraval import errors
from infraval.options import json_spec

MIN_PIDS = 512
"""Fewer processes and threads than this, and TensorFlow Serving aborts while it loads."""

_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(=.*)?", re.DOTALL)
_GPUS = re.compile(r"all|[1-9][0-9]*|device=[^,\s]+(,[^,\s]+)*")
_USER = re.compile(r"[0-9]{1,10}(:[0-9]{1,10})?")
_MAX_ID = 2**31 - 1
"""Of a user or group; engines refuse more (moby/sys user: `maxID`)."""


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


@dataclasses.dataclass(frozen=True)
class DockerSpec(json_spec.JsonSpec):
    """The Docker sandbox. Credentials of registries are Docker's own: `config.json` in DOCKER_CONFIG or ~/.docker.

    Attributes:
      base_url: of the engine's API, such as unix:///var/run/docker.sock or tcp://HOST:PORT (LocalDockerConfig's
        client_base_url). Empty for `context`, else DOCKER_HOST, else the current context.
      context: a Docker context to take the engine from; empty for none in particular.
      api_version: of the engine's API, such as 1.41; empty for the newest that both sides know.
      client_timeout_s: seconds that the engine may take to answer one call.
      host_ip_address: where the engine's machine is reached, for a server that no socket can be shared with: its port
        is published on this IP address only. Empty for 127.0.0.1.
      pull: when to pull the image.
      pull_timeout_s: seconds that one pull may take.
      model_transfer: how the model gets into the container.
      user: numeric UID or UID:GID of the server; empty for this process' own, or an unprivileged one for root.
      memory_bytes: memory limit, swap included; a server that outgrows a limit given here is the model's fault. 0 for
        most of what the engine's machine has.
      cpus: CPU limit; 0 for all that the engine's machine has.
      pids: limit of processes and threads.
      gpus: what `docker run --gpus` takes: all, a count, or device=ID,ID; empty for none.
      environment: NAME=VALUE for the server, or NAME for the value that this process has.
      server_arguments: further flags of tensorflow_model_server; the last one of a name counts.
      parallel_images: how many images judge at the same time.
    """

    base_url: str = ""
    context: str = ""
    api_version: str = ""
    client_timeout_s: float = 60.0
    host_ip_address: str = ""
    pull: PullPolicy = PullPolicy.IF_MISSING
    pull_timeout_s: float = 1800.0
    model_transfer: ModelTransfer = ModelTransfer.AUTO
    user: str = ""
    memory_bytes: int = 0
    cpus: float = 0.0
    pids: int = 4096
    gpus: str = ""
    environment: tuple[str, ...] = ()
    server_arguments: tuple[str, ...] = ()
    parallel_images: int = 2

    def __post_init__(self) -> None:
        for name in ("base_url", "context", "api_version", "host_ip_address", "user", "gpus"):
            value = getattr(self, name)
            json_spec.require(isinstance(value, str), f"{name} has to be a text, not {value!r}.")
        json_spec.require(
            not (self.base_url and self.context), "base_url and context both name an engine; drop the one or the other."
        )
        for name in ("client_timeout_s", "pull_timeout_s"):
            _require_number(name, getattr(self, name), over=0)
        _require_address("host_ip_address", self.host_ip_address)
        _require_number("cpus", self.cpus)
        json_spec.require(
            json_spec.whole(self.memory_bytes, 0),
            f"memory_bytes has to be a whole number of 0 or more, not {self.memory_bytes!r}.",
        )
        json_spec.require(
            json_spec.whole(self.pids, MIN_PIDS),
            f"pids has to be {MIN_PIDS} or more, not {self.pids!r}: TensorFlow Serving aborts with fewer threads.",
        )
        json_spec.require(
            json_spec.whole(self.parallel_images, 1),
            f"parallel_images has to be 1 or more, not {self.parallel_images!r}.",
        )
        json_spec.require(
            not self.gpus or bool(_GPUS.fullmatch(self.gpus)),
            f"gpus has to be all, a count or device=ID,ID, not {self.gpus!r}.",
        )
        json_spec.require(
            not self.user or (bool(_USER.fullmatch(self.user)) and max(map(int, self.user.split(":"))) <= _MAX_ID),
            f"user has to be UID or UID:GID, numbers up to {_MAX_ID}, not {self.user!r}.",
        )
        for name in ("environment", "server_arguments"):
            values = getattr(self, name)
            json_spec.require(
                isinstance(values, tuple) and all(isinstance(value, str) and value for value in values),
                f"{name} has to be a list of texts, none empty.",
            )
        for variable in self.environment:
            # The value may be a secret, so only the name is told.
            json_spec.require(
                bool(_ENVIRONMENT.fullmatch(variable)),
                f"environment takes NAME=VALUE or NAME, and {variable.partition('=')[0]!r} is no name.",
            )
        for argument in self.server_arguments:
            json_spec.require(
                argument.startswith("-"), f"server_arguments are flags such as --name=value, and {argument!r} is none."
            )
        object.__setattr__(self, "pull", json_spec.choice("pull", self.pull, PullPolicy))
        object.__setattr__(
            self, "model_transfer", json_spec.choice("model_transfer", self.model_transfer, ModelTransfer)
        )


def _require_number(name: str, value: Any, *, over: float | None = None) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and value < float("inf")
    bound = "0 or more" if over is None else f"over {over}"
    json_spec.require(number and (value >= 0 if over is None else value > over), f"{name} has to be {bound}.")


def _require_address(name: str, value: str) -> None:
    if value:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            raise errors.OptionError(f"{name} has to be an IP address, not {value!r}.") from None
        json_spec.require(
            not address.is_unspecified, f"{name} may not be {value}: the server would be open to every network."
        )

"""What every sandbox is: a context manager that boots a model server and leaves nothing behind.

A sandbox knows nothing of models or requests, and a client nothing of sandboxes: they meet at `Endpoint`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from infraval import evidence

if TYPE_CHECKING:
    from typing_extensions import Self

Clock = Callable[[], float]
"""Seconds on a monotonic clock; `time.monotonic` outside tests."""

POLL_INTERVAL_S = 0.02

CONTAINER_BASE_PATH = "/model"
"""MODEL_BASE_PATH in a container, as TFX's InfraValidator sets it; holds a directory of the model's name."""

LOG_TAIL_BYTES = 1 << 20
"""How much of the end of a server's log is kept."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where the server answers gRPC.

    Attributes:
      target: a gRPC target, `unix:<path>` or `127.0.0.1:<port>`.
    """

    target: str


@dataclasses.dataclass(frozen=True)
class ServerExit:
    """How a server ended.

    Attributes:
      code: exit code; None if a signal ended it.
      signal: number of that signal; None if it exited by itself.
      out_of_memory: whether it outgrew the memory limit that its sandbox sets.
      limit: the limit that it outgrew, if one was asked for: production has no more either, so it is the model's doing.
      outside: what happened to it from outside, as the rest of a sentence about it and what to do; empty if nothing is
        known to have.
    """

    code: int | None
    signal: int | None
    out_of_memory: bool = False
    limit: str = ""
    outside: str = ""


@dataclasses.dataclass(frozen=True)
class Launch:
    """What to boot, in the terms of `tensorflow_model_server`'s flags.

    Attributes:
      model_name: `--model_name`.
      model_base_path: `--model_base_path`, absolute; holds numbered version directories.
      batching_parameters_file: `--batching_parameters_file`, also sets `--enable_batching`; None for neither.
      grpc_max_threads: `--grpc_max_threads`.
      saved_model_tags: `--saved_model_tags`; empty for the server's default, `serve`.
    """

    model_name: str
    model_base_path: Path
    batching_parameters_file: Path | None = None
    grpc_max_threads: int = 64
    saved_model_tags: tuple[str, ...] = ()


class Sandbox(Protocol):
    """A server under test; entering boots it, leaving removes every trace of it.

    Entering returns once the server is started, not once it serves. Raises `SandboxError` if it cannot start.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def endpoint(self) -> Endpoint:
        """Where the server answers, once it does."""

    @property
    def identity(self) -> evidence.Server:
        """Which server this is."""

    def poll(self) -> ServerExit | None:
        """How the server ended, or None while it runs."""

    def log(self) -> str:
        """The last `LOG_TAIL_BYTES` of what the server wrote so far, unredacted; still there after leaving."""


def wait_until(
    ready: Callable[[], bool],
    sandbox: Sandbox,
    deadline_s: float,
    clock: Clock = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> ServerExit | None:
    """Polls until `ready`, the server's end or the deadline.

    Args:
      ready: whether what is waited for has come; called at least once, also when the deadline has passed.
      sandbox: the server that it comes from.
      deadline_s: the latest time on `clock`, in seconds.
      clock: the clock.
      pause: waits for the seconds given.

    Returns:
      None once ready, else how the server ended.

    Raises:
      TimeoutError: the deadline passed with the server running and not ready.
    """
    while True:
        if ready():
            return None
        ended = sandbox.poll()
        if ended is not None:
            return ended
        if clock() >= deadline_s:
            raise TimeoutError
        pause(POLL_INTERVAL_S)

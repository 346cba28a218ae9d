"""What every sandbox is: a context manager that boots a model server and leaves nothing behind.

A sandbox knows nothing about models or requests, and a client nothing about sandboxes: they share a gRPC target.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from typing_extensions import Self

from infraval import errors, evidence

POLL_INTERVAL_S = 0.02

CONTAINER_BASE_PATH = "/model"
"""MODEL_BASE_PATH in a container, as TFX's InfraValidator sets it; holds a directory named after the model."""

LOG_TAIL_BYTES = 1 << 20
"""How much of the end of a server's log is kept."""

MAX_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""sockaddr_un.sun_path without its final zero byte; gRPC refuses a longer path."""

_NOT_PATH = frozenset("%#?,")
"""Characters that gRPC does not read as part of an address's path."""

_SIGNAL_BASE = 128
"""Exit code 128 + N means that signal N ended the process, as in a shell."""


@dataclasses.dataclass(frozen=True)
class ServerExit:
    """How a server ended.

    Attributes:
      code: exit code; None if a signal ended it.
      signal: number of that signal; None if it exited by itself.
      out_of_memory: whether it exceeded the memory limit that its sandbox sets.
      limit: the limit that it exceeded, if the user set one: production has no more either, so the model is to blame.
      outside: what happened to it from outside, as the rest of a sentence about it, and what to do; empty if unknown.
    """

    code: int | None
    signal: int | None
    out_of_memory: bool = False
    limit: str = ""
    outside: str = ""


@dataclasses.dataclass(frozen=True)
class Launch:
    """What to boot, in terms of `tensorflow_model_server`'s flags.

    Attributes:
      model_name: `--model_name`.
      model_base_path: `--model_base_path`, absolute; holds numbered version directories.
      model_config: takes the place of both if it is not empty: `--model_config_file` without its base path.
      labels: whether the model config has version labels.
      files: content of what else the server reads, by flag, such as `batching_parameters_file`.
      grpc_max_threads: `--grpc_max_threads`.
      saved_model_tags: `--saved_model_tags`; empty for the server's default, `serve`.
      metrics: whether the page for Prometheus is served; None if that opens no port of this machine.
    """

    model_name: str
    model_base_path: Path
    model_config: str = ""
    labels: bool = False
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    grpc_max_threads: int = 64
    saved_model_tags: tuple[str, ...] = ()
    metrics: bool | None = False


class Sandbox(Protocol):
    """A server under test; entering boots it, leaving removes every trace of it.

    Entering returns once the server has started, not once it serves. Raises `SandboxError` if it cannot start.
    """

    target: str
    """Where the server answers, once it does: a gRPC target, `unix:<path>` or `127.0.0.1:<port>`."""
    started_s: float
    """When the server's process was started, in seconds of `time.monotonic`."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def identity(self) -> evidence.Server:
        """Which server this is."""

    def poll(self) -> ServerExit | None:
        """How the server ended, or None while it runs."""

    def memory(self) -> evidence.Memory | None:
        """How much memory the server takes now; None if that is not known, or if it has ended."""

    def metrics(self) -> bytes | None:
        """The page that the server has for Prometheus; None if it serves none, or could not be read before.

        Raises:
          metrics_page.NoPageError: it cannot be read.
        """

    def log(self) -> str:
        """The last `LOG_TAIL_BYTES` of what the server has written, unredacted; still available after leaving."""


def server_exit(code: int, *, out_of_memory: bool = False) -> ServerExit:
    """How a server ended, from an exit code as a shell, a container or `subprocess` (-N for signal N) gives it."""
    if _SIGNAL_BASE < code < _SIGNAL_BASE + signal.NSIG:
        code = _SIGNAL_BASE - code
    if code < 0:
        return ServerExit(code=None, signal=-code, out_of_memory=out_of_memory)
    return ServerExit(code=code, signal=None, out_of_memory=out_of_memory)


def check_socket_path(path: Path) -> None:
    """Checks that a server can listen on a unix socket at that path.

    Raises:
      ServerStartError: it is too long, or gRPC would read it as a different path.
    """
    misread = sorted(_NOT_PATH.intersection(str(path)))
    if misread:
        raise errors.ServerStartError(
            f"The server's socket would be {path}, but its path must not contain {' '.join(misread)}. Set TMPDIR to a "
            "directory with a simpler path, such as /tmp."
        )
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES:
        raise errors.ServerStartError(
            f"The server's socket would be {path}, which is {length} bytes long; the limit is {MAX_SOCKET_PATH_BYTES}. "
            "Set TMPDIR to a directory with a shorter path, such as /tmp."
        )


def open_socket(path: Path) -> int | None:
    """Opens the socket at which a server listens, without connecting.

    The server may put anything at that path at any time: a link to another program's socket, say. The descriptor
    stays the socket that was checked.

    Returns:
      A descriptor, or None if there is nothing at the path yet.

    Raises:
      SandboxError: something else is there, or another user's socket.
    """
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    status = os.fstat(descriptor)
    # The socket's directory was made for the server's user.
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != path.parent.stat().st_uid:
        os.close(descriptor)
        raise errors.SandboxError(
            f"At {path}, where the server must listen, there is something other than a socket of the server's user. "
            "infraval does not connect to it. Check what the server or its image does there."
        )
    return descriptor


def wait_until(ready: Callable[[], bool], sandbox: Sandbox, deadline_s: float) -> ServerExit | None:
    """Polls until `ready`, the server's end or the deadline, in seconds of `time.monotonic`; but `ready` at least once.

    Returns:
      None once ready, else how the server ended.

    Raises:
      TimeoutError: the deadline passed while the server was running but not ready.
    """
    while True:
        if ready():
            return None
        ended = sandbox.poll()
        if ended is not None:
            return ended
        if time.monotonic() >= deadline_s:
            raise TimeoutError
        time.sleep(POLL_INTERVAL_S)

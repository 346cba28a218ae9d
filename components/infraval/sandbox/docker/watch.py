"""A running container: how it ended, known at once, what it wrote, and its version."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Sequence
from concurrent import futures

import docker.errors
import docker.utils.socket

from infraval import errors
from infraval.sandbox import base, model_server
from infraval.sandbox.docker import engine as docker_engine

_JOIN_TIMEOUT_S = 1.0
_VERSION_TIMEOUT_S = 20.0
_OUTPUT_BYTES = 1 << 16

_versions: dict[str, str] = {}
"""By image id."""


class ContainerWatch:
    """Waits for a container's end in a thread of its own."""

    def __init__(self, engine: docker_engine.Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._end: futures.Future[base.ServerExit] = futures.Future()
        self._log_tail: str | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True, name=f"watch {name}")

    def start(self) -> None:
        """Starts to watch; call it once the container has started."""
        self._thread.start()

    def poll(self) -> base.ServerExit | None:
        """How the container ended, or None while it runs.

        Raises:
          ServerLostError: the engine or the container is gone.
        """
        return self._end.result() if self._end.done() else None

    def log(self) -> str:
        """The last `base.LOG_TAIL_BYTES` of what the container wrote.

        Raises:
          ServerLostError: the engine does not answer.
        """
        if self._log_tail is not None:
            return self._log_tail
        with docker_engine.failing_as(errors.ServerLostError, "The log of the model server could not be read"):
            return self._read_log()

    def close(self) -> None:
        """Keeps the log; call it before the container is removed, so that its removal is not taken for a failure."""
        if self._log_tail is None:
            try:
                self._log_tail = self._read_log()
            except docker_engine.API_ERRORS:
                self._log_tail = ""
        with contextlib.suppress(futures.InvalidStateError):
            self._end.set_result(base.ServerExit(code=None, signal=signal.SIGKILL))

    def join(self) -> None:
        """Waits for the thread; call it after the container was removed."""
        if self._thread.is_alive():
            self._thread.join(_JOIN_TIMEOUT_S)

    def _watch(self) -> None:
        with contextlib.suppress(futures.InvalidStateError):  # `close` came first
            try:
                self._wait()
                state = self._engine.api.inspect_container(self._name)["State"]
                log = self._read_log()
            except docker_engine.API_ERRORS as error:
                lost = (
                    f"The Docker engine at {self._engine.url} was lost, or the container with it: "
                    f"{docker_engine.said(error)} Check whether the engine was restarted."
                )
                self._end.set_exception(errors.ServerLostError(lost))
                return
            if self._log_tail is None:
                self._log_tail = log
            ended = base.server_exit(int(state["ExitCode"]), out_of_memory=bool(state.get("OOMKilled")))
            self._end.set_result(ended)

    def _wait(self) -> None:
        while True:
            try:
                self._engine.api.wait(self._name)
            except docker.errors.APIError:
                raise
            except docker_engine.API_ERRORS:
                # Some connections to an engine break if they are silent for hours.
                if not self._engine.api.inspect_container(self._name)["State"]["Running"]:
                    raise
            else:
                return

    def _read_log(self) -> str:
        log: bytes = self._engine.api.logs(self._name)
        return log[-base.LOG_TAIL_BYTES :].decode(errors="replace")


class VersionQuery:
    """Asks the server for its version while it boots, in a thread of its own, once for each image."""

    def __init__(self, engine: docker_engine.Engine, container: str, image_id: str) -> None:
        self._engine = engine
        self._container = container
        self._image_id = image_id
        self._thread = threading.Thread(target=self._ask, daemon=True, name=f"version of {container}")

    def start(self) -> None:
        """Asks; call it once the container runs."""
        if self._image_id not in _versions:
            self._thread.start()

    def answer(self) -> str | None:
        """The version; None if the server did not say, or ended first."""
        if self._thread.is_alive():
            self._thread.join(_VERSION_TIMEOUT_S)
        return _versions.get(self._image_id)

    def join(self) -> None:
        """Waits for the thread; call it after the container was removed."""
        if self._thread.is_alive():
            self._thread.join(_JOIN_TIMEOUT_S)

    def _ask(self) -> None:
        answer = output(self._engine, self._container, [model_server.TF_SERVING, "--version"])
        version = model_server.version(answer)
        if version is not None:
            _versions[self._image_id] = version


def output(engine: docker_engine.Engine, container: str, command: Sequence[str]) -> str:
    """What a command in a running container writes; empty if that fails, or if it is more than 64 KiB.

    It may block until the container ends.
    """
    return output_bytes(engine, container, command, _OUTPUT_BYTES).decode(errors="replace")


def output_bytes(
    engine: docker_engine.Engine, container: str, command: Sequence[str], most: int, *, errors_too: bool = True
) -> bytes:
    """The same as bytes, up to another number of them, with or without what the command writes to standard error."""
    written = bytearray()
    try:
        query = engine.api.exec_create(container, list(command), stderr=errors_too)
        stream = engine.api.exec_start(query["Id"], socket=True)
        # docker-py closes neither. An image may write for ever.
        with contextlib.closing(stream), contextlib.closing(stream._response):  # noqa: SLF001 - it has no public name
            for _, chunk in docker.utils.socket.frames_iter(stream, tty=False):
                written += chunk
                if len(written) > most:
                    return b""
    except (*docker_engine.API_ERRORS, OSError):
        return b""  # the container or the engine has ended; docker-py reads this answer from the bare socket
    return bytes(written)

"""A container that runs: how it ended, known at once, and what it wrote."""

from __future__ import annotations

import signal
import threading

import docker.errors

from infraval import errors
from infraval.sandbox import base
from infraval.sandbox.docker import engine as docker_engine

_SIGNAL_BASE = 128
"""Exit codes above it say which signal ended the process, as shells have it."""

_JOIN_TIMEOUT_S = 1.0


class ContainerWatch:
    """Waits for the end of a container in a thread of its own.

    Args:
      engine: the container's engine.
      name: of the container.
    """

    def __init__(self, engine: docker_engine.Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._over = threading.Event()
        self._ended: base.ServerExit | None = None
        self._lost = ""
        self._log_tail: str | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True, name=f"watch {name}")

    def start(self) -> None:
        """Begins to watch; to be called once the container was started."""
        self._thread.start()

    def poll(self) -> base.ServerExit | None:
        """How the container ended, or None while it runs.

        Raises:
          ServerLostError: that cannot be known.
        """
        if not self._over.is_set():
            return None
        if self._lost:
            raise errors.ServerLostError(self._lost)
        return self._ended

    def log(self) -> str:
        """The last `base.LOG_TAIL_BYTES` of what the container wrote.

        Raises:
          ServerLostError: the engine does not tell.
        """
        if self._log_tail is not None:
            return self._log_tail
        with docker_engine.failing_as(errors.ServerLostError, "The log of the model server cannot be read"):
            return self._read_log()

    def close(self) -> None:
        """Keeps the log; to be called before the container is removed, whose end is no news then."""
        if self._log_tail is None:
            try:
                self._log_tail = self._read_log()
            except docker_engine.API_ERRORS:
                self._log_tail = ""
        if not self._over.is_set():
            self._ended = base.ServerExit(code=None, signal=signal.SIGKILL)
            self._over.set()

    def join(self) -> None:
        """Waits for the thread; to be called after the container was removed."""
        if self._thread.is_alive():
            self._thread.join(_JOIN_TIMEOUT_S)

    def _watch(self) -> None:
        try:
            self._wait()
            state = self._engine.api.inspect_container(self._name)["State"]
            log = self._read_log()
        except docker_engine.API_ERRORS as error:
            lost = (
                f"The Docker engine at {self._engine.url} was lost, or the container with it: "
                f"{docker_engine.said(error)} See whether the engine was restarted."
            )
            self._finish(None, lost, None)
            return
        ended = server_exit(int(state["ExitCode"]), out_of_memory=bool(state.get("OOMKilled")))
        self._finish(ended, "", log)

    def _wait(self) -> None:
        while True:
            try:
                self._engine.api.wait(self._name)
            except docker.errors.APIError:
                raise
            except docker_engine.API_ERRORS:
                # Not every way to an engine bears a connection that is silent for hours.
                if not self._engine.api.inspect_container(self._name)["State"]["Running"]:
                    raise
            else:
                return

    def _finish(self, ended: base.ServerExit | None, lost: str, log: str | None) -> None:
        if not self._over.is_set():
            self._ended, self._lost, self._log_tail = ended, lost, log
            self._over.set()

    def _read_log(self) -> str:
        log: bytes = self._engine.api.logs(self._name)
        return log[-base.LOG_TAIL_BYTES :].decode(errors="replace")


def server_exit(code: int, *, out_of_memory: bool) -> base.ServerExit:
    """How a server ended, from its container's exit code."""
    if _SIGNAL_BASE < code < _SIGNAL_BASE + signal.NSIG:
        return base.ServerExit(code=None, signal=code - _SIGNAL_BASE, out_of_memory=out_of_memory)
    return base.ServerExit(code=code, signal=None, out_of_memory=out_of_memory)

"""The client's side of the supervisor: a command that runs under it while a `with` block lasts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, cast

from typing_extensions import Self

from infraval import errors, evidence, signals
from infraval.sandbox import base
from infraval.sandbox.process import process_memory, supervisor

_STOP_TIMEOUT_S = 10.0


class SupervisedCommand:
    """A command with a private directory; both are gone after leaving, whatever happens to this process.

    The command starts with the executable's absolute path. The directory is made on entering, mode 0700, and removed on
    leaving. Of the command's environment, HOME and TMPDIR point into the directory; `files` are written there, by name,
    before the command starts.
    """

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        files: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        self._command = [*command]
        self._directory = directory
        self._files = files
        self._home = directory / "home"
        self._environment = dict(environment)
        self._log_tail = ""
        self._log_file: IO[bytes]
        self._supervisor: subprocess.Popen[bytes]
        self._process_group: int | None = None
        self._on_leaving = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Starts the command.

        Raises:
          ServerStartError: it cannot be executed.
        """
        with contextlib.ExitStack() as on_failure:
            try:
                self._make_directory(on_failure)
                self._start(on_failure)
            except OSError as error:
                raise errors.ServerStartError(f"{self._command[0]} could not be started: {error}") from error
            self._on_leaving = on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with signals.deferred():
            self._on_leaving.close()

    def poll(self) -> base.ServerExit | None:
        """How the command ended, or None while it runs."""
        # A supervisor that was killed takes the command along, so its signal stands for the command's.
        code = self._supervisor.poll()
        return None if code is None else base.server_exit(code)

    def wait(self, timeout_s: float) -> base.ServerExit | None:
        """How the command ended, or None if it is still running after `timeout_s`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._supervisor.wait(timeout_s)
        return self.poll()

    def memory(self) -> evidence.Memory | None:
        """What all processes of the command take together; None if none is left."""
        return process_memory.below(self._supervisor.pid)

    def log(self) -> str:
        """The last `base.LOG_TAIL_BYTES` of what the command wrote; still available after leaving."""
        if not self._log_file.closed:
            # The command shares the file's offset, so it must not move.
            log = self._log_file.fileno()
            start = max(0, os.fstat(log).st_size - base.LOG_TAIL_BYTES)
            self._log_tail = os.pread(log, base.LOG_TAIL_BYTES, start).decode(errors="replace")
        return self._log_tail

    def _make_directory(self, on_leaving: contextlib.ExitStack) -> None:
        self._directory.mkdir(mode=0o700)
        # The supervisor removes it too, unless it is killed.
        on_leaving.callback(shutil.rmtree, self._directory, ignore_errors=True)
        self._home.mkdir(mode=0o700)
        for name, content in self._files.items():
            (self._directory / name).write_bytes(content)
        self._log_file = on_leaving.enter_context((self._directory / "log").open("a+b", buffering=0))
        on_leaving.callback(self.log)

    def _start(self, on_leaving: contextlib.ExitStack) -> None:
        script = [sys.executable, "-I", "-S", supervisor.__file__]
        with signals.deferred():
            self._supervisor = subprocess.Popen(
                [*script, str(os.getpid()), str(self._directory), *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log_file,
                cwd=self._home,
                env={**self._environment, "HOME": str(self._home), "TMPDIR": str(self._home)},
                start_new_session=True,
            )
            on_leaving.callback(self._stop)

        # The line comes once the command has been executed; if the supervisor ends first, the pipe closes.
        line = cast("IO[bytes]", self._supervisor.stdout).readline().decode(errors="replace")
        outcome, _, detail = line.strip().partition(" ")
        if outcome == "failed":
            raise errors.ServerStartError(f"{self._command[0]} could not be executed: {detail}")
        if outcome != "started":
            raise errors.ServerStartError(
                f"The supervisor of {self._command[0]} ended before it started it: {self.log()}"
            )
        self._process_group = int(detail)

    def _stop(self) -> None:
        with self._supervisor as process:
            # A signal, because closing the pipe has no effect while a process forked from this one holds it open.
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
        was_killed = process.returncode < 0
        if was_killed and self._process_group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process_group, signal.SIGKILL)

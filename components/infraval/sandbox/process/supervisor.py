"""Runs a model server and makes sure that nothing of it outlives its client.

A script that needs only the standard library, so that it starts in milliseconds:

    python -I -S supervisor.py CLIENT_PID RUN_DIRECTORY SERVER [ARGUMENT]...

  standard input    a pipe that the client holds open: it closes when the client ends
  standard output   one line for the client: `started PID` or `failed REASON`
  standard error    the log: both of the server's outputs go there
  environment       the server's

On Linux, only the end of a long log takes space on the disk.

It ends when the server ends, when the client is gone, or on SIGTERM, SIGINT or SIGHUP. Whichever comes first, it
kills the server's process group and, on Linux, any process that has left that group, removes the run directory with
the socket in it, and exits with the server's exit code, or 128 + N if signal N ended it.

The client is watched by a pipe and by its pid, not by PR_SET_PDEATHSIG: that fires when the *thread* that started
the supervisor ends, and TFX may run an executor in a worker thread. Both are needed: a process forked from the client
keeps the pipe open, and a client that executes another program keeps the pid.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

CANNOT_EXECUTE = 126
"""Exit code when the server could not be started, as in a shell."""

SIGNAL_BASE = 128
"""Exit code SIGNAL_BASE + N means that signal N ended the server, as in a shell."""

_POLL_INTERVAL_S = 0.05

_MAX_LOG_BYTES = 64 << 20
_KEPT_LOG_BYTES = 1 << 20
"""Of a log that takes more than `_MAX_LOG_BYTES` on the disk, what is kept."""
_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

# linux/falloc.h
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2


def supervise(client: int, run_directory: str, command: Sequence[str]) -> int:
    """Runs the server until it, the client (a pid) or this process must end; then removes the run directory.

    Returns:
      The exit code that says how the server ended.
    """
    control = _linux_process_control()
    _restrict(control)
    signals = _wake_on_signals()
    try:
        return _run(client, command, signals, control)
    finally:
        shutil.rmtree(run_directory, ignore_errors=True)


def exit_code(wait_status: int) -> int:
    """The exit code for a wait status: the process's own, or `SIGNAL_BASE` + N if signal N ended it."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else SIGNAL_BASE - code


def _linux_process_control() -> Callable[[int, int], None]:
    """`prctl`, loaded before any fork; does nothing on systems without it."""
    if sys.platform != "linux":
        return lambda _option, _value: None
    prctl = ctypes.CDLL(None).prctl
    # The kernel refuses PR_SET_NO_NEW_PRIVS unless the unused arguments are zero at full width.
    prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
    return lambda option, value: prctl(option, value, 0, 0, 0)


def _restrict(control: Callable[[int, int], None]) -> None:
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    control(_PR_SET_NO_NEW_PRIVS, 1)
    # Orphans below this process become its children, not init's: a daemon that the server starts cannot escape.
    control(_PR_SET_CHILD_SUBREAPER, 1)


def _wake_on_signals() -> int:
    """Returns a descriptor from which stop signals and SIGCHLD can be read, as their numbers."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (*_STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return readable


def _run(client: int, command: Sequence[str], signals: int, control: Callable[[int, int], None]) -> int:
    supervisor = os.getpid()

    def die_with_supervisor() -> None:
        control(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(CANNOT_EXECUTE)

    try:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,
            preexec_fn=die_with_supervisor,  # noqa: PLW1509  # the risk is threads, and there is one
        )
    except OSError as error:
        _tell(f"failed {error}")
        return CANNOT_EXECUTE
    try:
        _tell(f"started {server.pid}")
        status = _watch(server.pid, client, signals)
    finally:
        killed = _kill_all(server.pid)
    return exit_code(killed if status is None else status)


def _tell(line: str) -> None:
    # `_watch` notices a client that has gone.
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _watch(server: int, client: int, signals: int) -> int | None:
    """Waits for the first reason to stop; returns the server's wait status if it ended by itself."""
    client_pipe = sys.stdin.fileno()
    while True:
        for pid, status in _ended_children():
            if pid == server:
                return status
        if os.getppid() != client:
            return None
        _cut_log()
        ready, _, _ = select.select([client_pipe, signals], [], [], _POLL_INTERVAL_S)
        if client_pipe in ready or (signals in ready and _STOP_SIGNALS.intersection(os.read(signals, 4096))):
            return None


def _cut_log() -> None:
    """Frees the space of all but the end of a long log. Offsets stay as they are, so that nothing is lost or moved."""
    log = sys.stderr.fileno()
    status = os.fstat(log)
    if status.st_blocks * 512 > _MAX_LOG_BYTES and sys.platform == "linux":
        fallocate = ctypes.CDLL(None).fallocate
        fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
        # A file system that cannot do it keeps the whole log.
        fallocate(log, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, 0, status.st_size - _KEPT_LOG_BYTES)


def _ended_children() -> Iterator[tuple[int, int]]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def _kill_all(server: int) -> int:
    """Kills the server's process group and, on Linux, every child of this process.

    Only children are killed by pid: only this process reaps them, so their pids cannot have been reused. Their own
    children then become this process's children in turn.

    Returns:
      The server's wait status; 0 if it was collected before.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server, signal.SIGKILL)
    server_status = 0
    while True:
        for child in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return server_status
        if pid == server:
            server_status = status


def _children() -> Iterator[int]:
    """Pids of this process's children, read from /proc; none on systems without it."""
    processes = Path("/proc")
    for folder in processes.iterdir() if processes.is_dir() else ():
        if folder.name.isdecimal() and _parent(folder) == os.getpid():
            yield int(folder.name)


def _parent(folder: Path) -> int | None:
    # The folder goes with a process that ends meanwhile, and another user's may be hidden.
    with contextlib.suppress(OSError):
        # The command's name, in parentheses, may contain anything; the state and the parent's pid follow it.
        return int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
    return None


if __name__ == "__main__":
    sys.exit(supervise(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))

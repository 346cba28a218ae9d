"""Starts commands fast: imports modules once, then forks a process for each request on standard input.

    python prefork.py MODULE [PRELOADED]...

A forked process is `python -m MODULE` with its real argv, signals and exit code; only the seconds of imports, such as
TensorFlow's, are saved. One JSON object a line, each answered by one:

    {"argv": […], "log": path, "environment": {…}}  ->  {"pid": int}
    {"poll": pid}  ->  {"code": int, negative for a signal, or null while it runs}
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
from typing import Any


def start(module: str, argv: list[str], log: str, environment: dict[str, str]) -> int:
    """Forks a process that writes its output to a file.

    Returns:
      Its process id.
    """
    pid = os.fork()
    if pid == 0:
        code: Any = 1
        try:
            output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            os.dup2(output, sys.stdout.fileno())
            os.dup2(output, sys.stderr.fileno())
            for ignored in (
                signal.SIGHUP,
                signal.SIGQUIT,
            ):  # by nohup around the tests, or by a shell for what it runs aside
                signal.signal(ignored, signal.SIG_DFL)
            os.environ.update(environment)
            tempfile.tempdir = None
            sys.argv = [module, *argv]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = end.code
        finally:
            sys.stdout.flush()
            os._exit(code or 0)
    return pid


def poll(pid: int) -> int | None:
    """The exit code of a process, None while it runs; to be called until it has ended."""
    ended, wait_status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(wait_status) if ended else None


def answer(module: str, request: dict[str, Any]) -> dict[str, Any]:
    """Answers one request."""
    if "poll" in request:
        return {"code": poll(request["poll"])}
    return {"pid": start(module, request["argv"], request["log"], request.get("environment", {}))}


if __name__ == "__main__":
    for preloaded in sys.argv[2:]:
        importlib.import_module(preloaded)
    command = sys.argv[1]
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(answer(command, json.loads(line)))}\n")
        sys.stdout.flush()

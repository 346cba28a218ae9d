"""Starts servers fast: imports TensorFlow once, then forks a server for each request on standard input.

A forked server is a process of its own with the real `main`, argv, signals and exit code; only the seconds of
`import tensorflow` are saved. One JSON object a line, each answered by one:

    {"argv": […], "log": path}  ->  {"pid": int}
    {"poll": pid}               ->  {"code": int, negative for a signal, or null while it runs}
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

# Not used here: what the server imports after the fork is to be there already.
from infraval_server import endpoints, loading, main, service, xla

PRELOADED = (endpoints, loading, service, xla)


def start(argv: list[str], log: str) -> int:
    """Forks a server that writes its output to a file.

    Returns:
      Its process id.
    """
    pid = os.fork()
    if pid == 0:
        output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        os.dup2(output, sys.stdout.fileno())
        os.dup2(output, sys.stderr.fileno())
        code = 1
        try:
            code = main(argv)
        finally:
            sys.stdout.flush()
            os._exit(code)
    return pid


def poll(pid: int) -> int | None:
    """The exit code of a server, None while it runs; to be called until it has ended."""
    ended, wait_status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(wait_status) if ended else None


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Answers one request."""
    if "poll" in request:
        return {"code": poll(request["poll"])}
    return {"pid": start(request["argv"], request["log"])}


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(answer(json.loads(line)))}\n")
        sys.stdout.flush()

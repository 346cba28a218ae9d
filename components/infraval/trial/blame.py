"""Whose fault it is that a server died, fell silent or did not start: the model's, or not (ADR 14).

What is the model's fault is returned as data; what is not is raised.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence

from infraval import errors, evidence, redaction
from infraval.sandbox import base, model_server, serving_log

_LOST = frozenset({"UNAVAILABLE", "CANCELLED", "INTERNAL", "UNKNOWN"})
"""Codes that a request may end with when the server does."""

_END_TIMEOUT_S = 2.0


def failed_load(
    sandbox: base.Sandbox, ended: base.ServerExit, redactor: redaction.Redactor
) -> evidence.Refused | evidence.Crashed:
    """What a server that ended while loading says about the model.

    Raises:
      UnregisteredOpError: the embedded server lacks an op.
      ServerLostError: it was killed from outside.
      ServerStartError: it did not get as far as loading the model.
    """
    log, server = sandbox.log(), sandbox.identity
    _check_ops(log, ended, server)
    refusal = serving_log.refusal(log)
    if refusal is not None:
        return evidence.Refused(refusal.code, redactor.message(refusal.message))
    if ended.signal is not None or ended.limit or ended.outside:
        return evidence.Crashed(_cause(ended, server, _last_words(redactor.log(log))))
    raise errors.ServerStartError(
        f"{server.name} ended with exit code {ended.code} before it loaded the model, for a reason of its own. "
        f"{_last_words(redactor.log(log))}"
    )


def death_while_serving(
    sandbox: base.Sandbox, outcomes: Sequence[evidence.Outcome], redactor: redaction.Redactor
) -> str | None:
    """What the server died of while it answered; None if it lives.

    Raises:
      UnregisteredOpError: the embedded server lacks an op.
      ServerLostError: it was killed from outside.
      SandboxError: a bug of the embedded server showed.
    """
    ended = _end_of(sandbox, outcomes)
    log, server = sandbox.log(), sandbox.identity
    if server.embedded and ended is not None and ended.code == model_server.EMBEDDED_EXIT_BUG:
        raise errors.SandboxError(
            f"The {server.name} failed at a request, which is a bug of infraval's: please report it. "
            f"{_last_words(redactor.log(log))}"
        )
    if ended is None:
        return None
    _check_ops(log, ended, server)
    return _cause(ended, server, _last_words(redactor.log(log)))


def _end_of(sandbox: base.Sandbox, outcomes: Sequence[evidence.Outcome]) -> base.ServerExit | None:
    """How the server ended, None if it did not.

    A server's end reaches its connections before it reaches the process table, so such errors are followed up.
    """
    if all(outcome.code not in _LOST for outcome in outcomes):
        return sandbox.poll()
    try:
        return base.wait_until(lambda: False, sandbox, time.monotonic() + _END_TIMEOUT_S)
    except TimeoutError:
        return None


def _cause(ended: base.ServerExit, server: evidence.Server, last_words: str) -> str:
    """What the server died of; raises if that is not the model's doing."""
    if ended.outside:
        raise errors.ServerLostError(f"{server.name} {ended.outside} {last_words}")
    if ended.limit:
        return ended.limit
    if ended.signal is None:
        return f"exit code {ended.code}"
    if ended.signal == signal.SIGKILL:
        raise errors.ServerLostError(
            f"{server.name} was killed from outside (SIGKILL); most often the machine ran out of memory. Free "
            f"some, or validate on a larger machine. {last_words}"
        )
    return signal.Signals(ended.signal).name


def _check_ops(log: str, ended: base.ServerExit, server: evidence.Server) -> None:
    """Sees that it was not a limit of the embedded server's own which ended it."""
    if not server.embedded or ended.code != model_server.EMBEDDED_EXIT_UNREGISTERED_OP:
        return
    op = serving_log.unregistered_op(log) or "(its name is no longer in the log)"
    if server.image:
        raise errors.UnregisteredOpError(
            f"The model uses the op {op}, which the embedded server in {server.image} does not have. Name an image "
            "with a tensorflow_model_server that has it."
        )
    raise errors.UnregisteredOpError(
        f"The model uses the op {op}, which the embedded server does not have. Name the Python module that "
        "registers it with --import-ops MODULE (server.import_ops), or validate with a tensorflow_model_server "
        "that has it."
    )


def _last_words(log: str) -> str:
    return f"Its last words:\n{log}" if log else "It wrote nothing."

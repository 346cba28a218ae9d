"""Who is to blame if a server died, stopped answering or did not start: the model, or something else (ADR 14).

If it is the model, that is returned as data; otherwise an error is raised.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence

from infraval import errors, evidence, redaction
from infraval.sandbox import base, model_server, serving_log

_LOST = frozenset({"UNAVAILABLE", "CANCELLED", "INTERNAL", "UNKNOWN"})
"""Codes with which a request may end when the server ends."""

_END_TIMEOUT_S = 2.0


def failed_load(
    sandbox: base.Sandbox, ended: base.ServerExit, redactor: redaction.Redactor
) -> evidence.Refused | evidence.Crashed:
    """What the end of a server that was loading says about the model.

    Raises:
      UnregisteredOpError: the embedded server lacks an op.
      ServerLostError: it was killed from outside.
      ServerStartError: it ended before it loaded the model.
    """
    log, server = sandbox.log(), sandbox.identity
    _check_ops(log, ended, server)
    # A model can print the words of a refusal, but not choose the exit code.
    refusal = serving_log.refusal(log) if ended.code == model_server.EXIT_FAILURE else None
    if refusal is not None:
        code, message = refusal
        return evidence.Refused(code, redactor.message(message))
    if ended.signal is not None or ended.limit or ended.outside:
        return evidence.Crashed(_cause(ended, server, lambda: _last_words(redactor.log(log))))
    raise errors.ServerStartError(
        f"{server.name} ended with exit code {ended.code} before it loaded the model. The model is not the cause.",
        *_last_words(redactor.log(log)),
    )


def death_while_serving(
    sandbox: base.Sandbox,
    outcomes: Sequence[evidence.Outcome],
    redactor: redaction.Redactor,
    answers: Callable[[], bool],
) -> str | None:
    """What the server died of while it answered; None if it lives.

    `answers` asks the server itself whether it does.

    Raises:
      UnregisteredOpError: the embedded server lacks an op.
      ServerLostError: it was killed from outside.
      SandboxError: the embedded server has a bug.
    """
    ended = _end_of(sandbox, outcomes, answers)
    log, server = sandbox.log(), sandbox.identity
    if server.embedded and ended is not None and ended.code == model_server.EMBEDDED_EXIT_BUG:
        raise errors.SandboxError(
            f"The {server.name} failed on a request. This is a bug in infraval; please report it.",
            *_last_words(redactor.log(log)),
        )
    if ended is None:
        return None
    _check_ops(log, ended, server)
    return _cause(ended, server, lambda: _last_words(redactor.log(log)))


def _end_of(
    sandbox: base.Sandbox, outcomes: Sequence[evidence.Outcome], answers: Callable[[], bool]
) -> base.ServerExit | None:
    """How the server ended; None if it did not.

    Connections notice a server's end before the process table does, so after such errors the end is waited for, unless
    the server still answers.
    """
    if all(outcome.code not in _LOST for outcome in outcomes):
        return sandbox.poll()
    try:
        return base.wait_until(answers, sandbox, time.monotonic() + _END_TIMEOUT_S)
    except TimeoutError:
        return None


def _cause(ended: base.ServerExit, server: evidence.Server, last_words: Callable[[], list[str]]) -> str:
    """What the server died of; raises if the model is not to blame."""
    if ended.outside:
        raise errors.ServerLostError(f"{server.name} {ended.outside}", *last_words())
    if ended.limit:
        return ended.limit
    if ended.signal is None:
        return f"exit code {ended.code}"
    if ended.signal == signal.SIGKILL:
        raise errors.ServerLostError(
            f"{server.name} was killed from outside (SIGKILL), most likely because the machine ran out of memory. "
            "Free some, or validate on a larger machine.",
            *last_words(),
        )
    return signal.Signals(ended.signal).name


def _check_ops(log: str, ended: base.ServerExit, server: evidence.Server) -> None:
    """Checks that the server did not end because it is the embedded one, which lacks some ops."""
    if not server.embedded or ended.code != model_server.EMBEDDED_EXIT_UNREGISTERED_OP:
        return
    op = serving_log.unregistered_op(log) or "(its name is no longer in the log)"
    if server.image:
        raise errors.UnregisteredOpError(
            f"The model uses the op {op}, which the embedded server in {server.image} does not have. Set --image "
            "(server.images) to an image with a tensorflow_model_server that has it."
        )
    raise errors.UnregisteredOpError(
        f"The model uses the op {op}, which the embedded server does not have. Set --import-ops (server.import_ops) to "
        "the Python module that registers it, or --server (server.server) to a tensorflow_model_server that has it."
    )


def _last_words(log: str) -> list[str]:
    return ["The end of its log:", *log.splitlines()] if log else ["It logged nothing."]

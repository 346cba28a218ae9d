"""Ends of the process that say something about this server and nothing about the model.

The exit code tells them: a model can print any line into the log, but cannot choose an exit code. No answer is sent to
the request that led there, for it would look like one of the model's.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

from infraval_server import log

EXIT_UNREGISTERED_OP = 64
"""The model needs an op that this TensorFlow lacks; a server in production may have it."""

EXIT_BUG = 70
"""This server's own code failed."""


def for_unregistered_op(op: str) -> NoReturn:
    """Ends the process because this TensorFlow lacks an op."""
    log.error(
        f"Op type not registered '{op}' in this server's TensorFlow; a server in production may have it. Name the "
        "Python module that registers the op: --import-ops MODULE"
    )
    _end(EXIT_UNREGISTERED_OP)


def for_bug(error: BaseException) -> NoReturn:
    """Ends the process because of an unexpected exception.

    The log says what it was and where, but not its message, which may quote the request.
    """
    log.error(f"A bug of the embedded server: {type(error).__name__}")
    log.plain("".join(traceback.format_tb(error.__traceback__)).rstrip())
    _end(EXIT_BUG)


def _end(code: int) -> NoReturn:
    sys.stdout.flush()
    os._exit(code)
